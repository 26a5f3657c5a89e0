/**
 * Counts malformed messages from the network, and reports them: the first at once, after that once a minute at most.
 */
import type { Observer } from "../../contract/observer.ts";
import { OnceAMinute } from "../../ports/once_a_minute.ts";
import type { Transport } from "../../ports/transport.ts";

/** Counts the malformed messages that one node has received. */
export class MalformedCount {
  readonly #observer: Observer;
  readonly #reports: OnceAMinute;
  #count = 0;
  #last = { subject: "", reason: "" };

  constructor({ clock }: Transport, observer: Observer) {
    this.#reports = new OnceAMinute(clock);
    this.#observer = observer;
  }

  add(subject: string, reason: string): void {
    this.#count++;
    this.#last = { subject: subject.slice(0, 200), reason };
    if (this.#reports.due()) this.report();
  }

  /** Reports the number of malformed messages since the last report; does nothing if there were none. */
  report(): void {
    if (this.#count === 0) return;
    this.#observer({ type: "malformed", ...this.#last, count: this.#count });
    this.#count = 0;
  }
}

/** Reason for which a message with headers is refused. */
export const HEADERS = "it has headers, and no node sends any";

/** Reason for which a message on a subject to which the node did not subscribe is refused. */
export const ELSEWHERE =
  "it came on a subject that is not this node's: a mapping or an import of the server changes subjects";
