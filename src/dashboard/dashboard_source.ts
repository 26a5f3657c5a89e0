/**
 * The connection to a cluster as the dashboard uses it, only while a browser is connected. The command line tool
 * provides it.
 */
import type { RunInfo, RunsOptions } from "../contract/flow.ts";
import type { NodeStats } from "../contract/node_stats.ts";
import type { StreamKind } from "../log/format/stream_name.ts";
import type { LogStream } from "../ports/event_log.ts";
import type { Bucket, BucketKind } from "../ports/key_value_store.ts";
import type { Transport } from "../ports/transport.ts";
import type { ServerView } from "./view.ts";

/** A connection to one namespace, by a client that is no node. */
export interface DashboardSource {
  readonly namespace: string;
  /** The address of the NATS server, for people. */
  readonly address: string;
  /** True if payloads are shown in full, including members that contracts hide by `redact`. Default: false. */
  readonly showSecrets?: boolean;
  readonly transport: Pick<Transport, "subscribe" | "clock" | "status" | "onStatus" | "maxPayload">;
  /** Receives events that are not durable, decrypted with the codec if there is one. */
  readonly events: Pick<Transport, "subscribe" | "clock">;
  /** Opens a bucket; `undefined` if it does not exist. Rejects like `KeyValueStore.open`. */
  bucket(kind: BucketKind): Promise<Bucket | undefined>;
  /** Opens a stream, once; `undefined` if it does not exist yet. Rejects like `EventLog.open`. */
  stream(kind: StreamKind): Promise<LogStream | undefined>;
  /** Resolves with the state of NATS. Rejects if NATS does not answer. */
  server(): Promise<ServerView>;
  /** Lists runs of workflows, the last changed first. Rejects with `UNAVAILABLE`. */
  runs(options: RunsOptions): AsyncIterable<RunInfo>;
  /** Cancels a run. Rejects with a `CatgaError`: `NO_RUN`, `UNAVAILABLE`. */
  cancelRun(workflow: string, id: string, reason: string): Promise<void>;
  /** Returns an asker for processes, until it is disposed of. */
  asker(): SourceAsker;
}

/** Pings processes, and requests their statistics, without being a node. Resolves after `limit` ms at the latest. */
export interface SourceAsker extends Disposable {
  ping(endpoint: string, limit: number): Promise<Pong | NoAnswer>;
  /** Requests the statistics of a process. */
  stats(endpoint: string, limit: number): Promise<CountedStats | NoAnswer>;
}

/** Statistics of a process. */
export interface CountedStats {
  readonly type: "stats";
  readonly stats: NodeStats;
}

/** Answer to a ping: load (running handlers and waiting sends, requests that wait), and its time in ms. */
export interface Pong {
  readonly type: "pong";
  readonly ms: number;
  readonly load: readonly [number, number];
}

/** `bounce`: no process has this endpoint. */
export interface NoAnswer {
  readonly type: "bounce" | "silence";
  /** Reason why an answer that came is invalid. */
  readonly why?: string;
}
