/**
 * Leadership: a lock that a node keeps for as long as it lives. One node at a time runs the leader's function; the others
 * wait in the lock's queue.
 */
import { type Clock, delay } from "../ports/clock.ts";
import { CatgaError, isCatgaError } from "../error.ts";
import { ttlSeconds } from "../ports/key_value_store.ts";
import type { Observer } from "../contract/observer.ts";
import { checkKnown, show } from "../contract/checks.ts";
import type { MaybePromise } from "../contract/schema.ts";
import type { LeadOptions, Lock, Term } from "../contract/shared_state.ts";
import type { Locks } from "../dispatch/shared_state.ts";
import { LockKeys } from "./locks/lock_record.ts";

/** What a {@link Leadership} is made of. */
export interface LeadershipOptions {
  /** Locks that are taken for nothing else: names are their keys. */
  readonly locks: Locks;
  readonly clock: Clock;
  /** This process: no other may wait under its name. */
  readonly endpoint: string;
  /** Told of what `fn` throws, and of a store that fails. */
  readonly observer: Observer;
}

/** What one leads for; `signal` aborts when it leads no longer, and it should end soon then. */
export type Lead = (signal: AbortSignal) => MaybePromise<unknown>;

/** The terms of one node. */
export class Leadership {
  readonly #options: LeadershipOptions;
  readonly #terms = new Set<LeaderTerm>();
  #closed = false;
  #count = 0;

  constructor(options: LeadershipOptions) {
    this.#options = options;
  }

  /**
   * Runs `fn` whenever this node leads `name`. When the signal has aborted with `LOCK_LOST` and `fn` has ended it waits
   * again. A `fn` that returns or throws gives leadership to who waits for it, and stands again a second later, behind
   * them; what it throws is observed. Throws a `TypeError` or `RangeError` for what are no options.
   */
  lead(name: string, fn: Lead, options: LeadOptions = {}): Term {
    checkKnown("lead", options, OPTIONS);
    const { ttl = 10_000 } = options;
    if (typeof name !== "string") throw new TypeError(`what is led has a name, a string; got ${show(name)}`);
    KEYS.check(name);
    if (typeof fn !== "function") throw new TypeError(`lead ${name} needs a function to run; got ${show(fn)}`);
    ttlSeconds(ttl);
    if (this.#closed) throw closed(name);
    const call = `${this.#options.endpoint}/lead/${++this.#count}`;
    const term = new LeaderTerm(this.#options, { name, fn, ttl, call, ended: () => this.#terms.delete(term) });
    this.#terms.add(term);
    return term;
  }

  /** Ends all terms: leadership goes to others. Before the locks are closed. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#terms].map((term) => term.resign()));
  }
}

class LeaderTerm implements Term {
  readonly #options: LeadershipOptions;
  readonly #wish: { readonly name: string; readonly fn: Lead; readonly ttl: number; readonly call: string };
  readonly #end = new AbortController();
  readonly #over: Promise<void>;
  #leading: AbortSignal | undefined;

  constructor(
    options: LeadershipOptions,
    wish: { name: string; fn: Lead; ttl: number; call: string; ended: () => void },
  ) {
    this.#options = options;
    this.#wish = wish;
    this.#over = this.#stand().finally(wish.ended);
  }

  get leading(): boolean {
    return this.#leading?.aborted === false;
  }

  resign(): Promise<void> {
    this.#end.abort(closed(this.#wish.name));
    return this.#over;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.resign();
  }

  /** Stands for election until the end. Never rejects. */
  async #stand(): Promise<void> {
    const { clock, locks } = this.#options;
    const { name, ttl, call } = this.#wish;
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
      await delay(clock, PAUSE, signal).catch(() => {});
    }
  }

  /** Until `fn` has ended; at the end of the term no longer than the lock would outlive this process. */
  async #run(lock: Lock): Promise<void> {
    const signal = AbortSignal.any([lock.signal, this.#end.signal]);
    if (signal.aborted) return;
    const { promise: tooLong, resolve } = Promise.withResolvers<void>();
    const end = () => void this.#options.clock.after(this.#wish.ttl, resolve, { background: true });
    this.#end.signal.addEventListener("abort", end, { once: true });
    this.#leading = signal;
    try {
      await Promise.race([this.#call(signal), tooLong]);
    } finally {
      this.#leading = undefined;
      this.#end.signal.removeEventListener("abort", end);
    }
  }

  async #call(signal: AbortSignal): Promise<void> {
    try {
      await this.#wish.fn(signal);
    } catch (error) {
      // the usual way to end when the signal aborts
      if (!signal.aborted || error !== signal.reason) this.#observe(error);
    }
  }

  #observe(error: unknown): void {
    this.#options.observer({ type: "fault", during: `leading ${JSON.stringify(this.#wish.name)}`, error });
  }
}

function closed(name: string): CatgaError {
  return new CatgaError("CLOSED", `this node does not stand for the leadership of ${JSON.stringify(name)} any more`);
}

const OPTIONS: ReadonlySet<string> = new Set<keyof LeadOptions>(["ttl"]);
const KEYS = new LockKeys();
const PAUSE = 1_000; // ms
