/**
 * Reads a cluster's buckets and streams, as a client that is no node. The client creates no bucket unless `setup`
 * asks for it, changes no entry unless `locks --release` does, and takes no message away from a node.
 */
import { type Bucket, type BucketKind, bucketName, BUCKETS, bucketStreamName } from "../../ports/key_value_store.ts";
import { readRecord } from "../../cluster/membership/node_record.ts";
import { systemClock, token } from "../../ports/clock.ts";
import type { EventLog, LogStream } from "../../ports/event_log.ts";
import { Administration } from "../../log/administration/administration.ts";
import { STREAM_KINDS, streamOptions } from "../../log/format/streams.ts";
import { type StreamKind, streamName } from "../../log/format/stream_name.ts";
import { bucketStatus } from "../../nats/bucket/bucket_status.ts";
import { NatsEventLog } from "../../nats/log/log_stream.ts";
import { openNats } from "../../nats/open.ts";
import { JetStream } from "../../nats/stream/jetstream.ts";
import { JetStreamRefusal } from "../../nats/stream/jetstream_refusal.ts";
import { printable } from "../../data/printable.ts";
import { nodeOfStats } from "../../contract/nodes/node_stats.ts";
import type { RunInfo, RunsOptions } from "../../contract/calls/flow.ts";
import type { ServerView } from "../../dashboard/view.ts";
import type { DashboardSource } from "../../dashboard/dashboard_source.ts";
import { runInfos, tellRun } from "../../flow/calls/run_infos.ts";
import { RunLog } from "../../flow/stored/run_log.ts";
import { mayNot, type Transport, type Violation } from "../../ports/transport.ts";
import { HeldLocks, LOCK_SPACES, type LockClaim, type LockKind } from "../../state/locks/held_locks.ts";
import type { LockRecord } from "../../state/locks/lock_record.ts";
import type { NodeInfo } from "../../../mod.ts";
import { codecOf, connectionOptions, disposing } from "./connection.ts";
import type { Flags } from "../terminal/flags.ts";
import { Pinger } from "./pinger.ts";
import { explained, ServerLook, shownStreams } from "./server_look.ts";
import type { Terminal } from "../terminal/terminal.ts";

type Opened = Awaited<ReturnType<typeof openNats>>;

/** A lock that some node holds. */
export type ShownLock = LockClaim & { readonly record: LockRecord };

/** The kinds of locks, in the order in which tables show them. */
export const LOCK_KINDS = Object.keys(LOCK_SPACES) as readonly LockKind[];

/** Error codes for a bucket or a stream with settings that nodes would refuse. */
export const MISMATCHES: ReadonlySet<string> = new Set(["BUCKET_MISMATCH", "LOG_MISMATCH"]);

/** Returns true if the kind is a stream's, false if it is a bucket's. */
export function isStream(kind: BucketKind | StreamKind): kind is StreamKind {
  return STREAM_KINDS.some((each) => each === kind);
}

/**
 * A connection to one namespace that reads and does not write, unless the user asks for it.
 * @decides the tool reads a cluster without being a node
 */
export class ClusterView implements DashboardSource, AsyncDisposable {
  readonly namespace: string;
  /** Address of the NATS server, for printing. */
  readonly address: string;
  readonly transport: Opened["transport"];
  /** Receives events that are not durable, decrypted with the codec of `--codec`. */
  readonly events: Pick<Transport, "subscribe" | "clock">;
  readonly showSecrets: boolean;
  /** Aborts when the NATS user turns out to lack a needed permission, after the missing permission was printed. */
  readonly refused: AbortSignal;
  readonly #store: Opened["store"];
  readonly #log: EventLog;
  /** Streams that are open or being opened, by kind. */
  readonly #streams = new Map<StreamKind, Promise<LogStream | undefined>>();
  readonly #server: ServerLook;

  private constructor(
    opened: Opened,
    { log, events }: { readonly log: EventLog; readonly events: ClusterView["events"] },
    flags: Flags,
    refused: AbortSignal,
  ) {
    this.showSecrets = flags.has("show-secrets");
    this.refused = refused;
    this.transport = opened.transport;
    this.events = events;
    this.#store = opened.store;
    this.#log = log;
    const namespace = this.namespace = flags.namespace;
    this.address = printable(opened.transport.connection.getServer());
    this.#server = new ServerLook(opened.transport, namespace, this.address);
  }

  /**
   * Connects to the cluster. Rejects like `catga` if that fails. `isNeeded`: returns true for a denied permission
   * without which the command cannot go on: it is printed, and aborts {@link ClusterView.refused}.
   */
  static async open(
    flags: Flags,
    terminal: Terminal,
    isNeeded: (denied: Violation) => boolean = () => true,
    say = (line: string) => terminal.say(printable(line)),
  ): Promise<ClusterView> {
    const { namespace } = flags;
    const optional = new Set(["$JS.API.INFO", ...shownStreams(namespace).map((name) => `$JS.API.STREAM.INFO.${name}`)]);
    for (const kind of NEEDED) optional.delete(`$JS.API.STREAM.INFO.${bucketStreamName(bucketName(namespace, kind))}`);
    for (const kind of STREAM_KINDS) optional.delete(`$JS.API.STREAM.INFO.${streamName(namespace, kind)}`);
    const refused = new AbortController();
    const codec = await codecOf(flags, terminal);
    const opened = await openNats(await connectionOptions(flags, terminal), {
      name: "catga cli",
      transport: undefined,
      onError: (error) => say(`catga: ${error}`),
      onForbidden: (violation) => {
        if (optional.has(violation.subject) || !isNeeded(violation)) return;
        const { code, message } = mayNot(violation);
        say(`${code}: ${message}`);
        refused.abort();
      },
      onNotice: (notice) => say(`catga: ${notice}`),
      passive: true,
    });
    const { transport } = opened;
    const log = new NatsEventLog(transport);
    if (codec === undefined) return new ClusterView(opened, { log, events: transport }, flags, refused.signal);
    const { openedTransport, sealedLog } = await import("../../codec/sealed_link.ts");
    const events = openedTransport(transport, codec, (error) => say(`catga: an event cannot be opened: ${error}`));
    return new ClusterView(opened, { log: sealedLog(log, codec, transport.clock), events }, flags, refused.signal);
  }

  /** Connects, runs `work` with the view, and closes the view when `work` has ended or failed. */
  static during<T>(flags: Flags, terminal: Terminal, work: (view: ClusterView) => Promise<T>): Promise<T> {
    return disposing(ClusterView.open(flags, terminal), work);
  }

  /** Text that names the namespace and the server, for printing. */
  get place(): string {
    return `in the namespace ${this.namespace} at ${this.address}`;
  }

  /** Resolves with the number of replicas of the bucket `nodes`; `undefined` before the first node has created it. */
  async replicas(): Promise<number | undefined> {
    return (await this.#settings("nodes"))?.replicas;
  }

  /** Resolves with the records of the nodes, sorted by id. */
  async nodes(): Promise<NodeInfo[]> {
    const entries = await (await this.bucket("nodes"))?.entries("") ?? [];
    const infos = entries.map(({ key, value }) => readRecord(key, value)).filter((info) => typeof info !== "string");
    return infos.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** Resolves with the locks that nodes hold, sorted by kind and key. */
  async locks(): Promise<ShownLock[]> {
    const locks = new HeldLocks();
    for (const entry of await (await this.bucket("locks"))?.entries("") ?? []) locks.take({ type: "put", ...entry });
    const held = locks.all.filter((lock): lock is ShownLock => lock.record !== undefined);
    return held.sort((a, b) => LOCK_KINDS.indexOf(a.kind) - LOCK_KINDS.indexOf(b.kind) || (a.key < b.key ? -1 : 1));
  }

  /**
   * Removes the record of a lock, so that it is free. Resolves with false if the record has changed since it was
   * read.
   */
  async release({ kind, key, revision }: ShownLock): Promise<boolean> {
    return await (await this.bucket("locks"))?.delete(LOCK_SPACES[kind].holder(key), { revision }) ?? false;
  }

  /**
   * Opens a bucket, with the settings that it has; `undefined` if it does not exist. Rejects like
   * `KeyValueStore.open`.
   */
  async bucket(kind: BucketKind): Promise<Bucket | undefined> {
    const settings = await this.#settings(kind);
    return settings && await this.#store.open(bucketName(this.namespace, kind), settings);
  }

  /**
   * Resolves with the settings of a bucket, with which it must be opened; `undefined` if it does not exist. (With
   * other settings, opening it would fail, or create it.)
   */
  async #settings(kind: BucketKind): Promise<{ replicas: number; direct: boolean } | undefined> {
    const bucket = bucketName(this.namespace, kind);
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

  /**
   * Creates a bucket or stream, and resolves with true; or checks the existing one, and resolves with false. Rejects
   * like `KeyValueStore.open` and `EventLog.open`.
   */
  async setUp(kind: BucketKind | StreamKind, replicas: number): Promise<boolean> {
    const name = isStream(kind) ? streamName(this.namespace, kind) : bucketName(this.namespace, kind);
    const found = isStream(kind) ? this.#config(name) : bucketStatus(this.transport, name, SERVER_TIMEOUT);
    const existing = await found.catch((error) => {
      // a refusal is ignored: opening the bucket or stream reports it again
      if (!(error instanceof JetStreamRefusal)) throw error;
      return "refused";
    });
    if (isStream(kind)) await this.#log.open(name, streamOptions(this.namespace, kind, replicas));
    else await this.#store.open(name, { ...BUCKETS[kind], replicas });
    return existing === undefined;
  }

  /** Resolves with the configuration of a stream; `undefined` if there is no such stream. */
  async #config(stream: string) {
    try {
      return (await new JetStream(this.transport).info(stream, SERVER_TIMEOUT)).config;
    } catch (error) {
      if (error instanceof JetStreamRefusal && error.refusal === "no stream") return undefined;
      throw error;
    }
  }

  async stream(kind: StreamKind): Promise<LogStream | undefined> {
    // each stream is opened once, because an open stream has its own subscriptions until the connection ends
    const opening = this.#streams.get(kind) ?? this.#open(kind);
    this.#streams.set(kind, opening);
    const opened = await opening.catch((error) => {
      this.#streams.delete(kind);
      throw error;
    });
    if (opened === undefined) this.#streams.delete(kind);
    return opened;
  }

  async #open(kind: StreamKind): Promise<LogStream | undefined> {
    const name = streamName(this.namespace, kind);
    try {
      const config = await this.#config(name);
      return config && await this.#log.open(name, streamOptions(this.namespace, kind, Number(config.num_replicas)));
    } catch (error) {
      throw explained(error, `the stream ${name}`, this.address);
    }
  }

  server(): Promise<ServerView> {
    return this.#server.look();
  }

  /** Resolves with the streams that mirror one of this namespace, and their origins; none if the user may not list. */
  mirrors(): Promise<ReadonlyMap<string, string>> {
    return this.#server.mirrors();
  }

  async *runs(options: RunsOptions): AsyncIterableIterator<RunInfo> {
    yield* this.runsInOrder({ ...options, newest: true });
  }

  /**
   * Lists runs of workflows, those unchanged for longest first; with `newest`, those changed last first. Rejects with
   * `UNAVAILABLE`.
   */
  async *runsInOrder(options: RunsOptions & { readonly newest?: boolean }): AsyncIterableIterator<RunInfo> {
    const log = await this.runLog();
    if (log === undefined) return;
    const refused = () => Promise.resolve(this.administration().refused());
    yield* runInfos(log, options, (ref, entry) => tellRun(log, ref, entry), refused);
  }

  async cancelRun(workflow: string, run: string, reason: string): Promise<void> {
    const log = await this.runLog();
    if (log === undefined) return;
    await tellRun(log, { workflow, run }, log.cancelled(reason));
  }

  /** Resolves with the stored runs of workflows, as a log; `undefined`: there have never been any. */
  async runLog(): Promise<RunLog | undefined> {
    const stream = await this.stream("entities");
    if (stream === undefined) return undefined;
    const { namespace, transport } = this;
    let numbers = 0;
    return new RunLog({
      ...{ namespace, clock: systemClock, stream: () => stream },
      endpoint: `cli.${token(transport.random, 16)}`,
      number: (events) => (numbers += events) - events,
      maxPayload: () => transport.maxPayload,
      writesClear: this.#log instanceof NatsEventLog,
    });
  }

  /** Returns the administration of the log, for operators. */
  administration(): Administration {
    return new Administration({
      namespace: this.namespace,
      clock: systemClock,
      network: this.transport,
      stream: () => this.stream("log"),
      entities: () => this.stream("entities"),
      kept: () => this.stream("subscriptions"),
      nodes: () => this.nodes(),
      ask: async (endpoint) => {
        const asker = this.asker();
        const told = await asker.stats(endpoint, PROCESS_TIMEOUT);
        asker[Symbol.dispose]();
        return told.type === "stats" ? nodeOfStats(told.stats) : undefined;
      },
    });
  }

  asker(): Pinger {
    return new Pinger(this.transport, this.namespace);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.transport.close();
  }
}

/** Buckets that every view needs; other buckets are shown only if the user may see them. */
const NEEDED: readonly BucketKind[] = ["nodes", "locks"];

/** Time for which an answer of a process is awaited, in ms. */
const PROCESS_TIMEOUT = 1_000;
/** Time for which the server's answer to the question whether a bucket exists is awaited, in ms. */
const SERVER_TIMEOUT = 2_000;
/** Maximum number of attempts to read a bucket's settings; after that, the bucket is opened without them. */
const MAX_ATTEMPTS = 3;
