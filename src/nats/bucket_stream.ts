/** The stream under a bucket: writes to its subjects, and which of its messages have expired. */
import { CatgaError } from "../error.ts";
import { type BucketOptions, bucketStreamName } from "../ports/key_value_store.ts";
import type { JetStream, StreamWrite } from "./jetstream.ts";
import { JetStreamRefusal } from "./jetstream_refusal.ts";
import {
  type AttemptOptions,
  KeptStream,
  neededOff,
  OPERATORS,
  valueTooLarge,
  type WrongSetting,
  wrongSetting,
} from "./kept_stream.ts";
import { SharedConsumers } from "./shared_consumers.ts";
import type { StreamRecord } from "./stored_message.ts";
import type { NatsTransport } from "./transport.ts";

/** The stream `KV_<bucket>`, as `Kvm.open` and `nats kv` know it. */
export class BucketStream extends KeptStream {
  /** Prefix of the subjects of its keys, the dot included. */
  readonly prefix: string;
  /** Consumers with which its watches read on. */
  readonly consumers: SharedConsumers = new SharedConsumers(this);
  readonly #bucket: string;

  constructor(transport: NatsTransport, js: JetStream, bucket: string, options: Required<BucketOptions>) {
    const settings = bucketSettings(bucket, options);
    super(transport, js, {
      name: bucketStreamName(bucket),
      what: `the bucket ${bucket}`,
      settings: () => settings,
      check: (config) => checkSettings(bucket, config, settings),
      // revisions are the µs since 1970
      perMs: 1_000,
      most: HIGHEST,
      // after an interruption a watch has to list its keys
      heartbeat: 1_600,
    });
    this.#bucket = bucket;
    this.prefix = `$KV.${bucket}.`;
  }

  /**
   * Writes below the bucket's prefix: once with `expected`; without it, again until it is acknowledged, as an election
   * of the stream may lose a write without a word. Resolves with the revision; `undefined` if the subject is not at
   * `expected`.
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
   * The records that had not expired at `asked`, the moment of the monotonic clock at which they were requested. The
   * server's clock is read before a record is left out.
   */
  async alive(records: readonly StreamRecord[], asked: number): Promise<readonly StreamRecord[]> {
    const expired = (record: StreamRecord) => this.serverClock.endOf(record) <= asked;
    if (!records.some(expired)) return records;
    await this.readServerClock(this.transport.clock.monotonic());
    return records.filter((record) => !expired(record));
  }

  /** The records that have expired by now. */
  async expired(records: readonly StreamRecord[]): Promise<readonly StreamRecord[]> {
    const alive = new Set(await this.alive(records, this.transport.clock.monotonic()));
    return records.filter((record) => !alive.has(record));
  }

  /** The error for a value that did not fit. */
  tooLarge(error: JetStreamRefusal, key: string, value: string): CatgaError {
    return valueTooLarge(this.#bucket, { key, value, maxPayload: this.transport.maxPayload }, error);
  }
}

// The settings of the stream under a bucket: those that Catga needs, and those that an operator may choose. Every other
// setting must be off, so that a setting of a later nats-server is refused until it is known to be harmless.

/** How long the marker of a deleted or expired key is kept, in seconds: the least that nats-server accepts. */
export const MARKER_TTL = 1;

/** The settings that Catga needs. */
export function bucketSettings(bucket: string, options: Required<BucketOptions>): Readonly<Record<string, unknown>> {
  return {
    subjects: [`$KV.${bucket}.>`],
    retention: "limits",
    storage: "file",
    discard: "new",
    num_replicas: options.replicas,
    // with a longer history the server raises short ttls to that of markers
    max_msgs_per_subject: 1,
    max_age: 0,
    allow_rollup_hdrs: true,
    deny_purge: false,
    // a full store has no room for a marker: there entries are erased
    deny_delete: false,
    allow_msg_ttl: true,
    subject_delete_marker_ttl: MARKER_TTL * 1_000_000_000,
    // reads from followers may be stale
    allow_direct: options.direct,
  };
}

/** Throws `BUCKET_MISMATCH` for a stream with other settings, naming the first one that is wrong. */
export function checkSettings(
  bucket: string,
  config: Readonly<Record<string, unknown>>,
  wanted: Readonly<Record<string, unknown>>,
): void {
  const wrong = wrongSetting(config, wanted, CHOSEN);
  if (wrong !== undefined) throw mismatch(bucket, wrong);
  if (!((Number(config.first_seq) || 0) <= HIGHEST)) {
    throw mismatch(bucket, { setting: "first_seq", is: config.first_seq, wanted: `at most ${HIGHEST}` });
  }
}

/** A bucket that is full refuses writes; and no message has an id, so that the window is without effect. */
const CHOSEN: ReadonlySet<string> = new Set([...OPERATORS, "max_msgs", "duplicate_window"]);

/**
 * The highest `first_seq`: revisions are fencing tokens, and must stay safe integers. New buckets start at the µs since
 * 1970: 1.8e15 in 2026.
 */
const HIGHEST = 2 ** 52;

/** Harm of a setting to a bucket, for the error, unless its name explains it. */
const HARM: Readonly<Record<string, string>> = {
  republish: "it publishes the entries on other subjects, in anybody's name",
  subject_transform: "it renames the keys that are written",
  discard_new_per_subject: "a key can be written only once",
};

/** Loss with a bucket, by the end of its name; the other buckets are filled anew by themselves. */
const LOST: Readonly<Record<string, string>> = {
  idempotency: "the recorded results: a command whose id comes again runs again",
};

function mismatch(bucket: string, details: WrongSetting): CatgaError {
  const { setting, is } = details;
  const found = `the bucket ${bucket} exists with ${setting} ${JSON.stringify(is)}`;
  return new CatgaError("BUCKET_MISMATCH", `${found}; ${adviceOn(bucket, details)}`, {
    details: { bucket, ...details },
  });
}

function adviceOn(bucket: string, { setting, is, wanted }: WrongSetting): string {
  const [found, needed] = [JSON.stringify(is), JSON.stringify(wanted)];
  if (setting === "num_replicas") {
    return `Catga needs ${needed}: give \`replicas: ${found}\`, or change it, which keeps all entries ` +
      `(\`nats stream edit ${bucketStreamName(bucket)} --replicas ${needed}\`)`;
  }
  const lost = LOST[bucket.slice(bucket.lastIndexOf("_") + 1)];
  const command = `(\`nats kv rm ${bucket}\`${lost === undefined ? "" : `, which loses ${lost}`})`;
  if (wanted === null) {
    const off = neededOff(setting, HARM);
    return `${off}: find out who set it, delete the bucket ${command} and make it anew (\`catga setup\`)`;
  }
  return `Catga needs ${needed}: open it with the options that it was made with, or delete it ${command} and make it ` +
    "anew (`catga setup`, or let Catga do it)";
}
