import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { event } from "../../contract/declaration/definition.ts";
import type { Observation } from "../../contract/nodes/observer.ts";
import { HandledCount } from "../../dispatch/handled_count.ts";
import type { HandlerRun } from "../../dispatch/handler_call.ts";
import { type Outcome, Refusal } from "../../dispatch/outcome.ts";
import { TurnBudget } from "../../dispatch/turn_budget.ts";
import { CatgaError } from "../../error.ts";
import { MemoryEventLog } from "../../memory/event_log.ts";
import type { Random } from "../../ports/clock.ts";
import { localApp } from "../../../test/support/local_app.ts";
import { untaken } from "../../../test/support/taken_changes.ts";
import { groupText, itemText } from "../format/group.ts";
import { categorySubject, logSubjects } from "../format/names.ts";
import { streamName } from "../format/stream_name.ts";
import { categoryHandlers } from "./category_handlers.ts";
import { READ_MODEL_STATES, ReadModel } from "./read_model.ts";

const Counted = event<number>("Counted", { durable: true });
const OK: Outcome = { ok: true, value: undefined };
const FAILED: Outcome = { ok: false, error: new CatgaError("NOT_NOW", "not now") };

describe("ReadModel", () => {
  it("has caught up when all that the log had is handled, not when it is read; what comes later changes nothing", async () => {
    const ends: (() => void)[] = [];
    const { model, clock, put, follow } = await start(() => new Promise((resolve) => ends.push(() => resolve(OK))));
    await put(1, 2);
    await follow();
    assertEquals([model.caughtUp, ends.length], [false, 1]);
    ends[0]();
    await clock.advance(0);
    assertEquals([model.caughtUp, ends.length], [false, 2]);
    ends[1]();
    await clock.advance(0);
    assertEquals(model.caughtUp, true);
    await put(3);
    await clock.advance(100);
    assertEquals([model.caughtUp, ends.length], [true, 3]);
  });

  it("says how many messages are open, and how old the oldest is", async () => {
    let outcome: Outcome = FAILED;
    const { model, clock, put, follow } = await start(() => outcome);
    assertEquals(model.figures, { open: 0, lag: 0, oldest: 0, retrying: 0 });
    await put(1, 2, 3);
    await follow();
    const { open, oldest } = model.figures;
    await clock.advance(500);
    assertEquals([open, model.figures.open, model.figures.oldest - oldest], [3, 3, 500]);
    outcome = OK;
    await clock.advance(60_000);
    assertEquals(model.figures, { open: 0, lag: 0, oldest: 0, retrying: 0 });
  });

  it("pauses twice as long after each failure, up to the longest pause, each a random part shorter", async () => {
    const { seen, follow, put, clock } = await start(() => FAILED, () => 0.5);
    await put(1);
    await follow();
    await clock.advance(5_000);
    const failures = seen.filter((each) => each.type === "message-failed");
    assertEquals(failures.slice(0, 5).map(({ attempt, pause }) => [attempt, pause]), [
      [1, 75],
      [2, 150],
      [3, 300],
      [4, 600],
      [5, 750],
    ]);
    assertEquals(failures.length, 10);
  });

  it("tries again what was refused: it has not run", async () => {
    let runs = 0;
    const { model, clock, put, follow } = await start((_, ctx) => runs++ === 0 ? new Refusal("OVERLOADED", ctx) : OK);
    await put(1);
    await follow();
    assertEquals([runs, model.caughtUp], [1, false]);
    await clock.advance(100);
    assertEquals([runs, model.caughtUp], [2, true]);
  });

  it("reports a handler that does not end in its time, whose messages behind it wait, and runs no other for it", async () => {
    const ends: (() => void)[] = [];
    const { seen, clock, put, follow } = await start(() => new Promise((resolve) => ends.push(() => resolve(OK))));
    await put(1, 2);
    await follow();
    await clock.advance(60_000);
    const faults = () => seen.filter((each) => each.type === "fault").map(({ during }) => during);
    assertEquals(faults(), ["handling Counted for app/view"]);
    assertEquals(ends.length, 1);
    ends[0]();
    await clock.advance(0);
    assertEquals([faults().length, ends.length], [1, 2]);
  });

  it("begins nothing once it is closed: neither what waits, nor another attempt, nor what comes; no timer is left", async () => {
    for (const async of [false, true]) {
      const ends: (() => void)[] = [];
      const { model, clock, seen, put, follow } = await start(() => {
        if (!async) return (ends.push(() => {}), FAILED);
        return new Promise((resolve) => ends.push(() => resolve(FAILED)));
      });
      await put(1, 2);
      await follow();
      assertEquals(ends.length, 1);
      const observed = seen.length;
      model.close();
      model.close();
      if (!async) assertEquals(clock.timers, 0);
      ends[0]();
      await put(3);
      await clock.advance(60_000);
      assertEquals([ends.length, seen.length], [1, observed]);
      assertEquals([model.figures.lag, clock.timers], [0, 0]);
    }
  });
});

/** Starts a read model of a stream in memory, with this handler. Its messages have no key. */
describe("the states of a read model", () => {
  /** A budget whose turns end when the test says so. */
  function budgetByHand() {
    const waiting: (() => void)[] = [];
    const budget = { over: false, spent: () => 0, nextTurn: (callback: () => void) => void waiting.push(callback) };
    return { budget, next: () => waiting.splice(0).forEach((callback) => callback()) };
  }

  it("go on as their table says, each change of it", async () => {
    const left = await untaken(READ_MODEL_STATES, async () => {
      const { budget, next } = budgetByHand();
      const { model, put, follow, clock } = await start(() => OK, undefined, budget);
      await put(1);
      await follow();
      budget.over = true;
      await put(2);
      await clock.advance(100);
      budget.over = false;
      next();
      budget.over = true;
      await put(3);
      await clock.advance(100);
      assertEquals(model.figures.lag, 1);
      model.close(); // in the next turn
      next();
      assertEquals(model.figures.lag, 1);
      (await start(() => OK)).model.close(); // idle
      const closing = await start(() => (closing.model.close(), OK));
      await closing.put(1, 2);
      await closing.follow();
      assertEquals(closing.model.figures.lag, 0);
    });
    assertEquals(left, []);
  });
});

async function start(
  run: HandlerRun,
  random: Random = () => 0,
  budget?: Pick<TurnBudget, "over" | "spent" | "nextTurn">,
) {
  const { inside, clock } = localApp();
  const log = new MemoryEventLog(clock);
  const stream = await log.open(streamName("shop", "log"), {
    subjects: logSubjects("shop"),
    replicas: 1,
    schedules: true,
  });
  const seen: Observation[] = [];
  const observer = (observation: Observation) => void seen.push(observation);
  const settings = {
    name: "view",
    from: "start",
    each: "node",
    attempts: 1,
    delay: [100, 1_000],
    outage: 0,
    timeout: 1_000,
  } as const;
  const model = new ReadModel({
    ...{ host: inside, clock, random, observer, namespace: "shop", label: "app/view" },
    handled: new HandledCount({ clock, observer, hooks: { watched: false } }, "app/view"),
    budget: (budget ?? new TurnBudget(clock)) as TurnBudget, // safe: a read model uses these parts of it
    handlers: new Map([["Counted", categoryHandlers([{ contract: Counted, settings, run, entity: false }], 1_000)]]),
    delay: settings.delay,
    causes: true,
  });
  const put = async (...numbers: number[]) => {
    const items = numbers.map((n) => itemText({ text: `${n}`, key: undefined, id: undefined, meta: undefined }));
    const head = { endpoint: "a.1", first: 0, sentAt: 0, keep: undefined, schedule: undefined };
    await stream.append(categorySubject("shop", "Counted"), groupText(head, items.join(",")), { timeout: 1_000 });
  };
  const follow = async () => {
    model.follow(stream, undefined);
    await clock.advance(0);
  };
  return { model, clock, seen, put, follow };
}
