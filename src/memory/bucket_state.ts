/** The entries of a simulated bucket, on the server's side: stored entries, their expiry, and faults. */
import type { Clock, Timer } from "../ports/clock.ts";
import type { BucketOptions, Change, Entry } from "../ports/key_value_store.ts";
import type { FaultSource } from "./faults.ts";

interface StoredEntry {
  readonly entry: Entry;
  /** Time at which the entry expires, by the monotonic clock; `Infinity`: never. */
  readonly end: number;
  /** Entries with the same ttl as this entry; `undefined` if the entry has no ttl. */
  readonly line: ExpiryLine | undefined;
}

/**
 * Entries with the same ttl, in the order in which they expire. They share a timer, because a timer for each entry
 * costs 2 µs in Deno.
 */
interface ExpiryLine {
  readonly ttl: number; // ms
  readonly entries: Set<StoredEntry>;
  timer: Timer | undefined;
}

/** The stored entries of one bucket. */
export class BucketState {
  readonly settings: Readonly<Required<BucketOptions>>;
  readonly #clock: Clock;
  readonly #faults: FaultSource | undefined;
  readonly #stored = new Map<string, StoredEntry>();
  /** Entries that expire, grouped by their ttl. */
  readonly #expiring = new Map<number, ExpiryLine>();
  readonly #observers = new Set<(change: Change) => void>();
  #next: number;

  constructor(clock: Clock, settings: Readonly<Required<BucketOptions>>, faults?: FaultSource) {
    this.#clock = clock;
    this.#faults = faults;
    this.settings = settings;
    // revisions start at the present time, as on NATS, so that fencing tokens keep growing after a bucket was lost
    this.#next = Math.floor(clock.now() * 1_000);
  }

  /** Number of entries that the bucket has. */
  get size(): number {
    return this.#stored.size;
  }

  get(key: string): Entry | undefined {
    return this.#stored.get(key)?.entry;
  }

  entries(prefix: string): Entry[] {
    const all = Array.from(this.#stored.values(), (stored) => stored.entry);
    return all.filter(({ key }) => key.startsWith(prefix)).sort((a, b) => a.revision - b.revision);
  }

  /** Writes an entry, which expires after `seconds`; `undefined`: never. Returns its revision. */
  put(key: string, value: string, seconds: number | undefined): number {
    const before = this.#stored.get(key);
    before?.line?.entries.delete(before);
    const entry = Object.freeze({ key, value, revision: this.#next++ });
    this.#store(entry, seconds === undefined ? undefined : this.#life(seconds));
    if (this.#observers.size > 0) this.#notify({ type: "put", ...entry });
    return entry.revision;
  }

  /** Removes an entry. Returns false if there was none. */
  remove(key: string, type: "delete" | "expire", note?: string): boolean {
    const stored = this.#stored.get(key);
    if (stored === undefined) return false;
    const { line } = stored;
    line?.entries.delete(stored);
    // after an expiry the running timer goes on with the next entry; after a deletion the timer is stopped if no
    // entry is left
    if (type === "delete" && line?.entries.size === 0) {
      line.timer?.cancel();
      this.#expiring.delete(line.ttl);
    }
    this.#stored.delete(key);
    this.#notify({ type, key, revision: this.#next++, ...(note ? { note } : {}) });
    if (type === "delete" && line !== undefined && this.#faults?.hits("revival")) this.#revive(stored, stored.end);
    return true;
  }

  /** Calls `observer` synchronously at every change, until the returned function is called. */
  observe(observer: (change: Change) => void): () => void {
    this.#observers.add(observer);
    return () => this.#observers.delete(observer);
  }

  /** Returns the time after which an entry expires, in ms; faults may make it shorter or longer. */
  #life(seconds: number): number {
    const late = this.#faults?.hits("lateExpiry") ? this.#faults.random() * 1_000 : 0;
    return seconds * 1_000 * (this.#faults?.hits("earlyExpiry") ? this.#faults.random() : 1) + late;
  }

  #revive({ entry }: StoredEntry, end: number): void {
    this.#clock.after(this.#faults!.random() * 1_000, () => {
      if (this.#stored.has(entry.key) || this.#clock.monotonic() >= end) return;
      this.#store(entry, end - this.#clock.monotonic());
    }, { background: true });
  }

  /** Stores an entry for `ttl` ms; `undefined`: for ever. */
  #store(entry: Entry, ttl: number | undefined): void {
    if (ttl === undefined) return void this.#stored.set(entry.key, { entry, end: Infinity, line: undefined });
    let line = this.#expiring.get(ttl);
    if (line === undefined) {
      this.#expiring.set(ttl, line = { ttl, entries: new Set(), timer: undefined });
      this.#expireIn(line, ttl);
    }
    const stored = { entry, end: this.#clock.monotonic() + ttl, line };
    this.#stored.set(entry.key, stored);
    line.entries.add(stored);
  }

  /**
   * Sets the timer that removes the entries of a line (entries with the same ttl) when they expire. The first entry
   * expires in `ms` milliseconds.
   */
  #expireIn(line: ExpiryLine, ms: number): void {
    line.timer = this.#clock.after(ms, () => {
      for (const { entry, end } of line.entries) {
        // the entry is not due yet if the first entry was removed, or the timer fired early (by a rounding, or
        // because delays are limited)
        const left = end - this.#clock.monotonic();
        if (left > 0) return this.#expireIn(line, left);
        this.remove(entry.key, "expire");
      }
      if (this.#expiring.get(line.ttl) === line) this.#expiring.delete(line.ttl);
    }, { background: true });
  }

  #notify(change: Change): void {
    Object.freeze(change);
    for (const observer of this.#observers) observer(change);
  }
}
