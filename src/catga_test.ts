/** What `catga()` starts without a network. Tests of whole clusters are in `cluster/`. */
import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { execFile } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { catga } from "./catga.ts";
import { MemoryNetwork } from "./memory/network.ts";
import { command, query } from "./contract/declaration/definition.ts";
import { unwrap } from "./contract/calls/result.ts";

const Double = query<number, number>("Double");

describe("catga: an app without a network", () => {
  it("no options at all", async () => {
    await using app = await catga();
    const { id, service, handles, server } = app.self;
    assertEquals([id.length, service, handles, server], [10, "app", [], ""]);
  });

  it("is its own and only node, with what it was started with", async () => {
    const handlers = Double.handle((n) => n * 2);
    await using app = await catga({ id: "me", service: "shop", metadata: { zone: "a" }, handlers });
    const { id, service, handles, metadata } = app.self;
    assertEquals({ id, service, handles }, { id: "me", service: "shop", handles: ["Double"] });
    assertEquals(metadata, { zone: "a" });
    assertEquals(app.nodes(), [app.self]);
    assert(Object.isFrozen(app.self) && Object.isFrozen(metadata));
    assertEquals(unwrap(await app.send(Double, 21)), 42);
  });

  it("nats: undefined warns once that the node runs alone; left out, or beside a network, it does not", async () => {
    const logged: string[] = [];
    const log = (message: string) => void logged.push(message);
    const logger = { debug: log, info: log, warn: (message: string) => log(`warn: ${message}`), error: log };
    await using island = await catga({ id: "here", nats: undefined, logger, handlers: Double.handle((n) => n * 2) });
    assertEquals(unwrap(await island.send(Double, 2)), 4);
    assertEquals([island.health().connection, island.health().ready], ["none", true]);
    assertEquals(logged, [
      "warn: catga here: nats is undefined: this node runs alone, in memory. Set what `nats` is read from, or leave `nats` out " +
      "to run in memory",
    ]);
    await using _alone = await catga({ logger });
    await using _member = await catga({ nats: undefined, network: new MemoryNetwork(), logger });
    assertEquals(logged.filter((line) => line.startsWith("warn")).length, 1);
  });

  it("watchNodes ends when the signal aborts, and when the app stops", async () => {
    const app = await catga();
    assertEquals((await app.watchNodes({ signal: AbortSignal.abort() }).next()).done, true);
    const watching = app.watchNodes().next();
    await app.drain();
    assertEquals((await watching).done, true);
    assertEquals(app.nodes(), []);
  });

  it("its own timeout stands behind those of sends and contracts", async () => {
    let deadline = 0;
    const Short = command<void, void>("Short", { timeout: 60_000 });
    const Plain = command<void, void>("Plain");
    const note = (_: void, ctx: { deadline: number }) => void (deadline = ctx.deadline);
    await using app = await catga({ timeout: 240_000, handlers: [Short.handle(note), Plain.handle(note)] });
    const sends = [
      [240_000, () => app.send(Plain)],
      [60_000, () => app.send(Short)],
      [120_000, () => app.send(Short, undefined, { timeout: 120_000 })],
    ] as const;
    for (const [whole, send] of sends) {
      const before = Date.now();
      await send();
      const [least, most] = [before + whole - 1_000, Date.now() + whole + 1_000];
      assert(least < deadline && deadline < most, `${deadline} for ${whole} ms, from ${least} to ${most}`);
    }
  });

  // Bun has no permissions
  const permissions = "Deno" in globalThis ? it : () => {};
  permissions("asks Deno for no permission", async () => {
    // it once asked for the host's name
    const main = fileURLToPath(new URL("./catga.ts", import.meta.url));
    const program =
      `import { catga } from "${main}"; await using app = await catga(); console.log(app.nodes().length);`;
    const url = `data:application/typescript,${encodeURIComponent(program.replace(main, `file://${main}`))}`;
    const { stdout } = await promisify(execFile)(process.execPath, ["run", "--no-prompt", "--no-check", url]);
    assertEquals(stdout, "1\n");
  });

  permissions("asks Deno for no permission for a cluster in memory", async () => {
    // it asked for the host's name there, and the first test with the test kit failed
    const kit = new URL("./testing/mod.ts", import.meta.url).href;
    const program = `import { testCluster } from "${kit}"; await using cluster = await testCluster(2, {});` +
      "console.log(cluster.apps[0].nodes().length);";
    const url = `data:application/typescript,${encodeURIComponent(program)}`;
    const { stdout } = await promisify(execFile)(process.execPath, ["run", "--no-prompt", "--no-check", url]);
    assertEquals(stdout, "2\n");
  });
});
