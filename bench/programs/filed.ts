/**
 * What a program is made of that keeps work in a file, ours or a peer's, in one process: it stores messages and handles
 * them in order by key.
 *
 * @module
 */
import { performance } from "node:perf_hooks";

/** Number of keys. */
const KEYS = 900;

/** A message: the number of it among all, and its key. */
export interface Numbered {
  readonly n: number;
  readonly key: string;
}

/** Options of the task `events`: so many are stored at once, for so many ms. */
export interface EventsOptions {
  readonly atOnce: number;
  readonly ms: number;
}

/** Counts what is handled, and throws if a key's messages are not handled in order. */
export class InOrder {
  #handled = 0;
  #stored = 0;
  readonly #last = new Map<string, number>();
  #caughtUp = () => {};

  /** Call with each message that is handled. */
  handle({ n, key }: Numbered): void {
    if (n <= (this.#last.get(key) ?? -1)) throw new Error(`message ${n} of key ${key} was handled late, or twice`);
    this.#last.set(key, n);
    if (++this.#handled === this.#stored) this.#caughtUp();
  }

  /** Stores messages for some ms, until all are handled; resolves with their number a second. */
  async events(store: (message: Numbered) => Promise<unknown>, { atOnce, ms }: EventsOptions): Promise<number> {
    const before = this.#handled;
    const start = performance.now();
    let next = this.#handled;
    this.#stored = Infinity;
    await Promise.all(Array.from({ length: atOnce }, async () => {
      while (performance.now() - start < ms) {
        const n = next++;
        await store({ n, key: `k${n % KEYS}` });
      }
    }));
    this.#stored = next;
    if (this.#handled < next) await new Promise<void>((resolve) => this.#caughtUp = resolve);
    return (this.#handled - before) / (performance.now() - start) * 1_000;
  }
}
