/**
 * Follows a stream with one consumer after another, each from behind the last message read. A lost consumer is
 * silent, and a consumer that starts behind the end of a stream that was made anew waits for ever: so each start
 * compares the stream with the messages read. A reader that is about as far as others shares their consumer
 * (`shared_consumer.ts`). A reader that is behind them, or that pauses while messages arrive, has a consumer of its
 * own until it has caught up.
 */
import type { Msg } from "@nats-io/nats-core";
import { CatgaError } from "../../error.ts";
import { backoff, delay, OnceAMinute } from "../../ports/clock.ts";
import { PAUSES } from "../../ports/repeat.ts";
import { callbackFault, type FollowOptions, type LogMark, type LogReader } from "../../ports/event_log.ts";
import type { OwnedStream } from "../stream/owned_stream.ts";
import { findPlace, type LogPlace } from "./log_place.ts";
import { connectionClosed } from "../connection/nats_error.ts";
import type { Progress, SharedConsumer, SharingReader } from "./shared_consumer.ts";
import { distinctFilters } from "../stream/subject_filter.ts";
import type { SharedConsumers } from "./shared_consumers.ts";
import { DeliveredMessage } from "../stream/stored_message.ts";

/** Maximum number of messages that a paused reader takes from a shared consumer before it leaves the consumer. */
const MAX_EXCESS_MESSAGES = 256;
/** Maximum number of bytes that a paused reader takes from a shared consumer before it leaves the consumer. */
const MAX_EXCESS_BYTES = 1_048_576;
/** Interval at which a reader with a consumer of its own tries to share another one, in ms. */
const AGAIN = 1_000;
/** Time for which a reader that could not keep up with a shared consumer does not try to share one again, in ms. */
const ALONE = 5_000;

/** Reads a stream from a place on, with one consumer after another, and passes on each message once. */
export class NatsLogReader implements LogReader, SharingReader {
  readonly #stream: OwnedStream;
  readonly #consumers: SharedConsumers;
  readonly #options: FollowOptions;
  readonly filters: readonly string[];
  readonly #end = new AbortController();
  /** Place at which the reader will begin; its position until then. */
  #starting: LogPlace | undefined;
  #mark: LogMark | undefined;
  #caughtUp = false;
  #paused = false;
  /**
   * Stops the attempt to begin reading that is under way; the reader then begins anew. `undefined`: no attempt is under
   * way.
   */
  #breakOff: (() => void) | undefined;
  /** Sequence of the last message that was passed on. */
  #sequence = 0;
  /** Time stamp of the last message that was passed on. */
  #time: number | undefined;
  /** Sequence up to which the reader has received all of its messages. */
  #upTo = 0;
  /** Error of the last attempt to begin; `undefined`: it has succeeded. */
  #fault: CatgaError | undefined;
  readonly #reports: OnceAMinute;
  /** Consumer from which the reader gets messages; `undefined`: none. */
  #joined: SharedConsumer | undefined;
  /** Consumer that the reader is about to join. */
  #joining: SharedConsumer | undefined;
  /** The last consumer that this reader did not share. */
  #own: SharedConsumer | undefined;
  /** Resolves when the reader has no consumer any more. */
  #left = Promise.withResolvers<void>();
  /** Earliest time at which the reader joins a shared consumer, by the monotonic clock. */
  #joinsAt = -Infinity;
  /** Number and bytes of the messages that a shared consumer has delivered since the reader was paused. */
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
    return this.#starting?.mark ?? this.mark!; // one of them is set for a reader that joins
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
    this.#joined?.resume();
  }

  close(): void {
    if (this.#end.signal.aborted) return;
    this.#end.abort(connectionClosed());
    this.#resumed?.();
    this.#breakOff?.();
    this.#joining?.leave(this);
    this.#joined?.leave(this);
  }

  /** Reads with one consumer after another. Resolves when the reader is closed. */
  async #run(): Promise<void> {
    const { transport } = this.#stream;
    const { signal } = this.#end;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        await transport.connected(signal);
        if (await this.#follow()) failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        // an error is not reported while the connection is down: the transport reports a lost connection
        if (transport.status.state === "connected") this.#report(this.#fault = this.#unreadable(error));
      }
      if (signal.aborted) return;
      const { clock, random } = transport;
      await delay(clock, backoff(random, failures, ...PAUSES.watch), signal).catch(() => {});
    }
  }

  /**
   * Looks up the place, joins a consumer, and reads from it until the reader has left the consumer. Resolves with true
   * if the reader has joined a shared consumer or received a message. Rejects if it could not begin.
   */
  async #follow(): Promise<boolean> {
    const { clock } = this.#stream.transport;
    const { signal } = this.#end;
    this.#caughtUp = false;
    let broken = false;
    this.#breakOff = () => {
      broken = true;
      this.#joining?.leave(this);
    };
    const consumers = this.#consumers;
    let shares: boolean;
    let place: LogPlace;
    try {
      place = await this.#atTurn(() => findPlace(this.#stream, this.mark ?? this.#options.after, signal));
      this.#starting = place;
      if (broken || signal.aborted) return false;
      shares = clock.monotonic() >= this.#joinsAt && await this.#join(consumers.sharedBy(this));
      if (!shares) {
        // if the connection was lost while this reader waited for its turn to begin, it must look up its place again
        const alone = async () => !broken && await this.#join(this.#own = consumers.own());
        if (signal.aborted || !await this.#atTurn(alone)) return false;
      }
    } finally {
      this.#starting = this.#breakOff = undefined;
    }
    await this.#left.promise;
    // messages that the paused reader could not take are delivered again when it is resumed
    if (this.#paused && this.#excess.messages > 0) await this.#whenResumed();
    return shares || this.#sequence > place.mark.sequence;
  }

  async #atTurn<T>(work: () => Promise<T>): Promise<T> {
    const leave = await this.#stream.beginnings.enter(this.#end.signal);
    try {
      return await work();
    } finally {
      leave();
    }
  }

  /** Joins a consumer. Resolves with false if the consumer did not accept the reader. */
  async #join(consumer: SharedConsumer): Promise<boolean> {
    this.#joining = consumer;
    try {
      return await consumer.join(this);
    } finally {
      if (this.#joining === consumer) this.#joining = undefined;
    }
  }

  #whenResumed(): Promise<void> {
    return new Promise((resolve) => {
      this.#resumed = resolve;
      if (!this.#paused || this.#end.signal.aborted) resolve();
    });
  }

  /** Begins to read the stream at this place. */
  #begin(place: LogPlace): void {
    const { mark, state, lost } = place;
    this.#starting = this.#fault = undefined;
    this.#mark = mark;
    this.#sequence = this.#upTo = mark.sequence;
    this.#time = mark.time;
    this.#call(() => this.#options.onStart({ mark, state, lost }));
  }

  /** True while the reader has a consumer of its own. */
  get #isAlone(): boolean {
    return this.#joined !== undefined && this.#joined === this.#own;
  }

  /** Tries to join a shared consumer, if the reader is about as far as that consumer's readers. */
  #offer(): void {
    if (!this.#isAlone || !this.#caughtUp || this.#paused || this.#joining !== undefined) return;
    const now = this.#stream.transport.clock.monotonic();
    if (now < this.#joinsAt) return;
    this.#joinsAt = now + AGAIN;
    // if joining fails, the reader keeps its own consumer, and tries again later
    this.#join(this.#consumers.sharedBy(this)).catch(() => {});
  }

  onJoined(consumer: SharedConsumer): void {
    const before = this.#joined;
    this.#joined = consumer;
    if (before !== undefined) return before.leave(this); // a consumer of its own, which it leaves for the shared one
    this.#left = Promise.withResolvers();
    if (this.#starting !== undefined) this.#begin(this.#starting);
  }

  onMessage(message: Msg, sequence: number, time: number): void {
    // old messages, which are delivered again after the death of the stream's leader, are ignored
    if (sequence <= this.#sequence || this.#end.signal.aborted) return;
    this.#sequence = sequence;
    this.#time = time;
    this.#stream.noteRevision(sequence);
    this.#call(() => this.#options.onMessage(new DeliveredMessage(message, sequence, time)));
    if (this.#isAlone) return this.#offer();
    if (!this.#paused || this.#joined?.alone) return;
    const excess = this.#excess;
    excess.messages++;
    excess.bytes += message.data.length;
    if (excess.messages < MAX_EXCESS_MESSAGES && excess.bytes < MAX_EXCESS_BYTES) return;
    this.#joinsAt = this.#stream.transport.clock.monotonic() + ALONE;
    this.#joined?.leave(this);
  }

  onPassed({ sequence, time, upTo }: Progress): void {
    if (upTo > this.#upTo) this.#upTo = upTo;
    if (sequence <= this.#sequence) return;
    this.#sequence = sequence;
    this.#time = time;
  }

  onIdle(): void {
    this.#offer();
  }

  onCaughtUp(): void {
    this.#caughtUp = true;
    this.#offer();
  }

  onInterrupted(): void {
    this.#caughtUp = false;
    // the reader leaves its own consumer, and then looks for a shared one
    if (this.#isAlone) this.#joined!.leave(this);
  }

  onRestart(place: LogPlace): void {
    this.#begin(place);
  }

  onFault(error: unknown, { stopsReading }: { readonly stopsReading: boolean }): void {
    const fault = this.#unreadable(error);
    if (stopsReading) this.#fault = fault;
    this.#report(fault);
  }

  onLeft(consumer: SharedConsumer): void {
    if (consumer !== this.#joined) return;
    this.#joined = undefined;
    this.#caughtUp = false;
    this.#joining?.leave(this);
    this.#left.resolve();
  }

  #call(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.#report(callbackFault(error));
    }
  }

  #unreadable(error: unknown): CatgaError {
    if (error instanceof CatgaError) return error;
    const { message } = error as Error;
    return new CatgaError("UNAVAILABLE", `${this.#stream.what} cannot be read: ${message}`, { cause: error });
  }

  /** Reports a fault of reading; the same fault at most once a minute. */
  #report(error: unknown): void {
    const fault = this.#unreadable(error);
    if (this.#reports.due(fault.message)) this.#options.onFault(fault);
  }
}
