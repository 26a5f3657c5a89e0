/**
 * The cache of a cluster: values under keys, each kept for a time to live (ttl). All callers that miss the same key
 * share one load of its value.
 */
import { type Clock, delay, type Random, token } from "../../ports/clock.ts";
import { openOnce } from "../../ports/open_once.ts";
import { CatgaError, unavailable } from "../../error.ts";
import { byteLength, exceeds } from "../../data/utf8.ts";
import { cacheLimit, whyTooLarge } from "../../data/message_room.ts";
import { decodeText, encodeValue } from "../../data/encoding.ts";
import { SEALED } from "../../data/tags.ts";
import {
  type Bucket,
  type Entry,
  MAX_KEY_LENGTH,
  MAX_LOCK_KEY,
  ttlSeconds,
  type WriteOptions,
} from "../../ports/key_value_store.ts";
import { checkBoolean, checkKnown, checkNumber, checkSignal, MAX_TIMEOUT, show } from "../../data/checks.ts";
import type { MaybePromise } from "../../contract/schemas/schema.ts";
import type { Cache, CacheLoadOptions, CacheSetOptions } from "../../contract/calls/shared_state.ts";
import type { Locks } from "../../dispatch/context_host.ts";
import { isAmbiguous } from "../store/ambiguous_writes.ts";
import { type Load, Loads } from "./loads.ts";

/** Options of a {@link SharedCache}. */
interface CacheOptions {
  /**
   * Opens the bucket of the cache; called again until it succeeds. Reads of the bucket may lag behind writes of other
   * nodes.
   */
  readonly bucket: () => Promise<Bucket>;
  /** Locks that `once` uses, so that only one node of the cluster loads a key at a time. */
  readonly locks: Locks;
  readonly clock: Clock;
  readonly random: Random;
  /** Returns the maximum size of a message of the store, in bytes. */
  maxPayload(): number;
}

/**
 * The cache of one node.
 *
 * - Every read returns a copy of the value. A value that is `undefined`, or that cannot be sent, is refused with a
 *   `TypeError`; one that is too large with `TOO_LARGE`, whose text has key, size and limit.
 * - A fence (the greatest fencing token with which a key was written) lasts as long as the key's entry: after the entry
 *   has expired or was deleted, or after a write without a fence, any token is accepted.
 * - With several replicas of the bucket, reads may lag behind writes of other nodes, except those under the lock of
 *   `once`, and of writes with a fence.
 * - Operations reject with `UNAVAILABLE` when the store does not answer (a write may have happened then), and with
 *   `CLOSED` after {@link SharedCache.close}.
 */
export class SharedCache implements Cache {
  readonly #options: CacheOptions;
  readonly #loads: Loads;
  #bucket: () => Promise<Bucket>;

  constructor(options: CacheOptions) {
    this.#options = options;
    this.#loads = new Loads(options.clock);
    this.#bucket = openOnce(options.bucket);
  }

  /**
   * Closes the cache. Callers that wait for a load are rejected; other operations that have begun are not
   * interrupted.
   */
  close(): void {
    const closed = new CatgaError("CLOSED", "the cache is closed: its app has stopped");
    this.#loads.close(closed);
    this.#bucket = () => Promise.reject(closed);
  }

  async get<T>(key: string): Promise<T | undefined> {
    checkKey("cache.get", key);
    const text = (await this.#entry(key))?.text;
    // cast: the caller's type argument says that the value is a T
    return text === undefined ? undefined : decode(key, text) as T;
  }

  async set(key: string, value: unknown, options: CacheSetOptions = {}): Promise<boolean> {
    checkKey("cache.set", key);
    check("cache.set", options, SET_OPTIONS);
    return await this.#write(key, encode(key, value), options);
  }

  async delete(key: string): Promise<void> {
    checkKey("cache.delete", key);
    await this.#loads.supersede(key);
    const bucket = await this.#bucket();
    await this.#retry(() => bucket.delete(key));
  }

  async getOrSet<T>(key: string, load: () => MaybePromise<T>, options: CacheLoadOptions = {}): Promise<T> {
    if (typeof load !== "function") throw new TypeError(`cache.getOrSet: load must be a function; got ${show(load)}`);
    check("cache.getOrSet", options, GET_OR_SET_OPTIONS);
    const { once = false, timeout, signal, ...writing } = options;
    checkBoolean("cache.getOrSet: once", once);
    checkKey("cache.getOrSet", key, once);
    if (timeout !== undefined) checkNumber("cache.getOrSet: timeout", timeout, 1, MAX_TIMEOUT, "ms");
    checkSignal("cache.getOrSet", signal);
    const name = () => `cache.${token(this.#options.random, 12)}`;
    const text = await this.#loads.read(key, async (latest) => (await this.#entry(key, { latest }))?.text) ??
      await this.#loads.value(key, { timeout, signal }, name, (loading) => {
        const fill = () => this.#fill(loading, load, writing);
        return once ? this.#once(loading, fill) : fill();
      });
    // cast: the caller's type argument says that the value is a T
    return decode(key, text) as T;
  }

  /**
   * Loads a value under a lock, so that no other node loads the same key at the same time.
   * @decides which node loads a missing value with `once`
   */
  async #once({ key, asker, abandoned: { signal } }: Load, fill: () => Promise<string>): Promise<string> {
    const lock = await this.#options.locks.lock(LOCK + key, { signal }, asker);
    try {
      // the lock is released as soon as no caller waits for the load, so that other nodes need not wait for it; if
      // the release fails, the lock expires
      signal.addEventListener("abort", () => lock.release().catch(() => {}), { once: true });
      // the cache is read again, from the leader: another node may have loaded the key before this node got the lock
      return (await this.#entry(key, LATEST))?.text ?? await fill();
    } finally {
      await lock.release();
    }
  }

  async #fill(loading: Load, load: () => MaybePromise<unknown>, options: CacheSetOptions): Promise<string> {
    const value = await this.#loads.call(loading, load);
    const text = encode(loading.key, value);
    await (loading.writing = this.#write(loading.key, text, options, loading));
    return text;
  }

  async #entry(key: string, options?: { latest: boolean }): Promise<ReturnType<typeof readEntry> | undefined> {
    const bucket = await this.#bucket();
    const entry = await bucket.get(key, options);
    return entry && readEntry(entry);
  }

  /**
   * Writes the text of a value, and resolves with true. Resolves with false if nothing was written, for one of two
   * reasons: `fence` is smaller than the stored entry's fence; or the value comes from a load (`load`), and during the
   * load the key was deleted, or another value was written.
   */
  async #write(key: string, text: string, { ttl, fence }: CacheSetOptions, load?: Load): Promise<boolean> {
    checkSize(key, text, this.#options.maxPayload());
    const nonce = token(this.#options.random, 12);
    const stored = `${JSON.stringify({ nonce, fence })}\n${text}`;
    const options: WriteOptions = ttl === undefined ? {} : { ttl };
    const bucket = await this.#bucket();
    let tried = false;
    return await this.#retry(async () => {
      if (load?.superseded) return false;
      if (fence !== undefined) return await writeFenced(bucket, key, stored, { ...options, nonce, fence });
      if (load !== undefined) return await bucket.create(key, stored, options) !== undefined;
      // if the first try was stored, another try would undo writes of other nodes that came after it
      if (tried && (await this.#entry(key, LATEST))?.nonce === nonce) return true;
      tried = true;
      await bucket.put(key, stored, options);
      return true;
    });
  }

  /** Repeats an operation until the store answers, for 5 s at most. */
  async #retry<T>(work: () => Promise<T>): Promise<T> {
    const { clock } = this.#options;
    const end = clock.monotonic() + RETRY_LIMIT;
    for (let pause = 50;; pause *= 2) {
      try {
        return await work();
      } catch (error) {
        // an error that is not retryable came from an entry that cannot be decoded, or a store that cannot be opened
        const passes = isAmbiguous(error) && (error as CatgaError).retryable;
        if (!passes || clock.monotonic() + pause > end) throw error;
        await delay(clock, pause);
      }
    }
  }
}

function checkKey(method: string, key: string, once = false): void {
  const most = once ? MAX_LOCK_KEY - LOCK.length : MAX_KEY_LENGTH;
  const isText = typeof key === "string" && key.isWellFormed();
  if (isText && key.length <= most) return;
  const wanted = `a key must be well-formed Unicode of at most ${most} characters${once ? " with once" : ""}`;
  throw new (isText ? RangeError : TypeError)(`${method}: ${wanted}; got ${show(key)}`);
}

/** Options of reads whose result decides what is loaded or written. */
const LATEST = Object.freeze({ latest: true });
/** Prefix of the keys of the locks under which `once` loads values. */
const LOCK = "catga.cache/";

/** Throws a `TypeError` or `RangeError` for invalid options, before anything is read or loaded. */
function check(method: string, options: CacheSetOptions, known: ReadonlySet<string>): void {
  checkKnown(method, options, known);
  const { ttl, fence } = options;
  if (ttl !== undefined) ttlSeconds(ttl, `${method}: ttl`);
  if (fence !== undefined && !Number.isSafeInteger(fence)) {
    throw new TypeError(`cache: a fence is a fencing token, a whole number; got ${fence}`);
  }
}

const SET_OPTIONS: ReadonlySet<string> = new Set<keyof CacheSetOptions>(["ttl", "fence"]);
const GET_OR_SET_OPTIONS: ReadonlySet<string> = new Set([...SET_OPTIONS, "once", "timeout", "signal"]);

/** Writes an entry by compare-and-set. Resolves with false if the stored entry has a greater fence. */
async function writeFenced(
  bucket: Bucket,
  key: string,
  stored: string,
  { nonce, fence, ...options }: WriteOptions & { readonly nonce: string; readonly fence: number },
): Promise<boolean> {
  for (let races = 0; races < MAX_RACES; races++) {
    const entry = await bucket.get(key, LATEST);
    const current = entry && readEntry(entry);
    // an earlier try has written the entry, and its acknowledgement was lost
    if (current?.nonce === nonce) return true;
    if (current?.fence !== undefined && current.fence > fence) return false;
    const revision = entry === undefined
      ? await bucket.create(key, stored, options)
      : await bucket.update(key, stored, entry.revision, options);
    if (revision !== undefined) return true;
  }
  throw unavailable(`cache: other writes to ${JSON.stringify(key)} are under way`);
}

/**
 * Parses the text of an entry: the first line has the nonce (which identifies the write) and the fence, the lines below
 * have the value.
 */
function readEntry({ key, value }: Entry): { nonce: string | undefined; fence: number | undefined; text: string } {
  if (value.startsWith(SEALED)) {
    const message = `the codec of this node cannot decode the entry under ${JSON.stringify(key)}: is its key missing?`;
    throw new CatgaError("UNAVAILABLE", message);
  }
  const end = value.indexOf("\n");
  try {
    // only a text with a line break has a head; without the check of `end`, the last character of other texts would be
    // cut off, and "420" would have the head "42"
    const head: unknown = JSON.parse(value.slice(0, Math.max(0, end)));
    // a JSON value that is no object has neither `nonce` nor `fence`
    const { nonce, fence } = (head ?? {}) as { nonce?: string; fence?: number };
    // a fence beyond the safe integers (anybody may have written the entry) is ignored: no token could exceed it
    return { nonce, fence: Number.isSafeInteger(fence) ? fence : undefined, text: value.slice(end + 1) };
  } catch (cause) {
    throw notOurs(key, cause);
  }
}

function decode(key: string, text: string): unknown {
  try {
    return decodeText(text);
  } catch (cause) {
    throw notOurs(key, cause);
  }
}

function notOurs(key: string, cause: unknown): CatgaError {
  const message = `the entry under ${JSON.stringify(key)} was not written by the cache; delete it`;
  return new CatgaError("INVALID_RESPONSE", message, { cause });
}

function encode(key: string, value: unknown): string {
  const name = JSON.stringify(key);
  if (value === undefined) throw new TypeError(`cache: the value for ${name} is undefined; keep null instead`);
  try {
    return encodeValue(value, "value");
  } catch (cause) {
    throw new TypeError(`cache: the value for ${name} cannot be kept: ${(cause as Error).message}`, { cause });
  }
}

/** Throws `TOO_LARGE` if the key and the text of a value do not fit into a message of `maxPayload` bytes. */
function checkSize(key: string, text: string, maxPayload: number): void {
  const limit = cacheLimit(maxPayload, key);
  if (!exceeds(text, limit)) return;
  const size = byteLength(text);
  const why = whyTooLarge(`cache: the value for ${show(key)}`, size, limit, "keep");
  throw new CatgaError("TOO_LARGE", why, { details: { key, size, limit } });
}

/** Time for which an operation is repeated while the store does not answer, in ms. */
const RETRY_LIMIT = 5_000;

/**
 * Maximum number of races with other writes that a fenced write (a write with a fencing token) may lose before it
 * fails.
 */
const MAX_RACES = 100;
