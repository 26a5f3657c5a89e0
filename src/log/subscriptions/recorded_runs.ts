/**
 * Attempts that are in the record before they begin: if one of them ends this process, its successors count it. One write is for all that
 * have come while the write before was under way.
 */
import type { OpenItem } from "./category.ts";

/** What {@link RecordedRuns} are made of. */
export interface RecordedRunsOptions {
  /** Writes the record now. Resolves with whether it is stored. Never rejects. */
  record(): Promise<boolean>;
  /** Its attempt is recorded. */
  run(item: OpenItem): void;
  /** It was not, and did not begin. */
  onFailed(items: readonly OpenItem[]): void;
}

/** Attempts that are about to begin. */
export class RecordedRuns {
  readonly #options: RecordedRunsOptions;
  #waiting: OpenItem[] = [];
  #writing = false;
  #closed = false;

  constructor(options: RecordedRunsOptions) {
    this.#options = options;
  }

  /** Begins an attempt of a message. */
  begin(item: OpenItem): void {
    item.attempts++;
    item.running = true;
    this.#waiting.push(item);
    if (this.#writing) return;
    this.#writing = true;
    // all of a group that is handed out now
    queueMicrotask(() => void this.#write());
  }

  close(): void {
    this.#closed = true;
    this.#waiting = [];
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const items = this.#waiting;
      this.#waiting = [];
      const stored = await this.#options.record();
      if (this.#closed) return;
      if (stored) { for (const item of items) this.#options.run(item); }
      else this.#options.onFailed(items);
    }
    this.#writing = false;
  }
}
