/**
 * A client's way to the store of a {@link MemoryNetwork}: requests go and answers come in later turns of the event loop,
 * in order, and not at all over a link that is cut. Every acknowledgement passes through {@link StoreSession.call}.
 */
import type { Clock } from "../clock.ts";
import { CatgaError } from "../error.ts";
import type { Transport, TransportStatus } from "../transport.ts";

/** The connection that a session goes over. */
export type SessionLink = Pick<Transport, "status" | "onStatus">;

/** Requests to the store, and answers. */
export class StoreSession {
  readonly #clock: Clock;
  readonly #link: SessionLink | undefined;

  /** Without a link the store is always there. */
  constructor(clock: Clock, link?: SessionLink) {
    this.#clock = clock;
    this.#link = link;
  }

  get connected(): boolean {
    return this.#link === undefined || this.#link.status.state === "connected";
  }

  /** Runs an operation of the store and brings back its answer, if the link lives long enough. */
  call<T>(operation: () => T): Promise<T> {
    const generation = this.#link?.status.generation;
    return new Promise((resolve, reject) => {
      const lost = () => {
        if (this.connected && this.#link?.status.generation === generation) return false;
        this.#clock.soon(() => reject(this.#failure()));
        return true;
      };
      if (lost()) return;
      this.#clock.soon(() => {
        if (lost()) return;
        let answer: () => void;
        try {
          const value = operation();
          answer = () => resolve(value);
        } catch (error) {
          answer = () => reject(error);
        }
        this.#clock.soon(() => lost() || answer());
      });
    });
  }

  /** Calls back in a later turn, after the answers that were given before. */
  soon(callback: () => void): void {
    this.#clock.soon(callback);
  }

  /** Listens to the link; the answer stops it. */
  onStatus(listener: (status: TransportStatus) => void): () => void {
    return this.#link?.onStatus(listener) ?? (() => {});
  }

  #failure(): CatgaError {
    return this.#link?.status.state === "closed"
      ? new CatgaError("CLOSED", "the connection to the store is closed")
      : new CatgaError("UNAVAILABLE", "the connection to the store is cut", { retryable: true });
  }
}
