/** Harness for the tests of locks: nodes on one key-value store, which counts the writes of each node. */
import { assertLess } from "@std/assert";
import { type Clock, systemClock, systemRandom } from "../../ports/clock.ts";
import type { Bucket, Entry, KeyValueStore } from "../../ports/key_value_store.ts";
import { MemoryNetwork, type MemoryNetworkOptions } from "../../memory/network.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { startKeyValueHarness } from "../../nats/harness_suite.ts";
import type { Observation } from "../../contract/nodes/observer.ts";
import type { Lock } from "../../contract/calls/shared_state.ts";
import type { Asker } from "../../dispatch/context_host.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { LockManager } from "./lock_manager.ts";

/** The writes that a node has sent to the bucket, counted and listed. */
export interface Writes {
  /** Number of writes that changed the bucket. */
  made: number;
  /** Number of writes that changed nothing, because another write of the key came first. */
  lost: number;
  readonly log: string[];
}

/** A node that takes locks, and its writes. */
export interface LockNode {
  readonly name: string;
  readonly locks: LockManager;
  readonly writes: Writes;
  readonly observed: Observation[];
}

/** Makes nodes on one key-value store, and lets time pass for them. */
export interface LockHarness extends AsyncDisposable {
  readonly clock: Clock;
  /** Adds a node to the store. */
  node(name: string, options?: { bucket?: string; space?: string }): Promise<LockNode>;
  /** Lets time pass until the work settles, and settles as the work does. */
  run<T>(work: PromiseLike<T>): Promise<T>;
  /** Lets `ms` milliseconds pass. */
  pass(ms: number): Promise<void>;
  /** Lets time pass until `ask` answers with a truthy value, and returns that value. */
  until<T>(what: string, ask: () => T | Promise<T>, limit?: number): Promise<T>;
  /** Opens the bucket of the locks, without counting writes. */
  bucket(name?: string): Promise<Bucket>;
}

/** A lock harness on virtual time; `network` cuts off and freezes nodes by their names. */
export interface MemoryLockHarness extends LockHarness {
  readonly clock: VirtualClock;
  readonly network: MemoryNetwork;
}

/** Makes a lock harness on a network in memory. */
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

/** Makes a lock harness on a real nats-server. */
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

/** Makes a node that keeps its locks in the given store. */
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

/** Makes a node wait for the lock "key", and resolves when its place in the queue is written. */
export async function waitInQueue(h: MemoryLockHarness, node: LockNode, ttl = 5_000): Promise<{ lock: Promise<Lock> }> {
  const lock = node.locks.lock("key", { ttl, timeout: Infinity }, someone());
  lock.catch(() => {});
  await h.pass(50);
  return { lock };
}

/** Makes the identity of a run of a handler; `ancestry`: the runs that wait for the run's end. */
export function asker(call: string, ...ancestry: string[]): Asker {
  return { call, ancestry };
}

/** Makes the identity of a new run at every call. */
export function someone(): Asker {
  return asker(`someone ${++people}`);
}

let people = 0;

/** Returns the records of locks that are in the store. */
export async function records(harness: LockHarness): Promise<Entry[]> {
  return await harness.run((await harness.bucket()).entries(""));
}

/** Name of the bucket in which the nodes of a lock harness keep their locks. */
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
    size: bucket.size,
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
 * Asserts on virtual time that no more than `ms` milliseconds have passed since `begin`. On a real server it asserts
 * nothing, because there the machine decides how long a lock takes.
 */
export function assertWithin({ clock }: Pick<LockHarness, "clock">, ms: number, begin: number): void {
  if (clock !== systemClock) assertLess(clock.monotonic() - begin, ms);
}
