/**
 * One consumer for many readers of a stream: a server has few consumers, and each costs it memory and every node a
 * timer. The consumer does not wait for its readers, unless it has only one: a reader that does not take its messages
 * must leave, and goes on with a consumer of its own (`log_reader.ts`). A reader joins when the consumer is made
 * anew, from the position of the reader that is furthest behind; the others skip messages that they have. The old
 * consumer delivers until the new one exists, so that no reader waits. An ordered consumer of `@nats-io/jetstream`
 * has one reader, and is silent for long when it is lost (docs/internals/packages.md, row `ordered-push`). The readers
 * of a message are found by its subject (`SubjectRoutes`).
 */
import type { Msg } from "@nats-io/nats-core";
import { backoff, delay, type Timer } from "../../ports/clock.ts";
import { PAUSES } from "../../ports/repeat.ts";
import type { LogMark } from "../../ports/event_log.ts";
import type { OwnedStream } from "../stream/owned_stream.ts";
import { createConsumer, LogDelivery, type ReadConsumer } from "./log_delivery.ts";
import { findPlace, type LogPlace, messageFrom, readState } from "./log_place.ts";
import { covers, distinctFilters } from "../stream/subject_filter.ts";

/**
 * Maximum distance, in sequences, between the position of a reader that joins and that of the consumer's readers. If
 * the joining reader is behind, the messages in between are delivered again to the consumer's other readers.
 */
const NEAR = 4_096;
/** Time before the first consumer is made, in ms, because many readers mostly join at once. */
const FIRST = 5;
/** Minimum interval between two remakings of the consumer, in ms. */
const PACE = 100;
/** Time after which the consumer is made anew without the filters of readers that have left, in ms. */
const NARROW = 5_000;
/** Interval at which the marks (positions) of readers are moved behind messages of other subjects, in ms. */
const ADVANCE = 5_000;

/** How far a consumer has come in its stream. */
export interface Progress {
  /** Sequence of the last message that the consumer has delivered or skipped. */
  readonly sequence: number;
  /** Time stamp of the message with this `sequence`. */
  readonly time: number | undefined;
  /** Sequence up to which all messages for the consumer's readers were delivered. */
  readonly upTo: number;
}

/** A reader that may share a consumer. It leaves when the connection is closed. None of its methods throws. */
export interface SharingReader {
  readonly filters: readonly string[];
  /** True if the reader takes no messages at present. */
  readonly paused: boolean;
  /** Position of the last message that the reader has read, and the creation time of the stream that contained it. */
  readonly position: LogMark;
  /** Sequence up to which the reader has received all of its messages. */
  readonly upTo: number;
  /** Called once for each {@link SharedConsumer.join}, before any message of this consumer. */
  onJoined(consumer: SharedConsumer): void;
  /** Called with a message, which the reader may have received before. */
  onMessage(message: Msg, sequence: number, time: number): void;
  /** Called when the consumer has reached this position, even if no message was for this reader. */
  onPassed(progress: Progress): void;
  /** Called when nothing is left to deliver at present. */
  onIdle(): void;
  /** Called when all messages have been delivered that existed when the reader joined. */
  onCaughtUp(): void;
  /** Called when delivery is interrupted until {@link SharingReader.onRestart}. */
  onInterrupted(): void;
  onRestart(place: LogPlace): void;
  /**
   * Called with an error of an operation that is repeated. `stopsReading`: true if no messages arrive until the
   * operation succeeds.
   */
  onFault(error: unknown, effect: { readonly stopsReading: boolean }): void;
  /** Called when the reader has left this consumer, or was removed from it. */
  onLeft(consumer: SharedConsumer): void;
}

/** A consumer on the server, and the subscription to which it delivers. */
interface Current {
  readonly name: string;
  readonly created: string;
  readonly delivery: LogDelivery;
}

/** A consumer on the server that several readers of a stream share. */
export class SharedConsumer implements Progress {
  sequence = 0;
  time: number | undefined;
  upTo = 0;
  readonly #stream: OwnedStream;
  readonly #onEnd: () => void;
  readonly #readers = new Set<SharingReader>();
  readonly #joining: Map<SharingReader, PromiseWithResolvers<boolean>> = new Map();
  /** Number of the readers with each filter. */
  readonly #filters = new Map<string, number>();
  #routes = new SubjectRoutes<SharingReader>([]);
  #current: Current | undefined;
  /** Subject of a flow control request that was not answered yet: the server waits for the reply. */
  #held: string | undefined;
  /** Number of interruptions of the delivery so far. */
  #interruptions = 0;
  #wake = Promise.withResolvers<void>();
  #narrow: Timer | undefined;
  #narrows = false;
  #builtAt = -Infinity;
  #advancedAt = -Infinity;
  readonly #end = new AbortController();

  /** `onEnd` is called when the consumer has ended, because it has no reader left. */
  constructor(stream: OwnedStream, onEnd: () => void) {
    this.#stream = stream;
    this.#onEnd = onEnd;
    const { transport } = stream;
    const stops = [transport.onStatus(() => this.#interrupt()), stream.onRecreated(() => this.#interrupt())];
    // the consumer is started in a microtask, because the caller adds the first reader right after the construction
    queueMicrotask(() =>
      this.#run().finally(() => {
        for (const stop of stops) stop();
      })
    );
  }

  /**
   * Compares the filters of a reader with those of this consumer. `size`: number of filters with both; `common`:
   * number that the consumer has already.
   */
  with(filters: readonly string[]): { readonly size: number; readonly common: number } {
    const common = filters.filter((filter) => this.#filters.has(filter)).length;
    return { size: this.#filters.size + filters.length - common, common };
  }

  /**
   * Adds a reader. Resolves with true when the reader has joined (its `onJoined` was called); with false if its
   * position is too far from the others' ({@link NEAR}), or if it has left. Rejects like `OwnedStream.attempt` if no
   * consumer can be made for it.
   */
  join(reader: SharingReader): Promise<boolean> {
    for (const filter of reader.filters) this.#filters.set(filter, (this.#filters.get(filter) ?? 0) + 1);
    const joining = Promise.withResolvers<boolean>();
    this.#joining.set(reader, joining);
    this.#wake.resolve();
    return joining.promise;
  }

  /** True if the consumer has only one reader; the consumer then waits for that reader. */
  get alone(): boolean {
    return this.#readers.size === 1;
  }

  /** Lets the server send on. Call when a reader that was paused takes messages again. */
  resume(): void {
    if (this.#held !== undefined) this.#flow(this.#held);
  }

  /** Removes a reader from the consumer. Idempotent. */
  leave(reader: SharingReader): void {
    const joining = this.#joining.get(reader);
    if (joining === undefined && !this.#readers.has(reader)) return;
    this.#joining.delete(reader);
    if (this.#readers.delete(reader)) {
      reader.onPassed(this);
      reader.onLeft(this);
    }
    this.#forget(reader);
    joining?.resolve(false);
    if (this.#readers.size + this.#joining.size === 0) this.#wake.resolve();
    else this.resume();
  }

  #forget({ filters }: SharingReader): void {
    for (const filter of filters) {
      const left = this.#filters.get(filter)! - 1;
      if (left > 0) this.#filters.set(filter, left);
      else this.#filters.delete(filter);
      if (left > 0 || this.#current === undefined) continue;
      this.#narrow ??= this.#stream.transport.clock.after(NARROW, () => {
        this.#narrows = true;
        this.#wake.resolve();
      }, { background: true });
    }
  }

  async #run(): Promise<void> {
    const { transport } = this.#stream;
    const { clock, random } = transport;
    for (let failures = 0; this.#readers.size + this.#joining.size > 0;) {
      try {
        if (this.#current !== undefined && this.#joining.size === 0 && !this.#narrows) {
          await this.#wake.promise;
          this.#wake = Promise.withResolvers();
          continue;
        }
        await delay(clock, Math.max(FIRST, this.#builtAt + PACE - clock.monotonic()));
        await this.#connected();
        await this.#build();
        failures = 0;
      } catch (error) {
        this.#fail(error);
        // the loop ends here without readers, because the timer of a wait would outlive the connection
        if (this.#readers.size + this.#joining.size === 0) break;
        await delay(clock, backoff(random, failures++, ...PAUSES.watch));
      }
    }
    this.#narrow?.cancel();
    this.#drop();
    this.#end.abort();
    this.#onEnd();
  }

  /** Resolves when the transport is connected, or when no reader is left. */
  async #connected(): Promise<void> {
    const { transport } = this.#stream;
    while (transport.status.state !== "connected" && this.#readers.size + this.#joining.size > 0) {
      await this.#wake.promise;
      this.#wake = Promise.withResolvers();
    }
  }

  /** Makes the consumer anew on the server, with the readers that join. */
  async #build(): Promise<void> {
    const stream = this.#stream;
    this.#builtAt = stream.transport.clock.monotonic();
    const interruptions = this.#interruptions;
    const place = await this.#placeAfterInterruption();
    const base = this.#current !== undefined
      ? { created: this.#current.created, upTo: this.upTo }
      : place !== undefined
      ? { created: place.mark.created, upTo: place.mark.sequence }
      : this.#foremost();
    if (base === undefined || interruptions !== this.#interruptions) return;
    const attached = [...this.#readers];
    const joining = this.#nearTo(base);
    if (attached.length + joining.length === 0) return;
    const start = Math.min(...(attached.length > 0 ? [base.upTo] : []), ...joining.map(({ upTo }) => upTo)) + 1;
    const filters = distinctFilters([...attached, ...joining].flatMap((reader) => reader.filters));
    let unused: string | undefined;
    try {
      const config = {
        ...(filters.length === 1 ? { filter_subject: filters[0] } : { filter_subjects: filters }),
        deliver_policy: "by_start_sequence",
        opt_start_seq: start,
      };
      const made = await stream.attempt((limit) => createConsumer(stream, config, limit, (name) => unused = name));
      // the stream is checked again, because it may have been created anew before this consumer was made; the consumer
      // delivers nothing until `#switch` subscribes to it
      const state = await readState(stream);
      if (interruptions !== this.#interruptions) return;
      if (state.created !== base.created || state.last < start - 1) {
        // the stream was created anew or has lost messages: the joining readers must look up their places again
        this.#turnAway(joining);
        return this.#interrupt();
      }
      unused = undefined;
      this.#switch(made, { created: base.created, start, joining, place });
    } finally {
      if (unused !== undefined) stream.js.deleteConsumer(stream.name, unused);
    }
  }

  /**
   * Finds the place at which the consumer goes on after an interruption: behind the last message of the reader with the
   * greatest position. Removes the readers at other positions, which must look up their own places. `undefined`: there
   * was no interruption, or no reader is left.
   */
  async #placeAfterInterruption(): Promise<LogPlace | undefined> {
    if (this.#current !== undefined || this.#readers.size === 0) return undefined;
    let furthest: LogMark | undefined;
    for (const { position } of this.#readers) if (position.sequence > (furthest?.sequence ?? -1)) furthest = position;
    for (const reader of [...this.#readers]) {
      const { created, sequence } = reader.position;
      if (created !== furthest!.created || sequence !== furthest!.sequence) this.leave(reader);
    }
    return await findPlace(this.#stream, furthest, this.#end.signal);
  }

  #foremost(): { created: string; upTo: number } | undefined {
    let foremost: { created: string; upTo: number } | undefined;
    for (const { position: { created }, upTo } of this.#joining.keys()) {
      if (upTo > (foremost?.upTo ?? -1)) foremost = { created, upTo };
    }
    return foremost;
  }

  /** Returns the joining readers whose positions are near that of the consumer, and turns the others away. */
  #nearTo(base: { created: string; upTo: number }): readonly SharingReader[] {
    const isNear = ({ position, upTo }: SharingReader) =>
      position.created === base.created && Math.abs(upTo - base.upTo) <= NEAR;
    const joining = [...this.#joining.keys()];
    this.#turnAway(joining.filter((reader) => !isNear(reader)));
    return joining.filter(isNear);
  }

  #turnAway(readers: readonly SharingReader[]): void {
    for (const reader of readers) if (this.#joining.has(reader)) this.leave(reader);
  }

  /** Replaces the consumer that delivers by a new one. */
  #switch(
    { name, inbox, expected }: ReadConsumer,
    { created, start, joining, place }: {
      created: string;
      start: number;
      joining: readonly SharingReader[];
      place: LogPlace | undefined;
    },
  ): void {
    const stream = this.#stream;
    for (const reader of this.#readers) reader.onPassed(this);
    this.#drop();
    this.sequence = this.upTo = start - 1;
    this.time = undefined;
    this.#advancedAt = -Infinity;
    this.#narrows = false;
    this.#narrow?.cancel();
    this.#narrow = undefined;
    if (place !== undefined) { for (const reader of [...this.#readers]) reader.onRestart(place); }
    const joined: (() => void)[] = [];
    for (const reader of joining) {
      const promise = this.#joining.get(reader);
      if (promise === undefined) continue; // the reader has left meanwhile
      this.#joining.delete(reader);
      this.#readers.add(reader);
      reader.onJoined(this);
      joined.push(() => promise.resolve(true));
    }
    this.#routes = new SubjectRoutes([...this.#readers].map((receiver) => ({ receiver, filters: receiver.filters })));
    const caughtUp = () => {
      for (const reader of [...this.#readers]) reader.onCaughtUp();
    };
    const { transport } = stream;
    const delivery = new LogDelivery(transport, { stream, name, inbox, expected }, {
      onMessage: (message, sequence, time) => this.#deliver(message, sequence, time),
      onFlow: (reply) => this.#flow(reply),
      onIdle: (sequence) => this.#idle(sequence),
      onCaughtUp: caughtUp,
      onBroken: () => this.#interrupt(),
    });
    this.#current = { name, created, delivery };
    if (expected === 0) caughtUp();
    for (const resolve of joined) resolve();
  }

  #deliver(message: Msg, sequence: number, time: number): void {
    // old messages, which are delivered again after the death of the stream's leader, are ignored
    if (sequence <= this.sequence) return;
    this.#routes.each(message.subject, (reader) => {
      if (this.#readers.has(reader)) reader.onMessage(message, sequence, time);
    });
    this.sequence = sequence;
    this.time = time;
    if (sequence > this.upTo) this.upTo = sequence;
  }

  #flow(reply: string): void {
    const [reader] = this.#readers;
    this.#held = this.alone && reader.paused ? reply : undefined;
    if (this.#held === undefined) this.#stream.transport.signal(reply);
  }

  /**
   * Handles the report that nothing is left to deliver up to this sequence: moves the marks (positions) of readers
   * there, so that the expiry of messages of other subjects is not taken for a loss.
   */
  #idle(sequence: number): void {
    const { clock } = this.#stream.transport;
    if (sequence > this.upTo) this.upTo = sequence;
    for (const reader of [...this.#readers]) reader.onIdle();
    if (sequence <= this.sequence || clock.monotonic() - this.#advancedAt < ADVANCE) return;
    this.#advancedAt = clock.monotonic();
    const current = this.#current;
    messageFrom(this.#stream, sequence).then((message) => {
      if (sequence <= this.sequence || this.#current !== current) return;
      this.sequence = sequence;
      this.time = message?.sequence === sequence ? message.time : undefined;
    }).catch((error) => {
      if (this.#current !== current || this.#stream.transport.status.state !== "connected") return;
      const [reader] = this.#readers;
      reader?.onFault(error, { stopsReading: false });
    });
  }

  /** Handles the loss of the consumer or of its stream: delivery is interrupted until the consumer is made anew. */
  #interrupt(): void {
    this.#interruptions++;
    this.#wake.resolve();
    if (this.#current === undefined) return;
    this.#drop();
    for (const reader of [...this.#readers]) {
      reader.onPassed(this);
      reader.onInterrupted();
    }
  }

  #drop(): void {
    const current = this.#current;
    this.#current = this.#held = undefined;
    if (current === undefined) return;
    current.delivery.close();
    this.#stream.js.deleteConsumer(this.#stream.name, current.name);
  }

  #fail(error: unknown): void {
    // nothing is reported while the connection is down: the transport reports a lost connection
    if (this.#stream.transport.status.state !== "connected") return;
    if (this.#current === undefined) {
      for (const reader of [...this.#readers]) reader.onFault(error, { stopsReading: true });
    }
    for (const [reader, joining] of [...this.#joining]) {
      this.#joining.delete(reader);
      this.#forget(reader);
      joining.reject(error);
    }
  }
}

/** Receivers of messages, by their filter. */
export class SubjectRoutes<T> {
  readonly #literal = new Map<string, T[]>();
  readonly #wild: { readonly matches: (subject: string) => boolean; readonly receivers: T[] }[] = [];

  constructor(receivers: Iterable<{ readonly receiver: T; readonly filters: readonly string[] }>) {
    const wild = new Map<string, T[]>();
    for (const { receiver, filters } of receivers) {
      for (const filter of filters) {
        const to = /[*>]/.test(filter) ? wild : this.#literal;
        const known = to.get(filter);
        if (known === undefined) to.set(filter, [receiver]);
        else known.push(receiver);
      }
    }
    for (const [filter, receivers] of wild) this.#wild.push({ matches: matcher(filter), receivers });
  }

  /** Calls `callback` with each receiver that has a filter matching the subject; once for each such filter. */
  each(subject: string, callback: (receiver: T) => void): void {
    for (const receiver of this.#literal.get(subject) ?? []) callback(receiver);
    for (const { matches, receivers } of this.#wild) {
      if (matches(subject)) { for (const receiver of receivers) callback(receiver); }
    }
  }
}

/**
 * Returns a function that tests if a subject matches a pattern. Most patterns have their wildcard at the end, and are
 * tested without splitting the subject.
 */
function matcher(pattern: string): (subject: string) => boolean {
  const [, prefix, last] = /^([^*>]*)([*>])$/.exec(pattern) ?? [];
  if (prefix !== undefined && last === ">") {
    return (subject) => subject.length > prefix.length && subject.startsWith(prefix);
  }
  if (prefix !== undefined) {
    return (subject) =>
      subject.length > prefix.length && subject.startsWith(prefix) && subject.indexOf(".", prefix.length) < 0;
  }
  return (subject) => covers(pattern, subject);
}
