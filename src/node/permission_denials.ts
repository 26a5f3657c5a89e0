/**
 * Permissions that the NATS server denies this node. A denial is reported once a minute for each operation and kind of
 * subject: subjects of frames, or of plain NATS clients, share a report, so that the many reply subjects that such
 * clients choose do not fill the log; every other subject is a kind of its own. If the node cannot work without the
 * permission, its start fails.
 */
import { callSubject, eventSubject, framePrefixes } from "../contract/nodes/subjects.ts";
import { type Clock, OnceAMinute } from "../ports/clock.ts";
import type { Observer } from "../contract/nodes/observer.ts";
import { mayNot, type Violation } from "../ports/transport.ts";

/** The denied permissions of one node. */
export class PermissionDenials {
  readonly #clock: Clock;
  readonly #observer: Observer;
  readonly #reports: OnceAMinute;
  readonly #essential: (violation: Violation) => boolean;
  /** Prefixes of subjects: all subjects with one of these prefixes share a report. */
  readonly #kinds: readonly string[];
  /** Prefixes of subjects of plain NATS clients; permissions for them are granted for the whole prefix. */
  readonly #plain: readonly string[];
  #first: Violation | undefined;

  /**
   * `namespace`: tells which subjects the node cannot work without: subjects of frames, of undelivered frames, and
   * subscriptions to events.
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
    // a report about frames (network messages) names the exact subject: a permission for the subjects of all frames
    // would let the node send in the name of every other node
    const subject = this.#plain.includes(kind) ? `${kind}>` : violation.subject;
    const answer = operation === "publish" && !OWNED.test(subject);
    if (this.#essential(violation)) this.#first ??= violation;
    if (!this.#reports.due(answer ? "answers" : `${operation} ${kind}`)) return;
    this.#observer({ type: "forbidden", operation, subject });
  }

  /** Rejects with `UNAVAILABLE` for the first denied subject that the node cannot work without. */
  async check(): Promise<void> {
    // denials that the server reported together with its last answer are added in this turn of the event loop
    await new Promise<void>((resolve) => this.#clock.soon(resolve));
    if (this.#first !== undefined) throw mayNot(this.#first);
  }
}

/** Matches the subjects of NATS and Catga; a node publishes to other subjects only to answer plain NATS clients. */
const OWNED = /^(?:\$|catga\.)/;
