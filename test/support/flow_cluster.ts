/**
 * Processes that drive runs of a workflow, a client that starts runs and asks for their ends, and the checker of what
 * came of them.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { type Catga, catga, type Result, type RunInfo } from "@catga/catga";
import {
  Begin,
  Child,
  type FlowLine,
  type FlowNodeOptions,
  readFlowFile,
  readPauses,
  Said,
  stepsOf,
  Storm,
  type StormInput,
} from "../processes/flow_node.ts";
import { gapWithin, type LoopGap, LoopGaps, type Span } from "../processes/loop_gaps.ts";
import { type Program, startProgram } from "../processes/node_process.ts";
import { startTcpProxy, type TcpProxy } from "../processes/tcp_proxy.ts";
import { seededRandom } from "../../src/memory/seeded_random.ts";
import { eventually } from "./eventually.ts";
import { ServerPace } from "./server_pace.ts";

/** What became of the runs. */
export interface FlowSums {
  readonly runs: number;
  readonly done: number;
  readonly failed: number;
  readonly undone: number;
  readonly repeated: number;
  /** Runs that a node took from another one. */
  readonly moved: number;
  /** The longest time after the last fault in which a run that had nothing to wait for did not go on, in ms. */
  readonly stood: number;
}

/** What was found of the runs. */
export interface Checked {
  readonly violations: string[];
  /** Runs that stood longer than they may. */
  readonly stands: readonly string[];
  readonly sums: FlowSums;
}

interface StartedRun {
  readonly run: string;
  readonly fails: boolean;
  readonly waits: boolean;
  readonly childFails: boolean;
  readonly ended: Promise<void>;
  result:
    | { readonly ok: boolean; readonly said?: string; readonly version?: number; readonly code?: string }
    | undefined;
  /** The last failure that its client was told. */
  told: string | undefined;
}

/** A cluster of such processes. */
export class FlowCluster implements AsyncDisposable {
  readonly folder: string;
  readonly #urls: readonly string[];
  readonly #root: string | undefined;
  readonly #replicas: number;
  readonly #client: Catga;
  readonly #nodes = new Map<
    string,
    { readonly program: Program<{ event: string }>; readonly link: TcpProxy | undefined }
  >();
  readonly #runs: StartedRun[] = [];
  readonly #random = seededRandom(1);
  readonly #ending = new AbortController();
  /** When the last fault had ended, in ms since 1970. */
  #calm = Infinity;
  /** When this process stood still since then. */
  readonly #gaps: LoopGap[] = [];
  #loop: LoopGaps | undefined;
  #pace: ServerPace | undefined;

  private constructor(
    folder: string,
    client: Catga,
    urls: readonly string[],
    replicas: number,
    root: string | undefined,
  ) {
    this.folder = folder;
    this.#client = client;
    this.#urls = urls;
    this.#replicas = replicas;
    this.#root = root;
  }

  /** Opens it, without nodes. `root`: the tree whose programs run. */
  static async open(
    urls: readonly string[],
    { replicas = 1, root }: { readonly replicas?: number; readonly root?: string | undefined } = {},
  ): Promise<FlowCluster> {
    const folder = await mkdtemp(join(tmpdir(), "catga-flow-"));
    const quiet = { debug() {}, info() {}, warn() {}, error() {} };
    const client = await catga({
      nats: { servers: [...urls] },
      id: "client",
      namespace: "storm",
      replicas,
      logger: quiet,
    });
    return new FlowCluster(folder, client, urls, replicas, root);
  }

  /** Starts a node: in Deno if its id begins with a d, else in Bun. With a link of its own if there is one server. */
  async start(id: string, { version = 1 }: { readonly version?: number } = {}): Promise<void> {
    // one that cannot start, because a server is away, is started again, as by whoever runs it
    for (let left = 20;; left--) {
      try {
        return await this.#startOnce(id, version);
      } catch (error) {
        if (left === 0 || this.#ending.signal.aborted) throw error;
      }
    }
  }

  async #startOnce(id: string, version: number): Promise<void> {
    const link = this.#urls.length === 1 ? await startTcpProxy(Number(new URL(this.#urls[0]).port)) : undefined;
    const options: FlowNodeOptions = { folder: this.folder, replicas: this.#replicas, version };
    const program = await startProgram<{ event: string }>(
      id.startsWith("d") ? "deno" : "bun",
      "test/processes/flow_node.ts",
      [link?.url ?? this.#urls.join(), id, JSON.stringify(options)],
      this.#root,
    );
    this.#nodes.set(id, { program, link });
    try {
      await program.line(({ event }) => event === "ready");
    } catch (error) {
      await program.stop();
      await link?.close();
      throw error;
    }
  }

  /** Kills a node, and starts it again. */
  async kill(id: string, options?: { readonly version?: number }): Promise<void> {
    await this.end(id, "SIGKILL");
    await this.start(id, options);
  }

  async end(id: string, signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const node = this.#nodes.get(id)!;
    node.program.kill(signal);
    await node.program.ended;
    await node.link?.close();
    this.#nodes.delete(id);
  }

  /** Freezes a node for so many ms. */
  async freeze(id: string, ms: number): Promise<void> {
    const { program } = this.#nodes.get(id)!;
    program.kill("SIGSTOP");
    await wait(ms);
    program.kill("SIGCONT");
  }

  /** Freezes a node for so many ms at least, until others have gone on with so many of its runs. */
  async freezeUntilTaken(id: string, ms: number, runs: number): Promise<void> {
    const { program } = this.#nodes.get(id)!;
    const count = async (isCounted: (info: RunInfo) => boolean) => {
      let counted = 0;
      for await (const info of this.#infos()) if (isCounted(info)) counted++;
      return counted;
    };
    await eventually(`${id} to drive runs`, async () => await count((info) => isDrivenBy(info, id)) >= runs);
    program.kill("SIGSTOP");
    await wait(ms);
    await eventually("others to go on with its runs", async () => await count(isTaken) >= runs);
    program.kill("SIGCONT");
  }

  /** Cuts a node off for so many ms. */
  async cut(id: string, ms: number): Promise<void> {
    const { link } = this.#nodes.get(id)!;
    link!.cut();
    await wait(ms);
    link!.restore();
  }

  /** Starts runs, so many of them at once, `rate` ms between them. */
  async more(count: number, { pause = 10 }: { readonly pause?: number } = {}): Promise<void> {
    for (let n = 0; n < count; n++) {
      this.#begin();
      await wait(pause);
    }
  }

  #begin(): void {
    const run = `r${this.#runs.length}`;
    const chance = (part: number) => this.#random() < part;
    const [fails, waits] = [chance(1 / 3), chance(1 / 3)];
    const input = { fails, waits, sleep: chance(1 / 4) ? 6_000 : 300, childFails: chance(1 / 3) };
    const started: StartedRun = {
      run,
      fails,
      waits,
      childFails: input.childFails,
      ended: this.#follow(run, input, () => started),
      result: undefined,
      told: undefined,
    };
    this.#runs.push(started);
  }

  async #follow(
    run: string,
    input: StormInput,
    of: () => StartedRun,
  ): Promise<void> {
    const client = this.#client;
    const { signal } = this.#ending;
    const until = async (what: () => Promise<Result<unknown, string>>, enough?: string) => {
      while (!signal.aborted) {
        const told = await what();
        if (told.ok || told.error.code === enough) return;
        of().told = `${told.error.code}: ${told.error.message}`;
        await wait(200);
      }
    };
    // half of them are started by a node that drives them
    const ofNode = Number(run.slice(1)) % 2 === 0;
    const options = { id: `begin ${run}` };
    await until(() => ofNode ? client.send(Begin, { run, input }, options) : client.start(Storm, input, { id: run }));
    // a run that has ended since a tell whose outcome was unknown says what it heard
    if (input.waits) await until(() => client.tell(Said, run, `hello ${run}`, { id: "hello" }), "NO_RUN");
    while (!signal.aborted) {
      const result = await client.result(Storm, run, { timeout: 30_000, signal });
      if (!result.ok && result.error.code !== "NO") {
        if (!signal.aborted) of().told = `${result.error.code}: ${result.error.message}`;
        continue;
      }
      of().result = result.ok ? { ok: true, ...result.value } : { ok: false, code: result.error.code };
      return;
    }
  }

  /** To be called when the last fault is over. */
  async calm(): Promise<void> {
    this.#calm = Date.now();
    this.#loop = new LoopGaps((gap) => this.#gaps.push(gap));
    this.#pace = await ServerPace.measure(this.#urls);
  }

  /** Waits until all runs have ended, or none has for `limit` ms: how fast they go on is the machine's. */
  async settled(limit: number): Promise<void> {
    const late = Promise.withResolvers<void>();
    let timer = setTimeout(late.resolve, limit);
    const all = this.#runs.map(async ({ ended }) => {
      await ended;
      clearTimeout(timer);
      if (!this.#ending.signal.aborted) timer = setTimeout(late.resolve, limit);
    });
    await Promise.race([Promise.all(all), late.promise]);
    clearTimeout(timer);
    this.#ending.abort();
  }

  async check(): Promise<Checked> {
    const lines = Map.groupBy(await readFlowFile(this.folder), ({ run }) => run);
    const [violations, stands]: string[][] = [[], []];
    const sums = { runs: this.#runs.length, done: 0, failed: 0, undone: 0, repeated: 0, moved: 0, stood: 0 };
    for (const { run, fails, waits, childFails, result, told } of this.#runs) {
      if (result === undefined) {
        const standing = violations.length < 5 ? await this.#standing(run) : "";
        violations.push(`${run} has not ended for its client, which was told ${told}: ${standing}`);
        continue;
      }
      if (result.ok === fails) violations.push(`${run} ended with ${JSON.stringify(result)}`);
      if (result.ok) sums.done++;
      else sums.failed++;
      if (result.ok && result.said !== (waits ? `hello ${run}` : "none")) {
        violations.push(`${run} heard ${result.said}`);
      }
      const own = lines.get(run) ?? [];
      this.#checkRun(run, own, { ok: result.ok, fails, childFails }, violations, sums);
    }
    // when the machine was busy with other work
    const gaps = [...this.#gaps, ...this.#pace?.gaps ?? [], ...await readPauses(this.folder)];
    for await (const info of this.#infos()) {
      const [stood, at] = this.#stoodFor(info, gaps);
      if (stood > MAX_STANDING) stands.push(`${info.id} did not go on for ${stood} ms: ${timelineOf(info, at)}`);
      sums.stood = Math.max(sums.stood, stood);
      violations.push(...twiceIn(info));
      if (isTaken(info)) sums.moved++;
    }
    for (const line of this.output.split("\n")) if (line.includes("were removed from the log")) violations.push(line);
    return { violations, stands, sums };
  }

  async *#infos(): AsyncIterableIterator<RunInfo> {
    for (const { name: workflow } of [Storm, Child]) yield* this.#client.runs({ workflow });
  }

  /**
   * The longest time after the last fault in which a run had something to do and recorded nothing, without `gaps`, in
   * ms; and the number of the entry that ended it.
   */
  #stoodFor({ timeline }: RunInfo, gaps: readonly Span[]): [stood: number, at: number] {
    let [stood, last] = [0, timeline.length - 1];
    let due = Infinity;
    for (const [n, { at, type, value }] of timeline.entries()) {
      const now = at.getTime();
      const since = now > due ? now - due - gapWithin(gaps, due, now) : 0;
      if (since > stood) [stood, last] = [since, n];
      // a signal ends no sleep, and no wait for a child
      if (type === "signalled" && due > now) continue;
      // a child is looked at by itself, and a signal comes when its sender can send it
      due = type === "child" || type === "waits"
        ? Infinity
        : Math.max(this.#calm, now, type === "slept" ? (value as Date).getTime() : 0);
    }
    return [Math.round(stood), last];
  }

  /** How a run stands, for a violation. */
  async #standing(run: string): Promise<string> {
    try {
      for await (const info of this.#client.runs({ workflow: "Storm", id: run })) {
        return `${info.status} ${JSON.stringify(info.pending)} ${timelineOf(info)}`;
      }
      return "it is not stored";
    } catch (error) {
      return `${error}`;
    }
  }

  #checkRun(
    run: string,
    lines: readonly FlowLine[],
    { ok, fails, childFails }: { readonly ok: boolean } & Pick<StartedRun, "fails" | "childFails">,
    violations: string[],
    sums: Record<"undone" | "repeated", number>,
  ): void {
    const did = new Map<string, number>();
    const undid = new Map<string, number>();
    lines.forEach(({ event, step, id, node }, at) => {
      const of = step === "inner" ? `Child:Storm:${run}:Child` : `Storm:${run}`;
      const expected = event === "did" ? `${of}:${step}` : `${of}:undo ${step}`;
      if (id !== expected) violations.push(`${run}: ${event} ${step} under the id ${id}`);
      // a node that was frozen in its handler ends it after the thaw: another one did the step before the undo
      const before = did.get(step);
      const isThawed = before !== undefined && lines[before].node !== node;
      if (event === "did" && undid.has(step) && !isThawed) violations.push(`${run}: did ${step} after it was undone`);
      const first = event === "did" ? did : undid;
      if (first.has(step)) sums.repeated++;
      else first.set(step, at);
    });
    const version = did.has("more") ? 2 : 1;
    let before = -1;
    for (const steps of stepsOf(version, fails)) {
      for (const step of steps) {
        const at = did.get(step);
        if (at === undefined) violations.push(`${run}: ${step} was not done`);
        else if (at < before) violations.push(`${run}: ${step} was done before what it follows`);
      }
      before = Math.max(before, ...steps.map((step) => did.get(step) ?? -1));
    }
    for (const step of did.keys()) {
      // a child undoes itself
      const stays = step === "inner" ? !childFails : ok;
      if (stays === undid.has(step)) violations.push(`${run}: ${step} was ${stays ? "" : "not "}undone`);
    }
    const order = [...undid.keys()].filter((step) => step !== "inner");
    sums.undone += order.length;
    if (order.length > 0 && order.at(-1) !== "first") violations.push(`${run}: undone in the order ${order}`);
  }

  /** What the nodes have printed. */
  get output(): string {
    return [...this.#nodes].map(([id, { program }]) => `${id}:\n${program.output}`).join("\n");
  }

  /** The client. */
  get client(): Catga {
    return this.#client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    this.#loop?.[Symbol.dispose]();
    await this.#pace?.[Symbol.asyncDispose]();
    await this.#client.drain({ timeout: 0 });
    for (const { program, link } of this.#nodes.values()) {
      await program.stop();
      await link?.close();
    }
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Returns true if a node took the run from another one. */
function isTaken({ timeline }: RunInfo): boolean {
  let holder: string | undefined;
  return timeline.some((entry) => {
    const before = holder;
    if (isOfDriver(entry)) holder = entry.by;
    return entry.type === "held" && before !== undefined && before !== entry.by;
  });
}

/** Returns true if the run has neither ended nor sleeps, and the node is the last one that drove it. */
function isDrivenBy({ timeline }: RunInfo, id: string): boolean {
  const last = timeline.at(-1)?.type;
  return last !== "ended" && last !== "slept" && !!timeline.findLast(isOfDriver)?.by.startsWith(`${id}.`);
}

/** Returns true if the writer of an entry drove the run then; the client drives nothing. */
function isOfDriver({ type, by }: RunInfo["timeline"][number]): boolean {
  return type === "started" ? !by.startsWith("client.") : !TOLD.has(type);
}

/** What is recorded twice, or behind the end. */
function twiceIn({ id, timeline }: RunInfo): string[] {
  const seen = new Set<string>();
  return timeline.flatMap(({ type, name }) => {
    const isBehind = seen.has("ended ");
    const isTwice = (type === "done" || type === "ended" || type === "took") && seen.has(`${type} ${name}`);
    seen.add(`${type} ${name}`);
    return isBehind || isTwice ? [`${id}: ${type} ${name} is recorded ${isTwice ? "twice" : "behind the end"}`] : [];
  });
}

/** The entries up to number `last`. */
function timelineOf({ timeline }: RunInfo, last = timeline.length - 1): string {
  return timeline.slice(Math.max(0, last - 5), last + 1).map(({ at, by, type, name }) =>
    `${at.toISOString()} ${by} ${type} ${name}`
  ).join("; ");
}

/** Entries that anybody may store. */
const TOLD: ReadonlySet<string> = new Set(["signalled", "cancelled", "told", "retried", "skipped"]);
/** In ms. */
const MAX_STANDING = 5_000;
