/**
 * The shared state of a node: locks, leadership, claims of idempotent commands, and the cache, each in a bucket that
 * is opened on first use.
 */
import { type BucketKind, bucketName, BUCKETS, type KeyValueStore } from "../ports/key_value_store.ts";
import type { Liveness, SharedState } from "../dispatch/context_host.ts";
import { SharedCache } from "./cache/cache.ts";
import { IdempotencyStore } from "./claims/idempotency_store.ts";
import { Leadership } from "./leadership.ts";
import { LockManager, type LockManagerOptions } from "./locks/lock_manager.ts";

/** Options of {@link sharedState}. */
export interface StateOptions extends Omit<LockManagerOptions, "bucket" | "space"> {
  readonly store: KeyValueStore;
  readonly namespace: string;
  /** Number of servers that keep a copy of each bucket. */
  readonly replicas: number;
  readonly liveness: Liveness;
  /** Returns the maximum size of a message of the store, in bytes. */
  maxPayload(): number;
}

/** Makes the shared state of one node. Opens no bucket yet. */
export function sharedState(options: StateOptions): SharedState {
  const { store, namespace, replicas, clock, random, node, endpoint, liveness, observer, maxPayload } = options;
  // each part opens its bucket with such a function, once, and keeps it
  const opener = (kind: BucketKind) => () => store.open(bucketName(namespace, kind), { ...BUCKETS[kind], replicas });
  const bucket = opener("locks");
  const locks = new LockManager({ bucket, clock, random, node, endpoint, observer });
  const leaders = new LockManager({ bucket, clock, random, node, endpoint, observer, space: "lead" });
  const loads = new LockManager({ bucket, clock, random, node, endpoint, observer, space: "load" });
  const leadership = new Leadership({ locks: leaders, clock, endpoint, observer });
  const claims = new IdempotencyStore({ bucket: opener("idempotency"), clock, random, endpoint, liveness, observer });
  const cache = new SharedCache({ bucket: opener("cache"), locks: loads, clock, random, maxPayload });
  return {
    locks,
    claims,
    cache,
    get holdings() {
      return { leads: leadership.leads, locks: locks.held, cycles: locks.cycles };
    },
    lead: (name, fn, leadOptions) => leadership.lead(name, fn, leadOptions),
    abdicate: () => leadership.close(),
    async close() {
      cache.close();
      // closed only after the leadership: a leader's function that does not end delays these locks, and no others
      const led = leadership.close().then(() => leaders.close());
      await Promise.all([led, locks.close(), loads.close(), claims.close()]);
    },
  };
}
