/**
 * Permissions that the NATS server denies this node: reported once a minute for each subject, and an error of the start
 * when a node cannot do without it. Subjects of one kind share a report, so that the reply subjects that plain clients
 * choose do not fill the log.
 */
import { callSubject, eventSubject, framePrefixes } from "../contract/subjects.ts";
import type { Clock } from "../ports/clock.ts";
import { OnceAMinute } from "../ports/once_a_minute.ts";
import type { Observer } from "../contract/observer.ts";
import { mayNot, type Violation } from "../ports/transport.ts";

/** The violations of one node. */
export class Forbidden {
  readonly #clock: Clock;
  readonly #observer: Observer;
  readonly #reports: OnceAMinute;
  readonly #essential: (violation: Violation) => boolean;
  /** Prefixes of subjects that share one report each. */
  readonly #kinds: readonly string[];
  /** Those of plain clients, which are granted together. */
  readonly #plain: readonly string[];
  #first: Violation | undefined;

  /** `namespace` decides which subjects a node cannot do without: those of frames, bounces and its events. */
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

  /** Adds a violation that the server has reported. */
  add(violation: Violation): void {
    const { operation } = violation;
    const kind = this.#kinds.find((prefix) => violation.subject.startsWith(prefix)) ?? violation.subject;
    // who grants all frames lets the node speak for every other one
    const subject = this.#plain.includes(kind) ? `${kind}>` : violation.subject;
    const answer = operation === "publish" && !OWNED.test(subject);
    if (this.#essential(violation)) this.#first ??= violation;
    if (!this.#reports.due(answer ? "answers" : `${operation} ${kind}`)) return;
    this.#observer({ type: "forbidden", operation, subject });
  }

  /** Rejects with the first violation of a subject that a node cannot do without; `UNAVAILABLE`. */
  async check(): Promise<void> {
    // violations that came with the last answer are added in this turn of the event loop
    await new Promise<void>((resolve) => this.#clock.soon(resolve));
    if (this.#first !== undefined) throw mayNot(this.#first);
  }
}

/** Subjects of NATS and Catga; a node publishes to others only to answer plain clients. */
const OWNED = /^(?:\$|catga\.)/;
