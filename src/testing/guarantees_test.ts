import { assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { command, entity, event, query, workflow } from "../../mod.ts";
import { explore } from "./explore.ts";
import { breachesOf, type Guaranteed, guarantees } from "./guarantees.ts";
import {
  BrokenPromise,
  type HandlerAttempt,
  type History,
  type HistoryOperation,
  type HistoryOutcome,
} from "./history.ts";

const Pay = command<{ cents: number }, string>("Pay", { idempotent: true });
const Note = command<{ text: string }, string>("Note", { timeout: 5_000 });
const Ask = query<void, string>("Ask");
const Paid = event<{ cents: number }>("Paid", { durable: true, key: () => "one" });
const Order = workflow<void, string>("Order");
const Cart = entity("Cart", { initial: () => 0 });
const Added = Cart.event<{ sku: string }>("Added", (count) => count + 1);
const Add = command<{ cart: string; sku: string }, number>("Add", { key: ({ cart }) => cart });

const ok = (value: unknown): HistoryOutcome => ({ type: "ok", value });
const failed = (code: string): HistoryOutcome => ({ type: "failed", code, message: "planted" });

/** A history that holds only what a test adds to it. */
class Written implements History {
  readonly seed = 1;
  readonly operations: HistoryOperation[] = [];
  readonly attempts: HandlerAttempt[] = [];
  readonly steps = [];
  readonly locks: History["locks"][number][] = [];
  readonly terms: History["terms"][number][] = [];
  readonly faults: History["faults"][number][] = [];
  readonly processes: History["processes"][number][] = [];
  readonly runs = [];
  readonly deadLetters = [];
  #place = 0;

  send({ name, kind }: typeof Pay | typeof Note | typeof Ask, id: string, outcome: HistoryOutcome, lasts = 10): this {
    const span = this.#span(lasts);
    this.operations.push({
      ...{ ...span, number: this.operations.length, method: "send", kind, contract: name, key: undefined, id },
      ...{ input: undefined, options: undefined, node: "client-1", step: undefined, by: undefined, outcome } as const,
    });
    return this;
  }

  load(version: number, state: unknown, node: string): this {
    const of = { method: "load", kind: "entity", contract: "Cart", key: "a", id: undefined } as const;
    this.operations.push({
      ...{ ...this.#span(1), number: this.operations.length, ...of, input: undefined, options: undefined, node },
      ...{ step: undefined, by: undefined, outcome: ok({ id: "a", version, state }) },
    });
    return this;
  }

  run(
    { name, kind }: typeof Pay | typeof Note | typeof Ask,
    id: string,
    outcome: HistoryOutcome,
    node = "app-1",
  ): this {
    this.attempts.push({
      ...{ ...this.#span(1), type: "attempt", kind, contract: name, entity: undefined, key: undefined, id, attempt: 1 },
      ...{ input: undefined, batch: undefined, node, process: 1, subscription: undefined, position: undefined },
      ...{ fence: undefined, operation: undefined, outcome },
    } as HandlerAttempt);
    return this;
  }

  hold(node: string, token: number, began: number, ended: number): this {
    const span = { began, ended, start: began, end: ended };
    this.locks.push({ ...span, keys: ["k"], token, node, process: 1, endedBy: "release", by: undefined } as never);
    return this;
  }

  lead(node: string, began: number, ended: number): this {
    this.terms.push({ began, ended, start: began, end: ended, name: "mails", node, process: 1 } as never);
    return this;
  }

  fault(fault: string, node: string, began: number, ended: number): this {
    this.faults.push({ fault, node, began, ended, start: began, end: ended, detail: undefined } as never);
    this.processes.push({ began: 0, ended: undefined, start: 0, end: undefined, node, process: 1, deploy: 0 } as never);
    return this;
  }

  #span(lasts: number) {
    const began = this.#place;
    this.#place += 2;
    return { began, ended: began + 1, start: began * 100, end: began * 100 + lasts };
  }
}

const lines = (history: History, ...promised: Guaranteed[]) =>
  breachesOf(history, promised).map(({ promise, subject, text }) => `${promise}: ${subject} ${text}`);

describe("guarantees", () => {
  it("finds a command that ran twice, and a result that its run did not give", () => {
    const right = new Written().send(Note, "a", ok("noted")).run(Note, "a", ok("noted"));
    assertEquals(lines(right, Note), []);
    assertEquals(lines(right.run(Note, "a", ok("noted"), "app-2"), Note).length, 3);
    const other = new Written().send(Note, "a", ok("noted")).run(Note, "a", ok("other"));
    assertEquals(lines(other, Note), [
      "the result agrees with the runs: command Note a of client-1 told noted, its run other",
    ]);
    const ran = new Written().send(Note, "a", failed("UNAVAILABLE")).run(Note, "a", ok("noted"));
    assertEquals(lines(ran, Note).length, 1);
    assertEquals(lines(ran), []); // without the contract's name, no guarantee about its runs is checked
  });

  it("finds a send that ends behind its deadline, unless its node was frozen", () => {
    const late = () => new Written().send(Note, "a", failed("OUTCOME_UNKNOWN"), 6_000);
    assertEquals(lines(late(), Note), [
      "a send ends by its deadline: command Note a of client-1 settled at 6000, after its deadline 5000",
    ]);
    assertEquals(lines(late().fault("freeze", "client-1", 4_000, 5_990), Note), []);
    assertEquals(lines(late().fault("cut", "client-1", 4_000, 5_990), Note).length, 1);
  });

  it("accepts failures of a query's handler, and several runs of a query", () => {
    const history = new Written().send(Ask, "a", failed("NOT_FOUND")).run(Ask, "a", failed("NOT_FOUND"));
    assertEquals(lines(history.run(Ask, "a", ok("later"), "app-2"), Ask), []);
    assertEquals(lines(new Written().send(Ask, "a", ok("x")), Ask).length, 1);
  });

  it("finds two results of one id of an idempotent command, and accepts two runs", () => {
    const sent = () =>
      new Written().send(Pay, "a", ok("paid 1")).run(Pay, "a", ok("paid 1")).run(Pay, "a", ok("paid 2"));
    assertEquals(lines(sent().send(Pay, "a", ok("paid 1")), Pay), []);
    assertEquals(lines(sent().send(Pay, "a", ok("paid 2")), Pay), [
      'idempotent: one recorded result for each id: command Pay a was answered "paid 1" at 10, and "paid 2" at 610',
    ]);
  });

  it("finds an entity that differs between nodes at one version", () => {
    const history = () => new Written().load(1, { sum: 1 }, "a").load(2, { sum: 3 }, "a").load(1, { sum: 1 }, "b");
    assertEquals(lines(history(), Cart), []);
    assertEquals(lines(history().load(2, { sum: 4 }, "b"), Cart), [
      'entity: its state is made of its events: Cart a is {"sum":3} on a, and {"sum":4} on b, both at version 2',
    ]);
  });

  it("always looks at locks and leadership", () => {
    assertEquals(lines(new Written().hold("a", 1, 0, 10).hold("b", 2, 10, 20).lead("a", 0, 5).lead("b", 6, 9)), []);
    const beside = () => new Written().hold("a", 1, 0, 15).hold("b", 2, 10, 20).lead("a", 0, 8).lead("b", 6, 9);
    assertEquals(lines(beside()), [
      "lock: one holder at a time: k a (start 1) held it from 0 to 15, and b (start 1) from 10",
      "leadership: one leader at a time: mails a (start 1) held it from 0 to 8, and b (start 1) from 6",
    ]);
    assertEquals(lines(beside().fault("freeze", "a", 5, 12)), []);
  });

  it("throws the first broken promise, with its name", () => {
    const check = guarantees(Note);
    check({ history: new Written() });
    const history = new Written().send(Note, "a", ok("noted"));
    const error = assertThrows(() => check({ history }), BrokenPromise);
    assertEquals(error.promise, "the result agrees with the runs");
    assertEquals(error.message, "command Note a of client-1 told noted, and ran 0 time(s)");
  });

  it("throws a TypeError for a value that is no contract", () => {
    for (const value of [undefined, "Pay", {}, { name: "Pay" }, () => {}]) {
      assertThrows(() => guarantees(Note, value as never), TypeError, "argument 2 is");
    }
  });

  it("holds for a program of every kind of contract, under faults", async () => {
    await explore({
      handlers: [
        Pay.handle(({ cents }) => `paid ${cents}`),
        Note.handle(({ text }) => `noted ${text}`),
        Ask.handle(() => "yes"),
        Paid.on(async (_, ctx) => {
          await using _lock = await ctx.lock("mail");
        }),
        Order.handle(async (flow) => await flow.step("pay", () => "paid", { undo: () => {} })),
        Cart.handle(Add, (cart, { sku }) => {
          cart.emit(Added, { sku });
          return cart.version;
        }),
        Added.on(() => {}, { name: "mail" }),
      ],
      workload: async ({ app, step, random }) => {
        for (let n = 0; n < 3; n++) {
          await step("pay", () => app.send(Pay, { cents: n }, { id: `pay-${random.int(1, 2)}` }));
          await step("note", () => app.send(Note, { text: `${n}` }));
          await step("ask", () => app.send(Ask));
          await step("publish", () => app.publish(Paid, { cents: n }));
          await step("start", () => app.start(Order, undefined, { id: `${n}` }));
          await step("add", () => app.send(Add, { cart: "a", sku: `${n}` }, { id: `add-${n}` }));
          await step("load", () => app.load(Cart, "a"));
        }
      },
      seeds: 6,
      check: guarantees(Pay, Note, Ask, Paid, Order, Cart, Add, Added),
    });
  });
});
