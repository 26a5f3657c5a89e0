/**
 * The key-value store within one process, for tests and programs without a server: buckets in memory, reached over
 * connections that can fail.
 */
import { tooLarge } from "../data/message_room.ts";
import { outside } from "../data/async_context.ts";
import type { Clock } from "../ports/clock.ts";
import { byteLength, exceeds } from "../data/utf8.ts";
import { CatgaError } from "../error.ts";
import {
  type Bucket,
  type BucketOptions,
  type BucketSettings,
  type Change,
  checkBucket,
  checkKey,
  type DeleteOptions,
  type Entry,
  type KeyValueStore,
  ttlSeconds,
  type WriteOptions,
} from "../ports/key_value_store.ts";
import { type EntryStorage, type HeldEntry, MemoryEntries, type StoreStorage } from "./bucket_entries.ts";
import type { FaultSource } from "./faults.ts";
import { type SessionClient, StoreSession } from "./store_session.ts";

/** Buckets, which live as long as this object unless a storage keeps them. */
export class MemoryKeyValueStore implements KeyValueStore {
  readonly #clock: Clock;
  readonly #faults: FaultSource | undefined;
  readonly #storage: StoreStorage | undefined;
  readonly #buckets = new Map<string, BucketState>();
  /** Buckets whose entries belong to live processes. */
  readonly #ofProcesses = new Set<BucketState>();

  /** `storage`: keeps the buckets; default: they are in memory. */
  constructor(clock: Clock, faults?: FaultSource, storage?: StoreStorage) {
    this.#clock = clock;
    this.#faults = faults;
    this.#storage = storage;
  }

  open(name: string, options?: BucketOptions): Promise<Bucket> {
    return this.#openOver(this.#session(), name, options);
  }

  /** Returns these buckets as a client reaches them over its connection. */
  through(client: SessionClient): KeyValueStore {
    const session = this.#session(client);
    return { open: (name, options) => this.#openOver(session, name, options) };
  }

  /** Does what the next process on a file finds done: entries of the ended one are gone. */
  processEnded(): void {
    for (const state of this.#ofProcesses) {
      for (const { key } of state.entries("")) state.remove(key, "delete");
    }
  }

  #session(client?: SessionClient): StoreSession {
    return new StoreSession(this.#clock, this.#faults, client, this.#storage?.gate);
  }

  async #openOver(session: StoreSession, name: string, options: BucketOptions = {}): Promise<Bucket> {
    const { direct = false, replicas = 1, ofProcesses = false } = options;
    checkBucket(name, replicas);
    const state = await session.call(() => this.#find(name, { direct, replicas }, ofProcesses));
    return new MemoryBucket(name, state, session);
  }

  #find(name: string, settings: BucketSettings, ofProcesses: boolean): BucketState {
    let state = this.#buckets.get(name);
    if (!state) this.#buckets.set(name, state = this.#make(name, settings, ofProcesses));
    if (ofProcesses) this.#ofProcesses.add(state);
    for (const setting of ["direct", "replicas"] as const) {
      const [is, wanted] = [state.settings[setting], settings[setting]];
      if (is === wanted) continue;
      throw new CatgaError("BUCKET_MISMATCH", `the bucket ${name} exists with ${setting}: ${is}, not ${wanted}`, {
        details: { bucket: name, setting, is, wanted },
      });
    }
    return state;
  }

  #make(name: string, settings: BucketSettings, ofProcesses: boolean): BucketState {
    const storage = this.#storage;
    if (storage === undefined) return new BucketState(this.#clock, settings, this.#faults);
    const open = (expire: (key: string) => void) => storage.open(name, { ...settings, ofProcesses }, expire);
    return new BucketState(this.#clock, storage.settings(name) ?? settings, this.#faults, open);
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
    throw tooLarge(`the value of ${JSON.stringify(key)}`, byteLength(value), limit, "keep");
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
  let isOver = false;

  function arrive(change: Change): void {
    if (signal.aborted) return;
    missed.delete(change.key);
    if ("revision" in change) early?.set(change.key, change.revision);
    if (session.connected) onChange(change);
    else missed.set(change.key, change);
  }
  function end(): void {
    isOver = true;
    for (const step of undo.splice(0)) step();
  }

  signal.addEventListener("abort", end, { once: true });
  undo.push(() => signal.removeEventListener("abort", end));
  undo.push(session.onDeath(end));
  undo.push(session.onStatus(({ state }) => {
    if (state === "closed") end();
    if (state === "connected") session.soon(() => outside(() => [...missed.values()].forEach(arrive)));
  }));
  try {
    const current = await session.call(() => {
      if (!isOver) {
        undo.push(state.observe((change) => {
          if (change.key.startsWith(prefix)) session.soon(() => outside(() => arrive(change)));
        }));
      }
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

/** One bucket: which writes it takes, and the changes that its watches see. */
export class BucketState {
  readonly settings: Readonly<BucketSettings>;
  readonly #storage: EntryStorage;
  readonly #observers = new Set<(change: Change) => void>();

  /** `storage` opens the storage of the bucket; default: an empty one in memory. */
  constructor(
    clock: Clock,
    settings: Readonly<BucketSettings>,
    faults?: FaultSource,
    storage?: (expire: (key: string) => void) => EntryStorage,
  ) {
    this.settings = settings;
    const expire = (key: string) => void this.remove(key, "expire");
    this.#storage = storage?.(expire) ?? new MemoryEntries(clock, faults, expire);
  }

  /** Number of entries that the bucket has. */
  get size(): number {
    return this.#storage.size;
  }

  get(key: string): Entry | undefined {
    return entryOf(this.#storage.get(key));
  }

  /**
   * Returns true if a key has an entry with this revision that nothing is about to remove. `undefined` as the revision:
   * true if the key has no entry.
   */
  isAt(key: string, revision: number | undefined): boolean {
    return isAt(this.#storage.get(key), revision);
  }

  entries(prefix: string): Entry[] {
    return this.#storage.entries(prefix);
  }

  /** Writes an entry, which expires after `seconds`; `undefined`: never. Returns its revision. */
  put(key: string, value: string, seconds: number | undefined): number {
    return this.#write(this.#storage.get(key), key, value, seconds);
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
    const found = this.#storage.get(key);
    return isAt(found, expected) ? this.#write(found, key, value, seconds) : undefined;
  }

  #write(found: HeldEntry | undefined, key: string, value: string, seconds: number | undefined): number {
    const revision = this.#storage.revision();
    const overdue = this.#storage.write(found, { key, value, revision }, seconds);
    if (this.#observers.size > 0) {
      this.#notify({ type: "put", key, value, revision, ...(overdue ? { overdue } : {}) });
    }
    return revision;
  }

  /** Removes an entry. Returns false if there was none. */
  remove(key: string, type: "delete" | "expire", note?: string): boolean {
    const found = this.#storage.get(key);
    if (found === undefined) return false;
    this.#storage.remove(found, type);
    this.#notify({ type, key, revision: this.#storage.revision(), ...(note ? { note } : {}) });
    return true;
  }

  /** Calls `observer` synchronously at every change, until the returned function is called. */
  observe(observer: (change: Change) => void): () => void {
    this.#observers.add(observer);
    return () => this.#observers.delete(observer);
  }

  #notify(change: Change): void {
    Object.freeze(change);
    for (const observer of this.#observers) observer(change);
  }
}

function entryOf(found: HeldEntry | undefined): Entry | undefined {
  return found && Object.freeze({ key: found.key, value: found.value, revision: found.revision });
}

function isAt(found: HeldEntry | undefined, revision: number | undefined): boolean {
  return found?.revision === revision && found?.doomed !== true;
}
