/** A request of a subscription's leader to a node to handle messages, and the node's answer. */
import type { Result } from "../../contract/result.ts";
import type { TrackedCaller } from "../../dispatch/remote.ts";
import { outcomeOf, outcomeOfError, outcomesOf, type RunOutcome } from "../format/run_request.ts";
import type { Item } from "./category.ts";

/** A request to handle one message, or a batch, that was sent to a node. */
export class HandedOut implements TrackedCaller {
  /** The messages of the request. Emptied when they are settled, because the request may stay in memory for longer. */
  items: readonly Item[];
  endpoint: string;
  outcome: RunOutcome = "not run";
  /** Outcome of each message of a batch; `undefined`: all messages have the outcome of the request. */
  outcomes: readonly RunOutcome[] | undefined = undefined;
  readonly #onAnswer: (handed: HandedOut) => void;

  constructor(items: readonly Item[], endpoint: string, onAnswer: (handed: HandedOut) => void) {
    this.items = items;
    this.endpoint = endpoint;
    this.#onAnswer = onAnswer;
  }

  resolve(result: Result<unknown>): void {
    this.outcomes = this.items.length > 1 ? outcomesOf(result, this.items.length) : undefined;
    if (this.outcomes === undefined) this.outcome = outcomeOf(result);
    this.#onAnswer(this);
  }

  reject(error: unknown): void {
    this.outcome = outcomeOfError(error);
    this.#onAnswer(this);
  }
}
