/** Tests that `catga doctor` finds planted faults of contracts, messages, subscriptions, schedules and runs. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { after, before, describe, it } from "node:test";
import { command, event, fail, type Limit, unwrap, workflow } from "../../../mod.ts";
import { requireNatsServer } from "../../../tools/nats_server.ts";
import { cliHere } from "../../../test/support/cli_here.ts";
import { Doctored, kinds } from "../../../test/support/doctored.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { PATIENT } from "../../../test/support/patient.ts";

const Charge = command<{ n: number }>("bank.Charge", { durable: true });
const Placed = event<{ n: number }>("orders.Placed", { durable: true });

describe("catga doctor: messages", { timeout: 240_000, ...await requireNatsServer() }, () => {
  let on: Doctored;
  before(async () => {
    on = await Doctored.start();
  });
  after(() => on?.[Symbol.asyncDispose]());

  it("a contract that nobody handles, with how many wait", async () => {
    const worker = await on.app("away", { id: "w-1", service: "w", handlers: Charge.handle(() => {}) });
    const app = await on.app("away");
    unwrap(await app.enqueue(Charge, { n: 0 }));
    await eventually("its end", async () => (await app.subscriptions())[0]?.lag === 0);
    await worker.drain();
    unwrap(await app.enqueue(Charge, { n: 1 }));
    // this message is not for Charge, but stands in the log before the last message for Charge
    unwrap(await app.publish(Placed, { n: 2 }));
    unwrap(await app.enqueue(Charge, { n: 3 }));
    const [found, ...more] = await on.findings("away");
    assertEquals([found.kind, found.about, more.length], ["no-node", "bank.Charge", 0]);
    assertMatch(found.message, /^Nobody handles bank\.Charge\. Up to 3 messages wait\.$/);
  });

  it("a queued command that no node ever handled, and no event without a subscription", async () => {
    const app = await on.app("early");
    unwrap(await app.enqueue(Charge, { n: 1 }));
    unwrap(await app.publish(Placed, { n: 1 }));
    await app.drain();
    const found = await on.findings("early");
    assertEquals(kinds(found), ["no-nodes nodes", "no-node bank.Charge"]);
    assertMatch(found[1].message, /^Nobody has handled bank\.Charge yet, and commands of it wait\.$/);
  });

  it("dead letters, with what their handler threw", async () => {
    const handlers = Placed.on(() => {
      throw new TypeError("no card");
    }, { name: "mails", retry: { attempts: 1, delay: [1, 1] } });
    const app = await on.app("dead", { handlers });
    unwrap(await app.publish(Placed, { n: 1 }));
    await eventually("the letter", async () => (await app.subscriptions())[0]?.dead === 1);
    const found = (await on.findings("dead")).find(({ kind }) => kind === "dead-letters");
    assertMatch(found!.message, /^1 message of orders\.Placed could not be handled by a\/mails.*TypeError: no card$/);
    assertMatch(found!.cause!, /^TypeError: no card\n +at .*doctor_messages_test\.ts/);
  });

  it("settings of a limit that the program has not any more, and of one whose program is stopped", async () => {
    const start = (limit?: Limit<{ n: number }>) =>
      on.app("limited", { id: "w-1", service: "w", handlers: Placed.on(() => {}, { name: "mails", limit }) });
    const app = await on.app("limited");
    const found = async () => (await on.findings("limited")).filter(({ kind }) => kind === "limit-set");
    const first = await start({ name: "bank", running: 2 });
    unwrap(await app.publish(Placed, { n: 1 }));
    await eventually("its record", async () => (await app.subscriptions())[0]?.lag === 0);
    const limits = async (...args: string[]) => (await cliHere(["limits", ...args, ...on.args("limited")])).code;
    assertEquals(await limits("set", "bank", "--running", "1"), 0);
    assertEquals(await found(), []); // of today
    await first.drain();
    const stopped = await found();
    assertEquals(stopped.map(({ about, message }) => [about, message]), [
      [
        "w/mails bank",
        "An operator has set something of the limit w/mails bank, and no program of w/mails runs.",
      ],
    ]);
    assertMatch(stopped[0].advice, /^It counts again when its program starts\./);
    const without = await start();
    const [gone, ...more] = await found();
    assertEquals([gone.message, more.length], [
      "An operator has set something of the limit w/mails bank, which the running programs do not have.",
      0,
    ]);
    assertEquals(gone.advice, "Take it back: catga limits clear.");
    assertEquals(await limits("clear", "bank"), 0); // what it advises is possible
    await without.drain();
  });

  it("a subscription that no program has any more", async () => {
    const app = await on.app("renamed");
    const old = await on.app("renamed", { id: "old", handlers: Placed.on(() => {}, { name: "mails" }) });
    unwrap(await app.publish(Placed, { n: 1 }));
    await eventually("its end", async () => (await app.subscriptions())[0]?.lag === 0);
    await old.drain();
    unwrap(await app.publish(Placed, { n: 2 }));
    const found = kinds(await on.findings("renamed"));
    assertEquals(found.includes("subscription-abandoned a/mails"), true, found.join());
  });

  it("a stream that is nearly full", async () => {
    const app = await on.app("full", { handlers: Placed.on(() => {}) });
    unwrap(await app.publish(Placed, { n: 1 }));
    const info = (await on.admin.request("$JS.API.STREAM.INFO.catga_full_log", "", PATIENT)).json<{ config: object }>();
    await on.api("STREAM.UPDATE.catga_full_log", { ...info.config, max_bytes: 20_000 });
    for (let n = 0; n < 40; n++) unwrap(await app.enqueue(Charge, { n: Number(`1${"0".repeat(20)}${n}`) }));
    for (let n = 0; n < 60; n++) unwrap(await app.publish(Placed, { n, text: "x".repeat(200) } as { n: number }));
    const found = await on.findings("full");
    assertEquals(kinds(found).filter((each) => each.startsWith("stream-full")), ["stream-full catga_full_log"]);
  });

  it("a schedule that fires for nobody", async () => {
    const app = await on.app("later");
    unwrap(await app.enqueue(Charge, { n: 1 }, { id: "monthly", delay: 3_600_000 }));
    const [found] = await on.findings("later");
    assertEquals([found.kind, found.about], ["schedule-unhandled", "bank.Charge"]);
  });

  it("a start of a workflow that no node handles: the schedule can be cancelled (it said: its runs, and there are none)", async () => {
    const app = await on.app("asleep");
    unwrap(await app.start(workflow("Order"), undefined, { at: new Date(Date.now() + 3_600_000) }));
    const [{ kind, message, advice }] = await on.findings("asleep");
    assertEquals(kind, "schedule-unhandled");
    assertEquals(message, "No node handles workflow Order, which is scheduled.");
    assertEquals(advice, "Start a node that does, or cancel the schedule: catga schedules cancel.");
  });

  it("runs that wait while no node handles their workflow: the advice is not to cancel what wakes them", async () => {
    const Nap = workflow<void, void>("Nap");
    const app = await on.app("napping", { handlers: Nap.handle((flow) => flow.sleep("night", 3_600_000)) });
    const run = unwrap(await app.start(Nap));
    const status = async () => (await Array.fromAsync(app.runs({ id: run })))[0]?.status;
    await eventually("its sleep", async () => await status() === "waiting");
    await app.drain();
    const found = (await on.findings("napping")).find(({ kind }) => kind === "schedule-unhandled");
    assertEquals(found?.advice, "Start a node that does, or cancel its runs: catga run.");
  });

  it("a run whose wake-up schedule was removed, once it was due; retry has it go on", async () => {
    const Nap = workflow<void, string>("Nap");
    const handlers = Nap.handle(async (flow) => {
      await flow.sleep("night", 3_600_000);
      return "awake";
    });
    const app = await on.app("removed", { handlers });
    unwrap(await app.start(Nap, undefined, { id: "n-1" }));
    const subject = "catga.removed.entity.Nap-run.n-1";
    const text = await eventually("the sleep to be stored", async () => {
      const body = JSON.stringify({ last_by_subj: subject });
      const answer = await on.admin.request("$JS.API.STREAM.MSG.GET.catga_removed_entities", body, PATIENT);
      const data = atob(answer.json<{ message?: { data: string } }>().message?.data ?? "");
      return data.includes('"slept"') ? data : undefined;
    });
    await on.api("STREAM.PURGE.catga_removed_log", { filter: "catga.removed.at.>" });
    assertEquals(await on.findings("removed"), []); // the run is not due yet
    // makes the run overdue: its sleep `night` has ended two minutes ago. The last stored message is a second sleep
    // `week`, which is not due
    on.admin.publish(subject, text!.replace(/("until":)\d+/, `$1${Date.now() - 120_000}`));
    on.admin.publish(subject, text!.replace('"night"', '"week"'));
    await on.admin.flush();
    const [{ kind, about, message, advice }, ...more] = await on.findings("removed");
    assertEquals([kind, about, more], ["run-late", "Nap n-1", []]);
    assertEquals(message, "Runs were due over a minute ago, and nothing woke them: Nap n-1.");
    assertEquals(advice, "Have each go on: catga run WORKFLOW ID retry.");
    assertEquals((await cliHere(["run", "Nap", "n-1", "retry", ...on.args("removed")])).code, 0);
    assertEquals(unwrap(await app.result(Nap, "n-1")), "awake");
    assertEquals(await on.findings("removed"), []);
  });

  it("a cron that begins like a date is not overdue", async () => {
    const app = await on.app("often", { handlers: Charge.handle(() => {}) });
    unwrap(await app.enqueue(Charge, { n: 1 }, { id: "often", cron: "*/5 * * * * *" }));
    assertEquals(await on.findings("often"), []);
  });

  it("prints hostile text as text, and what to do in a line", async () => {
    const bad = "\x1b[2J\u202e<b>";
    const handlers = Placed.on(() => fail("ODD", bad, { final: true }), { name: "mails" });
    const app = await on.app("hostile", { handlers });
    unwrap(await app.publish(Placed, { n: 1 }));
    await eventually("the letter", async () => (await app.subscriptions())[0]?.dead === 1);
    const { code, out } = await cliHere(["doctor", ...on.args("hostile")]);
    assertEquals(code, 1);
    // deno-lint-ignore no-control-regex
    assert(!/[\x1b\u202e]/.test(out) && out.includes("\\u{1b}"), out);
    assertMatch(out, /\n {9}Mend the cause, then replay them; .* \(catga docs alarms#dead-letters\)\n/);
  });
});
