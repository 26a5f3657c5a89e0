/**
 * This process on the wire: takes frames in and lets frames out, runs what others request, and finds out what became of
 * its own requests: an answer, a bounce, or a process that is gone with them in hand.
 */
import { nextTick } from "node:process";
import { delay, token } from "../../ports/clock.ts";
import { readError } from "../../dispatch/error_text.ts";
import type { Observer } from "../../contract/observer.ts";
import type { Subscription, Transport, TransportMessage, TransportStatus } from "../../ports/transport.ts";
import { encode } from "../../data/utf8.ts";
import { BounceProbe } from "./bounce_probe.ts";
import type { Call, RefusalCode, SentFrame } from "./call.ts";
import {
  type Frame,
  isEndpoint,
  type Item,
  Malformed,
  nodeOf,
  type PingItem,
  PROTOCOL,
  readFrame,
  type VersionsItem,
} from "./frame.ts";
import { frameText } from "./frame_writer.ts";
import { InboundRequests, type InboundRequestsOptions } from "./inbound_requests.ts";
import { ResendBuffer } from "./resend_buffer.ts";
import { HEADERS, type MalformedCount } from "./malformed_count.ts";
import { Peer, type PeerHost } from "./peer.ts";
import { Watchdog } from "./watchdog.ts";

/** What an endpoint needs of the app. */
export interface EndpointOptions extends Pick<InboundRequestsOptions, "concurrency" | "host" | "receive" | "budget"> {
  readonly transport: Transport;
  readonly namespace: string;
  /** `<id>.<nonce>`. */
  readonly endpoint: string;
  readonly observer: Observer;
  readonly malformed: MalformedCount;
  /** What is heard of other processes. */
  heard(peer: Peer, news: "alive" | "bounced" | "silent"): void;
  /** Frames to that process bounce on that server, says another node. */
  accused(endpoint: string, server: string): void;
  /** A process has answered requests. */
  answered(peer: Peer): void;
  /** The connection is there again. */
  resumed(): void;
}

/** This process on the wire. */
export class Endpoint implements PeerHost {
  readonly endpoint: string;
  /** Grows by one when a turn's frames leave: sends of the same turn see the same number. */
  turn = 0;
  frameLimit = 0;
  /** The largest payload or answer that fits into a frame, in bytes; what the server takes is looked at in each turn. */
  payloadLimit = 0;
  readonly #options: EndpointOptions;
  readonly #transport: Transport;
  readonly #peers: Map<string, Peer> = new Map();
  readonly #bySlot: Map<number, Peer> = new Map();
  #slots = 0;
  /** Peers have been forgotten: a new one may be an old one. */
  #forgot = false;
  /** The highest number of a frame to a peer that was forgotten: it would take one with a lower number for an old one. */
  #forgottenSeq = 0;
  /** How many peers there may be before some are forgotten. */
  #room = MAX_PEERS;
  #dirty: Peer[] = [];
  #closed = false;
  readonly #bounceProbe: BounceProbe;
  /** What requests of others become. */
  readonly inbox: InboundRequests;
  readonly #watchdog: Watchdog;
  /** The wall clock when this process began: with the monotonic clock added it is one that does not jump. */
  readonly #epoch: number;
  /** When the connection came back, by the monotonic clock. */
  #resumedAt = -Infinity;
  readonly #leftAnswers: ResendBuffer;
  readonly #bouncePrefix: string;
  readonly #inbox: string;
  #subscriptions: Subscription[] = [];
  readonly #offStatus: () => void;

  /** Subscribes at once. */
  constructor(options: EndpointOptions) {
    const { transport, namespace, endpoint } = options;
    this.#options = options;
    this.#transport = transport;
    this.endpoint = endpoint;
    this.#inbox = `catga.${namespace}.node.${endpoint}.`;
    this.#bouncePrefix = `catga.${namespace}.bounce.${endpoint}.`;
    const { clock } = transport;
    this.#epoch = clock.now() - clock.monotonic();
    this.#measure();
    const { observer, concurrency, host, receive, budget } = options;
    this.inbox = new InboundRequests({
      clock,
      observer,
      concurrency,
      host,
      receive,
      budget,
      payloadLimit: () => this.payloadLimit,
    });
    this.#watchdog = new Watchdog({
      clock,
      observer,
      connected: () => this.connected,
      clustered: () => transport.server.clustered,
      conclusive: () => this.conclusive,
      peers: () => this.#peers.values(),
      concluded: (peer, news) => options.heard(peer, news),
    });
    this.#leftAnswers = new ResendBuffer({
      clock: transport.clock,
      connected: () => this.connected,
      knows: (peer) => !this.#closed && this.#peers.get(peer.endpoint) === peer,
    });
    this.#offStatus = transport.onStatus((status) => this.#onStatus(status));
    this.#subscriptions = [
      transport.subscribe(`${this.#inbox}>`, {}, (message) => this.#onMessage(message)),
      transport.subscribe(`${this.#bouncePrefix}>`, {}, (message) => this.#onBounce(message)),
    ];
    this.#bounceProbe = new BounceProbe({
      transport,
      subject: `${this.#inboxOf(`${nodeOf(endpoint)}.${token(transport.random, 12)}`)}${endpoint}`,
      reply: this.#bouncePrefix + PROBE,
      silent: () => observer({ type: "no-bounces" }),
    });
  }

  get connected(): boolean {
    return this.#transport.status.state === "connected";
  }

  /**
   * Whether a bounce says that a process, or its connection, is gone with what it had in hand: not with several servers,
   * and not while others may be on their way back to one that was away.
   */
  get conclusive(): boolean {
    return !this.#transport.server.clustered && this.now() - this.#resumedAt >= RETURN;
  }

  now(): number {
    return this.#transport.clock.monotonic();
  }

  fault(during: string, error: unknown): void {
    this.#options.observer({ type: "fault", during, error });
  }

  /** The other process of this name, when anything was sent to it or heard of it. */
  find(endpoint: string): Peer | undefined {
    return this.#peers.get(endpoint);
  }

  /** The other process of this name. */
  peer(endpoint: string): Peer {
    const known = this.#peers.get(endpoint);
    if (known !== undefined) return known;
    if (this.#peers.size >= this.#room) this.#forget();
    const slot = this.#slots++;
    const peer = new Peer(this, endpoint, {
      slot,
      subject: `${this.#inboxOf(endpoint)}${this.endpoint}`,
      bounces: `${this.#bouncePrefix}${slot}.`,
      after: this.#forgottenSeq,
      forgotten: this.#forgot,
    });
    this.#peers.set(endpoint, peer);
    this.#bySlot.set(peer.slot, peer);
    return peer;
  }

  /** Sends a request with this much time left, in ms; the call's owner hears what becomes of it. */
  send(call: Call, peer: Peer, ttl: number): void {
    peer.request(call, ttl);
    this.#watchdog.owed();
  }

  dirty(peer: Peer): void {
    if (this.#dirty.push(peer) === 1) nextTick(this.#flush);
  }

  publish(peer: Peer, { seq, at }: SentFrame, items: string, kept: boolean): string | Uint8Array {
    const text = frameText(seq, Math.round(this.#epoch + at), items);
    const frame = kept && text.length > KEPT_AS_TEXT ? encode(text) : text;
    this.#transport.publish(peer.subject, frame, { reply: peer.bounces + seq });
    return frame;
  }

  answering(peer: Peer, seq: number, frame: string | Uint8Array, until?: number): void {
    this.#leftAnswers.add(peer, seq, frame, until);
  }

  /** From now on requests are refused with `DRAINING`. */
  refuse(): void {
    this.inbox.refuse();
  }

  /** Lets go everything that waits to leave, and ends the subscriptions. */
  async close(): Promise<void> {
    this.inbox.close();
    await this.#linger();
    this.#closed = true;
    this.#watchdog.stop();
    this.#bounceProbe.stop();
    this.#flush();
    this.#offStatus();
    await Promise.all(this.#subscriptions.splice(0).map((subscription) => subscription.drain()));
    this.#flush();
  }

  /**
   * Stays until nobody has asked for a while: a request that bounces tells its sender that what was in hand here is lost,
   * and must not overtake the answers, or the refusals, of those before it.
   */
  async #linger(): Promise<void> {
    const until = this.now() + LONGEST_LINGER;
    while (this.connected) {
      const left = Math.min(this.inbox.busyAt + LINGER, until) - this.now();
      if (!(left > 0)) return;
      await delay(this.#transport.clock, left);
    }
  }

  #measure(): void {
    const { maxPayload } = this.#transport;
    this.payloadLimit = maxPayload - FRAME_OVERHEAD;
    // a code unit is at most 3 bytes of UTF-8
    this.frameLimit = Math.min(FRAME_LENGTH, Math.floor(maxPayload / 3) - FRAME_OVERHEAD);
  }

  #inboxOf(endpoint: string): string {
    return `catga.${this.#options.namespace}.node.${endpoint}.`;
  }

  readonly #flush = (): void => {
    const dirty = this.#dirty;
    this.#dirty = [];
    this.turn++;
    this.#measure();
    for (const peer of dirty) peer.flush();
  };

  #onStatus({ state, generation }: TransportStatus): void {
    this.#options.observer({ type: "connection", state, generation });
    if (state !== "connected") return;
    this.#measure();
    this.#resumedAt = this.now();
    this.#leftAnswers.resume();
    for (const peer of this.#peers.values()) {
      peer.pingedAt = -1; // what was asked before the cut may never have arrived
      peer.resume();
      // what left before the cut may be lost: ask at once
      if (peer.outstanding > 0) peer.ping();
    }
    this.#options.resumed();
  }

  #onMessage(message: TransportMessage): void {
    if (message.noResponders) return;
    const { malformed } = this.#options;
    if (!message.subject.startsWith(this.#inbox)) return malformed.add(message.subject, ELSEWHERE);
    const sender = message.subject.slice(this.#inbox.length);
    if (!this.#peers.has(sender) && !isEndpoint(sender)) {
      return malformed.add(message.subject, "the sender is no endpoint");
    }
    // no node sends any: JetStream does, which publishes what is stored wherever it is asked to
    if (message.headers !== undefined) return malformed.add(message.subject, HEADERS);
    let frame: Frame;
    try {
      frame = readFrame(message.data);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      malformed.add(message.subject, error.message);
      if (error.version !== undefined) this.peer(sender).versions([PROTOCOL]);
      return;
    }
    const peer = this.peer(sender);
    const runs = peer.heard.take(frame.seq);
    const now = this.now();
    const late = peer.lateness.note(frame.sentAt, this.#epoch + now);
    if (peer.heardAt < 0 || peer.pingedAt >= 0) this.#options.heard(peer, "alive");
    peer.heardAt = now;
    peer.pingedAt = peer.bouncedAt = -1;
    const owing = peer.outstanding;
    let index = 0;
    let ping = -1;
    for (const item of frame.items) {
      if (item[0] === "p") ping = item[1];
      else if (item[0] === "v") malformed.add(message.subject, `its sender speaks protocol ${item.slice(1)}: ${OTHER}`);
      else index = this.#onItem(peer, frame.seq, item, index, runs ? late : Infinity);
    }
    if (index > 0) this.inbox.busyAt = peer.heardAt;
    if (peer.outstanding < owing) this.#options.answered(peer);
    // one for a frame, however many ask
    if (ping >= 0) peer.pong(ping, this.inbox.load);
  }

  /** Gives the place of the frame's next request. `late`: how late the frame is, in ms; `Infinity` when it must not run. */
  #onItem(peer: Peer, seq: number, item: Exclude<Item, PingItem | VersionsItem>, index: number, late: number): number {
    switch (item[0]) {
      case "q": {
        const count = Math.max(1, item.length - 3);
        for (let i = 0; late < Infinity && i < count; i++) {
          this.inbox.request(peer, seq, index + i, item[1], item[2] - late, item[3 + i]);
        }
        return index + count;
      }
      case "m":
        if (late < Infinity) this.inbox.request(peer, seq, index, item[1], item[2] - late, item[4], item[3]);
        return index + 1;
      case "r":
        peer.answered(item);
        return index;
      case "e": {
        const call = peer.find(item[1], item[2]);
        if (call === undefined) return index;
        peer.settle(call);
        call.owner.answered(call, { ok: false, error: readError(item[3], peer.node) });
        return index;
      }
      case "n": {
        const call = peer.find(item[1], item[2]);
        const code = item[3];
        if (call !== undefined) {
          peer.refused(call, REFUSALS.has(code as RefusalCode) ? code as RefusalCode : "LATE");
        }
        return index;
      }
      case "c":
        this.inbox.cancel(peer, item);
        return index;
      case "o":
        peer.load = item[4][0] + item[4][1];
        this.#onPong(peer, item[2], item[3]);
        return index;
      case "b":
        this.#options.accused(item[1], item[2]);
        return index;
    }
  }

  /** What the other process has not heard of the frames before its pong will never run there. */
  #onPong(peer: Peer, upTo: number, missing: readonly number[]): void {
    if (peer.sent.size === 0) return;
    for (const { seq } of peer.sent.values()) {
      for (let i = 0; i < missing.length && seq <= upTo; i += 2) {
        if (seq >= missing[i] && seq <= missing[i + 1]) peer.undeliver(seq, "LOST");
      }
    }
  }

  /** Nobody subscribes to the target of that frame. */
  #onBounce(message: TransportMessage): void {
    // anybody may publish here; only the server's own news counts
    if (!message.noResponders || message.data.length > 0) return;
    if (!message.subject.startsWith(this.#bouncePrefix)) {
      return this.#options.malformed.add(message.subject, ELSEWHERE);
    }
    const place = message.subject.slice(this.#bouncePrefix.length);
    if (place === PROBE) return this.#bounceProbe.returned();
    if (!/^\d+\.\d+$/.test(place)) return;
    const [slot, seq] = place.split(".").map(Number);
    const peer = this.#bySlot.get(slot);
    if (peer === undefined || !(seq <= peer.seq)) return;
    this.#leftAnswers.bounced(peer, seq);
    this.#watchdog.bounced(peer, seq);
  }

  /** Forgets peers with nothing under way, half of the longest unheard: forged senders must not fill the memory. */
  #forget(): void {
    const idle = [...this.#peers.values()].filter((peer) => peer.idle).sort((a, b) => a.heardAt - b.heardAt);
    for (const peer of idle.slice(0, MAX_PEERS / 2)) {
      this.#peers.delete(peer.endpoint);
      this.#bySlot.delete(peer.slot);
      this.#forgot = true;
      this.#forgottenSeq = Math.max(this.#forgottenSeq, peer.seq);
    }
    // when most of them are busy, not to look through all of them at every message
    this.#room = Math.max(MAX_PEERS, 2 * this.#peers.size);
  }
}

const ELSEWHERE = "it came on a subject that is not this node's: a mapping or an import of the server changes subjects";
/** What a node refuses with, as it travels; whatever else it says, it did not run there. */
const REFUSALS: ReadonlySet<RefusalCode> = new Set<RefusalCode>(["OVERLOADED", "DRAINING", "NO_HANDLER", "DEADLOCK"]);
const OTHER = `this node ${PROTOCOL}; run one version of Catga everywhere`;
const FRAME_LENGTH = 64_000; // larger frames are no faster, and hold up what stands behind them (measured)
const FRAME_OVERHEAD = 2_048; // subject, name, meta-less item and frame header, with room to spare
/** Code units; a large text that lives on is copied at each collection of garbage, and bytes are not. */
const KEPT_AS_TEXT = 1_024;
const MAX_PEERS = 4_096;
const PROBE = "probe"; // in the place of a slot and a number
const RETURN = 3_000; // ms; reconnects took 1.7 s (measured)
const LINGER = 50; // ms: many times what a message takes
const LONGEST_LINGER = 500; // ms
