/**
 * Makes the consumers with which streams are read, and receives the messages that one of them delivers: in order,
 * without gaps, until a message is missing, the server has fallen silent, or the consumer stands still. Ordered
 * consumers of `@nats-io/jetstream` lose messages, or are silent for long: docs/internals/packages.md, rows
 * `ordered-pull` and `ordered-push`.
 */
import type { Msg, MsgHdrs, Subscription } from "@nats-io/nats-core";
import type { OwnedStream } from "../stream/owned_stream.ts";
import type { NatsTransport } from "../connection/transport.ts";
import { type Clock, type Timer, token } from "../../ports/clock.ts";
import { stoodStill } from "../../ports/standstill.ts";
import { Machine, type StateTable } from "../../data/state_table.ts";

/** The callbacks of a {@link LogDelivery}, which must not throw. */
interface DeliveryListener {
  onMessage(message: Msg, sequence: number, time: number): void;
  /**
   * Called when the server asks for an empty message on the subject `reply` (flow control). `stalled`: true if it sends
   * nothing before it gets that; false: it goes on for a while.
   */
  onFlow(reply: string, stalled: boolean): void;
  /** Called when the consumer has nothing left to deliver up to this sequence of the stream. */
  onIdle(sequence: number): void;
  /** Called once, when all messages that existed when the consumer was made have arrived. */
  onCaughtUp(): void;
  /** Called once, after all other callbacks, when the delivery has ended by itself. */
  onBroken(why: string): void;
}

/** The consumer of a {@link LogDelivery}. */
interface DeliveringConsumer {
  readonly stream: Pick<OwnedStream, "name" | "heartbeat" | "isReplicated" | "recentInfo">;
  readonly name: string;
  readonly inbox: string;
  /**
   * Number of messages that the consumer had to deliver when it was made; `undefined`: it is not made yet, and the
   * delivery keeps its messages back until {@link LogDelivery.begin}.
   */
  readonly expected: number | undefined;
}

/** Interval at which a consumer of a stream with replicas is compared with the stream's leader if it is idle, in ms. */
const AUDIT = 5_000;
/** Interval of this comparison for a stream without replicas, whose consumers are at its only server, in ms. */
const AUDIT_OF_ONE = 30_000;
/** Maximum delay of an idle consumer behind the stream's leader, in ms. */
const MAX_CONSUMER_LAG = 1_000;

/** The states of a delivery. */
export const DELIVERY_STATES = {
  /** The consumer is being made: messages that arrive wait. */
  early: ["catching up", "live", "ended"],
  /** Not all messages have arrived that existed when the consumer was made. */
  "catching up": ["live", "ended"],
  live: ["ended"],
  ended: [],
} as const satisfies StateTable<"early" | "catching up" | "live" | "ended">;

/**
 * Receives the messages that a consumer of a stream delivers. Ends when one is missing, when the server is silent, or
 * when the consumer does not deliver what the stream has: one at a server of three whose store has become full delivers
 * nothing more, with healthy heartbeats (nats-server 2.15).
 */
export class LogDelivery {
  /** Number of messages that the delivery has received. */
  received = 0;
  /** Sequence of the stream up to which the consumer has delivered everything; 0: not known yet. */
  upTo = 0;
  readonly #listener: DeliveryListener;
  readonly #position: DeliveryPosition;
  readonly #subscription: Subscription;
  readonly #silence: SilenceWatch;
  readonly #stream: DeliveringConsumer["stream"];
  readonly #clock: Clock;
  /** Number of heartbeats that said that nothing is left to deliver. */
  #idles = 0;
  #auditing: Timer | undefined;
  readonly #machine: Machine<keyof typeof DELIVERY_STATES> = new Machine(DELIVERY_STATES, "early");
  /** Number of messages that existed when the consumer was made. */
  #expected = 0;
  /** The messages that have arrived before {@link LogDelivery.begin}. */
  #early: Msg[] = [];

  /** Subscribes to the consumer's inbox, before or after the consumer is made. */
  constructor(transport: NatsTransport, consumer: DeliveringConsumer, listener: DeliveryListener) {
    this.#listener = listener;
    this.#stream = consumer.stream;
    this.#clock = transport.clock;
    this.#position = new DeliveryPosition(consumer.stream.name, consumer.name);
    this.#silence = new SilenceWatch(
      transport.clock,
      consumer.stream.heartbeat,
      (ms) => this.#break(`no message or heartbeat for ${ms} ms`),
    );
    this.#subscription = transport.listen(consumer.inbox, (error, message) => {
      if (error) return this.#break(error.message);
      if (this.#machine.is("early")) this.#early.push(message);
      else this.#take(message);
    });
    if (consumer.expected !== undefined) this.begin(consumer.expected);
  }

  /**
   * Passes on the messages that have arrived so far, and then each one as it arrives. Called when the consumer is made;
   * `expected`: number of messages that the consumer had to deliver at that time.
   */
  begin(expected: number): void {
    if (this.#machine.is("ended")) return;
    const early = this.#early;
    this.#early = [];
    this.#expected = expected;
    this.#machine.to(expected > 0 ? "catching up" : "live");
    for (const message of early) this.#take(message);
    this.#auditLater();
  }

  /** Ends the delivery; `onBroken` is not called. Idempotent. */
  close(): void {
    if (this.#machine.is("ended")) return;
    this.#machine.to("ended");
    this.#silence.close();
    this.#auditing?.cancel();
    if (!this.#subscription.isClosed()) this.#subscription.unsubscribe();
  }

  #take(message: Msg): void {
    try {
      this.#receive(message);
    } catch (thrown) {
      // the header is unreadable: the message is not the consumer's
      this.#break((thrown as Error).message);
    }
  }

  #receive(message: Msg): void {
    if (this.#machine.is("ended")) return;
    const position = this.#position;
    const reply = message.reply ?? "";
    if (!position.parse(reply)) {
      const { headers } = message;
      if (headers !== undefined && headers.code !== 0) return this.#control(reply, headers);
      return this.#silence.message();
    }
    this.#silence.message();
    if (position.delivery !== this.received + 1) return this.#break(LOST);
    this.received++;
    this.upTo = position.sequence;
    this.#listener.onMessage(message, position.sequence, position.time);
    if (this.received >= this.#expected || position.pending === 0) this.#caughtUp();
  }

  /** Handles a status message of the server with code 100: a heartbeat or flow control. */
  #control(reply: string, headers: MsgHdrs): void {
    if (headers.code !== 100) return this.#break(headers.status);
    if (reply !== "") {
      this.#silence.message();
      return this.#listener.onFlow(reply, false);
    }
    this.#silence.heartbeat();
    const stalled = headers.get("Nats-Consumer-Stalled");
    if (stalled !== "") this.#listener.onFlow(stalled, true);
    if (Number(headers.get("Nats-Last-Consumer") || this.received) !== this.received) return this.#break(LOST);
    // a heartbeat says that nothing is left to deliver: messages that were counted when the consumer was made may have
    // expired
    if (stalled !== "") return;
    this.#caughtUp();
    const sequence = Number(headers.get("Nats-Last-Stream"));
    if (!Number.isSafeInteger(sequence)) return;
    this.#idles++;
    if (sequence > this.upTo) this.upTo = sequence;
    this.#listener.onIdle(sequence);
  }

  /**
   * Compares the consumer with the stream's leader after a while, unless it has delivered something until then.
   * `isKnown`: the last comparison has found that nothing was missing, so that the next one is left out.
   */
  #auditLater(isKnown = false): void {
    if (this.#machine.is("ended")) return;
    const upTo = this.upTo;
    this.#auditing = this.#clock.after(this.#stream.isReplicated ? AUDIT : AUDIT_OF_ONE, () => {
      if (upTo === this.upTo && !isKnown) void this.#audit();
      else this.#auditLater();
    }, { background: true });
  }

  async #audit(): Promise<void> {
    const upTo = this.upTo;
    let last = 0;
    try {
      last = (await this.#stream.recentInfo()).state.last_seq;
    } catch {
      // without an answer of the leader nothing can be compared; the next audit asks again
    }
    if (this.#machine.is("ended")) return;
    if (last <= upTo) return this.#auditLater(this.#stream.isReplicated);
    const idles = this.#idles;
    // a heartbeat contains the position that an idle consumer had at the heartbeat before (nats-server 2.15)
    this.#auditing = this.#clock.after(2 * this.#stream.heartbeat + MAX_CONSUMER_LAG, () => {
      // a consumer without two heartbeats waits for this process, is silent, or its server is slow
      if (this.upTo > upTo || this.#idles < idles + 2) return this.#auditLater();
      this.#break(`the consumer does not deliver what ${this.#stream.name} has, as one at a full server`);
    }, { background: true });
  }

  #caughtUp(): void {
    if (!this.#machine.is("catching up")) return;
    this.#machine.to("live");
    this.#listener.onCaughtUp();
  }

  #break(why: string): void {
    if (this.#machine.is("ended")) return;
    this.close();
    this.#listener.onBroken(why);
  }
}

const LOST = "a message was lost on the way";

const DOT = 46;
const DIGIT_0 = 48;
const DIGIT_9 = 57;
/** Maximum number of digits of a sequence that is a safe integer; sequences of buckets have 16. */
const DIGITS = 16;

/**
 * Position of the message whose reply subject was parsed last: `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream
 * sequence>.<consumer sequence>.<ns since 1970>.<pending>`, or the same with domain and account behind `ACK`, and
 * perhaps a token at the end. Parsed by hand, without allocation, because a reader parses one for each message.
 */
export class DeliveryPosition {
  /** Sequence of the message in its stream. */
  sequence = 0;
  /** Number of messages that the consumer has delivered, including this one. */
  delivery = 0;
  /** Time at which the message was stored, in ms since 1970. */
  time = 0;
  /** Number of messages that the consumer must still deliver. */
  pending = 0;
  readonly #middle: string;
  #prefix = "";
  #at = 0;

  constructor(stream: string, consumer: string) {
    this.#middle = `.${stream}.${consumer}.`;
  }

  /** Parses a reply subject. Returns false if the subject is of another kind, or of another consumer. */
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
    // the last six digits of the time are the ns within a ms, and are left out
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

  /** Parses the next token of the subject as a number; -1: it is not a number. */
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

/** Number of heartbeat intervals without a sign after which the server is suspected of silence. */
const SUSPICION = 2.5;
/**
 * Time between the suspicion and the report, in heartbeat intervals: if this process was paused until the suspicion, it
 * reads its socket in this time.
 */
const CONFIRMATION = 0.25;

/** The states of the watch over a server's signs of life. */
export const SILENCE_STATES = {
  /** No message has come since the last check, or the last heartbeat. */
  quiet: ["heard", "suspected", "closed"],
  /** A message has come since the last check, and no heartbeat after it. */
  heard: ["quiet", "closed"],
  /** The silence has lasted too long; signs may be in this process's socket. */
  suspected: ["quiet", "heard", "closed"],
  closed: [],
} as const satisfies StateTable<"quiet" | "heard" | "suspected" | "closed">;

/**
 * Notices that a server, which sends heartbeats while it has nothing to deliver, has fallen silent, from its
 * construction on. While only heartbeats come, one timer fires for each two or three of them; the clock is not read for
 * each message.
 */
export class SilenceWatch {
  readonly #clock: Clock;
  readonly #onSilent: (ms: number) => void;
  /** Time without a sign until the server is suspected, in ms. */
  readonly #limit: number;
  readonly #heartbeat: number;
  /** Interval between checks while messages come, in ms. */
  readonly #step: number;
  /** Time of the last sign, by the monotonic clock; messages since the last check are not included. */
  #lastSign: number;
  readonly #machine: Machine<keyof typeof SILENCE_STATES> = new Machine(SILENCE_STATES, "quiet");
  #timer: Timer | undefined;
  /** Time of the next check, by the monotonic clock. */
  #checkAt = 0;

  /**
   * `heartbeat`: interval of heartbeats, in ms. `onSilent` is called once, 2.75 intervals after the last heartbeat or
   * 2.5 to 3 after the last message, with the length of the silence in ms.
   */
  constructor(clock: Clock, heartbeat: number, onSilent: (ms: number) => void) {
    this.#clock = clock;
    this.#onSilent = onSilent;
    this.#heartbeat = heartbeat;
    this.#limit = SUSPICION * heartbeat;
    this.#step = heartbeat / 2;
    this.#lastSign = clock.monotonic();
    this.#checkIn(this.#limit);
  }

  /** Records a sign of life of the server. Called for each message. */
  message(): void {
    if (this.#machine.is("heard") || this.#machine.is("closed")) return;
    this.#machine.to("heard");
    if (this.#checkAt - this.#clock.monotonic() > this.#step) this.#checkIn(this.#step);
  }

  /** Records a sign of life of the server. Called for each heartbeat. */
  heartbeat(): void {
    if (!this.#machine.is("closed")) this.#signAt(this.#clock.monotonic());
  }

  /** Ends the watch. Idempotent. */
  close(): void {
    if (!this.#machine.is("closed")) this.#machine.to("closed");
    this.#timer?.cancel();
  }

  #checkIn(ms: number): void {
    if (this.#machine.is("closed")) return;
    this.#timer?.cancel();
    this.#checkAt = this.#clock.monotonic() + ms;
    this.#timer = this.#clock.after(ms, () => this.#check(), { background: true });
  }

  #check(): void {
    const now = this.#clock.monotonic();
    if (this.#machine.is("heard")) {
      // the last message came between the last check and this one
      this.#signAt(now - this.#step / 2);
      return this.#checkIn(this.#step);
    }
    // this process was paused, and messages may wait in its socket: give it time to read them
    if (stoodStill(now, this.#checkAt)) this.#signAt(now);
    const left = this.#lastSign + this.#limit - now;
    if (left > 0) return this.#checkIn(left);
    if (!this.#machine.is("suspected")) {
      this.#machine.to("suspected");
      return this.#checkIn(CONFIRMATION * this.#heartbeat);
    }
    this.close();
    this.#onSilent((SUSPICION + CONFIRMATION) * this.#heartbeat);
  }

  #signAt(time: number): void {
    this.#lastSign = time;
    if (!this.#machine.is("quiet")) this.#machine.to("quiet");
  }
}

/** Time without a subscriber after which the server deletes a consumer, in ms. */
const INACTIVE = 5_000;
/** Number of consumers that are made in turn until one is at a server whose replica does not stand still. */
const PLACEMENTS = 8;

/**
 * A consumer with which a stream is read: ordered, without acknowledgements. It delivers nothing while it has no
 * subscriber, and is then deleted by the server.
 */
export interface ReadConsumer {
  readonly name: string;
  /** Subject to which the consumer delivers. */
  readonly inbox: string;
  /** Number of messages that the consumer has to deliver from the start. */
  readonly expected: number;
}

/**
 * Makes a consumer that begins to deliver when it has a subscriber. The server that has it is chosen by chance: if the
 * replica of the stream there stands still, another consumer is made, because that one would deliver what the replica
 * has, and then nothing, with healthy heartbeats (nats-server 2.15). `onNamed` is called with the name and the inbox of
 * each before the request, because without an answer the consumer may exist nevertheless. A caller that subscribes to
 * the inbox in `onNamed`, not after the promise has resolved, gets the first messages a round trip earlier, perhaps
 * before the promise settles. Rejects like `JetStream.createConsumer`.
 * @decides the consumers that are made for reading: at which server, and how long they live unread
 */
export async function createConsumer(
  stream: OwnedStream,
  config: { readonly [setting: string]: unknown; readonly filter_subject?: string },
  limit: number,
  onNamed: (name: string, inbox: string) => void,
): Promise<ReadConsumer> {
  const { clock } = stream.transport;
  const end = clock.monotonic() + limit;
  for (let placements = 1;; placements++) {
    const standsStill = stream.lookUpReplicas();
    const { server, ...made } = await createAnywhere(stream, config, Math.max(1, end - clock.monotonic()), onNamed);
    if (placements === PLACEMENTS || !await standsStill(server)) return made;
    stream.js.deleteConsumer(stream.name, made.name);
  }
}

async function createAnywhere(
  stream: OwnedStream,
  config: { readonly [setting: string]: unknown; readonly filter_subject?: string },
  limit: number,
  onNamed: (name: string, inbox: string) => void,
): Promise<ReadConsumer & { readonly server: string | undefined }> {
  const { transport } = stream;
  const name = `catga_${token(transport.random, 16)}`;
  const inbox = transport.inbox();
  onNamed(name, inbox);
  const { expected, server } = await stream.js.createConsumer(stream.name, {
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
  return { name, inbox, expected, server };
}
