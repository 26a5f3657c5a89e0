/** Entries that must not be there: of earlier generations or leaders, or stored late. Removed in the background, some at a time. */
import { Fifo } from "../../data/fifo.ts";
import type { ParkedStore } from "./parked_store.ts";

/** The removals of one leader. */
export class Removals {
  readonly #store: ParkedStore;
  readonly #fault: (error: unknown) => void;
  readonly #queue = new Fifo<() => Promise<void>>();
  readonly #byKey = new Map<string, Promise<void>>();
  #running = 0;

  constructor(store: ParkedStore, fault: (error: unknown) => void) {
    this.#store = store;
    this.#fault = fault;
  }

  /** Removes the entry of this revision. */
  add(key: string, revision: number): void {
    const before = this.of(key);
    const removal = new Promise<void>((resolve) => {
      this.#queue.push(async () => {
        try {
          await before;
          await this.#store.remove(key, revision);
        } catch (error) {
          if (!this.#store.closed) this.#fault(error);
        } finally {
          if (this.#byKey.get(key) === removal) this.#byKey.delete(key);
          resolve();
        }
      });
    });
    this.#byKey.set(key, removal);
    this.#run();
  }

  /** Resolves when no removal of this key is under way. */
  of(key: string): Promise<void> {
    return this.#byKey.get(key) ?? Promise.resolve();
  }

  #run(): void {
    while (this.#running < AT_ONCE) {
      const next = this.#queue.shift();
      if (next === undefined) return;
      this.#running++;
      next().finally(() => {
        this.#running--;
        this.#run();
      });
    }
  }
}

/** Removals at once. */
const AT_ONCE = 16;
