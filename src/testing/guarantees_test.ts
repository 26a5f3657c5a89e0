import { assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import type { AnyContract } from "../contract/declaration/contract.ts";
import { command, entity, event, query, workflow } from "../../mod.ts";
import { explore } from "./explore.ts";
import { breachesOf, type Guaranteed, guarantees } from "./guarantees.ts";
import {
  BrokenPromise,
  type HandlerAttempt,
  type History,
  type HistoryOperation,
  type HistoryOutcome,
  type StoreTransaction,
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
const MAIN = { store: "main", ordered: true } as const;

class Written implements History {
  readonly seed = 1;
  readonly operations: HistoryOperation[] = [];
  readonly attempts: HandlerAttempt[] = [];
  readonly steps = [];
  readonly transactions: StoreTransaction[] = [];
  readonly locks: History["locks"][number][] = [];
  readonly terms: History["terms"][number][] = [];
  readonly faults: History["faults"][number][] = [];
  readonly processes: History["processes"][number][] = [];
  readonly runs: History["runs"][number][] = [];
  readonly deadLetters = [];
  #place = 0;

  send(
    { name, kind }: AnyContract,
    id: string | undefined,
    outcome: HistoryOutcome | undefined,
    lasts = 10,
    more: Partial<HistoryOperation> = {},
  ): this {
    const span = this.#span(lasts);
    this.operations.push({
      ...{ ...span, number: this.operations.length, method: "send", kind, contract: name, key: undefined, id },
      ...{ input: undefined, options: undefined, node: "client-1", step: undefined, by: undefined, outcome, ...more },
    } as HistoryOperation);
    return this;
  }

  load(version: number, state: unknown, node: string, more: Partial<HistoryOperation> = {}): this {
    const of = { method: "load", kind: "entity", contract: "Cart", key: "a", id: undefined } as const;
    this.operations.push({
      ...{ ...this.#span(1), number: this.operations.length, ...of, input: undefined, options: undefined, node },
      ...{ step: undefined, by: undefined, outcome: ok({ id: "a", version, state }), ...more },
    });
    return this;
  }

  run(
    { name, kind }: AnyContract,
    id: string,
    outcome: HistoryOutcome | undefined,
    node = "app-1",
    more: Partial<HandlerAttempt> = {},
  ): this {
    this.attempts.push({
      ...{ ...this.#span(1), type: "attempt", kind, contract: name, entity: undefined, key: undefined, id, attempt: 1 },
      ...{ input: undefined, batch: undefined, node, process: 1, subscription: undefined, position: undefined },
      ...{ fence: undefined, operation: undefined, outcome, ...more },
    } as HandlerAttempt);
    return this;
  }

  /** A transaction that has recorded events, with their key. */
  transact(outcome: StoreTransaction["outcome"], { name }: AnyContract, ...ids: string[]): this {
    const recorded = ids.map((id) => ({ kind: "event", contract: name, key: "one", id }) as const);
    this.transactions.push({ ...this.#span(0), ...MAIN, outcome, recorded, effects: [] });
    return this;
  }

  effect(outcome: StoreTransaction["outcome"], id: string): this {
    const effects = [{ scope: "event mail Paid", id }];
    this.transactions.push({ ...this.#span(0), ...MAIN, outcome, recorded: [], effects });
    return this;
  }

  begin(outcome: StoreTransaction["outcome"], run: string): this {
    const recorded = [{ kind: "start", contract: "Order", key: run, id: run }] as const;
    this.transactions.push({ ...this.#span(0), ...MAIN, outcome, recorded, effects: [] });
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

  process(node: string, start: number, end: number | undefined, endedBy?: "kill" | "drain"): this {
    const span = { began: start, ended: end, start, end };
    this.processes.push({ ...span, node, process: 1, deploy: 0, endedBy } as never);
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

  it("finds what a transaction has recorded and is not handled, and what is handled of one that was rolled back", () => {
    const handled = (history: Written, id: string, position: number) =>
      history.run(Paid, id, ok(undefined), "app-1", { subscription: "mail", position, key: "one" });
    const both = (outcome: StoreTransaction["outcome"], id: string) =>
      handled(new Written().transact(outcome, Paid, "a").transact("committed", Paid, "c"), id, 7);
    assertEquals(lines(handled(both("committed", "a"), "c", 8), Paid), []);
    assertEquals(lines(handled(both("unknown", "a"), "c", 8), Paid), []);
    assertEquals(lines(both("committed", "c"), Paid), [
      "durable: handled at least once by each subscription: event Paid a was stored, and app/mail has not handled it: " +
      "no handler of it has run",
    ]);
    assertEquals(lines(handled(both("rolled back", "a"), "c", 8), Paid), [
      "durable: a failure that is certain means not stored: event Paid a its publisher got ROLLED_BACK at 0, and " +
      "app/mail handled it: undefined",
    ]);
    // an id that was recorded again
    assertEquals(
      lines(handled(new Written().transact("rolled back", Paid, "a").transact("committed", Paid, "a"), "a", 7), Paid),
      [],
    );
  });

  it("finds a run whose start was recorded and that has not begun, and one whose start was rolled back", () => {
    const begun = (history: Written, id: string) => {
      history.runs.push({ workflow: "Order", id, status: "done", pending: [], timeline: [] } as never);
      return history;
    };
    assertEquals(lines(begun(new Written().begin("committed", "1").begin("rolled back", "2"), "1"), Order), []);
    assertEquals(lines(begun(new Written().begin("rolled back", "1").begin("unknown", "1"), "1"), Order), []);
    const promise = "both or neither: what a transaction has recorded is stored if it commits";
    assertEquals(lines(new Written().begin("committed", "1"), Order), [
      `${promise}: run 1 of Order was committed at 0, and has not begun`,
    ]);
    assertEquals(lines(begun(new Written().begin("rolled back", "1"), "1"), Order), [
      `${promise}: run 1 of Order has begun, and its transaction was rolled back at 0`,
    ]);
  });

  it("finds messages of a key that are stored in another order than that of their commits", () => {
    const stored = (...positions: number[]) =>
      ["a", "b"].reduce(
        (history, id, i) =>
          history.run(Paid, id, ok(undefined), "app-1", { subscription: "mail", position: positions[i], key: "one" }),
        new Written().transact("committed", Paid, "a").transact("committed", Paid, "b"),
      );
    assertEquals(lines(stored(7, 8)), []);
    assertEquals(lines(stored(8, 7)), [
      "order: messages of a key are stored in the order of their commits: event Paid b was committed after a, and is " +
      "stored before it",
    ]);
  });

  it("finds no order of messages where there is none: recorded again, of transactions side by side, or of order: false", () => {
    const of = (...outcomes: StoreTransaction["outcome"][]) => {
      const history = new Written();
      for (const [i, outcome] of outcomes.entries()) history.transact(outcome, Paid, "ab"[i % 2]);
      for (const [i, id] of ["a", "b"].entries()) {
        history.run(Paid, id, ok(undefined), "app-1", { subscription: "mail", position: 7 + i, key: "one" });
      }
      return history;
    };
    assertEquals(lines(of("committed", "committed", "committed")), []);
    assertEquals(lines(of("unknown", "committed", "committed")), []);
    assertEquals(lines(of("rolled back", "committed", "committed")).length, 1);
    const apart = of("rolled back", "committed", "committed");
    const { transactions: [, first, second] } = apart;
    // the answer to its COMMIT came late
    apart.transactions[2] = { ...second, began: first.ended! - 0.5 };
    assertEquals(lines(apart), []);
    apart.transactions[2] = { ...second, ordered: false };
    assertEquals(lines(apart), []);
  });

  it("finds an effect of a store that was committed twice for an id", () => {
    assertEquals(lines(new Written().effect("rolled back", "a").effect("committed", "a").effect("committed", "b")), []);
    assertEquals(lines(new Written().effect("committed", "a").effect("committed", "a")), [
      "effect once: for each id: effect a of event mail Paid was committed at 0, and again at 200",
    ]);
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

  it("compares results of one id that is of one key, and only those that are ok", () => {
    const sent = (outcome: HistoryOutcome, key = "a") =>
      new Written().send(Pay, "x", ok("1"), 10, { key: "a" }).send(Pay, "x", outcome, 10, { key })
        .run(Pay, "x", ok("1"));
    assertEquals(lines(sent(ok("2")), Pay).length, 1);
    assertEquals(lines(sent(ok("2"), "b"), Pay), []);
    const spaced = new Written().send(Pay, "b c", ok("1"), 10, { key: "a" })
      .send(Pay, "c", ok("2"), 10, { key: "a b" }).run(Pay, "b c", ok("1")).run(Pay, "c", ok("2"));
    assertEquals(lines(spaced, Pay), []);
    assertEquals(lines(sent(failed("OUTCOME_UNKNOWN")), Pay), []);
    const none = new Written().send(Pay, undefined, ok("1"), 10, { input: 1 }).send(Pay, undefined, ok("2"));
    assertEquals(lines(none.run(Pay, "x", ok("1"), "app-1", { operation: 0 }), Pay).length, 1);
    const Own = command<{ n: number }, string>("Own", { idempotent: true, id: ({ n }) => `${n}` });
    const own = (n: number) =>
      new Written().send(Own, undefined, ok("1"), 10, { input: { n: 1 } })
        .send(Own, undefined, ok("2"), 10, { input: { n } }).run(Own, "1", ok("1")).run(Own, "2", ok("2"));
    assertEquals([lines(own(1), Own).length, lines(own(2), Own).length], [1, 0]);
  });

  it("a command of an entity may run again, and has one result for each id", () => {
    const of = { entity: "Cart" } as Partial<HandlerAttempt>;
    const added = (second: number) =>
      new Written().send(Add, "x", ok(1)).send(Add, "x", ok(second))
        .run(Add, "x", ok(1), "app-1", of).run(Add, "x", ok(1), "app-2", of);
    assertEquals([lines(added(1), Add).length, lines(added(2), Add).length], [0, 1]);
  });

  it("leaves out runs and operations of others, runs of the log, and failures of the send itself", () => {
    const right = () => new Written().send(Note, "a", ok("noted")).run(Note, "a", ok("noted"));
    assertEquals(lines(right().run(Ask, "a", ok("x")).send(Ask, "b", ok("x")), Note), []);
    assertEquals(lines(right().run(Note, "a", ok("noted"), "app-2", { position: 1 }), Note), []);
    assertEquals(lines(right().run(Note, "a", ok("noted"), "app-2", { batch: [] }), Note), []);
    assertEquals(lines(right().send(Note, "b", ok("x"), 10, { method: "enqueue" }), Note), []);
    assertEquals(lines(new Written().send(Note, "a", failed("TOO_LARGE")).run(Note, "a", ok("noted")), Note), []);
    for (const outcome of [undefined, { type: "thrown", error: "odd" } as unknown as HistoryOutcome]) {
      assertEquals(lines(new Written().send(Note, "a", outcome), Note), []);
    }
    const Off = command<void, string>("Off", { idempotent: false, durable: false });
    assertEquals(
      lines(new Written().send(Off, "a", ok("x")).run(Off, "a", ok("x")).run(Off, "a", ok("x")), Off).length,
      3,
    );
  });

  it("takes runs under an id that several sends share as those of all of them", () => {
    const shared = new Written().send(Note, "a", failed("OUTCOME_UNKNOWN")).send(Note, "a", ok("noted"));
    assertEquals(lines(shared.run(Note, "a", ok("noted")).run(Note, "a", ok("noted")), Note), []);
  });

  it("compares what a handler returned or threw with the result, unless the contract changes the value", () => {
    const told = (outcome: HistoryOutcome, ran: HistoryOutcome | undefined, contract: AnyContract = Note) =>
      lines(new Written().send(contract, "a", outcome).run(contract, "a", ran), contract).length;
    const thrown = { type: "thrown", error: "odd" } as unknown as HistoryOutcome;
    assertEquals([told(failed("HANDLER_FAILED"), thrown), told(failed("ODD"), thrown)], [0, 1]);
    assertEquals([told(failed("ODD"), failed("ODD")), told(failed("ODD"), failed("EVEN"))], [0, 1]);
    assertEquals(told(ok("noted"), undefined), 0);
    const schema = { "~standard": { version: 1, vendor: "test", validate: (value: unknown) => ({ value }) } } as const;
    const Parsed = command("Parsed", { output: schema });
    assertEquals([told(ok("a"), ok("b"), Parsed), told(ok("a"), failed("ODD"), Parsed)], [0, 1]);
  });

  it("a send ends by the timeout that it was given, else by that of its contract", () => {
    const late = (contract: AnyContract, timeout: unknown) =>
      lines(
        new Written().send(contract, "a", failed("OUTCOME_UNKNOWN"), 6_000, { options: { timeout } as never }),
        contract,
      ).length;
    assertEquals([late(Note, 5_990), late(Note, 5_000), late(Note, 100), late(Note, undefined)], [0, 1, 1, 1]);
    const Free = command<void, string>("Free");
    assertEquals([late(Free, undefined), late(Free, 100)], [0, 1]);
  });

  it("accepts a send without a result of a sender that was killed, and a late run at a node that has just started", () => {
    const never = { ended: undefined, end: 10_000 };
    const sent = () => new Written().send(Note, "a", failed("OUTCOME_UNKNOWN"), 10, never);
    assertEquals(lines(sent(), Note).length, 1);
    assertEquals(lines(sent().process("client-1", 0, 5_000, "kill"), Note), []);
    assertEquals(lines(sent().process("client-1", 0, 5_000, "drain"), Note).length, 1);
    assertEquals(lines(sent().process("app-1", 0, 5_000, "kill"), Note).length, 1);
    const late = () =>
      new Written().send(Note, "a", failed("OUTCOME_UNKNOWN")).run(Note, "a", ok("x"), "app-1", { start: 9_000 });
    assertEquals(lines(late(), Note).length, 1);
    assertEquals(lines(late().process("app-1", 8_000, undefined), Note), []);
    assertEquals(lines(late().process("app-1", 9_500, undefined), Note).length, 1);
    assertEquals(lines(late().process("app-9", 8_000, undefined), Note).length, 1);
  });

  it("compares loads of one entity alone, and only those that are ok", () => {
    const other = (more: Partial<HistoryOperation>) =>
      lines(new Written().load(1, 1, "a").load(1, 2, "b", more), Cart).length;
    assertEquals(other({}), 1);
    const others = [{ method: "send" }, { contract: "Other" }, { outcome: failed("UNAVAILABLE") }, {
      key: "b",
    }] as const;
    assertEquals(others.map(other), [0, 0, 0, 0]);
  });

  it("a holder that was killed, or frozen, may overlap with the next; only that one", () => {
    const beside = () => new Written().hold("a", 1, 0, 15).hold("b", 2, 10, 20);
    assertEquals(lines(beside().process("a", 0, 5, "kill")), []);
    assertEquals(lines(beside().process("a", 0, 12, "kill")).length, 1);
    assertEquals(lines(beside().process("a", 0, 5, "drain")).length, 1);
    assertEquals(lines(beside().process("c", 0, 5, "kill")).length, 1);
    assertEquals(lines(beside().fault("skew", "a", 5, 12)).length, 1);
    assertEquals(lines(beside().process("a", 0, undefined).fault("freeze", "c", 5, 12)).length, 1);
    assertEquals(lines(new Written().hold("a", 1, 10, 15).hold("b", 2, 12, 20).fault("freeze", "a", 5, 9)).length, 1);
    assertEquals(lines(new Written().hold("a", 2, 0, 5).hold("b", 1, 10, 20)).length, 1);
    assertEquals(lines(new Written().hold("a", 1, 0, 10).hold("a", 1, 5, 20)), []);
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
