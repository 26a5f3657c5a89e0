import type { Observer } from "../../contract/observer.ts";
import type { Transport } from "../../ports/transport.ts";

/** Counts what came from the network and was not as it should be, and tells of it once a minute at most: one for a node. */
export class MalformedCount {
  readonly #transport: Transport;
  readonly #observer: Observer;
  #count = 0;
  #told = -Infinity;
  #last = { subject: "", reason: "" };

  constructor(transport: Transport, observer: Observer) {
    this.#transport = transport;
    this.#observer = observer;
  }

  add(subject: string, reason: string): void {
    this.#count++;
    this.#last = { subject: subject.slice(0, 200), reason };
    if (this.#transport.clock.monotonic() - this.#told >= 60_000) this.report();
  }

  /** Tells of those that have come since the last time. */
  report(): void {
    if (this.#count === 0) return;
    this.#told = this.#transport.clock.monotonic();
    this.#observer({ type: "malformed", ...this.#last, count: this.#count });
    this.#count = 0;
  }
}

/** What is wrong with a frame or an event that has headers. */
export const HEADERS = "it has headers, and no node sends any";
