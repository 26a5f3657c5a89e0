import { describe, it } from "node:test";
import { assert, assertEquals, assertLess, assertMatch, assertRejects } from "@std/assert";
import { catga, type CatgaOptions, command, fail, unwrap, workflow } from "@catga/catga";
import type { Flow, Step } from "../contract/calls/flow.ts";
import type { LogFields } from "../contract/nodes/observer.ts";
import { testCluster } from "@catga/catga/testing";
import { eventually } from "../../test/support/eventually.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { counting } from "../../test/support/schemas.ts";
import { infoOf } from "./run_suite.ts";

const Charge = command<{ cents: number }, { receipt: string }, "DECLINED">("Charge", { idempotent: true });
const Refund = command<{ receipt: string }, string>("Refund", { idempotent: true });

/** Makes handlers of payments that record what they did. */
function payments(declined: (id: string) => boolean = () => false) {
  const done: string[] = [];
  const handlers: CatgaOptions["handlers"] = [
    Charge.handle(({ cents }, ctx) => {
      if (declined(ctx.id)) return fail("DECLINED", "no money", { final: true });
      done.push(`charge ${ctx.id}`);
      return { receipt: `r-${cents}` };
    }),
    Refund.handle(({ receipt }, ctx) => {
      done.push(`refund ${ctx.id}`);
      return receipt;
    }),
  ];
  return { done, handlers };
}

const Export = workflow<void>("Export");

describe("workflow", () => {
  it("steps give what their functions returned, and the run what the handler returned", async () => {
    const Sum = workflow<{ a: number; b: number }, { sum: number; at: Date }>("Sum", { id: ({ a }) => `s-${a}` });
    const sum = Sum.handle(async (flow, { a, b }) => {
      const steps: Step[] = [];
      const first = await flow.step("first", (step) => (steps.push(step), a));
      const second = await flow.step("second", (step) => (steps.push(step), b));
      assertEquals(steps.map(({ id, attempt }) => [id, attempt]), [["Sum:s-1:first", 1], ["Sum:s-1:second", 1]]);
      return { sum: first + second, at: new Date(7) };
    });
    await using app = await catga({ handlers: sum });
    assertEquals(unwrap(await app.start(Sum, { a: 1, b: 2 })), "s-1");
    assertEquals(unwrap(await app.result(Sum, "s-1")), { sum: 3, at: new Date(7) });
  });

  it("a handler that awaits for ever what no call of flow returned has failed, and a cancel ends its run", async () => {
    // regression: a run went on for ever, nothing was logged about it, and a cancel changed nothing
    let undone = 0;
    const first = Promise.withResolvers<void>();
    const hangs = Export.handle(async (flow) => {
      await first.promise;
      await flow.step("upload", () => {}, { undo: () => void undone++ });
      await new Promise(() => {});
    });
    await using cluster = await testCluster(1, { handlers: hangs, timeout: 1_000, logger: QUIET });
    const app = cluster.app("node-1");
    unwrap(await app.start(Export, undefined, { id: "7" }));
    await cluster.advance(600);
    first.resolve();
    await cluster.advance(2_000);
    const [{ status, pending: [{ name, attempts }] }] = await Array.fromAsync(app.runs({ id: "7" }));
    assertEquals({ status, name, attempts }, { status: "retrying", name: "", attempts: 1 });
    unwrap(await app.cancel(Export, "7", "it hangs"));
    const { error } = await app.result(Export, "7", { timeout: 10_000 });
    assertEquals({ code: error?.code, undone }, { code: "CANCELLED", undone: 1 });
  });

  it("the same id with the same input is the same run, with another input it is ID_REUSED", async () => {
    const Once = workflow<{ n: number }, number>("Once", { id: () => "one" });
    let ran = 0;
    const once = Once.handle((flow, { n }) => flow.step("count", () => (ran++, n)));
    await using app = await catga({ handlers: once });
    assertEquals(unwrap(await app.start(Once, { n: 1 })), "one");
    assertEquals(unwrap(await app.start(Once, { n: 1 })), "one");
    assertEquals((await app.start(Once, { n: 2 })).error?.code, "ID_REUSED");
    assertEquals(unwrap(await app.result(Once, "one")), 1);
    assertEquals((await app.start(Once, { n: 2 })).error?.code, "ID_REUSED");
    const at = new Date(Date.now() + 3_600_000);
    assertEquals((await app.start(Once, { n: 2 }, { at })).error?.code, "ID_REUSED");
    assertEquals(unwrap(await app.start(Once, { n: 1 }, { at })), "one");
    assertEquals(ran, 1);
  });

  it("a failed run undoes its finished steps, the latest first", async () => {
    const { done, handlers } = payments((id) => id.endsWith("charge 3"));
    const Order = workflow<void, string, "DECLINED">("Order");
    const order = Order.handle(async (flow) => {
      for (const n of [1, 2, 3]) {
        const paid = await flow.send(Charge, { cents: n }, {
          name: `charge ${n}`,
          undo: ({ receipt }) => flow.send(Refund, { receipt }, { name: `refund ${n}` }),
        });
        if (!paid.ok) return paid;
      }
      return "paid";
    });
    await using app = await catga({ handlers: [handlers, order] });
    unwrap(await app.start(Order, undefined, { id: "7" }));
    assertEquals((await app.result(Order, "7")).error?.code, "DECLINED");
    assertEquals(done, [
      "charge Order:7:charge 1",
      "charge Order:7:charge 2",
      "refund Order:7:refund 2",
      "refund Order:7:refund 1",
    ]);
    assertEquals((await infoOf(app, "7")).status, "failed");
  });

  it("steps run in parallel, and a run that fails waits for all of them before it undoes", async () => {
    const events: string[] = [];
    const slow = Promise.withResolvers<void>();
    const Both = workflow<void, void, "NO">("Both");
    const both = Both.handle(async (flow) => {
      const undo = (name: string) => void events.push(`undo ${name}`);
      const running = flow.step("slow", async () => {
        await slow.promise;
        events.push("slow");
        return "slow";
      }, { undo });
      await flow.step("quick", () => (events.push("quick"), "quick"), { undo });
      setTimeout(() => slow.resolve(), 20);
      void running;
      return fail("NO", "no");
    });
    await using app = await catga({ handlers: both });
    const run = unwrap(await app.start(Both));
    assertEquals((await app.result(Both, run)).error?.code, "NO");
    assertEquals(events, ["quick", "slow", "undo slow", "undo quick"]);
  });

  it("two steps of one name are a TypeError", async () => {
    const Twice = workflow<void, string>("Twice");
    const twice = Twice.handle(async (flow) => {
      await flow.step("a", () => 1);
      try {
        await flow.step("a", () => 2);
      } catch (error) {
        return (error as TypeError).name;
      }
      return "none";
    });
    await using app = await catga({ handlers: twice });
    assertEquals(unwrap(await app.result(Twice, unwrap(await app.start(Twice)))), "TypeError");
  });

  it("signals of one name are taken in order, each once, also those that came before", async () => {
    const Chat = workflow<void, string[]>("Chat");
    const Said = Chat.signal<string>("Said");
    const chat = Chat.handle(async (flow) => {
      await flow.sleep("first", 50);
      return [await flow.wait(Said), await flow.wait(Said), await flow.wait(Said)];
    });
    await using app = await catga({ handlers: chat });
    const run = unwrap(await app.start(Chat));
    unwrap(await app.tell(Said, run, "a", { id: "1" }));
    unwrap(await app.tell(Said, run, "a", { id: "1" }));
    unwrap(await app.tell(Said, run, "b"));
    const waiting = app.result(Chat, run);
    unwrap(await app.tell(Said, run, "c"));
    assertEquals(unwrap(await waiting), ["a", "b", "c"]);
    assertEquals((await app.tell(Said, run, "d")).error?.code, "NO_RUN");
    assertEquals((await app.tell(Said, "never", "d")).error?.code, "NO_RUN");
  });

  it("a cancel aborts what runs, undoes what is finished, and ends the run with CANCELLED", async () => {
    const events: string[] = [];
    const begun = Promise.withResolvers<void>();
    const Long = workflow<void, void>("Long");
    const long = Long.handle(async (flow) => {
      await flow.step("first", () => 1, { undo: () => void events.push("undo first") });
      await flow.step("hours", ({ signal }) =>
        new Promise((_, reject) => {
          begun.resolve();
          signal.addEventListener("abort", () => {
            events.push(`aborted ${signal.reason.code}`);
            reject(signal.reason);
          });
        }));
    });
    await using app = await catga({ handlers: long });
    const run = unwrap(await app.start(Long));
    await begun.promise;
    unwrap(await app.cancel(Long, run, "the customer called"));
    const result = await app.result(Long, run);
    assertEquals([result.error?.code, result.error?.message], ["CANCELLED", "the customer called"]);
    assertEquals(events, ["aborted CANCELLED", "undo first"]);
  });

  it("a cancel of a run that waits undoes it", async () => {
    const { done, handlers } = payments();
    const Wait = workflow<void, void>("Wait");
    const Never = Wait.signal("Never");
    const wait = Wait.handle(async (flow) => {
      await flow.send(Charge, { cents: 1 }, { undo: ({ receipt }) => flow.send(Refund, { receipt }) }).then(unwrap);
      await flow.wait(Never);
    });
    await using cluster = await testCluster(2, { handlers: [handlers, wait] });
    const app = cluster.app("node-1");
    unwrap(await app.start(Wait, undefined, { id: "w" }));
    await cluster.advance(1_000);
    assertEquals((await infoOf(app, "w")).status, "waiting");
    unwrap(await cluster.app("node-2").cancel(Wait, "w", "enough"));
    assertEquals((await app.result(Wait, "w")).error?.code, "CANCELLED");
    assertEquals(done, ["charge Wait:w:Charge", "refund Wait:w:Refund"]);
  });

  it("a run that takes longer than its timeout is cancelled with TIMEOUT", async () => {
    const events: string[] = [];
    const Short = workflow<void, void>("Short", { timeout: 20_000 });
    const Never = Short.signal("Never");
    const short = Short.handle(async (flow) => {
      await flow.step("a", () => 1, { undo: () => void events.push("undone") });
      await flow.wait(Never);
    });
    await using cluster = await testCluster(2, { handlers: short });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Short));
    const began = cluster.clock.now();
    assertEquals((await app.result(Short, run, { timeout: 60_000 })).error?.code, "TIMEOUT");
    assertEquals([events, Math.round((cluster.clock.now() - began) / 1_000)], [["undone"], 20]);
  });

  it("a wait ends with undefined after its timeout", async () => {
    const Wait = workflow<void, string>("Wait");
    const Never = Wait.signal<string>("Never");
    const wait = Wait.handle(async (flow) => await flow.wait(Never, { timeout: 30_000 }) ?? "nobody");
    await using cluster = await testCluster(2, { handlers: wait });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Wait));
    assertEquals(unwrap(await app.result(Wait, run, { timeout: 60_000 })), "nobody");
  });

  it("a step that throws is tried again, after pauses that double", async () => {
    const at: number[] = [];
    const Flaky = workflow<void, number>("Flaky");
    await using cluster = await testCluster(2, {
      handlers: Flaky.handle((flow) =>
        flow.step("flaky", ({ attempt }) => {
          at.push(cluster.clock.now());
          if (attempt < 5) throw new Error("not yet");
          return attempt;
        })
      ),
    });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Flaky));
    assertEquals(unwrap(await app.result(Flaky, run, { timeout: 60_000 })), 5);
    const pauses = at.slice(1).map((time, n) => (time - at[n]) / 1_000);
    assert(pauses.every((pause, n) => pause >= 0.75 * 2 ** n - 0.1 && pause <= 2 ** n + 0.5), `${pauses}`);
  });

  it("a step without attempts left is stuck, until an operator has it tried again", async () => {
    let works = false;
    const Stuck = workflow<void, string>("Stuck");
    const handlers = Stuck.handle((flow) =>
      flow.step("charge", () => {
        if (!works) throw new Error("no money");
        return "paid";
      }, { retry: { attempts: 2, delay: [10, 10] } })
    );
    await using cluster = await testCluster(2, { handlers, logger: { debug() {}, info() {}, warn() {}, error() {} } });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Stuck));
    await cluster.advance(2_000);
    const info = await infoOf(app, run);
    assertEquals([info.status, info.pending.map(({ name, attempts, error }) => [name, attempts, error?.message])], [
      "stuck",
      [["charge", 2, "no money"]],
    ]);
    works = true;
    await info.retry();
    assertEquals(unwrap(await app.result(Stuck, run)), "paid");
    await assertRejects(() => info.retry(), Error, "has ended");
  });

  it("an operator skips a stuck step with a value and a reason that stays in the timeline", async () => {
    const Stuck = workflow<void, string>("Stuck");
    const handlers = Stuck.handle((flow) =>
      flow.step("charge", (): string => {
        throw new Error("no money");
      }, { retry: { attempts: 1 } })
    );
    await using cluster = await testCluster(2, { handlers, logger: { debug() {}, info() {}, warn() {}, error() {} } });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Stuck));
    await cluster.advance(2_000);
    await (await infoOf(app, run)).skip("charge", "by hand", "paid by bank transfer");
    assertEquals(unwrap(await app.result(Stuck, run)), "by hand");
    const { timeline } = await infoOf(app, run);
    assertEquals(timeline.find(({ type }) => type === "skipped")?.value, {
      value: "by hand",
      reason: "paid by bank transfer",
    });
  });

  it("a command without a handler is sent again until there is one", async () => {
    const Order = workflow<void, string>("Order");
    const order = Order.handle(async (flow) => {
      const paid = await flow.send(Charge, { cents: 1 });
      return paid.ok ? paid.value.receipt : "declined";
    });
    await using cluster = await testCluster(["a", "b"], { handlers: order });
    const app = cluster.app("a");
    const run = unwrap(await app.start(Order));
    await cluster.advance(30_000);
    assertEquals((await infoOf(app, run)).status, "retrying");
    await cluster.start("c", { handlers: payments().handlers });
    assertEquals(unwrap(await app.result(Order, run, { timeout: 60_000 })), "r-1");
  });

  it("a command with an unknown outcome is stuck, unless it may be sent again", async () => {
    const Plain = command<void, string>("Plain", { timeout: 500 });
    const Order = workflow<void, string>("Order");
    const handlers = [
      Plain.handle(() => new Promise<string>(() => {})),
      Order.handle(async (flow) => {
        const sent = await flow.send(Plain);
        return sent.ok ? sent.value : "failed";
      }),
    ];
    await using cluster = await testCluster(2, { handlers, logger: { debug() {}, info() {}, warn() {}, error() {} } });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Order));
    await cluster.advance(10_000);
    const info = await infoOf(app, run);
    assertEquals([info.status, info.pending[0].error?.code], ["stuck", "OUTCOME_UNKNOWN"]);
  });

  it("another workflow is a step, and tells its end", async () => {
    const Child = workflow<number, number, "ODD">("Child");
    const Parent = workflow<void, [number, string]>("Parent");
    const handlers = [
      Child.handle(async (flow, n) => {
        await flow.sleep("a while", 20_000);
        return n % 2 ? fail("ODD", `${n} is odd`) : n / 2;
      }),
      Parent.handle(async (flow) => {
        const [even, odd] = await Promise.all([
          flow.send(Child, 8, { name: "even" }),
          flow.send(Child, 7, { name: "odd" }),
        ]);
        return [even.ok ? even.value : 0, odd.ok ? "none" : odd.error.code];
      }),
    ];
    await using cluster = await testCluster(2, { handlers });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Parent, undefined, { id: "p" }));
    assertEquals(unwrap(await app.result(Parent, run, { timeout: 60_000 })), [4, "ODD"]);
    assertEquals(unwrap(await app.result(Child, "Parent:p:even")), 4);
  });

  it("a cancel reaches children, and waits for their end", async () => {
    const events: string[] = [];
    const Child = workflow<void, void>("Child");
    const Parent = workflow<void, void>("Parent");
    const handlers = [
      Child.handle(async (flow) => {
        await flow.step("a", () => 1, { undo: () => void events.push("child undone") });
        await flow.sleep("long", 3_600_000);
      }),
      Parent.handle(async (flow) => {
        await flow.step("b", () => 1, { undo: () => void events.push("parent undone") });
        await flow.send(Child);
      }),
    ];
    await using cluster = await testCluster(2, { handlers });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Parent));
    await cluster.advance(1_000);
    unwrap(await app.cancel(Parent, run, "stop"));
    assertEquals((await app.result(Parent, run)).error?.code, "CANCELLED");
    assertEquals(events, ["child undone", "parent undone"]);
  });

  it("a cancel ends a run that is stuck at a child whose input is refused", async () => {
    const Child = workflow<{ n: number }>("Child", {
      input: counting(() => Promise.reject(new Error("not this one"))),
    });
    const Parent = workflow<void>("Parent");
    const undone: string[] = [];
    const handlers = Parent.handle(async (flow) => {
      await flow.step("first", () => 1, { undo: () => void undone.push("first") });
      await flow.send(Child, { n: 1 });
    });
    await using app = await catga({ handlers, logger: QUIET });
    const run = unwrap(await app.start(Parent));
    await eventually("the run is stuck", async () => (await infoOf(app, run)).status === "stuck");
    unwrap(await app.cancel(Parent, run, "enough"));
    assertEquals((await app.result(Parent, run)).error?.code, "CANCELLED");
    assertEquals(undone, ["first"]);
  });

  it("a run whose child has a schema that never settles is stuck (nothing said so)", async () => {
    const input = counting((_: string) => new Promise<never>(() => {}));
    const Child = workflow<string, void>("Child", { input });
    const Parent = workflow<void>("Parent");
    const handlers = Parent.handle(async (flow) => {
      await flow.send(Child, "x");
    });
    await using cluster = await testCluster(1, { handlers, timeout: 1_000 });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Parent));
    await cluster.advance(2_000);
    const { status, pending: [{ error }] } = await infoOf(app, run);
    assertEquals([status, error?.code, error?.message], [
      ...["stuck", "INVALID_MESSAGE"],
      "workflow Child was not started: its schema took longer than 1000 ms",
    ]);
  });

  it("a run whose child has an input that cannot be sent is stuck (nothing said so)", async () => {
    const Child = workflow<unknown>("Child");
    const Parent = workflow<void>("Parent");
    const parent = Parent.handle(async (flow) => {
      await flow.send(Child, { n: () => 1 });
    });
    await using app = await catga({ handlers: [parent, Child.handle(() => {})], logger: QUIET });
    const run = unwrap(await app.start(Parent));
    await eventually("the run is stuck", async () => (await infoOf(app, run)).status === "stuck");
    const [{ name, error }] = (await infoOf(app, run)).pending;
    assertEquals([name, error?.code, error?.message], [
      ...["Child", "INVALID_MESSAGE"],
      "workflow Child was not started: input.n is a function",
    ]);
  });

  it("workflows that wait for each other without end are stuck at the thousandth, and can be cancelled", {
    timeout: 600_000,
  }, async () => {
    const Ping = workflow<number, number>("Ping");
    const Pong = workflow<number, number>("Pong");
    let last = 0;
    const handlers = [
      Ping.handle(async (flow, n) => unwrap(await flow.send(Pong, last = n + 1))),
      Pong.handle(async (flow, n) => unwrap(await flow.send(Ping, last = n + 1))),
    ];
    await using app = await catga({ handlers, logger: QUIET });
    const run = unwrap(await app.start(Ping, 0));
    const stuck = async () => (await Array.fromAsync(app.runs({ status: "stuck" })))[0];
    await eventually("a run is stuck", async () => await stuck() !== undefined, 250_000);
    const { name, error } = (await stuck()).pending[0];
    assertEquals([name, error?.code], ["Ping", "INVALID_MESSAGE"]);
    assertEquals(last, 1_000);
    unwrap(await app.cancel(Ping, run, "enough"));
    assertEquals((await app.result(Ping, run, { timeout: 250_000 })).error?.code, "CANCELLED");
  });

  it("a child does not run when its start comes after its parent was cancelled elsewhere", async () => {
    const thaws = Promise.withResolvers<void>();
    const ran: string[] = [];
    const Child = workflow<string, void>("Child", {
      // this schema delays the first start, as a frozen node does
      input: counting((input: string) => input === "slow" ? thaws.promise.then(() => input) : input),
    });
    const Parent = workflow<void, void>("Parent", { id: () => "p" });
    const handlers = [
      Child.handle((_, input) => void ran.push(input)),
      Parent.handle(async (flow) => void await flow.send(Child, "slow")),
    ];
    await using cluster = await testCluster(2, { handlers });
    const app = cluster.app("node-2");
    const run = unwrap(await cluster.app("node-1").start(Parent));
    await cluster.advance(1_000);
    cluster.pause("node-1");
    unwrap(await app.cancel(Parent, run, "stop"));
    assertEquals((await app.result(Parent, run, { timeout: 60_000 })).error?.code, "CANCELLED");
    cluster.resume("node-1");
    thaws.resolve();
    await cluster.advance(10_000);
    assertEquals(ran, []);
    assertEquals((await app.result(Child, "Parent:p:Child")).error?.message, "stop");
    assertEquals(cluster.log.filter((line) => /stuck/.test(line)), []);
  });

  it("a run whose id is free again gets the end of a child that is still kept", async () => {
    const Child = workflow<string, string>("Child");
    const Parent = workflow<void, string>("Parent", { id: () => "p", keep: 60_000 });
    const handlers = [
      Child.handle((_, input) => `${input} done`),
      Parent.handle(async (flow) => unwrap(await flow.send(Child, "child"))),
    ];
    await using cluster = await testCluster(2, { handlers });
    const app = cluster.app("node-1");
    const end = async () => await app.result(Parent, unwrap(await app.start(Parent)), { timeout: 60_000 });
    assertEquals(await end(), { ok: true, value: "child done" });
    await cluster.leap(3_600_000);
    await cluster.advance(60_000);
    assertEquals((await app.result(Parent, "p")).error?.code, "NO_RUN");
    assertEquals(await end(), { ok: true, value: "child done" });
  });

  it("what a handler changes of a recorded value does not change what is recorded", async () => {
    const Order = workflow<number[], void, "SEEN">("Order", { id: () => "o" });
    let throws = true;
    const added = Order.signal<number[]>("Added");
    const undone: number[][] = [];
    const handlers = Order.handle(async (flow, input) => {
      const seen: number[][] = [];
      const change = (list: number[]) => (seen.push([...list]), list.push(0), list.length);
      const list = await flow.step("list", () => [1], { undo: (given) => void undone.push(given) });
      change(list);
      change(input);
      if (throws) throw (throws = false, new Error("from the top again"));
      await flow.sleep("once", 10_000);
      change(await flow.wait(added));
      await flow.sleep("again", 10_000);
      await flow.step("lengths", () => seen.length);
      return fail("SEEN", "all", { details: seen });
    });
    await using cluster = await testCluster(1, { handlers });
    const app = cluster.app("node-1");
    unwrap(await app.start(Order, [3]));
    unwrap(await app.tell(added, "o", [2]));
    const { error } = await app.result(Order, "o", { timeout: 60_000 });
    assertEquals(error?.details, [[1], [3], [2]]);
    assertEquals(undone, [[1]]);
    const [{ timeline }] = await Array.fromAsync(app.runs({ id: "o" }));
    assertEquals(timeline.find(({ type, name }) => type === "done" && name === "list")?.value, [1]);
  });

  for (const how of ["its time is over", "it is cancelled while another step runs"] as const) {
    it(`a run with a stuck step that has no undo ends when ${how}`, async () => {
      const isLimited = how === "its time is over";
      const Export = workflow<void, void>("Export", isLimited ? { timeout: 20_000 } : {});
      let undone = 0;
      const stuck = (flow: Flow) =>
        flow.step("stuck", () => Promise.reject(new Error("full")), { retry: { attempts: 1 } });
      const handlers = Export.handle(async (flow) => {
        await flow.step("first", () => 1, { undo: () => void undone++ });
        if (isLimited) await stuck(flow);
        await Promise.all([stuck(flow), flow.step("long", () => new Promise<void>(() => {}), { timeout: 86_400_000 })]);
      });
      await using cluster = await testCluster(1, { handlers, logger: QUIET });
      const app = cluster.app("node-1");
      const run = unwrap(await app.start(Export));
      await cluster.advance(1_000);
      if (!isLimited) unwrap(await app.cancel(Export, run, "enough"));
      const { error } = await app.result(Export, run, { timeout: 60_000 });
      assertEquals([error?.message, undone], [
        isLimited ? `run ${run} of Export took longer than 20000 ms` : "enough",
        1,
      ]);
    });
  }

  it("a child is told, asked for and cancelled by its id, which is longer than that of a run may be", async () => {
    const Child = workflow<void, string>("Child");
    const word = Child.signal<string>("word");
    const Parent = workflow<void, string>("Parent");
    const handlers = [
      Child.handle(async (flow) => `${await flow.wait(word)} ${await flow.wait(word)}`),
      Parent.handle(async (flow) => unwrap(await flow.send(Child, undefined, { name: "n".repeat(64) }))),
    ];
    await using cluster = await testCluster(1, { handlers });
    const app = cluster.app("node-1");
    const parent = unwrap(await app.start(Parent, undefined, { id: "p".repeat(128) }));
    await cluster.advance(1_000);
    const id = `Parent:${parent}:${"n".repeat(64)}`;
    unwrap(await app.tell(word, id, "one"));
    unwrap(await app.cancel(Child, id, "enough"));
    assertEquals((await app.result(Child, id)).error?.message, "enough");
  });

  it("a start whose schema never settles ends with the app's timeout", async () => {
    const input = counting((_: string) => new Promise<never>(() => {}));
    const Never = workflow<string, void>("Never", { input });
    await using cluster = await testCluster(1, { handlers: Never.handle(() => {}), timeout: 1_000 });
    const { error } = await cluster.app("node-1").start(Never, "x");
    assertEquals([error?.code, error?.retryable], ["UNAVAILABLE", true]);
  });

  it("an id that rejects, where only a string is one, ends no process", async () => {
    const Booked = workflow("Booked", { id: () => Promise.reject(new Error("no id")) as never });
    await using app = await catga({ handlers: Booked.handle(() => {}) });
    assertEquals((await app.start(Booked, undefined)).error?.code, "INVALID_MESSAGE");
  });

  it("an invalid call of flow whose handler awaits it later ends no process", async () => {
    const Twice = workflow<void, void>("Twice");
    const handlers = Twice.handle(async (flow) => {
      const all = [1, 2].map((n) => flow.step("same", () => n));
      await flow.sleep("a while", 10);
      await Promise.all(all);
    });
    await using cluster = await testCluster(1, { handlers });
    const app = cluster.app("node-1");
    unwrap(await app.start(Twice));
    await cluster.advance(1_000);
    const [{ status, pending }] = await Array.fromAsync(app.runs());
    assertEquals(status, "stuck");
    assert(/has a step "same" already/.test(pending[0].error?.message ?? ""));
  });

  it("four days of retries pass without the heartbeats of four days", async () => {
    const DAY = 86_400_000;
    let charges = 0;
    const Order = workflow<void, string, "DECLINED">("Order");
    const handlers = Order.handle(async (flow) => {
      for (let n = 1;; n++) {
        const paid = await flow.step(`charge ${n}`, () => charges++ === 4);
        if (paid) return `after ${n - 1} days`;
        await flow.sleep(`before ${n + 1}`, DAY);
      }
    });
    await using cluster = await testCluster(2, { handlers });
    const app = cluster.app("node-1");
    const [start, began] = [cluster.clock.now(), cluster.clock.monotonic()];
    const run = unwrap(await app.start(Order));
    for (let day = 1; day <= 4; day++) {
      while ((await infoOf(app, run)).status !== "waiting") await cluster.advance(10);
      await cluster.leap(DAY);
      while (charges === day) await cluster.advance(10);
    }
    assertEquals(unwrap(await app.result(Order, run)), "after 4 days");
    assert(cluster.clock.now() - start >= 4 * DAY);
    assert(cluster.clock.monotonic() - began < 20_000);
  });

  it("each of the runs wakes whose ids and steps read the same together, and one with the longest id", async () => {
    const Nap = workflow<string, string>("Nap");
    const Watch = workflow<string, string>("Watch".repeat(9), { id: () => "🍵".repeat(64) });
    const handlers = [
      Nap.handle(async (flow, step) => {
        await flow.sleep(step, 10_000);
        return flow.id;
      }),
      Watch.handle(async (flow, step) => unwrap(await flow.send(Nap, step, { name: "n".repeat(64) }))),
    ];
    await using cluster = await testCluster(2, { handlers });
    const app = cluster.app("node-1");
    const naps = [["a", "b:c"], ["a:b", "c"], ["start a", "d"]];
    for (const [id, step] of naps) unwrap(await app.start(Nap, step, { id }));
    const at = new Date(cluster.clock.now() + 10_000);
    unwrap(await app.start(Nap, "e", { id: "a:d", at })); // a start at a later time is stored as a schedule, too
    const watch = unwrap(await app.start(Watch, "s".repeat(64)));
    await cluster.advance(40_000);
    const ends = await Promise.all(naps.map(([id]) => app.result(Nap, id, { timeout: 1 })));
    assertEquals(ends.map((end) => end.value), ["a", "a:b", "start a"]);
    assertEquals((await app.result(Nap, "a:d", { timeout: 1 })).value, "a:d");
    assertEquals((await app.result(Watch, watch, { timeout: 1 })).value?.length, 239);
  });

  it("a run goes on at another node when its own is killed", async () => {
    const began: string[] = [];
    const Order = workflow<void, string>("Order");
    await using cluster = await testCluster(3, {
      node: (id) => ({
        handlers: Order.handle(async (flow) => {
          await flow.step("first", () => began.push(`first ${id}`));
          return await flow.step("second", () => {
            began.push(`second ${id}`);
            return began.length < 3 ? new Promise<string>(() => {}) : id;
          }, { timeout: 3_600_000 });
        }),
      }),
    });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Order));
    await cluster.advance(100);
    assertEquals(began, ["first node-1", "second node-1"]);
    cluster.kill("node-1");
    const killed = cluster.clock.now();
    const other = unwrap(await cluster.app("node-2").result(Order, run, { timeout: 60_000 }));
    assert(other !== "node-1" && cluster.clock.now() - killed < 5_000, `${other} ${cluster.clock.now() - killed}`);
  });

  for (const ms of [20, 1_000]) {
    it(`runs that were started together go on at other nodes when theirs is killed ${ms} ms later`, async () => {
      const Order = workflow<void, string>("Order");
      await using cluster = await testCluster(3, {
        node: (id) => ({
          handlers: Order.handle((flow) =>
            flow.step("pay", () => id === "node-1" ? new Promise<string>(() => {}) : id, { timeout: 3_600_000 })
          ),
        }),
      });
      const app = cluster.app("node-1");
      const runs = (await Promise.all(Array.from({ length: 5 }, () => app.start(Order)))).map(unwrap);
      await cluster.advance(ms);
      cluster.kill("node-1");
      const killed = cluster.clock.now();
      const results = await Promise.all(
        runs.map((run) => cluster.app("node-2").result(Order, run, { timeout: 60_000 })),
      );
      for (const result of results) assert(unwrap(result) !== "node-1");
      assertLess(cluster.clock.now() - killed, 10_000);
    });
  }

  it("a signal has a run go on at once at its node, while its subscription has no leader", async () => {
    const Gate = workflow<void, string>("Gate");
    const Open = Gate.signal("Open");
    const handlers = Gate.handle(async (flow) => (await flow.wait(Open), await flow.step("in", () => "opened")));
    await using cluster = await testCluster(3, { handlers });
    await cluster.advance(5_000);
    const subscriptions = await cluster.app("node-1").subscriptions();
    const leader = subscriptions.find(({ contracts }) => contracts.includes("Gate-run.called"))!.leader!;
    const app = cluster.app(leader === "node-1" ? "node-2" : "node-1");
    const run = unwrap(await app.start(Gate));
    await cluster.advance(1_000);
    assertEquals((await infoOf(app, run)).status, "waiting");
    cluster.pause(leader);
    const began = cluster.clock.now();
    unwrap(await app.tell(Open, run));
    assertEquals(unwrap(await app.result(Gate, run)), "opened");
    assertLess(cluster.clock.now() - began, 500);
  });

  it("a command with an unknown outcome is sent again under its id if it is idempotent", async () => {
    const Pay = command<void, string>("Pay", { idempotent: true });
    const Order = workflow<void, string>("Order");
    const order = Order.handle(async (flow) => {
      const paid = await flow.send(Pay);
      return paid.ok ? paid.value : "failed";
    });
    const ids: string[] = [];
    const pay = (hangs: boolean) =>
      Pay.handle((_, { id }) => {
        ids.push(id);
        return hangs ? new Promise<string>(() => {}) : "paid";
      });
    await using cluster = await testCluster(["order", "pay"], {
      node: (id) => ({ handlers: id === "order" ? order : pay(true) }),
    });
    const app = cluster.app("order");
    const run = unwrap(await app.start(Order));
    await cluster.advance(1_000);
    cluster.kill("pay");
    await cluster.start("pay-2", { handlers: pay(false) });
    assertEquals(unwrap(await app.result(Order, run, { timeout: 120_000 })), "paid");
    assertEquals(ids, [`Order:${run}:Pay`, `Order:${run}:Pay`]);
  });

  it("a step that cannot reach what it calls is tried again at pauses of a fifth of the time that this lasts", async () => {
    const Order = workflow<void, string>("Order");
    const order = Order.handle(async (flow) => (await flow.send(Charge, { cents: 1 })).ok ? "paid" : "declined");
    await using cluster = await testCluster(1, { handlers: order });
    const [app] = cluster.apps;
    const run = unwrap(await app.start(Order));
    await cluster.advance(90_000);
    const failed = (await infoOf(app, run)).timeline.filter(({ type }) => type === "failed").map(({ at }) =>
      at.getTime()
    );
    const lasted = failed.at(-1)! - failed[0];
    const pause = failed.at(-1)! - failed.at(-2)!;
    assert(pause > lasted / 10 && pause < lasted / 2, `${failed.map((at) => at - failed[0])}`);
  });

  it("a stuck run is logged as an error, with what was thrown", async () => {
    const errors: string[] = [];
    const thrown: unknown[] = [];
    const handlers = Export.handle((flow) =>
      flow.step("upload", () => {
        throw new Error("the disk is full");
      }, { retry: { attempts: 1 } })
    );
    const error = (message: string, fields: LogFields) => {
      errors.push(message);
      thrown.push(fields.error);
    };
    const logger = { debug() {}, info() {}, warn() {}, error };
    await using app = await catga({ handlers, logger });
    const run = unwrap(await app.start(Export));
    while ((await infoOf(app, run)).status !== "stuck") await app.clock.sleep(5);
    const logged = errors.filter((text) => text.includes(`run ${run} of Export is stuck`));
    assertEquals(logged.length, 1, errors.join("\n"));
    assert(logged[0].includes("the disk is full"), logged[0]);
    assertMatch((thrown[errors.indexOf(logged[0])] as Error).stack!, /flow_test/);
  });

  for (const cure of ["retry", "skip", "cancel"] as const) {
    it(`a stuck run is an alarm at one node, and none when it goes on: ${cure}`, async () => {
      let works = false;
      const Go = Export.signal<void>("go");
      const handlers = Export.handle(async (flow) => {
        const upload = flow.step("upload", () => {
          if (!works) throw new Error("the disk is full");
        }, { retry: { attempts: 1 } });
        await Promise.all([upload, flow.wait(Go)]);
        await flow.sleep("rest", 3_600_000);
      });
      const logger = { debug() {}, info() {}, warn() {}, error() {} };
      await using cluster = await testCluster(3, { handlers, logger });
      const apps = ["node-1", "node-2", "node-3"].map((id) => cluster.app(id));
      const run = unwrap(await apps[0].start(Export));
      const alarms = () => apps.flatMap((app) => app.health().alarms.map(({ kind, about }) => `${kind} ${about}`));
      await cluster.advance(5_000);
      assertEquals(alarms(), ["run-stuck Export"]);
      unwrap(await apps[1].tell(Go, run));
      await cluster.advance(5_000);
      assertEquals([alarms(), (await infoOf(apps[0], run)).status], [["run-stuck Export"], "stuck"]);
      works = true;
      const info = await infoOf(apps[2], run);
      if (cure === "retry") await info.retry();
      else if (cure === "skip") await info.skip("upload", null, "sent by hand");
      else await apps[2].cancel(Export, run, "nobody needs it");
      await cluster.advance(1_000);
      assertEquals(alarms(), []);
    });
  }

  it("what an operator has tried again, and no node does yet, is pending now (it was until the year 1970)", async () => {
    const handlers = Export.handle((flow) =>
      flow.step("upload", () => {
        throw new Error("the disk is full");
      }, { retry: { attempts: 1 } })
    );
    const node = (id: string) => id === "worker" ? { handlers, logger: QUIET } : {};
    await using cluster = await testCluster(["worker", "client"], { node });
    const client = cluster.app("client");
    const run = unwrap(await client.start(Export));
    await cluster.advance(1_000);
    const stuck = await infoOf(client, run);
    assertEquals(stuck.status, "stuck");
    cluster.kill("worker");
    await stuck.retry();
    const { status, pending: [{ name, next }] } = await infoOf(client, run);
    assertEquals([status, name, next], ["retrying", "upload", undefined]);
  });

  it("a node that was frozen while another went on with its stuck run does not report it", async () => {
    let works = false;
    const handlers = Export.handle((flow) =>
      flow.step("upload", () => {
        if (!works) throw new Error("the disk is full");
      }, { retry: { attempts: 1 } })
    );
    const logger = { debug() {}, info() {}, warn() {}, error() {} };
    await using cluster = await testCluster(2, { handlers, logger });
    const apps = ["node-1", "node-2"].map((id) => cluster.app(id));
    const run = unwrap(await apps[0].start(Export));
    const kinds = () =>
      apps.map((app) => app.health().alarms.map(({ kind }) => kind).filter((each) => each === "run-stuck"));
    await cluster.advance(5_000);
    assertEquals(kinds(), [["run-stuck"], []]);
    cluster.pause("node-1");
    await cluster.advance(30_000);
    works = true;
    await (await infoOf(apps[1], run)).retry();
    unwrap(await apps[1].result(Export, run));
    cluster.resume("node-1");
    await cluster.advance(1_000);
    kinds(); // this call has the stuck runs checked
    await cluster.advance(4_000);
    assertEquals(kinds(), [[], []]);
  });

  it("a node that was frozen loses the run, and its step aborts", async () => {
    const events: string[] = [];
    const Order = workflow<void, string>("Order");
    await using cluster = await testCluster(3, {
      node: (id) => ({
        handlers: Order.handle((flow) =>
          flow.step("work", ({ signal }) => {
            events.push(`begun ${id}`);
            if (events.length > 1) return id;
            return new Promise((resolve) => {
              signal.addEventListener("abort", () => (events.push(`aborted ${id}`), resolve(id)));
            });
          }, { timeout: 3_600_000 })
        ),
      }),
    });
    const run = unwrap(await cluster.app("node-1").start(Order));
    await cluster.advance(100);
    cluster.pause("node-1");
    const won = unwrap(await cluster.app("node-2").result(Order, run, { timeout: 120_000 }));
    assert(won !== "node-1");
    cluster.resume("node-1");
    await cluster.advance(20_000);
    assertEquals(events, ["begun node-1", `begun ${won}`, "aborted node-1"]);
  });

  it("a node that was frozen puts off no attempt of the run that it has lost (by up to the longest pause)", async () => {
    const Order = workflow<void, string>("Order");
    const logger = { debug() {}, info() {}, warn() {}, error() {} };
    const late = Promise.withResolvers<string>();
    let attempts = 0;
    const work = () => {
      if (++attempts === 1) return late.promise;
      if (attempts === 2) throw new Error("the disk is full");
      return "done";
    };
    const handlers = Order.handle((flow) => flow.step("work", work, { retry: { delay: [60_000, 60_000] } }));
    await using cluster = await testCluster(2, { handlers, logger });
    const [one, two] = cluster.apps;
    const run = unwrap(await one.start(Order));
    await cluster.advance(100);
    cluster.pause("node-1");
    const nextOf = async () => (await infoOf(two, run)).pending[0]?.next?.getTime();
    while (await nextOf() === undefined) await cluster.advance(1_000);
    const next = (await nextOf())!;
    await cluster.advance(next - cluster.clock.now() - 5_000);
    late.reject(new Error("too late"));
    cluster.resume("node-1");
    assertEquals(unwrap(await two.result(Order, run, { timeout: 120_000 })), "done");
    assertLess(cluster.clock.now() - next, 1_000);
  });
});
