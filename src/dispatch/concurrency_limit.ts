/**
 * The concurrency of a handler: the maximum number of messages that it runs at once, for all senders together. Further
 * messages wait in order of arrival. An ordered contract has a limit of one message for each key.
 */
import { AdmissionQueue } from "./admission_queue.ts";
import { areAmong, QueuedMessage, type RunNow, watchForDeadlock } from "./admission.ts";
import type { MessageContext } from "./message_context.ts";
import type { TurnBudget } from "./turn_budget.ts";
import type { MaybePromise } from "../contract/schemas/schema.ts";
import type { Clock } from "../ports/clock.ts";
import { type Outcome, Refusal, type RefusalCode } from "./outcome.ts";

/** The concurrency limit of one handler, or of the messages of one key. */
export class ConcurrencyLimit {
  readonly #clock: Clock;
  readonly #budget: TurnBudget;
  readonly #queue: AdmissionQueue;
  /** The messages whose handlers run now. */
  readonly #holders: Set<MessageContext> = new Set();

  constructor(clock: Clock, budget: TurnBudget, limit: number) {
    this.#clock = clock;
    this.#budget = budget;
    this.#queue = new AdmissionQueue(clock, { limit, budget });
  }

  /** True if no message of this limit runs or waits. */
  get unused(): boolean {
    return this.#queue.running === 0 && this.#queue.waiting === 0;
  }

  /**
   * Runs a message as soon as fewer than `limit` messages run, which may be at once; or resolves with a
   * {@link Refusal}, if its handler did not run. `left` is called when the message has ended or was refused. Never
   * throws, never rejects.
   */
  admit(ctx: MessageContext, run: RunNow, left?: () => void): MaybePromise<Outcome> {
    const queue = this.#queue;
    const leave = (outcome: Outcome): Outcome => {
      this.#holders.delete(ctx);
      if (outcome instanceof Refusal) queue.stepAside();
      else queue.leave();
      left?.();
      return outcome;
    };
    const start = (): MaybePromise<Outcome> => {
      this.#holders.add(ctx);
      const result = run();
      this.#budget.spent();
      return result instanceof Promise ? result.then(leave) : leave(result);
    };
    if (queue.open) {
      queue.occupy();
      return start();
    }
    const begin = (): MaybePromise<Outcome> => {
      // after a pause of the process, the claim (record that reserves a command's id) may be lost, although no timer
      // has run yet
      return ctx.aborted === undefined ? start() : leave(new Refusal("LATE", ctx));
    };
    return new Promise<RefusalCode | undefined>((resolve) => {
      const drop = resolve;
      // an aborted message must not enter the queue: it is not aborted a second time, so nothing would take it out
      if (ctx.aborted !== undefined) return drop("LATE");
      const message = new QueuedMessage(ctx, this.#clock, {
        start: () => resolve(undefined),
        drop,
      });
      ctx.enqueued(message);
      if (!queue.enter(message)) drop("OVERLOADED");
      else watchForDeadlock(this.#clock, message, ctx.ancestry, () => this.#heldBy(ctx.ancestry));
    }).then((dropped) => {
      // the handler begins here and not in the callback `start`, because `start` runs in the async context of the
      // message that has made room
      if (dropped !== undefined) {
        left?.();
        return new Refusal(dropped, ctx);
      }
      if (!this.#budget.over) return begin();
      return new Promise<void>((resolve) => this.#budget.nextTurn(resolve)).then(begin);
    });
  }

  /**
   * Returns true if all places of this limit are taken, and the name of every run of a handler that has a place is in
   * `runs`.
   */
  #heldBy(runs: readonly string[]): boolean {
    return this.#queue.full && areAmong(runs, this.#holders);
  }
}

/**
 * The order of an ordered contract: messages of one key run one at a time, in order of arrival; messages of different
 * keys run concurrently.
 */
export class KeyQueue {
  readonly #clock: Clock;
  readonly #budget: TurnBudget;
  /** By key: the limit to one message at a time. A key has a limit as long as a message of the key runs or waits. */
  readonly #limits: Map<string, ConcurrencyLimit> = new Map();

  constructor(clock: Clock, budget: TurnBudget) {
    this.#clock = clock;
    this.#budget = budget;
  }

  /** Number of keys of which a message runs or waits. */
  get size(): number {
    return this.#limits.size;
  }

  /**
   * Runs a message after the earlier messages of its key; at once if it has no key. Resolves with a {@link Refusal} if
   * its handler did not run. Never throws, never rejects.
   */
  admit(ctx: MessageContext, run: RunNow): MaybePromise<Outcome> {
    const { key } = ctx.execution;
    if (key === undefined) return run();
    const limits = this.#limits;
    let limit = limits.get(key);
    if (limit === undefined) limits.set(key, limit = new ConcurrencyLimit(this.#clock, this.#budget, 1));
    const own = limit;
    return own.admit(ctx, run, () => {
      if (own.unused && limits.get(key) === own) limits.delete(key);
    });
  }
}
