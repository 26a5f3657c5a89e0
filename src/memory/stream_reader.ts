/** Follows a stream in memory, over a connection that may be cut and restored. */
import { outside } from "../data/async_context.ts";
import { CatgaError, isCatgaError } from "../error.ts";
import { Fifo } from "../data/fifo.ts";
import { OnceAMinute, type Timer } from "../ports/clock.ts";
import {
  callbackFault,
  type FollowOptions,
  type LogLoss,
  type LogMark,
  type LogReader,
  type LogState,
  readBy,
  SERVERS_APART,
  type StoredMessage,
} from "../ports/event_log.ts";
import type { StoreSession } from "./store_session.ts";
import { type CountedMessage, type Delivery, StreamConsumer } from "./stream_consumer.ts";
import type { StreamState } from "./stream_state.ts";
import { type SubjectFilter, subjectFilter } from "./subject_match.ts";

/** Pause before another attempt to begin to read, in ms. */
const RETRY = 1_000;

/** Answer of the store to a reader that begins to read. */
interface StoreStart {
  readonly mark: LogMark;
  readonly state: LogState;
  readonly lost: LogLoss | undefined;
  /** Sequence of the stream's last message for the reader. */
  readonly last: number;
  readonly consumer: StreamConsumer;
}

/**
 * A reader of a stream in memory.
 * @decides a stream is read over a link that may be cut
 */
export class StreamReader implements LogReader {
  readonly #session: StoreSession;
  readonly #find: () => StreamState;
  readonly #options: FollowOptions;
  readonly #filter: SubjectFilter;
  readonly #unsubscribe: () => void;
  readonly #queue = new Fifo<CountedMessage>();
  /**
   * The delivery whose messages are at the end of `#queue`; its position becomes the reader's once the queue is empty.
   * `undefined`: the queue has no messages of a delivery.
   */
  #upTo: Delivery | undefined;
  /**
   * Position up to which the reader has received all of its messages. The message at that position may be of another
   * subject. `undefined`: reading has not begun.
   */
  #place: LogMark | undefined;
  #mark: LogMark | undefined;
  #consumer: StreamConsumer | undefined;
  /** Number of the present start of reading. Answers and deliveries that belong to earlier starts are ignored. */
  #attempt = 0;
  #count = 0;
  /**
   * Sequence of the last message that the stream had when reading began: when the reader has reached it, it is caught
   * up. `Infinity`: reading has not begun.
   */
  #target = Infinity;
  #asked = false;
  #paused = false;
  #closed = false;
  #delivering = false;
  #retry: Timer | undefined;
  #fault: CatgaError | undefined;
  #reports: OnceAMinute;

  /** `find` returns the stream, or throws; it is called on the side of the simulated server. */
  constructor(session: StoreSession, find: () => StreamState, options: FollowOptions) {
    this.#session = session;
    this.#reports = new OnceAMinute(session.clock);
    this.#find = find;
    this.#options = options;
    this.#filter = subjectFilter(options.subjects);
    this.#place = options.after;
    this.#unsubscribe = session.onStatus(({ state }) => {
      if (state === "closed") this.close();
      else if (state === "connected") this.#start();
      else this.#stop();
    });
    this.#start();
  }

  get mark(): LogMark | undefined {
    return this.#mark;
  }

  get caughtUp(): boolean {
    return this.#mark !== undefined && this.#mark.sequence >= this.#target;
  }

  get fault(): CatgaError | undefined {
    return this.#session.state === "closed" ? this.#session.failure() : this.#fault;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#session.clock.soon(() => outside(() => this.#deliver()));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stop();
    this.#unsubscribe();
  }

  /** Stops reading: closes the consumer, and drops queued messages and answers that are still to come. */
  #stop(): void {
    this.#attempt++;
    this.#retry?.cancel();
    this.#queue.keep(() => false);
    this.#upTo = undefined;
    const consumer = this.#consumer;
    this.#consumer = undefined;
    if (consumer) this.#session.tell(() => consumer.close());
  }

  #start(): void {
    this.#stop();
    if (this.#closed || !this.#session.connected) return;
    const attempt = this.#attempt;
    this.#session.call(() => this.#begin(attempt)).then(
      (start) => {
        if (attempt === this.#attempt) this.#started(start);
        else this.#session.tell(() => start.consumer.close());
      },
      (error) => {
        if (attempt === this.#attempt) this.#failed(error);
      },
    );
  }

  /**
   * Finds the place at which reading goes on, and makes a consumer that begins there. Runs on the side of the simulated
   * server.
   */
  #begin(attempt: number): StoreStart {
    const state = this.#find();
    const is = state.state();
    const { from, lost } = resume(state, is, this.#place);
    const channel = this.#session.channel();
    const consumer = new StreamConsumer(state, {
      from,
      ...this.#session.store,
      alive: () => channel.open,
      filter: this.#filter,
      send: (delivery) => channel.send(() => attempt === this.#attempt && outside(() => this.#arrive(delivery))),
    });
    const last = state.lastOf(this.#filter, from);
    const mark = Object.freeze({ created: is.created, sequence: from - 1, time: state.at(from - 1)?.time });
    return { mark, state: is, lost, last, consumer };
  }

  #started({ mark, state, lost, last, consumer }: StoreStart): void {
    this.#consumer = consumer;
    this.#count = 0;
    this.#asked = false;
    this.#mark = this.#place = mark;
    this.#target = last;
    this.#reports = new OnceAMinute(this.#session.clock);
    this.#fault = undefined;
    this.#guard(() => this.#options.onStart({ mark, state, lost }));
    this.#deliver();
  }

  #failed(error: unknown): void {
    if (!this.#session.connected) return;
    const fault = isCatgaError(error) ? error : new CatgaError("UNAVAILABLE", String(error), { cause: error });
    this.#fault = fault;
    if (this.#reports.due(fault.message)) this.#options.onFault(fault);
    if (!this.#closed) this.#retry = this.#session.clock.after(RETRY, () => this.#start(), { background: true });
  }

  #arrive(delivery: Delivery): void {
    if (delivery.lost) return this.#start();
    if (delivery.messages.length > 0) this.#asked = false;
    for (const message of delivery.messages) this.#queue.push(message);
    this.#upTo = delivery;
    this.#deliver();
  }

  #deliver(): void {
    const attempt = this.#attempt;
    if (this.#delivering || !this.#consumer) return;
    this.#delivering = true;
    while (!this.#paused && attempt === this.#attempt && this.#queue.size > 0) {
      const [count, message] = this.#queue.shift()!;
      if (count !== ++this.#count) {
        this.#delivering = false;
        return this.#start();
      }
      this.#take(message);
    }
    this.#delivering = false;
    if (this.#paused || attempt !== this.#attempt) return;
    const { created } = this.#mark!;
    if (this.#upTo) {
      // the delivery counts more messages than have arrived: the last ones were lost on the way, so reading starts
      // again
      if (this.#upTo.count !== this.#count) return this.#start();
      this.#place = Object.freeze({ created, sequence: this.#upTo.upTo, time: this.#upTo.time });
      // the mark (last message read) moves on even if all messages that the consumer has passed are of other subjects
      if (this.#upTo.messages.length === 0 && this.#upTo.upTo > this.#mark!.sequence) this.#mark = this.#place;
      this.#upTo = undefined;
    }
    if (this.#asked) return;
    this.#asked = true;
    const consumer = this.#consumer;
    this.#session.tell(() => consumer.more());
  }

  #take(message: StoredMessage): void {
    const { created, sequence } = this.#mark!;
    if (message.sequence <= sequence) return;
    this.#mark = this.#place = Object.freeze({ created, sequence: message.sequence, time: message.time });
    this.#guard(() => this.#options.onMessage(message));
  }

  #guard(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.#options.onFault(callbackFault(error));
    }
  }
}

/**
 * Returns the first sequence to be read behind a mark (the last message read), and the loss of messages; `lost` is
 * `undefined` if none was lost.
 */
function resume(
  state: StreamState,
  is: LogState,
  after: LogMark | undefined,
): { from: number; lost: LogLoss | undefined } {
  if (after === undefined) return { from: is.first, lost: undefined };
  const { sequence, created, time } = after;
  const lose = (reason: LogLoss["reason"], next: number) => ({ from: next, lost: { reason, after: sequence, next } });
  if (created !== is.created) return lose("remade", is.first);
  // messages stored after the loss have sequences that were read before: read them by their time
  const by = readBy(after);
  if (sequence > is.last) return lose("truncated", state.since(by + 1));
  const there = state.at(sequence);
  // the stream has lost the last message that was read, and another message has its sequence now: read the messages
  // that were stored since the time of the lost one
  const isAnother = there && (time === undefined ? there.time > by + 2 * SERVERS_APART : there.time !== time);
  if (isAnother) return lose("replaced", Math.min(state.since(by), sequence + 1));
  if (sequence + 1 < is.first) return lose("expired", is.first);
  return { from: sequence + 1, lost: undefined };
}
