/** A consumer of a stream in memory: the position of one reader, and the deliveries that the reader has requested. */
import type { Clock, Timer } from "../ports/clock.ts";
import type { StoredMessage } from "../ports/event_log.ts";
import type { FaultSource } from "./faults.ts";
import type { StreamState } from "./stream_state.ts";
import type { SubjectFilter } from "./subject_match.ts";

/** Messages that a consumer sends to its reader at once. */
export interface Delivery {
  /** Messages, each with its number within the consumer, from 1. */
  readonly messages: readonly CountedMessage[];
  /**
   * Sequence up to which the reader has all of its messages when it has received this delivery and all earlier ones.
   * `count`: number, within the consumer, of the last of these messages.
   */
  readonly upTo: number;
  readonly count: number;
  /**
   * When the message with the sequence {@link Delivery.upTo} was stored, by the server's clock, in ms since 1970;
   * `undefined`: it was removed.
   */
  readonly time: number | undefined;
  /** True if the consumer is lost, and will send nothing more. */
  readonly lost: boolean;
}

/** A message sent by a consumer, with its number within the consumer. */
export type CountedMessage = readonly [count: number, message: StoredMessage];

/** Options of {@link StreamConsumer}. */
export interface ConsumerOptions {
  /** Sequence of the first message to be sent. */
  readonly from: number;
  readonly clock: Clock;
  readonly faults: FaultSource | undefined;
  /** Returns true while the consumer has a reader. */
  alive(): boolean;
  /** Subjects of the messages to be sent. */
  readonly filter: SubjectFilter;
  /** Sends a delivery to the reader. */
  send(delivery: Delivery): void;
}

/** Maximum number of messages in one delivery. */
const MAX_DELIVERY = 256;
/** Maximum distance, in sequences, from the next message back to the messages that a fault sends again. */
const AGAIN = 20;
/** Time after which the consumer tells its reader how many messages it has sent, if some were lost, in ms. */
const HEARTBEAT = 1_000;

/** Time after which the consumer tells a reader that it has skipped messages of other subjects, in ms. */
const PASSED_BY = 5_000;

/** Pause after the storage could not be read, in ms. */
const PAUSE = 250;

/**
 * Sends the messages of a stream to one reader, in order: one delivery for each call of {@link StreamConsumer.more}.
 */
export class StreamConsumer {
  readonly #state: StreamState;
  readonly #options: ConsumerOptions;
  readonly #interruptions: number;
  readonly #stop: () => void;
  #next: number;
  #count = 0;
  #wanted = false;
  /** Set while the reader is about to be sent its new position. */
  #passing: Timer | undefined;
  /** Timers after which the reader is told that the consumer is lost, or that messages were. */
  readonly #telling = new Set<Timer>();
  /** Sequence of which the consumer has told its reader: the reader has all of its messages up to this sequence. */
  #said: number;

  constructor(state: StreamState, options: ConsumerOptions) {
    this.#state = state;
    this.#options = options;
    this.#interruptions = state.interruptions;
    this.#next = options.from;
    this.#said = options.from - 1;
    this.#stop = state.observe(() => this.#pump());
  }

  /**
   * Sends the next delivery as soon as there are messages. Call when the reader can take another delivery. Never
   * throws: nobody waits for an answer.
   */
  more(): void {
    this.#wanted = true;
    this.#orLost(() => this.#pump());
  }

  /**
   * Ends the consumer if the storage cannot be read: the reader begins again after a pause, and its request gets the
   * error.
   */
  #orLost(work: () => void): void {
    try {
      work();
    } catch {
      this.close();
      const lost = { messages: [], upTo: this.#said, count: this.#count, time: undefined, lost: true };
      this.#tell(PAUSE, () => this.#options.send(lost));
    }
  }

  close(): void {
    this.#wanted = false;
    this.#passing?.cancel();
    this.#passing = undefined;
    for (const timer of this.#telling) timer.cancel();
    this.#telling.clear();
    this.#stop();
  }

  /** Tells the reader something after `ms`, unless the consumer is closed before. */
  #tell(ms: number, say: () => void): void {
    const timer = this.#options.clock.after(ms, () => {
      this.#telling.delete(timer);
      if (this.#options.alive()) say();
    }, { background: true });
    this.#telling.add(timer);
  }

  #pump(): void {
    const state = this.#state;
    if (!this.#options.alive()) return this.close();
    if (state.interruptions !== this.#interruptions) {
      this.close();
      return this.#send([], true);
    }
    if (!this.#wanted) return;
    const messages: StoredMessage[] = [];
    this.#next = Math.max(this.#next, state.first);
    while (messages.length < MAX_DELIVERY) {
      this.#next = state.ahead(this.#next, this.#options.filter);
      if (this.#next >= state.next) break;
      const message = state.at(this.#next++);
      if (message) messages.push(message);
    }
    if (messages.length === 0) return this.#passBy();
    this.#wanted = false;
    const counted = this.#disturb(messages);
    if (counted.length > 0) this.#send(counted);
  }

  /** Sends the reader its new position after `PASSED_BY` ms, if messages of other subjects were skipped. */
  #passBy(): void {
    if (this.#passing !== undefined || this.#next - 1 <= this.#said) return;
    this.#passing = this.#options.clock.after(PASSED_BY, () => {
      this.#passing = undefined;
      if (this.#wanted && this.#options.alive()) this.#orLost(() => this.#send([]));
    }, { background: true });
  }

  #send(messages: readonly CountedMessage[], lost = false): void {
    const upTo = this.#next - 1;
    const { time } = this.#state.at(upTo) ?? {};
    this.#said = upTo;
    this.#options.send({ messages, upTo, count: this.#count, time, lost });
  }

  /** Numbers messages for a delivery. By faults, some of them are lost on the way, or old ones are sent again. */
  #disturb(messages: readonly StoredMessage[]): CountedMessage[] {
    const { faults } = this.#options;
    const again = faults?.hits("redelivery") ? this.#earlier(messages[0].sequence) : [];
    // after its leader has died, a consumer sends old messages again: each with a new number, or all with the last
    // number
    const anew = again.length > 0 && faults!.random() < 0.5;
    const sent: CountedMessage[] = again.map((message) => [anew ? ++this.#count : this.#count, copyOf(message)]);
    for (const message of messages) sent.push([++this.#count, copyOf(message)]);
    const arriving = faults ? sent.filter(() => !faults.hits("drop")) : sent;
    if (arriving.length < sent.length) {
      this.#tell(HEARTBEAT, () => this.#orLost(() => this.#send([])));
    }
    return arriving;
  }

  /** Returns the last messages of the reader before a sequence, in reverse order. */
  #earlier(sequence: number): StoredMessage[] {
    const found: StoredMessage[] = [];
    for (let at = Math.max(this.#options.from, sequence - AGAIN); at < sequence; at++) {
      const message = this.#state.at(at);
      if (message && this.#options.filter.matches(message.subject)) found.push(message);
    }
    return found.reverse();
  }
}

/** Copies a message for one reader, which may keep its data. */
export function copyOf(message: StoredMessage): StoredMessage {
  return Object.freeze({ ...message, data: message.data.slice() });
}
