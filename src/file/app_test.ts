/** Apps on a file: what they stored is there for the next one, and one app at a time has the file. */
import { execFile } from "node:child_process";
import { stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import process from "node:process";
import { afterEach, beforeEach, describe, it } from "node:test";
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { catga, CatgaError, command, event, unwrap, workflow } from "../../mod.ts";
import { eventually, standsStill } from "../../test/support/eventually.ts";
import { type TestFolder, testFolder } from "./support_suite.ts";

const Told = event<{ i: number }>("Told", { durable: true });
const Once = command<number, number>("Once", { idempotent: true });
const Sum = workflow<number, number>("Sum");
const Go = command<void, void>("Go");

let folder: TestFolder;
beforeEach(async () => void (folder = await testFolder()));
afterEach(() => folder[Symbol.asyncDispose]());

describe("catga({ file })", () => {
  it("the next app on the file handles what waits, and has results and runs of the one before", async () => {
    const file = join(folder.path, "shop.db");
    const heard: number[] = [];
    let runs = 0;
    const handlers = [
      Told.on(({ i }) => void heard.push(i), { name: "hears" }),
      Once.handle((i) => i + ++runs),
      Sum.handle(async (flow, i) => {
        const more = await flow.step("more", () => i + 1);
        await flow.sleep("pause", 300);
        return more + await flow.step("last", () => 1);
      }),
    ];
    const first = await catga({ handlers, file });
    assertEquals(unwrap(await first.send(Once, 1, { id: "one" })), 2);
    const run = unwrap(await first.start(Sum, 1));
    await first.drain();
    // an app without the handlers: the events wait
    const publisher = await catga({ file, handlers: Go.handle(() => {}) });
    for (const i of [1, 2, 3]) unwrap(await publisher.publish(Told, { i }));
    await publisher.drain();
    await using next = await catga({ handlers, file });
    assertEquals(unwrap(await next.send(Once, 1, { id: "one" })), 2);
    assertEquals(unwrap(await next.result(Sum, run, { timeout: 60_000 })), 3);
    await eventually("the events", () => heard.length === 3);
    assertEquals({ heard, runs }, { heard: [1, 2, 3], runs: 1 });
  });

  it("what a limit has skipped does not come again, and is counted, with the next app on the file", async () => {
    const file = join(folder.path, "shop.db");
    const heard: number[] = [];
    const gate = Promise.withResolvers<void>();
    const handlers = Told.on(async ({ i }) => {
      heard.push(i);
      await gate.promise;
    }, { name: "hears", limit: { running: 1, over: "skip" } });
    const first = await catga({ handlers, file });
    for (const i of [1, 2, 3]) unwrap(await first.publish(Told, { i }));
    await eventually("two to be skipped", async () => (await first.subscriptions())[0].skipped === 2);
    gate.resolve();
    await first.drain();
    await using next = await catga({ handlers, file });
    unwrap(await next.publish(Told, { i: 4 }));
    await eventually("the next one", () => heard.includes(4));
    assertEquals([heard, (await next.subscriptions())[0].skipped], [[1, 4], 2]);
  });

  it("an app that waits writes nothing", async () => {
    const file = join(folder.path, "shop.db");
    await using app = await catga({ file, handlers: Told.on(() => {}, { name: "hears" }) });
    unwrap(await app.publish(Told, { i: 1 }));
    const written = async () => (await stat(`${file}-wal`)).mtimeMs;
    // longer than the interval at which a leader of several nodes renews its lease
    await standsStill("the log of the file to be left alone", written, 1_500);
  });

  it("a second app on the file is refused, and names the process that has it", async () => {
    const file = join(folder.path, "shop.db");
    await using _first = await catga({ file });
    const error = await assertRejects(() => catga({ file }), CatgaError);
    assertEquals(error.code, "UNAVAILABLE");
    assertStringIncludes(error.message, `in use by process ${process.pid}`);
  });

  it("a process that ends by an uncaught error, or by `process.exit`, leaves a file that starts", {
    timeout: 300_000,
  }, async () => {
    const file = join(folder.path, "shop.db");
    for (const [end, code] of [['throw new Error("on purpose")', 1], ["process.exit(3)", 3]] as const) {
      const ended = await runProgram(`
        const Told = event("Told", { durable: true });
        const app = await catga({ file: ${JSON.stringify(file)}, handlers: Told.on(() => {}, { name: "hears" }) });
        if (!(await app.publish(Told, {})).ok) process.exit(9);
        setTimeout(() => { ${end}; });
      `);
      assertEquals(ended.code, code, ended.stderr);
    }
    const heard: number[] = [];
    await using app = await catga({ file, handlers: Told.on(({ i }) => void heard.push(i), { name: "others" }) });
    unwrap(await app.publish(Told, { i: 1 }));
    await eventually("the event", () => heard.includes(1));
  });

  it("a process whose file is removed ends with an error that says so", { timeout: 300_000 }, async () => {
    const file = join(folder.path, "shop.db");
    const { code, stderr } = await runProgram(`
      import { rmSync } from "node:fs";
      const Told = event("Told", { durable: true });
      const app = await catga({ file: ${JSON.stringify(file)}, handlers: Told.on(() => {}, { name: "hears" }) });
      app.closed.catch(() => {});
      rmSync(${JSON.stringify(file)});
      setInterval(() => app.publish(Told, {}), 50);
    `);
    assertEquals(code, 1);
    assertStringIncludes(stderr, "it was removed or moved while this process used it");
  });
});

/** Runs a program on this runtime until it ends. */
async function runProgram(source: string): Promise<{ readonly code: unknown; readonly stderr: string }> {
  const mod = fileURLToPath(new URL("../../mod.ts", import.meta.url));
  const program = join(folder.path, "program.mjs");
  await writeFile(program, `import { catga, event } from ${JSON.stringify(mod)};\n${source}`);
  const config = fileURLToPath(new URL("../../deno.json", import.meta.url));
  const words = "Bun" in globalThis ? [program] : ["run", "-A", "--no-check", "--no-lock", "--config", config, program];
  const cwd = fileURLToPath(new URL("../..", import.meta.url));
  return await new Promise((resolve) => {
    execFile(process.execPath, words, { cwd }, (error, _, stderr) => resolve({ code: error?.code, stderr }));
  });
}
