/**
 * The circuit breakers of this process: one for each other process, made at the first failed delivery to that
 * process.
 */
import type { Clock, Timer } from "../../ports/clock.ts";
import type { Observer } from "../../contract/nodes/observer.ts";
import type { Peer } from "../wire/peer.ts";
import type { Kind } from "../../contract/declaration/contract.ts";
import type { NodeInfo } from "../../contract/nodes/node_info.ts";

/** A node of the cluster, with what the breakers need to know of it. */
export interface KnownNode {
  readonly info: NodeInfo;
  /**
   * True if a frame to the node has bounced, or a ping to it was not answered in time; requests then prefer other
   * nodes.
   */
  readonly suspect: boolean;
  /** Contracts that the node handles, with their kinds as far as they are known. */
  readonly handled: { readonly kinds: ReadonlyMap<string, Kind | undefined> };
}

/** Dependencies of {@link Breakers} on the router. */
interface BreakersOptions extends BreakerOptions {
  readonly clock: Clock;
  readonly observer: Observer;
  /** Returns the present members of the cluster. */
  members(): readonly KnownNode[];
  /** Called when a breaker begins, or ceases, to allow requests. */
  changed(): void;
}

/** The circuit breakers of this process, for all other processes. */
export class Breakers {
  readonly #options: BreakersOptions;
  /** Breakers of the processes to which a delivery has failed. A breaker is forgotten with its peer. */
  readonly #breakers: WeakMap<Peer, Breaker> = new WeakMap();
  /** True if a breaker was ever made. A fast check, because most nodes never need any. */
  #any = false;
  /** Timers that run until the cooldown of an open breaker ends. */
  readonly #timers: Set<Timer> = new Set();
  #closed = false;

  constructor(options: BreakersOptions) {
    this.#options = options;
  }

  /** Returns true if a request may be sent to this process now. */
  allows(peer: Peer | undefined): boolean {
    return this.#of(peer)?.allows ?? true;
  }

  /**
   * Returns false if a request must not be sent to a process. If the process's breaker is half-open, the request
   * becomes the trial. Called before the request is sent.
   */
  passes(peer: Peer): boolean {
    const breaker = this.#of(peer);
    if (breaker === undefined) return true;
    if (!breaker.allows) return false;
    if (breaker.state === "half-open") {
      breaker.sent();
      this.#options.changed();
    }
    return true;
  }

  /** Closes the breaker of a process that has answered, or otherwise shown that it is alive. */
  succeeded(peer: Peer | undefined): void {
    this.#of(peer)?.succeeded();
  }

  /**
   * Counts a failed delivery to a process; the first one makes the process's breaker.
   * @decides a node is avoided after failures; when it gets a trial request, and when the next one
   */
  failed(peer: Peer): void {
    let breaker = this.#of(peer);
    if (breaker === undefined) {
      this.#breakers.set(peer, breaker = this.#make(peer));
      this.#any = true;
    }
    breaker.failed();
  }

  #of(peer: Peer | undefined): Breaker | undefined {
    return this.#any && peer !== undefined ? this.#breakers.get(peer) : undefined;
  }

  #make(peer: Peer): Breaker {
    const { clock, observer, members, changed, cooldown } = this.#options;
    return new Breaker(this.#options, clock, (state) => {
      // nothing is reported for a process that has left the cluster, because its breaker would never be reported as
      // closed again
      const isMember = members().some(({ info }) => info.endpoint === peer.endpoint);
      if (isMember) observer({ type: "breaker", node: peer.node, state });
      if (state === "open" && !this.#closed) {
        const timer = clock.after(cooldown, () => {
          this.#timers.delete(timer);
          this.allows(peer); // reading the state makes the breaker half-open
          changed();
        }, { background: true });
        this.#timers.add(timer);
      }
      changed();
    });
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }
}

/** Conditions under which a breaker opens, and how long it stays open. */
export interface BreakerOptions {
  /** Number of failed deliveries in a row that open the breaker, 1 or more. Default: 5. */
  readonly failures: number;
  /** Time for which the breaker stays open before a trial request is sent, in ms. Default: 5,000. */
  readonly cooldown: number;
}

/**
 * State of a circuit breaker. `closed`: requests are sent; `open`: none is; `half-open`: one trial request is sent, and
 * its result closes or opens the breaker.
 */
export type BreakerState = "closed" | "open" | "half-open";

/**
 * The circuit breaker (Nygard, Release It!) of one process: after some failures in a row no request is sent to the
 * process for a while (open); after the cooldown the breaker is half-open: one request, the trial, is sent to the
 * process, and its result closes or opens the breaker again.
 */
export class Breaker {
  readonly #options: BreakerOptions;
  readonly #clock: Clock;
  readonly #onChange: (state: BreakerState) => void;
  #state: BreakerState = "closed";
  /** Number of failed deliveries in a row, while the breaker is closed. */
  #failures = 0;
  /** Time at which the breaker opened, by the monotonic clock. */
  #openedAt = 0;
  /** Time at which the trial request was sent, by the monotonic clock; -1: none was. */
  #trialAt = -1;

  constructor(options: BreakerOptions, clock: Clock, onChange: (state: BreakerState) => void) {
    this.#options = options;
    this.#clock = clock;
    this.#onChange = onChange;
  }

  /** The breaker's present state. An open breaker becomes half-open when its cooldown has ended. */
  get state(): BreakerState {
    if (this.#state === "open" && this.#clock.monotonic() - this.#openedAt >= this.#options.cooldown) {
      this.#move("half-open");
    }
    return this.#state;
  }

  /** True if a request may be sent to the process now. */
  get allows(): boolean {
    if (this.#state === "closed") return true;
    if (this.state !== "half-open") return false;
    // a trial whose end is never reported must not block the process for ever: after a cooldown another trial may be
    // sent
    return this.#trialAt < 0 || this.#clock.monotonic() - this.#trialAt >= this.#options.cooldown;
  }

  /** Makes a request the trial if the breaker is half-open. Called when the request is sent. */
  sent(): void {
    if (this.#state === "half-open") this.#trialAt = this.#clock.monotonic();
  }

  /** Closes the breaker. Called when the process has answered, even with an error. */
  succeeded(): void {
    this.#failures = 0;
    if (this.#state !== "closed") this.#move("closed");
  }

  /** Counts a failed delivery. After enough failures in a row, or in the half-open state, the breaker opens. */
  failed(): void {
    this.#failures++;
    if (this.state === "half-open" || (this.#state === "closed" && this.#failures >= this.#options.failures)) {
      this.#move("open");
    }
  }

  /** Changes the state; every transition goes through this function. */
  #move(state: BreakerState): void {
    this.#state = state;
    this.#trialAt = -1;
    this.#failures = 0;
    if (state === "open") this.#openedAt = this.#clock.monotonic();
    this.#onChange(state);
  }
}
