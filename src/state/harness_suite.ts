/** Harness for the test suites of src/state: a key-value store that several nodes share, in memory or on NATS. */
import { type Clock, delay, type Random, systemClock, systemRandom } from "../ports/clock.ts";
import type { Bucket, BucketOptions } from "../ports/key_value_store.ts";
import { MemoryNetwork } from "../memory/network.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { startKeyValueHarness } from "../nats/harness_suite.ts";

/** What the parts of a node's shared state need: clock, random source, buckets. */
export interface StateNode {
  readonly clock: Clock;
  readonly random: Random;
  /** Opens a bucket; all nodes that open its name share the bucket. */
  open(bucket: string, options?: BucketOptions): Promise<Bucket>;
}

/** Makes nodes on one key-value store. */
export interface StateHarness extends AsyncDisposable {
  node(): Promise<StateNode>;
  /** Waits for `ms` milliseconds, in virtual or real time. */
  pass(ms: number): Promise<void>;
  /** Waits until the promise has settled, in virtual or real time. */
  until<T>(promise: Promise<T>): Promise<T>;
}

export function memoryHarness(): Promise<StateHarness> {
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock, seed: 1 });
  return Promise.resolve({
    node() {
      const connection = network.connect();
      return Promise.resolve({
        clock: connection.clock,
        random: network.random,
        open: (bucket: string, options?: BucketOptions) => connection.store.open(bucket, options),
      });
    },
    pass: (ms) => clock.advance(ms),
    until: (promise) => clock.until(promise),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
}

export async function natsHarness(): Promise<StateHarness> {
  const harness = await startKeyValueHarness();
  return {
    async node() {
      const store = await harness.store();
      return {
        clock: systemClock,
        random: systemRandom(),
        open: (bucket: string, options?: BucketOptions) => store.open(bucket, options),
      };
    },
    pass: (ms) => delay(systemClock, ms),
    async until(promise) {
      const limit = new AbortController();
      const late = delay(systemClock, 240_000, limit.signal).then(() => {
        throw new Error("the promise has not settled within 4 minutes");
      });
      return await Promise.race([promise, late]).finally(() => {
        late.catch(() => {});
        limit.abort();
      });
    },
    [Symbol.asyncDispose]: () => harness[Symbol.asyncDispose](),
  };
}
