/** What the nodes of a cluster share besides messages, as the core sees it; `state/` implements it, `catga.ts` wires it. */
import type { MaybePromise } from "./schema.ts";
import type { Result } from "./result.ts";

/** Options of a lock. */
export interface LockOptions {
  /** How long the lock outlives its holder, in ms: 1,000 at least, rounded up to whole seconds; renewed at a third. 10,000. */
  ttl?: number;
  /** How long to wait for it, in ms; 0 does not wait. 30,000. */
  timeout?: number;
  /** Stops waiting when it aborts: `CANCELLED`. */
  signal?: AbortSignal;
}

/** A lock that is held. `await using` releases it. */
export interface Lock extends AsyncDisposable {
  /**
   * The fencing token: grows with every acquisition of the key. Give it to the resource, and let that refuse what comes with
   * a smaller one: nothing else stops a holder that was paused for longer than its ttl.
   */
  readonly token: number;
  /** Aborts with `LOCK_LOST` before somebody else can hold the lock, as long as this process runs. */
  readonly signal: AbortSignal;
  /** Gives it back. Idempotent; a lock that is lost already is somebody else's, and stays so. */
  release(): Promise<void>;
}

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

/** Options of `lead`. */
export interface LeadOptions {
  /** How long leadership outlives its node, in ms: 1,000 at least; 10,000. */
  ttl?: number;
}

/** A node's wish to lead; it ends with the app, or when it is disposed of. */
export interface Term extends AsyncDisposable {
  /** Whether this node leads now. */
  readonly leading: boolean;
}

/** Options of a cache write. */
export interface CacheSetOptions {
  /** How long it is kept, in ms: 1,000 at least, rounded up to whole seconds; for good. */
  ttl?: number;
  /** A fencing token: the write is refused when a greater one has been given for this key. */
  fence?: number;
}

/** JSON values that the nodes of a cluster share. */
export interface Cache {
  /** The value of a key; `undefined` when there is none. */
  get<T>(key: string): Promise<T | undefined>;
  /** Writes a value. `false` when `fence` is smaller than the last that was given. */
  set(key: string, value: unknown, options?: CacheSetOptions): Promise<boolean>;
  /** Removes a key. */
  delete(key: string): Promise<void>;
  /**
   * The value of a key, or what `load` gives, which is then kept. One load at a time per key in this node; with `once` in
   * the cluster.
   */
  getOrSet<T>(key: string, load: () => MaybePromise<T>, options?: CacheSetOptions & { once?: boolean }): Promise<T>;
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
}

/** Sees to it that an idempotent command has one recorded result per id. */
export interface Claims {
  /**
   * Runs `run` with the claim's revision (the fence) when the id is new, and keeps its result; else gives the result that
   * is kept, waiting for it when it is not there yet. `ID_REUSED` for another payload. Never rejects.
   */
  guard(claimant: Claimant, run: (fence: number) => MaybePromise<Result<unknown>>): Promise<Result<unknown>>;
  /** Ends waiting and renewing. */
  close(): Promise<void>;
}

/** Knowing whether a process is gone: from the cluster, for leases. */
export interface Liveness {
  /** Whether two bounces, a second apart, have shown that nobody is at this endpoint. `false` when that is not known. */
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
