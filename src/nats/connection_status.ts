/**
 * Follows the status of a NATS connection by the events of nats.js. A dead link is `disconnected` as soon as nats.js
 * finds it dead; each reconnect begins a new generation; `closed` is final. Works around three faults of nats.js: a
 * socket that it cannot end is destroyed after 1 s, a link that was lost just as an attempt to connect succeeded is
 * dialled again (`dead_link.ts`), and the socket of each dial sends without a delay (`no_delay.ts`).
 */
import type { NatsConnection, Status } from "@nats-io/nats-core";
import { destroySocket, dialWhenLostAtOnce } from "./dead_link.ts";
import { sendWithoutDelay } from "./no_delay.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { TransportStatus } from "../ports/transport.ts";

/** Time that nats.js gets to end a link that it has found dead, in ms. */
const STALE_LIMIT = 1_000;

/** The status of one connection, from its opening to its end. */
export class ConnectionStatus {
  /** The present status, as a frozen object. Only this class writes it. */
  current: TransportStatus = Object.freeze({ state: "connected", generation: 1 });
  readonly #connection: NatsConnection;
  readonly #clock: Clock;
  readonly #listeners = new Set<(status: TransportStatus) => void>();
  readonly #events: AsyncIterable<Status>;
  #staleTimer: Timer | undefined;

  /**
   * `owned`: true if Catga opened the connection. `onError` is called with errors that the server reports; `onFailure`
   * with errors that a listener of the status throws.
   */
  constructor(
    { connection, owned }: { connection: NatsConnection; owned: boolean },
    clock: Clock,
    { onError, onFailure }: { onError: (error: Error) => void; onFailure: (error: unknown) => void },
  ) {
    this.#connection = connection;
    this.#clock = clock;
    this.#events = connection.status();
    this.#follow(onError).catch(onFailure);
    sendWithoutDelay(connection);
    if (dialWhenLostAtOnce(connection, clock)) this.#move("disconnected");
    connection.closed().then((error) => this.#move("closed", error ?? undefined), onFailure);
    // a connection given by the user may be reconnecting already; only a ping shows that
    if (!owned) {
      connection.rtt().catch(() => {
        if (this.current.generation === 1) this.#move("disconnected");
      });
    }
  }

  /** Calls the listener at each change of the status, until the returned function is called. */
  onChange(listener: (status: TransportStatus) => void): () => void {
    // a new function for each call, so that the same listener may be added twice
    const own = (status: TransportStatus) => listener(status);
    this.#listeners.add(own);
    return () => {
      this.#listeners.delete(own);
    };
  }

  /** Sets the final status `closed`, also if the connection itself stays open. */
  close(): void {
    // cast: the iterator of nats.js has `stop`, but its type lacks it
    (this.#events as { stop?(): void }).stop?.();
    this.#move("closed");
  }

  async #follow(onError: (error: Error) => void): Promise<void> {
    for await (const event of this.#events) {
      switch (event.type) {
        case "staleConnection":
          this.#move("disconnected");
          this.#staleTimer = this.#clock.after(STALE_LIMIT, () => destroySocket(this.#connection), {
            background: true,
          });
          break;
        case "disconnect":
        case "forceReconnect":
        // nats.js emits "reconnecting" at each attempt to connect; the event makes up for a missed "disconnect"
        case "reconnecting":
          this.#staleTimer?.cancel();
          this.#move("disconnected");
          break;
        case "reconnect":
          sendWithoutDelay(this.#connection);
          if (!dialWhenLostAtOnce(this.#connection, this.#clock)) this.#move("connected");
          break;
        case "error":
          onError(event.error);
          break;
      }
    }
  }

  /** Changes the status; every change goes through this method. */
  #move(state: TransportStatus["state"], error?: Error): void {
    const before = this.current;
    // a repeated state is ignored: nats.js emits "reconnect" twice if a connection was lost during an attempt to
    // connect
    if (before.state === state || before.state === "closed") return;
    if (state === "closed") this.#staleTimer?.cancel();
    const generation = state === "connected" ? before.generation + 1 : before.generation;
    this.current = Object.freeze({ state, generation, ...(error === undefined ? {} : { error }) });
    for (const listener of [...this.#listeners]) listener(this.current);
  }
}
