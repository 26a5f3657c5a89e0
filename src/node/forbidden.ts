/** What the network's server does not let this node do: told once a minute for each subject, and asked for at the start. */
import type { Clock } from "../ports/clock.ts";
import type { Observer } from "../contract/observer.ts";
import { mayNot, type Violation } from "../ports/transport.ts";

/** The violations of one node. */
export class Forbidden {
  readonly #clock: Clock;
  readonly #observer: Observer;
  /** When each was told, by the monotonic clock. */
  readonly #told = new Map<string, number>();
  readonly #essential: (violation: Violation) => boolean;
  /** What subjects of one kind begin with: one line for all of them. */
  readonly #kinds: readonly string[];
  #first: Violation | undefined;

  /** `essential`: what a node of this namespace cannot do without. */
  constructor(clock: Clock, observer: Observer, namespace: string) {
    this.#clock = clock;
    this.#observer = observer;
    const frames = [`catga.${namespace}.node.`, `catga.${namespace}.bounce.`];
    this.#kinds = [...frames, `catga.${namespace}.call.`, "$SRV."];
    const events = `catga.${namespace}.event.`;
    this.#essential = ({ operation, subject }) =>
      frames.some((prefix) => subject.startsWith(prefix)) ||
      (operation === "subscribe" && subject.startsWith(events));
  }

  /** There is one. */
  add(violation: Violation): void {
    const { operation } = violation;
    const kind = this.#kinds.find((prefix) => violation.subject.startsWith(prefix));
    const subject = kind === undefined ? violation.subject : `${kind}>`;
    if (this.#essential(violation)) this.#first ??= violation;
    const now = this.#clock.monotonic();
    const key = `${operation} ${subject}`;
    if (now - (this.#told.get(key) ?? -Infinity) < AGAIN) return;
    if (this.#told.size >= MAX_TOLD) this.#told.clear();
    this.#told.set(key, now);
    this.#observer({ type: "forbidden", operation, subject });
  }

  /** Rejects with the first that this node cannot do without. */
  async check(): Promise<void> {
    // what came with the last answer is told in this turn
    await new Promise<void>((resolve) => this.#clock.soon(resolve));
    if (this.#first !== undefined) throw mayNot(this.#first);
  }
}

const AGAIN = 60_000; // ms
const MAX_TOLD = 256;
