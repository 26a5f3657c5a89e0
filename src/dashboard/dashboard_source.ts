/**
 * The connection to a cluster as the dashboard uses it, and only while somebody looks. The command line tool provides
 * it.
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
  /** True if payloads are shown in full, members included that contracts hide by their `redact`; false. */
  readonly showSecrets?: boolean;
  readonly transport: Pick<Transport, "subscribe" | "clock" | "status" | "onStatus" | "maxPayload">;
  /** Receives events that are not kept, opened with the codec if there is one. */
  readonly events: Pick<Transport, "subscribe" | "clock">;
  /** A bucket; `undefined` if it does not exist. Rejects as `KeyValueStore.open` does. */
  bucket(kind: BucketKind): Promise<Bucket | undefined>;
  /**
   * A stream, which is opened once; `undefined` if it does not exist yet. Rejects as `EventLog.open` does.
   */
  stream(kind: StreamKind): Promise<LogStream | undefined>;
  /** NATS itself. Rejects if it does not answer. */
  server(): Promise<ServerView>;
  /** Runs of workflows, those that have changed last first. Rejects with `UNAVAILABLE`. */
  runs(options: RunsOptions): AsyncIterable<RunInfo>;
  /** Rejects with a `CatgaError`: `NO_RUN`, `UNAVAILABLE`. */
  cancelRun(workflow: string, id: string, reason: string): Promise<void>;
  /** Asks processes, until it is disposed of. */
  asker(): SourceAsker;
}

/**
 * Asks processes whether they are there, and what they have counted, without being a node. Resolves after `limit` ms at
 * the latest.
 */
export interface SourceAsker extends Disposable {
  ping(endpoint: string, limit: number): Promise<Pong | NoAnswer>;
  /** Asks what the process has counted. */
  stats(endpoint: string, limit: number): Promise<CountedStats | NoAnswer>;
}

/** Counts of a process. */
export interface CountedStats {
  readonly type: "stats";
  readonly stats: NodeStats;
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
  /** Says why an answer that came is none. */
  readonly why?: string;
}
