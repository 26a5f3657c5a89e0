/** Locks, claims and the cache of a node, on buckets that are opened on first use. `state.ts` loads this file. */
import { type BucketKind, bucketName, BUCKETS, type KeyValueStore } from "../ports/key_value_store.ts";
import type { Liveness } from "../dispatch/context_host.ts";
import { SharedCache } from "./cache/cache.ts";
import { IdempotencyStore } from "./claims/idempotency_store.ts";
import { LockManager, type LockManagerOptions } from "./locks/lock_manager.ts";

/** Options of {@link openState}. */
export interface StateOptions extends Omit<LockManagerOptions, "bucket" | "space"> {
  readonly store: KeyValueStore;
  readonly namespace: string;
  /** Number of servers that keep a copy of each bucket. */
  readonly replicas: number;
  readonly liveness: Liveness;
  /** Returns the maximum size of a message of the store, in bytes. */
  maxPayload(): number;
}

/** The parts of a shared state, without its leaderships. */
export interface OpenState {
  readonly locks: LockManager;
  /** Locks in a space of their own, whose keys are the names of leaderships. */
  readonly leaders: LockManager;
  readonly claims: IdempotencyStore;
  readonly cache: SharedCache;
  /** Releases the locks and claims of programs. Call before the locks of leaderships are closed. */
  close(): Promise<void>;
}

/** Makes the parts of a node's shared state. Opens no bucket yet. */
export function openState(options: StateOptions): OpenState {
  const { store, namespace, replicas, clock, random, node, endpoint, liveness, observer, maxPayload } = options;
  // each part opens its bucket once, with a function made here, and keeps the bucket
  const opener = (kind: BucketKind) => () => store.open(bucketName(namespace, kind), { ...BUCKETS[kind], replicas });
  const bucket = opener("locks");
  const locks = new LockManager({ bucket, clock, random, node, endpoint, observer });
  const leaders = new LockManager({ bucket, clock, random, node, endpoint, observer, space: "lead" });
  const loads = new LockManager({ bucket, clock, random, node, endpoint, observer, space: "load" });
  const claims = new IdempotencyStore({
    ...{ bucket: opener("idempotency"), clock, random, endpoint, liveness, observer, maxPayload },
  });
  const cache = new SharedCache({ bucket: opener("cache"), locks: loads, clock, random, maxPayload });
  return {
    locks,
    leaders,
    claims,
    cache,
    async close() {
      cache.close();
      await Promise.all([locks.close(), loads.close(), claims.close()]);
    },
  };
}
