/**
 * Messages that were sent to a stream and are not acknowledged yet. One subscription receives all acknowledgements,
 * which makes a message several times cheaper than `js.publish` (docs/internals/packages.md, row `publish`). Each
 * message has a number, which gives its place in a ring buffer.
 */
import type { Msg } from "@nats-io/nats-core";
import { CatgaError, unavailable } from "../../error.ts";
import type { Timer } from "../../ports/clock.ts";
import { type Appended, type AppendReceiver, neverStored, notStoredNow } from "../../ports/event_log.ts";
import { mayNot, type Violation } from "../../ports/transport.ts";
import type { AcknowledgementReader } from "../stream/acknowledgement.ts";
import { connectionLost, notConnected, violation } from "../connection/nats_error.ts";
import { numberAt } from "../stream/stored_message.ts";
import type { NatsTransport } from "../connection/transport.ts";

/** Initial size of the ring buffer; it is doubled when it is full. */
const PLACES = 256;
/** Time by which a timer may fire too early, in ms. */
const EARLY = 1;

/** A message without an acknowledgement. A class, because many exist at once (docs/internals/measurements.md). */
class PendingAppend {
  readonly number: number;
  readonly subject: string;
  /** Deadline of the message, by the monotonic clock. */
  readonly due: number;
  readonly receiver: AppendReceiver;

  constructor(number: number, subject: string, due: number, receiver: AppendReceiver) {
    this.number = number;
    this.subject = subject;
    this.due = due;
    this.receiver = receiver;
  }
}

/** The unacknowledged messages of one stream. */
export class PendingAppends {
  readonly #transport: NatsTransport;
  readonly #reader: AcknowledgementReader;
  readonly #what: string;
  /** Called when no server answers for the stream, which may be lost. Returns the reason if it is known. */
  readonly #onSilence: () => CatgaError | undefined;
  readonly #onStored: (sequence: number) => void;
  readonly #inbox: string;
  #subscribed = false;
  #ring: (PendingAppend | undefined)[] = new Array(PLACES).fill(undefined);
  /** Number of the next message to be sent. */
  #next = 1;
  /** Receivers of messages whose outcomes are known, to be called in a microtask. */
  #settled: AppendReceiver[] = [];
  /** Outcomes for the receivers in `#settled`, in the same order. */
  #outcomes: Appended[] = [];
  #timer: Timer | undefined;
  #timerDue = Infinity;
  /** Error because of which the NATS user cannot receive acknowledgements; `undefined`: the user can. */
  #deafness: CatgaError | undefined;
  /** Text that says what was wrong with the last answer that did not come from the stream. */
  #strange: string | undefined;

  constructor(
    transport: NatsTransport,
    reader: AcknowledgementReader,
    what: string,
    onSilence: () => CatgaError | undefined,
    onStored: (sequence: number) => void,
  ) {
    this.#transport = transport;
    this.#reader = reader;
    this.#what = what;
    this.#onSilence = onSilence;
    this.#onStored = onStored;
    this.#inbox = `${transport.inbox()}.`;
    transport.onStatus(({ state }) => {
      // the user may have other permissions after a reconnect
      this.#deafness = undefined;
      if (state === "connected") return;
      const cause = notConnected(state);
      this.#settleAll(unknown(`${what}: ${cause.message}`, cause));
      // no message waits for an acknowledgement any more, so the timer is not needed
      this.#timer?.cancel();
      this.#timer = undefined;
      this.#timerDue = Infinity;
    });
    transport.onViolation((violation) => this.#forbid(violation));
  }

  /**
   * Sends a message to the stream. Its receiver gets the outcome in a microtask, at the time `due` at the latest
   * (monotonic clock): it is then `unknown`. Throws a `TypeError` for a message that NATS cannot carry.
   */
  send(
    receiver: AppendReceiver,
    subject: string,
    data: string | Uint8Array,
    { headers, due, awaited }: {
      readonly headers: Readonly<Record<string, string>> | undefined;
      readonly due: number;
      readonly awaited?: boolean;
    },
  ): void {
    const number = this.#next;
    const reply = this.#inbox + number.toString(36);
    try {
      const { state } = this.#transport.status;
      this.#subscribe();
      if (this.#deafness !== undefined) return this.settle(receiver, neverStored(this.#deafness));
      if (typeof data === "string") this.#transport.publishText({ subject, reply, headers, text: data, awaited });
      else this.#transport.publish(subject, data, headers === undefined ? { reply } : { reply, headers });
      // not connected: `publish` has checked the message and dropped it
      if (state !== "connected") return this.settle(receiver, notStoredNow(connectionLost()));
    } catch (error) {
      if (error instanceof CatgaError) return this.settle(receiver, neverStored(error));
      throw error;
    }
    this.#next++;
    this.#place(new PendingAppend(number, subject, due, receiver));
    if (due < this.#timerDue) this.#wake(due);
  }

  /**
   * Passes the outcome of a message to its receiver, in one microtask with the others of this turn of the event loop.
   */
  settle(receiver: AppendReceiver, appended: Appended): void {
    if (this.#settled.push(receiver) === 1) queueMicrotask(() => this.#callBack());
    this.#outcomes.push(appended);
  }

  #callBack(): void {
    const [settled, outcomes] = [this.#settled, this.#outcomes];
    this.#settled = [];
    this.#outcomes = [];
    const now = this.#transport.clock.monotonic();
    for (let i = 0; i < settled.length; i++) {
      try {
        settled[i].appended(outcomes[i], now);
      } catch (error) {
        // if a receiver throws, the other receivers still get their outcomes
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  #subscribe(): void {
    if (this.#subscribed) return;
    this.#transport.keep(`${this.#inbox}*`, {
      receive: (message) => this.#receive(message),
      forbidden: (error) => this.#deaf(error),
      allowed: () => this.#deafness = undefined,
    });
    this.#subscribed = true;
  }

  #receive(message: Msg): void {
    const number = numberAt(message, this.#inbox.length);
    const pending = this.#ring[number & (this.#ring.length - 1)];
    const { data } = message;
    if (pending?.number !== number) {
      // the answer is too late, or for a message sent over an earlier connection; or it is the second one, which comes
      // from another JetStream domain, and is reported by the reader
      if (this.#transport.domain !== undefined) this.#reader.read(data);
      return;
    }
    if (data.length === 0 && message.headers?.code === 503) {
      const error = this.#onSilence() ??
        unavailable(`${this.#what} did not store a message: no responders: the stream is lost, or has no leader`);
      return this.#settle(pending, notStoredNow(error));
    }
    const appended = this.#reader.read(data);
    // a string means that the answer did not come from the stream: the stream's own answer may still come
    if (typeof appended === "string") this.#strange = appended;
    else this.#settle(pending, appended);
  }

  #settle(pending: PendingAppend, appended: Appended): void {
    this.#ring[pending.number & (this.#ring.length - 1)] = undefined;
    if (appended.type === "stored") this.#onStored(appended.sequence);
    this.settle(pending.receiver, appended);
  }

  /** Reports this outcome for all unacknowledged messages; with `subject`, only for messages with that subject. */
  #settleAll(appended: Appended, subject?: string): void {
    for (const pending of this.#ring) {
      if (pending !== undefined && (subject ?? pending.subject) === pending.subject) this.#settle(pending, appended);
    }
  }

  #place(pending: PendingAppend): void {
    const mask = this.#ring.length - 1;
    if (this.#ring[pending.number & mask] === undefined) {
      this.#ring[pending.number & mask] = pending;
      return;
    }
    // the ring is full: its oldest message has no answer yet
    const places = this.#ring.length * 2;
    const larger: (PendingAppend | undefined)[] = new Array(places).fill(undefined);
    for (const each of this.#ring) if (each !== undefined) larger[each.number & (places - 1)] = each;
    this.#ring = larger;
    this.#place(pending);
  }

  #wake(due: number): void {
    this.#timer?.cancel();
    this.#timerDue = due;
    const { clock } = this.#transport;
    this.#timer = clock.after(Math.max(0, due - clock.monotonic()), () => {
      this.#timerDue = Infinity;
      this.#timer = undefined;
      this.#giveUp(clock.monotonic() + EARLY);
    }, { background: true });
  }

  #giveUp(now: number): void {
    let next = Infinity;
    let silent = false;
    for (const pending of this.#ring) {
      if (pending === undefined) continue;
      if (pending.due > now) next = Math.min(next, pending.due);
      else {
        silent = true;
        const strange = this.#strange === undefined ? "" : `; ${this.#strange} came, perhaps from another client`;
        this.#settle(pending, unknown(`${this.#what} did not acknowledge a message in time${strange}`));
      }
    }
    if (next !== Infinity) this.#wake(next);
    // neither an acknowledgement nor a bounce came: the stream may be lost, and another program may
    // subscribe to its subjects
    if (silent) this.#onSilence();
  }

  /**
   * Ends the wait for the acknowledgements of messages that the server has forbidden to publish: they get no answer.
   */
  #forbid(violation: Violation): void {
    if (violation.operation === "publish") this.#settleAll(neverStored(mayNot(violation)), violation.subject);
  }

  /** Ends the wait for all acknowledgements with an error, because the NATS user may not receive them. */
  #deaf(error: Error): void {
    const forbidden = violation(error) ?? { operation: "subscribe", subject: `${this.#inbox}*` } as const;
    this.#deafness = mayNot(forbidden, error);
    this.#settleAll({ type: "unknown", error: this.#deafness });
  }
}

function unknown(message: string, cause?: unknown): Appended {
  return { type: "unknown", error: new CatgaError("OUTCOME_UNKNOWN", message, { retryable: true, cause }) };
}
