/**
 * Outcomes of the long runs of a contract's messages at this node. A node that was blocked or frozen answers a leader
 * that no longer waits, or no longer leads; so it remembers each run that took a second or longer, and says it to every
 * leader that asks what the node runs (`BarrierAnswer`).
 */
import { type Outcome, Refusal } from "../../dispatch/outcome.ts";
import type { FailedRun, FinishedRun, RunAnswer } from "../format/run_request.ts";

/** The last long runs, by message. A list of them fits into one message. */
export class FinishedRuns {
  readonly #runs = new Map<string, { readonly run: FinishedRun; readonly at: number }>();

  /** Remembers a run with this outcome that has ended `now`, by the monotonic clock. */
  add(id: string, token: number, attempt: number, answer: Outcome, now: number): void {
    const kept = keptAnswer(answer);
    if (kept === undefined || (kept !== 0 && this.#hasHandled(id))) return;
    this.#runs.delete(id); // so that the order is that of the ends
    this.#runs.set(id, { run: [id, token, attempt, kept], at: now });
    for (const oldest of this.#runs.keys()) {
      if (this.#runs.size <= MAX_RUNS) break;
      this.#runs.delete(oldest);
    }
  }

  /** Takes note that the leader with this token gets the answer of a message's run, which has ended. */
  asked(id: string, token: number): void {
    const known = this.#runs.get(id);
    if (known === undefined) return;
    const { run: [, , attempt, outcome], at } = known;
    this.#runs.set(id, { run: [id, token, attempt, outcome], at });
  }

  /** Forgets the earlier run of a message that begins again, unless it has handled the message. */
  forget(id: string): void {
    if (this.#runs.size > 0 && !this.#hasHandled(id)) this.#runs.delete(id);
  }

  #hasHandled(id: string): boolean {
    return this.#runs.get(id)?.run[3] === 0;
  }

  /** Returns the runs that have ended in the last minutes. */
  since(now: number): readonly FinishedRun[] {
    for (const [id, { at }] of this.#runs) if (now - at > KEPT) this.#runs.delete(id);
    return [...this.#runs.values()].map(({ run }) => run);
  }
}

/** Returns the outcome as it is remembered; `undefined`: the handler did not run. */
function keptAnswer(outcome: Outcome): 0 | 4 | FailedRun | undefined {
  if (outcome instanceof Refusal) return undefined;
  if (outcome.ok) {
    const value = outcome.value as RunAnswer; // the answer of a run
    if (typeof value === "number") return value === 1 ? undefined : value;
    const [code, message, final, , outage] = value;
    const short = message.slice(0, MAX_MESSAGE).toWellFormed();
    return outage === undefined ? [code, short, final] : [code, short, final, null, outage];
  }
  const { code, message, final } = outcome.error;
  return code === "TIMEOUT" ? [code, message.slice(0, MAX_MESSAGE).toWellFormed(), final ? 1 : 0] : undefined;
}

/** Duration of a run from which on it is remembered, in ms: less than a standstill that costs a leader its lead. */
export const LONG_RUN = 1_000;
/** Time for which a run is remembered, in ms. */
const KEPT = 600_000;
/** Maximum number of runs that are remembered of each contract. */
const MAX_RUNS = 256;
/** Maximum length of a remembered error message, in characters. */
const MAX_MESSAGE = 256;
