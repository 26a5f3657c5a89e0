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
  /** It did not answer lately: others are preferred. */
  readonly suspect: boolean;
  /** The contracts that it handles, with their kinds as far as they are known. */
  readonly handled: { readonly kinds: ReadonlyMap<string, Kind | undefined> };
}

/** Dependencies of breakers on the router that they belong to. */
interface BreakersOptions extends BreakerOptions {
  readonly clock: Clock;
  readonly observer: Observer;
  /** The nodes as the membership has them now. */
  members(): readonly KnownNode[];
  /** A breaker allows requests now, or does not any more. */
  changed(): void;
}

/** All of them. */
export class Breakers {
  readonly #options: BreakersOptions;
  /** Breakers of processes that a delivery has failed to; they are forgotten with their peers. */
  readonly #breakers: WeakMap<Peer, Breaker> = new WeakMap();
  /** True if there has been one: most nodes never need any. */
  #any = false;
  /** The ends of cooldowns. */
  readonly #timers: Set<Timer> = new Set();
  #closed = false;

  constructor(options: BreakersOptions) {
    this.#options = options;
  }

  /** Returns true if a request may be sent there now. */
  allows(peer: Peer | undefined): boolean {
    return this.#of(peer)?.allows ?? true;
  }

  /**
   * Called before a request is sent; `false`: it must not be. In the half-open state it is the trial, and the only one.
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

  /** The process has answered, or shown that it is alive. */
  succeeded(peer: Peer | undefined): void {
    this.#of(peer)?.succeeded();
  }

  /** A delivery has failed. */
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
      // of a process that has left nobody would report that it is closed again
      const isMember = members().some(({ info }) => info.endpoint === peer.endpoint);
      if (isMember) observer({ type: "breaker", node: peer.node, state });
      if (state === "open" && !this.#closed) {
        const timer = clock.after(cooldown, () => {
          this.#timers.delete(timer);
          this.allows(peer); // moves it to half-open
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
