/**
 * One other process: when it was last seen, what has been received from it, and what is gathered for it, which is sent as
 * one frame when the turn of the event loop ends. Requests on their way to it are in its ledger.
 */
import { isCatgaError } from "../../error.ts";
import type { Dropped } from "../../dispatch/admission_queue.ts";
import { type Call, callPrefix, SentFrame } from "./call.ts";
import { nodeOf } from "./frame.ts";
import {
  bouncesItem,
  cancelItem,
  failureItem,
  FrameWriter,
  gapItem,
  handledItem,
  movedItem,
  type OpenFrame,
  pingItem,
  pongItem,
  refusalItem,
  statsItem,
  versionsItem,
} from "./frame_writer.ts";
import { Lateness } from "./lateness.ts";
import { ReceivedFrames } from "./received_frames.ts";
import { RequestLedger } from "./request_ledger.ts";
import { RunningRequests } from "./running_requests.ts";

/** What a peer needs of the endpoint that it belongs to. */
export interface PeerHost extends OpenFrame {
  /** This process: `<id>.<nonce>`. */
  readonly endpoint: string;
  /** Whether frames can be sent. */
  readonly connected: boolean;
  /** Calls {@link Peer.flush} when this turn's microtasks have run. */
  scheduleFlush(peer: Peer): void;
  /** Sends a frame with these items and returns it, in a form to be `kept`. Throws when it cannot be sent. */
  publish(peer: Peer, frame: SentFrame, items: string, kept: boolean): string | Uint8Array;
  /** A frame with answers has been sent. `until`: when to give them up, by the monotonic clock, if they were sent before. */
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

/** One other process. */
export class Peer {
  /** `<id>.<nonce>`. */
  readonly endpoint: string;
  /** The id of the node behind it. */
  readonly node: string;
  /** What the names of its requests to this process begin with; frame and place follow. */
  readonly theirCalls: string;
  /** This process's number for it, which stands in bounce subjects. */
  readonly slot: number;
  /** Where frames to it are published. */
  readonly subject: string;
  /** What the bounce subjects of frames to it begin with; the frame's number follows. */
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
  /** When it last got its answers again because it asked for them, by the monotonic clock; -1 for never. */
  answeredAgainAt = -1;
  /** It leaves: what has reached it is answered or refused, though the bounce of a later frame may come first. */
  leaving = false;
  /** Its load in its last pong: in flight and queued. */
  load = 0;

  readonly #host: PeerHost;
  readonly #writer: FrameWriter;
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

  /** The number of the last frame that was sent to it. */
  get seq(): number {
    return this.#seq;
  }

  /** Whether nothing is under way in either direction, so that it may be forgotten. */
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
    this.#schedule();
  }

  /** No answer to this call is awaited any more. */
  settle(call: Call): void {
    this.ledger.settle(call);
  }

  /** Sends a cancellation: the caller has given up. That of a call that is gathered follows when its frame is sent. */
  cancel({ frame, index }: Call): void {
    if (frame !== undefined) this.#item(cancelItem(frame.seq, index));
  }

  /** Takes back the sent calls that `may` go elsewhere although this process may have received them. */
  release(may: (call: Call) => boolean): void {
    this.ledger.release(may, (call) => {
      // a run of an idempotent command that has the claim goes on: the other node waits for its result
      if (!call.request.contract.options.idempotent) this.cancel(call);
      else if (call.frame !== undefined) this.#item(movedItem(call.frame.seq, call.index));
    });
  }

  /** Answers the request at this place with a value as JSON; `undefined` for `undefined`. */
  answer(seq: number, index: number, text: string | undefined): void {
    this.#writer.answer(seq, index, text);
    this.#schedule();
  }

  /** Answers the request at this place with an error as JSON. */
  failure(seq: number, index: number, text: string): void {
    this.#item(failureItem(seq, index, text), true);
  }

  /** Refuses the request at this place: it will not run here. */
  refuse(seq: number, index: number, code: Dropped | "NO_HANDLER"): void {
    this.#item(refusalItem(seq, index, code), true);
  }

  /** Says that this process leaves: a refusal of no request, which older versions ignore. */
  leave(): void {
    this.#item(refusalItem(0, 0, "DRAINING"));
  }

  /**
   * Asks whether it is alive and which frames it has received, and for its last answers `again`; lists the frames of it that
   * are missing here, with the answers in them. Returns the sequence of the frame that is open.
   */
  ping(again = false): number {
    const now = this.#host.now();
    if (this.pingedAt < 0) this.pingedAt = now;
    this.lastPingAt = now;
    const { seq } = this;
    const n = ++this.#pings;
    this.#item(pingItem(n, again, this.received.ask(n)));
    return seq;
  }

  /** Answers a ping; `lacking`: it listed missing frames, so that its sender has to know which of its requests are in hand. */
  pong(n: number, load: readonly [number, number], lacking = false): void {
    const inHand = lacking ? this.running.places : undefined;
    // too many for a frame: the answers that were lost are then noticed at their deadlines
    const fits = inHand !== undefined && inHand.length * LONGEST_PLACE <= this.#host.frameLimit;
    this.#item(pongItem(n, this.received, load, fits ? inHand : undefined));
  }

  /** Asks it to check whether frames to another process bounce on its server, too. */
  accuse(endpoint: string, server: string): void {
    this.#item(bouncesItem(endpoint, server));
  }

  /** Asks it whether it has seen a node that handles this contract. */
  ask(name: string): void {
    this.#item(handledItem(name));
  }

  /** Answers that a node handled this contract, which this process remembers for `left` ms more. */
  reportGap(name: string, left: number): void {
    this.#item(gapItem(name, left));
  }

  /** Answers what was counted, as JSON. */
  tellStats(n: number, stats: string): void {
    this.#item(statsItem(n, stats));
  }

  /** Sends the versions of the protocol that this process speaks; once, or two versions would answer each other for ever. */
  versions(versions: readonly number[]): void {
    if (this.#versionsSent) return;
    this.#versionsSent = true;
    this.#item(versionsItem(versions));
  }

  /** Sends what is gathered as one frame. While disconnected requests go back to their owner, and answers wait. */
  flush(): void {
    this.#flushScheduled = false;
    const calls = this.#calls;
    this.#calls = [];
    const { requests, others: items, answering } = this.#writer.take();
    if (!this.#host.connected) {
      if (items !== "") this.#offline.push({ items, answering });
      for (const call of calls) if (!call.done) this.ledger.disconnected(call);
      return;
    }
    if (calls.length > 0 || items !== "") this.#send(calls, requests, items, answering);
  }

  /** The connection is back: sends the answers that waited for it. */
  resume(): void {
    for (const { items, answering } of this.#offline.splice(0)) this.#send([], "", items, answering);
  }

  /** Sends answers again; `until`: when they are given up, by the monotonic clock. */
  resend(answers: string, until: number): void {
    this.#send([], "", answers, true, until);
  }

  #send(calls: readonly Call[], requests: string, items: string, answering: boolean, until?: number): void {
    const seq = ++this.#seq;
    const frame = new SentFrame(seq, calls, this.#host.now());
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
    for (const { done, index } of calls) if (done) this.#item(cancelItem(seq, index));
  }

  #item(text: string, answering = false): void {
    this.#writer.item(text, answering);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    this.#host.scheduleFlush(this);
  }
}

/** The characters of a frame's number, and a comma. */
const LONGEST_PLACE = 17;

/** What is not default about a call; `undefined` when all of it is. */
function metaText(call: Call): string | undefined {
  if (call.request.meta === undefined && call.attempt === 1) return undefined;
  return JSON.stringify({ ...call.meta, attempt: call.attempt === 1 ? undefined : call.attempt });
}
