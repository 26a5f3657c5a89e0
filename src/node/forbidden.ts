/**
 * Permissions that the NATS server denies this node. A denial is reported once a minute for each subject, and is an
 * error of the start if the node cannot work without the permission. Subjects of one kind share a report, so that the
 * reply subjects that plain clients choose do not fill the log.
 */
import { callSubject, eventSubject, framePrefixes } from "../contract/subjects.ts";
import type { Clock } from "../ports/clock.ts";
import { OnceAMinute } from "../ports/once_a_minute.ts";
import type { Observer } from "../contract/observer.ts";
import { mayNot, type Violation } from "../ports/transport.ts";

/** The denied permissions of one node. */
export class Forbidden {
  readonly #clock: Clock;
  readonly #observer: Observer;
  readonly #reports: OnceAMinute;
  readonly #essential: (violation: Violation) => boolean;
  /** Prefixes of subjects; all subjects of a prefix share one report. */
  readonly #kinds: readonly string[];
  /** Prefixes of the subjects of plain clients, whose permission is granted for the whole prefix. */
  readonly #plain: readonly string[];
  #first: Violation | undefined;

  /**
   * `namespace`: decides which subjects the node cannot work without: subjects of frames and bounces, and subscriptions
   * to events.
   */
  constructor(clock: Clock, observer: Observer, namespace: string) {
    this.#clock = clock;
    this.#reports = new OnceAMinute(clock);
    this.#observer = observer;
    const frames = framePrefixes(namespace);
    this.#plain = [callSubject(namespace), "$SRV."];
    this.#kinds = [...frames, ...this.#plain];
    const events = eventSubject(namespace);
    this.#essential = ({ operation, subject }) =>
      frames.some((prefix) => subject.startsWith(prefix)) ||
      (operation === "subscribe" && subject.startsWith(events));
  }

  /** Adds a denial that the server has reported. */
  add(violation: Violation): void {
    const { operation } = violation;
    const kind = this.#kinds.find((prefix) => violation.subject.startsWith(prefix)) ?? violation.subject;
    // frames keep their exact subject: a permission for all frames would let the node send in the name of every other
    // node
    const subject = this.#plain.includes(kind) ? `${kind}>` : violation.subject;
    const answer = operation === "publish" && !OWNED.test(subject);
    if (this.#essential(violation)) this.#first ??= violation;
    if (!this.#reports.due(answer ? "answers" : `${operation} ${kind}`)) return;
    this.#observer({ type: "forbidden", operation, subject });
  }

  /** Rejects with `UNAVAILABLE` for the first denied subject that the node cannot work without. */
  async check(): Promise<void> {
    // denials that came with the last answer are added in this turn of the event loop
    await new Promise<void>((resolve) => this.#clock.soon(resolve));
    if (this.#first !== undefined) throw mayNot(this.#first);
  }
}

/** Subjects of NATS and Catga; a node publishes to other subjects only to answer plain clients. */
const OWNED = /^(?:\$|catga\.)/;
