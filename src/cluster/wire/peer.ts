/**
 * A peer: another process as this one sees it. The peer records when the process was last seen and the frames received
 * from it, and pings it. Its `FrameSender` gathers the outgoing frames; requests without an answer are in its ledger.
 * The `PeerTable` has all peers of this process.
 */
import { Bounces, LONGEST_SILENCE, SILENT_FOR } from "../../ports/evidence_of_life.ts";
import { type Call, callPrefix } from "./call.ts";
import { nodeOf } from "../../contract/nodes/subjects.ts";
import type { PingItem, PongItem, ProgressItem } from "./frame.ts";
import { FrameSender, type SendTurn } from "./frame_sender.ts";
import { Lateness, ReceivedFrames } from "./received_frames.ts";
import { RequestLedger, RunningRequests } from "./request_ledger.ts";
import type { Random } from "../../ports/clock.ts";

/** Numbers that identify a peer within its endpoint. */
export interface PeerIdentity {
  /**
   * Number that this process has given the peer; it is part of the reply subjects of frames to the peer, on which the
   * server reports frames that bounced.
   */
  readonly slot: number;
  /** The first frame to the peer gets the number that follows this one. */
  readonly after: number;
  /** True if frames may have been exchanged with the peer before, and it was forgotten. */
  readonly forgotten: boolean;
}

/**
 * A peer: another process with which this process exchanges frames, as this process sees it.
 * @decides one other process as this process sees it: when it was last heard, when it is pinged because of silence
 */
export class Peer {
  /** Endpoint of the peer: its node's id, a dot, and a nonce. */
  readonly endpoint: string;
  /** Id of the node behind the peer. */
  readonly node: string;
  /**
   * Prefix of the names of the peer's requests to this process; the frame's number and the place in the frame follow.
   */
  readonly theirCalls: string;
  /**
   * Number that this process has given the peer; it is part of the reply subjects of frames to the peer, on which the
   * server reports frames that bounced.
   */
  readonly slot: number;
  /** Requests of this process to the peer that have no answer yet. */
  readonly ledger: RequestLedger;
  /** Sends this process's frames to the peer. */
  readonly outgoing: FrameSender;
  readonly received: ReceivedFrames;
  readonly lateness: Lateness = new Lateness();
  /** The peer's requests that run or wait in this process. */
  readonly running: RunningRequests = new RunningRequests();
  /**
   * Time at which the peer's last frame arrived, by the monotonic clock; -1: none has, or none since a frame to the
   * peer bounced.
   */
  lastSeenAt = -1;
  /** Lateness of the peer's last frame, in ms: how much longer its way took than that of the fastest frame. */
  late = 0;
  /** Frames that have bounced since the peer was last seen. */
  readonly bounces: Bounces = new Bounces();
  /** Number of the last frame to the peer that bounced; frames sent after it may have arrived. */
  bouncedSeq = 0;
  /** Time at which the oldest unanswered ping to the peer was sent, by the monotonic clock; -1: none. */
  pingedAt = -1;
  /** Time at which the last ping to the peer was sent, by the monotonic clock. */
  lastPingAt = -1;
  /**
   * Shortest time in which the peer has answered a ping, in ms. A slower pong makes the value grow by 1 % at most: a
   * slow pong may come from a busy peer over a quick link. `Infinity`: no pong has come.
   */
  #quickest = Infinity;
  /** Number of the ping whose answer is being timed, and the time at which it was sent. */
  #timed: { readonly n: number; readonly at: number } | undefined;
  /** Highest frame number that the peer's pongs have reported missing. */
  lostUpTo = 0;
  /**
   * True if the peer is leaving the cluster: it answers or refuses all requests that have reached it, although the
   * bounce of a later frame may come first.
   */
  leaving = false;
  /** Load that the peer's last pong reported: requests in flight plus queued. */
  load = 0;
  /** The turn in which this process gathers frames, with its limits. */
  readonly turn: SendTurn;
  #pings = 0;
  #versionsSent = false;

  /** `own`: endpoint of this process. `subject`, `bounces`: see {@link FrameSender}. */
  constructor(
    turn: SendTurn,
    own: string,
    endpoint: string,
    { slot, after, forgotten, subject, bounces }: PeerIdentity & { subject: string; bounces: string },
  ) {
    this.turn = turn;
    this.endpoint = endpoint;
    this.node = nodeOf(endpoint);
    this.theirCalls = callPrefix(endpoint, own);
    this.slot = slot;
    this.ledger = new RequestLedger(this.node, callPrefix(own, endpoint));
    this.outgoing = new FrameSender(turn, this.ledger, { endpoint, subject, bounces, after });
    this.received = new ReceivedFrames({ forgotten });
  }

  /**
   * True if no request of either process is unanswered and nothing waits to be sent to the peer, so that the peer may
   * be forgotten.
   */
  get idle(): boolean {
    return this.ledger.outstanding === 0 && this.running.none && this.outgoing.idle;
  }

  /** Adds a request to the next frame to the peer. `ttl`: the time until its deadline, in ms. */
  request(call: Call, ttl: number): void {
    call.peer = this;
    call.at = this.node;
    this.ledger.outstanding++;
    this.ledger.requested++;
    this.outgoing.request(call, ttl);
  }

  /** Removes a call from the ledger (list of unanswered requests): no answer to the call is awaited any more. */
  settle(call: Call): void {
    this.ledger.settle(call);
  }

  /**
   * Sends a cancellation of a call, because its caller has given up. A call that is gathered but not sent is
   * cancelled after its frame was sent.
   */
  cancel({ frame, index }: Call): void {
    if (frame !== undefined) this.outgoing.add(["c", frame.seq, index]);
  }

  /** Sends the progress of a stream's reader (items consumed and received) to the peer that feeds the stream. */
  reportProgress({ frame, index }: Call, consumed: number, received: number, again: boolean): void {
    if (frame === undefined) return;
    const report: ProgressItem = ["w", frame.seq, index, consumed, received];
    if (again) report.push(1);
    this.outgoing.add(report);
  }

  /**
   * Makes this process's readers of streams that the peer sends report their progress, so that lost items are sent
   * again. Called when frames to or from the peer may have been lost.
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
      // an idempotent command is cancelled as moved: if a handler of the peer has acquired the claim (record that
      // reserves the command's id), that handler goes on, and the node to which the call moves waits for its result
      if (!call.request.contract.options.idempotent) this.cancel(call);
      else if (call.frame !== undefined) this.outgoing.add(["c", call.frame.seq, call.index, 1]);
      return true;
    });
  }

  /**
   * Pings the peer: asks if it is alive and which frames it has received. `again`: also asks for its last answers
   * again. The ping lists the peer's frames that have not arrived in this process, to get the answers in them. Returns
   * the number of the last frame sent to the peer.
   */
  ping({ again = false }: { readonly again?: boolean } = {}): number {
    const now = this.turn.now();
    if (this.pingedAt < 0) this.pingedAt = now;
    this.lastPingAt = now;
    const { seq } = this.outgoing;
    const n = ++this.#pings;
    if (this.#timed === undefined || now - this.#timed.at > LONGEST_SILENCE) this.#timed = { n, at: now };
    const missing = this.received.ask(n);
    const ping: PingItem = ["p", n];
    if (again || missing.length > 0) ping.push(again ? 1 : 0);
    if (missing.length > 0) ping.push(missing);
    this.outgoing.add(ping);
    return seq;
  }

  /** Measures how long the peer took to answer ping `n`, for {@link Peer.patience}. */
  ponged(n: number): void {
    if (n !== this.#timed?.n) return;
    this.#quickest = Math.min(this.turn.now() - this.#timed.at, SLOWER * this.#quickest + 1);
    this.#timed = undefined;
  }

  /** Time for which the peer may leave a ping unanswered until it is suspect, in ms; longer over a slow link. */
  get patience(): number {
    const far = this.#quickest < Infinity ? 2 * this.#quickest : 0;
    return Math.min(Math.max(SILENT_FOR, far), LONGEST_SILENCE);
  }

  /**
   * Answers ping `n` of the peer. `lacking`: true if the ping listed missing frames: its sender must then know which of
   * its requests run or wait in this process.
   */
  pong(n: number, load: readonly [number, number], lacking = false): void {
    const pong: PongItem = ["o", n, this.received.upTo, this.received.report(), [...load]];
    const inHand = lacking ? this.running.places : undefined;
    // if the list is too long for a frame, the callers notice lost answers at their deadlines
    if (inHand !== undefined && inHand.length * LONGEST_PLACE <= this.turn.frameLimit) pong.push(inHand);
    this.outgoing.add(pong);
  }

  /**
   * Sends the protocol versions that this process speaks, once only: otherwise two processes of different versions
   * would answer each other for ever.
   */
  versions(versions: readonly number[]): void {
    if (this.#versionsSent) return;
    this.#versionsSent = true;
    this.outgoing.add(["v", ...versions]);
  }
}

/** Factor by which the remembered shortest time of a pong may grow with each slower pong. */
const SLOWER = 1.01;
/** Maximum length of one element in a pong's list of requests, as text: the digits of a frame's number, and a comma. */
const LONGEST_PLACE = 17;

/**
 * Finds, makes and forgets the peers of one process: other processes with which it exchanges frames. Their number is
 * limited, so that forged senders cannot fill the memory.
 */
export class PeerTable {
  readonly #random: Random;
  readonly #make: (endpoint: string, identity: PeerIdentity) => Peer;
  readonly #peers: Map<string, Peer> = new Map();
  readonly #bySlot: Map<number, Peer> = new Map();
  #slots = 0;
  /** True if peers have been forgotten: a peer that is made now may be one of the forgotten ones. */
  #forgot = false;
  /**
   * Highest number of a frame that was sent to a forgotten peer. If the next frame to it had a lower number, the peer
   * would ignore it as an old frame.
   */
  #forgottenSeq = 0;
  /** Number of peers at which some are forgotten. */
  #room = MAX_PEERS;

  /** `make`: makes the peer for an endpoint. */
  constructor(random: Random, make: (endpoint: string, identity: PeerIdentity) => Peer) {
    this.#random = random;
    this.#make = make;
  }

  /** Returns all peers. */
  values(): Iterable<Peer> {
    return this.#peers.values();
  }

  /** Returns the peer with this endpoint; `undefined`: no frames were exchanged with it. */
  find(endpoint: string): Peer | undefined {
    return this.#peers.get(endpoint);
  }

  /** Returns the peer to which this process has given this number; `undefined`: none. */
  bySlot(slot: number): Peer | undefined {
    return this.#bySlot.get(slot);
  }

  /**
   * Returns the peer with this endpoint, making it if there is none. If there are too many peers, others are forgotten.
   */
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
   * Returns a number for a new peer, whose first frame gets the next number: random, so that nobody can guess which
   * requests the peer may answer. It is above the numbers used for forgotten peers, in a small part of the remaining
   * range, so that the range lasts however many peers are forgotten.
   */
  #begin(): number {
    const range = (HIGHEST_BEGIN - this.#forgottenSeq) / (this.#forgot ? 65_536 : 16);
    return this.#forgottenSeq + Math.floor(this.#random() * range);
  }

  /** Forgets peers that have nothing under way, beginning with the peer that was last seen the longest ago. */
  #forget(): void {
    const idle = [...this.#peers.values()].filter((peer) => peer.idle).sort((a, b) => a.lastSeenAt - b.lastSeenAt);
    for (const peer of idle.slice(0, MAX_PEERS / 2)) {
      this.#peers.delete(peer.endpoint);
      this.#bySlot.delete(peer.slot);
      this.#forgot = true;
      this.#forgottenSeq = Math.max(this.#forgottenSeq, peer.outgoing.seq);
    }
    // if most peers are busy, the limit grows, so that they are not all checked at every message
    this.#room = Math.max(MAX_PEERS, 2 * this.#peers.size);
  }
}

/** Number of peers at which some are forgotten. */
export const MAX_PEERS = 4_096;
/** Limit of the random start; the numbers from it to the highest safe integer, 2^53 - 1, remain for frames. */
const HIGHEST_BEGIN = 2 ** 52;
