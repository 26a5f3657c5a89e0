/**
 * This process on the wire: its subscriptions, its peers, and what is sent to them at the end of each turn of the event
 * loop; and what becomes of a frame that arrives. `watchdog.ts` says what bounces and silence mean.
 */
import { bounceSubject, nodeSubject } from "../../contract/subjects.ts";
import { nextTick } from "node:process";
import type { Observer } from "../../contract/observer.ts";
import { encode } from "../../data/encoding.ts";
import { type Clock, delay, OnceAMinute, type Timer, token } from "../../ports/clock.ts";
import {
  publishIfOpen,
  type Subscription,
  type Transport,
  type TransportMessage,
  type TransportStatus,
} from "../../ports/transport.ts";
import { type Call, isRefusal, type SentFrame } from "./call.ts";
import {
  type Frame,
  type FrameItem,
  frameLimit,
  frameText,
  isEndpoint,
  Malformed,
  nodeOf,
  payloadLimit,
  type PingItem,
  readFrame,
  type ShapesAskedItem,
  type StatsAskedItem,
  type VersionsItem,
} from "./frame.ts";
import { PROTOCOL } from "../../version.ts";
import { InboundRequests, type InboundRequestsOptions } from "./inbound_requests.ts";
import { TurnBursts } from "./open_streams.ts";
import { Peer, type PeerHost, PeerTable, ResendBuffer } from "./peer.ts";
import { ReconnectGrace, Watchdog } from "./watchdog.ts";
import { readError } from "../../dispatch/error_encoding.ts";
import { SchemaRefusal } from "../../dispatch/outcome.ts";

/** Dependencies of an endpoint on the app. */
export interface EndpointOptions
  extends
    Pick<InboundRequestsOptions, Passed>,
    Pick<FrameReceiverOptions, "accused" | "asked" | "gap" | "stats" | "shapes" | "shapesKnown"> {
  readonly transport: Transport;
  readonly namespace: string;
  /** `<id>.<nonce>`. */
  readonly endpoint: string;
  readonly observer: Observer;
  readonly malformed: MalformedCount;
  /** Another process was seen alive after a while, or a frame to it bounced, or it does not answer pings. */
  observed(peer: Peer, sign: "alive" | "bounced" | "silent"): void;
  /** The connection is back. */
  reconnected(): void;
  /** Items of this stream of a plain client have bounced. */
  unread(stream: number): void;
}

type Passed = "concurrency" | "host" | "runner";

/** This process on the wire. */
export class Endpoint implements PeerHost {
  readonly endpoint: string;
  /** Requests of other processes. */
  readonly inbound: InboundRequests;
  /** Runs after each reconnect of this process. */
  readonly grace: ReconnectGrace;
  /** Grows by one when a turn's frames are sent: sends of the same turn see the same number. */
  turn = 0;
  /** As {@link frameLimit} and {@link payloadLimit} have them; what the server takes is looked up in each turn. */
  frameLimit = 0;
  payloadLimit = 0;
  readonly bursts: TurnBursts;
  readonly #options: EndpointOptions;
  readonly #transport: Transport;
  readonly #peers: PeerTable;
  /** Peers with something to send in this turn. */
  #toFlush: Peer[] = [];
  #closed = false;
  readonly #bounceProbe: BounceProbe;
  readonly #watchdog: Watchdog;
  readonly #resendBuffer: ResendBuffer;
  /** The wall clock when this process began: with the monotonic clock added it is one that does not jump. */
  readonly #epoch: number;
  readonly #framePrefix: string;
  readonly #bouncePrefix: string;
  #subscriptions: Subscription[] = [];
  readonly #offStatus: () => void;

  /** Subscribes at once. */
  constructor(options: EndpointOptions) {
    const { transport, namespace, endpoint, observer } = options;
    const { clock } = transport;
    this.#options = options;
    this.#transport = transport;
    this.endpoint = endpoint;
    this.#framePrefix = nodeSubject(namespace, endpoint);
    this.#bouncePrefix = bounceSubject(namespace, endpoint);
    this.#epoch = clock.now() - clock.monotonic();
    this.#measure();
    this.bursts = new TurnBursts(clock, this);
    this.grace = new ReconnectGrace(clock);
    this.#peers = new PeerTable(transport.random, (other, identity) =>
      new Peer(this, other, {
        ...identity,
        subject: this.#subjectOf(other),
        bounces: `${this.#bouncePrefix}${identity.slot}.`,
      }));
    this.inbound = new InboundRequests({ ...options, clock, payloadLimit: () => this.payloadLimit });
    this.#watchdog = new Watchdog({
      clock,
      observer,
      connected: () => this.connected,
      clustered: () => transport.server.clustered,
      conclusive: (peer) => this.concludes(peer),
      peers: () => this.#peers.values(),
      observed: (peer, sign) => options.observed(peer, sign),
    });
    this.#resendBuffer = new ResendBuffer({
      clock,
      connected: () => this.connected,
      isCurrent: (peer) => !this.#closed && this.find(peer.endpoint) === peer,
    });
    const receiver = new FrameReceiver({
      ...options,
      prefix: this.#framePrefix,
      epoch: this.#epoch,
      clock,
      peers: this.#peers,
      inbound: this.inbound,
      observed: (peer) => options.observed(peer, "alive"),
      askedAgain: (peer) => this.#resendBuffer.again(peer),
      missing: (peer, ranges) => this.#resendBuffer.missing(peer, ranges),
    });
    this.#offStatus = transport.onStatus((status) => this.#onStatus(status));
    this.#subscriptions = [
      transport.subscribe(`${this.#framePrefix}>`, {}, (message) => receiver.receive(message)),
      transport.subscribe(`${this.#bouncePrefix}>`, {}, (message) => this.#onBounce(message)),
    ];
    this.#bounceProbe = new BounceProbe({
      transport,
      subject: this.#subjectOf(`${nodeOf(endpoint)}.${token(transport.random, 12)}`),
      reply: this.#bouncePrefix + PROBE,
      noBounces: () => observer({ type: "no-bounces" }),
    });
  }

  get connected(): boolean {
    return this.#transport.status.state === "connected";
  }

  /**
   * True if a bounce says that a process, or its connection, is gone with what it had in hand: not with several
   * servers, and not while others may be on their way back from an outage.
   */
  get conclusive(): boolean {
    return !this.#transport.server.clustered && !this.grace.running;
  }

  /**
   * Returns true if a bounce proves that this process is gone with what it had in hand: one that leaves has answered
   * that, and the bounce has overtaken the answers.
   */
  concludes(peer: Peer): boolean {
    return this.conclusive && !peer.leaving;
  }

  /** True while the server denies one of its subscriptions. */
  get forbidden(): boolean {
    return this.#subscriptions.some(({ forbidden }) => forbidden);
  }

  /** Prefix of the reply subjects of items for plain clients; the stream's number follows. */
  get plainBounces(): string {
    return this.#bouncePrefix + PLAIN;
  }

  now(): number {
    return this.#transport.clock.monotonic();
  }

  fault(during: string, error: unknown): void {
    this.#options.observer({ type: "fault", during, error });
  }

  /** All other processes that it knows. */
  get peers(): Iterable<Peer> {
    return this.#peers.values();
  }

  /** The other process of this name, if frames were exchanged with it. */
  find(endpoint: string): Peer | undefined {
    return this.#peers.find(endpoint);
  }

  /** The other process of this name. */
  peer(endpoint: string): Peer {
    return this.#peers.get(endpoint);
  }

  /** Sends a request with this much time left, in ms; the call's owner is called with what becomes of it. */
  send(call: Call, peer: Peer, ttl: number): void {
    peer.request(call, ttl);
    if (!this.#watchdog.running) this.#watchdog.start();
  }

  scheduleFlush(peer: Peer): void {
    if (this.#toFlush.push(peer) === 1) nextTick(this.#flush);
  }

  publish(peer: Peer, { seq, at, now }: SentFrame, items: string, kept: boolean): string | Uint8Array {
    const text = frameText(seq, Math.round(this.#epoch + at), items);
    const frame = kept && text.length > KEPT_AS_TEXT ? encode(text) : text;
    this.#transport.publish(peer.subject, frame, { reply: peer.bounces + seq, now });
    return frame;
  }

  answersSent(peer: Peer, seq: number, frame: string | Uint8Array, until?: number): void {
    this.#resendBuffer.add(peer, seq, frame, until);
  }

  /**
   * Refuses requests with `DRAINING` from now on. The others are told while this process is subscribed, by a refusal of
   * no request: so they know it before a frame bounces, however late they learn that its record is gone.
   */
  refuse(others: readonly string[]): void {
    this.inbound.refuse();
    for (const other of others) if (other !== this.endpoint) this.peer(other).add(["n", 0, 0, "DRAINING"]);
  }

  /** Sends everything that is gathered, and ends the subscriptions. */
  async close(): Promise<void> {
    this.inbound.close();
    await this.#linger();
    this.#closed = true;
    this.#watchdog.stop();
    this.#bounceProbe.stop();
    this.#resendBuffer.stop();
    this.#flush();
    this.#offStatus();
    await Promise.all(this.#subscriptions.splice(0).map((subscription) => subscription.drain()));
    this.#flush();
  }

  /**
   * Stays until no request has come for a while: one that bounces tells its sender, unless it knows that this process
   * leaves, that what was in hand here is lost, and must not overtake the answers, or the refusals, of those before it.
   */
  async #linger(): Promise<void> {
    const until = this.now() + LONGEST_LINGER;
    while (this.connected) {
      const left = Math.min(this.inbound.busyAt + LINGER, until) - this.now();
      if (!(left > 0)) return;
      await delay(this.#transport.clock, left);
    }
  }

  #measure(): void {
    const { maxPayload } = this.#transport;
    this.payloadLimit = payloadLimit(maxPayload);
    this.frameLimit = frameLimit(maxPayload);
  }

  /** Subject of frames of this process to another one. */
  #subjectOf(endpoint: string): string {
    return nodeSubject(this.#options.namespace, endpoint, this.endpoint);
  }

  readonly #flush = (): void => {
    const peers = this.#toFlush;
    this.#toFlush = [];
    this.turn++;
    this.#measure();
    for (const peer of peers) peer.flush();
  };

  #onStatus({ state, generation }: TransportStatus): void {
    this.#options.observer({ type: "connection", state, generation });
    // who was not there before this process was cut off itself may be back since
    for (const peer of this.#peers.values()) peer.bouncedAt = -1;
    if (state !== "connected") return;
    this.#measure();
    this.grace.begin();
    this.#resendBuffer.resume();
    for (const peer of this.#peers.values()) {
      peer.pingedAt = -1; // a ping from before the cut may never have arrived
      peer.resume();
      // requests from before the cut may be lost, and answers that were on their way: ask for both at once
      if (peer.ledger.outstanding > 0) peer.ping(true);
    }
    this.#options.reconnected();
  }

  /** Nobody subscribes to the target of that frame. */
  #onBounce(message: TransportMessage): void {
    // anybody may publish here; only the server's own 503 counts
    if (!message.noResponders || message.data.length > 0) return;
    if (!message.subject.startsWith(this.#bouncePrefix)) return this.#options.malformed.add(message.subject, ELSEWHERE);
    const place = message.subject.slice(this.#bouncePrefix.length);
    if (place === PROBE) return this.#bounceProbe.stop(); // messages to nobody bounce
    if (place.startsWith(PLAIN)) return this.#options.unread(Number(place.slice(PLAIN.length)));
    if (!/^\d+\.\d+$/.test(place)) return;
    const [slot, seq] = place.split(".").map(Number);
    const peer = this.#peers.bySlot(slot);
    if (peer === undefined || !(seq <= peer.seq)) return;
    this.#resendBuffer.bounced(peer, seq);
    this.#watchdog.bounced(peer, seq);
  }
}

/**
 * Code units; V8 copies a large text that lives on at each garbage collection, and bytes not
 * (docs/internals/measurements.md).
 */
const KEPT_AS_TEXT = 1_024;
const PROBE = "probe"; // in the place of a slot and a number
const PLAIN = "plain."; // the same
const LINGER = 50; // ms: many times what a message takes
const LONGEST_LINGER = 500; // ms

// Finds out whether messages to nobody bounce. They do not when somebody subscribes to every subject (a tap, a stream);
// then a node's death is found later, by unanswered pings.

/** Options of a probe. */
interface BounceProbeOptions {
  readonly transport: Transport;
  /** A subject that nobody of Catga subscribes to. */
  readonly subject: string;
  /** Subject at which the bounce arrives; its subscriber calls {@link BounceProbe.stop}. */
  readonly reply: string;
  /** Messages to nobody do not bounce. Called once at most. */
  noBounces(): void;
}

/** One probe. It is repeated once when nothing bounces: a single message may get lost. */
class BounceProbe {
  readonly #options: BounceProbeOptions;
  #unanswered = 0;
  #stopped = false;
  #timer: Timer | undefined;

  /** Publishes at once, if the transport is connected. */
  constructor(options: BounceProbeOptions) {
    this.#options = options;
    this.#publish();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #publish(): void {
    const { transport, subject, reply } = this.#options;
    const { state, generation } = transport.status;
    if (state !== "connected") return;
    publishIfOpen(transport, subject, "", { reply });
    this.#after(WAIT, () => {
      // the server answers in order: after this answer no bounce follows
      transport.flush().then(() => this.#after(SETTLE, () => this.#noBounce(generation)), () => {
        // the connection was lost, and perhaps the message with it: that says nothing
      });
    });
  }

  #noBounce(generation: number): void {
    const { transport, noBounces } = this.#options;
    if (transport.status.state !== "connected" || transport.status.generation !== generation) return;
    if (++this.#unanswered < TIMES) return this.#publish();
    this.#stopped = true;
    noBounces();
  }

  #after(ms: number, then: () => void): void {
    if (!this.#stopped) this.#timer = this.#options.transport.clock.after(ms, then, { background: true });
  }
}

const WAIT = 1_000; // ms; a bounce takes less than one (docs/internals/measurements.md)
const SETTLE = 10; // ms from the arrival of a message to its subscriber
const TIMES = 2;

// What becomes of a frame that arrives: it is checked, its sender is noted as alive, its requests are handed to their
// handlers, and its answers to the calls that wait for them. A frame that came before, or was reported missing, is
// refused, and what a frame is late by is taken off the time of its requests.

/** Dependencies of a receiver on the endpoint that it belongs to. */
export interface FrameReceiverOptions {
  /** Prefix of the subjects of frames to this process; the sender follows. */
  readonly prefix: string;
  /** With the monotonic clock added: the time by a clock that does not jump. */
  readonly epoch: number;
  readonly clock: Clock;
  readonly peers: PeerTable;
  readonly inbound: InboundRequests;
  readonly malformed: MalformedCount;
  /** The sender is alive; called for its first frame, and for those that follow a ping. */
  observed(peer: Peer): void;
  /** A process has reconnected, and asks for its last answers again. */
  askedAgain(peer: Peer): void;
  /** A process has not received the frames in these ranges, and asks for the answers in them. */
  missing(peer: Peer, ranges: readonly number[]): void;
  /** Another node reports that frames to `endpoint` bounce on its server. */
  accused(endpoint: string, server: string): void;
  /**
   * A process asks whether a node has handled this contract: how long that is still remembered here, in ms; 0 if not.
   */
  asked(name: string): number;
  /** Another process remembers, for `left` ms more, a node that handled this contract. */
  gap(name: string, left: number): void;
  /** Counts of this process, as JSON. */
  stats(): string;
  /** The shapes of this node as JSON; with names, what these contracts look like. */
  shapes(names: readonly string[]): string;
  /** The answer to this question of this node. */
  shapesKnown(n: number, answer: unknown): void;
}

/** Receives the frames of one process. */
class FrameReceiver {
  readonly #options: FrameReceiverOptions;

  constructor(options: FrameReceiverOptions) {
    this.#options = options;
  }

  /** Takes a message of the node's subscription. */
  receive(message: TransportMessage): void {
    if (message.noResponders) return;
    const { prefix, epoch, clock, peers, inbound, malformed } = this.#options;
    if (!message.subject.startsWith(prefix)) return malformed.add(message.subject, ELSEWHERE);
    const sender = message.subject.slice(prefix.length);
    if (peers.find(sender) === undefined && !isEndpoint(sender)) {
      return malformed.add(message.subject, "the sender is not an endpoint");
    }
    // no node sends any: what JetStream publishes has some
    if (message.headers !== undefined) return malformed.add(message.subject, HEADERS);
    let frame: Frame;
    try {
      frame = readFrame(message.data);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      malformed.add(message.subject, error.message);
      if (error.version !== undefined) peers.get(sender).versions([PROTOCOL]);
      return;
    }
    const peer = peers.get(sender);
    const { upTo } = peer.received;
    const runs = peer.received.take(frame.seq);
    const now = clock.monotonic();
    const late = peer.lateness.note(frame.sentAt, epoch + now);
    if (peer.lastSeenAt < 0 || peer.pingedAt >= 0) this.#options.observed(peer);
    peer.lastSeenAt = now;
    peer.late = late;
    peer.pingedAt = peer.bouncedAt = -1;
    let index = 0;
    let [ping, asked] = [-1, -1];
    let askedShapes: ShapesAskedItem | undefined;
    let lacking = false;
    for (const item of frame.items) {
      if (item[0] === "p") {
        ping = item[1];
        if (item[2] === 1) this.#options.askedAgain(peer);
        if (item[3] !== undefined && item[3].length > 0) {
          this.#options.missing(peer, item[3]);
          lacking = true;
        }
      } else if (item[0] === "s") {
        asked = item[1];
      } else if (item[0] === "k") {
        askedShapes = item;
      } else if (item[0] === "v") {
        malformed.add(message.subject, `its sender speaks protocol ${item.slice(1)}: ${OTHER}`);
      } else index = this.#onItem(peer, frame.seq, item, index, runs ? late : Infinity);
    }
    // what is in the gap, or was sent to it meanwhile, may never arrive
    if (upTo > 0 && frame.seq > upTo + 1) peer.doubt();
    if (index > 0) inbound.busyAt = peer.lastSeenAt;
    // one answer for a frame, however many pings or questions are in it
    if (ping >= 0) peer.pong(ping, inbound.load, lacking);
    if (asked >= 0) peer.item(`["t",${asked},${this.#options.stats()}]`);
    if (askedShapes !== undefined) {
      const [, n, ...names] = askedShapes;
      peer.item(`["l",${n},${this.#options.shapes(names)}]`);
    }
  }

  /**
   * Returns the place of the frame's next request. `late`: by how many ms the frame is; `Infinity`: its requests must
   * not run.
   */
  #onItem(peer: Peer, seq: number, item: OtherItem, index: number, late: number): number {
    const { inbound } = this.#options;
    switch (item[0]) {
      case "q": {
        const count = Math.max(1, item.length - 3);
        for (let i = 0; late < Infinity && i < count; i++) {
          inbound.request(peer, seq, index + i, item[1], item[2] - late, item[3 + i]);
        }
        return index + count;
      }
      case "m":
        if (late < Infinity) inbound.request(peer, seq, index, item[1], item[2] - late, item[4], item[3]);
        return index + 1;
      case "r":
        peer.ledger.answered(item);
        return index;
      case "e": {
        const call = peer.ledger.find(item[1], item[2]);
        if (call === undefined) return index;
        peer.settle(call);
        peer.ledger.failed++;
        const error = readError(item[3], peer.node);
        const isRefusal = item[4] === 1 || item[4] === 2;
        call.owner.answered(call, isRefusal ? new SchemaRefusal(error, item[4] === 2) : { ok: false, error });
        return index;
      }
      case "n": {
        if (item[3] === "DRAINING") peer.leaving = true;
        const call = peer.ledger.find(item[1], item[2]);
        if (call !== undefined) peer.ledger.refused(call, isRefusal(item[3]) ? item[3] : "LATE");
        return index;
      }
      case "i":
      case "a":
      case "z": {
        const call = peer.ledger.find(item[1], item[2]);
        const sink = call?.request.items;
        if (call === undefined) peer.add(["c", item[1], item[2]]); // its handler is to end
        else if (item[0] === "i") sink?.items(call, item[3], item, 4);
        else if (item[0] === "a") sink?.report(call, item[3]);
        else sink?.end(call, item[3]);
        return index;
      }
      case "w":
        inbound.word(peer, item);
        return index;
      case "c":
        inbound.cancel(peer, item);
        return index;
      case "o":
        peer.ponged(item[1]);
        peer.load = item[4][0] + item[4][1];
        peer.ledger.missing(item[2], item[3]);
        if (item[3].length > 0 && item[3][item[3].length - 1] > peer.lostUpTo) {
          peer.lostUpTo = item[3][item[3].length - 1];
          peer.doubt();
        }
        // answers that were lost since that ping will be asked for with the next one
        if (item[5] !== undefined && peer.received.settle(item[1])) peer.ledger.inHand(item[2], item[5]);
        return index;
      case "b":
        this.#options.accused(item[1], item[2]);
        return index;
      case "h": {
        const left = this.#options.asked(item[1]);
        if (left > 0) peer.add(["g", item[1], left]);
        return index;
      }
      case "g":
        this.#options.gap(item[1], item[2]);
        return index;
      case "l":
        this.#options.shapesKnown(item[1], item[2]);
        return index;
      case "t":
        return index;
    }
  }
}

/** Items whose place in the frame matters. */
type OtherItem = Exclude<FrameItem, PingItem | VersionsItem | StatsAskedItem | ShapesAskedItem>;

const OTHER = `this node ${PROTOCOL}; run one version of Catga everywhere`;

// Malformed messages from the network: counted, and reported at once and then once a minute at most.

/** The count of one node. */
export class MalformedCount {
  readonly #observer: Observer;
  readonly #reports: OnceAMinute;
  #count = 0;
  #last = { subject: "", reason: "" };

  constructor({ clock }: Transport, observer: Observer) {
    this.#reports = new OnceAMinute(clock);
    this.#observer = observer;
  }

  add(subject: string, reason: string): void {
    this.#count++;
    this.#last = { subject: subject.slice(0, 200), reason };
    if (this.#reports.due()) this.report();
  }

  /** Reports those that have come since the last report. */
  report(): void {
    if (this.#count === 0) return;
    this.#observer({ type: "malformed", ...this.#last, count: this.#count });
    this.#count = 0;
  }
}

/** The reason when a frame or an event has headers. */
export const HEADERS = "it has headers, and no node sends any";

/** The reason when a message is on a subject that the node did not subscribe to. */
const ELSEWHERE = "it came on a subject that is not this node's: a mapping or an import of the server changes subjects";
