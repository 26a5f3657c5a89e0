/**
 * The leases of nodes that lead subscriptions. Such a node renews its lease every 0.8 s, one message for all its
 * subscriptions. If a lease is not renewed for 3 s, other nodes take over those subscriptions; if the owner's process
 * has ended, or has lost its connection, they do so earlier: as soon as the owner must have stopped leading by the time
 * that its lease states. They overwrite the lease first, so that its owner notices and ends its terms before it writes
 * or hands out anything more.
 */
import { type CatgaError, unavailable } from "../../error.ts";
import { type StoredMessage, textOf } from "../../ports/event_log.ts";
import { leaseSubject, readLeaseSubject } from "../format/names.ts";
import { readRecord } from "../format/record_text.ts";
import { STILL } from "./leader_election.ts";
import type { SubscriptionStoreOptions } from "./store.ts";

/** Options of {@link Leases}. */
export interface LeasesOptions extends Pick<SubscriptionStoreOptions, "stream" | "namespace" | "clock" | "fault"> {
  /** Endpoint of this node. */
  readonly endpoint: string;
  /** True if no other process can use the store: the lease is then written once, and holds from then on. */
  readonly isAlone?: boolean | undefined;
  /** Called when another node has overwritten this node's lease: this node then leads no subscription any more. */
  onLost(): void;
  /** Called when this node's lease is held again after it had ended: this node may hand out messages. */
  onHeld(): void;
  /** Called when a renewal has failed: {@link Leases.renewsAt} is in the past, so that the next one follows soon. */
  onFailed(): void;
}

interface SeenSequence {
  sequence: number;
  /** Time at which this node last saw a message of the lease, by the monotonic clock. */
  at: number;
  /** True if another node has overwritten the lease, so that its owner does not lead. */
  fenced: boolean;
  /** Time for which the owner goes on leading without a renewal, in ms; `undefined`: the lease does not state it. */
  leads: number | undefined;
}

/**
 * Renews the lease of this node, watches the leases of other nodes, and overwrites a lease that is no longer renewed.
 */
export class Leases {
  readonly #options: LeasesOptions;
  readonly #seen = new Map<string, SeenSequence>();
  readonly #subject: string;
  #sequence = 0;
  /** Time at which the last successful renewal of this node's lease was sent, by the monotonic clock. */
  #renewed = -Infinity;
  #sent = -Infinity;
  /** Error of the last write of this node's lease; `undefined`: the write succeeded. */
  #failed: CatgaError | undefined;
  #writing: Promise<boolean> | undefined;

  constructor(options: LeasesOptions) {
    this.#options = options;
    this.#subject = leaseSubject(options.namespace, options.endpoint);
  }

  /**
   * True while this node's lease is recent enough, or this node is alone: no other node can have taken over this node's
   * subscriptions, because others wait longer.
   */
  get holds(): boolean {
    if (this.#options.isAlone) return this.#renewed > -Infinity;
    return this.#options.clock.monotonic() - this.#renewed < LEADS_UNRENEWED_FOR;
  }

  /**
   * Error of the store if no renewal of this node's lease has succeeded for 5 s; else `undefined`. It is reported
   * because a stream without a quorum can still be read while its leader lives.
   */
  get unrenewed(): CatgaError | undefined {
    const error = this.#failed;
    if (error === undefined || this.#options.clock.monotonic() - this.#renewed < UNRENEWED) return undefined;
    return unavailable(`the store takes no writes: ${error.message}`, { cause: error });
  }

  /**
   * Renews this node's lease unless it is recent enough. Resolves with true if this node has a lease; never rejects.
   */
  async hold(): Promise<boolean> {
    if (this.holds || await this.#renew()) return true;
    return this.#sequence === 0 && await this.#renew(); // the lease had expired: make a new one
  }

  /** Time at which {@link Leases.tick} is to renew this node's lease, by the monotonic clock; `Infinity`: never. */
  get renewsAt(): number {
    if (this.#options.isAlone && this.holds) return Infinity;
    return this.#sent + RENEW_INTERVAL;
  }

  /**
   * Renews this node's lease when that is due. Call while this node leads a subscription: at {@link Leases.renewsAt},
   * every 100 ms from then on until that time is later, and when this node has reconnected.
   */
  tick(now: number): void {
    if (this.#writing === undefined && now >= this.renewsAt) void this.#renew();
  }

  /**
   * Returns the time since the last renewal of another node's lease, in ms; if none was seen, the time since this
   * method was first called for that node. If another node has overwritten the lease: {@link STILL} more than the time
   * since that, so that the owner counts as stopped.
   */
  still(endpoint: string, now: number): number {
    const { at, fenced } = this.#seenOf(endpoint, now);
    return now - at + (fenced ? STILL : 0);
  }

  /**
   * Returns true if the owner of another node's lease must have stopped handing out messages by now, even if its
   * process lives and only cannot renew the lease; false if the lease does not state when its owner stops.
   */
  stopped(endpoint: string, now: number): boolean {
    const { leads = Infinity } = this.#seenOf(endpoint, now);
    return this.still(endpoint, now) >= leads + STOPS_WITHIN;
  }

  #seenOf(endpoint: string, now: number): SeenSequence {
    let seen = this.#seen.get(endpoint);
    if (seen === undefined) {
      this.#seen.set(endpoint, seen = { sequence: 0, at: now, fenced: false, leads: undefined });
      this.#find(endpoint, seen).catch((error) => this.#options.fault(error));
    }
    return seen;
  }

  /** Reads the present sequence of another node's lease from the stream's leader. */
  async #find(endpoint: string, seen: SeenSequence): Promise<void> {
    const { stream, namespace } = this.#options;
    const found = await stream.last(leaseSubject(namespace, endpoint), { latest: true });
    if (found === undefined || found.sequence <= seen.sequence) return;
    Object.assign(seen, { sequence: found.sequence, leads: readLease(found.data).leads });
  }

  /**
   * Takes note of a message of a lease. Returns true if another node has overwritten the lease; false if its owner has
   * renewed it, or if it is this node's.
   */
  onMessage({ sequence, subject, data }: StoredMessage): boolean {
    const { namespace, endpoint: own, clock } = this.#options;
    const endpoint = readLeaseSubject(namespace, subject);
    if (endpoint === undefined || endpoint === own) return false;
    if (this.#seen.size > MAX_LEASES) this.#seen.clear();
    const { by, leads } = readLease(data);
    const fenced = by !== endpoint;
    this.#seen.set(endpoint, { sequence, at: clock.monotonic(), fenced, leads });
    return fenced;
  }

  /**
   * Overwrites the lease of another node, so that its owner stops leading, unless the lease was renewed since this
   * node saw it. Resolves with true if the lease is overwritten; never rejects.
   */
  async fence(endpoint: string): Promise<boolean> {
    const { stream, namespace, endpoint: own, clock, fault } = this.#options;
    const subject = leaseSubject(namespace, endpoint);
    const seen = this.#seenOf(endpoint, clock.monotonic());
    if (!seen.fenced) {
      const options = { timeout: ANSWER_TIMEOUT, expect: seen.sequence, ttl: LEASE_KEPT_FOR };
      const appended = await stream.append(subject, JSON.stringify({ v: 1, by: own }), options);
      if (appended.type === "stored") {
        Object.assign(seen, { sequence: appended.sequence, at: clock.monotonic(), fenced: true });
        return true;
      }
    }
    try {
      const found = await stream.last(subject, { latest: true });
      // the owner has renewed its lease, but the message has not arrived here: this node was cut off, or its server
      // lags behind
      if (found !== undefined && found.sequence > seen.sequence) this.onMessage(found);
      // the lease has expired: the next write makes a new one
      else if (found === undefined && seen.sequence > 0) seen.sequence = 0;
    } catch (error) {
      fault(error);
      return false;
    }
    return this.#seen.get(endpoint)?.fenced === true;
  }

  #renew(): Promise<boolean> {
    return this.#writing ??= this.#write().finally(() => this.#writing = undefined);
  }

  async #write(): Promise<boolean> {
    const { stream, endpoint, clock, onLost, onHeld, onFailed, fault } = this.#options;
    const sent = this.#sent = clock.monotonic();
    const options = { timeout: ANSWER_TIMEOUT, expect: this.#sequence, rollup: true, ttl: LEASE_KEPT_FOR };
    const text = JSON.stringify({ v: 1, by: endpoint, leads: LEADS_UNRENEWED_FOR });
    const appended = await stream.append(this.#subject, text, options);
    if (appended.type === "stored") {
      const { holds } = this;
      this.#sequence = appended.sequence;
      this.#renewed = sent;
      this.#failed = undefined;
      if (!holds) onHeld();
      return true;
    }
    if (appended.type !== "conflict") fault(this.#failed = appended.error);
    this.#sent = -Infinity;
    onFailed();
    try {
      const found = await stream.last(this.#subject, { latest: true });
      // the last write of this node's lease may have been stored although its answer was lost
      this.#sequence = found?.sequence ?? 0;
      if (found === undefined || readLease(found.data).by !== endpoint) {
        // this node's lease has expired, or another node has overwritten it
        this.#renewed = -Infinity;
        onLost();
      }
    } catch (error) {
      fault(error);
    }
    return false;
  }
}

/** Message of a lease. A member is `undefined` if the message does not have it in this form. */
interface LeaseMessage {
  /** Endpoint of the owner, or of the node that has overwritten the lease. */
  readonly by: string | undefined;
  /** Time for which the owner goes on leading without a renewal, in ms. */
  readonly leads: number | undefined;
}

function readLease(data: Uint8Array): LeaseMessage {
  const value = readRecord(textOf({ data }));
  const { by, leads }: Record<string, unknown> = typeof value === "object" ? value : {};
  return {
    by: typeof by === "string" ? by : undefined,
    leads: typeof leads === "number" && leads >= 0 ? leads : undefined,
  };
}

/** Interval between renewals of a lease, in ms. */
const RENEW_INTERVAL = 800;
/**
 * Time for which a node may go on leading without a renewal of its lease, in ms: the interval between two renewals (0.8
 * to 0.9 s), and 0.4 s for the store's answer. The lease states this time, because other nodes take over by it.
 */
const LEADS_UNRENEWED_FOR = 1_300;
/**
 * Time within which a node stops handing out messages after its lease has ended, in ms: it checks the lease every 100
 * ms while it has open messages, and when it reads others.
 */
const STOPS_WITHIN = 400;
const ANSWER_TIMEOUT = 2_000; // ms
/**
 * Time without a successful renewal after which this node's subscriptions count as stalled, in ms.
 * @decides a subscription's health is `stalled`, as the log takes no writes
 */
const UNRENEWED = 5_000;
/** Time after which the stream removes a lease that is not renewed, in ms. */
const LEASE_KEPT_FOR = 60_000;
const MAX_LEASES = 10_000;
