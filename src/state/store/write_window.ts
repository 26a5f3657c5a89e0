/**
 * Limits how many first writes of claims, or of locks, a node sends at once. A write that is not acknowledged in time
 * is followed by a read and by another write; so a store that is given more writes than it can acknowledge in time gets
 * more and more of them, and acknowledges none in time. Writes that wait here have not been sent, and are not late.
 */
import { Gate } from "../../data/gate.ts";
import type { MaybePromise } from "../../contract/schemas/schema.ts";
import { isAmbiguous } from "./ambiguous_writes.ts";

/**
 * Ends a write: `took` is the time until its answer, in ms; `Infinity`: no answer came; `undefined`: it was not sent,
 * or its sender did not wait for the answer.
 */
export type LeaveWindow = (took?: number) => void;

/** The writes under way of one node: as many as its store acknowledges soon. */
export class WriteWindow {
  readonly #gate = new Gate(FIRST);

  /** Maximum number of writes at once, at present. */
  get size(): number {
    return Math.floor(this.#gate.most);
  }

  /** Gives a write its place, at once if there is one, else in the order of arrival. */
  enter(): MaybePromise<LeaveWindow> {
    if (this.#gate.isFull) return this.#gate.enter().then((leave) => this.#placed(leave));
    return this.#placed(this.#gate.take());
  }

  #placed(leave: () => void): LeaveWindow {
    return (took) => {
      if (took !== undefined) this.#gate.most = resized(this.#gate.most, took);
      leave();
    };
  }
}

/** Returns the time of a write that failed with this error, for {@link LeaveWindow}. */
export function timeOfFailed(error: unknown): number | undefined {
  return isAmbiguous(error) ? Infinity : undefined;
}

/** Returns the size of the window after a write that was answered after `took` ms. */
function resized(size: number, took: number): number {
  if (took < SOON) return Math.min(MOST, size + 1 / 4);
  return Math.max(FEWEST, took === Infinity ? size / 2 : size - 1);
}

/** Number of writes at once of a node that has written nothing yet. */
const FIRST = 64;
const FEWEST = 16;
const MOST = 1_024;
/** Time within which a store answers that has room for more writes, in ms: a third of the shortest time limit. */
const SOON = 500;
