/** The circuit breakers of this process, one for each other process, made at the first failed delivery to it. */
import type { Clock, Timer } from "../../ports/clock.ts";
import { Breaker, type BreakerOptions } from "./breaker.ts";
import type { Observer } from "../../contract/observer.ts";
import type { Peer } from "../wire/peer.ts";
import type { Kind } from "../../contract/contract.ts";
import type { NodeInfo } from "../../contract/node_info.ts";

/** A node as the membership knows it. */
export interface KnownNode {
  readonly info: NodeInfo;
  /** True if the node did not answer lately: other nodes are preferred. */
  readonly suspect: boolean;
  /** Contracts that the node handles, with their kinds as far as they are known. */
  readonly handled: { readonly kinds: ReadonlyMap<string, Kind | undefined> };
}

/** Dependencies of breakers on the router that they belong to. */
interface BreakersOptions extends BreakerOptions {
  readonly clock: Clock;
  readonly observer: Observer;
  /** Returns the present members. */
  members(): readonly KnownNode[];
  /** Called when a breaker begins or ceases to allow requests. */
  changed(): void;
}

/** The breakers of one process for all other processes. */
export class Breakers {
  readonly #options: BreakersOptions;
  /** Breakers of processes to which a delivery failed; a breaker is forgotten with its peer. */
  readonly #breakers: WeakMap<Peer, Breaker> = new WeakMap();
  /** True if a breaker was ever made: most nodes never need any. */
  #any = false;
  /** Timers of the ends of cooldowns. */
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
   * Called before a request is sent; false: it must not be sent. In the half-open state the request becomes the only
   * trial.
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

  /** Closes the breaker of a process that has answered, or shown that it is alive. */
  succeeded(peer: Peer | undefined): void {
    this.#of(peer)?.succeeded();
  }

  /** Counts a failed delivery to a process; makes the process's breaker at the first one. */
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
      // a change of a breaker is not reported for a process that left: its closing would never be reported
      const isMember = members().some(({ info }) => info.endpoint === peer.endpoint);
      if (isMember) observer({ type: "breaker", node: peer.node, state });
      if (state === "open" && !this.#closed) {
        const timer = clock.after(cooldown, () => {
          this.#timers.delete(timer);
          this.allows(peer); // reading the state moves the breaker to half-open
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
