/**
 * Gives room back to the disk: pages of a file that removed messages and entries have left are taken off its end, some
 * at a time, while little else is written.
 * @decides when a file becomes smaller
 */
import type { Timer } from "../ports/clock.ts";
import type { Room } from "./room.ts";

/** Keeps the free pages of one file few. */
export class FreePages {
  readonly #room: Room;
  readonly #count;
  #timer: Timer | undefined;
  /** Number of free pages before the last turn that has given some back. */
  #before = Infinity;
  /** True from when the file begins to be closed, which writes once more. */
  #closed = false;

  constructor(room: Room) {
    this.#room = room;
    this.#count = room.statement("SELECT freelist_count AS count FROM pragma_freelist_count");
    room.onCommit(() => this.#wait(LOOK_AFTER));
    room.onClose(() => {
      this.#closed = true;
      this.#timer?.cancel();
    });
  }

  /** Looks some time after a turn that has written: a file that nothing is written into is not looked at. */
  #wait(ms: number): void {
    if (this.#closed) return;
    this.#timer ??= this.#room.clock.after(ms, () => {
      this.#timer = undefined;
      this.#room.attempt(() => this.#look());
    }, { background: true });
  }

  #look(): void {
    const count = this.#count.get()!.count as number;
    const isStuck = count >= this.#before;
    this.#before = Infinity;
    if (count < LEAST || isStuck) return;
    this.#before = count;
    this.#room.exec(`PRAGMA incremental_vacuum(${AT_ONCE})`);
    this.#wait(PAUSE);
  }
}

/** Time after a turn that has written until free pages are looked for, in ms. */
const LOOK_AFTER = 1_000;
/** Number of free pages that a file keeps for what is written next: 1 MB. */
const LEAST = 256;
/** Number of pages that are given back in one turn: that takes some ms. */
const AT_ONCE = 128;
/** Pause between two such turns, in ms. */
const PAUSE = 20;
