/** Reaches a cluster over NATS. */
import { type Bucket, type BucketKind, bucketName, BUCKETS, bucketStreamName } from "../../ports/key_value_store.ts";
import type { PayloadCodec } from "../../../mod.ts";
import { printable } from "../../data/printable.ts";
import type { EventLog, LogOptions } from "../../ports/event_log.ts";
import { mayNot, type Violation } from "../../ports/transport.ts";
import { STREAM_KINDS } from "../../log/format/streams.ts";
import { streamName } from "../../log/format/stream_name.ts";
import { bucketStatus } from "../../nats/bucket/bucket_status.ts";
import { NatsEventLog } from "../../nats/log/log_stream.ts";
import { type ConnectionOptions, openNats } from "../../nats/open.ts";
import { JetStream } from "../../nats/stream/jetstream.ts";
import { JetStreamRefusal } from "../../nats/stream/jetstream_refusal.ts";
import type { ClusterLink } from "./cluster_link.ts";
import { Pinger } from "./pinger.ts";
import { explained, ServerLook, shownStreams } from "./server_look.ts";

/** Options of {@link openNatsLink}. */
export interface NatsLinkOptions {
  readonly namespace: string;
  readonly connection: ConnectionOptions;
  readonly codec: PayloadCodec | undefined;
  /** Prints a line. */
  say(line: string): void;
  /** Returns true for a denied permission without which the command cannot go on. */
  isNeeded(denied: Violation): boolean;
  /** Called when such a permission is missing, after it was printed. */
  refuse(): void;
}

/** Connects to a cluster over NATS. Rejects like `catga` if that fails. */
export async function openNatsLink(
  { namespace, connection, codec, say, isNeeded, refuse }: NatsLinkOptions,
): Promise<ClusterLink> {
  const optional = new Set(["$JS.API.INFO", ...shownStreams(namespace).map((name) => `$JS.API.STREAM.INFO.${name}`)]);
  for (const kind of NEEDED) optional.delete(`$JS.API.STREAM.INFO.${bucketStreamName(bucketName(namespace, kind))}`);
  for (const kind of STREAM_KINDS) optional.delete(`$JS.API.STREAM.INFO.${streamName(namespace, kind)}`);
  const opened = await openNats(connection, {
    name: "catga cli",
    transport: undefined,
    onError: (error) => say(`catga: ${error}`),
    onForbidden: (violation) => {
      if (optional.has(violation.subject) || !isNeeded(violation)) return;
      const { code, message } = mayNot(violation);
      say(`${code}: ${message}`);
      refuse();
    },
    onNotice: (notice) => say(`catga: ${notice}`),
    passive: true,
  });
  const { transport } = opened;
  const log = new NatsEventLog(transport);
  if (codec === undefined) return new NatsClusterLink(namespace, opened, log, transport, true);
  const { openedTransport, sealedLog } = await import("../../codec/sealed_link.ts");
  const events = openedTransport(transport, codec, (error) => say(`catga: an event cannot be opened: ${error}`));
  return new NatsClusterLink(namespace, opened, sealedLog(log, codec, transport.clock), events, false);
}

type Opened = Awaited<ReturnType<typeof openNats>>;

class NatsClusterLink implements ClusterLink {
  readonly address: string;
  readonly transport: Opened["transport"];
  readonly events: ClusterLink["events"];
  readonly log: EventLog;
  readonly writesClear: boolean;
  readonly #namespace: string;
  readonly #store: Opened["store"];
  readonly #server: ServerLook;

  constructor(
    namespace: string,
    { transport, store }: Opened,
    log: EventLog,
    events: ClusterLink["events"],
    writesClear: boolean,
  ) {
    this.#namespace = namespace;
    this.transport = transport;
    this.#store = store;
    this.log = log;
    this.events = events;
    this.writesClear = writesClear;
    this.address = printable(transport.connection.getServer());
    this.#server = new ServerLook(transport, namespace, this.address);
  }

  async copies(kind: BucketKind): Promise<number | undefined> {
    return (await this.#settings(kind))?.replicas;
  }

  async bucket(kind: BucketKind): Promise<Bucket | undefined> {
    const settings = await this.#settings(kind);
    return settings && await this.#store.open(bucketName(this.#namespace, kind), settings);
  }

  /**
   * Resolves with the settings of a bucket, with which it must be opened; `undefined` if it does not exist. (With
   * other settings, opening it would fail, or create it.)
   */
  async #settings(kind: BucketKind): Promise<{ replicas: number; direct: boolean } | undefined> {
    const bucket = bucketName(this.#namespace, kind);
    for (let attempt = 1;; attempt++) {
      try {
        const status = await bucketStatus(this.transport, bucket, SERVER_TIMEOUT);
        return status && { replicas: status.replicas, direct: status.streamInfo.config.allow_direct === true };
      } catch (error) {
        if (!(error instanceof JetStreamRefusal)) throw error;
        if (error.refusal === "no answer" && attempt < MAX_ATTEMPTS) continue;
        // rejects with the reason why the bucket cannot be opened, or waits until it can
        await this.#store.open(bucket, BUCKETS[kind]);
        return { replicas: 1, direct: BUCKETS[kind].direct };
      }
    }
  }

  async stream(name: string): Promise<Pick<LogOptions, "replicas"> | undefined> {
    try {
      const { config } = await new JetStream(this.transport).info(name, SERVER_TIMEOUT);
      return { replicas: Number(config.num_replicas) };
    } catch (error) {
      if (error instanceof JetStreamRefusal && error.refusal === "no stream") return undefined;
      throw explained(error, `the stream ${name}`, this.address);
    }
  }

  async setUpBucket(kind: BucketKind, replicas: number): Promise<boolean> {
    const name = bucketName(this.#namespace, kind);
    const isNew = await isMissing(bucketStatus(this.transport, name, SERVER_TIMEOUT));
    await this.#store.open(name, { ...BUCKETS[kind], replicas });
    return isNew;
  }

  async setUpStream(name: string, options: LogOptions): Promise<boolean> {
    const info = new JetStream(this.transport).info(name, SERVER_TIMEOUT).catch((error) => {
      if (error instanceof JetStreamRefusal && error.refusal === "no stream") return undefined;
      throw error;
    });
    const isNew = await isMissing(info);
    await this.log.open(name, options);
    return isNew;
  }

  server(): ReturnType<ServerLook["look"]> {
    return this.#server.look();
  }

  mirrors(): Promise<ReadonlyMap<string, string>> {
    return this.#server.mirrors();
  }

  asker(): Pinger {
    return new Pinger(this.transport, this.#namespace);
  }

  close(): Promise<void> {
    return this.transport.close();
  }
}

/** Resolves with true if there is nothing. A refusal is ignored: opening the bucket or stream reports it again. */
async function isMissing(found: Promise<unknown>): Promise<boolean> {
  const existing = await found.catch((error) => {
    if (!(error instanceof JetStreamRefusal)) throw error;
    return "refused";
  });
  return existing === undefined;
}

/** Buckets that every view needs; other buckets are shown only if the user may see them. */
const NEEDED: readonly BucketKind[] = ["nodes", "locks"];
/** Time for which the server's answer to the question whether a bucket exists is awaited, in ms. */
const SERVER_TIMEOUT = 2_000;
/** Maximum number of attempts to read a bucket's settings; after that, the bucket is opened without them. */
const MAX_ATTEMPTS = 3;
