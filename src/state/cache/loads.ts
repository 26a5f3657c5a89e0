/** Loads of the cache: one at a time for a key in this node, shared by all who miss, and none that waits for its own end. */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Clock } from "../../ports/clock.ts";
import { CatgaError, isCatgaError } from "../../error.ts";

/** How long somebody waits for a load. */
export interface LoadPatience {
  /** In ms; for as long as it takes. */
  readonly timeout?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A load under way. */
export class Load {
  readonly key: string;
  /** Names it among all others, and those that wait for it because it was begun in them. */
  readonly asker: { readonly call: string; readonly ancestry: readonly string[] };
  /** Aborts when nobody waits for it any more: it goes on, and the next who misses begins another. */
  readonly forgotten: AbortController = new AbortController();
  /** The value as JSON. */
  value: Promise<string> | undefined = undefined;
  ended = false;
  waiting = 0;
  /** The loads that its function waits for. */
  readonly waitsFor: Set<Load> = new Set();

  constructor(key: string, call: string, within: Load | undefined) {
    this.key = key;
    const ancestry = within === undefined ? [] : [...within.asker.ancestry, within.asker.call];
    this.asker = { call, ancestry };
  }

  /** Whether it waits for another one, itself or through others. */
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
  /** In whose function the code runs. */
  readonly #inside: AsyncLocalStorage<Load> = new AsyncLocalStorage();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * What the load of a key gives: the one under way, or what `begin` begins under a new `name`. Rejects with `DEADLOCK` in
   * the function of a load that this one waits for, with `TIMEOUT`, and with the signal's reason (`CANCELLED` when that is no
   * `CatgaError`).
   */
  async value(
    key: string,
    patience: LoadPatience,
    name: () => string,
    begin: (load: Load) => Promise<string>,
  ): Promise<string> {
    const { signal } = patience;
    if (signal?.aborted) throw cancelled(key, signal);
    const running = this.#inside.getStore();
    const within = running?.ended === false ? running : undefined;
    let load = this.#byKey.get(key);
    if (load !== undefined && within !== undefined && load.awaits(within)) throw deadlock(key, within);
    if (load === undefined) this.#byKey.set(key, load = this.#begin(new Load(key, name(), within), begin));
    load.waiting++;
    within?.waitsFor.add(load);
    try {
      return await this.#wait(key, load.value!, patience);
    } finally {
      within?.waitsFor.delete(load);
      if (--load.waiting === 0 && !load.ended) {
        this.#delete(load);
        load.forgotten.abort();
      }
    }
  }

  /** Calls the function of a load, in which its own key cannot be waited for. */
  call<T>(load: Load, fn: () => T): T {
    return this.#inside.run(load, fn);
  }

  #begin(load: Load, begin: (load: Load) => Promise<string>): Load {
    load.value = begin(load).finally(() => {
      load.ended = true;
      this.#delete(load);
    });
    load.value.catch(() => {}); // whoever waits for it has it; there may be nobody any more
    return load;
  }

  #delete(load: Load): void {
    if (this.#byKey.get(load.key) === load) this.#byKey.delete(load.key);
  }

  #wait(key: string, value: Promise<string>, { timeout = Infinity, signal }: LoadPatience): Promise<string> {
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

/** What a message was given up for says more than that its handler waited here. */
function cancelled(key: string, { reason }: AbortSignal): CatgaError {
  if (isCatgaError(reason)) return reason;
  const message = `cache.getOrSet: the caller gave up waiting for the load of ${quote(key)}`;
  return new CatgaError("CANCELLED", message, { details: { key }, cause: reason });
}

function quote(key: string): string {
  return JSON.stringify(key.length > 80 ? `${key.slice(0, 80)}…` : key);
}
