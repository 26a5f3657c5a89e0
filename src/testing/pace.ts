/**
 * The pace of a test cluster's time: time passes by itself while the test awaits something, or by hand, or as real
 * time.
 */
import { setTimeout as wait } from "node:timers/promises";
import { type Catga, CatgaError, type SubscriptionInfo } from "../../mod.ts";
import { plainLimitName } from "../contract/nodes/announcement.ts";
import { checkNumber, MAX_TIMEOUT } from "../data/checks.ts";
import { type Clock, systemClock } from "../ports/clock.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";

/** Decides when the time of a cluster passes. */
export interface Pace {
  /** The clock of the cluster's network. */
  readonly clock: Clock;
  /**
   * True if virtual time is advanced in steps. Modules must then be loaded before the nodes need them: while a node
   * loads a module, virtual time would pass.
   */
  readonly isVirtual: boolean;
  /**
   * Called when the test awaits a promise of a node: time passes until the promise has settled, unless time passes by
   * hand.
   */
  drive<T>(node: string, promise: Promise<T>): Promise<T>;
  /** Lets time pass until a promise has settled. */
  until<T>(promise: Promise<T>): Promise<T>;
  /** Lets `ms` of the cluster's time pass. */
  advance(ms: number): Promise<void>;
  /** Moves the time of day forward by `ms`, and calls `moved`. */
  leap(ms: number, moved: () => void): Promise<void>;
  /** Lets no virtual time pass until a promise has settled; settles like the promise. */
  io<T>(promise: Promise<T>): Promise<T>;
  /**
   * Lets time pass until `condition` returns true. Resolves with `false` if it does not within `limit` ms of the
   * cluster's time.
   */
  reach(condition: () => boolean, limit: number): Promise<boolean>;
}

/** Options of a {@link VirtualPace}. */
interface VirtualPaceOptions {
  /** True if time passes by itself while the test awaits something. */
  readonly auto: boolean;
  /** Returns true if the node is running and not frozen. Time does not pass for promises of other nodes. */
  awake(node: string): boolean;
  /** Returns true if handlers run in the cluster. */
  busy(): boolean;
  /** Returns true if a handler waits for virtual time. */
  asleep(): boolean;
}

/** Virtual time. It passes only while the test awaits the cluster, and not while the test computes or reads a file. */
export class VirtualPace implements Pace {
  readonly clock: VirtualClock = new VirtualClock();
  readonly isVirtual = true;
  readonly #options: VirtualPaceOptions;
  /** The promises that the test awaits, each with the id of its node. */
  readonly #awaited = new Map<symbol, string>();
  /** Rejected when the code under test never becomes idle. */
  readonly #broken = Promise.withResolvers<never>();
  #last: Promise<unknown> = Promise.resolve();
  #running = false;
  /** Number of calls of {@link VirtualPace.io} that have not ended. */
  #io = 0;
  /** Virtual time that has passed while handlers ran, in ms; counted again from 0 whenever real time has passed. */
  #passedBusy = 0;
  /** Real time left for running handlers that wait for something outside of virtual time, in ms. */
  #patience = PATIENCE;

  constructor(options: VirtualPaceOptions) {
    this.#options = options;
    // a rejection is handled here, because each awaited promise is raced against this one
    this.#broken.promise.catch(() => {});
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

  leap(ms: number, moved: () => void): Promise<void> {
    return this.#alone(async () => {
      this.clock.leap(ms);
      moved();
      await this.clock.advance(0);
    });
  }

  async io<T>(promise: Promise<T>): Promise<T> {
    this.#io++;
    return await promise.finally(() => void this.#io--);
  }

  async reach(condition: () => boolean, limit: number): Promise<boolean> {
    const end = this.clock.monotonic() + limit;
    while (true) {
      while (this.#io > 0) await wait(1);
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
    if (this.#io > 0) return await wait(1);
    const { next } = this.clock;
    // nothing is due on the virtual clock: the test awaits something outside of virtual time
    if (next === undefined) return await wait(1);
    if (this.#options.busy()) {
      const isOutside = this.#patience > 0 && !this.#options.asleep();
      this.#passedBusy += next;
      if (this.#passedBusy >= (isOutside ? MAX_OUTSIDE : MAX_BUSY)) {
        this.#passedBusy = 0;
        await wait(1);
        if (isOutside) this.#patience--;
      }
    } else this.#patience = PATIENCE;
    if (this.#wanted) await this.clock.advance(next);
  }

  /** Runs one piece of work at a time, because the clock must not be advanced twice at once. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }
}

/** Lets the cluster's time be real time, which passes by itself. */
export class RealPace implements Pace {
  #leapt = 0;
  readonly clock: Clock = {
    ...systemClock,
    now: () => systemClock.now() + this.#leapt,
  };
  readonly isVirtual = false;

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

  async leap(ms: number, moved: () => void): Promise<void> {
    checkNumber("leap: ms", ms, 0, MAX_TIMEOUT * 1_000, "ms");
    this.#leapt += ms;
    moved();
    await wait(0);
  }

  io<T>(promise: Promise<T>): Promise<T> {
    return promise;
  }

  async reach(condition: () => boolean, limit: number): Promise<boolean> {
    const end = systemClock.monotonic() + limit;
    while (!condition()) {
      if (systemClock.monotonic() >= end) return false;
      await wait(5);
    }
    return true;
  }
}

/**
 * Number of virtual ms after which at least 1 ms of real time passes, while handlers run. So a handler that waits for a
 * file, or for a real timer, has 300 ms of real time before a timeout of 30 s of virtual time has passed.
 */
const MAX_BUSY = 100;
/**
 * Like `MAX_BUSY`, for times in which no running handler waits for `ctx.clock`, but for a file, a socket, a real timer
 * or Catga: it has a second of real time before 10 s of virtual time have passed.
 */
const MAX_OUTSIDE = 10;
const PATIENCE = 1_000; // ms of real time
/** Stands for the id of a node if the test itself awaits the promise. */
const TEST = "the test";

// The app that a test gets: virtual time passes while the test awaits one of its promises.

/**
 * Returns a proxy of an object. Its methods pass the promises that they return to `drive`, and so do the methods of
 * returned locks, terms, caches, clocks and dead letters. Iterators are returned unchanged, because their next value
 * may never come, except for iterators of dead letters and runs, which end, and of streams, which wait for `idle` at
 * most.
 */
export function driven<T extends object>(real: T, drive: <R>(promise: Promise<R>) => Promise<R>): T {
  const wrap = (value: unknown): unknown => {
    if (value instanceof Promise) return drive(value.then(wrap));
    return isResource(value) ? driven(value, drive) : value;
  };
  // the target has the same class, but no members, because a proxy may not replace members of a frozen target
  return new Proxy(Object.create(Object.getPrototypeOf(real)), {
    get(_, key) {
      const value = Reflect.get(real, key, real);
      if ((key === "deadLetters" || key === "runs") && typeof value === "function") {
        return (...args: unknown[]) => drivenLetters(value.apply(real, args), drive);
      }
      if (key === "stream" && typeof value === "function") {
        return (...args: unknown[]) => drivenItems(value.apply(real, args), drive);
      }
      if (key === "cache" || key === "clock") return driven(value as object, drive);
      return typeof value === "function" ? (...args: unknown[]) => wrap(value.apply(real, args)) : value;
    },
    has: (_, key) => key in real,
  });
}

/**
 * Wraps an iterator so that time passes while its next item is awaited. Not a generator, because the `return` of a
 * generator would wait for that item.
 */
function drivenItems(
  items: AsyncIterableIterator<unknown>,
  drive: <R>(promise: Promise<R>) => Promise<R>,
): AsyncIterableIterator<unknown> {
  return {
    next: () => drive(items.next()),
    return: (value) => drive(items.return!(value)), // cast: iterators of streams have this method
    [Symbol.asyncIterator]() {
      items[Symbol.asyncIterator]();
      return this;
    },
  };
}

async function* drivenLetters(
  letters: AsyncIterator<object>,
  drive: <R>(promise: Promise<R>) => Promise<R>,
): AsyncIterableIterator<object> {
  try {
    for (let next = await drive(letters.next()); !next.done; next = await drive(letters.next())) {
      yield driven(next.value, drive);
    }
  } finally {
    await letters.return?.();
  }
}

function isResource(value: unknown): value is object {
  return typeof value === "object" && value !== null && Symbol.asyncDispose in value &&
    !(Symbol.asyncIterator in value);
}

// The progress of a test cluster's subscriptions: which node leads each, and which messages are not handled yet.

/** The nodes that run and are neither frozen nor cut off, by id. */
export type WellNodes = ReadonlyMap<string, Catga>;

/**
 * Returns the id of the node that leads a subscription, which is given as `name` or `service/name`; `undefined`:
 * none.
 */
export function leaderOf(nodes: WellNodes, subscription: string): string | undefined {
  for (const [id, app] of nodes) {
    for (const { service, name, state } of app.health().subscriptions) {
      const meant = subscription === name || subscription === `${service}/${name}`;
      if (meant && LED.has(state)) return id;
    }
  }
  return undefined;
}

/** Returns the subscriptions that the nodes lead, sorted. */
export function ledSubscriptions(nodes: WellNodes): string[] {
  const all = [...nodes.values()].flatMap((app) => app.health().subscriptions);
  return [...new Set(all.filter(({ state }) => LED.has(state)).map(({ service, name }) => `${service}/${name}`))]
    .sort();
}

/** Messages of a test cluster that wait for a limit, of one of its keys or of all. */
export interface WaitingForLimit {
  /** Service and name of the subscription, as `shop/books`; the service of queued commands is `@`. */
  readonly subscription: string;
  /** Name of the limit; of one without a name its contract and place among the limits of the handler, as `Paid/0`. */
  readonly limit: string;
  /** The key, its first 200 characters; `undefined`: the limit is one for all messages. */
  readonly key: string | undefined;
  /** Number of messages that have a slot. */
  readonly running: number;
  /** Number of messages that wait, 1 or more. */
  readonly waiting: number;
}

/** Returns what waits for limits, by what the leaders of the subscriptions know. */
export function waitingForLimits(nodes: WellNodes): WaitingForLimit[] {
  return [...nodes.values()].flatMap((app) => app.health().subscriptions).flatMap(({ service, name, limits = [] }) =>
    limits.flatMap(({ name: limit, running, waiting, keys, waits = [] }): WaitingForLimit[] => {
      const of = { subscription: `${service}/${name}`, limit: plainLimitName(limit) };
      if (keys !== undefined) return waits.map((each) => ({ ...of, ...each }));
      return waiting === 0 ? [] : [{ ...of, key: undefined, running, waiting }];
    })
  );
}

/** Describes the messages that are not handled yet; empty if each stored message was handled, or is a dead letter. */
export async function unhandled(nodes: WellNodes): Promise<string[]> {
  const left: string[] = [];
  for (const [id, app] of nodes) {
    for (const { service, name, state, open, lag, retrying, dead, paused } of app.health().subscriptions) {
      if (state === "following" || (open === 0 && lag === 0 && retrying === 0 && !STUCK.has(state))) continue;
      const parked = retrying === 0 ? "" : `, ${waiting(retrying)}`;
      const letters = dead === 0 ? "" : `, ${dead} dead letter(s)`;
      const is = paused === undefined ? state : "paused (app.resume has it go on)";
      left.push(`${service}/${name} on ${id} is ${is}: ${open} in hand${parked}${letters}, ${lag} not read`);
    }
  }
  if (left.length > 0) {
    left.push(
      ...waitingForLimits(nodes).map(({ subscription, limit, key, running, waiting }) => {
        const of = key === undefined ? limit : `${limit} of key ${key}`;
        return `${waiting} of ${subscription} wait for the limit ${of}, with ${running} running`;
      }),
    );
  }
  const [app] = nodes.values();
  if (left.length > 0 || app === undefined) return left;
  try {
    const infos = await app.subscriptions();
    return infos.flatMap((info) => leftOf(nodes, info));
  } catch (error) {
    if (!(error instanceof CatgaError)) throw error;
    return [`the log does not answer: ${error.message}`];
  }
}

/** Describes the unread messages of a subscription whose leader has no open message. */
function leftOf(nodes: WellNodes, info: SubscriptionInfo): string[] {
  const { service, name, abandoned, leader, lag, open, retrying, dead, requested, paused } = info;
  if (paused !== undefined && lag + open > 0) return [`${service}/${name} is paused: app.resume has it go on`];
  if (abandoned) return []; // the messages will not be handled, because no node handles the contract
  if (leader === undefined || !nodes.has(leader)) return [`${service}/${name} has no leader`];
  if (lag > 0) return [`${service}/${name} on ${leader} has not recorded ${lag} message(s) of the log as handled`];
  if (requested) return [`${service}/${name} on ${leader} has not carried out a rewind, replay or discard`];
  const known = nodes.get(leader)!.health().subscriptions.find((own) => own.service === service && own.name === name);
  if (known !== undefined && known.dead !== dead) {
    return [`${service}/${name} on ${leader} has not recorded its dead letters: ${dead} of ${known.dead}`];
  }
  // the leader has begun messages since it last reported its open messages
  if (open > 0) {
    return [`${service}/${name} on ${leader} has not recorded ${open} message(s) that it took over as handled`];
  }
  // the messages were handled since the leader last reported
  if (retrying > 0) return [`${service}/${name} on ${leader} has ${waiting(retrying)}`];
  return leaderOf(nodes, `${service}/${name}`) === leader ? [] : [`${leader} has not begun to lead ${service}/${name}`];
}

function waiting(retrying: number): string {
  return `${retrying} waiting for another attempt or behind another of their key`;
}

const STUCK: ReadonlySet<string> = new Set(["stalled", "stopped"]);
const LED: ReadonlySet<string> = new Set(["leading", ...STUCK]);
