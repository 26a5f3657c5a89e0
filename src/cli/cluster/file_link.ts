/**
 * Reaches the one process of a file, or what it has left: reads the file beside it, and asks it to change something.
 */
import { basename } from "node:path";
import type { PayloadCodec } from "../../../mod.ts";
import { parsedJson } from "../../data/encoding.ts";
import { isRecord, MAX_TIMEOUT } from "../../data/checks.ts";
import { printable } from "../../data/printable.ts";
import type { ServerView } from "../../dashboard/view.ts";
import type { CountedStats, NoAnswer, Pong } from "../../dashboard/dashboard_source.ts";
import type { FileBeside } from "../../file/beside.ts";
import type { FileRequest } from "../../file/requests.ts";
import { STREAM_KINDS } from "../../log/format/streams.ts";
import { streamName } from "../../log/format/stream_name.ts";
import type { Clock } from "../../ports/clock.ts";
import type { EventLog } from "../../ports/event_log.ts";
import { type Bucket, type BucketKind, bucketName, BUCKETS, bucketStreamName } from "../../ports/key_value_store.ts";
import type { Entry } from "../../ports/key_value_store.ts";
import type { Transport } from "../../ports/transport.ts";
import type { ClusterAsker, ClusterLink } from "./cluster_link.ts";
import { readNodeStats } from "./node_stats.ts";

/** Opens a file for one namespace. Rejects with `UNAVAILABLE` if there is none, or if it cannot be used as it is. */
export async function openFileLink(
  path: string,
  namespace: string,
  codec: PayloadCodec | undefined,
): Promise<ClusterLink> {
  const [{ openBeside }, { MemoryNetwork }] = await Promise.all([
    import("../../file/beside.ts"),
    import("../../memory/network.ts"),
  ]);
  // nobody is on this network: the process of the file is asked by requests
  const transport = new MemoryNetwork().connect();
  const file = await openBeside({ path, random: transport.random });
  if (codec === undefined) return new FileLink(file, namespace, transport, file.log, true);
  const { sealedLog } = await import("../../codec/sealed_link.ts");
  return new FileLink(file, namespace, transport, sealedLog(file.log, codec, transport.clock), false);
}

class FileLink implements ClusterLink {
  readonly file: string;
  readonly address: string;
  readonly transport: Transport;
  readonly events: ClusterLink["events"];
  readonly log: EventLog;
  readonly writesClear: boolean;
  readonly #file: FileBeside;
  readonly #namespace: string;
  /** Keeps the process alive while the file is open, as a connection does: many waits of the tool do not. */
  readonly #alive = setInterval(() => {}, MAX_TIMEOUT);

  constructor(file: FileBeside, namespace: string, transport: Transport, log: EventLog, writesClear: boolean) {
    this.#file = file;
    this.#namespace = namespace;
    this.file = file.path;
    this.address = printable(file.path);
    this.transport = this.events = transport;
    this.log = log;
    this.writesClear = writesClear;
  }

  copies(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  bucket(kind: BucketKind): Promise<Bucket | undefined> {
    const bucket = this.#file.bucket(bucketName(this.#namespace, kind), BUCKETS[kind].ofProcesses === true);
    return Promise.resolve(bucket === undefined || kind !== "nodes" ? bucket : seenNow(bucket, this.transport.clock));
  }

  stream(name: string): Promise<{ readonly replicas: number } | undefined> {
    return Promise.resolve(this.#file.streamSettings(name));
  }

  setUpBucket(): Promise<boolean> {
    throw this.#made();
  }

  setUpStream(): Promise<boolean> {
    throw this.#made();
  }

  #made(): Error {
    return new Error(`a file is set up by the first start of its program: ${this.address}`);
  }

  server(): Promise<ServerView> {
    const owner = this.#file.owner();
    const version = owner === undefined ? "a file that no process uses" : `the file of process ${owner.pid}`;
    const names = new Map([
      ...STREAM_KINDS.map((kind) => streamName(this.#namespace, kind)).map((name) => [name, name] as const),
      // cast: the keys of `BUCKETS` are all kinds
      ...(Object.keys(BUCKETS) as BucketKind[]).map((kind) => bucketName(this.#namespace, kind))
        .map((name) => [name, bucketStreamName(name)] as const),
    ]);
    const streams = this.#file.parts().flatMap(({ name, messages, bytes }) => {
      const shown = names.get(name);
      if (shown === undefined) return [];
      const one = { replicas: 1, missing: [], leader: "", consumers: 0, limit: -1 };
      return [{ name: shown, messages, bytes, ...one }];
    });
    return Promise.resolve({
      name: printable(basename(this.#file.path)),
      version,
      rtt: 0,
      store: { used: this.#file.size, limit: -1 },
      streams,
    });
  }

  mirrors(): Promise<ReadonlyMap<string, string>> {
    return Promise.resolve(new Map());
  }

  asker(): ClusterAsker {
    return new FileAsker(this.#file, this.transport.clock);
  }

  async close(): Promise<void> {
    clearInterval(this.#alive);
    this.#file.close();
    await this.transport.close();
  }
}

/** Asks the process of a file. */
class FileAsker implements ClusterAsker {
  readonly silence = "no answer";
  readonly #file: FileBeside;
  readonly #clock: Clock;

  constructor(file: FileBeside, clock: Clock) {
    this.#file = file;
    this.#clock = clock;
  }

  async ping(_: string, limit: number): Promise<Pong | NoAnswer> {
    const sent = this.#clock.monotonic();
    const load = await this.#ask({ op: "ping" }, limit);
    if (!Array.isArray(load)) return load === null ? { type: "bounce" } : { type: "silence" };
    return { type: "pong", ms: this.#clock.monotonic() - sent, load: [Number(load[0]), Number(load[1])] };
  }

  async stats(endpoint: string, limit: number): Promise<CountedStats | NoAnswer> {
    const answer = await this.#ask({ op: "stats" }, limit);
    if (answer === null) return { type: "bounce" };
    if (answer === undefined) return { type: "silence" };
    const stats = readNodeStats(endpoint, answer);
    return typeof stats === "string" ? { type: "silence", why: stats } : { type: "stats", stats };
  }

  /** The one process is of the service whose stored messages are judged: its contracts are not asked for. */
  looks(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  /** Resolves with the answer; `null`: no node runs; `undefined`: none came. */
  async #ask(request: FileRequest, limit: number): Promise<unknown> {
    try {
      return await this.#file.request(request, "", limit);
    } catch {
      // the error says that no answer came in time, which the caller prints
      return undefined;
    }
  }

  [Symbol.dispose](): void {}
}

/** Returns the bucket of nodes as on NATS, where a record is written again and again: an idle file is not written. */
function seenNow(bucket: Bucket, clock: Clock): Bucket {
  const seen = <E extends Entry>(entry: E): E => {
    const record = parsedJson(entry.value);
    return isRecord(record) ? { ...entry, value: JSON.stringify({ ...record, lastSeen: clock.now() }) } : entry;
  };
  return {
    ...bucket,
    entries: async (prefix) => (await bucket.entries(prefix)).map(seen),
    watch: (prefix, onChange, options) =>
      bucket.watch(prefix, (change) => onChange(change.type === "put" ? seen(change) : change), options),
  };
}
