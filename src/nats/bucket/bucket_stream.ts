/** The stream of a bucket: writes to its subjects, removals of its entries, and the expiry of its messages. */
import type { CatgaError } from "../../error.ts";
import { type BucketSettings, bucketStreamName } from "../../ports/key_value_store.ts";
import { openOnce } from "../../ports/open_once.ts";
import { bucketSettings, checkSettings, HIGHEST, MARKER_TTL } from "../stream/stream_settings.ts";
import type { JetStream, StreamWrite } from "../stream/jetstream.ts";
import { JetStreamRefusal, valueTooLarge, writesUnanswered } from "../stream/jetstream_refusal.ts";
import { type AttemptOptions, OwnedStream } from "../stream/owned_stream.ts";
import type { SharedConsumers } from "../reading/shared_consumers.ts";
import type { StreamRecord } from "../stream/stored_message.ts";
import type { NatsTransport } from "../connection/transport.ts";
import { packValue } from "./key_subject.ts";

/** Time limit of the read that shows that a server answers, after a write without an answer, in ms. */
const READ_LIMIT = 500;

/**
 * The stream `KV_<bucket>` under a bucket, in the form that `Kvm.open` and `nats kv` expect.
 * @decides the stream under a bucket: which entries are alive, and the error of a value that is too large
 */
export class BucketStream extends OwnedStream {
  /** Prefix of the subjects of the bucket's keys, the dot included. */
  readonly prefix: string;
  /** Returns the consumers that this bucket's watches share; their code is loaded for the first watch that lasts. */
  readonly consumers: () => Promise<SharedConsumers> = openOnce(async () => {
    const { SharedConsumers } = await import("../reading/shared_consumers.ts");
    return new SharedConsumers(this);
  });
  readonly #bucket: string;

  constructor(transport: NatsTransport, js: JetStream, bucket: string, options: BucketSettings) {
    const settings = bucketSettings(bucket, options);
    super(transport, js, {
      name: bucketStreamName(bucket),
      what: `the bucket ${bucket}`,
      settings: () => settings,
      check: (config) => checkSettings(bucket, config, settings),
      // sequences per ms: revisions start at the µs since 1970
      perMs: 1_000,
      most: HIGHEST,
      // short, because after an interruption a watch must list all its keys
      heartbeat: 1_600,
    });
    this.#bucket = bucket;
    this.prefix = `$KV.${bucket}.`;
  }

  /**
   * Writes a message to a subject below the bucket's prefix. With `expected`, writes once; without, repeats the write
   * until it is acknowledged, because an election of the stream's leader may lose a write without an answer. Resolves
   * with the new revision; `undefined`: nothing was written, because the subject's last message has another revision
   * than `expected`.
   */
  async write(
    subject: string,
    data: string,
    message: StreamWrite,
    options: Pick<AttemptOptions, "whenFull"> = {},
  ): Promise<number | undefined> {
    try {
      const revision = await this.attempt(
        (limit) => this.js.write(this.prefix + subject, data, message, limit),
        { once: message.expected !== undefined, ...options },
      );
      this.noteRevision(revision);
      return revision;
    } catch (error) {
      if (error instanceof JetStreamRefusal && error.refusal === "lost race") return undefined;
      throw await this.#explained(error);
    }
  }

  /** Returns the error of a write, or, if nothing answered the write, but a read is answered, an error that says so. */
  async #explained(error: unknown): Promise<unknown> {
    const { cause } = error as { cause?: unknown };
    if (!(cause instanceof JetStreamRefusal && cause.refusal === "no answer")) return error;
    return await this.js.info(this.name, READ_LIMIT).then(() => writesUnanswered(this.what, cause), () => error);
  }

  /**
   * Returns the records that had not expired at `asked`, the time of the request that read them, by the monotonic
   * clock. Before any record is left out, this process reads the server's clock again.
   */
  async alive(records: readonly StreamRecord[], asked: number): Promise<readonly StreamRecord[]> {
    const expired = (record: StreamRecord) => this.serverClock.endOf(record) <= asked;
    if (!records.some(expired)) return records;
    await this.readServerClock(this.transport.clock.monotonic());
    return records.filter((record) => !expired(record));
  }

  /** Returns the records that have expired by now. */
  async expired(records: readonly StreamRecord[]): Promise<readonly StreamRecord[]> {
    const alive = new Set(await this.alive(records, this.transport.clock.monotonic()));
    return records.filter((record) => !alive.has(record));
  }

  /** Makes the error for a value that is too large for the bucket. */
  tooLarge(error: JetStreamRefusal, key: string, value: string): CatgaError {
    return valueTooLarge(this.#bucket, { key, value, maxPayload: this.transport.maxPayload }, error);
  }
}

/** An entry of a bucket that is to be removed. */
export interface Removal {
  /** Subject of the entry's key, without the bucket's prefix. */
  readonly subject: string;
  /**
   * The entry's key, if it is known. It is written into the marker for watches that never received the entry of a
   * hashed subject.
   */
  readonly key?: string;
  /** Revision that the entry must have to be removed; absent: any. */
  readonly revision?: number | undefined;
  /** Text that watches report with the removal; absent: none. */
  readonly note?: string | undefined;
  /** True if the entry's ttl has passed: watches report `expire` instead of `delete`. */
  readonly expired?: boolean;
}

/**
 * Removes an entry: replaces it by a marker, which watches receive, and which expires after 1 s. A full store has no
 * room for a marker: there the entry is erased, which makes room, and a marker is written afterwards. If there is still
 * no room for it, watches notice the removal at the end of the entry's ttl, or at their next listing. A purge of
 * `@nats-io/kv` does less: docs/internals/packages.md, row `kv-purge`. Resolves with `marker`, the revision of the
 * marker that replaces it, or without `marker` if the store has no room for one; `undefined`: nothing was removed,
 * because the key has another revision.
 */
export async function remove(
  stream: BucketStream,
  { subject, key, revision, note = "", expired }: Removal,
): Promise<{ readonly marker?: number } | undefined> {
  const data = key === undefined ? "" : packValue(subject, key, note);
  const headers = {
    ...(expired ? { "Nats-Marker-Reason": "MaxAge" } : { "KV-Operation": "PURGE" }),
    "Nats-Rollup": "sub",
  };
  // the marker has a ttl, because a marker without a ttl stays for ever, as those of `kv.delete` of nats.js do
  const ttl = `${MARKER_TTL}s`;
  const writeMarker = (expected: number | undefined) =>
    stream.write(subject, data, { ttl, expected, headers }, { whenFull: "fail" });
  try {
    const marker = await writeMarker(revision);
    return marker === undefined ? undefined : { marker };
  } catch (error) {
    if (!isFull(error)) throw error;
  }
  if (!await erase(stream, subject, revision)) return undefined;
  // the erasure may have made room for a marker: watches receive the marker at once
  try {
    const marker = await writeMarker(0);
    return marker === undefined ? {} : { marker };
  } catch (error) {
    if (!isFull(error)) throw error;
    return {};
  }
}

/**
 * Erases an entry of a bucket. `revision`: revision that it must have; `undefined`: any. Resolves with false if the key
 * is at another revision.
 */
export async function erase(stream: BucketStream, subject: string, revision: number | undefined): Promise<boolean> {
  const { js, name, prefix } = stream;
  while (true) {
    const last = await stream.attempt((limit) => js.last(name, prefix + subject, limit));
    // the revision is checked here, because the server erases by revision alone, without comparing the key
    if (revision !== undefined && last?.revision !== revision) return false;
    if (last?.type !== "put") return true;
    if (await stream.attempt((limit) => js.erase(name, last.revision, limit), { once: true })) return true;
  }
}

function isFull(error: unknown): boolean {
  return error instanceof JetStreamRefusal && error.refusal === "full";
}
