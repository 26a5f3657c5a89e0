/** How the tool reaches a cluster: over NATS (`nats_link.ts`), or in the file of one process (`file_link.ts`). */
import type { ServerView } from "../../dashboard/view.ts";
import type { SourceAsker } from "../../dashboard/dashboard_source.ts";
import type { EventLog, LogOptions } from "../../ports/event_log.ts";
import type { BucketKind } from "../../ports/key_value_store.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import type { Transport } from "../../ports/transport.ts";

/** A connection to one namespace, by a client that is no node. */
export interface ClusterLink {
  /** Address of the NATS server, or path of the file, for printing. */
  readonly address: string;
  /** Path of the file; `undefined`: the cluster is on NATS. */
  readonly file?: string | undefined;
  readonly transport: Transport;
  /** Receives events that are not durable, opened with the payload codec if there is one. */
  readonly events: Pick<Transport, "subscribe" | "clock">;
  readonly log: EventLog;
  /** True if messages that the tool writes are stored in clear text; false if its payload codec encrypts them. */
  readonly writesClear: boolean;
  /** Resolves with the number of copies that a bucket has; `undefined`: it does not exist. */
  copies(kind: BucketKind): Promise<number | undefined>;
  /** Opens a bucket, with the settings that it has; `undefined` if it does not exist. */
  bucket(kind: BucketKind): Promise<Bucket | undefined>;
  /** Resolves with what must be known of a stream to open it; `undefined`: it does not exist. */
  stream(name: string): Promise<Pick<LogOptions, "replicas"> | undefined>;
  /** Creates a bucket, or checks the existing one. Resolves with true if there was none. */
  setUpBucket(kind: BucketKind, replicas: number): Promise<boolean>;
  /** Creates a stream, or checks the existing one. Resolves with true if there was none. */
  setUpStream(name: string, options: LogOptions): Promise<boolean>;
  server(): Promise<ServerView>;
  /** Resolves with the names of the streams that mirror one of this namespace, and their origins. */
  mirrors(): Promise<ReadonlyMap<string, string>>;
  asker(): ClusterAsker;
  close(): Promise<void>;
}

/** Asks running processes, without being a node. */
export interface ClusterAsker extends SourceAsker {
  /** Text about a process that does not answer. */
  readonly silence: string;
  /**
   * Asks a node about its contracts: with no names for the shapes of all, else for the declarations of these. Resolves
   * with `undefined` if no answer comes within `limit` ms, or nodes are not asked here.
   */
  looks(endpoint: string, names: readonly string[], limit: number): Promise<unknown>;
}
