/** Consumer of a stream in memory: the position of a reader, and how much it has asked for. */
import type { Clock } from "../ports/clock.ts";
import type { StoredMessage } from "../ports/event_log.ts";
import type { FaultSource } from "./faults.ts";
import type { StreamState } from "./stream_state.ts";

/** Message of a consumer to its reader. */
export interface Delivery {
  /** Each with the consumer's own count, from 1. */
  readonly messages: readonly CountedMessage[];
  /** Up to this sequence there are no more messages for it: the last of them has the count {@link Delivery.count}. */
  readonly upTo: number;
  readonly count: number;
  /** The time of the message {@link Delivery.upTo}. */
  readonly time: number | undefined;
  /** True if the consumer is lost, and sends nothing more. */
  readonly lost: boolean;
}

/** A message as a consumer sends it. */
export type CountedMessage = readonly [count: number, message: StoredMessage];

/** Options of {@link StreamConsumer}. */
export interface ConsumerOptions {
  /** The first sequence that it sends. */
  readonly from: number;
  readonly clock: Clock;
  readonly faults: FaultSource | undefined;
  /** Returns true if there is a reader. */
  alive(): boolean;
  matches(subject: string): boolean;
  /** Sends something to the reader. */
  send(delivery: Delivery): void;
}

/** Messages in one delivery, at most. */
const MAX_DELIVERY = 256;
/** How far behind the messages are that come again, at most. */
const AGAIN = 20;
/** After this time a reader learns that it missed the last message, in ms. */
const HEARTBEAT = 1_000;

/** After this time a reader learns that messages for others were passed by, in ms. */
const PASSED_BY = 5_000;

/** Sends the messages of a stream in order, one delivery for each {@link StreamConsumer.more}. */
export class StreamConsumer {
  readonly #state: StreamState;
  readonly #options: ConsumerOptions;
  readonly #interruptions: number;
  readonly #stop: () => void;
  #next: number;
  #count = 0;
  #wanted = false;
  #passing = false;
  /** Up to where the reader was told that there is nothing more for it. */
  #said: number;

  constructor(state: StreamState, options: ConsumerOptions) {
    this.#state = state;
    this.#options = options;
    this.#interruptions = state.interruptions;
    this.#next = options.from;
    this.#said = options.from - 1;
    this.#stop = state.observe(() => this.#pump());
  }

  /** The reader can take another delivery. */
  more(): void {
    this.#wanted = true;
    this.#pump();
  }

  close(): void {
    this.#wanted = false;
    this.#stop();
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
    while (this.#next < state.next && messages.length < MAX_DELIVERY) {
      const message = state.at(this.#next++);
      if (message && this.#options.matches(message.subject)) messages.push(message);
    }
    if (messages.length === 0) return this.#passBy();
    this.#wanted = false;
    const counted = this.#disturb(messages);
    if (counted.length > 0) this.#send(counted);
  }

  /** Tells the reader in a while that messages for others were passed by. */
  #passBy(): void {
    if (this.#passing || this.#next - 1 <= this.#said) return;
    this.#passing = true;
    this.#options.clock.after(PASSED_BY, () => {
      this.#passing = false;
      if (this.#wanted && this.#options.alive()) this.#send([]);
    }, { background: true });
  }

  #send(messages: readonly CountedMessage[], lost = false): void {
    const upTo = this.#said = this.#next - 1;
    this.#options.send({ messages, upTo, count: this.#count, time: this.#state.at(upTo)?.time, lost });
  }

  /** Counts messages. As the faults say, some are lost on the way, or old ones come again. */
  #disturb(messages: readonly StoredMessage[]): CountedMessage[] {
    const { faults, clock } = this.#options;
    const again = faults?.hits("redelivery") ? this.#earlier(messages[0].sequence) : [];
    // a consumer whose leader died repeats messages under counts of their own, or goes back in its count
    const anew = again.length > 0 && faults!.random() < 0.5;
    const sent: CountedMessage[] = again.map((message) => [anew ? ++this.#count : this.#count, copyOf(message)]);
    for (const message of messages) sent.push([++this.#count, copyOf(message)]);
    const arriving = faults ? sent.filter(() => !faults.hits("drop")) : sent;
    if (arriving.length < sent.length) {
      clock.after(HEARTBEAT, () => this.#options.alive() && this.#send([]), { background: true });
    }
    return arriving;
  }

  /** Messages that were sent before, not in their order. */
  #earlier(sequence: number): StoredMessage[] {
    const found: StoredMessage[] = [];
    for (let at = Math.max(this.#options.from, sequence - AGAIN); at < sequence; at++) {
      const message = this.#state.at(at);
      if (message && this.#options.matches(message.subject)) found.push(message);
    }
    return found.reverse();
  }
}

/** A message for one reader, whose data it may keep. */
export function copyOf(message: StoredMessage): StoredMessage {
  return Object.freeze({ ...message, data: message.data.slice() });
}
