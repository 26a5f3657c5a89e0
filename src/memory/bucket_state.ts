/** What a bucket in memory holds, and the changes that it goes through: plain state, without clients. */
import type { Clock, Timer } from "../ports/clock.ts";
import type { BucketOptions, Change, Entry } from "../ports/key_value_store.ts";
import type { FaultSource } from "./faults.ts";

interface Held {
  readonly entry: Entry;
  /** When it expires, by the monotonic clock. */
  end?: number;
  expiry?: Timer;
}

/** The entries of one bucket. */
export class BucketState {
  readonly settings: Readonly<Required<BucketOptions>>;
  readonly #clock: Clock;
  readonly #faults: FaultSource | undefined;
  /** In the order of the revisions, because a write puts its key at the end. */
  readonly #held = new Map<string, Held>();
  readonly #observers = new Set<(change: Change) => void>();
  #next: number;
  #revived = false;

  constructor(clock: Clock, settings: Readonly<Required<BucketOptions>>, faults?: FaultSource) {
    this.#clock = clock;
    this.#faults = faults;
    this.settings = settings;
    // as on NATS, so that fencing tokens keep growing over a bucket that was lost
    this.#next = Math.floor(clock.now() * 1_000);
  }

  get(key: string): Entry | undefined {
    return this.#held.get(key)?.entry;
  }

  entries(prefix: string): Entry[] {
    const found = Array.from(this.#held.values(), (held) => held.entry).filter((entry) => entry.key.startsWith(prefix));
    // one that came back is older than it looks
    return this.#revived ? found.sort((a, b) => a.revision - b.revision) : found;
  }

  /** Writes; without `seconds` for good. */
  put(key: string, value: string, seconds: number | undefined): number {
    this.#take(key);
    const entry = Object.freeze({ key, value, revision: this.#next++ });
    const held: Held = { entry };
    this.#held.set(key, held);
    if (seconds !== undefined) this.#expireAt(held, this.#clock.monotonic() + this.#life(seconds));
    this.#tell({ type: "put", ...entry });
    return entry.revision;
  }

  /** Removes an entry; `false` when there was none. */
  remove(key: string, type: "delete" | "expire"): boolean {
    const held = this.#held.get(key);
    if (held === undefined) return false;
    this.#take(key);
    this.#tell({ type, key, revision: this.#next++ });
    if (type === "delete" && held.end !== undefined && this.#faults?.hits("revival")) this.#revive(held, held.end);
    return true;
  }

  /** Calls back at every change, within it; the answer stops that. */
  observe(observer: (change: Change) => void): () => void {
    this.#observers.add(observer);
    return () => this.#observers.delete(observer);
  }

  #take(key: string): boolean {
    this.#held.get(key)?.expiry?.cancel();
    return this.#held.delete(key);
  }

  /** How long an entry lives, in ms. */
  #life(seconds: number): number {
    const late = this.#faults?.hits("lateExpiry") ? this.#faults.random() * 1_000 : 0;
    return seconds * 1_000 * (this.#faults?.hits("earlyExpiry") ? this.#faults.random() : 1) + late;
  }

  #revive({ entry }: Held, end: number): void {
    this.#clock.after(this.#faults!.random() * 1_000, () => {
      if (this.#held.has(entry.key) || this.#clock.monotonic() >= end) return;
      const held: Held = { entry };
      this.#held.set(entry.key, held);
      this.#revived = true;
      this.#expireAt(held, end);
    }, { background: true });
  }

  #expireAt(held: Held, end: number): void {
    held.end = end;
    const check = () => {
      // timers may be early: by a rounding, or by the longest delay that they can take
      if (this.#clock.monotonic() < end) this.#expireAt(held, end);
      else this.remove(held.entry.key, "expire");
    };
    held.expiry = this.#clock.after(Math.max(0, end - this.#clock.monotonic()), check, { background: true });
  }

  #tell(change: Change): void {
    Object.freeze(change);
    for (const observer of this.#observers) observer(change);
  }
}
