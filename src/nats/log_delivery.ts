/**
 * The messages that one consumer of a stream delivers: in order, without gaps, until it breaks. The ordered consumers
 * of `@nats-io/jetstream` lose messages, or are silent for long: docs/internals/packages.md, rows `ordered-pull` and
 * `ordered-push`.
 */
import type { Msg, MsgHdrs, Subscription } from "@nats-io/nats-core";
import { type Timer, token } from "../ports/clock.ts";
import type { KeptStream } from "./kept_stream.ts";
import type { NatsTransport } from "./transport.ts";

/** After so many heartbeats' time without a message or heartbeat the consumer is considered lost. */
const SILENCE = 2.5;
/** A timer that is later than this, in ms, shows that this process was paused. */
const LATE = 250;

/** The callbacks of a {@link LogDelivery}. None throws. */
interface DeliveryListener {
  onMessage(message: Msg, sequence: number, time: number): void;
  /** The server waits for a message on this subject before it sends many more; `stalled`: before it sends any. */
  onFlow(reply: string, stalled: boolean): void;
  /** There is nothing to deliver up to this sequence of the stream. */
  onIdle(sequence: number): void;
  /** All messages that there were at the start have come. Called once. */
  onCaughtUp(): void;
  /** It has ended by itself. Called once, and last. */
  onBroken(why: string): void;
}

/** The subscription to which a consumer delivers. */
export class LogDelivery {
  /** Number of messages that it has delivered. */
  received = 0;
  readonly #transport: NatsTransport;
  readonly #listener: DeliveryListener;
  readonly #position: DeliveryPosition;
  readonly #subscription: Subscription;
  readonly #heartbeat: number;
  /** How many messages there were at the start; `Infinity` when they have come. */
  #expected: number;
  #timer: Timer | undefined;
  /** When the last message or heartbeat came, by the monotonic clock; noted at each check of it. */
  #lastSign: number;
  /** True if one came since. */
  #signed = false;
  #ended = false;

  constructor(
    transport: NatsTransport,
    consumer: { stream: Pick<KeptStream, "name" | "heartbeat">; name: string; inbox: string; expected: number },
    listener: DeliveryListener,
  ) {
    this.#transport = transport;
    this.#listener = listener;
    this.#position = new DeliveryPosition(consumer.stream.name, consumer.name);
    this.#heartbeat = consumer.stream.heartbeat;
    this.#expected = consumer.expected === 0 ? Infinity : consumer.expected;
    this.#lastSign = transport.clock.monotonic();
    this.#subscription = transport.listen(consumer.inbox, (error, message) => {
      if (error) return this.#break(error.message);
      try {
        this.#receive(message);
      } catch (thrown) {
        // a header that cannot be read, in a message that is none of the consumer's
        this.#break((thrown as Error).message);
      }
    });
    this.#checkSilence();
  }

  /** Ends it; `onBroken` is not called. Idempotent. */
  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#timer?.cancel();
    if (!this.#subscription.isClosed()) this.#subscription.unsubscribe();
  }

  #receive(message: Msg): void {
    if (this.#ended) return;
    this.#signed = true;
    const position = this.#position;
    const reply = message.reply ?? "";
    if (!position.parse(reply)) {
      const { headers } = message;
      if (headers !== undefined && headers.code !== 0) this.#control(reply, headers);
      return;
    }
    if (position.delivery !== this.received + 1) return this.#break(LOST);
    this.received++;
    this.#listener.onMessage(message, position.sequence, position.time);
    if (this.received >= this.#expected || position.pending === 0) this.#caughtUp();
  }

  /** A status message of the server: 100 for heartbeats and flow control. */
  #control(reply: string, headers: MsgHdrs): void {
    if (headers.code !== 100) return this.#break(headers.status);
    if (reply !== "") return this.#listener.onFlow(reply, false);
    const stalled = headers.get("Nats-Consumer-Stalled");
    if (stalled !== "") this.#listener.onFlow(stalled, true);
    if (Number(headers.get("Nats-Last-Consumer") || this.received) !== this.received) return this.#break(LOST);
    // a heartbeat says that nothing is left to deliver: messages that were counted may have expired since
    if (stalled !== "") return;
    this.#caughtUp();
    const sequence = Number(headers.get("Nats-Last-Stream"));
    if (Number.isSafeInteger(sequence)) this.#listener.onIdle(sequence);
  }

  #caughtUp(): void {
    if (this.#expected === Infinity || this.#ended) return;
    this.#expected = Infinity;
    this.#listener.onCaughtUp();
  }

  #checkSilence(): void {
    if (this.#ended) return;
    const { clock } = this.#transport;
    const begun = clock.monotonic();
    if (this.#signed) this.#lastSign = begun;
    this.#signed = false;
    const silence = SILENCE * this.#heartbeat;
    if (begun - this.#lastSign >= silence) return this.#break(`no message or heartbeat for ${silence} ms`);
    this.#timer = clock.after(this.#heartbeat / 2, () => {
      // this process was paused, and messages may wait in its socket: it gets the time to read them
      if (clock.monotonic() - begun >= this.#heartbeat / 2 + LATE) this.#signed = true;
      this.#checkSilence();
    }, { background: true });
  }

  #break(why: string): void {
    if (this.#ended) return;
    this.close();
    this.#listener.onBroken(why);
  }
}

const LOST = "a message was lost on the way";

// Where a message of a consumer is, by its reply subject: `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.
// <consumer sequence>.<ns since 1970>.<pending>`, or the same with domain and account behind `ACK`, and perhaps a token
// at the end. Read by hand, without allocation: a reader does it for each message.

const DOT = 46;
const DIGIT_0 = 48;
const DIGIT_9 = 57;
/** Digits of a sequence that is a safe integer, at most: those of buckets have 16. */
const DIGITS = 16;

/** The position of the message that was parsed last. */
export class DeliveryPosition {
  /** The sequence in the stream. */
  sequence = 0;
  /** Number of messages that the consumer has delivered, this one included. */
  delivery = 0;
  /** When it was stored, in ms since 1970. */
  time = 0;
  /** How many there are behind it. */
  pending = 0;
  readonly #middle: string;
  #prefix = "";
  #at = 0;

  constructor(stream: string, consumer: string) {
    this.#middle = `.${stream}.${consumer}.`;
  }

  /** Parses a reply subject; `false` if it is of another kind, or of another consumer. */
  parse(reply: string): boolean {
    if (this.#prefix === "" || !reply.startsWith(this.#prefix)) {
      const middle = reply.indexOf(this.#middle);
      if (middle < 0 || !reply.startsWith("$JS.ACK.")) return false;
      this.#prefix = reply.slice(0, middle + this.#middle.length);
    }
    this.#at = this.#prefix.length;
    if (this.#number(reply) < 0) return false;
    this.sequence = this.#number(reply);
    this.delivery = this.#number(reply);
    const start = this.#at;
    const end = reply.indexOf(".", start);
    // the last six digits are ns
    if (end - start < 7 || end - start > DIGITS + 6) return false;
    this.time = 0;
    for (let i = start; i < end - 6; i++) {
      const digit = reply.charCodeAt(i);
      if (digit < DIGIT_0 || digit > DIGIT_9) return false;
      this.time = this.time * 10 + (digit - DIGIT_0);
    }
    this.#at = end + 1;
    this.pending = this.#number(reply);
    return this.sequence > 0 && this.delivery > 0 && this.pending >= 0;
  }

  /** The next token as a number; -1 if it is none. */
  #number(reply: string): number {
    let value = 0;
    let i = this.#at;
    for (; i < reply.length; i++) {
      const digit = reply.charCodeAt(i);
      if (digit === DOT) break;
      if (digit < DIGIT_0 || digit > DIGIT_9) return -1;
      value = value * 10 + (digit - DIGIT_0);
    }
    const digits = i - this.#at;
    this.#at = i + 1;
    return digits > 0 && digits <= DIGITS ? value : -1;
  }
}

// The consumers with which streams are read: ordered, without acknowledgements, ended by the server when nobody
// subscribes.

/** After this time without a subscriber the server deletes the consumer, in ms. */
const INACTIVE = 5_000;

/** A consumer that waits for a subscriber. */
export interface ReadConsumer {
  readonly name: string;
  /** The subject to which it delivers. */
  readonly inbox: string;
  /** How many messages there are for it. */
  readonly expected: number;
}

/**
 * Makes a consumer that delivers when somebody subscribes; `config` says what. `onNamed` gets its name before it is
 * made: without an answer it may exist nevertheless. Rejects as `JetStream.createConsumer`.
 */
export async function createConsumer(
  stream: KeptStream,
  config: { readonly [setting: string]: unknown; readonly filter_subject?: string },
  limit: number,
  onNamed: (name: string) => void,
): Promise<ReadConsumer> {
  const { transport } = stream;
  const name = `catga_${token(transport.random, 16)}`;
  const inbox = transport.inbox();
  onNamed(name);
  const expected = await stream.js.createConsumer(stream.name, {
    ...config,
    name,
    deliver_subject: inbox,
    ack_policy: "none",
    replay_policy: "instant",
    max_deliver: 1,
    mem_storage: true,
    num_replicas: 1,
    flow_control: true,
    idle_heartbeat: stream.heartbeat * 1_000_000,
    inactive_threshold: INACTIVE * 1_000_000,
  }, limit);
  return { name, inbox, expected };
}
