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
    return this.#write(key, value, options, (entry) => entry === undefined);
  }

  update(key: string, value: string, revision: number, options?: WriteOptions): Promise<number | undefined> {
    return this.#write(key, value, options, (entry) => entry?.revision === revision);
  }

  async put(key: string, value: string, options?: WriteOptions): Promise<number> {
    const { text, seconds } = writable(key, value, this.#session.maxPayload, options);
    return await this.#session.call(() => this.#state.put(key, text, seconds));
  }

  async delete(key: string, { revision, note }: DeleteOptions = {}): Promise<boolean> {
    checkKey(key);
    return await this.#session.call(() => {
      if (revision !== undefined && this.#state.get(key)?.revision !== revision) return false;
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
   * Writes an entry if `allowed` returns true for the present one. Resolves with the revision; `undefined`: not
   * allowed. Neither this method nor its callers are async: each async function would take 0.2 µs of an idempotent
   * command of an app without NATS.
   */
  #write(
    key: string,
    value: string,
    options: WriteOptions | undefined,
    allowed: (entry: Entry | undefined) => boolean,
  ): Promise<number | undefined> {
    try {
      const { text, seconds } = writable(key, value, this.#session.maxPayload, options);
      return this.#session.call(() => allowed(this.#state.get(key)) ? this.#state.put(key, text, seconds) : undefined);
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
