/** Malformed messages from the network: counted, and reported at once and then once a minute at most. */
import type { Observer } from "../../contract/observer.ts";
import type { Transport } from "../../ports/transport.ts";

/** The count of one node. */
export class MalformedCount {
  readonly #transport: Transport;
  readonly #observer: Observer;
  #count = 0;
  #reportedAt = -Infinity;
  #last = { subject: "", reason: "" };

  constructor(transport: Transport, observer: Observer) {
    this.#transport = transport;
    this.#observer = observer;
  }

  add(subject: string, reason: string): void {
    this.#count++;
    this.#last = { subject: subject.slice(0, 200), reason };
    if (this.#transport.clock.monotonic() - this.#reportedAt >= 60_000) this.report();
  }

  /** Reports those that have come since the last report. */
  report(): void {
    if (this.#count === 0) return;
    this.#reportedAt = this.#transport.clock.monotonic();
    this.#observer({ type: "malformed", ...this.#last, count: this.#count });
    this.#count = 0;
  }
}

/** The reason when a frame or an event has headers. */
export const HEADERS = "it has headers, and no node sends any";

/** The reason when a message is on a subject that the node did not subscribe to. */
export const ELSEWHERE =
  "it came on a subject that is not this node's: a mapping or an import of the server changes subjects";
