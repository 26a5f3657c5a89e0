/**
 * Interfaces between a node and its parts. The folder `node/` implements the interfaces that the cluster, and the parts
 * that keep messages in streams, use of a node; the folder `flow/` implements the interface by which a node starts and
 * executes runs of workflows.
 */
import type { RecordedStart } from "../contract/nodes/attached_store.ts";
import type { UsedContracts } from "../contract/nodes/used_contracts.ts";
import type { UnreadableEntity } from "../contract/nodes/alarms.ts";
import type { AnyContract } from "../contract/declaration/contract.ts";
import type { Health } from "../contract/nodes/node_info.ts";
import type { LedLimits } from "../contract/nodes/node_stats.ts";
import type { Result } from "../contract/calls/result.ts";
import type { SendOptions } from "../contract/calls/send_options.ts";
import type { CatgaError } from "../error.ts";
import type { Admission } from "./admission.ts";
import type { ContextHost, Holdings, RunSender } from "./context_host.ts";
import type { Runner } from "./runner.ts";
import type { AnyWorkflow, RunInfo, RunsOptions, ViewChange, WatchOptions } from "../contract/calls/flow.ts";
import type { RunDriver } from "../contract/declaration/workflow_body.ts";
import type { Observer } from "../contract/nodes/observer.ts";
import type { Clock } from "../ports/clock.ts";
import type { EventLog } from "../ports/event_log.ts";

/**
 * A node, as its cluster uses it.
 * @decides interfaces that upper rooms implement for `dispatch`
 */
export interface NodeHost extends ContextHost {
  /** Runs this node's handlers. */
  readonly runner: Runner;
  /** The contracts that the node uses without handling them. */
  readonly used: UsedContracts;
  /** The locks and leaderships that the node holds. */
  readonly holdings: Holdings;
  /** Why the program says that the node is not ready; `undefined`: it is ready. */
  readonly unready: string | undefined;
  /** Alarms about problems that the node sees. */
  readonly alarms: Health["alarms"];
  /** The limits of the subscriptions that the node leads. */
  readonly limits: readonly LedLimits[];
  /** Entities that the node could not read. */
  readonly unreadable: readonly UnreadableEntity[];
  /** Number of handlers that run on the node, plus its sends that wait for answers. */
  readonly inFlight: number;
  /** Returns the timeout that a message of this contract has if it is sent now, in ms. */
  timeLeft(contract: AnyContract): number;
  /** Returns true if requests of a contract are routed by key. */
  keyed(contract: AnyContract): boolean;
  /** The names of the headers that messages sent by handlers inherit. */
  readonly carried: readonly string[];
  /**
   * Sends a message for a plain NATS client (a program without Catga). If this node's own handler is to run it, `admit`
   * is called first, which lets the handler run when there is room.
   */
  relay(
    contract: AnyContract,
    payload: unknown,
    options: SendOptions,
    how: { readonly admit: Admission; readonly refusedBy: ReadonlySet<string> | undefined },
  ): Promise<Result<unknown>>;
  /**
   * Computes again everything that depends on other nodes. Called when the membership has changed: other nodes, or
   * other contracts of nodes.
   */
  refresh(): void;
  /** Stops the node at once, because of an error after which it cannot continue. */
  fail(error: CatgaError): void;
}

/** A node, as its parts that keep messages in streams use it. */
export interface StreamsHost {
  readonly namespace: string;
  readonly endpoint: string;
  readonly replicas: number;
  /** The `timeout` of `catga()`, in ms. */
  readonly timeout: number;
  readonly clock: Clock;
  readonly observer: Observer;
  readonly log: EventLog;
}

/** Runs of workflows, as one node starts them, executes them and sends messages to them. */
export interface NodeRuns extends RunDriver, Omit<RunSender, "nodeRuns"> {
  /** For each run that this node executes now, the name of its workflow; a drain waits for each of these runs. */
  readonly driven: readonly string[];
  infos(options: RunsOptions): AsyncIterableIterator<RunInfo>;
  /** Starts a run whose start an outbox has recorded; otherwise like `start`. */
  startRecorded(start: RecordedStart): Promise<Result<string, never>>;
  /** Forgets a run that has ended; {@link Catga.forget} says more. */
  forget(workflow: AnyWorkflow, run: string): Promise<void>;
  /** Resolves with what a run shows; {@link Catga.view} says more. */
  view(workflow: AnyWorkflow, run: string): Promise<Result<unknown, never>>;
  /** Returns the changes of what a run shows, and its end; {@link Catga.watch} says more. */
  watch(
    workflow: AnyWorkflow,
    run: string,
    options?: WatchOptions,
  ): AsyncIterableIterator<ViewChange<unknown, unknown, string>>;
  /**
   * Checks which runs that were stuck have continued or ended, and reports them to the app's observers. Called when a
   * program or tool asks which runs are stuck.
   */
  look(): void;
  /**
   * Loads and executes again every run of a workflow that has not ended. Called when the streams have lost messages
   * that may have called for the execution of such runs.
   */
  lost(workflow: string): void;
  /**
   * Starts no more attempts of workflow steps; attempts in progress continue to their end. Called when a drain begins.
   */
  leave(): void;
  /** Stops executing runs of workflows on this node. */
  close(): void;
}
