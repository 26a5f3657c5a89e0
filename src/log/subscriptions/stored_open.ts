/**
 * What the stored record calls open, in the leader. A message that has ended leaves the parking only when it is none of that: the next
 * leader would know it from the record alone, and run it again, or bury it because its attempts are used up.
 */
import { type Clock, delay } from "../../ports/clock.ts";
import type { OpenEntry } from "../format/open_positions.ts";

/** What a {@link StoredOpen} is made of. */
export interface StoredOpenOptions {
  readonly clock: Clock;
  /** What the predecessor's record calls open. */
  readonly entries: readonly OpenEntry[];
  /** Writes the record, when its progress is known. Resolves with whether it is stored. Never rejects. */
  record(): Promise<boolean>;
}

/** Messages that are open by the stored record. */
export class StoredOpen {
  readonly #options: StoredOpenOptions;
  #entries: readonly OpenEntry[];
  /** The positions of the entries, once somebody asks. */
  #positions: ReadonlySet<number> | undefined;
  #writing: Promise<boolean> | undefined;
  #closed = false;

  constructor(options: StoredOpenOptions) {
    this.#options = options;
    this.#entries = options.entries;
  }

  /** A record is stored. */
  stored(entries: readonly OpenEntry[]): void {
    this.#entries = entries;
    this.#positions = undefined;
  }

  /** Resolves when the stored record does not call a message open, or it is closed. */
  async left(position: number): Promise<void> {
    while (!this.#closed && this.#has(position)) {
      this.#writing ??= this.#options.record().finally(() => this.#writing = undefined);
      await this.#writing;
      if (!this.#closed && this.#has(position)) await delay(this.#options.clock, PAUSE);
    }
  }

  close(): void {
    this.#closed = true;
  }

  #has(position: number): boolean {
    if (this.#entries.length === 0) return false;
    this.#positions ??= new Set(this.#entries.map(([each]) => each));
    return this.#positions.has(position);
  }
}

const PAUSE = 50; // ms
