/**
 * The part of a node that a drive of a run uses: `runs.ts` implements it, simulations and `catga check` have their own.
 */
import type { AnyContract } from "../contract/contract.ts";
import type { Observer } from "../contract/observer.ts";
import type { Result } from "../contract/result.ts";
import type { RunTracer } from "../contract/run_tracer.ts";
import type { SendOptions } from "../contract/send_options.ts";
import type { Clock, Random } from "../ports/clock.ts";
import type { Journal, Parent, RecordedError } from "./journal.ts";
import type { RunLog } from "./run_log.ts";
import type { RunRef } from "./run_ref.ts";

/** The app that runs are driven in. */
export interface DriveApp {
  /** How long an attempt of a step may take without an own timeout, in ms. */
  readonly timeout: number;
  readonly random: Random;
  /** True if errors of attempts of steps are recorded. */
  readonly causes: boolean;
  /** Gets attempts of steps that failed, when the next one follows, and that a run has many entries. */
  readonly observer: Observer;
  /** The id of the node. */
  readonly node: string;
  /** The headers that go on with what steps send. */
  readonly carried: readonly string[];
  /** Makes spans; `undefined`: nothing is traced. */
  readonly tracer: RunTracer | undefined;
  send(contract: AnyContract, payload: unknown, options: SendOptions): Promise<Result<unknown>>;
  /** True for a command of an entity: one that may be sent again when nobody knows whether it ran. */
  ofEntity(contract: AnyContract): boolean;
  /** A run begins to be driven here, and ends to be: a drain waits for it. */
  begun(): void;
  over(): void;
}

/** The part of a node that a drive uses. */
export interface DriveHost {
  readonly app: DriveApp;
  readonly endpoint: string;
  readonly clock: Clock;
  readonly log: RunLog;
  /** The latest time that the server's clock may show, in ms since 1970: what lasts for a while lasts from then on. */
  readonly latest: number;
  /**
   * Stores that the run is to be called at a time, in ms since 1970. The same step again replaces it. Rejects with a
   * `CatgaError`.
   */
  wake(ref: RunRef, step: string, at: number): Promise<void>;
  /** A run has ended, and needs the schedules of these steps no more. */
  takeBack(ref: RunRef, steps: readonly string[]): Promise<void>;
  /** Calls back in a later turn of the event loop, together with the other runs. */
  soon(callback: () => void): void;
  /** Starts a run that tells this one its end. */
  startChild(
    contract: AnyContract,
    id: string,
    input: unknown,
    parent: Required<Parent>,
    headers: Readonly<Record<string, string>> | undefined,
  ): Promise<Result<string>>;
  /**
   * Resolves with whether the run was started: it has told, or will tell, its end. One that was not is stored as ended,
   * so that a start that comes later does nothing. Rejects with a `CatgaError`. `contract`: of one that may come.
   */
  cancelChild(child: RunRef, reason: string, contract?: AnyContract): Promise<boolean>;
  /** The run has ended: tells who waits for it. Rejects with a `CatgaError`. */
  ended(ref: RunRef, journal: Journal): Promise<void>;
  /** The run is about to be stuck, by what was thrown. Rejects with a `CatgaError` if that could not be noted. */
  stuck(ref: RunRef, step: string, error: RecordedError, thrown: unknown): Promise<void>;
  /** The run was read, or driven; `undefined`: there is none. */
  read(ref: RunRef, journal: Journal | undefined): void;
  /** The shape of a workflow in this process, as {@link Journal.shape}. */
  shapeOf(workflow: string): string;
  /** Its name, which is that of no other node if it is unknown. */
  shapeNameOf(workflow: string): string;
  /**
   * Decides about a run that this node's version refused. `refusedBy`: the other shapes of its workflow that refused
   * it, to which the shape of this node is added.
   */
  afterRefusal(ref: RunRef, journal: Journal, refusedBy: Set<string>): RefusedRunFate;
}

/** A refused run goes to a node of another version, which may take it; waits for one; or an operator has to decide. */
export type RefusedRunFate = { readonly next: string } | "waits" | "stuck";

/** A time that a run waited for has come. */
export interface DueTime {
  /** The step, sleep or wait. */
  readonly step: string;
  /** That time, in ms since 1970. */
  readonly at: number;
}
