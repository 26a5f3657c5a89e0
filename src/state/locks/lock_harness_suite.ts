/** What the tests of locks share: nodes on one store, whose writes are counted. */
import { assertLess } from "@std/assert";
import { type Clock, systemClock, systemRandom } from "../../ports/clock.ts";
import type { Bucket, Entry, KeyValueStore } from "../../ports/key_value_store.ts";
import { MemoryNetwork, type MemoryNetworkOptions } from "../../memory/network.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { startKeyValueHarness } from "../../nats/harness_suite.ts";
import type { Observation } from "../../contract/observer.ts";
import type { Lock } from "../../contract/shared_state.ts";
import type { Asker } from "../../dispatch/context_host.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { LockManager } from "./lock_manager.ts";

/** The writes of a node to the bucket. */
export interface Writes {
  /** Writes that were made. */
  made: number;
  /** Writes that lost a race. */
  lost: number;
  readonly log: string[];
}

/** A node that takes locks. */
export interface LockNode {
  readonly name: string;
  readonly locks: LockManager;
  readonly writes: Writes;
  readonly observed: Observation[];
}

/** Nodes on a store. */
export interface LockHarness extends AsyncDisposable {
  readonly clock: Clock;
  /** Adds a node. */
  node(name: string, options?: { bucket?: string; space?: string }): Promise<LockNode>;
  /** Settles as the work does, letting time pass until then. */
  run<T>(work: PromiseLike<T>): Promise<T>;
  /** Lets so many ms pass. */
  pass(ms: number): Promise<void>;
  /** Lets time pass until the answer is truthy. */
  until<T>(what: string, ask: () => T | Promise<T>, limit?: number): Promise<T>;
  /** The bucket itself. */
  bucket(name?: string): Promise<Bucket>;
}

/** On virtual time; with the network, to cut and freeze nodes by name. */
export interface MemoryLockHarness extends LockHarness {
  readonly clock: VirtualClock;
  readonly network: MemoryNetwork;
}

/** Nodes on a network in memory. */
export function memoryLockHarness(options: MemoryNetworkOptions = {}): MemoryLockHarness {
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock, seed: 7, ...options });
  const nodes: LockNode[] = [];
  return {
    clock,
    network,
    node(name, { bucket = BUCKET, space } = {}) {
      const connection = network.connect({ name });
      const node = lockNode(name, connection.store, connection.clock, network.random, bucket, space);
      nodes.push(node);
      return Promise.resolve(node);
    },
    run: (work) => clock.until(Promise.resolve(work), 1_000_000),
    pass: (ms) => clock.advance(ms),
    async until(what, ask, limit = 60_000) {
      for (let passed = 0; passed <= limit; passed += 10) {
        const answer = await ask();
        if (answer) return answer;
        await clock.advance(10);
      }
      throw new Error(`waited ${limit} ms in vain for ${what}`);
    },
    bucket: (name = BUCKET) => clock.until(network.store.open(name)),
    async [Symbol.asyncDispose]() {
      network.heal();
      await clock.until(Promise.all(nodes.map((node) => node.locks.close())));
    },
  };
}

/** Nodes on a nats-server. */
export async function natsLockHarness(): Promise<LockHarness> {
  const harness = await startKeyValueHarness();
  const nodes: LockNode[] = [];
  return {
    clock: systemClock,
    async node(name, { bucket = BUCKET, space } = {}) {
      const node = lockNode(name, await harness.store(), systemClock, systemRandom(), bucket, space);
      nodes.push(node);
      return node;
    },
    run: (work) => Promise.resolve(work),
    pass: (ms) => harness.pass(ms),
    until: (what, ask, limit) => eventually(what, ask, limit),
    bucket: async (name = BUCKET) => (await harness.store()).open(name),
    async [Symbol.asyncDispose]() {
      await Promise.all(nodes.map((node) => node.locks.close()));
      await harness[Symbol.asyncDispose]();
    },
  };
}

/** A node on a store of its own. */
export function lockNode(
  name: string,
  store: KeyValueStore,
  clock: Clock,
  random: () => number,
  bucket = BUCKET,
  space?: string,
): LockNode {
  const writes: Writes = { made: 0, lost: 0, log: [] };
  const observed: Observation[] = [];
  const locks = new LockManager({
    bucket: async () => counting(await store.open(bucket), writes),
    clock,
    random,
    node: name,
    endpoint: `${name}.0`,
    observer: (seen) => observed.push(seen),
    ...(space === undefined ? {} : { space }),
  });
  return { name, locks, writes, observed };
}

/** Starts to wait for the lock "key", and resolves when the place in the queue is written. */
export async function waitInQueue(h: MemoryLockHarness, node: LockNode, ttl = 5_000): Promise<{ lock: Promise<Lock> }> {
  const lock = node.locks.lock("key", { ttl, timeout: Infinity }, someone());
  lock.catch(() => {});
  await h.pass(50);
  return { lock };
}

/** A run of a handler, and the runs that wait for it. */
export function asker(call: string, ...ancestry: string[]): Asker {
  return { call, ancestry };
}

/** A new run each time. */
export function someone(): Asker {
  return asker(`someone ${++people}`);
}

let people = 0;

/** The records of locks in the store. */
export async function records(harness: LockHarness): Promise<Entry[]> {
  return await harness.run((await harness.bucket()).entries(""));
}

/** Where the nodes of a harness keep their locks. */
export const BUCKET = "catga_test_locks";

function counting(bucket: Bucket, writes: Writes): Bucket {
  const count = async <T>(what: string, write: Promise<T>): Promise<T> => {
    const done = await write;
    const made = done !== undefined && done !== false;
    writes[made ? "made" : "lost"]++;
    writes.log.push(made ? what : `${what}, too late`);
    return done;
  };
  return {
    name: bucket.name,
    get: (key) => bucket.get(key),
    create: (key, value, options) => count(`create ${key}`, bucket.create(key, value, options)),
    update: (key, value, revision, options) => count(`update ${key}`, bucket.update(key, value, revision, options)),
    put: (key, value, options) => count(`put ${key}`, bucket.put(key, value, options)),
    delete: (key, options) => count(`delete ${key}`, bucket.delete(key, options)),
    entries: (prefix) => bucket.entries(prefix),
    watch: (prefix, onChange, options) => bucket.watch(prefix, onChange, options),
  };
}

/**
 * On virtual time: no more than so many ms have passed since `begin`. How long a real server takes says nothing of a
 * lock.
 */
export function assertWithin({ clock }: Pick<LockHarness, "clock">, ms: number, begin: number): void {
  if (clock !== systemClock) assertLess(clock.monotonic() - begin, ms);
}
