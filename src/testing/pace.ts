/** How the time of a test cluster passes: by itself while the test awaits something, by hand, or as real time. */
import { setTimeout as wait } from "node:timers/promises";
import { type Clock, VirtualClock } from "../../mod.ts";
import { checkNumber, MAX_TIMEOUT } from "../data/checks.ts";

/** The time of a cluster. */
export interface Pace {
  /** The clock for the network; `undefined`: that of this machine. */
  readonly clock: Clock | undefined;
  /** The test awaits a promise of a node: time passes until it has settled, unless time passes by hand. */
  drive<T>(node: string, promise: Promise<T>): Promise<T>;
  /** Lets time pass until a promise has settled. */
  until<T>(promise: Promise<T>): Promise<T>;
  /** Lets `ms` pass. */
  advance(ms: number): Promise<void>;
  /** Lets time pass until `condition` returns true; resolves to `false` if it does not within `limit` ms. */
  reach(condition: () => boolean, limit: number): Promise<boolean>;
}

/** Options of a {@link VirtualPace}. */
export interface VirtualPaceOptions {
  /** Whether time passes by itself. */
  readonly auto: boolean;
  /** Whether a node is running and not frozen: time does not pass for promises of other nodes. */
  awake(node: string): boolean;
  /** Whether handlers run. */
  busy(): boolean;
}

/** Virtual time. It passes only while the test awaits the cluster: none passes while the test computes or reads a file. */
export class VirtualPace implements Pace {
  readonly clock: VirtualClock = new VirtualClock();
  readonly #options: VirtualPaceOptions;
  /** The promises that the test awaits, and the node of each. */
  readonly #awaited = new Map<symbol, string>();
  /** Rejects when the code under test never becomes idle. */
  readonly #broken = Promise.withResolvers<never>();
  #last: Promise<unknown> = Promise.resolve();
  #running = false;
  /** Virtual ms that have passed while handlers ran, since real time last did. */
  #passedBusy = 0;

  constructor(options: VirtualPaceOptions) {
    this.#options = options;
    this.#broken.promise.catch(() => {}); // every awaited promise is raced against it
  }

  drive<T>(node: string, promise: Promise<T>): Promise<T> {
    return this.#options.auto ? this.#drive(node, promise) : promise;
  }

  until<T>(promise: Promise<T>): Promise<T> {
    return this.#drive(TEST, promise);
  }

  advance(ms: number): Promise<void> {
    return this.#alone(() => this.clock.advance(ms));
  }

  async reach(condition: () => boolean, limit: number): Promise<boolean> {
    const end = this.clock.monotonic() + limit;
    while (true) {
      await this.advance(0);
      if (condition()) return true;
      if (this.clock.monotonic() >= end) return false;
      await this.#alone(() => this.clock.advance(Math.min(this.clock.next ?? limit, end - this.clock.monotonic())));
    }
  }

  #drive<T>(node: string, promise: Promise<T>): Promise<T> {
    const key = Symbol();
    this.#awaited.set(key, node);
    const settled = () => void this.#awaited.delete(key);
    promise.then(settled, settled);
    this.#run().catch(this.#broken.reject);
    return Promise.race([promise, this.#broken.promise]);
  }

  get #wanted(): boolean {
    for (const node of this.#awaited.values()) if (node === TEST || this.#options.awake(node)) return true;
    return false;
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    while (this.#wanted) await this.#alone(() => this.#step());
    this.#running = false;
  }

  async #step(): Promise<void> {
    await this.clock.advance(0);
    if (!this.#wanted) return;
    const { next } = this.clock;
    if (next === undefined) return await wait(1); // the test awaits something outside of virtual time
    if (this.#options.busy()) {
      this.#passedBusy += next;
      if (this.#passedBusy >= MAX_BUSY) {
        this.#passedBusy = 0;
        await wait(1);
      }
    }
    if (this.#wanted) await this.clock.advance(next);
  }

  /** Runs one at a time: the clock must not be advanced twice at once. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }
}

/** Real time. */
export class RealPace implements Pace {
  readonly clock = undefined;

  drive<T>(_node: string, promise: Promise<T>): Promise<T> {
    return promise;
  }

  until<T>(promise: Promise<T>): Promise<T> {
    return promise;
  }

  async advance(ms: number): Promise<void> {
    checkNumber("advance: ms", ms, 0, MAX_TIMEOUT, "ms");
    await wait(ms);
  }

  async reach(condition: () => boolean, limit: number): Promise<boolean> {
    const end = performance.now() + limit;
    while (!condition()) {
      if (performance.now() >= end) return false;
      await wait(5);
    }
    return true;
  }
}

/**
 * While handlers run, this many virtual ms take at least 1 ms of real time: a handler that waits for a file, or for a real
 * timer, has 300 ms before a timeout of 30 s has passed.
 */
const MAX_BUSY = 100;
/** In place of a node: the test itself awaits the promise. */
const TEST = "the test";
