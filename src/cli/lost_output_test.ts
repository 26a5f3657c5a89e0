/**
 * Tests of the tool as a process whose output goes to a full disk, to nobody, or into a pipe that gets closed or
 * is read late.
 */
import { type ChildProcess, spawn, type StdioOptions } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { assertEquals, assertMatch } from "@std/assert";
import { catga, event, stream } from "../../mod.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { eventually } from "../../test/support/eventually.ts";

const MAIN = fileURLToPath(new URL("./main.ts", import.meta.url));
const MOD = new URL("../../mod.ts", import.meta.url).href;
const WORDS = "Deno" in globalThis ? ["run", "-A", "--no-check", MAIN] : ["run", MAIN];

function start(shell: string, args: readonly string[], stdio: StdioOptions): ChildProcess {
  return spawn("sh", ["-c", shell, process.execPath, ...WORDS, ...args], { stdio });
}

describe("the tool's output", { skip: existsSync("/dev/full") ? false : "there is no /dev/full" }, () => {
  it("that cannot be written is an error that says why (in Bun it ended with 1, without a word)", async () => {
    const child = start('exec "$0" "$@" > /dev/full', ["--help"], ["ignore", "ignore", "pipe"]);
    let said = "";
    child.stderr!.setEncoding("utf8").on("data", (text: string) => said += text);
    const [code] = await once(child, "close");
    assertEquals(code, 1);
    assertMatch(said, /^catga: cannot write what it prints: .*no space left/i);
  });

  it("to standard error that nobody reads changes no exit code (it was 1: failed)", async () => {
    const child = start('exec "$0" "$@"', ["nonsense"], ["ignore", "ignore", "pipe"]);
    child.stderr!.destroy();
    const [code] = await once(child, "close");
    assertEquals(code, 2);
  });
});

describe("the tool's output to a slow reader", () => {
  it("is whole, although the process is ended because a file holds it open (in Bun it was cut)", async () => {
    const folder = await mkdtemp(join(tmpdir(), "catga-slow-"));
    try {
      const file = join(folder, "contracts.mjs");
      await writeFile(
        file,
        `import { command } from ${JSON.stringify(MOD)};
        export default Array.from({ length: 9_999 }, (_, at) => command("Command" + at).handle(() => {}));
        setInterval(() => {}, 1e8);`,
      );
      // the reader begins long after the second that the process may stay open
      const child = start('"$0" "$@" | { sleep 4; cat; }', ["contracts", file], ["ignore", "pipe", "pipe"]);
      let [out, err] = ["", ""];
      child.stdout!.setEncoding("utf8").on("data", (text: string) => out += text);
      child.stderr!.setEncoding("utf8").on("data", (text: string) => err += text);
      await once(child, "close");
      assertEquals(Object.keys(JSON.parse(out).contracts).length, 9_999);
      assertMatch(err, /^catga: a loaded file holds the process open, [^\n]*\n$/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

const { skip } = await requireNatsServer();

describe("the tool's output of a cluster", { skip }, () => {
  it("of watch that cannot be written ends it (in Deno it went on for ever)", { timeout: 300_000 }, async () => {
    await using server = await startNatsServer();
    const Ticked = event<void>("Ticked");
    await using app = await catga({ nats: server.url, handlers: Ticked.on(() => {}) });
    const shell = 'exec "$0" "$@" > /dev/full';
    const child = start(shell, ["watch", "--nats", server.url], ["ignore", "ignore", "pipe"]);
    let said = "";
    child.stderr!.setEncoding("utf8").on("data", (text: string) => said += text);
    const closed = once(child, "close");
    await eventually("it to listen", () => said.includes("listening"));
    await app.publish(Ticked);
    const [code] = await closed;
    assertEquals(code, 1);
    assertMatch(said, /\ncatga: cannot write what it prints: .*no space left[^\n]*\n$/i);
  });

  it("call of a stream leaves the cluster when the pipe is closed (it was an alarm: gone without signing off)", async () => {
    await using server = await startNatsServer();
    const Count = stream<void, number>("Count");
    const count = Count.handle(async function* (_, { clock, signal }) {
      for (let n = 1;; n++) {
        yield n;
        await clock.sleep(1, signal);
      }
    });
    await using app = await catga({ nats: server.url, handlers: count });
    const shell = '"$0" "$@" | { read line; echo "$line"; }';
    const child = start(shell, ["call", "Count", "--nats", server.url], ["ignore", "pipe", "pipe"]);
    let [out, err] = ["", ""];
    child.stdout!.setEncoding("utf8").on("data", (text: string) => out += text);
    child.stderr!.setEncoding("utf8").on("data", (text: string) => err += text);
    const [code] = await once(child, "close");
    assertEquals([code, out, err], [0, "1\n", ""]);
    await eventually("the end of its node", () => app.nodes().length === 1);
    assertEquals(app.health().alarms.map(({ message }) => message), []);
  });
});
