/** One timer for many rows: it waits for the first of them that is due, and asks the file for the next one then. */
import type { Timer } from "../ports/clock.ts";
import type { RowRoom } from "./room.ts";

/** The rows of a {@link RowTimer}. */
export interface DueRows {
  /** The time by which the rows are due, in ms. */
  now(): number;
  /** Returns the time at which the first row is due; `undefined`: there is none. */
  first(): number | undefined;
  /** Handles rows that are due, some at a time. A handled row is due later, or is gone. */
  fire(now: number): void;
  /** Returns false while rows must wait although they are due; default: never. */
  ready?(): boolean;
}

/** A timer for rows that are due. */
export class RowTimer {
  readonly #room: RowRoom;
  readonly #rows: DueRows;
  #timer: Timer | undefined;
  /** Time for which the timer is set. */
  #at = Infinity;
  #closed = false;

  constructor(room: RowRoom, rows: DueRows) {
    this.#room = room;
    this.#rows = rows;
    room.onClose(() => this.close());
  }

  /** Waits for a row that was written, which is due at `due`; without `due`: for the first row of the file. */
  arm(due: number | undefined = this.#rows.first()): void {
    if (due === undefined || due >= this.#at || this.#closed) return;
    this.#set(due, Math.max(0, due - this.#rows.now()));
  }

  /** Asks the file again, because the clock has jumped. */
  restart(): void {
    this.#stop();
    this.arm();
  }

  /** Asks the file again after a pause, because a turn was rolled back. */
  failed(): void {
    if (this.#closed) return;
    this.#stop();
    this.#set(-Infinity, PAUSE_AFTER_FAILURE);
  }

  close(): void {
    this.#closed = true;
    this.#stop();
  }

  #set(due: number, wait: number): void {
    this.#stop();
    this.#at = due;
    // the wait is limited, because the wall clock may be set
    this.#timer = this.#room.clock.after(Math.min(wait, MAX_WAIT), () => this.#fire(), { background: true });
  }

  #stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#at = Infinity;
  }

  #fire(): void {
    this.#stop();
    if (this.#closed) return;
    const { ready } = this.#rows;
    const done = this.#room.attempt(() => {
      const now = this.#rows.now();
      const first = this.#rows.first();
      if (first !== undefined && first <= now && ready?.() !== false) this.#rows.fire(now);
      if (ready?.() === false) this.#set(-Infinity, PAUSE_AFTER_FAILURE);
      else this.arm();
    });
    if (!done && !this.#room.isEnded) this.failed();
  }
}

/** Maximum time until the clock is looked at again, in ms. */
const MAX_WAIT = 10_000;
/** Pause after a turn that could not be written, in ms. */
const PAUSE_AFTER_FAILURE = 250;
