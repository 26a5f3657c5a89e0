/**
 * Entries of a bucket as they are stored: their values, revisions and expiry. `BucketState` decides what is written;
 * this file has the interface of the storage, and the storage in memory. `src/file` has the other one, in the rows of a
 * file.
 */
import type { Clock, Timer } from "../ports/clock.ts";
import type { BucketOptions, BucketSettings, Entry } from "../ports/key_value_store.ts";
import type { FaultSource } from "./faults.ts";
import type { StoreGate } from "./store_session.ts";

/** An entry as its storage has it. */
export interface HeldEntry extends Entry {
  /** True if the removal of the entry that this one has replaced is under way, and will remove this one. */
  readonly doomed?: boolean;
}

/**
 * The entries of one bucket. A write that cannot be stored throws, and the storage then is as it was before the turn of
 * the event loop in which the write was made.
 */
export interface EntryStorage<Held extends HeldEntry = HeldEntry> {
  /** Number of entries. */
  readonly size: number;
  get(key: string): Held | undefined;
  /** Returns the entries whose keys start with `prefix`, ordered by revision. */
  entries(prefix: string): Entry[];
  /** Takes the next revision: greater than all before, also those of an earlier process. */
  revision(): number;
  /**
   * Writes an entry, which expires after `seconds`; `undefined`: never. `found`: the present entry of the key. Returns
   * true if `found` had expired, and the store was about to remove it.
   */
  write(found: Held | undefined, entry: Entry, seconds: number | undefined): boolean;
  /** Removes an entry, which was deleted, or has expired. */
  remove(found: Held, type: "delete" | "expire"): void;
}

/** The storage of all buckets of a store that outlives the store. */
export interface StoreStorage {
  readonly gate: StoreGate;
  /** Returns the settings of a bucket that is stored. */
  settings(name: string): Readonly<BucketSettings> | undefined;
  /**
   * Opens the storage of a bucket, and makes it with these options if there is none. `expire`: called with the key of
   * each entry that has expired, which it removes.
   */
  open(name: string, options: Readonly<Required<BucketOptions>>, expire: (key: string) => void): EntryStorage;
}

/**
 * An entry in memory. A write changes it in place: finding its key again would take a tenth of an idempotent command of
 * an app without NATS (Deno).
 */
class StoredEntry implements HeldEntry {
  readonly key: string;
  value: string;
  revision: number;
  /** Time at which the entry expires, by the monotonic clock; `Infinity`: never. */
  end = Infinity;
  /** Time by which the entry outlives its ttl, in ms. */
  late = 0;
  /** True if the removal of the entry that this one has replaced is under way, and will remove this one. */
  doomed = false;
  /** Entries with the same ttl as this entry; `undefined` if the entry has no ttl. */
  line: ExpiryLine | undefined = undefined;
  /** The entries before and after this one in its line. */
  previous: StoredEntry | undefined = undefined;
  next: StoredEntry | undefined = undefined;

  constructor(key: string, value: string, revision: number) {
    this.key = key;
    this.value = value;
    this.revision = revision;
  }

  /** The entry as it is now. */
  get entry(): Entry {
    return Object.freeze({ key: this.key, value: this.value, revision: this.revision });
  }
}

/**
 * Entries with the same ttl, in the order in which they expire. They share a timer, because a timer for each entry
 * costs 2 µs in Deno.
 */
class ExpiryLine {
  readonly ttl: number; // ms
  first: StoredEntry | undefined = undefined;
  #last: StoredEntry | undefined = undefined;
  timer: Timer | undefined = undefined;

  constructor(ttl: number) {
    this.ttl = ttl;
  }

  add(stored: StoredEntry): void {
    const last = this.#last;
    stored.line = this;
    stored.previous = last;
    if (last === undefined) this.first = stored;
    else last.next = stored;
    this.#last = stored;
  }

  delete(stored: StoredEntry): void {
    const { previous, next } = stored;
    if (previous === undefined) this.first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    stored.line = stored.previous = stored.next = undefined;
  }
}

/**
 * The entries of one bucket in memory. By faults, entries expire too early or too late.
 * @decides an entry expires
 */
export class MemoryEntries implements EntryStorage<StoredEntry> {
  readonly #clock: Clock;
  readonly #faults: FaultSource | undefined;
  readonly #expire: (key: string) => void;
  readonly #stored = new Map<string, StoredEntry>();
  /** Entries that expire, grouped by their ttl. */
  readonly #expiring = new Map<number, ExpiryLine>();
  #next: number;

  /** `expire`: called with the key of each entry that has expired, which it removes. */
  constructor(clock: Clock, faults: FaultSource | undefined, expire: (key: string) => void) {
    this.#clock = clock;
    this.#faults = faults;
    this.#expire = expire;
    // revisions start at the present time, as on NATS, so that fencing tokens keep growing after a bucket was lost
    this.#next = Math.floor(clock.now() * 1_000);
  }

  get size(): number {
    return this.#stored.size;
  }

  get(key: string): StoredEntry | undefined {
    return this.#stored.get(key);
  }

  entries(prefix: string): Entry[] {
    const all = Array.from(this.#stored.values()).filter(({ key }) => key.startsWith(prefix));
    return all.map((stored) => stored.entry).sort((a, b) => a.revision - b.revision);
  }

  revision(): number {
    return this.#next++;
  }

  write(found: StoredEntry | undefined, { key, value, revision }: Entry, seconds: number | undefined): boolean {
    let stored = found;
    const overdue = found !== undefined && found.late > 0 && this.#clock.monotonic() >= found.end - found.late;
    if (stored === undefined) {
      this.#stored.set(key, stored = new StoredEntry(key, value, revision));
    } else {
      stored.line?.delete(stored);
      stored.value = value;
      stored.revision = revision;
    }
    stored.late = seconds !== undefined && this.#faults?.hits("lateExpiry") ? this.#faults.random() * 1_000 : 0;
    this.#expireAfter(stored, seconds === undefined ? undefined : this.#life(seconds) + stored.late);
    if (overdue && this.#faults?.hits("lateMarker")) this.#doom(stored);
    return overdue;
  }

  remove(stored: StoredEntry, type: "delete" | "expire"): void {
    const { line } = stored;
    line?.delete(stored);
    // after an expiry the running timer goes on with the next entry; after a deletion the timer is stopped if no
    // entry is left
    if (type === "delete" && line !== undefined && line.first === undefined) {
      line.timer?.cancel();
      this.#expiring.delete(line.ttl);
    }
    this.#stored.delete(stored.key);
    if (type === "delete" && line !== undefined && this.#faults?.hits("revival")) this.#revive(stored);
  }

  /** Returns the ttl of an entry, in ms; a fault may make it shorter. */
  #life(seconds: number): number {
    return seconds * 1_000 * (this.#faults?.hits("earlyExpiry") ? this.#faults.random() : 1);
  }

  #doom(stored: StoredEntry): void {
    stored.doomed = true;
    this.#clock.after(this.#faults!.random() * 20, () => {
      if (this.#stored.get(stored.key) === stored) this.#expire(stored.key);
    }, { background: true });
  }

  #revive({ key, value, revision, end }: StoredEntry): void {
    this.#clock.after(this.#faults!.random() * 1_000, () => {
      if (this.#stored.has(key) || this.#clock.monotonic() >= end) return;
      const stored = new StoredEntry(key, value, revision);
      this.#stored.set(key, stored);
      this.#expireAfter(stored, end - this.#clock.monotonic());
    }, { background: true });
  }

  /** Lets an entry, which is in no line, expire after `ttl` ms; `undefined`: never. */
  #expireAfter(stored: StoredEntry, ttl: number | undefined): void {
    if (ttl === undefined) {
      stored.end = Infinity;
      return;
    }
    let line = this.#expiring.get(ttl);
    if (line === undefined) {
      this.#expiring.set(ttl, line = new ExpiryLine(ttl));
      this.#expireIn(line, ttl);
    }
    stored.end = this.#clock.monotonic() + ttl;
    line.add(stored);
  }

  /**
   * Sets the timer that removes the entries of a line (entries with the same ttl) when they expire. The first entry
   * expires in `ms` milliseconds.
   */
  #expireIn(line: ExpiryLine, ms: number): void {
    line.timer = this.#clock.after(ms, () => {
      for (let stored = line.first; stored !== undefined; stored = line.first) {
        // the entry is not due yet if the first entry was removed, or the timer fired early (by a rounding, or
        // because delays are limited)
        const left = stored.end - this.#clock.monotonic();
        if (left > 0) return this.#expireIn(line, left);
        this.#expire(stored.key);
      }
      if (this.#expiring.get(line.ttl) === line) this.#expiring.delete(line.ttl);
    }, { background: true });
  }
}
