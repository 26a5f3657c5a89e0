/** How the time of a test cluster passes: by itself as long as the test waits for something, by hand, or as it does outside. */
import { setTimeout as wait } from "node:timers/promises";
import { type Clock, VirtualClock } from "../../mod.ts";

/** The time of a cluster, and who waits for it. */
export interface Pace {
  /** As the network has it; that of this machine when there is none. */
  readonly clock: Clock | undefined;
  /** The test waits for something of a node: time has to pass. */
  drive<T>(node: string, promise: Promise<T>): Promise<T>;
  /** Lets time pass until a promise has settled. */
  until<T>(promise: Promise<T>): Promise<T>;
  /** Lets so many ms pass. */
  advance(ms: number): Promise<void>;
  /** Lets time pass until the answer is yes; `false` when it is not within `limit` ms. */
  reach(ask: () => boolean, limit: number): Promise<boolean>;
}

/** What a {@link VirtualPace} asks of its cluster. */
export interface VirtualPaceOptions {
  /** Whether time passes by itself. */
  readonly auto: boolean;
  /** Whether a node is there and not frozen: what waits at another waits for somebody else. */
  awake(node: string): boolean;
  /** Whether handlers run. */
  busy(): boolean;
}

/** Virtual time. It passes only while somebody waits, so that a test that computes, or reads a file, loses none. */
export class VirtualPace implements Pace {
  readonly clock: VirtualClock = new VirtualClock();
  readonly #options: VirtualPaceOptions;
  /** What is waited for, and at which node. */
  readonly #awaited = new Map<symbol, string>();
  /** Rejects when the code under test never comes to rest. */
  readonly #broken = Promise.withResolvers<never>();
  #last: Promise<unknown> = Promise.resolve();
  #running = false;
  /** How much time has passed while handlers ran, in ms, since it was last given to what is outside of it. */
  #hurry = 0;

  constructor(options: VirtualPaceOptions) {
    this.#options = options;
    this.#broken.promise.catch(() => {}); // whoever waits is told
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

  async reach(ask: () => boolean, limit: number): Promise<boolean> {
    const end = this.clock.monotonic() + limit;
    while (true) {
      await this.advance(0);
      if (ask()) return true;
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
    if (next === undefined) return await wait(1); // for something outside of virtual time
    if (this.#options.busy()) {
      this.#hurry += next;
      if (this.#hurry >= HURRY) {
        this.#hurry = 0;
        await wait(1);
      }
    }
    if (this.#wanted) await this.clock.advance(next);
  }

  /** One after the other: the clock knows no two who move it. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }
}

/** The time of this machine. */
export class RealPace implements Pace {
  readonly clock = undefined;

  drive<T>(_node: string, promise: Promise<T>): Promise<T> {
    return promise;
  }

  until<T>(promise: Promise<T>): Promise<T> {
    return promise;
  }

  async advance(ms: number): Promise<void> {
    await wait(ms);
  }

  async reach(ask: () => boolean, limit: number): Promise<boolean> {
    const end = performance.now() + limit;
    while (!ask()) {
      if (performance.now() >= end) return false;
      await wait(5);
    }
    return true;
  }
}

/**
 * While handlers run, this much virtual time takes 1 ms at least: one that waits for a file, or for a timer of its own, has
 * 300 ms for it before a timeout of 30 s has passed.
 */
const HURRY = 100;
/** Stands for the test itself, which no node is. */
const TEST = "the test";
