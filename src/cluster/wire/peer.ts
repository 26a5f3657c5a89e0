/**
 * A peer: another process as this one sees it. The peer records when the process was last seen and the frames
 * received from it; it gathers the outgoing frame, which is sent as one message when the turn of the event loop ends.
 * Requests without an answer are in its ledger.
 */
import { isCatgaError } from "../../error.ts";
import type { Dropped } from "../../dispatch/admission_queue.ts";
import type { Bursts } from "../../dispatch/item_ports.ts";
import { type Call, callPrefix, SentFrame } from "./call.ts";
import { type FrameItem, nodeOf, type PingItem, type PongItem, type WordItem } from "./frame.ts";
import { FrameWriter, type OpenFrame } from "./frame_writer.ts";
import { Lateness } from "./lateness.ts";
import { ReceivedFrames } from "./received_frames.ts";
import { RunningRequests } from "./running_requests.ts";
import { RequestLedger } from "./request_ledger.ts";

/** Dependencies of a {@link Peer} on the endpoint. */
export interface PeerHost extends OpenFrame {
  /** Endpoint of this process: the node's id, a dot, and a nonce. */
  readonly endpoint: string;
  /** True if this process is connected, so that frames can be sent. */
  readonly connected: boolean;
  /** Size of the largest payload, answer or stream item, in bytes. */
  readonly payloadLimit: number;
  /** Limits how many bursts of stream items this endpoint sends in one turn of the event loop. */
  readonly bursts: Bursts;
  /** Calls {@link Peer.flush} after the microtasks of this turn of the event loop have run. */
  scheduleFlush(peer: Peer): void;
  /**
   * Sends a frame with these items. Returns the frame's text or bytes; `kept`: the caller keeps them for a while.
   * Throws if the frame cannot be sent.
   */
  publish(peer: Peer, frame: SentFrame, items: string, kept: boolean): string | Uint8Array;
  /**
   * Called when a frame with answers has been sent. `until`: for repeated answers, the time at which no one awaits
   * them any more, by the monotonic clock.
   */
  answersSent(peer: Peer, seq: number, frame: string | Uint8Array, until?: number): void;
  /** Returns the time by the monotonic clock, in ms. */
  now(): number;
  /** Reports an error that has no caller to whom it could be returned. */
  fault(during: string, error: unknown): void;
}

/** Numbers that identify a peer within its endpoint. */
export interface PeerIdentity {
  /** Number that this process has given the peer; it is part of the subjects to which frames to the peer bounce. */
  readonly slot: number;
  /** Number after which frames to the peer are numbered. */
  readonly after: number;
  /** True if frames may have been exchanged with the peer before, and it was forgotten. */
  readonly forgotten: boolean;
}

/** An object that writes its items into the next frame when the turn of the event loop ends. */
interface LateWriter {
  write(writer: FrameWriter): void;
}

/** Another process, as this one sees it; see the file's comment. */
export class Peer {
  /** Endpoint of the peer: its node's id, a dot, and a nonce. */
  readonly endpoint: string;
  /** Id of the node behind the peer. */
  readonly node: string;
  /**
   * Prefix of the names of the peer's requests to this process; the frame's number and the place in the frame follow.
   */
  readonly theirCalls: string;
  /** Number that this process has given the peer; it is part of the subjects to which frames to the peer bounce. */
  readonly slot: number;
  /** Subject of frames to the peer. */
  readonly subject: string;
  /** Prefix of the subjects to which frames to the peer bounce; the frame's number follows. */
  readonly bounces: string;
  /** Requests of this process to the peer that have no answer yet. */
  readonly ledger: RequestLedger;
  readonly received: ReceivedFrames;
  readonly lateness: Lateness = new Lateness();
  /** The peer's requests that run or wait in this process. */
  readonly running: RunningRequests = new RunningRequests();
  /**
   * Time at which the peer's last frame arrived, by the monotonic clock; -1: none has, or none since a frame to the
   * peer bounced.
   */
  lastSeenAt = -1;
  /** Lateness of the peer's last frame, in ms; see `lateness.ts`. */
  late = 0;
  /** Time of the first bounce of a frame since the peer was last seen, by the monotonic clock; -1: none. */
  bouncedAt = -1;
  /** Number of the last frame to the peer that bounced; frames sent after it may have arrived. */
  bouncedSeq = 0;
  /** Time at which the oldest unanswered ping to the peer was sent, by the monotonic clock; -1: none. */
  pingedAt = -1;
  /** Time at which the last ping to the peer was sent, by the monotonic clock. */
  lastPingAt = -1;
  /**
   * Shortest time in which the peer has answered a ping, in ms. The value grows slowly while pongs are slower,
   * because the peer may be busy, not far away.
   */
  #quickest = Infinity;
  /** Number of the ping whose answer is being timed, and the time at which it was sent. */
  #timed: { readonly n: number; readonly at: number } | undefined;
  /** Time at which this process last repeated its answers at the peer's request, by the monotonic clock; -1: never. */
  answeredAgainAt = -1;
  /** Highest frame number that the peer's pongs have reported missing. */
  lostUpTo = 0;
  /**
   * True if the peer is leaving the cluster: it answers or refuses all requests that have reached it, although the
   * bounce of a later frame may come first.
   */
  leaving = false;
  /** Load that the peer's last pong reported: requests in flight plus queued. */
  load = 0;

  readonly #host: PeerHost;
  readonly #writer: FrameWriter;
  readonly #late: LateWriter[] = [];
  /** Requests gathered for the next frame to the peer. */
  #calls: Call[] = [];
  /** Number of the last frame sent to the peer. */
  #seq: number;
  #pings = 0;
  #versionsSent = false;
  #flushScheduled = false;
  /** Answers and other items that wait for the connection, by the frame in which they were to be sent. */
  readonly #offline: { readonly items: string; readonly answering: boolean }[] = [];

  /** `subject` and `bounces`: values of the fields of these names. */
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

  /** Size of the largest stream item, in bytes. */
  get payloadLimit(): number {
    return this.#host.payloadLimit;
  }

  /** Limits how many bursts of stream items this process sends in one turn of the event loop. */
  get bursts(): Bursts {
    return this.#host.bursts;
  }

  /** Number of the last frame that was sent to the peer. */
  get seq(): number {
    return this.#seq;
  }

  /** True if nothing is under way to or from the peer, so that the peer may be forgotten. */
  get idle(): boolean {
    return this.ledger.outstanding === 0 && this.running.none && !this.#flushScheduled &&
      this.#offline.length === 0;
  }

  /** Adds a request to the next frame. `ttl`: the time until its deadline, in ms. */
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

  /** Adds an item without a payload, a value or an error to the next frame. `answering`: true for a refusal. */
  add(item: FrameItem, answering = false): void {
    this.#writer.add(item, answering);
    this.#schedule();
  }

  /** Removes a call from the ledger: no answer to it is awaited any more. */
  settle(call: Call): void {
    this.ledger.settle(call);
  }

  /**
   * Sends a cancellation of a call, because its caller has given up. A call that is gathered but not sent is
   * cancelled after its frame was sent.
   */
  cancel({ frame, index }: Call): void {
    if (frame !== undefined) this.add(["c", frame.seq, index]);
  }

  /** Sends the progress of a stream's reader (items consumed and received) to the peer that feeds the stream. */
  word({ frame, index }: Call, consumed: number, received: number, again: boolean): void {
    if (frame === undefined) return;
    const word: WordItem = ["w", frame.seq, index, consumed, received];
    if (again) word.push(1);
    this.add(word);
  }

  /** Calls `later.write` when the turn of the event loop ends, so that it writes its items into the next frame. */
  gather(later: LateWriter): void {
    this.#late.push(later);
    this.#schedule();
  }

  /**
   * Called when frames to or from the peer may have been lost: the readers of streams that the peer feeds report
   * their progress.
   */
  doubt(): void {
    if (this.ledger.outstanding === 0) return;
    for (const frame of this.ledger.sent.values()) {
      for (const call of frame.calls) if (call.frame === frame) call.request.items?.doubt(call);
    }
  }

  /**
   * Takes back the sent calls for which `may` returns true, to be sent to other nodes, although this peer may have
   * received them.
   */
  release(may: (call: Call) => boolean): void {
    this.ledger.release((call) => {
      if (!may(call)) return false;
      // an idempotent command is marked as moved: a run that has claimed its id goes on, and the other node waits for
      // its result
      if (!call.request.contract.options.idempotent) this.cancel(call);
      else if (call.frame !== undefined) this.add(["c", call.frame.seq, call.index, 1]);
      return true;
    });
  }

  /**
   * Answers the request at place `index` of the peer's frame `seq`. `text`: the answer as JSON; `undefined` for the
   * answer `undefined`.
   */
  answer(seq: number, index: number, text: string | undefined): void {
    this.#writer.answer(seq, index, text);
    this.#schedule();
  }

  /** Adds an item, given as JSON, to the next frame. `answering`: true for an answer. */
  item(text: string, answering = false): void {
    this.#writer.item(text, answering);
    this.#schedule();
  }

  /** Refuses the request at place `index` of the peer's frame `seq`: it will not run here. */
  refuse(seq: number, index: number, code: Dropped | "NO_HANDLER"): void {
    this.add(["n", seq, index, code], true);
  }

  /**
   * Pings the peer: asks if it is alive and which frames it has received. `again`: also asks for its last answers
   * again. The ping lists the peer's frames that are missing here, to get their answers. Returns the number of the
   * last frame sent to the peer.
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

  /** Measures how long the peer took to answer ping `n`, for {@link Peer.patience}. */
  ponged(n: number): void {
    if (n !== this.#timed?.n) return;
    this.#quickest = Math.min(this.#host.now() - this.#timed.at, SLOWER * this.#quickest + 1);
    this.#timed = undefined;
  }

  /** Time for which the peer may leave a ping unanswered until it is suspect, in ms; longer over a slow link. */
  get patience(): number {
    const far = this.#quickest < Infinity ? 2 * this.#quickest : 0;
    return Math.min(Math.max(SILENT_FOR, far), LONGEST_SILENCE);
  }

  /**
   * Answers ping `n` of the peer. `lacking`: true if the ping listed missing frames: its sender must then know which
   * of its requests run or wait here.
   */
  pong(n: number, load: readonly [number, number], lacking = false): void {
    const pong: PongItem = ["o", n, this.received.upTo, this.received.report(), [...load]];
    const inHand = lacking ? this.running.places : undefined;
    // a list that is too long for a frame is left out: the callers then notice lost answers at their deadlines
    if (inHand !== undefined && inHand.length * LONGEST_PLACE <= this.#host.frameLimit) pong.push(inHand);
    this.add(pong);
  }

  /**
   * Sends the protocol versions that this process speaks, once only: otherwise two processes of different versions
   * would answer each other for ever.
   */
  versions(versions: readonly number[]): void {
    if (this.#versionsSent) return;
    this.#versionsSent = true;
    this.add(["v", ...versions]);
  }

  /**
   * Sends the gathered items as one frame. `now`: writes it to the socket at once, not at the end of the turn.
   * Without a connection, requests go back to their owner, and answers wait.
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

  /** Called when the connection is back: sends the answers that waited for it. */
  resume(): void {
    for (const { items, answering } of this.#offline.splice(0)) this.#send([], "", items, { answering });
  }

  /** Sends answers again. `until`: the time at which they are given up, by the monotonic clock. */
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
      // too large: the server's limit may have shrunk at a reconnect
      const tooLarge = calls.length === 1 && isCatgaError(error) && error.code === "TOO_LARGE";
      for (const call of calls) this.ledger.refused(call, tooLarge ? "TOO_LARGE" : "BOUNCED");
      return;
    }
    // cancelled: the callers of these calls have given up while the frame was being gathered
    for (const { done, index } of calls) if (done) this.add(["c", seq, index]);
  }

  #schedule(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    this.#host.scheduleFlush(this);
  }
}

/**
 * Maximum number of entity commands in a frame. The receiving node and the server take many times as long for a
 * command as its sender, so they begin with the first frame while the sender goes on
 * (docs/internals/measurements.md).
 */
const MOST_COMMANDS = 32;
/** Time without an answer to a ping after which a nearby process is suspect, in ms. */
const SILENT_FOR = 500;
/** Time without an answer to a ping after which any process is suspect, in ms, however slow the link. */
const LONGEST_SILENCE = 3_000;
/** Factor by which the remembered shortest time of a pong may grow with each slower pong. */
const SLOWER = 1.01;
/** Maximum length of one element in a pong's list of requests, as text: the digits of a frame's number, and a comma. */
const LONGEST_PLACE = 17;

/** Returns the meta of a call (id, headers and the like) as JSON; `undefined` if all members are defaults. */
function metaText(call: Call): string | undefined {
  if (call.request.meta === undefined && call.attempt === 1) return undefined;
  return JSON.stringify({ ...call.meta, attempt: call.attempt === 1 ? undefined : call.attempt });
}
