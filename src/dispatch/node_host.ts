/**
 * Dependencies of a cluster, and of what is kept in streams, on their node, which `node/` implements, and of a node on
 * the runs of workflows, which `flow/` implements.
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
  /** Its locks and leaderships. */
  readonly holdings: Holdings;
  /** Alarms about what it sees. */
  readonly alarms: Health["alarms"];
  /** Entities that it could not read. */
  readonly unreadable: readonly UnreadableEntity[];
  /** How many handlers run, and how many sends wait for answers. */
  readonly inFlight: number;
  /** The timeout of a message that is sent now, in ms. */
  timeLeft(contract: AnyContract): number;
  /** Returns true if requests of a contract are routed by key. */
  keyed(contract: AnyContract): boolean;
  /** The headers that go on with what handlers send. */
  readonly carried: readonly string[];
  /** Sends for a plain NATS client; this node's own handlers run it through `admit`. */
  relay(
    contract: AnyContract,
    payload: unknown,
    options: SendOptions,
    how: { readonly admit: Admission; readonly refusedBy: ReadonlySet<string> | undefined },
  ): Promise<Result<unknown>>;
  /** To be called when the view has changed: other nodes, or other contracts of theirs. */
  refresh(): void;
  /** Stops the node at once, because it cannot go on. */
  fail(error: CatgaError): void;
}

/** A node, as its parts see it that keep messages in streams. */
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
  /** The workflow of each run that goes on here; each is something under way. */
  readonly driven: readonly string[];
  infos(options: RunsOptions): AsyncIterableIterator<RunInfo>;
  /** Somebody asks which runs are stuck: looks which are not any more, and observes it. */
  look(): void;
  /** The streams have lost messages that may have brought runs of a workflow on: has those that are open go on. */
  lost(workflow: string): void;
  /** Begins no more attempts of steps; what runs comes to its end. For the begin of a drain. */
  leave(): void;
  /** Ends everything. */
  close(): void;
}
