/** The stream of a bucket: writes to its subjects, and the expiry of its messages. */
import type { CatgaError } from "../error.ts";
import { type BucketOptions, bucketStreamName } from "../ports/key_value_store.ts";
import { openOnce } from "../ports/open_once.ts";
import { bucketSettings, checkSettings, HIGHEST } from "./bucket_settings.ts";
import type { JetStream, StreamWrite } from "./jetstream.ts";
import { JetStreamRefusal } from "./jetstream_refusal.ts";
import { type AttemptOptions, OwnedStream } from "./owned_stream.ts";
import { valueTooLarge } from "./stream_errors.ts";
import type { SharedConsumers } from "./shared_consumers.ts";
import type { StreamRecord } from "./stream_record.ts";
import type { NatsTransport } from "./transport.ts";

/** The stream `KV_<bucket>` under a bucket, in the form that `Kvm.open` and `nats kv` expect. */
export class BucketStream extends OwnedStream {
  /** Prefix of the subjects of the bucket's keys, the dot included. */
  readonly prefix: string;
  /** Returns the consumers that this bucket's watches share; their code is loaded for the first watch that lasts. */
  readonly consumers: () => Promise<SharedConsumers> = openOnce(async () => {
    const { SharedConsumers } = await import("./shared_consumers.ts");
    return new SharedConsumers(this);
  });
  readonly #bucket: string;

  constructor(transport: NatsTransport, js: JetStream, bucket: string, options: Required<BucketOptions>) {
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
      throw error;
    }
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
