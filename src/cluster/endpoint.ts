/**
 * This process on the wire: takes frames in and lets frames out, runs what others request, and finds out what became of
 * its own requests: an answer, a bounce, or a process that is gone with them in hand.
 */
import { nextTick } from "node:process";
import type { Receipt } from "../runner.ts";
import { delay } from "../clock.ts";
import type { Envelope } from "../context.ts";
import { CatgaError } from "../error.ts";
import type { Observer } from "../observer.ts";
import type { Result } from "../result.ts";
import type { Subscription, Transport, TransportMessage, TransportStatus } from "../transport.ts";
import type { Call } from "./call.ts";
import {
  byteLength,
  encode,
  exceeds,
  type Frame,
  isEndpoint,
  type Item,
  Malformed,
  type PingItem,
  PROTOCOL,
  readError,
  readFrame,
  type VersionsItem,
  type WireMeta,
  writeError,
} from "./frame.ts";
import { LeftAnswerLog } from "./left_answers.ts";
import type { MalformedCount } from "./malformed_count.ts";
import { Peer, type PeerHost, type RunningFrame } from "./peer.ts";

/** What an endpoint needs of the app. */
export interface EndpointOptions {
  readonly transport: Transport;
  readonly namespace: string;
  /** `<id>.<nonce>`. */
  readonly endpoint: string;
  readonly observer: Observer;
  readonly malformed: MalformedCount;
  /** Runs a request from the wire; `undefined` when there is no handler. */
  receive(name: string, payload: unknown, timeout: number, envelope: Envelope): Receipt | undefined;
  /** Handlers running and requests queued, for pongs. */
  load(): readonly [number, number];
  /** What is heard of other processes. */
  heard(endpoint: string, news: "alive" | "bounced" | "silent"): void;
  /** Frames to that process bounce on that server, says another node. */
  accused(endpoint: string, server: string): void;
  /** The connection is there again. */
  resumed(): void;
}

/** This process on the wire. */
export class Endpoint implements PeerHost {
  readonly endpoint: string;
  /** Grows by one when a turn's frames leave: sends of the same turn see the same number. */
  turn = 0;
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
  #watching = false;
  #refusing = false;
  /** When a request last arrived, or one was answered. */
  #busyAt = -Infinity;
  #closed = false;
  readonly #leftAnswers: LeftAnswerLog;
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
    this.#leftAnswers = new LeftAnswerLog({
      clock: transport.clock,
      connected: () => this.connected,
      knows: (peer) => !this.#closed && this.#peers.get(peer.endpoint) === peer,
    });
    this.#offStatus = transport.onStatus((status) => this.#onStatus(status));
    this.#subscriptions = [
      transport.subscribe(`${this.#inbox}>`, {}, (message) => this.#onMessage(message)),
      transport.subscribe(`${this.#bouncePrefix}>`, {}, (message) => this.#onBounce(message)),
    ];
  }

  get connected(): boolean {
    return this.#transport.status.state === "connected";
  }

  get frameLimit(): number {
    // a code unit is at most 3 bytes of UTF-8
    return Math.min(FRAME_LENGTH, Math.floor(this.#transport.maxPayload / 3) - FRAME_OVERHEAD);
  }

  /** The largest payload or answer that fits into a frame, in bytes. */
  get payloadLimit(): number {
    return this.#transport.maxPayload - FRAME_OVERHEAD;
  }

  now(): number {
    return this.#transport.clock.monotonic();
  }

  fault(during: string, error: unknown): void {
    this.#options.observer({ type: "fault", during, error });
  }

  /** The other process of this name. */
  peer(endpoint: string): Peer {
    const known = this.#peers.get(endpoint);
    if (known !== undefined) return known;
    if (this.#peers.size >= this.#room) this.#forget();
    const peer = new Peer(this, endpoint, this.#slots++, { after: this.#forgottenSeq, forgotten: this.#forgot });
    this.#peers.set(endpoint, peer);
    this.#bySlot.set(peer.slot, peer);
    return peer;
  }

  /** Sends a request; the call's owner hears what becomes of it. */
  send(call: Call, peer: Peer): void {
    peer.request(call, Math.max(1, call.due - this.now()));
    if (!this.#watching) this.#watch();
  }

  dirty(peer: Peer): void {
    if (this.#dirty.push(peer) === 1) nextTick(this.#flush);
  }

  publish(peer: Peer, seq: number, items: string): Uint8Array {
    const { clock } = this.#transport;
    const subject = `${this.#inboxOf(peer.endpoint)}${this.endpoint}`;
    const bytes = encode("[1," + seq + "," + clock.now() + items + "]");
    this.#transport.publish(subject, bytes, { reply: this.#bouncePrefix + peer.slot + "." + seq });
    return bytes;
  }

  answering(peer: Peer, seq: number, frame: Uint8Array, until?: number): void {
    this.#leftAnswers.add(peer, seq, frame, until);
  }

  /** From now on requests are refused with `DRAINING`. */
  refuse(): void {
    this.#refusing = true;
  }

  /** Lets go everything that waits to leave, and ends the subscriptions. */
  async close(): Promise<void> {
    this.#refusing = true;
    await this.#linger();
    this.#closed = true;
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
      const left = Math.min(this.#busyAt + LINGER, until) - this.now();
      if (!(left > 0)) return;
      await delay(this.#transport.clock, left);
    }
  }

  #inboxOf(endpoint: string): string {
    return `catga.${this.#options.namespace}.node.${endpoint}.`;
  }

  readonly #flush = (): void => {
    const dirty = this.#dirty;
    this.#dirty = [];
    this.turn++;
    for (const peer of dirty) peer.flush();
  };

  #onStatus({ state, generation }: TransportStatus): void {
    this.#options.observer({ type: "connection", state, generation });
    if (state !== "connected") return;
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
    const sender = message.subject.slice(this.#inbox.length);
    const { malformed } = this.#options;
    if (!isEndpoint(sender)) return malformed.add(message.subject, "the sender is no endpoint");
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
    if (peer.heardAt < 0 || peer.pingedAt >= 0) this.#options.heard(sender, "alive");
    peer.heardAt = this.now();
    peer.pingedAt = -1;
    let index = 0;
    let ping = -1;
    for (const item of frame.items) {
      if (item[0] === "p") ping = item[1];
      else if (item[0] === "v") malformed.add(message.subject, `its sender speaks protocol ${item.slice(1)}: ${OTHER}`);
      else index = this.#onItem(peer, frame.seq, item, index, runs);
    }
    if (index > 0) this.#busyAt = peer.heardAt;
    // one for a frame, however many ask
    if (ping >= 0) peer.pong(ping, this.#options.load());
  }

  /** Gives the place of the frame's next request. */
  #onItem(peer: Peer, seq: number, item: Exclude<Item, PingItem | VersionsItem>, index: number, runs: boolean): number {
    switch (item[0]) {
      case "q": {
        const count = Math.max(1, item.length - 3);
        if (runs) {
          for (let i = 0; i < count; i++) {
            this.#onRequest(peer, seq, index + i, item[1], item[2], item[3 + i]);
          }
        }
        return index + count;
      }
      case "m":
        if (runs) this.#onRequest(peer, seq, index, item[1], item[2], item[4], item[3]);
        return index + 1;
      case "r":
        for (let i = 0; i < Math.max(1, item.length - 3); i++) {
          const call = peer.find(item[1], item[2] + i);
          if (call === undefined) continue;
          peer.settle(call);
          call.owner.answered(call, { ok: true, value: item[3 + i] });
        }
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
          peer.refused(call, code === "OVERLOADED" || code === "DRAINING" || code === "NO_HANDLER" ? code : "LATE");
        }
        return index;
      }
      case "c": {
        const ctx = peer.running.get(item[1])?.contexts[item[2]];
        ctx?.abort(new CatgaError("CANCELLED", `the sender of ${ctx.contract.kind} ${ctx.contract.name} gave up`));
        return index;
      }
      case "o":
        peer.load = item[4][0] + item[4][1];
        this.#onPong(peer, item[2], item[3]);
        return index;
      case "b":
        this.#options.accused(item[1], item[2]);
        return index;
    }
  }

  #onRequest(
    peer: Peer,
    seq: number,
    index: number,
    name: string,
    ttl: number,
    payload: unknown,
    meta?: WireMeta,
  ): void {
    if (this.#refusing) return peer.refuse(seq, index, "DRAINING");
    if (!(ttl > 0)) return peer.refuse(seq, index, "LATE");
    const receipt = this.#options.receive(name, payload, Math.min(ttl, MAX_TTL), envelope(peer, seq, index, meta));
    if (receipt === undefined) return peer.refuse(seq, index, "NO_HANDLER");
    const { ctx, result } = receipt;
    if (!(result instanceof Promise)) return this.#answer(peer, seq, index, name, result);
    let running = peer.running.get(seq);
    if (running === undefined) peer.running.add(running = { seq, contexts: [], open: 0 });
    const frame: RunningFrame = running;
    frame.contexts[index] = ctx;
    frame.open++;
    ctx.run(result, (ended) => {
      frame.contexts[index] = undefined;
      this.#busyAt = this.now();
      if (--frame.open === 0) peer.running.delete(seq);
      this.#answer(peer, seq, index, name, ended);
    });
  }

  #answer(peer: Peer, seq: number, index: number, name: string, result: Result<unknown>): void {
    if (!result.ok) return peer.failure(seq, index, writeError(result.error, this.payloadLimit));
    const { value } = result;
    if (value === undefined) return peer.answer(seq, index, undefined);
    let text: string | undefined;
    try {
      text = JSON.stringify(value);
    } catch (error) {
      return this.#refuseAnswer(
        peer,
        seq,
        index,
        "INVALID_RESPONSE",
        `the answer of ${name} cannot be encoded as JSON`,
        error,
      );
    }
    if (text === undefined) {
      const reason = `the answer of ${name} cannot be encoded as JSON: it is a ${typeof value}`;
      return this.#refuseAnswer(peer, seq, index, "INVALID_RESPONSE", reason);
    }
    if (exceeds(text, this.payloadLimit)) {
      const reason = `the answer of ${name} is ${
        byteLength(text)
      } bytes; the server takes ${this.payloadLimit} at most`;
      return this.#refuseAnswer(peer, seq, index, "TOO_LARGE", reason);
    }
    peer.answer(seq, index, text);
  }

  #refuseAnswer(
    peer: Peer,
    seq: number,
    index: number,
    code: "INVALID_RESPONSE" | "TOO_LARGE",
    message: string,
    cause?: unknown,
  ) {
    const error = new CatgaError(code, message, { cause });
    this.fault("answering", error);
    peer.failure(seq, index, writeError(error, this.payloadLimit));
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

  /** Nobody subscribes to the target of that frame: it reached nobody, and the process, or its connection, is not there. */
  #onBounce(message: TransportMessage): void {
    // anybody may publish here; only the server's own news counts
    if (!message.noResponders || message.data.length > 0) return;
    const [slot, seq] = message.subject.slice(this.#bouncePrefix.length).split(".").map(Number);
    const peer = this.#bySlot.get(slot);
    if (peer === undefined || !(seq <= peer.seq)) return;
    const { observer, heard } = this.#options;
    observer({ type: "bounce", endpoint: peer.endpoint });
    heard(peer.endpoint, "bounced");
    peer.pingedAt = peer.heardAt = -1; // whatever it sends from now on shows that it is alive
    peer.undeliver(seq, "BOUNCED");
    this.#leftAnswers.bounced(peer, seq);
    // with several servers it says only "not seen from here"; what was delivered may still be answered
    if (this.#transport.server.clustered) return;
    const inHand = peer.lose(seq);
    if (inHand > 0) observer({ type: "gone", endpoint: peer.endpoint, inHand });
  }

  /** Asks processes that have owed an answer for a while whether they are there; runs only while answers are owed. */
  #watch(): void {
    this.#watching = true;
    this.#transport.clock.after(WATCH, () => {
      if (this.#closed) return;
      const now = this.now();
      let owed = false;
      for (const peer of this.#peers.values()) {
        if (peer.outstanding === 0) continue;
        owed = true;
        if (!this.connected) continue;
        if (peer.pingedAt >= 0 && now - peer.pingedAt > SILENT) this.#options.heard(peer.endpoint, "silent");
        if (now - peer.lastPingAt < PING_EVERY) continue;
        if (peer.sent.values().some(({ at }) => now - at >= OWED)) peer.ping();
      }
      if (owed) this.#watch();
      else this.#watching = false;
    }, { background: true });
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

const OTHER = `this node ${PROTOCOL}; run one version of Catga everywhere`;
const FRAME_LENGTH = 64_000; // larger frames are no faster, and hold up what stands behind them (FACTS 9)
const FRAME_OVERHEAD = 2_048; // subject, name, meta-less item and frame header, with room to spare
const MAX_PEERS = 4_096;
const MAX_TTL = 2_147_483_647;
const WATCH = 50; // ms between looks
const OWED = 50; // ms without an answer before the first ping
const PING_EVERY = 100; // ms
const LINGER = 50; // ms: many times what a message takes
const LONGEST_LINGER = 500; // ms
const SILENT = 500; // ms without an answer to a ping before a process is suspect

function envelope(peer: Peer, seq: number, index: number, meta: WireMeta | undefined): Envelope {
  const call = `${peer.theirCalls}${seq}.${index}`;
  return {
    call,
    id: meta?.id ?? call,
    attempt: Math.max(1, meta?.attempt ?? 1),
    correlation: meta?.correlation,
    causation: meta?.causation,
    ancestry: meta?.ancestry ?? [],
    headers: Object.freeze(Object.assign(Object.create(null), meta?.headers)),
  };
}
