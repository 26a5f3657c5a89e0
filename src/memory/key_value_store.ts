/** The port {@link KeyValueStore} within one process: buckets in memory, reached over connections that can fail. */
import type { Clock } from "../ports/clock.ts";
import { CatgaError } from "../error.ts";
import {
  type Bucket,
  type BucketOptions,
  type Change,
  checkBucket,
  checkKey,
  type Entry,
  type KeyValueStore,
  ttlSeconds,
  type WriteOptions,
} from "../ports/key_value_store.ts";
import { BucketState } from "./bucket_state.ts";
import type { FaultSource } from "./faults.ts";
import { type SessionClient, StoreSession } from "./store_session.ts";
import { watchBucket } from "./bucket_watch.ts";

/** The largest value, in bytes: as for nats-server, less room for headers. */
const MAX_VALUE = 1_048_576 - 8_192;

/** Buckets that live as long as this object. */
export class MemoryKeyValueStore implements KeyValueStore {
  readonly #clock: Clock;
  readonly #faults: FaultSource | undefined;
  readonly #buckets: Map<string, BucketState>;
  readonly #session: StoreSession;

  /** An empty store; with `of`, the buckets of that one, reached over the connection of `client`. */
  constructor(clock: Clock, faults?: FaultSource, client?: SessionClient, of?: MemoryKeyValueStore) {
    this.#clock = clock;
    this.#faults = faults;
    this.#session = new StoreSession(clock, faults, client);
    this.#buckets = of ? of.#buckets : new Map();
  }

  /** The same buckets, as a client reaches them over the connection of `client`. */
  through(client: SessionClient): KeyValueStore {
    return new MemoryKeyValueStore(this.#clock, this.#faults, client, this);
  }

  async open(name: string, options: BucketOptions = {}): Promise<Bucket> {
    const { direct = false, replicas = 1 } = options;
    checkBucket(name, replicas);
    const state = await this.#session.call(() => this.#find(name, { direct, replicas }));
    return new MemoryBucket(name, state, this.#session);
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

  async get(key: string): Promise<Entry | undefined> {
    checkKey(key);
    return await this.#session.call(() => this.#state.get(key));
  }

  async create(key: string, value: string, options?: WriteOptions): Promise<number | undefined> {
    return await this.#write(key, value, options, (entry) => entry === undefined);
  }

  async update(key: string, value: string, revision: number, options?: WriteOptions): Promise<number | undefined> {
    return await this.#write(key, value, options, (entry) => entry?.revision === revision);
  }

  async put(key: string, value: string, options?: WriteOptions): Promise<number> {
    const { text, seconds } = writable(key, value, options);
    return await this.#session.call(() => this.#state.put(key, text, seconds));
  }

  async delete(key: string, options: { revision?: number | undefined } = {}): Promise<boolean> {
    checkKey(key);
    const { revision } = options;
    return await this.#session.call(() => {
      if (revision !== undefined && this.#state.get(key)?.revision !== revision) return false;
      this.#state.remove(key, "delete");
      return true;
    });
  }

  entries(prefix: string): Promise<Entry[]> {
    return this.#session.call(() => this.#state.entries(prefix));
  }

  watch(prefix: string, onChange: (change: Change) => void, options: { signal: AbortSignal }): Promise<void> {
    return watchBucket(this.#state, this.#session, { prefix, onChange, signal: options.signal });
  }

  async #write(
    key: string,
    value: string,
    options: WriteOptions | undefined,
    allowed: (entry: Entry | undefined) => boolean,
  ): Promise<number | undefined> {
    const { text, seconds } = writable(key, value, options);
    return await this.#session.call(() =>
      allowed(this.#state.get(key)) ? this.#state.put(key, text, seconds) : undefined
    );
  }
}

/** Validates a write, and returns it as it is stored. */
function writable(key: string, value: string, options: WriteOptions = {}): { text: string; seconds?: number } {
  checkKey(key);
  // a UTF-16 unit takes at most three bytes
  const size = value.length * 3 > MAX_VALUE ? new TextEncoder().encode(value).length : 0;
  if (size > MAX_VALUE) {
    throw new CatgaError(
      "TOO_LARGE",
      `a value has at most ${MAX_VALUE} bytes; that of ${JSON.stringify(key)} has ${size}`,
    );
  }
  // half a surrogate pair does not survive UTF-8
  const text = value.toWellFormed();
  return options.ttl === undefined ? { text } : { text, seconds: ttlSeconds(options.ttl) };
}
