/** Internal parts of a workflow: the parts of its handlers, and the interface that drives its runs. */
import type { ContractMeta } from "./program_types.ts";
import type { Context } from "./context.ts";
import type { Flow } from "./flow.ts";
import type { Schema } from "./schema.ts";

/** A workflow's options, with their defaults. */
export interface WorkflowDefinition {
  /** The name of the workflow. */
  readonly name: string;
  /** The type of the workflow's runs in the stream of entities. */
  readonly type: string;
  /** Checks and parses the input. */
  readonly input: Schema<never, unknown> | undefined;
  /** Checks and parses the handler's return value. */
  readonly output: Schema<never, unknown> | undefined;
  /** The codes that the workflow may fail with, besides Catga's; `undefined`: any. */
  readonly failures: readonly string[] | undefined;
  /** Makes the id of a run of its input. */
  readonly id: ((input: never) => string) | undefined;
  /** Time limit of a run, in ms. */
  readonly timeout: number | undefined;
  /** Retention of a run after its end, in ms. */
  readonly keep: number;
  /** Version of the handler. */
  readonly version: number;
  /** Metadata that the program gives the workflow. */
  readonly meta: ContractMeta | undefined;
  /** Paths of members of recorded values that tools hide. */
  readonly redact: readonly string[] | undefined;
}

/** The handler of a workflow. */
export interface WorkflowBody {
  /** The workflow that the handler handles. */
  readonly definition: WorkflowDefinition;
  /** The handler's function, as the program gave it. */
  readonly fn: (flow: Flow, input: never) => unknown;
}

/** Driver of the runs of a workflow, called by the workflow's internal handlers. */
export interface RunDriver {
  /**
   * Called with starts that their own nodes drive. A single start is handled like an entry of {@link RunDriver.called};
   * of several, each start whose run still goes on is failed, so that it is delivered again, alone.
   */
  started(body: WorkflowBody, starts: StartedRuns): Promise<void>;
  /** Called with an entry of a run after which a node has to drive the run. */
  called(body: WorkflowBody, entry: unknown, ctx: Context): Promise<void>;
  /** Called when a time that a run waits for has come. */
  due(body: WorkflowBody, due: RunDue, ctx: Context): Promise<void>;
  /** Called with a message of another node for a run that this node may hold. */
  join(body: WorkflowBody, join: RunJoin): Promise<RunJoined>;
}

/** Starts as a batch, as a handler of batches gets them. */
export type StartedRuns =
  & readonly StartedRun[]
  & { fail(start: StartedRun, code: string, message: string, options: { readonly details: string }): void };

/** The start of a run, as a handler of batches gets it. */
interface StartedRun {
  readonly payload: unknown;
  readonly key: string | undefined;
  readonly position: number;
  readonly stored: Date | undefined;
}

/** The context of a running app, which drives runs. */
export interface RunContext extends Context {
  "~runs"(): Promise<RunDriver>;
}

/** A message of a schedule: a time that a run waits for has come. */
export interface RunDue {
  readonly run: string;
  /** The step, sleep or wait that the time belongs to. */
  readonly step: string;
  /** The time for which the timer was scheduled, in ms since 1970. */
  readonly at: number;
  /** For a run that is to be started: the run's input as text. */
  readonly start?: string | undefined;
  /** True: each firing starts a run, named after the firing. */
  readonly cron?: true | undefined;
  /** The shape of the workflow on the node that scheduled the start; absent if it has none. */
  readonly shape?: string | undefined;
  /** The headers given to the start of the run. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** For a lease that was not put off, instead of a run: its runs, and the endpoint of the node that held them. */
  readonly lease?: { readonly runs: readonly string[]; readonly by: string } | undefined;
}

/** A message for the node that may hold a run. */
export type RunJoin = RunCall | RunsAsked | RunsLeased;

/** Concerns a run that the receiver may hold. */
export interface RunCall {
  readonly run: string;
  /** Sequence of the message of the stream that the receiver must have read. */
  readonly sequence: number;
  /** Time at which that message was stored, in ms since 1970, if known. */
  readonly stored?: number | undefined;
  /** The timer that is due. */
  readonly due?: Pick<RunDue, "step" | "at"> | undefined;
  /** True: the receiver goes on with the run, and answers when the run's driver can store. */
  readonly news?: boolean | undefined;
  /** Set after a version of the workflow has refused the run. */
  readonly tried?: TriedVersions | undefined;
}

/** Versions of a workflow that refused a run. */
export interface TriedVersions {
  /** The names of the shapes of these versions. */
  readonly refusedBy: readonly string[];
  /**
   * Endpoints of nodes that have given the run up because their version refused it, with the last message that each had
   * read: after a later message the node may hold the run again.
   */
  readonly gaveUp: readonly (readonly [endpoint: string, sequence: number])[];
}

/**
 * Asks which of these runs have ended or wait. For each run the receiver must have read the message of the stream with
 * this sequence.
 */
export interface RunsAsked {
  readonly asked: readonly (readonly [run: string, sequence: number])[];
}

/** Says that the lease of these runs was not put off: the receiver, which has stored the lease, must store it again. */
export interface RunsLeased {
  readonly leased: readonly string[];
}

/** No running version of the workflow accepts the run: it waits for another version. */
export interface RefusedRun extends TriedVersions {
  readonly why: string;
}

/**
 * Answer to {@link RunsAsked}: 1 for each run that has ended or waits, 0 for each other run, as far as the receiver
 * knows. Answer to {@link RunsLeased}: 1 for each run that has a lease, or needs none.
 */
export type RunJoined = readonly (0 | 1)[] | RefusedRun | void;
