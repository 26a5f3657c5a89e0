/** What an app needs of the state that nodes share; `state/` implements it. */
import type { Result } from "../contract/result.ts";
import type { MaybePromise } from "../contract/schema.ts";
import type { Cache, ClaimedRun, LeadOptions, Lock, LockOptions, Term } from "../contract/shared_state.ts";
import type { CatgaError } from "../error.ts";

/** Who asks for a lock: a run of a handler, or code outside of handlers. */
export interface Asker {
  /** Identifies this run among all runs. */
  readonly call: string;
  /** The runs that wait for this one to end, outermost first. */
  readonly ancestry: readonly string[];
}

/** The locks of a cluster. */
export interface Locks {
  /** Takes a key, or several in sorted order: all or none. Rejects with a `CatgaError`: see {@link LockOptions}, `DEADLOCK`. */
  lock(keys: string | readonly string[], options: LockOptions, asker: Asker): Promise<Lock>;
  /** Releases the locks of this node; those that are waited for are rejected with `CLOSED`. */
  close(): Promise<void>;
}

/** A message whose id is to have one recorded result. */
export interface Claimant {
  readonly contract: string;
  readonly id: string;
  /** Before the schema, after the wire. Its fingerprint detects reuse of the id for another payload. */
  readonly payload: unknown;
  /** How long a result is kept, in ms. */
  readonly ttl: number;
  /** Until when the caller waits, by the monotonic clock. */
  readonly due: number;
  /** Aborts when the message is aborted. */
  readonly signal: AbortSignal;
  /** Called at most once, before the result of `run` is recorded: another attempt may run from now on. */
  lost(reason: CatgaError): void;
}

/** Idempotency: one recorded result for each id of a command. */
export interface Claims {
  /**
   * Runs `run` with the claim's revision (the fence) if the id is new, and records its result. Otherwise resolves with the
   * recorded result, waiting for it while another attempt runs; `ID_REUSED` for another payload. Never rejects.
   */
  guard(claimant: Claimant, run: ClaimedRun): Promise<Result<unknown>>;
  /** Removes a recorded failure, so that the id may be tried again. Rejects when the store does not answer. */
  forgetFailure(contract: string, id: string): Promise<void>;
  /** Ends waiting and renewing. */
  close(): Promise<void>;
}

/** Whether a process is gone: the cluster answers it, for leases. */
export interface Liveness {
  /**
   * Whether pings to this endpoint have bounced for longer than a process needs to return that loses its connection for up to
   * 4 s. `false` if that is not known, or if the endpoint answers.
   */
  gone(endpoint: string): Promise<boolean>;
}

/** What one node holds of what is shared, for its statistics. */
export interface Holdings {
  /** What it leads, by name. */
  readonly leads: readonly string[];
  /** Locks that it holds. */
  readonly locks: number;
  /** Locks that it gave up because waiting for them would never have ended. */
  readonly cycles: number;
}

/** The locks, claims, cache and leadership of one node. */
export interface SharedState {
  /** Counted when it is read. */
  readonly holdings: Holdings;
  readonly locks: Locks;
  readonly claims: Claims;
  readonly cache: Cache;
  /** Runs `fn` whenever this node leads `name`. */
  lead(name: string, fn: (signal: AbortSignal) => MaybePromise<unknown>, options?: LeadOptions): Term;
  /** Gives up every leadership; others take over at once. */
  abdicate(): Promise<void>;
  /** Releases what this node holds. */
  close(): Promise<void>;
}
