import { assertEquals, assertGreater, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { command, event, unwrap } from "../../../mod.ts";
import { explore } from "../explore.ts";
import { ExploreError } from "../explore_error.ts";
import { guarantees } from "../guarantees.ts";
import type { HandlerAttempt, InjectedFault, LimitSlot, NodeProcess } from "../history.ts";
import { checkLimit, checkSlots, type LimitHistory } from "./limits.ts";

const Paid = event<{ account: string }>("Paid", { durable: true });
const Charge = command<{ account: string }>("Charge", { durable: true });

/** A history that a test writes run by run. The place of each entry is its time. */
class Written implements LimitHistory {
  readonly operations: LimitHistory["operations"] = [];
  readonly attempts: HandlerAttempt[] = [];
  readonly processes: NodeProcess[] = [];
  readonly faults: InjectedFault[] = [];

  /** Adds a run of a message of the limit `bank`, in which two run at once. */
  run(
    position: number,
    began: number,
    ended: number | undefined,
    more: Partial<Omit<LimitSlot, "position"> & HandlerAttempt> = {},
  ): this {
    const { limit = "bank", key, running = 2, ...of } = more;
    const slots = [{ limit, key, running, position }];
    this.attempts.push({
      ...{ type: "attempt", kind: "event", contract: "Paid", node: "books-1", process: 1, subscription: "books" },
      ...{ began, ended, start: began, end: ended, position, slots, input: { account: "a" }, ...of },
    } as HandlerAttempt);
    return this;
  }

  process(node: string, began: number, ended: number | undefined, deploy = 0, process = 1): this {
    this.processes.push({ ...{ began, ended, node, process, deploy }, start: began, end: ended, endedBy: undefined });
    return this;
  }

  fault(fault: string, node: string | undefined, began: number, ended: number): this {
    this.faults.push({ ...{ fault, node, began, ended }, start: began, end: ended, detail: undefined });
    return this;
  }

  get texts(): string[] {
    return checkSlots(this).map(({ subject, text }) => `${subject} ${text}`);
  }
}

const THREE =
  "limit bank of books/books had 3 messages that ran at once, on books-1, books-2, books-3, where running is 2";
const three = () =>
  new Written().run(1, 0, 9, { node: "books-1" }).run(2, 1, 9, { node: "books-2" }).run(3, 2, 9, { node: "books-3" });

describe("guarantees of limits, in histories that are written", () => {
  it("more messages at once than running, over all nodes, are told once", () => {
    assertEquals(three().texts, [THREE]);
    assertEquals(three().run(4, 3, 9, { node: "books-3" }).texts, [THREE]);
    assertEquals(new Written().run(1, 0, 2).run(2, 1, 4).run(3, 3, 5).run(4, 6, undefined).texts, []);
  });

  it("keys, subscriptions, services and limits of other names count for themselves", () => {
    const runs = new Written().run(1, 0, 9).run(2, 1, 9).run(3, 2, 9, { key: "a" }).run(4, 3, 9, { key: "b" });
    runs.run(5, 4, 9, { limit: "mail" }).run(6, 5, 9, { subscription: "mails" }).run(7, 6, 9, { node: "shop-1" });
    assertEquals(runs.texts, []);
    assertMatch(runs.run(8, 7, 9, { key: "a", running: 1 }).run(9, 8, 9, { key: "a" }).texts[0], /, key a had 3 /);
  });

  it("a message that runs twice is one, also in a batch, whose members count each", () => {
    assertEquals(new Written().run(1, 0, 9).run(1, 1, 9).run(2, 2, 9).texts, []);
    const slots = [1, 2, 3].map((position) => ({ limit: "bank", key: undefined, running: 2, position }));
    assertEquals(new Written().run(1, 0, 9, { slots, batch: [] }).texts.length, 1);
  });

  it("a run ends with its process", () => {
    assertEquals(three().process("books-1", 0, 2).texts, []);
    assertEquals(three().process("books-1", 0, 3).texts, [THREE]);
  });

  it("what was frozen, blocked or cut off since the message was sent is not counted, nor what ran at a lost end", () => {
    for (const fault of ["freeze", "block", "cut"]) {
      assertEquals(three().fault(fault, "books-1", 1, 2).texts, [], fault);
      assertEquals(three().fault(fault, "books-1", 5, 8).texts, [THREE], fault);
      assertEquals(three().fault(fault, "books-4", 1, 2).texts, [THREE], fault);
    }
    assertEquals(three().fault("lostTail", undefined, 1, 1).texts, []);
    assertEquals(three().fault("drop", undefined, 1, 2).texts, [THREE]);
  });

  it("two versions side by side: the greater number of those that run; their keys are not compared", () => {
    assertEquals(new Written().run(1, 0, 9).run(2, 1, 9, { running: 1 }).texts, []);
    const mixed = (ended: number) =>
      new Written().process("books-1", 0, ended).process("books-1", ended, undefined, 1, 2)
        .process("books-2", 0, undefined, 1).run(1, 3, 9, { key: "a", running: 1, process: 2 })
        .run(2, 4, 9, { key: "a", running: 1, node: "books-2" });
    assertEquals(mixed(3).texts, []);
    assertEquals(mixed(2).texts.length, 1);
  });
});

describe("checkLimit, in histories that are written", () => {
  it("counts the runs of contracts in all subscriptions and services, and live ones", () => {
    const runs = new Written().run(1, 0, 9).run(1, 1, 9, { subscription: "mails" });
    assertEquals(checkLimit(runs, { of: [Paid, Charge], running: 2 }), []);
    runs.run(0, 2, 9, { kind: "command", contract: "Charge", position: undefined, node: "shop-1" });
    const [{ subject, text }] = checkLimit(runs, { of: [Paid, Charge], running: 2 });
    assertEquals(
      `${subject} ${text}`,
      "Paid, Charge had 3 messages that ran at once, on books-1, shop-1, where running is 2",
    );
    assertEquals(checkLimit(runs, { of: [Paid], running: 2 }), []);
  });

  it("counts each key for itself", () => {
    const runs = new Written().run(1, 0, 9).run(2, 1, 9, { input: { account: "b" } });
    const key = ({ account }: { account: string }) => account;
    assertEquals(checkLimit(runs, { of: [Paid], running: 1, key }), []);
    assertEquals(checkLimit(runs.run(3, 2, 9), { of: [Paid], running: 1, key }).map(({ subject }) => subject), [
      "Paid, key a",
    ]);
  });

  it("running is 1 or more", () => {
    for (const running of [0, 1.5, NaN]) {
      assertThrows(() => checkLimit(new Written(), { of: [Paid], running }), RangeError, `got ${running}`);
    }
  });
});

/** Seeds of the right program; more by hand. */
const SEEDS = Number(process.env.LIMIT_SEEDS ?? 3);

describe("limits, explored", () => {
  const handlers = [
    Paid.on((_, ctx) => ctx.clock.sleep(150), {
      name: "books",
      limit: [{ name: "bank", running: 2 }, { key: ({ account }) => account, running: 1, per: [50, 1_000] }],
    }),
    Paid.onBatch((_, ctx) => ctx.clock.sleep(100), { name: "rows", max: 3, limit: { running: 4 } }),
    Charge.handle((_, ctx) => ctx.clock.sleep(120), { limit: { running: 1 } }),
  ];

  it("a right program is green, over nodes that die, stand and are cut off", async () => {
    let slots = 0;
    await explore({
      ...{ handlers, seeds: SEEDS, nodes: 3 },
      workload: async ({ app, random, clock }) => {
        for (let n = 0; n < 12; n++) {
          const account = random.pick(["a", "b", "c"]);
          await Promise.all([app.publish(Paid, { account }), app.enqueue(Charge, { account })]);
          await clock.sleep(random.int(0, 60));
        }
      },
      check: [
        guarantees(Paid, Charge),
        ({ history }) => checkLimit(history, { of: [Charge], running: 1 }),
        ({ history }) => void (slots += history.attempts.reduce((sum, { slots = [] }) => sum + slots.length, 0)),
      ],
    });
    // a message has two in `books`, one in `rows` and one as a command
    assertGreater(slots, SEEDS * 12 * 3);
  });

  it("a live send beside stored messages, and a second subscription, are more than the program allows itself", async () => {
    const live = explore({
      ...{ handlers, seeds: 2, faults: "none" },
      workload: async ({ app }) => {
        unwrap(await app.enqueue(Charge, { account: "a" }));
        for (let n = 0; n < 5; n++) await app.send(Charge, { account: "a" });
      },
      check: [guarantees(Charge), ({ history }) => checkLimit(history, { of: [Charge], running: 1 })],
    });
    assertMatch((await assertRejects(() => live, ExploreError)).message, /Charge had 2 messages that ran at once/);
    const limit = { name: "bank", running: 1 };
    const two = explore({
      handlers: ["books", "mails"].map((name) => Paid.on((_, ctx) => ctx.clock.sleep(100), { name, limit })),
      ...{ seeds: 2, faults: "none" },
      workload: ({ app }) => app.publish(Paid, { account: "a" }),
      check: [guarantees(Paid), ({ history }) => checkLimit(history, { of: [Paid], running: 1 })],
    });
    assertMatch((await assertRejects(() => two, ExploreError)).message, /Paid had 2 messages that ran at once/);
  });

  it("a limit that the workload changes, as an operator does, is not checked from then on", async () => {
    await explore({
      ...{ seeds: 1, faults: "none", handlers: handlers[0], file: true },
      workload: async ({ app }) => {
        await app.limit("books", "bank").set({ running: 3 });
        for (const account of ["a", "b", "c"]) unwrap(await app.publish(Paid, { account }));
      },
      check: [guarantees(Paid), ({ history: { attempts } }) => {
        assertEquals(attempts.map(({ slots }) => slots?.map(({ limit }) => limit)), Array(3).fill(["Paid/1"]));
      }],
    });
  });
});
