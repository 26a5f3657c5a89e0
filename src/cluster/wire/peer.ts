/**
 * One other process: when it was last seen, what has been received from it, and what is gathered for it, which is sent
 * as one frame when the turn of the event loop ends. Requests on their way to it are in its ledger,
 * and the processes that are known in a table.
 */
import { isCatgaError } from "../../error.ts";
import type { Dropped } from "../../dispatch/admission_queue.ts";
import type { Bursts } from "../../dispatch/item_ports.ts";
import { type AttemptFailure, type Call, callPrefix, type NotRunCode, SentFrame } from "./call.ts";
import {
  answersIn,
  type AnswersItem,
  type FrameItem,
  FrameWriter,
  nodeOf,
  type OpenFrame,
  type PingItem,
  type PongItem,
  type WordItem,
} from "./frame.ts";
import { FrameRing, isWithin, Lateness, MAX_GAPS, ReceivedFrames, RunningRequests } from "./received_frames.ts";
import type { Clock, Random, Timer } from "../../ports/clock.ts";

/** Dependencies of a peer on the endpoint that it belongs to. */
export interface PeerHost extends OpenFrame {
  /** This process: `<id>.<nonce>`. */
  readonly endpoint: string;
  /** True if frames can be sent. */
  readonly connected: boolean;
  /** The largest payload, answer or item, in bytes. */
  readonly payloadLimit: number;
  /** The turns of the streams that it feeds. */
  readonly bursts: Bursts;
  /** Calls {@link Peer.flush} when this turn's microtasks have run. */
  scheduleFlush(peer: Peer): void;
  /** Sends a frame with these items and returns it, in a form to be `kept`. Throws when it cannot be sent. */
  publish(peer: Peer, frame: SentFrame, items: string, kept: boolean): string | Uint8Array;
  /**
   * A frame with answers has been sent. `until`: when to give them up, by the monotonic clock, if they were sent
   * before.
   */
  answersSent(peer: Peer, seq: number, frame: string | Uint8Array, until?: number): void;
  /** The monotonic clock, in ms. */
  now(): number;
  /** Reports an error that nobody waits for. */
  fault(during: string, error: unknown): void;
}

/** How an endpoint knows a peer. */
export interface PeerIdentity {
  /** This process's number for the peer, which stands in bounce subjects. */
  readonly slot: number;
  /** Its frames are numbered from the next number on. */
  readonly after: number;
  /** It may have been known before, and forgotten. */
  readonly forgotten: boolean;
}

/** Writes its items when a turn ends. */
interface LateWriter {
  write(writer: FrameWriter): void;
}

/** One other process. */
export class Peer {
  /** `<id>.<nonce>`. */
  readonly endpoint: string;
  /** The id of the node behind it. */
  readonly node: string;
  /** Prefix of the names of its requests to this process; frame and place follow. */
  readonly theirCalls: string;
  /** This process's number for it, which stands in bounce subjects. */
  readonly slot: number;
  /** Subject of frames to it. */
  readonly subject: string;
  /** Prefix of the bounce subjects of frames to it; the frame's number follows. */
  readonly bounces: string;
  /** Requests of this process to it. */
  readonly ledger: RequestLedger;
  readonly received: ReceivedFrames;
  readonly lateness: Lateness = new Lateness();
  /** Its requests to this process. */
  readonly running: RunningRequests = new RunningRequests();
  /** When a frame of it last arrived, by the monotonic clock; -1 for never, or not since a frame to it bounced. */
  lastSeenAt = -1;
  /** How late its last frame was, in ms. */
  late = 0;
  /** When the first frame bounced since it was last seen, by the monotonic clock; -1 for none. */
  bouncedAt = -1;
  /** The last frame that bounced: later ones may well have arrived. */
  bouncedSeq = 0;
  /** When the oldest unanswered ping was sent; -1 for none. */
  pingedAt = -1;
  /** When the last ping was sent. */
  lastPingAt = -1;
  /** Its quickest pong, in ms; one that becomes slower is believed slowly, for it may be busy and not far away. */
  #quickest = Infinity;
  /** The ping whose pong is timed. */
  #timed: { readonly n: number; readonly at: number } | undefined;
  /** When it last got its answers again because it asked for them, by the monotonic clock; -1 for never. */
  answeredAgainAt = -1;
  /** Up to here its pongs have reported frames missing. */
  lostUpTo = 0;
  /** It leaves: what has reached it is answered or refused, though the bounce of a later frame may come first. */
  leaving = false;
  /** Its load in its last pong: in flight and queued. */
  load = 0;

  readonly #host: PeerHost;
  readonly #writer: FrameWriter;
  readonly #late: LateWriter[] = [];
  /** The gathered requests. */
  #calls: Call[] = [];
  /** The number of the last frame. */
  #seq: number;
  #pings = 0;
  #versionsSent = false;
  #flushScheduled = false;
  /** Answers and the like that wait for the connection, a frame's worth each. */
  readonly #offline: { readonly items: string; readonly answering: boolean }[] = [];

  /** `subject` and `bounces` as the fields of these names. */
  constructor(
    host: PeerHost,
    endpoint: string,
    { slot, after, forgotten, subject, bounces }: PeerIdentity & { subject: string; bounces: string },
  ) {
    this.#host = host;
    this.endpoint = endpoint;
    this.node = nodeOf(endpoint);
    this.theirCalls = callPrefix(endpoint, host.endpoint);
    this.slot = slot;
    this.subject = subject;
    this.bounces = bounces;
    this.ledger = new RequestLedger(this.node, callPrefix(host.endpoint, endpoint));
    this.received = new ReceivedFrames({ forgotten });
    this.#seq = after;
    this.#writer = new FrameWriter(host, () => this.flush());
  }

  /** The largest item of a stream, in bytes. */
  get payloadLimit(): number {
    return this.#host.payloadLimit;
  }

  /** The turns of the streams that this process feeds. */
  get bursts(): Bursts {
    return this.#host.bursts;
  }

  /** The number of the last frame that was sent to it. */
  get seq(): number {
    return this.#seq;
  }

  /** True if nothing is under way in either direction, so that it may be forgotten. */
  get idle(): boolean {
    return this.ledger.outstanding === 0 && this.running.none && !this.#flushScheduled &&
      this.#offline.length === 0;
  }

  /** Puts a request into the next frame. `ttl`: what is left of its time, in ms. */
  request(call: Call, ttl: number): void {
    this.#writer.request(call.request.contract.name, ttl, call.text, metaText(call));
    call.peer = this;
    call.at = this.node;
    call.index = this.#calls.length;
    this.#calls.push(call);
    this.ledger.outstanding++;
    this.ledger.requested++;
    if (call.request.ofEntity && this.#calls.length >= MOST_COMMANDS) this.flush(true);
    else this.#schedule();
  }

  /** Puts an item without a payload, a value or an error into the next frame. */
  add(item: FrameItem, answering = false): void {
    this.#writer.add(item, answering);
    this.#schedule();
  }

  /** No answer to this call is awaited any more. */
  settle(call: Call): void {
    this.ledger.settle(call);
  }

  /** Sends a cancellation: the caller has given up. That of a call that is gathered follows when its frame is sent. */
  cancel({ frame, index }: Call): void {
    if (frame !== undefined) this.add(["c", frame.seq, index]);
  }

  /** The reader of a stream says how far it is. */
  word({ frame, index }: Call, consumed: number, received: number, again: boolean): void {
    if (frame === undefined) return;
    const word: WordItem = ["w", frame.seq, index, consumed, received];
    if (again) word.push(1);
    this.add(word);
  }

  /** Has this written into the next frame, when the turn ends. */
  gather(later: LateWriter): void {
    this.#late.push(later);
    this.#schedule();
  }

  /** Frames were lost, in either direction: the readers of its streams say where they stand. */
  doubt(): void {
    if (this.ledger.outstanding === 0) return;
    for (const frame of this.ledger.sent.values()) {
      for (const call of frame.calls) if (call.frame === frame) call.request.items?.doubt(call);
    }
  }

  /** Takes back the sent calls that `may` go elsewhere although this process may have received them. */
  release(may: (call: Call) => boolean): void {
    this.ledger.release((call) => {
      if (!may(call)) return false;
      // a run of an idempotent command that has the claim goes on: the other node waits for its result
      if (!call.request.contract.options.idempotent) this.cancel(call);
      else if (call.frame !== undefined) this.add(["c", call.frame.seq, call.index, 1]);
      return true;
    });
  }

  /** Answers the request at this place with a value as JSON; `undefined` for `undefined`. */
  answer(seq: number, index: number, text: string | undefined): void {
    this.#writer.answer(seq, index, text);
    this.#schedule();
  }

  /** Puts an item, as JSON, into the next frame. */
  item(text: string, answering = false): void {
    this.#writer.item(text, answering);
    this.#schedule();
  }

  /** Refuses the request at this place: it will not run here. */
  refuse(seq: number, index: number, code: Dropped | "NO_HANDLER"): void {
    this.add(["n", seq, index, code], true);
  }

  /**
   * Asks whether it is alive and which frames it has received, and for its last answers `again`; lists the frames of it
   * that are missing here, with the answers in them. Returns the sequence of the frame that is open.
   */
  ping(again = false): number {
    const now = this.#host.now();
    if (this.pingedAt < 0) this.pingedAt = now;
    this.lastPingAt = now;
    const { seq } = this;
    const n = ++this.#pings;
    if (this.#timed === undefined || now - this.#timed.at > LONGEST_SILENCE) this.#timed = { n, at: now };
    const missing = this.received.ask(n);
    const ping: PingItem = ["p", n];
    if (again || missing.length > 0) ping.push(again ? 1 : 0);
    if (missing.length > 0) ping.push(missing);
    this.add(ping);
    return seq;
  }

  /** It has answered that ping. */
  ponged(n: number): void {
    if (n !== this.#timed?.n) return;
    this.#quickest = Math.min(this.#host.now() - this.#timed.at, SLOWER * this.#quickest + 1);
    this.#timed = undefined;
  }

  /** How long it may leave a ping unanswered until it is suspect, in ms: longer over a slow link. */
  get patience(): number {
    const far = this.#quickest < Infinity ? 2 * this.#quickest : 0;
    return Math.min(Math.max(SILENT_FOR, far), LONGEST_SILENCE);
  }

  /**
   * Answers a ping; `lacking`: it listed missing frames, so that its sender has to know which of its requests are in
   * hand.
   */
  pong(n: number, load: readonly [number, number], lacking = false): void {
    const pong: PongItem = ["o", n, this.received.upTo, this.received.report(), [...load]];
    const inHand = lacking ? this.running.places : undefined;
    // too many for a frame: the answers that were lost are then noticed at their deadlines
    if (inHand !== undefined && inHand.length * LONGEST_PLACE <= this.#host.frameLimit) pong.push(inHand);
    this.add(pong);
  }

  /**
   * Sends the versions of the protocol that this process speaks; once, or two versions would answer each other for
   * ever.
   */
  versions(versions: readonly number[]): void {
    if (this.#versionsSent) return;
    this.#versionsSent = true;
    this.add(["v", ...versions]);
  }

  /**
   * Sends what is gathered as one frame, to be written `now` or at the end of the turn. While disconnected requests go
   * back to their owner, and answers wait.
   */
  flush(now = false): void {
    this.#flushScheduled = false;
    if (this.#late.length > 0) { for (const later of this.#late.splice(0)) later.write(this.#writer); }
    const calls = this.#calls;
    this.#calls = [];
    const { requests, others: items, answering } = this.#writer.take();
    if (!this.#host.connected) {
      if (items !== "") this.#offline.push({ items, answering });
      for (const call of calls) if (!call.done) this.ledger.disconnected(call);
      return;
    }
    if (calls.length > 0 || items !== "") this.#send(calls, requests, items, { answering, now });
  }

  /** The connection is back: sends the answers that waited for it. */
  resume(): void {
    for (const { items, answering } of this.#offline.splice(0)) this.#send([], "", items, { answering });
  }

  /** Sends answers again; `until`: when they are given up, by the monotonic clock. */
  resend(answers: string, until: number): void {
    this.#send([], "", answers, { answering: true, until });
  }

  #send(
    calls: readonly Call[],
    requests: string,
    items: string,
    { answering, now = false, until }: { answering: boolean; now?: boolean; until?: number },
  ): void {
    const seq = ++this.#seq;
    const frame = new SentFrame(seq, calls, this.#host.now(), now);
    this.ledger.add(frame);
    try {
      const sent = this.#host.publish(this, frame, requests + items, answering);
      if (answering) this.#host.answersSent(this, seq, sent, until);
    } catch (error) {
      this.#host.fault(`sending to ${this.endpoint}`, error);
      // the limit may have shrunk at a reconnect
      const tooLarge = calls.length === 1 && isCatgaError(error) && error.code === "TOO_LARGE";
      for (const call of calls) this.ledger.refused(call, tooLarge ? "TOO_LARGE" : "BOUNCED");
      return;
    }
    // their callers gave up after they were gathered
    for (const { done, index } of calls) if (done) this.add(["c", seq, index]);
  }

  #schedule(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    this.#host.scheduleFlush(this);
  }
}

/**
 * Commands of entities in a frame: its node and the server take many times as long for one as its sender, and begin
 * with the first while it goes on (docs/internals/measurements.md).
 */
const MOST_COMMANDS = 32;
/** Silence that makes a process suspect, in ms: of one that is near, and at most. */
const SILENT_FOR = 500;
const LONGEST_SILENCE = 3_000;
/** Factor by which the quickest pong may be slower than the one before. */
const SLOWER = 1.01;
/** The characters of a frame's number, and a comma. */
const LONGEST_PLACE = 17;

/** Text of the meta of a call; `undefined` when all of it is default. */
function metaText(call: Call): string | undefined {
  if (call.request.meta === undefined && call.attempt === 1) return undefined;
  return JSON.stringify({ ...call.meta, attempt: call.attempt === 1 ? undefined : call.attempt });
}

// The requests on their way to one process: gathered for its next frame, or sent and unanswered. Each leaves the ledger
// once: answered, refused, bounced, lost with the process or the answer, taken back, or given up. `call.ts` has the
// states of a call.

/** The ledger of one process. */
export class RequestLedger {
  /** Requests without a result. */
  outstanding = 0;
  /**
   * Requests that were given to it; those that the process answered with a value; those that failed there, or on the
   * way.
   */
  requested = 0;
  succeeded = 0;
  failed = 0;
  /** The frames with requests that wait for an answer. */
  readonly sent: FrameRing<SentFrame> = new FrameRing();
  /** The id of the node behind the process. */
  readonly #node: string;
  /** Prefix of the names of requests to it; frame and place follow. */
  readonly #names: string;

  constructor(node: string, names: string) {
    this.#node = node;
    this.#names = names;
  }

  /** A frame is about to be sent: its calls wait for answers from now on. */
  add(frame: SentFrame): void {
    for (const call of frame.calls) {
      if (call.done) continue;
      call.frame = frame;
      frame.open++;
    }
    if (frame.open > 0) this.sent.add(frame);
  }

  /** The call at this place of a sent frame, if it waits for an answer. */
  find(seq: number, index: number): Call | undefined {
    const frame = this.sent.get(seq);
    const call = frame?.calls[index];
    return call?.frame === frame ? call : undefined;
  }

  /** The process answered these requests. */
  answered(item: AnswersItem): void {
    const frame = this.sent.get(item[1]);
    if (frame === undefined) return;
    const first = item[2];
    // an item without a value is one answer that is `undefined`
    const count = Math.max(1, item.length - 3);
    for (let i = 0; i < count; i++) {
      const call: Call | undefined = frame.calls[first + i];
      if (call?.frame !== frame) continue;
      this.settle(call);
      this.succeeded++;
      call.owner.answered(call, { ok: true, value: item[3 + i] });
    }
  }

  /** No answer to this call is awaited any more. */
  settle(call: Call): void {
    this.outstanding--;
    const { frame } = call;
    call.peer = call.frame = undefined;
    if (frame !== undefined && --frame.open === 0) this.sent.delete(frame.seq);
  }

  /** The connection was lost before the frame of this call was sent. */
  disconnected(call: Call): void {
    this.settle(call);
    call.at = undefined;
    call.owner.disconnected(call);
  }

  /** This call certainly did not run there. */
  refused(call: Call, code: NotRunCode): void {
    if (call.done) return;
    this.#takeBack(call);
    this.failed++;
    call.at = undefined;
    call.owner.failed(call, { how: "undelivered", code }, this.#node);
  }

  /** The requests of this frame certainly did not run. */
  undelivered(seq: number, code: NotRunCode): void {
    const frame = this.sent.get(seq);
    if (frame === undefined) return;
    for (const call of frame.calls) {
      if (call.frame === frame) this.refused(call, code);
    }
  }

  /** The process reports frames up to `upTo` missing, as ranges `[from, to, from, to, …]`: it will never run them. */
  missing(upTo: number, ranges: readonly number[]): void {
    if (this.sent.size === 0) return;
    for (const { seq } of this.sent.values()) {
      if (seq <= upTo && isWithin(seq, ranges)) this.undelivered(seq, "LOST");
    }
  }

  /**
   * The process, which has received frames up to `upTo`, has these requests in hand, `[seq, index, seq, index, …]`: it
   * has answered the others, and the answers that have not come by now are lost.
   */
  inHand(upTo: number, places: readonly number[]): void {
    if (this.sent.size === 0) return;
    const running = new Set<string>();
    for (let i = 0; i < places.length; i += 2) {
      if (this.sent.get(places[i]) !== undefined) running.add(`${places[i]}.${places[i + 1]}`);
    }
    this.#fail(ANSWER_LOST, ({ index }, { seq }) => seq <= upTo && !running.has(`${seq}.${index}`));
  }

  /**
   * The process is gone: what is unanswered in frames before `seq` was delivered, or perhaps. Returns how many calls.
   */
  lost(seq: number): number {
    return this.#fail(LOST, (_, frame) => frame.seq < seq);
  }

  /** The process does not respond: takes back the sent calls that `go` elsewhere. */
  release(go: (call: Call) => boolean): void {
    this.#fail(SILENT, go);
  }

  /** Takes back the sent calls that this is true of: they have failed so. Returns how many. */
  #fail(failure: AttemptFailure, which: (call: Call, frame: SentFrame) => boolean): number {
    let count = 0;
    for (const frame of this.sent.values()) {
      for (const call of frame.calls) {
        if (call.frame !== frame || !which(call, frame)) continue;
        count++;
        this.#takeBack(call);
        this.failed++;
        call.owner.failed(call, failure, this.#node);
      }
    }
    return count;
  }

  #takeBack(call: Call): void {
    // the name that it had there stays its own
    if (call.frame !== undefined) call.id ??= `${this.#names}${call.frame.seq}.${call.index}`;
    this.settle(call);
  }
}

const LOST: AttemptFailure = { how: "lost" };
const ANSWER_LOST: AttemptFailure = { how: "lost", answered: true };
const SILENT: AttemptFailure = { how: "silent" };

// The other processes that this one exchanges frames with, as many as fit into the memory: forged senders must not fill
// it.

/** The peers of one process. */
export class PeerTable {
  readonly #random: Random;
  readonly #make: (endpoint: string, identity: PeerIdentity) => Peer;
  readonly #peers: Map<string, Peer> = new Map();
  readonly #bySlot: Map<number, Peer> = new Map();
  #slots = 0;
  /** Peers have been forgotten: a new one may be an old one. */
  #forgot = false;
  /** The highest number of a frame to a forgotten peer, which would take a lower one for an old frame. */
  #forgottenSeq = 0;
  /** How many peers there may be before some are forgotten. */
  #room = MAX_PEERS;

  /** `make` is called for each new peer. */
  constructor(random: Random, make: (endpoint: string, identity: PeerIdentity) => Peer) {
    this.#random = random;
    this.#make = make;
  }

  /** All of them. */
  values(): Iterable<Peer> {
    return this.#peers.values();
  }

  /** The peer of this endpoint, if frames were exchanged with it. */
  find(endpoint: string): Peer | undefined {
    return this.#peers.get(endpoint);
  }

  /** The peer with this number. */
  bySlot(slot: number): Peer | undefined {
    return this.#bySlot.get(slot);
  }

  /** The peer of this endpoint; a new one takes the place of forgotten ones when there are too many. */
  get(endpoint: string): Peer {
    const known = this.#peers.get(endpoint);
    if (known !== undefined) return known;
    if (this.#peers.size >= this.#room) this.#forget();
    const slot = this.#slots++;
    const peer = this.#make(endpoint, { slot, after: this.#begin(), forgotten: this.#forgot });
    this.#peers.set(endpoint, peer);
    this.#bySlot.set(slot, peer);
    return peer;
  }

  /**
   * First number of frames to a new peer: a random one, so that nobody can guess which answers it may
   * give. Above those of forgotten peers the range is a small part of what is left, which therefore lasts however many
   * are forgotten.
   */
  #begin(): number {
    const range = (HIGHEST_BEGIN - this.#forgottenSeq) / (this.#forgot ? 65_536 : 16);
    return this.#forgottenSeq + Math.floor(this.#random() * range);
  }

  /** Forgets peers with nothing under way, those that were last seen the longest ago. */
  #forget(): void {
    const idle = [...this.#peers.values()].filter((peer) => peer.idle).sort((a, b) => a.lastSeenAt - b.lastSeenAt);
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

/** Peers before some are forgotten. */
export const MAX_PEERS = 4_096;
/** Numbers up to the highest safe integer, 2^53 - 1, remain for the frames. */
const HIGHEST_BEGIN = 2 ** 52;

// Answers that were sent lately. An answer whose frame bounces is sent again until its caller is back; answers that a
// server, or a dying connection of either side, may have lost are sent again after a reconnect; and those whose frames
// a caller's ping lists as missing, at once: else a caller waits for its deadline although the work is done.

/** The answers of one frame. */
interface SentAnswers {
  readonly peer: Peer;
  readonly seq: number;
  /** A large one as bytes: as texts they cost a quarter of the rate (docs/internals/measurements.md). */
  readonly frame: string | Uint8Array;
  /** When it is given up, by the monotonic clock. */
  readonly until: number;
}

/** Dependencies of a resend buffer on the endpoint that it belongs to. */
interface ResendBufferOptions {
  readonly clock: Clock;
  /** Returns true if frames can be sent. */
  connected(): boolean;
  /** Returns true if this is still the peer of its endpoint: it may have been forgotten. */
  isCurrent(peer: Peer): boolean;
}

/** The last answers of one process, to all others: at most 256 frames, and about 4 MiB. */
export class ResendBuffer {
  readonly #options: ResendBufferOptions;
  /** In the order in which they were sent, from `#first` on; `undefined` for those that have bounced. */
  readonly #last: (SentAnswers | undefined)[] = [];
  /** Index of the first that is kept: a shift at each frame costs as much as all the rest (measured). */
  #first = 0;
  /** The length of all of them. */
  #size = 0;
  /** Answers to be sent again. */
  #due: SentAnswers[] = [];
  #timer: Timer | undefined;

  constructor(options: ResendBufferOptions) {
    this.#options = options;
  }

  /** Keeps a frame with answers that has been sent. `until`: when to give it up; 10 s from now. */
  add(peer: Peer, seq: number, frame: string | Uint8Array, until = this.#options.clock.monotonic() + GIVE_UP): void {
    this.#last.push({ peer, seq, frame, until });
    this.#size += frame.length;
    while (this.#count > KEPT || (this.#size > MOST && this.#count > 1)) this.#take(this.#first);
  }

  /** A frame bounced: the answers in it are sent again after a while. */
  bounced(peer: Peer, seq: number): void {
    const at = this.#last.findIndex((sent) => sent?.peer === peer && sent.seq === seq);
    if (at < 0) return;
    const sent = this.#take(at);
    if (sent !== undefined && this.#due.length < KEPT) this.#due.push(sent);
    this.#wait();
  }

  /** Sends nothing again: the process leaves. */
  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** The connection is back: sends everything again, for it may be lost. Receivers ignore duplicates. */
  resume(): void {
    this.#due.push(...this.#last.splice(0).filter((sent) => sent !== undefined));
    this.#size = this.#first = 0;
    if (this.#due.length > 0) this.#resend();
  }

  /**
   * Called when that process has reconnected: answers to it may have been lost, without a bounce. Sends them again,
   * once a second at most.
   */
  again(peer: Peer): void {
    const now = this.#options.clock.monotonic();
    if (peer.answeredAgainAt >= 0 && now - peer.answeredAgainAt < AGAIN_EVERY) return;
    peer.answeredAgainAt = now;
    for (let at = this.#last.length - 1; at >= this.#first; at--) {
      if (this.#last[at]?.peer === peer) this.#due.push(this.#take(at)!);
    }
    if (this.#due.length > 0) this.#resend();
  }

  /**
   * Called with the ranges of frames that that process has not received, `[from, to, from, to, …]`: sends the answers
   * in them again. Looks at no more ranges than a process keeps.
   */
  missing(peer: Peer, listed: readonly number[]): void {
    const ranges = listed.slice(0, MOST_RANGES);
    for (let at = this.#first; at < this.#last.length; at++) {
      const sent = this.#last[at];
      if (sent?.peer === peer && isWithin(sent.seq, ranges)) this.#due.push(this.#take(at)!);
    }
    if (this.#due.length > 0) this.#resend();
  }

  /** How many are kept, bounced ones included until they are forgotten. */
  get #count(): number {
    return this.#last.length - this.#first;
  }

  #take(at: number): SentAnswers | undefined {
    const sent = this.#last[at];
    this.#last[at] = undefined;
    this.#size -= sent?.frame.length ?? 0;
    if (at === this.#first && ++this.#first >= KEPT) {
      this.#last.splice(0, this.#first);
      this.#first = 0;
    }
    return sent;
  }

  #wait(): void {
    this.#timer ??= this.#options.clock.after(PAUSE, () => {
      this.#timer = undefined;
      this.#resend();
    }, { background: true });
  }

  #resend(): void {
    const { clock, connected, isCurrent } = this.#options;
    const now = clock.monotonic();
    this.#due = this.#due.filter(({ peer, until }) => now < until && isCurrent(peer));
    if (connected()) {
      for (const { peer, frame, until } of this.#due.splice(0)) peer.resend(answersIn(frame), until);
    } else if (this.#due.length > 0) this.#wait();
  }
}

const KEPT = 256; // frames: a bounce comes within ms
const MOST = 4_194_304; // length of all of them: 256 frames of a megabyte would fill the memory
const MOST_RANGES = 4 * MAX_GAPS; // numbers: the gaps that may still be filled, and those that were reported
const PAUSE = 250; // ms between two attempts, as between two of a connection
const AGAIN_EVERY = 1_000; // ms: anybody may ask
const GIVE_UP = 10_000; // ms: a caller that stays away longer has counted this node as gone, or is gone itself
