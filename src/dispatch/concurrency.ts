/** Handlers that take turns: so many at once for a handler of its own `concurrency`, one at a time for a key that is `ordered`. */
import type { Clock } from "../ports/clock.ts";
import type { MessageContext } from "./message_context.ts";
import type { CatgaError } from "../error.ts";
import { AdmissionQueue, type Dropped, QueueEntry } from "./admission_queue.ts";
import type { MaybePromise } from "../contract/schema.ts";
import type { TurnBudget } from "./turn_budget.ts";
import { type NoTurn, type Outcome, Refusal } from "./outcome.ts";

/**
 * What comes before a handler that has not begun, which is {@link Course.preparing}: a refusal as soon as the message is
 * given up, for then the handler will not begin.
 */
export function beforeHandler(ctx: MessageContext, work: Promise<Outcome>): Promise<Outcome> {
  const { course } = ctx;
  if (course.aborted !== undefined && course.preparing) return Promise.resolve(dropped(ctx, course.aborted));
  return new Promise((resolve) => {
    // each message has this when there is a behavior: what `until` makes for it takes twice as long
    course.drop = (reason) => resolve(dropped(ctx, reason));
    work.then(resolve);
  });
}

/** The refusal of a message that was given up before its handler began. */
export function dropped(ctx: MessageContext, { code }: CatgaError): Refusal {
  return new Refusal(code === "CLOSED" ? "DRAINING" : "LATE", ctx);
}

/** Runs a handler whose turn it is. Never throws, never rejects. */
export type RunNow = () => MaybePromise<Outcome>;

/** Runs a handler when its turn has come, or gives a {@link Refusal}. Never throws, never rejects. */
export type Admission = (ctx: MessageContext, run: RunNow) => MaybePromise<Outcome>;

/** The turns of one handler. */
export class HandlerAdmission {
  readonly #clock: Clock;
  readonly #slice: TurnBudget;
  readonly #all: Passage | undefined;
  /** Of each key that has somebody running or waiting. */
  readonly #keys: Map<string, Passage> | undefined;

  constructor(
    clock: Clock,
    slice: TurnBudget,
    { concurrency, ordered }: { concurrency: number | undefined; ordered: boolean },
  ) {
    this.#clock = clock;
    this.#slice = slice;
    this.#all = concurrency === undefined ? undefined : new Passage(clock, slice, concurrency);
    this.#keys = ordered ? new Map() : undefined;
  }

  /** How many keys have somebody running or waiting. */
  get keys(): number {
    return this.#keys?.size ?? 0;
  }

  /** Runs it when its turn has come: of its key first, then of the handler. */
  take(ctx: MessageContext, run: RunNow): MaybePromise<Outcome> {
    const keys = this.#keys;
    const key = keys === undefined ? undefined : ctx.course.key;
    const next = () => this.#through(this.#all, ctx, run);
    if (keys === undefined || key === undefined) return next();
    let passage = keys.get(key);
    if (passage === undefined) keys.set(key, passage = new Passage(this.#clock, this.#slice, 1));
    const own = passage;
    return this.#through(own, ctx, next, () => {
      if (own.gate.running === 0 && own.gate.waiting === 0 && keys.get(key) === own) keys.delete(key);
    });
  }

  /** `left` is called when it has left the gate, or will not pass it. */
  #through(passage: Passage | undefined, ctx: MessageContext, run: RunNow, left?: () => void): MaybePromise<Outcome> {
    if (passage === undefined) return run();
    const { gate, holders } = passage;
    const leave = (outcome: Outcome): Outcome => {
      holders.delete(ctx);
      if (outcome instanceof Refusal) gate.stepAside();
      else gate.leave();
      left?.();
      return outcome;
    };
    const start = (): MaybePromise<Outcome> => {
      holders.add(ctx);
      const result = run();
      this.#slice.spent();
      return result instanceof Promise ? result.then(leave) : leave(result);
    };
    if (gate.open) {
      gate.pass();
      return start();
    }
    return new Promise((resolve) => {
      const drop = (code: NoTurn): void => {
        resolve(new Refusal(code, ctx));
        left?.();
      };
      // nobody will give it up a second time
      if (ctx.aborted !== undefined) return drop("LATE");
      const turn = new Turn(ctx, this.#clock, {
        // after a pause its claim may be lost, and no timer have run yet
        start: () => resolve(ctx.aborted === undefined ? start() : leave(new Refusal("LATE", ctx))),
        drop,
      });
      ctx.wait(turn);
      if (!gate.enter(turn)) drop("OVERLOADED");
      else watchForDeadlock(this.#clock, turn, ctx.ancestry, () => passage.heldBy(ctx.ancestry));
    });
  }
}

/** A gate, and the messages that have passed it and not left. */
class Passage {
  readonly gate: AdmissionQueue;
  readonly holders: Set<MessageContext> = new Set();

  constructor(clock: Clock, slice: TurnBudget, limit: number) {
    this.gate = new AdmissionQueue(clock, { limit, slice });
  }

  /** Whether these runs have all of its turns. */
  heldBy(runs: readonly string[]): boolean {
    return this.gate.full && areAmong(runs, this.holders);
  }
}

/** Whether each of these messages is handled by one of these runs. */
export function areAmong(runs: readonly string[], messages: Iterable<MessageContext>): boolean {
  for (const { call } of messages) if (call === undefined || !runs.includes(call)) return false;
  return true;
}

/**
 * Drops one that waits for a turn which those alone have who wait for it to end: they have it now, and still a little later.
 * A handler that sends without awaiting, and ends meanwhile, is not among them.
 */
export function watchForDeadlock(
  clock: Clock,
  ticket: QueueEntry,
  ancestry: readonly string[],
  held: () => boolean,
): void {
  // whoever else has a turn gives it to somebody, and nobody who waits already can come to have one: it is so now, or never
  if (ancestry.length === 0 || ticket.gate === undefined || !held()) return;
  const { gate } = ticket;
  clock.after(LOOK, () => ticket.gate === gate && held() && ticket.quit("DEADLOCK"), { background: true });
}

const LOOK = 100; // ms; what looks through the locks waits as long

/** A message that waits for its turn; its context has the deadline. */
export class Turn extends QueueEntry {
  readonly #ctx: MessageContext;
  readonly #then: { start(): void; drop(why: Dropped): void };

  /** One of the two is called, once. */
  constructor(ctx: MessageContext, clock: Clock, then: { start(): void; drop(why: Dropped): void }) {
    super(ctx.dueAt(clock.monotonic()));
    this.#ctx = ctx;
    this.#then = then;
  }

  override start(): void {
    this.#ctx.course.go();
    this.#then.start();
  }

  override drop(why: Dropped): void {
    this.#then.drop(why);
  }
}
