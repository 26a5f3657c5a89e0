import type { CatgaError } from "../error.ts";
import type { MaybePromise } from "../contract/schema.ts";
import type { Result } from "../contract/result.ts";
import type { Cache, ClaimedRun, LeadOptions, Lock, LockOptions, Term } from "../contract/shared_state.ts";

/** Who asks for a lock: a run of a handler, or something outside of any. */
export interface Asker {
  /** Names this run among all others. */
  readonly call: string;
  /** The runs that wait for this one to end, outermost first. */
  readonly ancestry: readonly string[];
}

/** The locks of a cluster. */
export interface Locks {
  /** Takes a key, or several in sorted order: all or none. Rejects with a `CatgaError`: see {@link LockOptions}, `DEADLOCK`. */
  lock(keys: string | readonly string[], options: LockOptions, asker: Asker): Promise<Lock>;
  /** Releases everything that this node holds, and waits for nothing any more: `CLOSED`. */
  close(): Promise<void>;
}

/** A message that is to be handled once for its id. */
export interface Claimant {
  readonly contract: string;
  readonly id: string;
  /** As the sender gave it, after the wire: what another payload under this id is told by. */
  readonly payload: unknown;
  /** How long a result is kept, in ms. */
  readonly ttl: number;
  /** When its sender gives up, by the monotonic clock. */
  readonly due: number;
  /** Aborts when the sender gives up. */
  readonly signal: AbortSignal;
  /** Called at most once, before the result of `run` is kept: another attempt may run from now on. */
  lost(reason: CatgaError): void;
}

/** Sees to it that an idempotent command has one recorded result per id. */
export interface Claims {
  /**
   * Runs `run` with the claim's revision (the fence) when the id is new, and keeps its result; else gives the result that
   * is kept, waiting for it when it is not there yet. `ID_REUSED` for another payload. Never rejects.
   */
  guard(claimant: Claimant, run: ClaimedRun): Promise<Result<unknown>>;
  /** Ends waiting and renewing. */
  close(): Promise<void>;
}

/** Knowing whether a process is gone: from the cluster, for leases. */
export interface Liveness {
  /**
   * Whether pings to this endpoint bounce, and have for longer than a process that loses its connection for up to 4 s needs to
   * come back. `false` when that is not known, or when somebody answers.
   */
  gone(endpoint: string): Promise<boolean>;
}

/** Everything that the nodes of a cluster share besides messages, as one node has it. */
export interface SharedState {
  readonly locks: Locks;
  readonly claims: Claims;
  readonly cache: Cache;
  /** Runs `fn` whenever this node leads `name`. */
  lead(name: string, fn: (signal: AbortSignal) => MaybePromise<unknown>, options?: LeadOptions): Term;
  /** Gives up every leadership; others take over at once. */
  abdicate(): Promise<void>;
  /** Gives back what this node holds. */
  close(): Promise<void>;
}
