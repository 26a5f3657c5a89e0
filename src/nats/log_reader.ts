/**
 * Follows a stream: one consumer after another, each from behind the message that was read last. A consumer that was
 * lost is silent, and one that starts behind the end of a stream that was made again waits for ever: so each start
 * compares the stream with what was read.
 *
 * A reader that is about as far as others shares their consumer (`shared_consumer.ts`). One that is behind them, or
 * that takes no more while messages come, has a consumer of its own until it has caught up.
 *
 * Over 300 lines: what comes, from either consumer, moves one position, and every way between the two is here.
 */
import type { Msg } from "@nats-io/nats-core";
import { CatgaError, isCatgaError } from "../error.ts";
import { backoff, delay, OnceAMinute } from "../ports/clock.ts";
import type { FollowOptions, LogMark, LogReader } from "../ports/event_log.ts";
import type { KeptStream } from "./kept_stream.ts";
import { LogDelivery, makeConsumer } from "./log_delivery.ts";
import { findPlace, type LogPlace, messageFrom, readState } from "./log_place.ts";
import { connectionClosed } from "./nats_error.ts";
import { distinctFilters, type Progress, type SharedConsumer, type SharingReader } from "./shared_consumer.ts";
import type { SharedConsumers } from "./shared_consumers.ts";
import { DeliveredMessage } from "./stored_message.ts";

/** How often the mark follows messages of other subjects, in ms. */
const ADVANCE = 5_000;
/** The longest pause between two tries to start, in ms. */
const PAUSE = 2_000;
/** Limit of what a shared consumer gives a reader that has paused, before it reads by itself: messages, and bytes. */
const MOST_EXCESS = 256;
const MOST_EXCESS_BYTES = 1_048_576;
/**
 * How often a reader with a consumer of its own tries to share one, in ms, and how long not after it could not keep up.
 */
const AGAIN = 1_000;
const ALONE = 5_000;

/** A reader of a stream. */
export class NatsLogReader implements LogReader, SharingReader {
  readonly #stream: KeptStream;
  readonly #consumers: SharedConsumers;
  readonly #options: FollowOptions;
  readonly filters: readonly string[];
  readonly #end = new AbortController();
  /** Place at which it is to start; its place until then. */
  #starting: LogPlace | undefined;
  #mark: LogMark | undefined;
  #caughtUp = false;
  #paused = false;
  /** The subject of an unanswered request of flow control: the server waits for it. */
  #held: string | undefined;
  /** Ends the consumer of its own. */
  #breakOff: (() => void) | undefined;
  /** The last message that was read: its sequence, and its time. */
  #sequence = 0;
  #time: number | undefined;
  /** Nothing for it is there up to this sequence but what it has. */
  #upTo = 0;
  /** Why it could not start last; `undefined` when it has. */
  #fault: CatgaError | undefined;
  readonly #reports: OnceAMinute;
  /** When the mark followed messages of other subjects, by the monotonic clock. */
  #advancedAt = -Infinity;
  /** The shared consumer that it has joined, or wants to join. */
  #shared: SharedConsumer | undefined;
  /** How far the consumer is that it has joined. */
  #joined: Progress | undefined;
  /** Resolves when it has left that. */
  #left = Promise.withResolvers<void>();
  /** Earliest time at which it joins others, by the monotonic clock. */
  #joinsAt = -Infinity;
  /** Amount that came from the shared consumer since it was paused. */
  #excess = { messages: 0, bytes: 0 };
  #resumed: (() => void) | undefined;

  constructor(consumers: SharedConsumers, options: FollowOptions) {
    const { stream } = consumers;
    this.#stream = stream;
    this.#consumers = consumers;
    this.#options = options;
    this.#reports = new OnceAMinute(stream.transport.clock);
    this.filters = distinctFilters(options.subjects);
    if (options.after !== undefined) stream.noteRevision(options.after.sequence);
    const { transport } = stream;
    const stop = transport.onStatus(({ state }) => {
      if (state === "closed") this.close();
      else this.#breakOff?.();
    });
    const stopRecreated = stream.onRecreated(() => this.#breakOff?.());
    if (transport.status.state === "closed") this.close();
    this.#run().catch((error) => this.#report(error)).finally(() => {
      stop();
      stopRecreated();
    });
  }

  get mark(): LogMark | undefined {
    const mark = this.#mark;
    if (mark === undefined) return undefined;
    if (this.#joined !== undefined) this.onPassed(this.#joined);
    if (mark.sequence === this.#sequence) return mark;
    return this.#mark = { created: mark.created, sequence: this.#sequence, time: this.#time };
  }

  get paused(): boolean {
    return this.#paused;
  }

  get position(): LogMark {
    return this.#starting?.mark ?? this.mark!; // who joins has begun, or is about to
  }

  get upTo(): number {
    return this.#starting?.mark.sequence ?? Math.max(this.#sequence, this.#upTo, this.#joined?.upTo ?? 0);
  }

  get caughtUp(): boolean {
    return this.#caughtUp;
  }

  get fault(): CatgaError | undefined {
    return this.#stream.transport.status.state === "closed" ? connectionClosed() : this.#fault;
  }

  pause(): void {
    if (!this.#paused) this.#excess = { messages: 0, bytes: 0 };
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#resumed?.();
    this.#shared?.resume();
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined) this.#stream.transport.signal(held);
  }

  close(): void {
    if (this.#end.signal.aborted) return;
    this.#end.abort(connectionClosed());
    this.#resumed?.();
    this.#breakOff?.();
    this.#shared?.leave(this);
  }

  /** Uses one consumer after the other. Resolves at the end. */
  async #run(): Promise<void> {
    const { transport } = this.#stream;
    const { signal } = this.#end;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        await this.#connected();
        if (await this.#follow()) failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        // a lost connection is reported by the transport
        if (transport.status.state === "connected") this.#report(this.#fault = this.#unreadable(error));
      }
      if (signal.aborted) return;
      const { clock, random } = transport;
      await delay(clock, backoff(random, failures, 20, PAUSE), signal).catch(() => {});
    }
  }

  /** Resolves when the transport is connected, or at the end. */
  async #connected(): Promise<void> {
    const { transport } = this.#stream;
    while (transport.status.state !== "connected" && !this.#end.signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#end.signal.addEventListener("abort", () => resolve(), { once: true });
      await promise.finally(transport.onStatus(() => resolve()));
    }
  }

  /** Reads from one start to the next. Resolves with whether it has begun. Rejects if it could not. */
  async #follow(): Promise<boolean> {
    const { clock } = this.#stream.transport;
    this.#caughtUp = false;
    this.#held = undefined;
    let broken = false;
    this.#breakOff = () => {
      broken = true;
      this.#shared?.leave(this);
    };
    try {
      const { signal } = this.#end;
      this.#starting = await this.#atTurn(() => findPlace(this.#stream, this.mark ?? this.#options.after, signal));
      if (broken || this.#end.signal.aborted) return false;
      if (clock.monotonic() < this.#joinsAt || !await this.#join()) {
        if (broken || this.#end.signal.aborted) return false;
        const delivered = await this.#readAlone(this.#starting);
        if (this.#joined === undefined) return delivered;
      }
    } finally {
      this.#starting = this.#breakOff = undefined;
    }
    await this.#left.promise;
    // what it could not take comes again when it can
    if (this.#paused && this.#excess.messages > 0) await this.#whenResumed();
    return true;
  }

  async #atTurn<T>(work: () => Promise<T>): Promise<T> {
    const leave = await this.#consumers.beginnings.enter(this.#end.signal);
    try {
      return await work();
    } finally {
      leave();
    }
  }

  /** Resolves with whether it shares a consumer now. */
  async #join(): Promise<boolean> {
    const { consumer, joined } = this.#consumers.join(this);
    this.#shared = consumer;
    try {
      return await joined;
    } finally {
      if (this.#joined === undefined) this.#shared = undefined;
    }
  }

  #whenResumed(): Promise<void> {
    return new Promise((resolve) => {
      this.#resumed = resolve;
      if (!this.#paused || this.#end.signal.aborted) resolve();
    });
  }

  /** Reads with a consumer of its own until that ends, or others let it in. Resolves with whether anything came. */
  async #readAlone(place: LogPlace): Promise<boolean> {
    const { js, transport } = this.#stream;
    const ended = Promise.withResolvers<void>();
    let broken = false;
    this.#breakOff = () => {
      broken = true;
      ended.resolve();
      if (this.#joined === undefined) this.#shared?.leave(this);
    };
    let named: string | undefined;
    try {
      const consumer = { filters: this.filters, start: place.mark.sequence + 1 };
      const making = () => makeConsumer(this.#stream, consumer, (name) => named = name);
      const { name, inbox, expected } = await this.#atTurn(making);
      // the stream may have been made again meanwhile: nothing is delivered before there is a subscription
      const state = await readState(this.#stream);
      const { created, sequence } = place.mark;
      if (broken || this.#end.signal.aborted || state.created !== created || state.last < sequence) return false;
      this.#begin(place);
      if (broken) return true;
      this.#caughtUp = expected === 0;
      const delivery = new LogDelivery(transport, { stream: this.#stream, name, inbox, expected }, {
        onMessage: (message, sequence, time) => {
          this.#deliver(message, sequence, time);
          this.#offer();
        },
        onFlow: (reply) => this.#flow(reply),
        onIdle: (sequence) => this.#idle(sequence),
        onCaughtUp: () => {
          this.#caughtUp = true;
          this.#offer();
        },
        onBroken: () => this.#breakOff?.(),
      });
      await ended.promise;
      delivery.close();
      return delivery.received > 0;
    } finally {
      this.#breakOff = undefined;
      if (named !== undefined) js.deleteConsumer(this.#stream.name, named);
    }
  }

  /** It begins at this place. */
  #begin(place: LogPlace): void {
    const { mark, state, lost } = place;
    this.#starting = this.#fault = undefined;
    this.#mark = mark;
    this.#sequence = this.#upTo = mark.sequence;
    this.#time = mark.time;
    this.#call(() => this.#options.onStart({ mark, state, lost }));
  }

  /** Shares the consumer of others if it is as far as they are. */
  #offer(): void {
    const now = this.#stream.transport.clock.monotonic();
    if (!this.#caughtUp || this.#paused || this.#shared !== undefined || now < this.#joinsAt) return;
    this.#joinsAt = now + AGAIN;
    // what fails is tried again, and reading goes on here
    this.#join().catch(() => {});
  }

  #deliver(message: Msg, sequence: number, time: number): void {
    // after the death of a leader old ones come again
    if (sequence <= this.#sequence || this.#end.signal.aborted) return;
    this.#sequence = sequence;
    this.#time = time;
    this.#stream.noteRevision(sequence);
    try {
      this.#options.onMessage(new DeliveredMessage(message, sequence, time));
    } catch (error) {
      this.#thrown(error);
    }
  }

  onJoined(consumer: Progress): void {
    this.#left = Promise.withResolvers();
    this.#joined = consumer;
    if (this.#starting !== undefined) this.#begin(this.#starting);
    else this.#breakOff?.(); // the consumer of its own
  }

  onMessage(message: Msg, sequence: number, time: number): void {
    if (sequence <= this.#sequence) return;
    this.#deliver(message, sequence, time);
    if (!this.#paused || this.#shared?.alone) return;
    const excess = this.#excess;
    excess.messages++;
    excess.bytes += message.data.length;
    if (excess.messages < MOST_EXCESS && excess.bytes < MOST_EXCESS_BYTES) return;
    this.#joinsAt = this.#stream.transport.clock.monotonic() + ALONE;
    this.#shared?.leave(this);
  }

  onPassed({ sequence, time, upTo }: Progress): void {
    if (upTo > this.#upTo) this.#upTo = upTo;
    if (sequence <= this.#sequence) return;
    this.#sequence = sequence;
    this.#time = time;
  }

  onCaughtUp(): void {
    this.#caughtUp = true;
  }

  onInterrupted(): void {
    this.#caughtUp = false;
  }

  onRestart(place: LogPlace): void {
    this.#begin(place);
  }

  onFault(error: unknown, reading: boolean): void {
    const fault = this.#unreadable(error);
    if (reading) this.#fault = fault;
    this.#report(fault);
  }

  onLeft(): void {
    this.#joined = this.#shared = undefined;
    this.#caughtUp = false;
    this.#left.resolve();
  }

  /**
   * Up to here there are messages of other subjects only: the mark follows them, lest it looks later as if what has
   * expired of them was lost.
   */
  #idle(sequence: number): void {
    if (sequence > this.#upTo) this.#upTo = sequence;
    this.#offer();
    const { clock } = this.#stream.transport;
    if (sequence <= this.#sequence || clock.monotonic() - this.#advancedAt < ADVANCE) return;
    this.#advancedAt = clock.monotonic();
    const created = this.#mark?.created;
    messageFrom(this.#stream, sequence).then((message) => {
      // another message came meanwhile, or the stream is another one
      if (sequence <= this.#sequence || this.#mark?.created !== created) return;
      this.#sequence = sequence;
      this.#time = message?.sequence === sequence ? message.time : undefined;
    }).catch((error) => {
      if (!this.#end.signal.aborted && this.#stream.transport.status.state === "connected") this.#report(error);
    });
  }

  #flow(reply: string): void {
    if (this.#paused) this.#held = reply;
    else this.#stream.transport.signal(reply);
  }

  #call(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.#thrown(error);
    }
  }

  #thrown(error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    this.#report(
      isCatgaError(error)
        ? error
        : new CatgaError("HANDLER_FAILED", `a reader's callback threw: ${text}`, { cause: error }),
    );
  }

  #unreadable(error: unknown): CatgaError {
    if (error instanceof CatgaError) return error;
    const { message } = error as Error;
    return new CatgaError("UNAVAILABLE", `${this.#stream.what} cannot be read: ${message}`, { cause: error });
  }

  /** Reports a fault; the same one once a minute. */
  #report(error: unknown): void {
    const fault = this.#unreadable(error);
    if (this.#reports.due(fault.message)) this.#options.onFault(fault);
  }
}
