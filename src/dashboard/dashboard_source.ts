/**
 * The connection to a cluster that the dashboard uses while a browser is connected. The command line tool provides
 * it.
 */
import type { RunInfo, RunsOptions } from "../contract/calls/flow.ts";
import type { NodeStats } from "../contract/nodes/node_stats.ts";
import type { StreamKind } from "../log/format/stream_name.ts";
import type { LogStream } from "../ports/event_log.ts";
import type { Bucket, BucketKind } from "../ports/key_value_store.ts";
import type { Transport } from "../ports/transport.ts";
import type { ServerView } from "./view.ts";

/**
 * A connection to one namespace, by a client that is not a node.
 * @decides the interface by which the page's server reads a cluster; the tool and programs provide it
 */
export interface DashboardSource {
  readonly namespace: string;
  /** Address of the NATS server, for people. */
  readonly address: string;
  /** True if payloads are shown in full, with the members that contracts hide by `redact`. Default: false. */
  readonly showSecrets?: boolean;
  readonly transport: Pick<Transport, "subscribe" | "clock" | "status" | "onStatus" | "maxPayload">;
  /** Receives events that are not durable, decrypted with the payload codec if there is one. */
  readonly events: Pick<Transport, "subscribe" | "clock">;
  /** Opens a bucket; `undefined` if it does not exist. Rejects like `KeyValueStore.open`. */
  bucket(kind: BucketKind): Promise<Bucket | undefined>;
  /** Opens a stream, once; `undefined` if it does not exist yet. Rejects like `EventLog.open`. */
  stream(kind: StreamKind): Promise<LogStream | undefined>;
  /** Resolves with the state of NATS. Rejects if NATS does not answer. */
  server(): Promise<ServerView>;
  /** Lists runs of workflows, the last changed first. Rejects with `UNAVAILABLE`. */
  runs(options: RunsOptions): AsyncIterable<RunInfo>;
  /** Cancels a workflow run. Rejects with a `CatgaError`: `NO_RUN` if it does not exist, `UNAVAILABLE`. */
  cancelRun(workflow: string, id: string, reason: string): Promise<void>;
  /** Makes an asker, which pings processes until it is disposed of. */
  asker(): SourceAsker;
}

/**
 * Pings processes and asks for their statistics, without being a node. Each question resolves after `limit` ms at the
 * latest.
 */
export interface SourceAsker extends Disposable {
  ping(endpoint: string, limit: number): Promise<Pong | NoAnswer>;
  /** Asks the process at this endpoint for its statistics. */
  stats(endpoint: string, limit: number): Promise<CountedStats | NoAnswer>;
}

/** Statistics of a process, and when they were taken. */
export interface CountedStats {
  readonly type: "stats";
  readonly stats: NodeStats;
}

/**
 * Answer to a ping: the load of the process (running handlers and waiting sends; requests that wait), and the ping's
 * duration in ms.
 */
export interface Pong {
  readonly type: "pong";
  readonly ms: number;
  readonly load: readonly [number, number];
}

/** Outcome of a question without a valid answer. `bounce`: no process has this endpoint; `silence`: no answer came. */
export interface NoAnswer {
  readonly type: "bounce" | "silence";
  /** Reason why an answer that came is invalid; absent: none came. */
  readonly why?: string;
}
