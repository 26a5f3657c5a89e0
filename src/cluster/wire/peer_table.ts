/**
 * The other processes that this one exchanges frames with, as many as fit into the memory: forged senders must not fill
 * it.
 */
import type { Clock, Random } from "../../ports/clock.ts";
import type { Peer, PeerIdentity } from "./peer.ts";
import { answersIn } from "./frame.ts";
import { isWithin, MAX_GAPS } from "./received_frames.ts";

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
   * Where the numbers of frames to a new peer begin: at a random place, so that nobody can guess which answers it may
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

/** What a resend buffer needs of the endpoint that it belongs to. */
interface ResendBufferOptions {
  readonly clock: Clock;
  /** Whether frames can be sent. */
  connected(): boolean;
  /** Whether this is still the peer of its endpoint: it may have been forgotten. */
  isCurrent(peer: Peer): boolean;
}

/** The last answers of one process, to all others: at most 256 frames, and about 4 MiB. */
export class ResendBuffer {
  readonly #options: ResendBufferOptions;
  /** In the order in which they were sent, from `#first` on; `undefined` for those that have bounced. */
  readonly #last: (SentAnswers | undefined)[] = [];
  /** Those before it are forgotten: a shift at each frame costs as much as all the rest (measured). */
  #first = 0;
  /** The length of all of them. */
  #size = 0;
  /** Those that are to be sent again. */
  #due: SentAnswers[] = [];
  #timerSet = false;

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

  /** The connection is back: sends everything again, for it may be lost. Receivers ignore duplicates. */
  resume(): void {
    this.#due.push(...this.#last.splice(0).filter((sent) => sent !== undefined));
    this.#size = this.#first = 0;
    if (this.#due.length > 0) this.#resend();
  }

  /**
   * That process has reconnected: answers to it may have been lost on its way, without a bounce. Sends them again, once
   * a second at most.
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
   * That process has not received the frames in these ranges, `[from, to, from, to, …]`: sends the answers in them
   * again. Looks at no more ranges than a process keeps.
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
    if (this.#timerSet) return;
    this.#timerSet = true;
    this.#options.clock.after(PAUSE, () => {
      this.#timerSet = false;
      this.#resend();
    }, { background: true });
  }

  #resend(): void {
    const { clock, connected, isCurrent } = this.#options;
    const now = clock.monotonic();
    this.#due = this.#due.filter(({ peer, until }) => now < until && isCurrent(peer));
    if (connected()) {
      for (const { peer, frame, until } of this.#due.splice(0)) {
        peer.resend(answersIn(frame), until);
      }
    } else if (this.#due.length > 0) this.#wait();
  }
}

const KEPT = 256; // frames: a bounce comes within ms
const MOST = 4_194_304; // length of all of them: 256 frames of a megabyte would fill the memory
const MOST_RANGES = 4 * MAX_GAPS; // numbers: the gaps that may still be filled, and those that were reported
const PAUSE = 250; // ms between two attempts, as between two of a connection
const AGAIN_EVERY = 1_000; // ms: anybody may ask
const GIVE_UP = 10_000; // ms: a caller that stays away longer has counted this node as gone, or is gone itself
