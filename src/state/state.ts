/** What one node shares with the others, wired: locks, leadership, claims and the cache, on buckets made on first use. */
import { type BucketKind, bucketName, BUCKETS } from "../ports/buckets.ts";
import type { Clock, Random } from "../ports/clock.ts";
import type { KeyValueStore } from "../ports/key_value_store.ts";
import type { Observer } from "../contract/observer.ts";
import type { Liveness, SharedState } from "../dispatch/shared_state.ts";
import { SharedCache } from "./cache/cache.ts";
import { IdempotencyStore } from "./claims/idempotency_store.ts";
import { Leadership } from "./leadership.ts";
import { LockManager } from "./locks/lock_manager.ts";

/** What it is made of. */
export interface StateOptions {
  readonly store: KeyValueStore;
  readonly namespace: string;
  /** On how many servers the buckets are kept. */
  readonly replicas: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly node: string;
  readonly endpoint: string;
  readonly liveness: Liveness;
  readonly observer: Observer;
}

/** Makes it; nothing is opened yet. */
export function sharedState(options: StateOptions): SharedState {
  const { store, namespace, replicas, clock, random, node, endpoint, liveness, observer } = options;
  // each of them keeps what it has opened
  const opener = (kind: BucketKind) => () => store.open(bucketName(namespace, kind), { ...BUCKETS[kind], replicas });
  const bucket = opener("locks");
  const locks = new LockManager({ bucket, clock, random, node, endpoint, observer });
  const leaders = new LockManager({ bucket, clock, random, node, endpoint, observer, space: "lead" });
  const loads = new LockManager({ bucket, clock, random, node, endpoint, observer, space: "load" });
  const leadership = new Leadership({ locks: leaders, clock, endpoint, observer });
  const claims = new IdempotencyStore({ bucket: opener("idempotency"), clock, random, endpoint, liveness, observer });
  const cache = new SharedCache({ bucket: opener("cache"), locks: loads, clock, random });
  return {
    locks,
    claims,
    cache,
    lead: (name, fn, leadOptions) => leadership.lead(name, fn, leadOptions),
    abdicate: () => leadership.close(),
    async close() {
      // what leads and does not end holds up its own lock, and no other
      const led = leadership.close().then(() => leaders.close());
      await Promise.all([led, locks.close(), loads.close(), claims.close()]);
    },
  };
}
