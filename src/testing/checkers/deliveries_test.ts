import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { command, event } from "../../../mod.ts";
import type { HandlerAttempt, HistoryLetter, HistoryOperation, HistoryOutcome, NodeProcess } from "../history.ts";
import { checkDeliveries, type DeliveryHistory } from "./deliveries.ts";

const Booked = event<{ room: string }>("Booked", { durable: true, key: ({ room }) => room });
const Charge = command<{ room: string }>("Charge", { durable: true });

const OK: HistoryOutcome = { type: "ok", value: undefined };
const failed = (code: string): HistoryOutcome => ({ type: "failed", code, message: "planted" });

/**
 * A history that a test writes line by line. Each line has the next place in the order, and a time of ten times its
 * place.
 */
class Written {
  readonly operations: HistoryOperation[] = [];
  readonly attempts: HandlerAttempt[] = [];
  readonly deadLetters: HistoryLetter[] = [];
  readonly processes: NodeProcess[] = [];
  readonly #positions = new Map<string, number>();
  #place = 0;

  get #now(): { began: number; start: number } {
    const began = ++this.#place;
    return { began, start: began * 10 };
  }

  publish(id: string, outcome: HistoryOutcome | undefined = OK, more: Partial<HistoryOperation> = {}): this {
    const { began, start } = this.#now;
    this.#positions.set(id, this.#positions.size + 1);
    this.operations.push({
      ...{ began, start, ended: ++this.#place, end: start + 5, number: this.operations.length, method: "publish" },
      ...{
        kind: "event",
        contract: "Booked",
        key: "7",
        id,
        input: { room: "7" },
        options: undefined,
        node: "client-1",
        step: undefined,
      },
      ...{ by: undefined, outcome, ...more } as const,
    } as HistoryOperation);
    return this;
  }

  /** Adds a run of a handler. The run ends at once, unless `given` is "open". */
  run(id: string, given: HistoryOutcome | "open" = OK, more: Partial<HandlerAttempt> = {}): this {
    const outcome = given === "open" ? undefined : given;
    const ended = outcome === undefined ? {} : { ended: this.#place + 2, end: this.#place * 10 + 15 };
    this.attempts.push({
      ...{ ...this.#now, ended: undefined, end: undefined, kind: "event", contract: "Booked", key: "7", id },
      ...{ attempt: 1, input: { room: "7" }, batch: undefined, node: "desk-1", process: 1, subscription: "bill" },
      ...{ position: this.#positions.get(id), fence: 1, operation: undefined, outcome, ...ended, ...more },
    } as HandlerAttempt);
    this.#place++;
    return this;
  }

  kill(node: string): this {
    const { began, start } = this.#now;
    this.processes.push({ began: 0, start: 0, ended: began, end: start, node, process: 1, deploy: 0, endedBy: "kill" });
    return this;
  }

  dead(id: string, more: Partial<HistoryLetter> = {}): this {
    const letter = { contract: "Booked", subscription: "bill", id, key: "7", position: 1, code: "NO", message: "no" };
    this.deadLetters.push({ ...letter, ...more });
    return this;
  }
}

const lines = (history: DeliveryHistory, contract: typeof Booked | typeof Charge = Booked) =>
  checkDeliveries(history, [contract]).map(({ subject, text }) => `${subject}: ${text}`);

describe("checkDeliveries", () => {
  it("accepts messages that are handled in order, some of them twice", () => {
    assertEquals(lines(new Written().publish("a").publish("b").run("a").run("a").run("b").run("a")), []);
  });

  it("accepts what may be stored, handled or not, and what certainly is not and was not handled", () => {
    const unknown = failed("OUTCOME_UNKNOWN");
    const history = new Written().publish("a").publish("b", unknown).publish("c", unknown).publish("d", failed("NO"));
    assertEquals(lines(history.run("a").run("b")), []);
  });

  it("finds a stored message that a subscription has not handled", () => {
    const history = new Written().publish("a").publish("b").run("a").run("b", failed("HANDLER_FAILED"));
    assertEquals(lines(history), [
      "event Booked b: was stored, and desk/bill has not handled it: 1 run(s) began, and none was done",
    ]);
    assertEquals(lines(new Written().publish("a").publish("b").run("a")), [
      "event Booked b: was stored, and desk/bill has not handled it: no handler of it has run",
    ]);
  });

  it("looks at each subscription of each service", () => {
    const history = new Written().publish("a").run("a").run("a", "open", { subscription: "mail" });
    assertEquals(lines(history).length, 1);
    const others = new Written().publish("a").run("a").run("a", "open", { node: "shop-1" });
    assertEquals(lines(others)[0].includes("shop/bill has not handled it"), true);
  });

  it("does not count a run whose process was killed before its end", () => {
    assertEquals(lines(new Written().publish("a").run("a").kill("desk-1")), []);
    assertEquals(lines(new Written().publish("a").kill("desk-1").run("a")).length, 1);
    assertEquals(lines(new Written().publish("a").kill("desk-1").run("a").run("a", OK, { process: 2 })), []);
  });

  it("accepts a dead letter, and messages with a schedule", () => {
    assertEquals(lines(new Written().publish("a").run("a", failed("NO")).dead("a")), []);
    const options = { delay: 1_000 };
    assertEquals(lines(new Written().publish("b").run("b").publish("a", OK, { options })), []);
  });

  it("finds a message that was refused and handled", () => {
    assertEquals(lines(new Written().publish("a", failed("UNAVAILABLE")).run("a")), [
      'event Booked a: its publisher got UNAVAILABLE at 10, and desk/bill handled it: {"room":"7"}',
    ]);
  });

  it("finds a message that was overtaken, and one that began before the one before it was done", () => {
    assertEquals(lines(new Written().publish("a").publish("b").run("b").run("a")), [
      "event Booked, key 7: b at position 2 began in desk/bill before a at position 1 had begun",
    ]);
    const early = new Written().publish("a").publish("b").run("a", failed("HANDLER_FAILED")).run("b").run("a");
    assertEquals(lines(early), [
      "event Booked, key 7: b at position 2 began in desk/bill before a at position 1 was done",
    ]);
    const keys = new Written().publish("a").publish("b").run("b", OK, { key: "8" }).run("a");
    assertEquals(lines(keys), []);
  });

  it("finds a message that passes a dead letter of its key, and accepts one behind a discarded one", () => {
    const dead = () => new Written().publish("a").publish("b").run("a", failed("NO"));
    assertEquals(lines(dead().run("b").dead("a")).length, 1);
    // `a` is neither handled nor dead: the one complaint is about that, not about the order
    assertEquals(lines(dead().run("b")).map((line) => line.includes("before")), [false]);
  });

  it("accepts a dead letter of this contract and subscription alone", () => {
    const parked = () => new Written().publish("a").run("a", failed("NO"));
    assertEquals(lines(parked().dead("a")), []);
    assertEquals(lines(new Written().publish("b").run("b").publish("a").dead("a")), []);
    for (const other of [{ contract: "Other" }, { subscription: "mail" }, { id: "b" }]) {
      assertEquals(lines(parked().dead("a", other)).length, 1, JSON.stringify(other));
    }
  });

  it("accepts a message that was unscheduled, and not because another one was", () => {
    const unschedule = (key: string, more = {}) =>
      new Written().publish("b").run("b").publish("a").publish("c", OK, { method: "unschedule", key, ...more }).run(
        "c",
      );
    assertEquals(lines(unschedule("a")), []);
    assertEquals(lines(unschedule("c")).length, 1);
    // the id of a message may be the key of another
    assertEquals(lines(new Written().publish("7").publish("a").run("a")).length, 1);
    assertEquals(lines(unschedule("a", { contract: "Other" })).length, 1);
    const at = new Written().publish("b").run("b").publish("a", OK, { options: { at: new Date(0) } });
    assertEquals(lines(at.publish("c", OK, { options: { cron: "@daily" } })), []);
  });

  it("takes a message without an id by the number of its operation", () => {
    const none = { id: undefined };
    const sent = () => new Written().publish("a", OK, none).publish("b", OK, none).run("a", OK, { operation: 0 });
    assertEquals(lines(sent().run("b", OK, { operation: 1 })), []);
    assertEquals(lines(sent())[0].startsWith("event Booked number 1: was stored, and desk/bill has not"), true);
    assertEquals(lines(sent().run("b", failed("NO"), { operation: 1 }).dead("b")), []);
    const refused = new Written().publish("a", failed("UNAVAILABLE"), none).run("a", OK, { operation: 0 });
    assertEquals(lines(refused).length, 1);
    assertEquals(lines(new Written().publish("a", failed("UNAVAILABLE"), none).run("a", OK, { operation: 7 })), []);
  });

  it("takes the id that the contract makes of its input", () => {
    const byRoom = command<{ room: string }>("Charge", {
      ...{ durable: true, idempotent: true, id: ({ room }: { room: string }) => room },
    });
    const queued = { kind: "command", contract: "Charge", method: "enqueue", key: undefined } as const;
    const run = { kind: "command", contract: "Charge", subscription: "Charge", key: undefined, position: 1 } as const;
    const subjects = (id: string | undefined, ran: string) =>
      checkDeliveries(new Written().publish("7", OK, { ...queued, id }).run(ran, OK, run), [byRoom])
        .map(({ subject }) => subject);
    assertEquals([subjects(undefined, "7"), subjects("a", "a")], [[], []]);
    assertEquals([subjects(undefined, "8"), subjects("a", "7")], [["command Charge 7"], ["command Charge a"]]);
  });

  it("accepts a refused message whose id another operation has stored, and one whose sender has no result", () => {
    const twice = new Written().publish("a", failed("UNAVAILABLE")).publish("a");
    assertEquals(lines(twice.run("a")), []);
    assertEquals(lines(new Written().publish("b", failed("UNAVAILABLE")).publish("a").run("b").run("a")).length, 1);
    assertEquals(lines(new Written().publish("a", OK, { outcome: undefined }).run("a")), []);
  });

  it("leaves out other contracts, handlers that are no subscription, and sends", () => {
    const other = new Written().publish("a").run("a").publish("b", OK, { contract: "Other" });
    assertEquals(lines(other.run("b", "open", { contract: "Other", subscription: "mail" })), []);
    assertEquals(lines(new Written().publish("a").run("a").run("a", "open", { subscription: undefined })), []);
    const sent = new Written().publish("a").run("a").publish("b", OK, { method: "send" });
    assertEquals(lines(sent), []);
    assertEquals(
      lines(new Written().publish("a").run("a").run("a", "open", { position: undefined, subscription: "mail" })),
      [],
    );
  });

  it("looks at the order of messages with a key alone", () => {
    const overtaken = () => new Written().publish("a").publish("b");
    const none = { key: undefined };
    assertEquals(lines(overtaken().run("b", OK, none).run("a", OK, none)), []);
    const Free = event<{ room: string }>("Booked", { durable: true });
    assertEquals(checkDeliveries(overtaken().run("b").run("a"), [Free]), []);
  });

  it("a letter of another subscription, or of another message, does not tell of a discarded one", () => {
    const passed = (more: object) =>
      new Written().publish("a").publish("b").run("a", failed("NO")).run("b").dead("a", more);
    const orders = (written: Written) => lines(written).filter((line) => line.includes("before")).length;
    assertEquals([{}, { subscription: "mail" }, { id: "b" }].map((more) => orders(passed(more))), [1, 0, 0]);
    assertEquals(orders(new Written().publish("a").publish("b").run("b").run("a", failed("NO"))), 1);
    // its first run has no outcome: a message that still runs is not one that an operator has discarded
    assertEquals(orders(new Written().publish("a").publish("b").run("a", "open").run("b")), 1);
  });

  it("looks at each member of a batch", () => {
    const batch = ["a", "b"].map((id, n) => ({ id, key: "7", position: n + 1, attempt: 1, payload: {}, operation: n }));
    assertEquals(lines(new Written().publish("a").publish("b").run("a", OK, { position: undefined, batch })), []);
    const left = new Written().publish("a").publish("b").run("a", OK, { position: undefined, batch: batch.slice(1) });
    assertEquals(lines(left).length, 1);
  });

  it("takes a queued command as one subscription of all services", () => {
    const queued = { kind: "command", contract: "Charge", method: "enqueue", key: undefined } as const;
    const run = { kind: "command", contract: "Charge", subscription: "Charge", key: undefined } as const;
    const history = new Written().publish("a", OK, queued).publish("b", OK, queued).run("a", OK, run);
    assertEquals(lines(history, Charge), [
      "command Charge b: was stored, and Charge has not handled it: no handler of it has run",
    ]);
    assertEquals(lines(history.run("b", OK, { ...run, node: "bank-1" }), Charge), []);
  });
});
