/**
 * Leadership: a lock that a node keeps until its function ends, until it resigns, or until it dies. One node at a
 * time runs the leader's function; the others wait in the lock's queue.
 */
import { delay, onAbort, type Timer } from "../ports/clock.ts";
import { CatgaError, isCatgaError } from "../error.ts";
import { ttlSeconds } from "../ports/key_value_store.ts";
import { LOCK_TTL } from "../contract/declaration/defaults.ts";
import { checkKnown, show } from "../data/checks.ts";
import type { MaybePromise } from "../contract/schemas/schema.ts";
import type { LeadOptions, Lock, Term } from "../contract/calls/shared_state.ts";
import type { Locks } from "../dispatch/context_host.ts";
import type { LockManagerOptions } from "./locks/lock_manager.ts";
import { LockKeys } from "./locks/lock_record.ts";

/**
 * Options of a {@link Leadership}. `endpoint` makes the names of this node's terms (calls of `lead`) unique among all
 * nodes; `observer` is called with errors of `fn` and failures of the store.
 */
export interface LeadershipOptions extends Pick<LockManagerOptions, "clock" | "endpoint" | "observer"> {
  /** Locks of leaderships, kept apart from other locks; the names of leaderships are their keys. */
  readonly locks: Locks;
}

/**
 * The function that the leader runs. `signal` aborts when the node stops leading; the function should then end soon.
 */
export type Lead = (signal: AbortSignal) => MaybePromise<unknown>;

/**
 * The leaderships in which one node takes part: the node leads them, or waits for its turn.
 * @decides who is the leader of `lead`
 */
export class Leadership {
  readonly #options: LeadershipOptions;
  readonly #terms = new Set<LeaderTerm>();
  #closed = false;
  #count = 0;

  constructor(options: LeadershipOptions) {
    this.#options = options;
  }

  /**
   * Runs `fn` whenever this node leads `name`. When `fn` has ended (it returned, threw, or was aborted with `LOCK_LOST`
   * because the lock was lost), the next node of the queue leads, and this node queues again a second later, behind the
   * others. Errors of `fn` go to the observer. Throws a `TypeError` or `RangeError` for an invalid name or invalid
   * options.
   */
  lead(name: string, fn: Lead, options: LeadOptions = {}): Term {
    checkKnown("lead", options, OPTIONS);
    const { ttl = LOCK_TTL } = options;
    if (typeof name !== "string") throw new TypeError(`what is led has a name, a string; got ${show(name)}`);
    KEYS.check(name);
    if (typeof fn !== "function") throw new TypeError(`lead ${name} needs a function to run; got ${show(fn)}`);
    ttlSeconds(ttl, `lead ${name}: ttl`);
    if (this.#closed) throw closed(name);
    const call = `${this.#options.endpoint}/lead/${++this.#count}`;
    const term = new LeaderTerm(this.#options, { name, fn, ttl, call, ended: () => void this.#terms.delete(term) });
    this.#terms.add(term);
    return term;
  }

  /** Names of the leaderships that this node holds now. */
  get leads(): readonly string[] {
    return [...this.#terms].filter(({ leading }) => leading).map(({ name }) => name);
  }

  /** Ends all terms of this node, so that other nodes lead. Call before the locks are closed. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#terms].map((term) => term.resign()));
  }
}

/** Name of a leadership, and the function that this node runs as its leader. */
interface Candidacy {
  readonly name: string;
  readonly fn: Lead;
  readonly ttl: number;
  /** Id under which this term (call of `lead`) waits for its lock and holds it. */
  readonly call: string;
  ended(): void;
}

class LeaderTerm implements Term {
  readonly #options: LeadershipOptions;
  readonly #candidacy: Candidacy;
  readonly #end = new AbortController();
  readonly #over: Promise<void>;
  #leading: AbortSignal | undefined;

  constructor(options: LeadershipOptions, candidacy: Candidacy) {
    this.#options = options;
    this.#candidacy = candidacy;
    this.#over = this.#stand().finally(() => candidacy.ended());
  }

  /** Name of the leadership. */
  get name(): string {
    return this.#candidacy.name;
  }

  get leading(): boolean {
    return this.#leading?.aborted === false;
  }

  resign(): Promise<void> {
    this.#end.abort(closed(this.#candidacy.name));
    return this.#over;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.resign();
  }

  /**
   * Waits for the lock and runs the leader's function, again and again, until the node resigns or stops. Never rejects.
   */
  async #stand(): Promise<void> {
    const { clock, locks } = this.#options;
    const { name, ttl, call } = this.#candidacy;
    const { signal } = this.#end;
    while (!signal.aborted) {
      try {
        const lock = await locks.lock(name, { ttl, timeout: Infinity, signal }, { call, ancestry: [] });
        try {
          await this.#run(lock);
        } finally {
          await lock.release();
        }
      } catch (error) {
        if (isCatgaError(error) && error.code === "CLOSED") return;
        if (!signal.aborted) this.#observe(error);
      }
      await delay(clock, RETRY_PAUSE, signal).catch(() => {});
    }
  }

  /**
   * Runs `fn`. Resolves when `fn` has ended; or, if this node ends its candidacy (a term, the result of `lead`), at
   * most one `ttl` of the lock (in ms) after that. Reports an `fn` that still runs one `ttl` after its signal has
   * aborted.
   */
  async #run(lock: Lock): Promise<void> {
    const { clock } = this.#options;
    const { ttl } = this.#candidacy;
    const signal = AbortSignal.any([lock.signal, this.#end.signal]);
    if (signal.aborted) return;
    const { promise: tooLong, resolve } = Promise.withResolvers<void>();
    let patience: Timer | undefined;
    const offEnd = onAbort(this.#end.signal, () => patience = clock.after(ttl, resolve, { background: true }));
    let late: Timer | undefined;
    const offLate = onAbort(signal, () => {
      const message = `the function has not ended, ${ttl} ms after its signal aborted: another node may lead`;
      late = clock.after(ttl, () => this.#observe(new CatgaError("TIMEOUT", message)), { background: true });
    });
    this.#leading = signal;
    const ended = this.#call(signal).finally(() => {
      offLate();
      late?.cancel();
    });
    try {
      await Promise.race([ended, tooLong]);
    } finally {
      this.#leading = undefined;
      offEnd();
      patience?.cancel();
    }
  }

  async #call(signal: AbortSignal): Promise<void> {
    try {
      await this.#candidacy.fn(signal);
    } catch (error) {
      // nothing is reported for a function that throws the reason of its signal: it has ended as it should
      if (!signal.aborted || error !== signal.reason) this.#observe(error);
    }
  }

  #observe(error: unknown): void {
    this.#options.observer({ type: "fault", during: `leading ${JSON.stringify(this.#candidacy.name)}`, error });
  }
}

function closed(name: string): CatgaError {
  return new CatgaError("CLOSED", `this node does not stand for the leadership of ${JSON.stringify(name)} any more`);
}

const OPTIONS: ReadonlySet<string> = new Set<keyof LeadOptions>(["ttl"]);
const KEYS = new LockKeys();
const RETRY_PAUSE = 1_000; // ms
