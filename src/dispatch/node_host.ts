/**
 * Interfaces of a node: as a cluster, and the parts that keep messages in streams, use it (`node/` implements them),
 * and of the runs of workflows, as a node uses them (`flow/` implements them).
 */
import type { UnreadableEntity } from "../contract/alarms.ts";
import type { AnyContract } from "../contract/contract.ts";
import type { Health } from "../contract/node_info.ts";
import type { Result } from "../contract/result.ts";
import type { SendOptions } from "../contract/send_options.ts";
import type { CatgaError } from "../error.ts";
import type { Admission } from "./admission_deadlock.ts";
import type { ContextHost, Holdings, RunSender } from "./context_host.ts";
import type { Runner } from "./runner.ts";
import type { RunInfo, RunsOptions } from "../contract/flow.ts";
import type { RunDriver } from "../contract/workflow_body.ts";
import type { Observer } from "../contract/observer.ts";
import type { Clock } from "../ports/clock.ts";
import type { EventLog } from "../ports/event_log.ts";

/** The node that a cluster belongs to. */
export interface NodeHost extends ContextHost {
  /** Runs this node's handlers. */
  readonly runner: Runner;
  /** Locks and leaderships of the node. */
  readonly holdings: Holdings;
  /** Alarms about the state that the node sees. */
  readonly alarms: Health["alarms"];
  /** Entities that the node could not read. */
  readonly unreadable: readonly UnreadableEntity[];
  /** Number of handlers that run, and of sends that wait for answers. */
  readonly inFlight: number;
  /** The timeout of a message that is sent now, in ms. */
  timeLeft(contract: AnyContract): number;
  /** Returns true if requests of a contract are routed by key. */
  keyed(contract: AnyContract): boolean;
  /** The names of the headers that handlers' sends inherit. */
  readonly carried: readonly string[];
  /** Sends a message for a plain NATS client; if this node's own handlers run it, they run it through `admit`. */
  relay(
    contract: AnyContract,
    payload: unknown,
    options: SendOptions,
    how: { readonly admit: Admission; readonly refusedBy: ReadonlySet<string> | undefined },
  ): Promise<Result<unknown>>;
  /** To be called when the membership has changed: other nodes, or other contracts of nodes. */
  refresh(): void;
  /** Stops the node at once because of an error after which it cannot go on. */
  fail(error: CatgaError): void;
}

/** A node, as its parts that keep messages in streams use it. */
export interface StreamsHost {
  readonly namespace: string;
  readonly endpoint: string;
  readonly replicas: number;
  /** The app's timeout, in ms. */
  readonly timeout: number;
  readonly clock: Clock;
  readonly observer: Observer;
  readonly log: EventLog;
}

/** The runs of a namespace, as one node starts, drives and reaches them. */
export interface NodeRuns extends RunDriver, Omit<RunSender, "nodeRuns"> {
  /** The workflow of each run that goes on here; a drain waits for each of these runs. */
  readonly driven: readonly string[];
  infos(options: RunsOptions): AsyncIterableIterator<RunInfo>;
  /** Called when a program or tool asks which runs are stuck: observes runs that are not stuck any more. */
  look(): void;
  /** Called when the streams have lost messages that may have resumed runs of the workflow: resumes its open runs. */
  lost(workflow: string): void;
  /** Begins no more attempts of steps; running attempts go on to their end. Called when a drain begins. */
  leave(): void;
  /** Ends all runs on this node, and everything that drives them. */
  close(): void;
}
