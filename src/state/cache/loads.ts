/** The loads of a node's cache: one at a time for each key, shared by all callers that miss; none waits for itself. */
import { awaitedBy } from "../../data/async_context.ts";
import { show } from "../../data/checks.ts";
import { CatgaError, isCatgaError } from "../../error.ts";
import { type Clock, onAbort } from "../../ports/clock.ts";

/** How long a caller waits for a load. */
interface LoadLimits {
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
  /** The write of its value, once that is known. */
  writing: Promise<unknown> | undefined = undefined;
  /** The key was deleted while its function ran: its value may be older than that. */
  superseded = false;
  ended = false;
  /** Number of callers that wait for it. */
  waiting = 0;
  /** Loads that its function waits for. */
  readonly waitsFor: Set<Load> = new Set();

  constructor(key: string, call: string, within: Load | undefined) {
    this.key = key;
    const ancestry = within === undefined ? [] : [...within.asker.ancestry, within.asker.call];
    this.asker = { call, ancestry };
  }

  /** Returns true if it is the other one, or waits for it, directly or through further loads. */
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
  /** Loads whose functions have begun. */
  readonly #running: Set<Load> = new Set();
  /** Rejects callers that wait. */
  readonly #waits: Set<(why: CatgaError) => void> = new Set();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Nobody waits for a load any more. */
  close(why: CatgaError): void {
    for (const reject of this.#waits) reject(why);
  }

  /**
   * The result of the load of a key: of the one under way, else of a new one, which `begin` begins under a new `name`.
   * Rejects with `DEADLOCK` in the function of a load that would wait for itself, with `TIMEOUT`, and with the signal's
   * reason, or `CANCELLED` if that is not a `CatgaError`.
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

  /** Calls the function of a load: `value` finds out there that it would wait for itself. */
  call<T>(load: Load, fn: () => T): T {
    this.#running.add(load);
    return awaitedBy.run(load, fn);
  }

  /** The key is about to be deleted: callers from now on get no value of a load that runs, and none is written. */
  async supersede(key: string): Promise<void> {
    const loads = [...this.#running].filter((load) => load.key === key);
    for (const load of loads) {
      load.superseded = true;
      this.#delete(load);
      load.abandoned.abort(); // releases its lock
    }
    // the deletion must not overtake them
    await Promise.allSettled(loads.map(({ writing }) => writing));
  }

  #begin(load: Load, begin: (load: Load) => Promise<string>): Load {
    load.value = begin(load).finally(() => {
      load.ended = true;
      this.#running.delete(load);
      this.#delete(load);
    });
    load.value.catch(() => {}); // callers that wait get the failure; there may be none
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

/** The signal's own `CatgaError`, if it has one: it says why the message was given up. */
function cancelled(key: string, { reason }: AbortSignal): CatgaError {
  if (isCatgaError(reason)) return reason;
  const message = `cache.getOrSet: the caller gave up waiting for the load of ${show(key)}`;
  return new CatgaError("CANCELLED", message, { details: { key }, cause: reason });
}
