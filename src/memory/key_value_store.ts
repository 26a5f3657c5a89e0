/**
 * The key-value store within one process, for tests and programs without a server: buckets in memory, reached over
 * connections that can fail.
 */
import { outside } from "../data/async_context.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import { byteLength, exceeds } from "../data/utf8.ts";
import { CatgaError } from "../error.ts";
import {
  type Bucket,
  type BucketOptions,
  type Change,
  checkBucket,
  checkKey,
  type DeleteOptions,
  type Entry,
  type KeyValueStore,
  ttlSeconds,
  type WriteOptions,
} from "../ports/key_value_store.ts";
import type { FaultSource } from "./faults.ts";
import { type SessionClient, StoreSession } from "./store_session.ts";

/** Buckets in memory, which live as long as this object. */
export class MemoryKeyValueStore implements KeyValueStore {
  readonly #clock: Clock;
  readonly #faults: FaultSource | undefined;
  readonly #buckets = new Map<string, BucketState>();

  constructor(clock: Clock, faults?: FaultSource) {
    this.#clock = clock;
    this.#faults = faults;
  }

  open(name: string, options?: BucketOptions): Promise<Bucket> {
    return this.#openOver(new StoreSession(this.#clock, this.#faults), name, options);
  }

  /** Returns these buckets as a client reaches them over its connection. */
  through(client: SessionClient): KeyValueStore {
    const session = new StoreSession(this.#clock, this.#faults, client);
    return { open: (name, options) => this.#openOver(session, name, options) };
  }

  async #openOver(session: StoreSession, name: string, options: BucketOptions = {}): Promise<Bucket> {
    const { direct = false, replicas = 1 } = options;
    checkBucket(name, replicas);
    const state = await session.call(() => this.#find(name, { direct, replicas }));
    return new MemoryBucket(name, state, session);
  }

  #find(name: string, settings: Required<BucketOptions>): BucketState {
    let state = this.#buckets.get(name);
    if (!state) this.#buckets.set(name, state = new BucketState(this.#clock, settings, this.#faults));
    for (const setting of ["direct", "replicas"] as const) {
      const [is, wanted] = [state.settings[setting], settings[setting]];
      if (is === wanted) continue;
      throw new CatgaError("BUCKET_MISMATCH", `the bucket ${name} exists with ${setting}: ${is}, not ${wanted}`, {
        details: { bucket: name, setting, is, wanted },
      });
    }
    return state;
  }
}

class MemoryBucket implements Bucket {
  readonly name: string;
  readonly #state: BucketState;
  readonly #session: StoreSession;

  constructor(name: string, state: BucketState, session: StoreSession) {
    this.name = name;
    this.#state = state;
    this.#session = session;
  }

  get size(): number {
    return this.#state.size;
  }

  async get(key: string): Promise<Entry | undefined> {
    checkKey(key);
    return await this.#session.call(() => this.#state.get(key));
  }

  create(key: string, value: string, options?: WriteOptions): Promise<number | undefined> {
    return this.#write(key, value, undefined, options);
  }

  update(key: string, value: string, revision: number, options?: WriteOptions): Promise<number | undefined> {
    return this.#write(key, value, revision, options);
  }

  async put(key: string, value: string, options?: WriteOptions): Promise<number> {
    const { text, seconds } = writable(key, value, this.#session.maxPayload, options);
    return await this.#session.call(() => this.#state.put(key, text, seconds));
  }

  async delete(key: string, { revision, note }: DeleteOptions = {}): Promise<boolean> {
    checkKey(key);
    return await this.#session.call(() => {
      if (revision !== undefined && !this.#state.isAt(key, revision)) return false;
      this.#state.remove(key, "delete", note);
      return true;
    });
  }

  entries(prefix: string): Promise<Entry[]> {
    return this.#session.call(() => this.#state.entries(prefix));
  }

  watch(prefix: string, onChange: (change: Change) => void, options: { signal: AbortSignal }): Promise<void> {
    return watchBucket(this.#state, this.#session, { prefix, onChange, signal: options.signal });
  }

  /**
   * Writes an entry whose present revision is `expected`; `undefined`: a key without an entry. Resolves with the
   * revision, or with `undefined` if the key has another one. Neither this method nor its callers are async: each async
   * function would take 0.2 µs of an idempotent command of an app without NATS.
   */
  #write(
    key: string,
    value: string,
    expected: number | undefined,
    options: WriteOptions | undefined,
  ): Promise<number | undefined> {
    try {
      const { text, seconds } = writable(key, value, this.#session.maxPayload, options);
      return this.#session.call(() => this.#state.replace(key, text, seconds, expected));
    } catch (error) {
      return Promise.reject(error);
    }
  }
}

/** Checks the arguments of a write, and returns the entry in its stored form. */
function writable(
  key: string,
  value: string,
  limit: number,
  options: WriteOptions = {},
): { text: string; seconds?: number } {
  checkKey(key);
  if (exceeds(value, limit)) {
    const size = byteLength(value);
    const message = `a value has at most ${limit} bytes; that of ${JSON.stringify(key)} has ${size}`;
    throw new CatgaError("TOO_LARGE", message, { details: { size, limit } });
  }
  // the text as it is stored: half a surrogate pair does not survive UTF-8
  const text = value.toWellFormed();
  return options.ttl === undefined ? { text } : { text, seconds: ttlSeconds(options.ttl) };
}

// A watch of a bucket in memory, over a connection that may break and be restored.

/** Prefix of the keys to watch, and the signal that ends the watch. */
interface StoreWatch {
  readonly prefix: string;
  readonly onChange: (change: Change) => void;
  readonly signal: AbortSignal;
}

/**
 * Watches a bucket; implements `Bucket.watch`. Rejects with the signal's reason if the signal aborts before all
 * present entries were reported.
 */
async function watchBucket(state: BucketState, session: StoreSession, request: StoreWatch): Promise<void> {
  const { prefix, onChange, signal } = request;
  signal.throwIfAborted();
  /** The last change of each key that happened while the connection was cut. */
  const missed = new Map<string, Change>();
  /**
   * By key: revision of the last change that arrived before the list of present entries; `undefined` once these were
   * reported.
   */
  let early: Map<string, number> | undefined = new Map();
  const undo: (() => void)[] = [];

  function arrive(change: Change): void {
    if (signal.aborted) return;
    missed.delete(change.key);
    if ("revision" in change) early?.set(change.key, change.revision);
    if (session.connected) onChange(change);
    else missed.set(change.key, change);
  }
  function end(): void {
    for (const step of undo.splice(0)) step();
  }

  signal.addEventListener("abort", end, { once: true });
  undo.push(() => signal.removeEventListener("abort", end));
  undo.push(session.onStatus(({ state }) => {
    if (state === "closed") end();
    if (state === "connected") session.soon(() => outside(() => [...missed.values()].forEach(arrive)));
  }));
  try {
    const current = await session.call(() => {
      undo.push(state.observe((change) => {
        if (change.key.startsWith(prefix)) session.soon(() => outside(() => arrive(change)));
      }));
      return state.entries(prefix);
    });
    for (const entry of current) {
      signal.throwIfAborted();
      // a change of the entry, such as its deletion, may have arrived before the list of entries
      if ((early?.get(entry.key) ?? 0) < entry.revision) onChange({ type: "put", ...entry });
    }
    early = undefined;
    signal.throwIfAborted();
  } catch (error) {
    end();
    throw error;
  }
}

/**
 * An entry as it is stored. A write changes it in place: finding its key again would take a tenth of an idempotent
 * command of an app without NATS (Deno).
 */
class StoredEntry {
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
 * The stored entries of one bucket.
 * @decides an entry expires
 */
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

  /**
   * Returns true if a key has an entry with this revision that nothing is about to remove. `undefined` as the revision:
   * true if the key has no entry.
   */
  isAt(key: string, revision: number | undefined): boolean {
    const found = this.#stored.get(key);
    return found?.revision === revision && found?.doomed !== true;
  }

  entries(prefix: string): Entry[] {
    const all = Array.from(this.#stored.values()).filter(({ key }) => key.startsWith(prefix));
    return all.map((stored) => stored.entry).sort((a, b) => a.revision - b.revision);
  }

  /** Writes an entry, which expires after `seconds`; `undefined`: never. Returns its revision. */
  put(key: string, value: string, seconds: number | undefined): number {
    return this.#write(this.#stored.get(key), key, value, seconds);
  }

  /**
   * Writes an entry like {@link BucketState.put} if its present revision is `expected`; `undefined`: if there is none.
   * Returns `undefined` if the key has another revision.
   */
  replace(
    key: string,
    value: string,
    seconds: number | undefined,
    expected: number | undefined,
  ): number | undefined {
    return this.isAt(key, expected) ? this.#write(this.#stored.get(key), key, value, seconds) : undefined;
  }

  #write(found: StoredEntry | undefined, key: string, value: string, seconds: number | undefined): number {
    const revision = this.#next++;
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
    if (this.#observers.size > 0) this.#notify({ type: "put", ...stored.entry, ...(overdue ? { overdue } : {}) });
    return revision;
  }

  /** Removes an entry. Returns false if there was none. */
  remove(key: string, type: "delete" | "expire", note?: string): boolean {
    const stored = this.#stored.get(key);
    if (stored === undefined) return false;
    const { line } = stored;
    line?.delete(stored);
    // after an expiry the running timer goes on with the next entry; after a deletion the timer is stopped if no
    // entry is left
    if (type === "delete" && line !== undefined && line.first === undefined) {
      line.timer?.cancel();
      this.#expiring.delete(line.ttl);
    }
    this.#stored.delete(key);
    this.#notify({ type, key, revision: this.#next++, ...(note ? { note } : {}) });
    if (type === "delete" && line !== undefined && this.#faults?.hits("revival")) this.#revive(stored);
    return true;
  }

  /** Calls `observer` synchronously at every change, until the returned function is called. */
  observe(observer: (change: Change) => void): () => void {
    this.#observers.add(observer);
    return () => this.#observers.delete(observer);
  }

  /** Returns the ttl of an entry, in ms; a fault may make it shorter. */
  #life(seconds: number): number {
    return seconds * 1_000 * (this.#faults?.hits("earlyExpiry") ? this.#faults.random() : 1);
  }

  #doom(stored: StoredEntry): void {
    stored.doomed = true;
    this.#clock.after(this.#faults!.random() * 20, () => {
      if (this.#stored.get(stored.key) === stored) this.remove(stored.key, "expire");
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
        this.remove(stored.key, "expire");
      }
      if (this.#expiring.get(line.ttl) === line) this.#expiring.delete(line.ttl);
    }, { background: true });
  }

  #notify(change: Change): void {
    Object.freeze(change);
    for (const observer of this.#observers) observer(change);
  }
}
