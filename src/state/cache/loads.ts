/**
 * The running loads of a node's cache: one at a time for each key, shared by all callers that miss the key. A load
 * that would wait for itself is rejected. `cache.ts` has one node load at a time (`once`).
 * @decides which caller of a node loads a missing value of the cache, and who shares that load
 */
import { awaitedBy } from "../../data/async_context.ts";
import { show } from "../../data/checks.ts";
import { CatgaError, isCatgaError } from "../../error.ts";
import { type Clock, onAbort } from "../../ports/clock.ts";

/** Limits of a caller's wait for a load. */
interface LoadLimits {
  /** Time for which the caller waits, in ms; absent: as long as the load takes. */
  readonly timeout?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A running load of one key's value. */
export class Load {
  readonly key: string;
  /**
   * Identity of this load for the locks: its own name, and the names of the loads that wait for it, because their
   * functions have begun it.
   */
  readonly asker: { readonly call: string; readonly ancestry: readonly string[] };
  /**
   * Aborts when no caller waits for the load any more. The load's function goes on; the next caller that misses
   * begins another load.
   */
  readonly abandoned: AbortController = new AbortController();
  /** The loaded value as JSON. */
  value: Promise<string> | undefined = undefined;
  /** The write of the loaded value to the store; `undefined` until the value is known. */
  writing: Promise<unknown> | undefined = undefined;
  /** True if the key was deleted while the load's function ran: the loaded value may be older than the deletion. */
  superseded = false;
  ended = false;
  /** Number of callers that wait for the load. */
  waiting = 0;
  /** Loads whose result the function of this load awaits. */
  readonly waitsFor: Set<Load> = new Set();

  constructor(key: string, call: string, within: Load | undefined) {
    this.key = key;
    const ancestry = within === undefined ? [] : [...within.asker.ancestry, within.asker.call];
    this.asker = { call, ancestry };
  }

  /** Returns true if this load is `other`, or waits for it, directly or through further loads. */
  awaits(other: Load): boolean {
    if (this === other) return true;
    for (const next of this.waitsFor) if (next.awaits(other)) return true;
    return false;
  }
}

/** Starts the loads of missing cache values in one node; callers that miss the same key share one load. */
export class Loads {
  readonly #clock: Clock;
  readonly #byKey: Map<string, Load> = new Map();
  /** Reads of keys that are under way, together for each key. */
  readonly #reads: Map<string, Reads> = new Map();
  /** Loads whose functions have begun and not ended. */
  readonly #running: Set<Load> = new Set();
  /** Functions that reject the callers waiting for loads. */
  readonly #waits: Set<(why: CatgaError) => void> = new Set();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Rejects all callers that wait for a load. */
  close(why: CatgaError): void {
    for (const reject of this.#waits) reject(why);
  }

  /**
   * Reads an entry, and reads it again with `latest` if there was none and a load of the key has ended meanwhile: the
   * first read may be from before the write of the loaded value.
   */
  async read<T>(key: string, read: (latest: boolean) => Promise<T | undefined>): Promise<T | undefined> {
    let reads = this.#reads.get(key);
    if (reads === undefined) this.#reads.set(key, reads = { count: 0, aLoadEnded: false });
    reads.count++;
    try {
      const found = await read(false);
      if (found !== undefined || !reads.aLoadEnded) return found;
    } finally {
      if (--reads.count === 0 && this.#reads.get(key) === reads) this.#reads.delete(key);
    }
    return await read(true);
  }

  /**
   * Returns the value of a key's load: of the running load, else of a new one, which `begin` starts under a new `name`.
   * Rejects with `DEADLOCK` if the caller is the function of a load that would then wait for itself; with `TIMEOUT`
   * when the wait is longer than `limits` allow; and with the signal's reason, or `CANCELLED` if the reason is no
   * `CatgaError`.
   */
  async value(
    key: string,
    limits: LoadLimits,
    name: () => string,
    begin: (load: Load) => Promise<string>,
  ): Promise<string> {
    const { signal } = limits;
    if (signal?.aborted) throw cancelled(key, signal);
    const running = awaitedBy.getStore();
    const within = running instanceof Load && !running.ended ? running : undefined;
    let load = this.#byKey.get(key);
    if (load !== undefined && within !== undefined && load.awaits(within)) throw deadlock(key, within);
    if (load === undefined) this.#byKey.set(key, load = this.#begin(new Load(key, name(), within), begin));
    load.waiting++;
    within?.waitsFor.add(load);
    try {
      return await this.#wait(key, load.value!, limits);
    } finally {
      within?.waitsFor.delete(load);
      if (--load.waiting === 0 && !load.ended) {
        this.#delete(load);
        load.abandoned.abort();
      }
    }
  }

  /**
   * Calls the function of a load in the load's async context, so that {@link Loads.value} detects a call from within
   * this function that would wait for the load itself.
   */
  call<T>(load: Load, fn: () => T): T {
    this.#running.add(load);
    return awaitedBy.run(load, fn);
  }

  /**
   * Keeps the values of all running loads of this key out of the store. Callers that ask for the key after this call do
   * not get these values either. Resolves when no such value is being written any more. Call before the key is deleted.
   */
  async supersede(key: string): Promise<void> {
    const loads = [...this.#running].filter((load) => load.key === key);
    for (const load of loads) {
      load.superseded = true;
      this.#delete(load);
      load.abandoned.abort(); // the abort releases the load's lock
    }
    // deletion of the key has to come after the writes of loaded values, so wait for them
    await Promise.allSettled(loads.map(({ writing }) => writing));
  }

  #begin(load: Load, begin: (load: Load) => Promise<string>): Load {
    load.value = begin(load).finally(() => {
      load.ended = true;
      const reads = this.#reads.get(load.key);
      if (reads !== undefined) reads.aLoadEnded = true;
      this.#reads.delete(load.key);
      this.#running.delete(load);
      this.#delete(load);
    });
    // a rejection is handled here, because a load may fail without a waiting caller; waiting callers get the failure
    load.value.catch(() => {});
    return load;
  }

  #delete(load: Load): void {
    if (this.#byKey.get(load.key) === load) this.#byKey.delete(load.key);
  }

  #wait(key: string, value: Promise<string>, { timeout = Infinity, signal }: LoadLimits): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#waits.add(reject);
      const off = onAbort(signal, () => reject(cancelled(key, signal!)));
      const timer = timeout === Infinity ? undefined : this.#clock.after(timeout, () => reject(timedOut(key, timeout)));
      value.then(resolve, reject).finally(() => {
        timer?.cancel();
        off();
        this.#waits.delete(reject);
      });
    });
  }
}

function deadlock(key: string, within: Load): CatgaError {
  const why = within.key === key
    ? "its own load waits for it"
    : `the load of ${show(within.key)}, which it waits for, waits for it`;
  return new CatgaError("DEADLOCK", `cache.getOrSet: waiting for ${show(key)} would never end: ${why}`, {
    details: { key },
  });
}

function timedOut(key: string, waited: number): CatgaError {
  const message = `cache.getOrSet: the load of ${show(key)} did not end within ${waited} ms`;
  return new CatgaError("TIMEOUT", message, { retryable: true, details: { key, waited } });
}

/** Makes the error for a caller whose signal was aborted: the signal's reason, if it is a `CatgaError`. */
function cancelled(key: string, { reason }: AbortSignal): CatgaError {
  if (isCatgaError(reason)) return reason;
  const message = `cache.getOrSet: the caller gave up waiting for the load of ${show(key)}`;
  return new CatgaError("CANCELLED", message, { details: { key }, cause: reason });
}

/** Reads of one key that began after the last load of it had ended. */
interface Reads {
  /** How many of them are under way. */
  count: number;
  /** True once a load of the key has ended since they began. */
  aLoadEnded: boolean;
}
