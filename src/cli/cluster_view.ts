/**
 * A view of a cluster from outside, without being a node: what its buckets contain. It creates no bucket unless `setup`
 * asks for it, changes no entry unless `locks --release` does, and takes no message away from a node.
 */
import { type Bucket, type BucketKind, bucketName, BUCKETS, bucketStreamName } from "../ports/key_value_store.ts";
import { readRecord } from "../cluster/membership/node_record.ts";
import { systemClock, token } from "../ports/clock.ts";
import type { LogStream } from "../ports/event_log.ts";
import { Administration } from "../log/administration/administration.ts";
import { STREAM_KINDS, type StreamKind, streamName, streamOptions } from "../log/format/streams.ts";
import { NatsEventLog } from "../nats/log_stream.ts";
import { openNats } from "../nats/open.ts";
import { JetStream, JetStreamRefusal } from "../nats/jetstream.ts";
import { noAnswer, noJetStream } from "../nats/kept_stream.ts";
import { printable } from "../data/printable.ts";
import { nodeOfStats } from "../contract/node_stats.ts";
import type { ServerView, StreamView } from "../dashboard/view.ts";
import { isCatgaError } from "../error.ts";
import { isForbidden, mayNot, type Violation } from "../ports/transport.ts";
import { LockKeys, type LockRecord, readLockRecord } from "../state/locks/lock_record.ts";
import { type Catga, catga, type CatgaOptions, type NodeInfo } from "../../mod.ts";
import { connectionOptions } from "./connection.ts";
import type { Flags } from "./flags.ts";
import { Pinger, readNodeStats } from "./pinger.ts";
import type { Terminal } from "./terminal.ts";

type Opened = Awaited<ReturnType<typeof openNats>>;

/** The kinds of records in the bucket `locks`: a lock, a leadership, or a load of a cached value. */
type LockKind = "lock" | "lead" | "load";

/** The keys of each kind. */
const SPACES: Readonly<Record<LockKind, LockKeys>> = {
  lock: new LockKeys(),
  lead: new LockKeys("lead"),
  load: new LockKeys("load"),
};

/** The kinds, in the order of the table. */
export const LOCK_KINDS = Object.keys(SPACES) as readonly LockKind[];

/** A lock that is held. */
export interface HeldLock {
  readonly kind: LockKind;
  readonly key: string;
  readonly record: LockRecord;
  readonly token: number;
  /** The revision of its record. */
  readonly revision: number;
  /** How many callers wait for it. */
  readonly waiting: number;
}

/** A passive connection to one namespace. */
export class ClusterView implements AsyncDisposable {
  readonly namespace: string;
  /** The address of the NATS server, to print. */
  readonly address: string;
  readonly transport: Opened["transport"];
  /** Aborts when the NATS user turned out to lack a permission, which has been printed. */
  readonly refused: AbortSignal;
  readonly #store: Opened["store"];
  readonly #streams = new Map<StreamKind, LogStream>();
  #mayNotAsk = false;
  /** How many looks in a row copies were not current. */
  readonly #behind = new Map<string, number>();
  /** Streams that this user may not look at. */
  readonly #unseen = new Set<string>();
  /** The last answers of the store and of each stream. */
  #lastRoom: ServerView["store"];
  readonly #lastStreams = new Map<string, StreamView>();

  private constructor(opened: Opened, namespace: string, refused: AbortSignal) {
    this.refused = refused;
    this.transport = opened.transport;
    this.#store = opened.store;
    this.namespace = namespace;
    this.address = printable(opened.transport.connection.getServer());
  }

  /** Connects. Rejects as `catga` does if that fails. `isNeeded`: whether a denial is printed, and aborts `refused`. */
  static async open(
    flags: Flags,
    terminal: Terminal,
    isNeeded: (denied: Violation) => boolean = () => true,
  ): Promise<ClusterView> {
    const { namespace } = flags;
    const optional = new Set(["$JS.API.INFO", ...shownStreams(namespace).map((name) => `$JS.API.STREAM.INFO.${name}`)]);
    for (const kind of NEEDED) optional.delete(`$JS.API.STREAM.INFO.${bucketStreamName(bucketName(namespace, kind))}`);
    for (const kind of STREAM_KINDS) optional.delete(`$JS.API.STREAM.INFO.${streamName(namespace, kind)}`);
    const refused = new AbortController();
    const opened = await openNats(await connectionOptions(flags, terminal), {
      name: "catga cli",
      transport: undefined,
      onError: (error) => terminal.say(printable(`catga: ${error}`)),
      onForbidden: (violation) => {
        if (optional.has(violation.subject) || !isNeeded(violation)) return;
        const { code, message } = mayNot(violation);
        terminal.say(printable(`${code}: ${message}`));
        refused.abort();
      },
      onNotice: (notice) => terminal.say(printable(`catga: ${notice}`)),
      passive: true,
    });
    return new ClusterView(opened, namespace, refused.signal);
  }

  /** The `replicas` of the bucket `nodes`; `undefined` before the first node. */
  async replicas(): Promise<number | undefined> {
    return (await this.#settings("nodes"))?.replicas;
  }

  /** The records of the nodes, sorted by id. */
  async nodes(): Promise<NodeInfo[]> {
    const entries = await (await this.bucket("nodes"))?.entries("") ?? [];
    const infos = entries.map(({ key, value }) => readRecord(key, value)).filter((info) => typeof info !== "string");
    return infos.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** The locks that are held, sorted by kind and key. */
  async locks(): Promise<HeldLock[]> {
    const entries = await (await this.bucket("locks"))?.entries("") ?? [];
    const held: HeldLock[] = [];
    for (const kind of LOCK_KINDS) {
      const places = entries.map((entry) => ({ entry, about: SPACES[kind].parse(entry.key) }));
      for (const { entry, about } of places) {
        if (about === undefined || about.waiter !== undefined) continue;
        const record = readLockRecord(entry.value);
        if (record === undefined) continue;
        const { revision } = entry;
        const waiting = places.filter((place) => place.about?.waiter !== undefined && place.about.key === about.key);
        const token = record.token ?? revision;
        held.push({ kind, key: about.key, record, token, revision, waiting: waiting.length });
      }
    }
    return held.sort((a, b) => LOCK_KINDS.indexOf(a.kind) - LOCK_KINDS.indexOf(b.kind) || (a.key < b.key ? -1 : 1));
  }

  /** Removes the record of a lock; `false` if the record has changed since it was read. */
  async release({ kind, key, revision }: HeldLock): Promise<boolean> {
    return await (await this.bucket("locks"))?.delete(SPACES[kind].holder(key), { revision }) ?? false;
  }

  /** Opens a bucket with its own settings; `undefined` if it does not exist. Rejects as `KeyValueStore.open` does. */
  async bucket(kind: BucketKind): Promise<Bucket | undefined> {
    const settings = await this.#settings(kind);
    return settings && await this.#store.open(bucketName(this.namespace, kind), settings);
  }

  /**
   * The settings of a bucket; `undefined` if it does not exist. With other settings it would not open, or be created.
   */
  async #settings(kind: BucketKind): Promise<{ replicas: number; direct: boolean } | undefined> {
    const bucket = bucketName(this.namespace, kind);
    for (let attempt = 1;; attempt++) {
      try {
        const { config } = await new JetStream(this.transport).info(bucketStreamName(bucket), ANSWER);
        return { replicas: Number(config.num_replicas), direct: config.allow_direct === true };
      } catch (error) {
        if (!(error instanceof JetStreamRefusal)) throw error;
        if (error.refusal === "no stream") return undefined;
        if (error.refusal === "no answer" && attempt < ATTEMPTS) continue;
        // rejects with what is wrong, or waits until the bucket can be opened
        await this.#store.open(bucket, BUCKETS[kind]);
        return { replicas: 1, direct: BUCKETS[kind].direct };
      }
    }
  }

  /** Creates a stream: `true`; or checks the existing one. Rejects as `EventLog.open` does. */
  async setUpStream(kind: StreamKind, replicas: number): Promise<boolean> {
    const name = streamName(this.namespace, kind);
    const exists = await this.#exists(name);
    const log = new NatsEventLog(this.transport);
    await log.open(name, streamOptions(this.namespace, kind, replicas));
    return !exists;
  }

  /** Creates a bucket: `true`; or checks the existing one. Rejects as `KeyValueStore.open` does. */
  async setUp(kind: BucketKind, replicas: number): Promise<boolean> {
    const name = bucketName(this.namespace, kind);
    const exists = await this.#exists(bucketStreamName(name));
    await this.#store.open(name, { ...BUCKETS[kind], replicas });
    return !exists;
  }

  /**
   * Resolves with false if JetStream says that there is no such stream; other refusals come again when it is opened.
   */
  async #exists(stream: string): Promise<boolean> {
    try {
      await new JetStream(this.transport).info(stream, ANSWER);
      return true;
    } catch (error) {
      if (error instanceof JetStreamRefusal) return error.refusal !== "no stream";
      throw error;
    }
  }

  /** A stream; `undefined` if it does not exist. Rejects as `EventLog.open` does. */
  async stream(kind: StreamKind): Promise<LogStream | undefined> {
    // one that is open has subscriptions of its own, for as long as the connection
    const open = this.#streams.get(kind);
    if (open !== undefined) return open;
    const name = streamName(this.namespace, kind);
    try {
      const { config } = await new JetStream(this.transport).info(name, ANSWER);
      const options = streamOptions(this.namespace, kind, Number(config.num_replicas));
      const opened = await new NatsEventLog(this.transport).open(name, options);
      if (!this.#streams.has(kind)) this.#streams.set(kind, opened);
      return this.#streams.get(kind);
    } catch (error) {
      if (error instanceof JetStreamRefusal && error.refusal === "no stream") return undefined;
      throw this.#explained(error, `the stream ${name}`);
    }
  }

  /** An error that says what to do, for a refusal to read something. */
  #explained(error: unknown, what: string): unknown {
    if (!(error instanceof JetStreamRefusal)) return error;
    const without = error.refusal === "no responders" || error.refusal === "disabled";
    return without ? noJetStream(this.address, error) : noAnswer(what, error);
  }

  /**
   * NATS itself: its store, and the streams and buckets of this namespace. Rejects with a `CatgaError` if it does not
   * answer.
   */
  async server(): Promise<ServerView> {
    const { connection } = this.transport;
    const jetStream = new JetStream(this.transport);
    const rtt = await connection.rtt();
    const names = shownStreams(this.namespace).filter((name) => !this.#unseen.has(name));
    const look = async (name: string) => {
      const found = await streamView(jetStream, name, this.#behind);
      if (found !== "forbidden") return [name, found] as const;
      this.#unseen.add(name); // a refusal is a line in the server's log
      return [name, undefined] as const;
    };
    const [room, ...found] = await Promise.all([this.#room(jetStream), ...names.map(look)]).catch((error) => {
      throw this.#explained(error, "JetStream");
    });
    const silent = [room, ...found.map(([, stream]) => stream)].filter((one) => one instanceof JetStreamRefusal);
    if (silent.length === found.length + 1) throw silent[0];
    // between two leaders one does not answer; what the others say may be why
    if (!(room instanceof JetStreamRefusal)) this.#lastRoom = room;
    const streams = found.map(([name, stream]) => {
      const last = this.#lastStreams.get(name);
      if (stream instanceof JetStreamRefusal) return last && { ...last, leader: "" };
      if (stream !== undefined) this.#lastStreams.set(name, stream);
      return stream;
    });
    const { server_name = "", server_id, version = "" } = connection.info ?? {};
    return {
      name: server_name === server_id ? this.address : printable(server_name),
      version: printable(version),
      rtt: Math.round(rtt * 10) / 10,
      store: this.#lastRoom,
      streams: streams.filter((each) => each !== undefined),
    };
  }

  /** Use and limits of the account's store; `undefined` if this user may not ask; a refusal if nobody answers. */
  async #room(jetStream: JetStream): Promise<ServerView["store"] | JetStreamRefusal> {
    if (this.#mayNotAsk) return undefined;
    try {
      const { storage, limits } = await jetStream.api("INFO", undefined, LOOK) as AccountInfo;
      return { used: storage, limit: limits.max_storage };
    } catch (error) {
      if (isSilence(error)) return error;
      if (!(isCatgaError(error) && isForbidden(error))) throw error;
      this.#mayNotAsk = true;
      return undefined;
    }
  }

  /** Administration of the log, for operators. */
  administration(): Administration {
    return new Administration({
      namespace: this.namespace,
      clock: systemClock,
      stream: () => this.stream("log"),
      entities: () => this.stream("entities"),
      kept: () => this.stream("subscriptions"),
      nodes: () => this.nodes(),
      ask: async (endpoint) => {
        const pinger = this.pinger();
        const told = await pinger.stats(endpoint, LOOK);
        pinger[Symbol.dispose]();
        const stats = told.type === "stats" ? readNodeStats(endpoint, told.stats) : undefined;
        return typeof stats === "object" ? nodeOfStats(stats) : undefined;
      },
    });
  }

  /** A pinger on this connection; the caller disposes of it. */
  pinger(): Pinger {
    return new Pinger(this.transport, this.namespace);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.transport.close();
  }
}

/** Buckets without which there is nothing to show; of the others is shown what the user may see. */
const NEEDED: readonly BucketKind[] = ["nodes", "locks"];

/** The streams and buckets of a namespace. */
function shownStreams(namespace: string): string[] {
  const kinds = Object.keys(BUCKETS) as BucketKind[]; // its keys are all kinds
  return [
    ...STREAM_KINDS.map((kind) => streamName(namespace, kind)),
    ...kinds.map((kind) => bucketStreamName(bucketName(namespace, kind))),
  ];
}

/** The part of the account's information that is used. */
interface AccountInfo {
  readonly storage: number;
  readonly limits: { readonly max_storage: number };
}

/**
 * A stream; `undefined` if there is none; a refusal if it does not answer. `behind` counts looks at copies that were
 * not current.
 */
async function streamView(
  jetStream: JetStream,
  name: string,
  behind: Map<string, number>,
): Promise<StreamView | "forbidden" | JetStreamRefusal | undefined> {
  try {
    const { config, state, cluster } = await jetStream.info(name, LOOK);
    const replicas = Number(config.num_replicas);
    const missing = (cluster?.replicas ?? []).filter(({ name: server, offline, current, active }) => {
      const place = `${name} ${server}`;
      const looks = current ? 0 : (behind.get(place) ?? 0) + 1;
      behind.set(place, looks);
      return offline || active > SILENT || looks >= BEHIND;
    });
    return {
      name,
      messages: state.messages,
      bytes: state.bytes,
      limit: Number(config.max_bytes),
      replicas,
      missing: missing.map((each) => printable(each.name)),
      leader: replicas > 1 ? printable(cluster?.leader ?? "") : "",
      consumers: state.consumer_count ?? 0,
    };
  } catch (error) {
    if (error instanceof JetStreamRefusal && error.refusal === "no stream") return undefined;
    if (isSilence(error)) return error;
    if (isCatgaError(error) && isForbidden(error)) return "forbidden";
    throw error;
  }
}

function isSilence(error: unknown): error is JetStreamRefusal {
  return error instanceof JetStreamRefusal && error.refusal === "no answer";
}

/** A copy that has said nothing for so long is away, in ns: they say something each second. */
const SILENT = 2.5e9;
/** How many looks in a row a copy is not current that is behind. */
const BEHIND = 3;
/** How long a stream, and the account, may take to answer how it stands, in ms. */
const LOOK = 1_000;
/** How long the server may take to answer whether a bucket exists, in ms. */
const ANSWER = 2_000;
/** How often it is asked for the settings of a bucket before it is opened without. */
const ATTEMPTS = 3;

// A node of the service `cli` for the duration of one command, without handlers for the cluster's contracts.

/** Joins the cluster of a view. Warnings go to standard error. */
export async function joinCluster(
  view: ClusterView,
  flags: Flags,
  terminal: Terminal,
  options: Pick<CatgaOptions, "handlers"> = {},
): Promise<Catga> {
  const warn = (message: string) => terminal.say(printable(message));
  const replicas = await view.replicas();
  return await catga({
    nats: await connectionOptions(flags, terminal),
    namespace: view.namespace,
    service: "cli",
    id: `cli-${token(view.transport.random, 8)}`,
    logger: { debug() {}, info() {}, warn, error: warn },
    // with another number than it was made with the bucket would not open
    ...(replicas === undefined ? {} : { replicas }),
    ...options,
  });
}
