/** The loads of a node's cache: one at a time for each key, shared by all callers that miss; none can wait for itself. */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Clock } from "../../ports/clock.ts";
import { CatgaError, isCatgaError } from "../../error.ts";

/** How long a caller waits for a load. */
export interface LoadLimits {
  /** In ms; absent: as long as the load takes. */
  readonly timeout?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A load under way. */
export class Load {
  readonly key: string;
  /** Identifies it to the locks, with the loads that it was begun in: those wait for it. */
  readonly asker: { readonly call: string; readonly ancestry: readonly string[] };
  /** Aborts when no caller waits for it any more. It goes on; the next caller that misses begins another. */
  readonly abandoned: AbortController = new AbortController();
  /** The value as JSON. */
  value: Promise<string> | undefined = undefined;
  ended = false;
  /** How many callers wait for it. */
  waiting = 0;
  /** Loads that its function waits for. */
  readonly waitsFor: Set<Load> = new Set();

  constructor(key: string, call: string, within: Load | undefined) {
    this.key = key;
    const ancestry = within === undefined ? [] : [...within.asker.ancestry, within.asker.call];
    this.asker = { call, ancestry };
  }

  /** Whether it is the other one, or waits for it, directly or through further loads. */
  awaits(other: Load): boolean {
    if (this === other) return true;
    for (const next of this.waitsFor) if (next.awaits(other)) return true;
    return false;
  }
}

/** The loads of one node. */
export class Loads {
  readonly #clock: Clock;
  readonly #byKey: Map<string, Load> = new Map();
  /** The load whose function is running. */
  readonly #current: AsyncLocalStorage<Load> = new AsyncLocalStorage();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * The result of the load of a key: of the one under way, else of a new one, which `begin` begins under a new `name`. Rejects
   * with `DEADLOCK` in the function of a load that would wait for itself, with `TIMEOUT`, and with the signal's reason, or
   * `CANCELLED` if that is not a `CatgaError`.
   */
  async value(
    key: string,
    limits: LoadLimits,
    name: () => string,
    begin: (load: Load) => Promise<string>,
  ): Promise<string> {
    const { signal } = limits;
    if (signal?.aborted) throw cancelled(key, signal);
    const running = this.#current.getStore();
    const within = running?.ended === false ? running : undefined;
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

  /** Calls the function of a load: `value` finds out there that it would wait for itself. */
  call<T>(load: Load, fn: () => T): T {
    return this.#current.run(load, fn);
  }

  #begin(load: Load, begin: (load: Load) => Promise<string>): Load {
    load.value = begin(load).finally(() => {
      load.ended = true;
      this.#delete(load);
    });
    load.value.catch(() => {}); // callers that wait get the failure; there may be none
    return load;
  }

  #delete(load: Load): void {
    if (this.#byKey.get(load.key) === load) this.#byKey.delete(load.key);
  }

  #wait(key: string, value: Promise<string>, { timeout = Infinity, signal }: LoadLimits): Promise<string> {
    if (timeout === Infinity && signal === undefined) return value;
    return new Promise((resolve, reject) => {
      const onAbort = () => reject(cancelled(key, signal!));
      const timer = timeout === Infinity ? undefined : this.#clock.after(timeout, () => reject(timedOut(key, timeout)));
      signal?.addEventListener("abort", onAbort, { once: true });
      value.then(resolve, reject).finally(() => {
        timer?.cancel();
        signal?.removeEventListener("abort", onAbort);
      });
    });
  }
}

function deadlock(key: string, within: Load): CatgaError {
  const why = within.key === key
    ? "its own load waits for it"
    : `the load of ${quote(within.key)}, which it waits for, waits for it`;
  return new CatgaError("DEADLOCK", `cache.getOrSet: waiting for ${quote(key)} would never end: ${why}`, {
    details: { key },
  });
}

function timedOut(key: string, waited: number): CatgaError {
  const message = `cache.getOrSet: the load of ${quote(key)} did not end within ${waited} ms`;
  return new CatgaError("TIMEOUT", message, { retryable: true, details: { key, waited } });
}

/** The signal's own `CatgaError`, if it has one: it says why the message was given up. */
function cancelled(key: string, { reason }: AbortSignal): CatgaError {
  if (isCatgaError(reason)) return reason;
  const message = `cache.getOrSet: the caller gave up waiting for the load of ${quote(key)}`;
  return new CatgaError("CANCELLED", message, { details: { key }, cause: reason });
}

function quote(key: string): string {
  return JSON.stringify(key.length > 80 ? `${key.slice(0, 80)}…` : key);
}
