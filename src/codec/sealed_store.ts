/**
 * Buckets whose values a codec encodes ("seals"): results of idempotent commands, the cache, snapshots. Keys stay
 * readable.
 */
import type { PayloadOf } from "../contract/declaration/payload_codec.ts";
import { andThen, type MaybePromise } from "../contract/schemas/schema.ts";
import {
  type Bucket,
  type BucketKind,
  bucketName,
  type BucketOptions,
  type Change,
  type DeleteOptions,
  type Entry,
  type KeyValueStore,
  type WriteOptions,
} from "../ports/key_value_store.ts";
import { InOrder } from "./in_order.ts";
import { readSnapshotKey } from "../log/format/names.ts";
import type { Sealing } from "./sealing.ts";

/** The buckets whose values are payloads, and so are encoded by the codec. */
const SEALED: readonly BucketKind[] = ["idempotency", "cache", "snapshots"];

/** A store whose payloads a codec encodes. */
export class SealedStore implements KeyValueStore {
  readonly #store: KeyValueStore;
  readonly #sealing: Sealing;
  readonly #names: ReadonlySet<string>;
  readonly #snapshots: string;

  constructor(store: KeyValueStore, sealing: Sealing, namespace: string) {
    this.#store = store;
    this.#sealing = sealing;
    this.#names = new Set(SEALED.map((kind) => bucketName(namespace, kind)));
    this.#snapshots = bucketName(namespace, "snapshots");
  }

  async open(name: string, options?: BucketOptions): Promise<Bucket> {
    const bucket = await this.#store.open(name, options);
    if (!this.#names.has(name)) return bucket;
    return new SealedBucket(bucket, this.#sealing, name === this.#snapshots ? snapshotOf : undefined);
  }
}

/** A bucket whose values a codec encodes. */
export class SealedBucket implements Bucket {
  readonly #bucket: Bucket;
  readonly #sealing: Sealing;
  readonly #ofEntry: (key: string) => PayloadOf | undefined;

  /** `ofEntry`: returns what the value of a key belongs to; default: no message. */
  constructor(bucket: Bucket, sealing: Sealing, ofEntry: (key: string) => PayloadOf | undefined = () => undefined) {
    this.#bucket = bucket;
    this.#sealing = sealing;
    this.#ofEntry = ofEntry;
  }

  get name(): string {
    return this.#bucket.name;
  }

  get size(): number {
    return this.#bucket.size;
  }

  async get(key: string, options?: { latest?: boolean }): Promise<Entry | undefined> {
    const found = await this.#bucket.get(key, options);
    return found && await this.#open(found);
  }

  async create(key: string, value: string, options?: WriteOptions): Promise<number | undefined> {
    return await this.#bucket.create(key, await this.#sealing.seal(value, this.#ofEntry(key)), options);
  }

  async update(key: string, value: string, revision: number, options?: WriteOptions): Promise<number | undefined> {
    return await this.#bucket.update(key, await this.#sealing.seal(value, this.#ofEntry(key)), revision, options);
  }

  async put(key: string, value: string, options?: WriteOptions): Promise<number> {
    return await this.#bucket.put(key, await this.#sealing.seal(value, this.#ofEntry(key)), options);
  }

  delete(key: string, options?: DeleteOptions): Promise<boolean> {
    return this.#bucket.delete(key, options);
  }

  async entries(prefix: string): Promise<Entry[]> {
    return await Promise.all((await this.#bucket.entries(prefix)).map((entry) => this.#open(entry)));
  }

  async watch(prefix: string, onChange: (change: Change) => void, options: { signal: AbortSignal }): Promise<void> {
    const changes = new InOrder();
    const fail = (error: unknown) => {
      throw error; // never happens: `onChange` must not throw, and decoding a value does not reject
    };
    await this.#bucket.watch(prefix, (change) => {
      const opened = change.type === "put" ? this.#open(change) : change;
      changes.pass<Change>(opened, (opened) => options.signal.aborted || onChange(opened), fail);
    }, options);
    await changes.passed;
  }

  /**
   * Returns the entry with its value decoded. Never rejects: a value that cannot be decoded stays as it is, and its
   * readers find it malformed.
   */
  #open<E extends Entry>(entry: E): MaybePromise<E> {
    return andThen(this.#sealing.openOrKeep(entry.value, this.#ofEntry(entry.key)), (value) => ({ ...entry, value }));
  }
}

/** Returns the entity of a snapshot's key. */
function snapshotOf(key: string): PayloadOf | undefined {
  const found = readSnapshotKey(key);
  return found && { contract: found.type, key: found.id };
}
