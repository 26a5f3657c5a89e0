/**
 * Follows a stream: an ordered consumer of its own after another, each from behind the message that was read last. A
 * consumer that was lost is silent, and one that starts behind the end of a stream that was made again waits for ever: so each
 * start compares the stream with what was read.
 */
import type { Msg } from "@nats-io/nats-core";
import { CatgaError, isCatgaError } from "../error.ts";
import { delay, token } from "../ports/clock.ts";
import type { FollowOptions, LogMark, LogReader } from "../ports/event_log.ts";
import type { KeptStream } from "./kept_stream.ts";
import { HEARTBEAT, LogDelivery } from "./log_delivery.ts";
import { findPlace, messageFrom, readState } from "./log_place.ts";
import { connectionClosed } from "./nats_error.ts";
import { DeliveredMessage } from "./stored_message.ts";
import { distinctFilters } from "./subject_filter.ts";

/** After this time without a subscriber the server deletes the consumer, in ms. */
const INACTIVE = 5_000;
/** How often one fault is reported again, in ms. */
const FAULT = 60_000;
/** How often the mark follows messages of other subjects, in ms. */
const ADVANCE = 5_000;
/** The longest pause between two tries to start, in ms. */
const PAUSE = 2_000;

/** A reader of a stream. */
export class NatsLogReader implements LogReader {
  readonly #stream: KeptStream;
  readonly #options: FollowOptions;
  readonly #filters: readonly string[];
  readonly #end = new AbortController();
  #mark: LogMark | undefined;
  #caughtUp = false;
  #paused = false;
  /** The subject of an unanswered request of flow control: the server waits for it. */
  #held: string | undefined;
  /** Ends the consumer that delivers now. */
  #breakOff: ((why: string) => void) | undefined;
  /** The last message that was read: its sequence, and its time. */
  #sequence = 0;
  #time: number | undefined;
  #fault = { text: "", at: -Infinity };
  /** When the mark followed messages of other subjects, by the monotonic clock. */
  #advancedAt = -Infinity;

  constructor(stream: KeptStream, options: FollowOptions) {
    this.#stream = stream;
    this.#options = options;
    this.#filters = distinctFilters(options.subjects);
    if (options.after !== undefined) stream.noteRevision(options.after.sequence);
    const { transport } = stream;
    const stop = transport.onStatus(({ state }) => {
      if (state === "closed") this.close();
      else this.#breakOff?.("the connection was lost");
    });
    const stopRecreated = stream.onRecreated(() => this.#breakOff?.("the stream was lost and made anew"));
    if (transport.status.state === "closed") this.close();
    this.#run().catch((error) => this.#report(error)).finally(() => {
      stop();
      stopRecreated();
    });
  }

  get mark(): LogMark | undefined {
    const mark = this.#mark;
    if (mark === undefined || mark.sequence === this.#sequence) return mark;
    return this.#mark = { created: mark.created, sequence: this.#sequence, time: this.#time };
  }

  get caughtUp(): boolean {
    return this.#caughtUp;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined) this.#answer(held);
  }

  close(): void {
    if (this.#end.signal.aborted) return;
    this.#end.abort(connectionClosed());
    this.#breakOff?.("closed");
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
        if (transport.status.state === "connected") this.#report(error);
      }
      if (signal.aborted) return;
      const { clock, random } = transport;
      await delay(clock, random() * Math.min(PAUSE, 20 * 2 ** failures), signal).catch(() => {});
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

  /** Uses one consumer, from its start to its end. Resolves with whether it delivered anything. Rejects if it did not start. */
  async #follow(): Promise<boolean> {
    const { name: stream, js, transport } = this.#stream;
    this.#caughtUp = false;
    this.#held = undefined;
    const ended = Promise.withResolvers<void>();
    let broken = false;
    this.#breakOff = () => {
      broken = true;
      ended.resolve();
    };
    const place = await findPlace(this.#stream, this.mark ?? this.#options.after, this.#end.signal);
    if (broken || this.#end.signal.aborted) return false;
    const name = `catga_${token(transport.random, 16)}`;
    const prefix = (transport.connection as { options?: { inboxPrefix?: string } }).options?.inboxPrefix;
    const inbox = transport.driver.createInbox(prefix);
    try {
      const expected = await this.#create(name, inbox, place.mark.sequence + 1);
      // the stream may have been made again meanwhile: nothing is delivered before there is a subscription
      const state = await readState(this.#stream);
      if (
        broken || this.#end.signal.aborted || state.created !== place.mark.created || state.last < place.mark.sequence
      ) return false;
      this.#mark = place.mark;
      this.#sequence = place.mark.sequence;
      this.#time = place.mark.time;
      this.#call(() => this.#options.onStart({ mark: place.mark, state: place.state, lost: place.lost }));
      if (broken) return true;
      this.#caughtUp = expected === 0;
      const delivery = new LogDelivery(transport, { stream, name, inbox, expected }, {
        onMessage: (message, sequence, time) => this.#deliver(message, sequence, time),
        onFlow: (reply) => this.#flow(reply),
        onIdle: (sequence) => this.#idle(sequence),
        onCaughtUp: () => this.#caughtUp = true,
        onBroken: () => this.#breakOff?.(""),
      });
      await ended.promise;
      delivery.close();
      return delivery.received > 0;
    } finally {
      this.#breakOff = undefined;
      js.deleteConsumer(stream, name);
    }
  }

  /** Resolves with how many messages there are. */
  #create(name: string, inbox: string, start: number): Promise<number> {
    const filters = this.#filters;
    return this.#stream.attempt((limit) =>
      this.#stream.js.createConsumer(this.#stream.name, {
        name,
        ...(filters.length === 1 ? { filter_subject: filters[0] } : { filter_subjects: filters }),
        deliver_subject: inbox,
        deliver_policy: "by_start_sequence",
        opt_start_seq: start,
        ack_policy: "none",
        replay_policy: "instant",
        max_deliver: 1,
        mem_storage: true,
        num_replicas: 1,
        flow_control: true,
        idle_heartbeat: HEARTBEAT * 1_000_000,
        inactive_threshold: INACTIVE * 1_000_000,
      }, limit), { idempotent: true });
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

  /**
   * Up to here there are messages of other subjects only: the mark follows them, lest it looks later as if what has expired of
   * them was lost.
   */
  #idle(sequence: number): void {
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
    else this.#answer(reply);
  }

  #answer(reply: string): void {
    const { transport } = this.#stream;
    if (transport.status.state === "connected") transport.connection.publish(reply);
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

  /** Reports a fault; the same one once a minute. */
  #report(error: unknown): void {
    const { message } = error as Error;
    const at = this.#stream.transport.clock.monotonic();
    if (message === this.#fault.text && at - this.#fault.at < FAULT) return;
    this.#fault = { text: message, at };
    this.#options.onFault(
      error instanceof CatgaError
        ? error
        : new CatgaError("UNAVAILABLE", `${this.#stream.what} cannot be read: ${message}`, { cause: error }),
    );
  }
}
