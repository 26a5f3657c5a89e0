/**
 * Nodes that have a record and have not shown yet that they are there. Anybody who may write to the bucket can put records
 * into it, so none is believed before its process was heard: it is pinged as soon as its record is seen, and again, since the
 * way to a node that has just started on another server may not be known yet. What a record costs does not depend on how
 * many there are: a bounded number is kept, and a bounded number of pings a second is sent for all of them together.
 */
import type { Clock } from "../clock.ts";
import type { NodeInfo } from "../node_info.ts";
import { Fifo } from "./fifo.ts";

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
  /** Records that came first are not looked at any more, so many: newer ones came. */
  dropped(count: number): void;
}

/** A record without a node that was heard. */
interface Claim {
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
  readonly #byId: Map<string, Claim> = new Map();
  readonly #byEndpoint: Map<string, Claim> = new Map();
  /** In the order in which they came. */
  readonly #order: Fifo<Claim> = new Fifo();
  /** Those that were never pinged; the last, which is the newest, has its turn first. */
  #new: Claim[] = [];
  /** Those that were, by how often; in each all wait for the same time. */
  readonly #again: readonly Fifo<Claim>[] = PAUSES.map(() => new Fifo());
  /** Pinged once, and neither answered nor bounced. */
  readonly #open: Set<Claim> = new Set();
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
    const claim: Claim = { info, revision, pings: 0, bouncedAt: same ? known.bouncedAt : -1, gone: false, dueAt: 0 };
    this.#byId.set(info.id, claim);
    this.#byEndpoint.set(info.endpoint, claim);
    this.#new.push(claim);
    this.#order.push(claim);
    while (this.#byId.size > MAX_UNPROVEN) this.#drop();
    // what has gone lies in between
    if (this.#order.size > 2 * MAX_UNPROVEN) this.#order.keep(({ gone }) => !gone);
    if (this.#new.length > 2 * MAX_UNPROVEN) this.#new = this.#new.filter(({ gone, pings }) => !gone && pings === 0);
    if (!this.#listing) this.#pingDue();
  }

  /** Its record is gone. */
  delete(id: string): void {
    const claim = this.#byId.get(id);
    if (claim === undefined) return;
    this.#byId.delete(id);
    if (this.#byEndpoint.get(claim.info.endpoint) === claim) this.#byEndpoint.delete(claim.info.endpoint);
    claim.gone = true;
    this.#answered(claim);
  }

  /** A process was heard: gives its record, which is here no longer. */
  prove(endpoint: string): { readonly info: NodeInfo; readonly revision: number } | undefined {
    const claim = this.#byEndpoint.get(endpoint);
    if (claim !== undefined) this.delete(claim.info.id);
    return claim;
  }

  /** A frame to this process bounced. */
  bounced(endpoint: string): void {
    const claim = this.#byEndpoint.get(endpoint);
    if (claim === undefined) return;
    this.#answered(claim);
    const now = this.#options.clock.monotonic();
    if (claim.bouncedAt < 0) claim.bouncedAt = now;
    else if (now - claim.bouncedAt >= GONE && this.#options.conclusive()) {
      this.#options.gone(claim.info, claim.revision);
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
    this.#options.dropped(1);
  }

  #answered(claim: Claim): void {
    if (this.#open.delete(claim) && this.#open.size === 0) this.#settle();
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
      const claim = this.#new.pop()!;
      if (claim.gone) continue;
      this.#open.add(claim);
      this.#ping(claim, now);
    }
  }

  #pingAgain(now: number, most: number): void {
    let left = most;
    for (const queue of this.#again) {
      while (left >= 1 && queue.first !== undefined && (queue.first.gone || queue.first.dueAt <= now)) {
        const claim = queue.shift()!;
        if (claim.gone) continue;
        left--;
        this.#ping(claim, now);
      }
    }
  }

  #ping(claim: Claim, now: number): void {
    const turn = Math.min(claim.pings++, PAUSES.length - 1);
    claim.dueAt = now + PAUSES[turn];
    this.#again[turn].push(claim);
    this.#tokens--;
    this.#options.ping(claim.info.endpoint, claim.pings);
  }
}

/** How many are kept; those that came first go first. */
export const MAX_UNPROVEN = 4_096;
/** Pings at once, and then a second: a cluster of 1,000 that starts anew is known at once, and a flood is no flood of pings. */
export const BURST = 1_024;
export const RATE = 256;
const TICK = 20; // ms
/** Between the pings of one, in ms: a node was seen from another server 30 ms after its start (measured). */
const PAUSES = [20, 40, 80, 160, 320, 640, 1_000];
const GONE = 900; // ms between the first bounce and the one that counts, as in the ring
