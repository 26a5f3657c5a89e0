/**
 * Asks a connection for an answer as soon as this process goes on after it stood still, as on a machine that slept. A
 * firewall or NAT on the way may have forgotten the link meanwhile, and drops all that is sent on it, in silence: the
 * pings of nats.js notice that after three intervals (15 s). A link without an answer is ended, so that nats.js dials.
 */
import type { NatsConnection } from "@nats-io/nats-core";
import { type Clock, elapsed, type Stamp, stamp, type Timer } from "../../ports/clock.ts";
import { stoodStill } from "../../ports/standstill.ts";
import { destroySocket } from "./private.ts";

/** Watches for standstills of this process, and asks its connection after each. */
export class AfterStandstill {
  readonly #connection: NatsConnection;
  readonly #clock: Clock;
  readonly #generation: () => number | undefined;
  #looked: Stamp;
  #watching: Timer | undefined;
  #limit: Timer | undefined;
  #closed = false;

  /**
   * `generation`: returns the number of the present link, which is another one after a reconnect; `undefined`: there is
   * no link.
   */
  constructor(connection: NatsConnection, clock: Clock, generation: () => number | undefined) {
    this.#connection = connection;
    this.#clock = clock;
    this.#generation = generation;
    this.#looked = stamp(clock);
    this.#watch();
  }

  close(): void {
    this.#closed = true;
    this.#watching?.cancel();
    this.#limit?.cancel();
  }

  #watch(): void {
    this.#watching = this.#clock.after(INTERVAL, () => {
      const passed = elapsed(this.#clock, this.#looked);
      this.#looked = stamp(this.#clock);
      if (passed >= INTERVAL + STANDSTILL) this.#ask();
      this.#watch();
    }, { background: true });
  }

  #ask(): void {
    const asked = this.#generation();
    if (asked === undefined) return;
    let isOver = false;
    const over = () => {
      isOver = true;
    };
    // a link that is lost is dialled anyway
    this.#connection.rtt().then(over, over);
    const wait = () => {
      const due = this.#clock.monotonic() + ANSWER;
      this.#limit?.cancel();
      this.#limit = this.#clock.after(ANSWER, () => {
        if (isOver || this.#closed || this.#generation() !== asked) return;
        // the answer may lie unread in the socket, if this process stood still once more
        if (stoodStill(this.#clock.monotonic(), due)) return wait();
        destroySocket(this.#connection);
      }, { background: true });
    };
    wait();
  }
}

/** Interval between two looks, in ms. */
const INTERVAL = 4_000;
/** Duration of a standstill after which the connection is asked, in ms: no NAT forgets a link sooner. */
const STANDSTILL = 10_000;
/** Time for the answer, in ms. */
const ANSWER = 3_000;
