/**
 * The order of an ordered contract: messages of one key run one at a time, in order of arrival; messages of different
 * keys run concurrently.
 */
import type { RunNow } from "./admission_deadlock.ts";
import type { MessageContext } from "./message_context.ts";
import type { TurnBudget } from "./turn_budget.ts";
import type { MaybePromise } from "../contract/schema.ts";
import type { Clock } from "../ports/clock.ts";
import type { Outcome } from "./outcome.ts";
import { ConcurrencyLimit } from "./concurrency_limit.ts";

/** Runs the messages of an ordered contract, one at a time for each key. */
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
