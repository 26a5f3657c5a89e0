/**
 * A client's session with the store of a {@link MemoryNetwork}: requests and answers travel in later turns of the event loop,
 * in order, and are lost when the connection is cut. All of them pass through {@link StoreSession.call}.
 */
import type { Clock } from "../ports/clock.ts";
import { CatgaError } from "../error.ts";
import type { Transport, TransportStatus } from "../ports/transport.ts";
import type { FaultSource } from "./faults.ts";
import type { ServerLink } from "./server_link.ts";

/** The client's connection that a session goes over. */
export type SessionClient = Pick<Transport, "status" | "onStatus"> & { readonly link: ServerLink };

/** Requests to the store, and their answers. */
export class StoreSession {
  readonly #clock: Clock;
  readonly #faults: FaultSource | undefined;
  readonly #client: SessionClient | undefined;

  /** Without a client, the store is always reachable. */
  constructor(clock: Clock, faults?: FaultSource, client?: SessionClient) {
    this.#clock = clock;
    this.#faults = faults;
    this.#client = client;
  }

  get connected(): boolean {
    return this.#client === undefined || this.#client.status.state === "connected";
  }

  /** Runs an operation in the store, and resolves with its result, unless the connection is lost first. */
  call<T>(operation: () => T): Promise<T> {
    const link = this.#client?.link;
    const epoch = link?.epoch ?? 0;
    return new Promise((resolve, reject) => {
      const lose = () => this.#enterSoon(() => reject(this.#failure()));
      const lost = () => {
        if (link === undefined || link.has(epoch)) return false;
        lose();
        return true;
      };
      const perform = () => {
        let answer: () => void;
        try {
          const value = operation();
          answer = () => resolve(value);
        } catch (error) {
          answer = () => reject(error);
        }
        if (link === undefined) return this.#clock.soon(answer);
        if (this.#faults?.hits("lostAck")) {
          link.process.clock.after(ANSWER_LIMIT, () => reject(silence()));
          return;
        }
        link.toProcess(() => this.#clock.soon(() => lost() || link.process.enter(answer)), lose);
      };
      if (link === undefined) this.#clock.soon(perform);
      else link.toServer(() => this.#clock.soon(perform), lose);
    });
  }

  /** Calls back in a later turn, after all earlier answers, even when the connection is lost. */
  soon(callback: () => void): void {
    const link = this.#client?.link;
    if (link === undefined) return this.#clock.soon(callback);
    const enter = () => this.#enterSoon(callback);
    link.toProcess(enter, enter);
  }

  /** Calls back at each change of the connection, until the returned function is called. */
  onStatus(listener: (status: TransportStatus) => void): () => void {
    return this.#client?.onStatus(listener) ?? (() => {});
  }

  #enterSoon(callback: () => void): void {
    (this.#client?.link.process.clock ?? this.#clock).soon(callback);
  }

  #failure(): CatgaError {
    return this.#client?.status.state === "closed"
      ? new CatgaError("CLOSED", "the connection to the store is closed")
      : new CatgaError("UNAVAILABLE", "the connection to the store is cut", { retryable: true });
  }
}

/** How long a client waits for an answer, in ms: as on NATS. */
const ANSWER_LIMIT = 5_000;

function silence(): CatgaError {
  return new CatgaError("UNAVAILABLE", `no answer from the store in ${ANSWER_LIMIT} ms; a write may have happened`, {
    retryable: true,
  });
}
