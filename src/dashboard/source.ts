/** What the dashboard needs of its connection to a cluster. The command line tool provides it; nothing here is used while nobody looks. */
import type { NodeStats } from "../contract/node_stats.ts";
import type { BucketKind } from "../ports/buckets.ts";
import type { LogStream } from "../ports/event_log.ts";
import type { StreamKind } from "../log/format/streams.ts";
import type { Bucket } from "../ports/key_value_store.ts";
import type { Transport } from "../ports/transport.ts";

/** A connection to one namespace, by a client that is no node. */
export interface DashboardSource {
  readonly namespace: string;
  /** The address of the NATS server, for people. */
  readonly address: string;
  readonly transport: Pick<Transport, "subscribe" | "clock" | "status" | "onStatus">;
  /** A bucket; `undefined` if it does not exist. Rejects as `KeyValueStore.open` does. */
  bucket(kind: BucketKind): Promise<Bucket | undefined>;
  /** The stream of the log, or that of entities; `undefined` if it does not exist. Rejects as `EventLog.open` does. */
  stream(kind: StreamKind): Promise<LogStream | undefined>;
  /** Asks processes, until it is disposed of. */
  asker(): SourceAsker;
}

/** Asks processes whether they are there, and what they have counted, without being a node. Resolves after `limit` ms at the latest. */
export interface SourceAsker extends Disposable {
  ping(endpoint: string, limit: number): Promise<Pong | NoAnswer>;
  /** Nodes of an older Catga are silent. */
  stats(endpoint: string, limit: number): Promise<{ readonly type: "stats"; readonly stats: NodeStats } | NoAnswer>;
}

/** An answer: running handlers and waiting sends, requests that wait; and how long it took, in ms. */
export interface Pong {
  readonly type: "pong";
  readonly ms: number;
  readonly load: readonly [number, number];
}

/** `bounce`: no process has this endpoint. */
export interface NoAnswer {
  readonly type: "bounce" | "silence";
}
