/**
 * Decides what follows when a node says what came of a run for which no request of this leader waits: the node was
 * blocked or frozen, and the leader that had handed it out no longer waits, or no longer leads.
 *
 * | the message is          | the run has handled it       | the run has failed                       |
 * | ----------------------- | ---------------------------- | ---------------------------------------- |
 * | gone                    | nothing                      | nothing                                  |
 * | edited by an operator   | nothing: it had another text | nothing                                  |
 * | a dead letter           | done                         | nothing                                  |
 * | in hand elsewhere       | done when that run has ended | one more attempt; that run decides       |
 * | waiting, parked, behind | done                         | one more attempt, and what follows it    |
 *
 * Each failed run is one attempt, once ({@link CountedRuns}).
 *
 * A run counts as having handled its message only if no earlier message of its key can have begun since: else that one
 * would have had its effect last ({@link isLastOfKey}). Such a message runs again, but becomes no dead letter.
 */

import type { RunFailure } from "../format/run_request.ts";

/** Outcome of a long run, as the node says at which it has ended. */
export interface ReportedRun {
  /** Token of the last leader that handed the message out: the one that began the run, or a later one that joined. */
  readonly token: number;
  /** Number of the attempt, from 1. */
  readonly attempt: number;
  readonly outcome: "done" | RunFailure;
}

/** State of a message for which the outcome of an earlier run has come. */
export interface LateMessage {
  readonly place: "open" | "parked" | "gone";
  /** Time of its death; 0: it is no dead letter. */
  readonly dead: number;
  /** `begun`: it was sent to a node. */
  readonly turn: "waits" | "ready" | "begun";
  readonly message: { readonly earlier?: readonly unknown[] | undefined };
}

/**
 * Consequence of a late outcome. `done after its run`: the message is in hand elsewhere, and is done whatever the
 * outcome there. `an attempt`: it counts as one, and the message, in hand elsewhere, goes on.
 */
export type AfterLateOutcome = "nothing" | "done" | "done after its run" | "failed" | "an attempt";

/** Decides what follows the outcome of an earlier run. `handled`: it succeeded. `isCounted`: its failure counted. */
export function afterLateOutcome(
  { place, dead, turn, message: { earlier = [] } }: LateMessage,
  { handled, isCounted }: { readonly handled: boolean; readonly isCounted: boolean },
): AfterLateOutcome {
  if (place === "gone" || earlier.length > 0) return "nothing";
  if (handled) return turn === "begun" ? "done after its run" : "done";
  if (dead > 0 || isCounted) return "nothing";
  return turn === "begun" ? "an attempt" : "failed";
}

/**
 * The runs of a message under earlier leaders whose failures this leader has counted. Those whose attempt has another
 * number than the next one that the leader found had been counted before it led.
 */
export class CountedRuns {
  readonly #next: number;
  readonly #tokens = new Set<number>();

  /** `attempts`: number of failed attempts that this leader found. */
  constructor(attempts: number) {
    this.#next = attempts + 1;
  }

  /** Returns true if the run's failure is counted already. `token`: of the leader that handed it out. */
  has({ token, attempt }: Pick<ReportedRun, "token" | "attempt">): boolean {
    return attempt !== this.#next || this.#tokens.has(token);
  }

  add(token: number): void {
    this.#tokens.add(token);
  }
}

/**
 * Returns true if no earlier message of a message's key can have begun since its run, so that the run had its effect
 * last. `token`: of the leader that handed the run out. `last`: token of the last leader before this one. `wentBack`:
 * token of the last leader that went back in the log, 0: none has; messages that ran before are to run again.
 * `begunAgain`: true if the message itself has begun again under the last leader.
 */
export function isLastOfKey(
  { key, token, last, wentBack, begunAgain }: {
    readonly key: string | undefined;
    readonly token: number;
    readonly last: number;
    readonly wentBack: number;
    readonly begunAgain: boolean;
  },
): boolean {
  return token > wentBack && (token >= last || key === undefined || begunAgain);
}
