/** What the dashboard needs of its connection to a cluster. The command line tool provides it; nothing here is used while nobody looks. */
import type { BucketKind } from "../ports/buckets.ts";
import type { LogStream } from "../ports/event_log.ts";
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
  /** The stream of the log; `undefined` if it does not exist. Rejects as `EventLog.open` does. */
  log(): Promise<LogStream | undefined>;
  /** Pings processes, until it is disposed of. */
  pinger(): SourcePinger;
}

/** Pings a process as a node does. */
export interface SourcePinger extends Disposable {
  /** Resolves after `limit` ms at the latest. `bounce`: no process has this endpoint. */
  ping(endpoint: string, limit: number): Promise<PingEcho>;
}

/** What became of a ping. */
export type PingEcho =
  | { readonly type: "pong"; readonly ms: number; readonly load: readonly [number, number] }
  | { readonly type: "bounce" }
  | { readonly type: "silence" };
