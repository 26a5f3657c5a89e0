/**
 * A client's way to the store of a {@link MemoryNetwork}: requests go and answers come in later turns of the event loop,
 * in order, and not at all over a link that is cut. Every acknowledgement passes through {@link StoreSession.call}.
 */
import type { Clock } from "../ports/clock.ts";
import { CatgaError } from "../error.ts";
import type { Transport, TransportStatus } from "../ports/transport.ts";
import type { FaultSource } from "./faults.ts";
import type { Wire } from "./wire.ts";

/** The connection that a session goes over. */
export type SessionLink = Pick<Transport, "status" | "onStatus"> & { readonly wire: Wire };

/** Requests to the store, and answers. */
export class StoreSession {
  readonly #clock: Clock;
  readonly #faults: FaultSource | undefined;
  readonly #link: SessionLink | undefined;

  /** Without a link the store is always there. */
  constructor(clock: Clock, faults?: FaultSource, link?: SessionLink) {
    this.#clock = clock;
    this.#faults = faults;
    this.#link = link;
  }

  get connected(): boolean {
    return this.#link === undefined || this.#link.status.state === "connected";
  }

  /** Runs an operation of the store and brings back its answer, if the link lives long enough. */
  call<T>(operation: () => T): Promise<T> {
    const wire = this.#link?.wire;
    const epoch = wire?.epoch ?? 0;
    return new Promise((resolve, reject) => {
      const lose = () => this.#enterSoon(() => reject(this.#failure()));
      const lost = () => {
        if (wire === undefined || wire.has(epoch)) return false;
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
        if (wire === undefined) return this.#clock.soon(answer);
        if (this.#faults?.hits("lostAck")) {
          wire.process.clock.after(ANSWER_LIMIT, () => reject(silence()));
          return;
        }
        wire.down(() => this.#clock.soon(() => lost() || wire.process.enter(answer)), lose);
      };
      if (wire === undefined) this.#clock.soon(perform);
      else wire.up(() => this.#clock.soon(perform), lose);
    });
  }

  /** Calls back in a later turn, after the answers that were given before; at any rate. */
  soon(callback: () => void): void {
    const wire = this.#link?.wire;
    if (wire === undefined) return this.#clock.soon(callback);
    const enter = () => this.#enterSoon(callback);
    wire.down(enter, enter);
  }

  /** Listens to the link; the answer stops it. */
  onStatus(listener: (status: TransportStatus) => void): () => void {
    return this.#link?.onStatus(listener) ?? (() => {});
  }

  #enterSoon(callback: () => void): void {
    (this.#link?.wire.process.clock ?? this.#clock).soon(callback);
  }

  #failure(): CatgaError {
    return this.#link?.status.state === "closed"
      ? new CatgaError("CLOSED", "the connection to the store is closed")
      : new CatgaError("UNAVAILABLE", "the connection to the store is cut", { retryable: true });
  }
}

/** How long an answer may take, in ms: as long as on NATS. */
const ANSWER_LIMIT = 5_000;

function silence(): CatgaError {
  return new CatgaError("UNAVAILABLE", `no answer from the store in ${ANSWER_LIMIT} ms; a write may have happened`, {
    retryable: true,
  });
}
