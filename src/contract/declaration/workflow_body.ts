/** Internal parts of a workflow: its options, its handler, and the interface through which its runs are executed. */
import type { ContractMeta } from "./program_types.ts";
import type { Context } from "../calls/context.ts";
import type { Flow } from "../calls/flow.ts";
import type { Failure } from "../calls/result.ts";
import type { Schema } from "../schemas/schema.ts";

/** A workflow's options, with their defaults. */
export interface WorkflowDefinition {
  /** The name of the workflow. */
  readonly name: string;
  /** The type name under which the workflow's runs are stored in the stream of entities. */
  readonly type: string;
  /** Checks and parses the input. */
  readonly input: Schema<never, unknown> | undefined;
  /** Checks and parses the return value of the workflow's handler. */
  readonly output: Schema<never, unknown> | undefined;
  /** The codes that the workflow may fail with, besides Catga's; `undefined`: any. */
  readonly failures: readonly string[] | undefined;
  /** Makes the id of a run from its input. */
  readonly id: ((input: never) => string) | undefined;
  /** Time limit of a run, in ms; `undefined`: no limit. */
  readonly timeout: number | undefined;
  /** How long a run is kept after its end, in ms. */
  readonly keep: number;
  /** Version of the workflow's handler. */
  readonly version: number;
  /** Metadata that the program gives the workflow. */
  readonly meta: ContractMeta | undefined;
  /** Paths of members of recorded values that tools hide. */
  readonly redact: readonly string[] | undefined;
}

/** The handler of a workflow: the workflow and the program's function. */
export interface WorkflowBody {
  /** The workflow that the handler handles. */
  readonly definition: WorkflowDefinition;
  /** The function that the program gave to `handle`. */
  readonly fn: (flow: Flow, input: never) => unknown;
}

/** Executes the runs of a workflow. The workflow's internal handlers call it. */
export interface RunDriver {
  /**
   * Handles stored starts of runs: the node that started a run executes it. A single start is handled like an entry
   * (stored record of a run) by `called`. If there are several, the start of each run that has not ended is reported as
   * failed, so that the log delivers it again alone.
   */
  started(body: WorkflowBody, starts: StartedRuns): Promise<void>;
  /** Handles a stored entry (record) of a run, such as a signal, after which some node has to execute the run. */
  called(body: WorkflowBody, entry: unknown, ctx: Context): Promise<void>;
  /** Continues a run because a time for which the run waits has come. */
  due(body: WorkflowBody, due: RunDue, ctx: Context): Promise<Failure | undefined>;
  /** Answers a message from another node about a run that this node may be executing. */
  join(body: WorkflowBody, join: RunJoin): Promise<RunJoined>;
}

/** Stored starts of runs, as a handler of batches gets them. */
export type StartedRuns =
  & readonly StartedRun[]
  & { fail(start: StartedRun, code: string, message: string, options: { readonly details: string }): void };

/** One stored start of a run in a batch. */
interface StartedRun {
  readonly payload: unknown;
  readonly key: string | undefined;
  readonly position: number;
  readonly stored: Date | undefined;
}

/** The context that a running app gives to the internal handlers of workflows. */
export interface RunContext extends Context {
  "~runs"(): Promise<RunDriver>;
}

/** A scheduled message: a time for which a run waits has come. */
export interface RunDue {
  readonly run: string;
  /** The name of the step, sleep or wait to which the schedule belongs. */
  readonly step: string;
  /** The time for which the schedule was set, in ms since 1970. */
  readonly at: number;
  /** For a scheduled start: the run's input as text. */
  readonly start?: string | undefined;
  /** True if a cron schedule sent this message, which starts a run; the run is named after the message. */
  readonly cron?: true | undefined;
  /**
   * The shape (hash of the declaration) of the workflow on the node that scheduled the start; absent if it has none.
   */
  readonly shape?: string | undefined;
  /** The headers given to the start of the run. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** The tags given to the start of the run. */
  readonly tags?: readonly string[] | undefined;
  /**
   * For an expired lease (its node did not renew it, so it probably died): the runs that the lease covers, and the
   * endpoint of the node that executed them.
   */
  readonly lease?: { readonly runs: readonly string[]; readonly by: string } | undefined;
}

/** A message for the node that may be executing a run. */
export type RunJoin = RunCall | RunsAsked | RunsLeased;

/** A message about one run, which the receiver may be executing. */
export interface RunCall {
  readonly run: string;
  /** Sequence, in the stream of entities, of the message up to which the receiver must have read the stream. */
  readonly sequence: number;
  /** Time at which the message with the sequence `sequence` was stored, in ms since 1970, if known. */
  readonly stored?: number | undefined;
  /** The schedule of the run that has fired; `undefined`: none. */
  readonly due?: Pick<RunDue, "step" | "at"> | undefined;
  /**
   * True if the run has new entries: the receiver continues the run, and answers when it can store entries of the run.
   */
  readonly news?: boolean | undefined;
  /** Present if a version of the workflow has already refused the run. */
  readonly tried?: TriedVersions | undefined;
}

/** Versions of a workflow that refused a run. */
export interface TriedVersions {
  /** The names of the shapes (hashes of the declarations) of the versions that refused the run. */
  readonly refusedBy: readonly string[];
  /**
   * Endpoints of nodes that have stopped executing the run because their version refused it, each with the sequence of
   * the last message of the stream of entities that the node had read: when it has read a later message, it may be
   * executing the run again.
   */
  readonly gaveUp: readonly (readonly [endpoint: string, sequence: number])[];
}

/**
 * A question to another node: which of these runs have ended, or wait? With each run, the sequence, in the stream of
 * entities, of the message up to which the receiver must have read.
 */
export interface RunsAsked {
  readonly asked: readonly (readonly [run: string, sequence: number])[];
}

/**
 * Tells another node that its lease of these runs has expired (a scheduled message that calls for the execution of the
 * runs unless the node renews it in time): the receiver, which has stored the lease, must store it again.
 */
export interface RunsLeased {
  readonly leased: readonly string[];
}

/** An answer: no running version of the workflow accepts the run, which waits for another version. */
export interface RefusedRun extends TriedVersions {
  readonly why: string;
}

/**
 * The answer to a message about runs. To {@link RunsAsked}, which asks whether runs have ended or wait: 1 for each run
 * that has ended or waits, as far as the receiver knows, else 0. To {@link RunsLeased}, which says that a lease has
 * expired: 1 for each run that has a lease again, or needs none.
 */
export type RunJoined = readonly (0 | 1)[] | RefusedRun | void;
