/** A parked message in the memory of its subscription's leader. */
import type { ParkedEntry } from "../format/parked_entry.ts";

/**
 * - `writing`: what is stored of it is being written or removed.
 * - `behind`: it waits for those of its key before it.
 * - `waiting`: it is the first of its key, and not due.
 * - `due`: it is to be handed out.
 * - `hand`: it was handed out.
 * - `dead`: a dead letter.
 */
export type Stage = "writing" | "behind" | "waiting" | "due" | "hand" | "dead";

/** A parked message. */
export interface ParkedItem {
  readonly position: number;
  readonly line: Line;
  /** When its message was stored in the log, in ms since 1970. */
  time: number;
  stage: Stage;
  /** The revision of what is stored of it; 0: nothing is. */
  revision: number;
  /** When it is to be tried, by the monotonic clock. */
  due: number;
  dead: boolean;
  /** What is stored of it; `undefined`: it is large, and read again when it is due. */
  entry: ParkedEntry | undefined;
}

/** Messages of one category and key, by position; or one without a key. */
export interface Line {
  /** `undefined` for one without a key. */
  readonly id: string | undefined;
  readonly items: ParkedItem[];
}
