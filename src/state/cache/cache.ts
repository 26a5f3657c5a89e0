/** Values that the nodes of a cluster share: JSON under keys, for a time, with one load for all who miss. */
import { type Clock, delay, type Random, token } from "../../ports/clock.ts";
import { CatgaError, isCatgaError } from "../../error.ts";
import { stringify } from "../../data/json.ts";
import { type Bucket, type Entry, ttlSeconds, type WriteOptions } from "../../ports/key_value_store.ts";
import { checkKnown, checkNumber, checkSignal, MAX_TIMEOUT } from "../../contract/checks.ts";
import type { MaybePromise } from "../../contract/schema.ts";
import type { Cache, CacheLoadOptions, CacheSetOptions } from "../../contract/shared_state.ts";
import type { Locks } from "../../dispatch/shared_state.ts";
import { byteLength } from "../../data/utf8.ts";
import { isAmbiguous } from "../store/ambiguous_writes.ts";
import { type Load, Loads } from "./loads.ts";
import { openOnce } from "../store/open_once.ts";

/** How long a write is tried, in ms. */
const WRITE_LIMIT = 5_000;

/** What a {@link SharedCache} is made of. */
export interface CacheOptions {
  /** Opens the bucket; called until it succeeds. Reads may be direct: what they miss is loaded again. */
  readonly bucket: () => Promise<Bucket>;
  /** For `once`. */
  readonly locks: Pick<Locks, "lock">;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * The cache of one node.
 *
 * - Values are JSON: what is read is what JSON makes of what was written, a copy for everybody. `undefined`, and what JSON
 *   cannot encode, is a `TypeError`; a value that the store finds too large is `TOO_LARGE`, with key and size.
 * - A fence is remembered as long as its entry: after that has expired or was deleted, or after a write without a fence, the
 *   next token is taken, whichever it is.
 * - Reads may lag behind writes of other nodes, when the bucket has several replicas; `once` may then load again.
 * - Rejects with `UNAVAILABLE` when the store does not answer; a write may have happened then.
 */
export class SharedCache implements Cache {
  readonly #options: CacheOptions;
  readonly #loads: Loads;
  readonly #bucket: () => Promise<Bucket>;

  constructor(options: CacheOptions) {
    this.#options = options;
    this.#loads = new Loads(options.clock);
    this.#bucket = openOnce(options.bucket);
  }

  async get<T>(key: string): Promise<T | undefined> {
    const text = await this.#read(key);
    // what T says is the caller's word
    return text === undefined ? undefined : JSON.parse(text) as T;
  }

  async set(key: string, value: unknown, options: CacheSetOptions = {}): Promise<boolean> {
    check("cache.set", options, SET_OPTIONS);
    return await this.#write(key, encode(key, value), options);
  }

  async delete(key: string): Promise<void> {
    const bucket = await this.#bucket();
    await this.#insist(() => bucket.delete(key));
  }

  async getOrSet<T>(
    key: string,
    load: () => MaybePromise<T>,
    options: CacheLoadOptions = {},
  ): Promise<T> {
    check("cache.getOrSet", options, GET_OR_SET_OPTIONS);
    const { once = false, timeout, signal, ...writing } = options;
    if (timeout !== undefined) checkNumber("cache.getOrSet: timeout", timeout, 1, MAX_TIMEOUT, "ms");
    checkSignal("cache.getOrSet", signal);
    const name = () => `cache.${token(this.#options.random, 12)}`;
    const text = await this.#read(key) ??
      await this.#loads.value(key, { timeout, signal }, name, (loading) => {
        const fill = () => this.#fill(loading, load, writing);
        return once ? this.#once(loading, fill) : fill();
      });
    // what T says is the caller's word
    return JSON.parse(text) as T;
  }

  /** Loads it while no other node does. */
  async #once({ key, asker, forgotten: { signal } }: Load, fill: () => Promise<string>): Promise<string> {
    await using lock = await this.#options.locks.lock(`catga.cache/${key}`, { signal }, asker);
    // others would wait for a load that nobody waits for here; what cannot be released has its ttl
    signal.addEventListener("abort", () => lock.release().catch(() => {}), { once: true });
    // another node may have loaded it before the lock came to this one
    return await this.#read(key) ?? await fill();
  }

  async #fill(loading: Load, load: () => MaybePromise<unknown>, options: CacheSetOptions): Promise<string> {
    const text = encode(loading.key, await this.#loads.call(loading, load));
    await this.#write(loading.key, text, options);
    return text;
  }

  async #read(key: string): Promise<string | undefined> {
    const bucket = await this.#bucket();
    const entry = await bucket.get(key);
    return entry && readEntry(entry).text;
  }

  /** Writes JSON; `false` when the fence is too old. */
  async #write(key: string, text: string, { ttl, fence }: CacheSetOptions): Promise<boolean> {
    const nonce = token(this.#options.random, 12);
    const stored = `${JSON.stringify({ nonce, fence })}\n${text}`;
    const options: WriteOptions = ttl === undefined ? {} : { ttl };
    const bucket = await this.#bucket();
    const ours = async () => {
      const entry = await bucket.get(key);
      return entry !== undefined && readEntry(entry).nonce === nonce;
    };
    let tried = false;
    try {
      return await this.#insist(async () => {
        if (fence !== undefined) return await fenced(bucket, { key, stored, nonce, fence, options });
        // a second one might undo what others have written since the first
        if (tried && await ours()) return true;
        tried = true;
        await bucket.put(key, stored, options);
        return true;
      });
    } catch (error) {
      throw isCatgaError(error) && error.code === "TOO_LARGE" ? tooLarge(key, text, error) : error;
    }
  }

  /** Does it until the store answers, for a while. */
  async #insist<T>(work: () => Promise<T>): Promise<T> {
    const { clock } = this.#options;
    const end = clock.monotonic() + WRITE_LIMIT;
    for (let pause = 50;; pause *= 2) {
      try {
        return await work();
      } catch (error) {
        if (!isAmbiguous(error) || clock.monotonic() + pause > end) throw error;
        await delay(clock, pause);
      }
    }
  }
}

interface FencedWrite {
  readonly key: string;
  readonly stored: string;
  readonly nonce: string;
  readonly fence: number;
  readonly options: WriteOptions;
}

/** Before anything is read or loaded. */
function check(method: string, options: CacheSetOptions, known: ReadonlySet<string>): void {
  checkKnown(method, options, known);
  const { ttl, fence } = options;
  if (ttl !== undefined) ttlSeconds(ttl);
  if (fence !== undefined && !Number.isSafeInteger(fence)) {
    throw new TypeError(`cache: a fence is a fencing token, a whole number; got ${fence}`);
  }
}

const SET_OPTIONS: ReadonlySet<string> = new Set<keyof CacheSetOptions>(["ttl", "fence"]);
const GET_OR_SET_OPTIONS: ReadonlySet<string> = new Set([...SET_OPTIONS, "once", "timeout", "signal"]);

/** Writes over what has a smaller fence, or the same, by compare-and-set. */
async function fenced(bucket: Bucket, { key, stored, nonce, fence, options }: FencedWrite): Promise<boolean> {
  // who loses so many races has been written over more often than a cache is worth
  for (let races = 0; races < 100; races++) {
    const entry = await bucket.get(key);
    const there = entry && readEntry(entry);
    // its acknowledgement was lost
    if (there?.nonce === nonce) return true;
    if (there?.fence !== undefined && there.fence > fence) return false;
    const revision = entry === undefined
      ? await bucket.create(key, stored, options)
      : await bucket.update(key, stored, entry.revision, options);
    if (revision !== undefined) return true;
  }
  throw new CatgaError("UNAVAILABLE", `cache: other writes to ${JSON.stringify(key)} are under way`, {
    retryable: true,
  });
}

/** An entry's parts: who wrote it stands in the first line, the value below. */
function readEntry({ key, value }: Entry): { nonce?: string; fence?: number; text: string } {
  const end = value.indexOf("\n");
  try {
    const head: unknown = JSON.parse(value.slice(0, end));
    // anything but an object has none of these
    return { ...head as { nonce?: string; fence?: number }, text: value.slice(end + 1) };
  } catch (cause) {
    const message = `what stands under ${JSON.stringify(key)} was not written by the cache; delete it`;
    throw new CatgaError("INVALID_RESPONSE", message, { cause });
  }
}

function encode(key: string, value: unknown): string {
  let why = `it is ${value === undefined ? "undefined; delete the key instead" : `a ${typeof value}`}`;
  let cause: unknown;
  try {
    const text = stringify(value);
    if (text !== undefined) return text;
  } catch (error) {
    cause = error;
    why = error instanceof Error ? error.message.split("\n")[0] : String(error);
  }
  throw new TypeError(`cache: the value for ${JSON.stringify(key)} must be JSON: ${why}`, { cause });
}

function tooLarge(key: string, text: string, cause: CatgaError): CatgaError {
  const size = byteLength(text);
  const message = `cache: the value for ${JSON.stringify(key.slice(0, 80))} has ${size} bytes: ${cause.message}`;
  // of the store's own details the limit is of interest
  const limit = (cause.details as { limit?: number } | undefined)?.limit;
  return new CatgaError("TOO_LARGE", message, { details: { key, size, limit }, cause });
}
