/**
 * Makes subscriptions again that nats-server has refused because of its limit of subscriptions: it does not say which
 * ones, and does not take them when its limit is raised. So all of a connection are sent again, after pauses that grow
 * from 1 s to 30 s; nats-server passes over those that it has.
 */
import type { NatsConnection } from "@nats-io/nats-core";
import { CatgaError } from "../../error.ts";
import { type Clock, doubled, type Timer } from "../../ports/clock.ts";
import { PAUSES } from "../../ports/repeat.ts";
import type { Transport } from "../../ports/transport.ts";
import { protocolOf } from "./private.ts";

/** The refused subscriptions of one connection. */
export class RefusedSubscriptions {
  readonly #connection: NatsConnection;
  readonly #clock: Clock;
  readonly #transport: Pick<Transport, "flush" | "status">;
  #timer: Timer | undefined;
  /** Number of times that subscriptions were refused since all of them last existed, or the connection was lost. */
  #failures = 0;

  constructor(connection: NatsConnection, clock: Clock, transport: Pick<Transport, "flush" | "status">) {
    this.#connection = connection;
    this.#clock = clock;
    this.#transport = transport;
  }

  /** Sends all subscriptions again after a pause. Returns the error to report; `undefined` if it was reported. */
  refused(cause: Error): CatgaError | undefined {
    if (this.#timer !== undefined) return undefined;
    const pause = doubled(this.#failures++, ...PAUSES.refused);
    this.#timer = this.#clock.after(pause, () => this.#again(), { background: true });
    if (this.#failures > 1) return undefined;
    return new CatgaError(
      "UNAVAILABLE",
      `nats-server refuses subscriptions of this connection: ${cause.message}; raise max_subscriptions of the server, ` +
        "or max_subs of the account; they are made again until it takes them",
      { retryable: true, cause },
    );
  }

  #again(): void {
    this.#timer = undefined;
    // after a reconnect nats.js has sent them all
    if (this.#transport.status.state === "connected") protocolOf(this.#connection)?.sendSubscriptions?.();
    // the server reports what it refuses before it answers the flush; the flush fails if the connection was lost:
    // subscriptions that are refused after the reconnect are reported and made again
    const over = () => {
      if (this.#timer === undefined) this.#failures = 0;
    };
    this.#transport.flush().then(over, over);
  }
}

/** Returns true if the server reports that it has refused a subscription because of its limit. */
export function isSubscriptionLimit(error: Error): boolean {
  return error.name === "ProtocolError" && /maximum subscriptions exceeded/i.test(error.message);
}
