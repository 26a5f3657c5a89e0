/**
 * One other process as this one sees it: when it was last seen, the frames received from it, and the outgoing frame,
 * which is sent as one message when the turn of the event loop ends. Its unanswered requests are in its ledger.
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

/** Dependencies of a peer on the endpoint that it belongs to. */
export interface PeerHost extends OpenFrame {
  /** Endpoint of this process: `<id>.<nonce>`. */
  readonly endpoint: string;
  /** True if frames can be sent. */
  readonly connected: boolean;
  /** Size of the largest payload, answer or item, in bytes. */
  readonly payloadLimit: number;
  /** Limits how many bursts of stream items this endpoint sends in one turn of the event loop. */
  readonly bursts: Bursts;
  /** Calls {@link Peer.flush} when this turn's microtasks have run. */
  scheduleFlush(peer: Peer): void;
  /** Sends a frame with these items and returns it, in a form to be `kept`. Throws if it cannot be sent. */
  publish(peer: Peer, frame: SentFrame, items: string, kept: boolean): string | Uint8Array;
  /**
   * Called when a frame with answers has been sent. `until`: for repeated answers, when to give them up, by the
   * monotonic clock.
   */
  answersSent(peer: Peer, seq: number, frame: string | Uint8Array, until?: number): void;
  /** Returns the time by the monotonic clock, in ms. */
  now(): number;
  /** Reports an error that no caller waits for. */
  fault(during: string, error: unknown): void;
}

/** Identity of a peer within an endpoint. */
export interface PeerIdentity {
  /** This process's number for the peer, which stands in bounce subjects. */
  readonly slot: number;
  /** Number after which the numbers of frames to the peer begin. */
  readonly after: number;
  /** True if the peer may have been known before, and forgotten. */
  readonly forgotten: boolean;
}

/** Writes its items when a turn ends. */
interface LateWriter {
  write(writer: FrameWriter): void;
}

/** One other process, as this one sees it. */
export class Peer {
  /** `<id>.<nonce>`. */
  readonly endpoint: string;
  /** Id of the node behind the peer. */
  readonly node: string;
  /** Prefix of the names of the peer's requests to this process; frame and place follow. */
  readonly theirCalls: string;
  /** This process's number for the peer, which stands in bounce subjects. */
  readonly slot: number;
  /** Subject of frames to the peer. */
  readonly subject: string;
  /** Prefix of the bounce subjects of frames to the peer; the frame's number follows. */
  readonly bounces: string;
  /** Requests of this process to the peer. */
  readonly ledger: RequestLedger;
  readonly received: ReceivedFrames;
  readonly lateness: Lateness = new Lateness();
  /** The peer's requests to this process. */
  readonly running: RunningRequests = new RunningRequests();
  /** Arrival of the peer's last frame, by the monotonic clock; -1: never, or not since a frame to the peer bounced. */
  lastSeenAt = -1;
  /** Lateness of the peer's last frame, in ms. */
  late = 0;
  /** Time of the first bounce since the peer was last seen, by the monotonic clock; -1: none. */
  bouncedAt = -1;
  /** Number of the last frame that bounced: later frames may well have arrived. */
  bouncedSeq = 0;
  /** Time at which the oldest unanswered ping was sent; -1: none. */
  pingedAt = -1;
  /** Time at which the last ping was sent. */
  lastPingAt = -1;
  /**
   * Time of the peer's quickest pong, in ms; it grows slowly when pongs become slower: the peer may be busy, not far
   * away.
   */
  #quickest = Infinity;
  /** The ping whose pong is being timed. */
  #timed: { readonly n: number; readonly at: number } | undefined;
  /** Time at which answers were last sent to the peer again at its request, by the monotonic clock; -1: never. */
  answeredAgainAt = -1;
  /** Highest frame number that the peer's pongs have reported missing. */
  lostUpTo = 0;
  /**
   * True if the peer leaves: it answers or refuses all requests that have reached it, though the bounce of a later
   * frame may come first.
   */
  leaving = false;
  /** The peer's load in its last pong: requests in flight plus queued. */
  load = 0;

  readonly #host: PeerHost;
  readonly #writer: FrameWriter;
  readonly #late: LateWriter[] = [];
  /** The gathered requests of the next frame. */
  #calls: Call[] = [];
  /** Number of the last frame. */
  #seq: number;
  #pings = 0;
  #versionsSent = false;
  #flushScheduled = false;
  /** Answers and other items that wait for the connection, by frame. */
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

  /** Size of the largest item of a stream, in bytes. */
  get payloadLimit(): number {
    return this.#host.payloadLimit;
  }

  /** Limits how many bursts of stream items this process sends in one turn. */
  get bursts(): Bursts {
    return this.#host.bursts;
  }

  /** Number of the last frame that was sent to the peer. */
  get seq(): number {
    return this.#seq;
  }

  /** True if nothing is under way in either direction, so that the peer may be forgotten. */
  get idle(): boolean {
    return this.ledger.outstanding === 0 && this.running.none && !this.#flushScheduled &&
      this.#offline.length === 0;
  }

  /** Puts a request into the next frame. `ttl`: the rest of its time, in ms. */
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

  /** Removes a call from the ledger: no answer to it is awaited any more. */
  settle(call: Call): void {
    this.ledger.settle(call);
  }

  /** Sends a cancellation, because the caller has given up. A gathered call is cancelled after its frame is sent. */
  cancel({ frame, index }: Call): void {
    if (frame !== undefined) this.add(["c", frame.seq, index]);
  }

  /** Sends the progress of a stream's reader to the peer that feeds the stream. */
  word({ frame, index }: Call, consumed: number, received: number, again: boolean): void {
    if (frame === undefined) return;
    const word: WordItem = ["w", frame.seq, index, consumed, received];
    if (again) word.push(1);
    this.add(word);
  }

  /** Has `later` write its items into the next frame, when the turn ends. */
  gather(later: LateWriter): void {
    this.#late.push(later);
    this.#schedule();
  }

  /**
   * Called when frames may have been lost, in either direction: the readers of the peer's streams report their
   * progress.
   */
  doubt(): void {
    if (this.ledger.outstanding === 0) return;
    for (const frame of this.ledger.sent.values()) {
      for (const call of frame.calls) if (call.frame === frame) call.request.items?.doubt(call);
    }
  }

  /**
   * Takes back the sent calls for which `may` returns true: they go elsewhere although this peer may have received
   * them.
   */
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
   * Asks whether the peer is alive and which frames it has received, and for its last answers `again`; lists the peer's
   * frames that are missing here, to get their answers. Returns the number of the last frame that was sent.
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

  /** Takes the time of the pong to ping `n`, for {@link Peer.patience}. */
  ponged(n: number): void {
    if (n !== this.#timed?.n) return;
    this.#quickest = Math.min(this.#host.now() - this.#timed.at, SLOWER * this.#quickest + 1);
    this.#timed = undefined;
  }

  /** How long the peer may leave a ping unanswered until it is suspect, in ms: longer over a slow link. */
  get patience(): number {
    const far = this.#quickest < Infinity ? 2 * this.#quickest : 0;
    return Math.min(Math.max(SILENT_FOR, far), LONGEST_SILENCE);
  }

  /**
   * Answers a ping. `lacking`: the ping listed missing frames, so its sender has to know which of its requests are in
   * hand.
   */
  pong(n: number, load: readonly [number, number], lacking = false): void {
    const pong: PongItem = ["o", n, this.received.upTo, this.received.report(), [...load]];
    const inHand = lacking ? this.running.places : undefined;
    // if the list is too long for a frame, the callers notice lost answers at their deadlines
    if (inHand !== undefined && inHand.length * LONGEST_PLACE <= this.#host.frameLimit) pong.push(inHand);
    this.add(pong);
  }

  /**
   * Sends the versions of the protocol that this process speaks; only once, because two versions would answer each
   * other for ever.
   */
  versions(versions: readonly number[]): void {
    if (this.#versionsSent) return;
    this.#versionsSent = true;
    this.add(["v", ...versions]);
  }

  /**
   * Sends the gathered items as one frame, to be written `now` or at the end of the turn. While disconnected, requests
   * go back to their owner, and answers wait.
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

  /** Sends answers again. `until`: when to give them up, by the monotonic clock. */
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
    // the callers of these calls gave up after the calls were gathered
    for (const { done, index } of calls) if (done) this.add(["c", seq, index]);
  }

  #schedule(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    this.#host.scheduleFlush(this);
  }
}

/**
 * Maximum number of commands of entities in a frame: the receiving node and the server take many times as long for a
 * command as its sender, and begin with the first command while the sender goes on (docs/internals/measurements.md).
 */
const MOST_COMMANDS = 32;
/** Time without an answer that makes a nearby process suspect, in ms. */
const SILENT_FOR = 500;
/** Time without an answer that makes any process suspect, in ms, however slow the link. */
const LONGEST_SILENCE = 3_000;
/** Factor by which the quickest pong may grow with each slower one. */
const SLOWER = 1.01;
/** Maximum length of a place as text: the characters of a frame's number, and a comma. */
const LONGEST_PLACE = 17;

/** Returns the meta of a call as text; `undefined` if all of it is default. */
function metaText(call: Call): string | undefined {
  if (call.request.meta === undefined && call.attempt === 1) return undefined;
  return JSON.stringify({ ...call.meta, attempt: call.attempt === 1 ? undefined : call.attempt });
}
