/**
 * The leases of nodes. A node that leads subscriptions says once a second, in one message for all of them, that it is
 * there; when that stands still for 3 s, others take what it leads. Before, they overwrite the lease, so that its owner
 * finds out, and ends its terms, before it writes or hands out anything more.
 */
import { type CatgaError, unavailable } from "../../error.ts";
import { type StoredMessage, textOf } from "../../ports/event_log.ts";
import { leaseSubject, readLeaseSubject } from "../format/names.ts";
import { readRecord } from "../format/record_text.ts";
import type { SubscriptionStoreOptions } from "./store.ts";

/** Options of {@link Leases}. */
export interface LeasesOptions extends Pick<SubscriptionStoreOptions, "stream" | "namespace" | "clock" | "fault"> {
  /** This node's. */
  readonly endpoint: string;
  /** Another node has taken the lead of all that this one led. */
  onLost(): void;
}

interface SeenSequence {
  sequence: number;
  /** When it last moved, by the monotonic clock; `-Infinity`: it was overwritten. */
  at: number;
}

/** The lease of this node, and those of the others as it sees them. */
export class Leases {
  readonly #options: LeasesOptions;
  readonly #seen = new Map<string, SeenSequence>();
  readonly #subject: string;
  #sequence = 0;
  /** When the last write that succeeded was sent, by the monotonic clock. */
  #renewed = -Infinity;
  #sent = -Infinity;
  /** Why the last write failed; `undefined`: it did not. */
  #failed: CatgaError | undefined;
  #writing: Promise<boolean> | undefined;

  constructor(options: LeasesOptions) {
    this.#options = options;
    this.#subject = leaseSubject(options.namespace, options.endpoint);
  }

  /** True if nobody else can lead yet what this node leads: others wait longer than this. */
  get holds(): boolean {
    return this.#options.clock.monotonic() - this.#renewed < LEADS_UNRENEWED_FOR;
  }

  /**
   * Why the store has taken no renewal for 5 s; `undefined` while it takes them. For a node that leads: a stream that
   * has lost its quorum may be read for as long as its leader lives.
   */
  get unrenewed(): CatgaError | undefined {
    const error = this.#failed;
    if (error === undefined || this.#options.clock.monotonic() - this.#renewed < UNRENEWED) return undefined;
    return unavailable(`the store takes no writes: ${error.message}`, { cause: error });
  }

  /** Resolves with whether this node has a lease; never rejects. */
  async hold(): Promise<boolean> {
    if (this.holds || await this.#renew()) return true;
    return this.#sequence === 0 && await this.#renew(); // it had expired
  }

  /** To be called every 100 ms while this node leads anything. */
  tick(now: number): void {
    if (this.#writing === undefined && now - this.#sent >= RENEW_INTERVAL) void this.#renew();
  }

  /** How long the lease of another node has stood still, in ms; from the first question on if none was seen. */
  still(endpoint: string, now: number): number {
    return now - this.#seenOf(endpoint, now).at;
  }

  #seenOf(endpoint: string, now: number): SeenSequence {
    let seen = this.#seen.get(endpoint);
    if (seen === undefined) {
      this.#seen.set(endpoint, seen = { sequence: 0, at: now });
      this.#find(endpoint, seen).catch((error) => this.#options.fault(error));
    }
    return seen;
  }

  /** Finds the lease that stands still. */
  async #find(endpoint: string, seen: SeenSequence): Promise<void> {
    const { stream, namespace } = this.#options;
    const found = await stream.last(leaseSubject(namespace, endpoint), { latest: true });
    if (found !== undefined && found.sequence > seen.sequence) seen.sequence = found.sequence;
  }

  /** A lease has moved, or was overwritten. */
  onMessage({ sequence, subject, data }: StoredMessage): void {
    const { namespace, endpoint: own, clock } = this.#options;
    const endpoint = readLeaseSubject(namespace, subject);
    if (endpoint === undefined || endpoint === own) return;
    if (this.#seen.size > MAX_LEASES) this.#seen.clear();
    this.#seen.set(endpoint, { sequence, at: holderOf(data) === endpoint ? clock.monotonic() : -Infinity });
  }

  /**
   * Overwrites the lease of another node, if it has not moved since it was seen. Resolves with whether it is
   * overwritten; never rejects.
   */
  async fence(endpoint: string): Promise<boolean> {
    const { stream, namespace, endpoint: own, clock, fault } = this.#options;
    const subject = leaseSubject(namespace, endpoint);
    const seen = this.#seenOf(endpoint, clock.monotonic());
    if (seen.at > -Infinity) {
      const options = { timeout: ANSWER_TIMEOUT, expect: seen.sequence, ttl: LEASE_KEPT_FOR };
      const appended = await stream.append(subject, JSON.stringify({ v: 1, by: own }), options);
      if (appended.type === "stored") {
        Object.assign(seen, { sequence: appended.sequence, at: -Infinity });
        return true;
      }
    }
    try {
      const found = await stream.last(subject, { latest: true });
      // its move may not have been followed yet: after a cut, or because a server lags behind
      if (found !== undefined && found.sequence > seen.sequence) this.onMessage(found);
      else if (found === undefined && seen.sequence > 0) seen.sequence = 0; // it has expired
    } catch (error) {
      fault(error);
      return false;
    }
    return this.#seen.get(endpoint)?.at === -Infinity;
  }

  #renew(): Promise<boolean> {
    return this.#writing ??= this.#write().finally(() => this.#writing = undefined);
  }

  async #write(): Promise<boolean> {
    const { stream, endpoint, clock, onLost, fault } = this.#options;
    const sent = this.#sent = clock.monotonic();
    const options = { timeout: ANSWER_TIMEOUT, expect: this.#sequence, rollup: true, ttl: LEASE_KEPT_FOR };
    const appended = await stream.append(this.#subject, JSON.stringify({ v: 1, by: endpoint }), options);
    if (appended.type === "stored") {
      this.#sequence = appended.sequence;
      this.#renewed = sent;
      this.#failed = undefined;
      return true;
    }
    if (appended.type !== "conflict") fault(this.#failed = appended.error);
    this.#sent = -Infinity;
    try {
      const found = await stream.last(this.#subject, { latest: true });
      this.#sequence = found?.sequence ?? 0; // its last write may have been stored without an answer
      if (found === undefined || holderOf(found.data) !== endpoint) {
        // overwritten, or so long ago that nobody knows
        this.#renewed = -Infinity;
        onLost();
      }
    } catch (error) {
      fault(error);
    }
    return false;
  }
}

/** Holder of a lease. */
function holderOf(data: Uint8Array): string | undefined {
  const value = readRecord(textOf({ data }));
  return typeof value === "object" && typeof value.by === "string" ? value.by : undefined;
}

/** A lease is written so often, in ms. */
const RENEW_INTERVAL = 1_000;
/** How long a node may lead without a write, in ms: less than the time after which others take over. */
const LEADS_UNRENEWED_FOR = 2_400;
const ANSWER_TIMEOUT = 2_000; // ms
/** How long no renewal succeeds until what this node leads is stalled, in ms. */
const UNRENEWED = 5_000;
/** How long a lease stays when nobody renews it, in ms. */
const LEASE_KEPT_FOR = 60_000;
const MAX_LEASES = 10_000;
