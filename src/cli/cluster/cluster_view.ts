/**
 * Reads a cluster's buckets and streams, as a client that is no node. The client creates no bucket unless `setup`
 * asks for it, changes no entry unless `locks --release` does, and takes no message away from a node.
 */
import type { Bucket, BucketKind } from "../../ports/key_value_store.ts";
import { readRecord } from "../../cluster/membership/node_record.ts";
import { systemClock, token } from "../../ports/clock.ts";
import type { LogStream } from "../../ports/event_log.ts";
import { Administration } from "../../log/administration/administration.ts";
import { STREAM_KINDS, streamOptions } from "../../log/format/streams.ts";
import { type StreamKind, streamName } from "../../log/format/stream_name.ts";
import { printable } from "../../data/printable.ts";
import { nodeOfStats } from "../../contract/nodes/node_stats.ts";
import type { RunInfo, RunsOptions } from "../../contract/calls/flow.ts";
import type { ServerView } from "../../dashboard/view.ts";
import type { DashboardSource } from "../../dashboard/dashboard_source.ts";
import { runInfos, tellRun } from "../../flow/calls/run_infos.ts";
import { RunLog } from "../../flow/stored/run_log.ts";
import type { Violation } from "../../ports/transport.ts";
import { HeldLocks, LOCK_SPACES, type LockClaim, type LockKind } from "../../state/locks/held_locks.ts";
import type { LockRecord } from "../../state/locks/lock_record.ts";
import type { NodeInfo } from "../../../mod.ts";
import { codecOf, connectionOptions, disposing, fileOf } from "./connection.ts";
import type { ClusterAsker, ClusterLink } from "./cluster_link.ts";
import { openFileLink } from "./file_link.ts";
import type { Flags } from "../terminal/flags.ts";
import { openNatsLink } from "./nats_link.ts";
import type { Terminal } from "../terminal/terminal.ts";

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
  readonly showSecrets: boolean;
  /** Aborts when the NATS user turns out to lack a needed permission, after the missing permission was printed. */
  readonly refused: AbortSignal;
  readonly #link: ClusterLink;
  /** Streams that are open or being opened, by kind. */
  readonly #streams = new Map<StreamKind, Promise<LogStream | undefined>>();

  private constructor(link: ClusterLink, flags: Flags, refused: AbortSignal) {
    this.#link = link;
    this.namespace = flags.namespace;
    this.showSecrets = flags.has("show-secrets");
    this.refused = refused;
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
    const refused = new AbortController();
    const codec = await codecOf(flags, terminal);
    const file = fileOf(flags, terminal);
    const link = file === undefined
      ? await openNatsLink({
        ...{ namespace, codec, say, isNeeded, connection: await connectionOptions(flags, terminal) },
        refuse: () => refused.abort(),
      })
      : await openFileLink(file, namespace, codec);
    return new ClusterView(link, flags, refused.signal);
  }

  /** Address of the NATS server, or path of the file, for printing. */
  get address(): string {
    return this.#link.address;
  }

  /** Path of the file, if the cluster is the one process of a file. */
  get file(): string | undefined {
    return this.#link.file;
  }

  get transport(): ClusterLink["transport"] {
    return this.#link.transport;
  }

  /** Receives events that are not durable, decrypted with the codec of `--codec`. */
  get events(): ClusterLink["events"] {
    return this.#link.events;
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
    return await this.#link.copies("nodes");
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
  bucket(kind: BucketKind): Promise<Bucket | undefined> {
    return this.#link.bucket(kind);
  }

  /**
   * Creates a bucket or stream, and resolves with true; or checks the existing one, and resolves with false. Rejects
   * like `KeyValueStore.open` and `EventLog.open`.
   */
  async setUp(kind: BucketKind | StreamKind, replicas: number): Promise<boolean> {
    if (!isStream(kind)) return await this.#link.setUpBucket(kind, replicas);
    const name = streamName(this.namespace, kind);
    return await this.#link.setUpStream(name, streamOptions(this.namespace, kind, replicas));
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
    const found = await this.#link.stream(name);
    return found && await this.#link.log.open(name, streamOptions(this.namespace, kind, found.replicas));
  }

  server(): Promise<ServerView> {
    return this.#link.server();
  }

  /** Resolves with the streams that mirror one of this namespace, and their origins; none if the user may not list. */
  mirrors(): Promise<ReadonlyMap<string, string>> {
    return this.#link.mirrors();
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
      writesClear: this.#link.writesClear,
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

  asker(): ClusterAsker {
    return this.#link.asker();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#link.close();
  }
}

/** Time for which an answer of a process is awaited, in ms. */
const PROCESS_TIMEOUT = 1_000;
