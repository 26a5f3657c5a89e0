/** The breakers of the ways from this process to all others: made at the first failed delivery, and kept with the process. */
import type { Clock, Timer } from "../../ports/clock.ts";
import type { Observer } from "../../contract/observer.ts";
import { Breaker, type BreakerOptions } from "./breaker.ts";
import type { Peer } from "../wire/peer.ts";

/** What breakers need of the router that they belong to. */
export interface BreakersOptions extends BreakerOptions {
  readonly clock: Clock;
  readonly observer: Observer;
  /** One lets through what it did not before, or does no more. */
  changed(): void;
}

/** All of them. */
export class Breakers {
  readonly #options: BreakersOptions;
  /** Of processes that a delivery has failed to; they are forgotten with their processes. */
  readonly #breakers: WeakMap<Peer, Breaker> = new WeakMap();
  /** Whether there has been one: most nodes never need any. */
  #any = false;
  /** The ends of cooldowns. */
  readonly #timers: Set<Timer> = new Set();
  #closed = false;

  constructor(options: BreakersOptions) {
    this.#options = options;
  }

  /** Whether a request may be sent there now. */
  allows(peer: Peer | undefined): boolean {
    return this.#of(peer)?.allows ?? true;
  }

  /** A request is about to leave; `false`: it must not. The trial shuts the way again for the others. */
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

  /** The process has answered, or shown that it is there. */
  heard(peer: Peer | undefined): void {
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
    const { clock, observer, changed, cooldown } = this.#options;
    return new Breaker(this.#options, clock, (state) => {
      observer({ type: "breaker", node: peer.node, state });
      if (state === "open" && !this.#closed) {
        const timer = clock.after(cooldown, () => {
          this.#timers.delete(timer);
          this.allows(peer); // which moves it to half-open
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
