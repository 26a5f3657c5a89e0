/**
 * Fault: a deploy of another version of Catga, and its rollback. Nodes and clients of the last release and of this
 * tree, in both runtimes, a few milliseconds from a real server, use each other's messages, events, schedules, claims,
 * entities, locks and runs: nothing fails, is lost, doubled or out of order. 0.1.0 is the first release to be
 * compatible with. Guards a release: `deno task test:all`.
 */
import { assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { copyFile, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { DRAINED, type Program, startProgram } from "../processes/node_process.ts";
import { isCommit, olderTree, requireCommit } from "../processes/older_tree.ts";
import { startTcpProxy } from "../processes/tcp_proxy.ts";
import type { VersionLine } from "../processes/version_node.ts";
import { eventually } from "../support/eventually.ts";

/** The last release; until there is one, the present commit, which shows that the harness itself is right. */
const EARLIER = await isCommit("v0.1.0") ? "v0.1.0" : "HEAD";
const PROGRAM = "test/processes/version_node.ts";
/** Least number of things of each kind that each client does before the next step. */
const ACTS = 40;
/** Kinds of things that a client does again and again. */
const KINDS = 11;
/** Time limit of the test, in ms: how fast the clients go on is the machine's. */
const LONGEST = 900_000;

type Node = Program<{ readonly event: "ready" | "done" }>;

const nats = await requireNatsServer();
const history = await requireCommit(EARLIER);

describe("an earlier version of Catga, deployed over by this one, and back", nats.skip ? nats : history, () => {
  it("nothing fails, is lost, doubled or out of order", { timeout: LONGEST }, () => play(false));
  it("nothing fails, is lost or out of order when each node is killed", { timeout: LONGEST }, () => play(true));
});

/** Plays the deploys. `kills`: nodes that are replaced are killed; else they drain. */
async function play(kills: boolean): Promise<void> {
  await using server = await startNatsServer();
  await using proxy = await startTcpProxy(Number(new URL(server.url).port));
  proxy.delay(2);
  await using tree = await olderTree(EARLIER);
  await copyFile(new URL("../processes/version_node.ts", import.meta.url), join(tree.root, "version_node.ts"));
  const folder = await mkdtemp(join(tmpdir(), "catga-older-"));
  const file = join(folder, "lines");
  const written = new WrittenLines(file);
  const all: Node[] = [];
  const start = async (version: "earlier" | "this", role: "node" | "client") => {
    const runtime = all.length % 2 === 0 ? "deno" : "bun";
    const does = role === "node" ? ["1", "0"] : ["0", "1"];
    const args = [proxy.url, `${role}-${all.length}`, file, ...does, kills ? "1" : "0"];
    const [path, root] = version === "this" ? [PROGRAM] : ["version_node.ts", tree.root];
    const node: Node = await startProgram(runtime, path, args, root);
    all.push(node);
    await node.line(({ event }) => event === "ready");
    return node;
  };
  const end = async (node: Node, signal: "SIGTERM" | "SIGKILL" = "SIGTERM") => {
    node.kill(signal);
    if (signal === "SIGKILL") return void await node.ended;
    assertEquals([0, ...DRAINED].includes((await node.end()).by), true, node.output);
  };
  /** The clients have done more of everything. */
  const moreActs = async () => {
    await written.read();
    const before = new Map(written.counts);
    await eventually("the clients to do more", async () => {
      await written.read();
      assertEquals(written.failures, []); // a loop of a client ends when it fails
      return written.counts.size === 2 * KINDS && [...written.counts].every(([what, count]) => {
        const wanted = /later|order|letter|numbers/.test(what) ? ACTS / 8 : ACTS;
        return count >= (before.get(what) ?? 0) + wanted;
      });
    }, LONGEST);
  };
  try {
    const nodes = [await start("earlier", "node"), await start("earlier", "node")];
    const clients = [await start("earlier", "client"), await start("this", "client")];
    for (const version of ["this", "earlier", "this"] as const) {
      for (let n = 0; n < 2; n++) {
        nodes.push(await start(version, "node"));
        await moreActs();
        await end(nodes.shift()!, kills ? "SIGKILL" : "SIGTERM");
        await moreActs();
      }
    }
    for (const client of clients) client.kill("SIGUSR1");
    for (const client of clients) await client.line(({ event }) => event === "done");
    // each wait is for one more: how long all of them take is the machine's
    await written.read();
    for (let left = written.missing.size; left > 0;) {
      const isFewer = async () => {
        await written.read();
        return written.missing.size < left && (left = written.missing.size, true);
      };
      if (await eventually("one more to be handled", isFewer).then(() => false, () => true)) break;
    }
    for (const node of [...clients, ...nodes]) await end(node);
    await written.read();
    const missing = [...written.missing].map((thing) => `${thing} was not handled${written.deathOf(thing)}`);
    assertEquals([...missing, ...wrongs(written.lines, kills), ...written.failures], []);
  } finally {
    for (const node of all) await node.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** The lines of the file so far: each is read, parsed and counted once, however often a wait asks. */
class WrittenLines {
  readonly lines: VersionLine[] = [];
  /** How often each client has done each kind of thing. */
  readonly counts = new Map<string, number>();
  /** What failed, a line each. */
  readonly failures: string[] = [];
  /** What was stored, and not handled yet. */
  readonly missing = new Set<string>();
  readonly #handled = new Set<string>();
  readonly #path: string;
  /** Bytes of the file that are taken in. */
  #taken = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /** Takes in what was written since. */
  async read(): Promise<readonly VersionLine[]> {
    await using file = await open(this.#path);
    const bytes = Buffer.alloc((await file.stat()).size - this.#taken);
    const { bytesRead } = await file.read(bytes, 0, bytes.length, this.#taken);
    const whole = bytes.subarray(0, bytes.subarray(0, bytesRead).lastIndexOf("\n") + 1);
    this.#taken += whole.length;
    for (const text of whole.toString().split("\n").slice(0, -1)) this.#take(JSON.parse(text) as VersionLine);
    return this.lines;
  }

  /** Returns text that says why a letter was dead last; empty for other things, and for letters that never were. */
  deathOf(thing: string): string {
    const last = this.lines.findLast(({ what, of }) => what === "letter dead" && thing === `letter ${of}`);
    return last === undefined ? "" : `; it was dead: ${last.n}`;
  }

  #take(line: VersionLine): void {
    const { what, node, of, n } = line;
    this.lines.push(line);
    if (what === "failed") this.failures.push(`${node}: ${of}`);
    const [, stored] = /^(tick|bulk|later|mail|act|letter) ok$/.exec(what) ?? [];
    const thing = [stored ?? what, of, n].filter((part) => part !== undefined).join(" ");
    if (stored === undefined) {
      this.#handled.add(thing);
      this.missing.delete(thing);
    } else if (!this.#handled.has(thing)) this.missing.add(thing);
    if (what.endsWith(" ok")) this.counts.set(`${node} ${what}`, (this.counts.get(`${node} ${what}`) ?? 0) + 1);
  }
}

/**
 * Returns a line for each thing that must not happen, and happened. `kills`: what a killed process ran may run again,
 * but for a command that is not idempotent.
 */
function wrongs(lines: readonly VersionLine[], kills: boolean): readonly string[] {
  const found: string[] = [];
  const of = (what: string) => lines.filter((line) => line.what === what);
  for (const kind of ["tick", "bulk"]) {
    const next = new Map<string, number>();
    for (const { of: key, n } of of(kind)) {
      const wanted = next.get(key) ?? 0;
      if (kills && Number(n) < wanted) continue;
      if (n !== wanted) found.push(`${kind} ${key} ${n} came instead of ${wanted}`);
      next.set(key, wanted + 1);
    }
  }
  for (const kind of kills ? ["act"] : ["later", "mail", "act", "added", "once", "step", "letter"]) {
    const seen = new Set<string>();
    for (const { of: key } of of(kind)) {
      if (seen.has(key)) found.push(`${kind} ${key} came twice`);
      seen.add(key);
    }
  }
  const back = new Set(of("later back").map(({ of: key }) => key));
  for (const { of: key } of of("later")) if (back.has(key)) found.push(`later ${key} came, and was taken back`);
  const results = new Map<string, unknown>();
  for (const { of: key, n } of of("once ok")) {
    if ((results.get(key) ?? n) !== n) found.push(`once ${key} has two results`);
    results.set(key, n);
  }
  for (const cart of new Set(of("add ok").map(({ of: key }) => key))) {
    const counts = of("add ok").flatMap((line) => line.of === cart ? [Number(line.n)] : []).sort((a, b) => a - b);
    if (counts.some((count, i) => count !== i + 1)) found.push(`the results of ${cart} are not 1 to ${counts.length}`);
  }
  let token = 0;
  let holder: VersionLine | undefined;
  for (const line of lines) {
    if (line.what === "locked") {
      if (holder !== undefined) found.push(`${line.node} has the lock of ${holder.node}`);
      if (Number(line.n) <= token) found.push(`the token ${line.n} came after ${token}`);
      [token, holder] = [Number(line.n), line];
    } else if (line.what === "unlocked") holder = undefined;
  }
  const ended = new Map(of("order ok").map(({ of: run, n }) => [run, n]));
  for (const { of: run } of of("order begun")) {
    if (ended.get(run) !== "right") found.push(`the run ${run} ended with ${ended.get(run)}`);
  }
  return found;
}
