/** The tool with `--file`: beside the process of a file, and where no process runs. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterEach, beforeEach, describe, it } from "node:test";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { type Catga, catga, command, entity, event, unwrap, workflow } from "../../mod.ts";
import { cliHere } from "../../test/support/cli_here.ts";
import { eventually } from "../../test/support/eventually.ts";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const Paid = event<{ i: number }>("Paid", { durable: true });
const Remind = command<void, void>("Remind", { durable: true });
const Export = workflow<string, string>("Export", { id: (id) => id });
const Cart = entity("Cart", { initial: () => ({ items: 0 }) });
const Added = Cart.event<{ n: number }>("Added", (cart, { n }) => ({ items: cart.items + n }));
const Add = command<{ cart: string; n: number }, void>("Add", { key: ({ cart }) => cart });

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "catga-cli-"));
  file = join(folder, "shop.db");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const run = (...args: string[]) => cliHere([...args, "--file", file]);
const json = (text: string) => text.trimEnd().split("\n").filter(Boolean).map((line) => JSON.parse(line));

async function app(paid: (i: number) => void = () => {}): Promise<Catga> {
  return await catga({
    ...{ file: { path: file, durability: "process" }, service: "shop", id: "shop-1", logger: quiet },
    handlers: [
      Paid.on(({ i }) => paid(i), { name: "billing", retry: { attempts: 1 } }),
      Remind.handle(() => {}),
      Cart.handle(Add, (cart, { n }) => cart.emit(Added, { n })),
      Export.handle(async (flow) => {
        await flow.sleep("a day", 86_400_000);
        return "done";
      }),
    ],
  });
}

describe("the tool and a file", () => {
  it("shows and changes runs, dead letters and schedules beside the process", { timeout: 300_000 }, async () => {
    let broken = true;
    const handled: number[] = [];
    await using shop = await app((i) => {
      if (broken) throw new Error("the printer");
      handled.push(i);
    });
    unwrap(await shop.publish(Paid, { i: 7 }));
    for (const id of ["a", "b"]) unwrap(await shop.start(Export, id));
    unwrap(await shop.enqueue(Remind, undefined, { delay: 3_600_000, id: "r-1" }));
    const dead = await eventually("the dead letter", async () => json((await run("dead", "--json")).out)[0]);
    assertEquals([dead.subscription, dead.error.code], ["billing", "HANDLER_FAILED"]);
    await eventually("the runs", async () => {
      const runs = json((await run("runs", "--json", "--status", "waiting")).out);
      return runs.map(({ id }) => id).sort().join() === "a,b";
    });
    broken = false;
    assertEquals((await run("dead", "replay", "--yes")).code, 0);
    await eventually("the replay", () => handled.length === 1);
    assertEquals((await run("run", "Export", "a", "cancel", "--reason", "test")).code, 0);
    assertEquals((await shop.result(Export, "a", { timeout: 60_000 })).error?.code, "CANCELLED");
    unwrap(await shop.send(Add, { cart: "c-1", n: 3 }));
    const [about, added] = json((await run("entity", "Cart", "c-1", "--json")).out);
    assertEquals([about.version, added.payload], [1, { n: 3 }]);
    assertStringIncludes((await run("schedules", "--contract", "Remind")).out, "r-1");
    assertEquals((await run("schedules", "cancel", "Remind", "r-1")).code, 0);
    assertEquals((await run("schedules", "cancel", "Remind", "r-1")).code, 1);
    const [node] = json((await run("nodes", "--json")).out);
    assertEquals([node.id, node.service, node.handles.includes("Remind")], ["shop-1", "shop", true]);
    assertMatch((await run("ping", "--count", "2")).out, /shop-1 +shop +2\/2/);
    const [subscription] = json((await run("subscriptions", "--json")).out)
      .filter(({ name }) => name === "billing");
    assertEquals([subscription.lag, subscription.dead, subscription.abandoned], [0, 0, false]);
    const doctor = await run("doctor");
    assertEquals([doctor.code, doctor.err], [0, ""], doctor.out);
    assertStringIncludes(doctor.out, `shop.db, the file of process ${process.pid}`);
    const [top] = json((await run("top", "--once", "--json")).out);
    assertEquals(top.nodes.map(({ node }: { node: string }) => node), ["shop-1"]);
  });

  it("limits: what runs and waits, pauses and numbers beside the process and over its restart", {
    timeout: 300_000,
  }, async () => {
    const gate = Promise.withResolvers<void>();
    const handled: number[] = [];
    const start = () =>
      catga({
        ...{ file: { path: file, durability: "process" }, service: "shop", id: "shop-1", logger: quiet },
        handlers: Paid.on(async ({ i }) => {
          if (i < 2) await gate.promise;
          handled.push(i);
        }, { name: "billing", limit: { name: "bank", key: ({ i }) => i < 100 ? "A" : "B", running: 2 } }),
      });
    const first = await start();
    for (let i = 0; i < 5; i++) unwrap(await first.publish(Paid, { i }));
    const shown = async () => json((await run("limits", "--json")).out)[0];
    await eventually("three to wait", async () => (await shown())?.waiting === 3);
    const { service, subscription, limit, isByKey, program, running, keys, waits } = await shown();
    assertEquals([service, subscription, limit, isByKey], ["shop", "billing", "bank", true]);
    assertEquals([program, running, keys], [{ running: 2 }, 2, 1]);
    assertEquals(waits, [{ key: "A", running: 2, waiting: 3 }]);
    const listed = await run("limits");
    assertMatch(listed.out, /^SERVICE +SUBSCRIPTION +LIMIT +RUNNING +PER +WAITING +KEYS +SET/);
    assertMatch(listed.out, /shop +billing +bank +2 of 2 each +- +3 +1 +-/);
    assertEquals(listed.err, 'shop/billing bank: most wait of the key "A" (3, 2 run)\n');
    const paused = await run("limits", "pause", "bank", "--key", "A", "--reason", "full", "--for", "1h");
    assertEquals([paused.code, paused.out, paused.err], [0, 'paused for the key "A": shop/billing bank\n', ""]);
    assertEquals((await run("limits", "set", "bank", "--per", "5/1m", "--burst", "9")).out.slice(0, 3), "set");
    gate.resolve();
    await eventually("what runs to end", () => handled.length === 2);
    unwrap(await first.publish(Paid, { i: 100 }));
    await eventually("another key", () => handled.includes(100));
    await first.drain();
    await using _ = await start();
    unwrap(await _.publish(Paid, { i: 101 }));
    await eventually("another key after the restart", () => handled.includes(101));
    assertEquals(handled.toSorted((a, b) => a - b), [0, 1, 100, 101]);
    const { out, err } = await run("limits");
    assertMatch(out, /shop +billing +bank +0 of 2 each +5\/1m +3 +\d +1 key paused, numbers/);
    assertMatch(err, /^shop\/billing bank: the key "A" is paused by an operator since \S+Z, until \S+Z: full$/m);
    assertMatch(
      err,
      /^shop\/billing bank: set by an operator since \S+Z: per 5\/1m, burst 9; the program says running 2$/m,
    );
    const subscriptions = await run("subscriptions");
    assertStringIncludes(subscriptions.err, 'shop/billing bank: the key "A" is paused by an operator');
    assertStringIncludes((await run("doctor")).out, "An operator has paused the limit bank of shop/billing");
    const wrong = await run("limits", "resume", "bank");
    assertEquals([wrong.code, wrong.err.includes('these keys are: "A" (--key)')], [1, true], wrong.err);
    assertEquals(
      (await run("limits", "resume", "bank", "--key", "A", "--json")).out,
      [
        ...['{"resume":{"service":"shop","subscription":"billing","limit":"bank"}}\n'],
      ].join(),
    );
    await eventually("all to be handled", () => handled.length === 7);
    assertEquals((await run("limits", "clear", "bank")).out, "as the program says: shop/billing bank\n");
    assertEquals((await shown()).override, undefined);
    for (
      const args of [
        ...[["pause"], ["stop", "bank"], ["set", "bank"], ["set", "bank", "--running", "0"], [
          "clear",
          "bank",
          "--key",
          "A",
        ]],
        ...[["set", "bank", "--per", "5"], ["set", "bank", "--per", "5/x"], ["--running", "3"]],
        ...["null", "NaN", "-1", "1.5", "99999999", ""].map((n) => ["set", "bank", `--running=${n}`]),
        ...["100/2d", "0/1s", "9999999/1s", "1/NaN", "1/0s"].map((rate) => ["set", "bank", `--per=${rate}`]),
      ]
    ) assertEquals((await run("limits", ...args)).code, 2, args.join(" "));
    assertEquals((await run("limits", "pause", "nothing")).code, 1);
  });

  it("works on what an ended process has left, and the next process carries on", async () => {
    const first = await app();
    unwrap(await first.start(Export, "a"));
    await first.drain();
    assertStringIncludes((await run("runs")).out, "Export");
    assertEquals((await run("run", "Export", "a", "cancel", "--reason", "test")).code, 0);
    const doctor = await run("doctor", "--json");
    const kinds = json(doctor.out)[0].findings.map(({ kind }: { kind: string }) => kind);
    assertEquals([doctor.code, kinds.includes("no-nodes")], [1, true]);
    assertEquals((await run("nodes")).out, "");
    await using next = await app();
    assertEquals((await next.result(Export, "a", { timeout: 60_000 })).error?.code, "CANCELLED");
  });

  it("backup, file check and file export", async () => {
    const shop = await app();
    unwrap(await shop.start(Export, "a"));
    const copy = join(folder, "copy.db");
    assertEquals((await run("backup", copy)).code, 0);
    const again = await run("backup", copy);
    assertEquals(again.code, 1);
    assertStringIncludes(again.err, "is there already");
    assertEquals(await run("file", "check"), { code: 0, out: "Nothing is damaged.\n", err: "" });
    await shop.drain();
    file = copy;
    const started = await app();
    assertEquals((await run("runs", "--json")).out.includes('"id":"a"'), true);
    await started.drain();
    const bytes = await readFile(copy);
    // the root pages of the last tables
    bytes.fill(0xff, bytes.length - 8_192);
    await writeFile(copy, bytes);
    const checked = await run("file", "check", "--json");
    const [{ ok, damages }] = json(checked.out);
    assertEquals([checked.code, ok, damages.length > 0], [1, false, true]);
    const exported = await run("file", "export", join(folder, "export.db"));
    assertEquals(exported.code, 0, exported.err);
    file = join(folder, "export.db");
    assertEquals((await run("file", "check")).code, 0);
  });

  it("says what it needs", async () => {
    const missing = await run("runs");
    assertEquals(missing.code, 1);
    assertStringIncludes(missing.err, `there is no file ${file}`);
    const wrong = [["call", "X"], ["setup"], ["watch"], ["bench"]];
    for (const args of wrong) assertEquals((await run(...args)).code, 2, args.join(" "));
    assertEquals((await run("runs", "--nats", "nats://127.0.0.1:1")).code, 2);
    assertEquals((await cliHere(["backup", join(folder, "b.db")])).code, 2);
    assertEquals((await run("file", "mend")).code, 2);
    assert((await cliHere(["runs"], { CATGA_FILE: file })).err.includes("there is no file"));
  });
});
