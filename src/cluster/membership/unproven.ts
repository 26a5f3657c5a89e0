/**
 * Nodes that have a record and have not shown yet that they are there. Anybody who may write to the bucket can put records
 * into it, so none is believed before its process was heard: it is pinged as soon as its record is seen, and again, since the
 * way to a node that has just started on another server may not be known yet. What a record costs does not depend on how
 * many there are: a bounded number is kept, and a bounded number of pings a second is sent for all of them together.
 */
import type { Clock } from "../../ports/clock.ts";
import type { NodeInfo } from "../../contract/node_info.ts";
import { Fifo } from "../../data/fifo.ts";

/** What it needs of the membership that it belongs to. */
export interface UnprovenOptions {
  readonly clock: Clock;
  /** Whether frames may leave. */
  connected(): boolean;
  /** Sends the nth ping to a process; what comes of it is told by {@link Unproven.prove} and {@link Unproven.bounced}. */
  ping(endpoint: string, n: number): void;
  /** Whether bounces say that nobody is there. */
  conclusive(): boolean;
  /** Nobody is there: two bounces, a second apart, have said so. */
  gone(info: NodeInfo, revision: number): void;
  /** The record that came first is forgotten, for there are too many. */
  dropped(): void;
}

/** A record without a node that was heard. */
interface Pending {
  readonly info: NodeInfo;
  readonly revision: number;
  /** How often it was pinged. */
  pings: number;
  /** When the first ping bounced, by the monotonic clock; -1 for never. */
  bouncedAt: number;
  /** It is here no longer; queues pass it over. */
  gone: boolean;
  /** When its next ping is due. */
  dueAt: number;
}

/** The records of nodes that were not heard yet. */
export class Unproven {
  readonly #options: UnprovenOptions;
  readonly #byId: Map<string, Pending> = new Map();
  readonly #byEndpoint: Map<string, Pending> = new Map();
  /** In the order in which they came. */
  readonly #order: Fifo<Pending> = new Fifo();
  /** Those that were never pinged; the last, which is the newest, has its turn first. */
  #new: Pending[] = [];
  /** Those that were, by how often; in each all wait for the same time. */
  readonly #again: readonly Fifo<Pending>[] = PAUSES.map(() => new Fifo());
  /** Pinged once, and neither answered nor bounced. */
  readonly #open: Set<Pending> = new Set();
  #settled: (() => void)[] = [];
  #lossy = false;
  #tokens = BURST;
  #filledAt: number;
  #ticking = false;
  #listing = true;
  #stopped = false;

  constructor(options: UnprovenOptions) {
    this.#options = options;
    this.#filledAt = options.clock.monotonic();
  }

  /** How many there are. */
  get size(): number {
    return this.#byId.size;
  }

  /** Whether any was ever dropped. */
  get lossy(): boolean {
    return this.#lossy;
  }

  /** Notes the record of a node, in place of an older one with its id. */
  put(info: NodeInfo, revision: number): void {
    const known = this.#byId.get(info.id);
    if (known !== undefined && known.revision >= revision) return;
    const same = known?.info.endpoint === info.endpoint;
    this.delete(info.id);
    const pending: Pending = {
      info,
      revision,
      pings: 0,
      bouncedAt: same ? known.bouncedAt : -1,
      gone: false,
      dueAt: 0,
    };
    this.#byId.set(info.id, pending);
    this.#byEndpoint.set(info.endpoint, pending);
    this.#new.push(pending);
    this.#order.push(pending);
    while (this.#byId.size > MAX_UNPROVEN) this.#drop();
    // what has gone lies in between
    if (this.#order.size > 2 * MAX_UNPROVEN) this.#order.keep(({ gone }) => !gone);
    if (this.#new.length > 2 * MAX_UNPROVEN) this.#new = this.#new.filter(({ gone, pings }) => !gone && pings === 0);
    // of a long listing the newest have their turn first, when it is over
    if (!this.#listing || this.#tokens > BURST - EAGER) this.#pingDue();
  }

  /** Its record is gone. */
  delete(id: string): void {
    const pending = this.#byId.get(id);
    if (pending === undefined) return;
    this.#byId.delete(id);
    if (this.#byEndpoint.get(pending.info.endpoint) === pending) this.#byEndpoint.delete(pending.info.endpoint);
    pending.gone = true;
    this.#answered(pending);
  }

  /** A process was heard: gives its record, which is here no longer. */
  prove(endpoint: string): { readonly info: NodeInfo; readonly revision: number } | undefined {
    const pending = this.#byEndpoint.get(endpoint);
    if (pending !== undefined) this.delete(pending.info.id);
    return pending;
  }

  /** A frame to this process bounced. */
  bounced(endpoint: string): void {
    const pending = this.#byEndpoint.get(endpoint);
    if (pending === undefined) return;
    this.#answered(pending);
    const now = this.#options.clock.monotonic();
    if (pending.bouncedAt < 0) pending.bouncedAt = now;
    else if (now - pending.bouncedAt >= GONE && this.#options.conclusive()) {
      this.#options.gone(pending.info, pending.revision);
    }
  }

  /**
   * All records that are there have been seen: pings the newest, and resolves when each of these has answered or bounced,
   * or `limit` ms later.
   */
  async listed(limit: number): Promise<void> {
    this.#listing = false;
    this.#pingDue();
    if (this.#open.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#settled.push(resolve);
    const timer = this.#options.clock.after(limit, resolve);
    await promise.finally(() => timer.cancel());
  }

  stop(): void {
    this.#stopped = true;
    this.#settle();
  }

  /** Forgets the record that came first. */
  #drop(): void {
    const oldest = this.#order.shift();
    if (oldest === undefined || oldest.gone) return;
    this.delete(oldest.info.id);
    this.#lossy = true;
    this.#options.dropped();
  }

  #answered(pending: Pending): void {
    if (this.#open.delete(pending) && this.#open.size === 0) this.#settle();
  }

  #settle(): void {
    for (const resolve of this.#settled.splice(0)) resolve();
  }

  /** Pings what is due, as far as it may now, and sees to it that the rest is pinged later. */
  #pingDue(): void {
    const { clock, connected } = this.#options;
    if (this.#stopped) return;
    const now = clock.monotonic();
    this.#tokens = Math.min(BURST, this.#tokens + (now - this.#filledAt) / 1_000 * RATE);
    this.#filledAt = now;
    if (connected()) {
      // a quarter for those that were pinged before, lest new ones keep them from it
      this.#pingAgain(now, this.#tokens / 4);
      this.#pingNew(now);
      this.#pingAgain(now, this.#tokens);
    }
    if (this.#ticking || this.#byId.size === 0) return;
    this.#ticking = true;
    clock.after(TICK, () => {
      this.#ticking = false;
      this.#pingDue();
    }, { background: true });
  }

  #pingNew(now: number): void {
    while (this.#tokens >= 1 && this.#new.length > 0) {
      const pending = this.#new.pop()!;
      if (pending.gone) continue;
      this.#open.add(pending);
      this.#ping(pending, now);
    }
  }

  #pingAgain(now: number, most: number): void {
    let left = most;
    for (const queue of this.#again) {
      while (left >= 1 && queue.first !== undefined && (queue.first.gone || queue.first.dueAt <= now)) {
        const pending = queue.shift()!;
        if (pending.gone) continue;
        left--;
        this.#ping(pending, now);
      }
    }
  }

  #ping(pending: Pending, now: number): void {
    const turn = Math.min(pending.pings++, PAUSES.length - 1);
    pending.dueAt = now + PAUSES[turn];
    this.#again[turn].push(pending);
    this.#tokens--;
    this.#options.ping(pending.info.endpoint, pending.pings);
  }
}

/** How many are kept; those that came first go first. */
export const MAX_UNPROVEN = 4_096;
/** Pings at once, and then a second: a cluster of 1,000 that starts anew is known at once, and a flood is no flood of pings. */
export const BURST = 1_024;
export const RATE = 256;
/** Pings during the listing, so that a start waits less for the answers. */
const EAGER = 256;
const TICK = 20; // ms
/** Between the pings of one, in ms: a node was seen from another server 30 ms after its start (measured). */
const PAUSES = [20, 40, 80, 160, 320, 640, 1_000];
const GONE = 900; // ms between the first bounce and the one that counts, as in the ring
