/** One other process: the ledger of what is on its way to it, of what has left and is unanswered, and of what came from it. */
import { type CatgaError, isCatgaError } from "../../error.ts";
import type { Dropped } from "../../dispatch/admission_queue.ts";
import { type Call, type RefusalCode, SentFrame } from "./call.ts";
import { type AnswersItem, nodeOf } from "./frame.ts";
import { FrameRing } from "./frame_ring.ts";
import {
  bouncesItem,
  cancelItem,
  failureItem,
  FrameWriter,
  movedItem,
  pingItem,
  pongItem,
  refusalItem,
  versionsItem,
} from "./frame_writer.ts";
import { ReceivedFrames } from "./received_frames.ts";
import { Lateness } from "./lateness.ts";

/** What a peer needs of the endpoint that it belongs to. */
export interface PeerHost {
  /** This process: `<id>.<nonce>`. */
  readonly endpoint: string;
  /** Frames may leave. */
  readonly connected: boolean;
  /** Largest text of a frame, in UTF-16 code units, before another one is begun. */
  readonly frameLimit: number;
  /** Sees to it that {@link Peer.flush} is called when this turn's microtasks have run. */
  dirty(peer: Peer): void;
  /** Hands a frame with these items to the network, and gives it as it was, to be `kept`. Throws when it cannot. */
  publish(peer: Peer, frame: SentFrame, items: string, kept: boolean): string | Uint8Array;
  /** Notes a frame with answers that has left; `until` of those that leave again. */
  answering(peer: Peer, seq: number, frame: string | Uint8Array, until?: number): void;
  /** The monotonic clock, in ms. */
  now(): number;
  /** Something went wrong that nobody waits for. */
  fault(during: string, error: unknown): void;
}

/** The requests of one frame of the peer's that run or wait for their turn, by their place in it. */
export interface RunningFrame {
  readonly seq: number;
  readonly asked: ({ abort(reason: CatgaError): void } | undefined)[];
  open: number;
}

/** One other process. */
export class Peer {
  /** `<id>.<nonce>`. */
  readonly endpoint: string;
  /** The id of the node behind it. */
  readonly node: string;
  /** What the names of requests to it begin with; place and frame follow. */
  readonly ourCalls: string;
  /** What the names of its requests to this process begin with. */
  readonly theirCalls: string;
  /** This sender's number for it, as it stands in the bounce subject. */
  readonly slot: number;
  /** Where its frames go. */
  readonly subject: string;
  /** What the bounce subjects of its frames begin with; the frame's number follows. */
  readonly bounces: string;
  readonly heard: ReceivedFrames;
  readonly lateness: Lateness = new Lateness();
  readonly sent: FrameRing<SentFrame> = new FrameRing();
  readonly running: FrameRing<RunningFrame> = new FrameRing();
  /** When anything of it last arrived, by the monotonic clock; -1 for never, or not since a frame to it bounced. */
  heardAt = -1;
  /** When the first of the frames bounced that have since it was last heard, by the monotonic clock; -1 for none. */
  bouncedAt = -1;
  /** The last frame that bounced: what left after it may well have arrived. */
  bouncedSeq = 0;
  /** When the oldest ping that nothing answered was sent; -1 for none. */
  pingedAt = -1;
  /** When the last ping was sent. */
  lastPingAt = -1;
  /** Requests that have no result. */
  outstanding = 0;
  /** Its load in its last pong: in flight and queued. */
  load = 0;

  readonly #host: PeerHost;
  #seq: number;
  #toldVersions = false;
  #pings = 0;
  #calls: Call[] = [];
  readonly #writer = new FrameWriter();
  /** Answers that wait for the connection, a frame's worth each. */
  readonly #held: { readonly answers: string; readonly answering: boolean }[] = [];
  #waiting = false;

  /** `after`: its frames' numbers begin behind this one; with `forgotten` it may have been known before. */
  constructor(
    host: PeerHost,
    endpoint: string,
    options: { slot: number; subject: string; bounces: string; after: number; forgotten: boolean },
  ) {
    this.#host = host;
    this.endpoint = endpoint;
    this.node = nodeOf(endpoint);
    this.ourCalls = callPrefix(host.endpoint, endpoint);
    this.theirCalls = callPrefix(endpoint, host.endpoint);
    this.slot = options.slot;
    this.subject = options.subject;
    this.bounces = options.bounces;
    this.#seq = options.after;
    this.heard = new ReceivedFrames({ forgotten: options.forgotten });
  }

  /** The number of the last frame that left for it. */
  get seq(): number {
    return this.#seq;
  }

  /** Whether nothing is under way either way, so that it may be forgotten. */
  get idle(): boolean {
    return this.outstanding === 0 && this.running.size === 0 && !this.#waiting && this.#held.length === 0;
  }

  /** Puts a request into the next frame. `ttl`: what is left of its time, in ms. */
  request(call: Call, ttl: number): void {
    const { text, request: { contract: { name } } } = call;
    const meta = metaText(call);
    const length = (text === undefined ? 0 : text.length) + (meta === undefined ? 0 : meta.length);
    if (this.#calls.length >= MAX_REQUESTS || this.#writer.length + length > this.#host.frameLimit) this.flush();
    this.#writer.request(name, ttl, text, meta);
    call.peer = this;
    call.at = this.node;
    call.index = this.#calls.length;
    this.#calls.push(call);
    this.outstanding++;
    this.#dirty();
  }

  /** It has answered requests of ours. */
  answered(item: AnswersItem): void {
    const frame = this.sent.get(item[1]);
    if (frame === undefined) return;
    const first = item[2];
    // one without a value is an answer that is `undefined`
    const count = Math.max(1, item.length - 3);
    for (let i = 0; i < count; i++) {
      const call: Call | undefined = frame.calls[first + i];
      if (call?.frame !== frame) continue;
      this.settle(call);
      call.owner.answered(call, { ok: true, value: item[3 + i] });
    }
  }

  /** It owes this call no answer any more. */
  settle(call: Call): void {
    this.outstanding--;
    const { frame } = call;
    call.peer = call.frame = undefined;
    if (frame !== undefined && --frame.open === 0) this.sent.delete(frame.seq);
  }

  /** Tells it that the caller has given up. A call that has not left yet is followed by this when it has. */
  cancel({ frame, index }: Call): void {
    if (frame !== undefined) this.#item(cancelItem(frame.seq, index));
  }

  /** Tells it that another node is asked: of an idempotent command the run that has the claim goes on. */
  #moved(call: Call): void {
    const { frame, index, request: { contract } } = call;
    if (!contract.options.idempotent) this.cancel(call);
    else if (frame !== undefined) this.#item(movedItem(frame.seq, index));
  }

  /** Answers the request at this place with a value as JSON; `undefined` for `undefined`. */
  answer(seq: number, index: number, text: string | undefined): void {
    if (text !== undefined && this.#writer.length + text.length > this.#host.frameLimit) this.flush();
    this.#writer.answer(seq, index, text);
    this.#dirty();
  }

  /** Answers the request at this place with an error as JSON. */
  failure(seq: number, index: number, text: string): void {
    this.#item(failureItem(seq, index, text), true);
  }

  /** Refuses the request at this place: it will not run here. */
  refuse(seq: number, index: number, code: Dropped | "NO_HANDLER"): void {
    this.#item(refusalItem(seq, index, code), true);
  }

  /** Asks whether it is alive and what it has heard. */
  ping(): void {
    const now = this.#host.now();
    if (this.pingedAt < 0) this.pingedAt = now;
    this.lastPingAt = now;
    this.#item(pingItem(++this.#pings));
  }

  /** Answers a ping. */
  pong(n: number, load: readonly [number, number]): void {
    this.#item(pongItem(n, this.heard, load));
  }

  /** Has it look whether frames to another process bounce on its server, too. */
  accuse(endpoint: string, server: string): void {
    this.#item(bouncesItem(endpoint, server));
  }

  /** Tells which versions of the protocol are spoken here; once, or two versions would tell each other for ever. */
  versions(versions: readonly number[]): void {
    if (this.#toldVersions) return;
    this.#toldVersions = true;
    this.#item(versionsItem(versions));
  }

  /** Lets go what has gathered, as one frame. While disconnected requests go back to their owner and answers wait. */
  flush(): void {
    this.#waiting = false;
    const calls = this.#calls;
    this.#calls = [];
    const { requests, others: answers, answering } = this.#writer.take();
    if (!this.#host.connected) {
      if (answers !== "") this.#held.push({ answers, answering });
      for (const call of calls) {
        if (call.done) continue;
        this.#takeBack(call);
        call.at = undefined;
        call.owner.held(call);
      }
      return;
    }
    if (calls.length > 0 || answers !== "") this.#leave(calls, requests, answers, answering);
  }

  /** Lets go the answers that waited for the connection. */
  resume(): void {
    for (const { answers, answering } of this.#held.splice(0)) this.#leave([], "", answers, answering);
  }

  /** Lets go answers whose frame bounced; `until`: when they are given up. */
  again(answers: string, until: number): void {
    this.#leave([], "", answers, true, until);
  }

  #leave(calls: readonly Call[], requests: string, answers: string, answering: boolean, until?: number): void {
    const seq = ++this.#seq;
    const frame = new SentFrame(seq, calls, this.#host.now());
    for (const call of calls) {
      if (call.done) continue;
      call.frame = frame;
      frame.open++;
    }
    if (frame.open > 0) this.sent.add(frame);
    try {
      const left = this.#host.publish(this, frame, requests + answers, answering);
      if (answering) this.#host.answering(this, seq, left, until);
    } catch (error) {
      this.#host.fault(`sending to ${this.endpoint}`, error);
      // the limit may have shrunk at a reconnect
      const tooLarge = calls.length === 1 && isCatgaError(error) && error.code === "TOO_LARGE";
      for (const call of calls) this.refused(call, tooLarge ? "TOO_LARGE" : "BOUNCED");
      return;
    }
    // the callers of those have given up meanwhile
    for (const { done, index } of calls) if (done) this.#item(cancelItem(seq, index));
  }

  /** Everything unanswered in frames before `seq` is lost with the process: it was delivered, or perhaps. */
  lose(seq: number): number {
    let lost = 0;
    for (const frame of this.sent.values()) {
      if (frame.seq >= seq) continue;
      for (const call of frame.calls) {
        if (call.frame !== frame) continue;
        lost++;
        this.#takeBack(call);
        call.owner.lost(call, this.node);
      }
    }
    return lost;
  }

  /** The calls in hand that may go elsewhere although it has, or may have, got them; it is told that nobody waits for them. */
  release(may: (call: Call) => boolean): void {
    for (const frame of this.sent.values()) {
      for (const call of frame.calls) {
        if (call.frame !== frame || !may(call)) continue;
        this.#moved(call);
        this.#takeBack(call);
        call.owner.silent(call, this.node);
      }
    }
  }

  /** The requests of this frame certainly did not run. */
  undeliver(seq: number, code: RefusalCode): void {
    const frame = this.sent.get(seq);
    if (frame === undefined) return;
    for (const call of frame.calls) {
      if (call.frame === frame) this.refused(call, code);
    }
  }

  /** The call at this place of a frame of ours, when it waits for an answer. */
  find(seq: number, index: number): Call | undefined {
    const frame = this.sent.get(seq);
    const call = frame?.calls[index];
    return call?.frame === frame ? call : undefined;
  }

  /** A call that certainly did not run here. */
  refused(call: Call, code: RefusalCode): void {
    if (call.done) return;
    this.#takeBack(call);
    call.at = undefined;
    call.owner.undelivered(call, code, this.node);
  }

  #takeBack(call: Call): void {
    // the name that it had there stays its own
    if (call.frame !== undefined) call.id ??= `${this.ourCalls}${call.frame.seq}.${call.index}`;
    this.settle(call);
  }

  #item(text: string, answering = false): void {
    if (this.#writer.length + text.length > this.#host.frameLimit) this.flush();
    this.#writer.item(text, answering);
    this.#dirty();
  }

  #dirty(): void {
    if (this.#waiting) return;
    this.#waiting = true;
    this.#host.dirty(this);
  }
}

/** Frames are counted for each receiver anew, so its nonce stands in the names of their requests. */
function callPrefix(sender: string, receiver: string): string {
  return `${sender}.${receiver.slice(nodeOf(receiver).length + 1)}.`;
}

/** Requests in a frame; 4,096 was slower by a third to a half, 128 cost (measured). */
const MAX_REQUESTS = 512;

/** What is not default about a call; `undefined` when all of it is. */
function metaText(call: Call): string | undefined {
  const { meta } = call.request;
  if (meta === undefined && call.attempt === 1) return undefined;
  return JSON.stringify({ ...meta, id: call.id, attempt: call.attempt === 1 ? undefined : call.attempt });
}
