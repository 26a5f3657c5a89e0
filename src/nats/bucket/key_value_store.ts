/**
 * The key-value store on JetStream KV: each bucket is an ordinary KV bucket, which `@nats-io/kv` and `nats kv` can
 * read. Entries are written by publishing, because an update with `Kv` cannot have a ttl (docs/internals/packages.md,
 * row `kv-update`).
 * @decides reads of a bucket: `get`, `create`, `update`, `put`, `delete`; how often a `create` tries while the
 * revision changes
 */
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
} from "../../ports/key_value_store.ts";
import { BucketStream, remove } from "./bucket_stream.ts";
import { unavailable } from "../../error.ts";
import { Feed } from "../reading/feed.ts";
import { JetStream } from "../stream/jetstream.ts";
import { JetStreamRefusal } from "../stream/jetstream_refusal.ts";
import { encodeKey, packValue, prefixFilter, subjectBelow, unpackValue } from "./key_subject.ts";
import { recordOf, type StreamRecord } from "../stream/stored_message.ts";
import { Sweeper } from "./sweeper.ts";
import type { NatsTransport } from "../connection/transport.ts";
import { watchBucket } from "./watch.ts";

/** Maximum number of markers (of removed keys) whose revisions are remembered. */
const REMEMBERED = 1_024;

/** Options of a {@link NatsKeyValueStore}. */
export interface NatsKeyValueStoreOptions {
  /** Called with a line of text when an operation failed that is repeated automatically, such as a watch. */
  onNotice?: (notice: string) => void;
  /**
   * True if the store writes only at its callers' request: it does not remove expired entries that the server still
   * has. Default: false.
   */
  passive?: boolean;
}

/** Buckets in the JetStream of a connection. Closing the transport closes them. */
export class NatsKeyValueStore implements KeyValueStore {
  readonly #transport: NatsTransport;
  readonly #js: JetStream;
  readonly #options: Required<NatsKeyValueStoreOptions>;

  constructor(
    transport: NatsTransport,
    { onNotice = () => {}, passive = false }: NatsKeyValueStoreOptions = {},
  ) {
    this.#transport = transport;
    this.#js = new JetStream(transport);
    this.#options = { onNotice, passive };
  }

  async open(name: string, { direct = false, replicas = 1 }: BucketOptions = {}): Promise<Bucket> {
    checkBucket(name, replicas);
    const stream = new BucketStream(this.#transport, this.#js, name, { direct, replicas });
    await stream.open();
    if (!this.#options.passive) new Sweeper(stream, this.#options.onNotice);
    return new NatsBucket(name, stream, { ...this.#options, direct, replicas });
  }
}

class NatsBucket implements Bucket {
  readonly name: string;
  readonly #stream: BucketStream;
  readonly #options: BucketSettings & Required<NatsKeyValueStoreOptions>;
  /**
   * Revisions of the markers that this client has written for removed keys, by subject. With it, creating a key again
   * costs one write, where `kv.create` makes three requests (docs/internals/packages.md, row `kv-create`).
   */
  readonly #markers = new Map<string, number>();

  constructor(name: string, stream: BucketStream, options: BucketSettings & Required<NatsKeyValueStoreOptions>) {
    this.name = name;
    this.#stream = stream;
    this.#options = options;
  }

  get size(): number {
    return this.#stream.messages;
  }

  async get(key: string, { latest = false }: { latest?: boolean } = {}): Promise<Entry | undefined> {
    checkKey(key);
    const asked = this.#now();
    const subject = encodeKey(key);
    const read = latest ? this.#lastOfLeader(subject) : this.#last(subject);
    const record = await this.#alive(await read, asked);
    return record && this.#toEntry(record);
  }

  async create(key: string, value: string, options?: WriteOptions): Promise<number | undefined> {
    checkKey(key);
    const subject = encodeKey(key);
    let expected = this.#markers.get(subject) ?? 0;
    this.#markers.delete(subject);
    // a marker, or an expired entry, is overwritten at its revision; repeated, because another client may write the key
    // between the read of the revision and the write
    for (let tries = 0; tries < 10; tries++) {
      const revision = await this.#write(subject, key, value, { ...options, expected });
      if (revision !== undefined) return revision;
      const asked = this.#now();
      const record = await this.#lastOfLeader(subject);
      if (record?.type === "put") {
        if (await this.#alive(record, asked) !== undefined) return undefined;
        // the server may be about to remove the expired entry, and would remove its replacement: a marker of this
        // client takes its place first
        const removed = await remove(this.#stream, { subject, key, revision: record.revision, expired: true });
        expected = removed?.marker ?? 0;
      } else expected = record?.revision ?? 0;
    }
    return undefined;
  }

  async update(key: string, value: string, revision: number, options?: WriteOptions): Promise<number | undefined> {
    checkKey(key);
    // revision 0 would mean "no entry" to NATS
    if (!isRevision(revision)) return undefined;
    return await this.#write(encodeKey(key), key, value, { ...options, expected: revision });
  }

  async put(key: string, value: string, options?: WriteOptions): Promise<number> {
    checkKey(key);
    const revision = await this.#write(encodeKey(key), key, value, options ?? {});
    if (revision === undefined) {
      throw unavailable(`another write to ${key} is under way`);
    }
    return revision;
  }

  async delete(key: string, { revision, note }: DeleteOptions = {}): Promise<boolean> {
    checkKey(key);
    const subject = encodeKey(key);
    if (revision === undefined) {
      // nothing to remove: watches would report a marker written here as a deletion
      if ((await this.#lastOfLeader(subject))?.type !== "put") return true;
    } else if (!isRevision(revision)) return false;
    const removed = await remove(this.#stream, { subject, key, revision, note });
    if (removed === undefined) return false;
    if (removed.marker !== undefined) {
      if (this.#markers.size >= REMEMBERED) this.#markers.clear();
      this.#markers.set(subject, removed.marker);
    }
    return true;
  }

  async entries(prefix: string): Promise<Entry[]> {
    const asked = this.#now();
    const records = await this.#stream.attempt((limit) => this.#list(prefixFilter(prefix), limit));
    const alive = await this.#stream.alive(records, asked);
    return alive.map((record) => this.#toEntry(record)).filter((entry) =>
      entry?.key.startsWith(prefix) === true
    ) as Entry[];
  }

  watch(prefix: string, onChange: (change: Change) => void, options: { signal: AbortSignal }): Promise<void> {
    return watchBucket(this.#stream, { ...this.#options, prefix, onChange, signal: options.signal });
  }

  #now(): number {
    return this.#stream.transport.clock.monotonic();
  }

  async #alive(record: StreamRecord | undefined, asked: number): Promise<StreamRecord | undefined> {
    return record && (await this.#stream.alive([record], asked))[0];
  }

  #lastOfLeader(subject: string): Promise<StreamRecord | undefined> {
    const { js, name, prefix } = this.#stream;
    return this.#stream.attempt((limit) => js.last(name, prefix + subject, limit));
  }

  /** Reads the last message of a subject, from any server if the bucket has the option `direct`. */
  #last(subject: string): Promise<StreamRecord | undefined> {
    if (!this.#options.direct) return this.#lastOfLeader(subject);
    const { direct, prefix } = this.#stream;
    return this.#stream.attempt(async (limit) => {
      const message = await direct.last(prefix + subject, limit);
      return message && recordOf(message);
    });
  }

  async #write(
    subject: string,
    key: string,
    value: string,
    options: WriteOptions & { expected?: number },
  ): Promise<number | undefined> {
    const seconds = options.ttl === undefined ? undefined : ttlSeconds(options.ttl);
    const ttl = seconds === undefined ? undefined : `${seconds}s`;
    try {
      return await this.#stream.write(subject, packValue(subject, key, value), { ttl, expected: options.expected });
    } catch (error) {
      if (error instanceof JetStreamRefusal && error.refusal === "too large") {
        throw this.#stream.tooLarge(error, key, value);
      }
      throw error;
    }
  }

  /** Reads the last message of each subject that matches a filter, by ascending revision. */
  async #list(filter: string, limit: number): Promise<StreamRecord[]> {
    const { js, name, prefix } = this.#stream;
    // the server that lists may lag behind: the listing must reach the revision that the leader has when the listing
    // begins
    const leading = this.#options.replicas > 1 ? js.last(name, prefix + filter, limit) : undefined;
    leading?.catch(() => {});
    // a map, because a key that is written during the listing is delivered twice
    const latest = new Map<string, StreamRecord>();
    await Feed.list(this.#stream, prefix + filter, limit, (message) => {
      latest.delete(message.subject);
      latest.set(message.subject, recordOf(message));
    });
    const records = [...latest.values()];
    const newest = await leading;
    if (newest !== undefined && newest.revision > (records.at(-1)?.revision ?? 0)) {
      throw new JetStreamRefusal("busy", `the listing does not contain revision ${newest.revision} yet`);
    }
    return records;
  }

  /**
   * Converts a message of a bucket to an entry; `undefined` for a marker (a message that replaces a removed entry), and
   * for a message that Catga has not written.
   */
  #toEntry({ subject, revision, type, data }: StreamRecord): Entry | undefined {
    const below = subjectBelow(this.#stream.prefix, subject);
    if (below === undefined) return undefined;
    this.#stream.noteRevision(revision);
    if (type !== "put") return undefined;
    const found = unpackValue(below, data);
    return found && { ...found, revision };
  }
}

function isRevision(revision: number): boolean {
  return Number.isSafeInteger(revision) && revision > 0;
}
