/** The entries of a bucket in memory: what the server stores, with expiry and its faults, without clients. */
import type { Clock, Timer } from "../ports/clock.ts";
import type { BucketOptions, Change, Entry } from "../ports/key_value_store.ts";
import type { FaultSource } from "./faults.ts";

interface StoredEntry {
  readonly entry: Entry;
  /** When it expires, by the monotonic clock. */
  end?: number;
  expiry?: Timer;
}

/** The stored entries of one bucket. */
export class BucketState {
  readonly settings: Readonly<Required<BucketOptions>>;
  readonly #clock: Clock;
  readonly #faults: FaultSource | undefined;
  /** By key, in the order of the revisions: a write moves its key to the end. */
  readonly #stored = new Map<string, StoredEntry>();
  readonly #observers = new Set<(change: Change) => void>();
  #next: number;
  #revived = false;

  constructor(clock: Clock, settings: Readonly<Required<BucketOptions>>, faults?: FaultSource) {
    this.#clock = clock;
    this.#faults = faults;
    this.settings = settings;
    // as on NATS, so that fencing tokens keep growing after a bucket was lost
    this.#next = Math.floor(clock.now() * 1_000);
  }

  get(key: string): Entry | undefined {
    return this.#stored.get(key)?.entry;
  }

  entries(prefix: string): Entry[] {
    const found = Array.from(this.#stored.values(), (stored) => stored.entry).filter((entry) =>
      entry.key.startsWith(prefix)
    );
    // a revived entry is out of order
    return this.#revived ? found.sort((a, b) => a.revision - b.revision) : found;
  }

  /** Writes an entry, which expires after `seconds`; never, without them. */
  put(key: string, value: string, seconds: number | undefined): number {
    this.#delete(key);
    const entry = Object.freeze({ key, value, revision: this.#next++ });
    const stored: StoredEntry = { entry };
    this.#stored.set(key, stored);
    if (seconds !== undefined) this.#expireAt(stored, this.#clock.monotonic() + this.#life(seconds));
    this.#notify({ type: "put", ...entry });
    return entry.revision;
  }

  /** Removes an entry. Returns `false` if there was none. */
  remove(key: string, type: "delete" | "expire"): boolean {
    const stored = this.#stored.get(key);
    if (stored === undefined) return false;
    this.#delete(key);
    this.#notify({ type, key, revision: this.#next++ });
    if (type === "delete" && stored.end !== undefined && this.#faults?.hits("revival")) {
      this.#revive(stored, stored.end);
    }
    return true;
  }

  /** Calls back synchronously at every change, until the returned function is called. */
  observe(observer: (change: Change) => void): () => void {
    this.#observers.add(observer);
    return () => this.#observers.delete(observer);
  }

  #delete(key: string): boolean {
    this.#stored.get(key)?.expiry?.cancel();
    return this.#stored.delete(key);
  }

  /** How long an entry lives, in ms. */
  #life(seconds: number): number {
    const late = this.#faults?.hits("lateExpiry") ? this.#faults.random() * 1_000 : 0;
    return seconds * 1_000 * (this.#faults?.hits("earlyExpiry") ? this.#faults.random() : 1) + late;
  }

  #revive({ entry }: StoredEntry, end: number): void {
    this.#clock.after(this.#faults!.random() * 1_000, () => {
      if (this.#stored.has(entry.key) || this.#clock.monotonic() >= end) return;
      const stored: StoredEntry = { entry };
      this.#stored.set(entry.key, stored);
      this.#revived = true;
      this.#expireAt(stored, end);
    }, { background: true });
  }

  #expireAt(stored: StoredEntry, end: number): void {
    stored.end = end;
    const check = () => {
      // timers may fire early: by a rounding, or because their delay is limited
      if (this.#clock.monotonic() < end) this.#expireAt(stored, end);
      else this.remove(stored.entry.key, "expire");
    };
    stored.expiry = this.#clock.after(Math.max(0, end - this.#clock.monotonic()), check, { background: true });
  }

  #notify(change: Change): void {
    Object.freeze(change);
    for (const observer of this.#observers) observer(change);
  }
}
