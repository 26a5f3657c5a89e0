/** The inside of a workflow: what its handlers are made of, and what runs them. */
import type { ContractMeta } from "./program_types.ts";
import type { Context } from "./context.ts";
import type { Flow } from "./flow.ts";
import type { Schema } from "./schema.ts";

/** A workflow with its defaults. */
export interface WorkflowDefinition {
  /** Its name. */
  readonly name: string;
  /** The type of its runs in the stream of entities. */
  readonly type: string;
  /** Checks and parses the input. */
  readonly input: Schema<never, unknown> | undefined;
  /** Checks and parses what the handler returns. */
  readonly output: Schema<never, unknown> | undefined;
  /** The codes that it may fail with, besides Catga's; `undefined`: any. */
  readonly failures: readonly string[] | undefined;
  /** The id of a run by its input. */
  readonly id: ((input: never) => string) | undefined;
  /** Time limit of a run, in ms. */
  readonly timeout: number | undefined;
  /** Retention of a run after its end, in ms. */
  readonly keep: number;
  /** Version of the handler. */
  readonly version: number;
  /** What the program says about it. */
  readonly meta: ContractMeta | undefined;
  /** Paths of members of its values that tools hide. */
  readonly redact: readonly string[] | undefined;
}

/** The handler of a workflow. */
export interface WorkflowBody {
  /** The workflow that it handles. */
  readonly definition: WorkflowDefinition;
  /** The function of the program. */
  readonly fn: (flow: Flow, input: never) => unknown;
}

/** Driver of the runs of a workflow, called by its internal handlers. */
export interface RunDriver {
  /** Starts that their nodes drive: those whose run still goes on are brought again, each alone. */
  started(body: WorkflowBody, starts: StartedRuns): Promise<void>;
  /** An entry of a run calls for somebody to go on. */
  called(body: WorkflowBody, entry: unknown, ctx: Context): Promise<void>;
  /** A time has come. */
  due(body: WorkflowBody, due: RunDue, ctx: Context): Promise<void>;
  /** Another node has a message for the run that this node may hold. */
  join(body: WorkflowBody, join: RunJoin): Promise<RunJoined>;
}

/** Starts as a handler of batches gets them. */
export type StartedRuns =
  & readonly StartedRun[]
  & { fail(start: StartedRun, code: string, message: string, options: { readonly details: string }): void };

/** The start of a run as it is read. */
interface StartedRun {
  readonly payload: unknown;
  readonly key: string | undefined;
  readonly position: number;
  readonly stored: Date | undefined;
}

/** The context of a running app: it drives runs. */
export interface RunContext extends Context {
  "~runs"(): Promise<RunDriver>;
}

/** A time that a run waits for has come. */
export interface RunDue {
  readonly run: string;
  /** The step, sleep or wait. */
  readonly step: string;
  /** The time for which it was scheduled, in ms since 1970. */
  readonly at: number;
  /** For a run that is to be started: its input as text. */
  readonly start?: string | undefined;
  /** Each firing starts one, named after the firing. */
  readonly cron?: true | undefined;
  /** The shape of the workflow where that was asked for; left out if it is empty. */
  readonly shape?: string | undefined;
  /** The headers of the start. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** For a lease that was not put off, in place of a run: its runs, and the endpoint of the node that held them. */
  readonly lease?: { readonly runs: readonly string[]; readonly by: string } | undefined;
}

/** A message for the node that may hold a run. */
export type RunJoin = RunCall | RunsAsked | RunsLeased;

/** A run that the receiver may hold. */
export interface RunCall {
  readonly run: string;
  /** The message of the stream that it has to have read. */
  readonly sequence: number;
  /** When that message was stored, in ms since 1970, if that is known. */
  readonly stored?: number | undefined;
  /** The timer that is due. */
  readonly due?: Pick<RunDue, "step" | "at"> | undefined;
  /** The receiver goes on with the run, and answers when the run's driver can store. */
  readonly news?: boolean | undefined;
  /** Set once a version has refused it. */
  readonly tried?: TriedVersions | undefined;
}

/** Versions of a workflow that do not take a run. */
export interface TriedVersions {
  /** The names of their shapes. */
  readonly refusedBy: readonly string[];
  /**
   * Endpoints of nodes that have given it up for that, with the last message that they had read: a node may hold it
   * again by a later one.
   */
  readonly gaveUp: readonly (readonly [endpoint: string, sequence: number])[];
}

/** Which of these runs have ended or wait, having read the message of the stream? */
export interface RunsAsked {
  readonly asked: readonly (readonly [run: string, sequence: number])[];
}

/** The lease of these runs was not put off: the receiver, which has stored it, is to store it again. */
export interface RunsLeased {
  readonly leased: readonly string[];
}

/** No version of the workflow that is there takes a run: it waits for another one. */
export interface RefusedRun extends TriedVersions {
  readonly why: string;
}

/**
 * For {@link RunsAsked}: 1 for each that has, 0 for each that has not, as far as the receiver knows. For
 * {@link RunsLeased}: 1 for each that has a lease, or needs none.
 */
export type RunJoined = readonly (0 | 1)[] | RefusedRun | void;
