/** A request that a leader has handed out, and its answer. */
import type { Result } from "../../contract/result.ts";
import type { TrackedCaller } from "../../dispatch/remote.ts";
import { outcomeOf, outcomeOfError, outcomesOf, type RunOutcome } from "../format/run_request.ts";
import type { Item } from "./category.ts";

/** A request that was handed out: one message, or a batch. */
export class HandedOut implements TrackedCaller {
  /** The messages; emptied when they are settled, because the request may be kept in memory for longer. */
  items: readonly Item[];
  endpoint: string;
  outcome: RunOutcome = "not run";
  /** The outcome of each message of a batch, if they differ. */
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
