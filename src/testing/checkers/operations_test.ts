import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { command, entity, fail } from "../../../mod.ts";
import { explore } from "../explore.ts";
import type { HistoryOperation, HistoryOutcome } from "../history.ts";
import { checkLinearizable, type SequentialModel } from "./linearizable.ts";
import { type ContractInput, operationsOf } from "./operations.ts";

const Sell = command<{ show: string }, number, "SOLD_OUT">("Sell", { key: ({ show }) => show });
const Show = entity("Show", { initial: () => 0 });
const Sold = Show.event("Sold", (sold) => sold + 1);
const SEATS = 4;

const sell = Show.handle(Sell, (show) => {
  if (show.state === SEATS) return fail("SOLD_OUT", "no seat is left");
  show.emit(Sold);
  return show.state;
});

/** Model of a show: each sale returns the next seat, and fails when no seat is left. */
const SHOW: SequentialModel<number, ContractInput, unknown> = {
  initial: () => 0,
  apply: (sold) =>
    sold === SEATS ? { state: sold, output: { failed: "SOLD_OUT" } } : { state: sold + 1, output: sold + 1 },
};

const ok = (value: unknown): HistoryOutcome => ({ type: "ok", value });
const failed = (code: string): HistoryOutcome => ({ type: "failed", code, message: "planted" });

function history(...sends: [id: string | undefined, outcome: HistoryOutcome | undefined][]) {
  const operations = sends.map(([id, outcome], number): HistoryOperation => ({
    ...{ number, method: "send", kind: "command", contract: "Sell", key: "hamlet", id, input: { show: "hamlet" } },
    ...{ began: number * 2, ended: number * 2 + 1, start: number, end: number, options: undefined, node: "client-1" },
    ...{ step: undefined, by: undefined, outcome },
  }));
  return { operations };
}

describe("operationsOf", () => {
  it("gives values, own failures and unknown outcomes, and leaves out what had no effect", () => {
    const all = history([undefined, ok(1)], [undefined, failed("SOLD_OUT")], [undefined, failed("OUTCOME_UNKNOWN")], [
      undefined,
      failed("UNAVAILABLE"),
    ]);
    const operations = operationsOf(all, Sell).map(({ output, from, to }) => ({ output, from, to }));
    assertEquals(operations, [
      { output: 1, from: 0, to: 1 },
      { output: { failed: "SOLD_OUT" }, from: 2, to: 3 },
      { output: undefined, from: 4, to: undefined },
    ]);
  });

  it("takes sends of one id as one operation, from the first to the first that is decided", () => {
    const all = history(["a", failed("OUTCOME_UNKNOWN")], [undefined, ok(1)], ["a", ok(2)], ["a", ok(2)]);
    assertEquals(operationsOf(all, Sell).map(({ output, from, to }) => [output, from, to]), [[2, 0, 5], [1, 2, 3]]);
  });

  it("an operation has returned when any of its sends has: the first one may get its result last", () => {
    const { operations: [first, second] } = history(["a", ok(1)], ["a", ok(1)]);
    const late = { operations: [{ ...first, ended: 9 }, second] };
    assertEquals(operationsOf(late, Sell).map(({ from, to }) => [from, to]), [[0, 3]]);
  });

  it("sends are of different operations if they differ in key or id, wherever these have spaces", () => {
    const { operations: [first, second] } = history(["b c", ok(1)], ["c", ok(2)]);
    const all = { operations: [{ ...first, key: "a" }, { ...second, key: "a b" }] };
    assertEquals(operationsOf(all, Sell).map(({ key, output }) => [key, output]), [["a", 1], ["a b", 2]]);
  });

  it("gives loads of an entity, with their versions", () => {
    const load = {
      ...history([undefined, ok({ version: 7, state: 7 })]).operations[0],
      method: "load",
      contract: "Show",
    };
    assertEquals(operationsOf({ operations: [load] }, Show).map(({ output }) => output), [7]);
    assertEquals(operationsOf({ operations: [load] }, Sell), []);
  });

  it("shows that an entity is linearizable under faults, and that a counter in memory is not", async () => {
    const run = (handlers: typeof sell | (() => ReturnType<typeof Sell.handle>)) => {
      const broken: string[] = [];
      const done = explore({
        handlers,
        workload: async ({ app, clock, random, step }) => {
          const sends: Promise<unknown>[] = [];
          for (let n = 0; n < 8; n++) {
            sends.push(step("sell", () => app.send(Sell, { show: `${n % 2}` }, { id: `${n}`, timeout: 5_000 })));
            await clock.sleep(random.int(0, 200));
          }
          await Promise.all(sends);
        },
        check: ({ history }) => void broken.push(...checkLinearizable(operationsOf(history, Sell), SHOW).map(String)),
        seeds: 10,
      });
      return done.then(() => broken.length);
    };
    assertEquals(await run(sell), 0);
    const inMemory = () => {
      let sold = 0;
      return Sell.handle(() => sold === SEATS ? fail("SOLD_OUT", "no seat is left") : ++sold);
    };
    assertEquals(await run(inMemory) > 0, true);
  });
});
