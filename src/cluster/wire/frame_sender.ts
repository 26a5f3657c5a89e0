/**
 * Outgoing frames. A `FrameSender` gathers the items for one other process in its next frame; the `SendTurn` of this
 * process publishes the frames of all its senders when the turn of the event loop ends, and limits the items of streams
 * in them. The `ResendBuffer` sends lost answers again.
 */
import { nextTick } from "node:process";
import type { Dropped } from "../../dispatch/admission_queue.ts";
import { payloadLimit } from "../../data/message_room.ts";
import { encode } from "../../data/utf8.ts";
import { isCatgaError } from "../../error.ts";
import type { Transport } from "../../ports/transport.ts";
import { type Call, SentFrame } from "./call.ts";
import { answersIn } from "./frame_reader.ts";
import type { FrameItem } from "./frame.ts";
import { frameLimit, frameText, FrameWriter, type OpenFrame } from "./frame_writer.ts";
import type { RequestLedger } from "./request_ledger.ts";
import type { Bursts } from "../../dispatch/item_ports.ts";
import { Fifo } from "../../data/fifo.ts";
import type { Clock, Timer } from "../../ports/clock.ts";
import { isWithin, MAX_GAPS } from "./received_frames.ts";

/** Dependencies of a {@link SendTurn} on its endpoint. */
export interface SendTurnOptions {
  readonly transport: Transport;
  /** Keeps frames with answers that have been sent. */
  readonly resends: {
    /** `until`: for repeated answers, the time at which no one awaits them any more, by the monotonic clock. */
    add(to: FrameSender, seq: number, frame: string | Uint8Array, until?: number): void;
  };
  /** Reports an error that has no caller to whom it could be returned. */
  fault(during: string, error: unknown): void;
}

/** The turn of the event loop in which this process gathers frames, and its limits. */
export class SendTurn implements OpenFrame {
  /**
   * Number of the present turn of the event loop. It grows when the turn's frames are sent, so that all sends of a
   * turn see the same number.
   */
  number = 0;
  /**
   * Length of items at which a frame is sent, in UTF-16 code units. Computed in each turn from the server's present
   * limit.
   */
  frameLimit = 0;
  /**
   * Size of the largest payload that fits into a frame, in bytes. Computed in each turn from the server's present
   * limit.
   */
  payloadLimit = 0;
  /**
   * Limits how many bursts of stream items (groups of items sent together) this process sends in one turn of the event
   * loop.
   */
  readonly bursts: TurnBursts;
  /**
   * Wall clock minus monotonic clock at the start of this process. Added to the monotonic clock, it gives a time that
   * does not jump.
   */
  readonly epoch: number;
  readonly #options: SendTurnOptions;
  readonly #transport: Transport;
  /** Senders whose frames are published when the turn ends. */
  #senders: FrameSender[] = [];

  constructor(options: SendTurnOptions) {
    this.#options = options;
    this.#transport = options.transport;
    const { clock } = options.transport;
    this.epoch = clock.now() - clock.monotonic();
    this.bursts = new TurnBursts(clock, this);
    this.measure();
  }

  /** True if this process is connected, so that frames can be sent. */
  get connected(): boolean {
    return this.#transport.status.state === "connected";
  }

  /** Returns the time by the monotonic clock, in ms. */
  now(): number {
    return this.#transport.clock.monotonic();
  }

  /** Reads the server's present limit for the size of a message. */
  measure(): void {
    const { maxPayload } = this.#transport;
    this.payloadLimit = payloadLimit(maxPayload);
    this.frameLimit = frameLimit(maxPayload);
  }

  /** Has a sender send its frame when the turn ends. */
  add(sender: FrameSender): void {
    if (this.#senders.push(sender) === 1) nextTick(this.flush);
  }

  /** Ends the turn: sends all gathered items. */
  readonly flush = (): void => {
    const senders = this.#senders;
    this.#senders = [];
    this.number++;
    this.measure();
    for (const sender of senders) sender.flush();
  };

  /** Publishes a frame. Keeps its answers, to be sent again if they are lost. Throws if the frame cannot be sent. */
  publish(
    sender: FrameSender,
    { seq, at, now }: SentFrame,
    items: string,
    { answering, until }: { answering: boolean; until?: number | undefined },
  ): void {
    const text = frameText(seq, Math.round(this.epoch + at), items);
    const frame = answering && text.length > KEPT_AS_TEXT ? encode(text) : text;
    this.#transport.publish(sender.subject, frame, { reply: sender.bounces + seq, now });
    if (answering) this.#options.resends.add(sender, seq, frame, until);
  }

  /** Reports that frames to a process could not be sent. */
  failed(endpoint: string, error: unknown): void {
    this.#options.fault(`sending to ${endpoint}`, error);
  }
}

/** Address of the frames to one other process. */
export interface FrameAddress {
  /** Endpoint of the process: its node's id, a dot, and a nonce. */
  readonly endpoint: string;
  /** Subject of frames to the process. */
  readonly subject: string;
  /**
   * Prefix of the reply subjects of frames to the process: there the server reports a frame that bounced (no
   * responders). The frame's number follows.
   */
  readonly bounces: string;
  /** The first frame to the process gets the number that follows this one. */
  readonly after: number;
}

/** An object that writes its items into the next frame when the turn of the event loop ends. */
interface LateWriter {
  write(writer: FrameWriter): void;
}

/** The outgoing frames to one other process. */
export class FrameSender {
  /** Endpoint of the other process: its node's id, a dot, and a nonce. */
  readonly endpoint: string;
  /** Subject of frames to the process. */
  readonly subject: string;
  /**
   * Prefix of the reply subjects of frames to the process: there the server reports a frame that bounced (no
   * responders). The frame's number follows.
   */
  readonly bounces: string;
  /**
   * Time at which this process last repeated its answers because the other process asked for them, by the monotonic
   * clock; -1: never.
   */
  answeredAgainAt = -1;
  readonly #turn: SendTurn;
  readonly #ledger: RequestLedger;
  readonly #writer: FrameWriter;
  readonly #late: LateWriter[] = [];
  /** Requests gathered for the next frame. */
  #calls: Call[] = [];
  /** Number of the last frame. */
  #seq: number;
  #flushScheduled = false;
  /** Answers and other items that wait for the connection, by the frame in which they were to be sent. */
  readonly #offline: { readonly items: string; readonly answering: boolean }[] = [];

  /** `ledger`: the list of requests to the process that have no answer yet. */
  constructor(turn: SendTurn, ledger: RequestLedger, { endpoint, subject, bounces, after }: FrameAddress) {
    this.#turn = turn;
    this.#ledger = ledger;
    this.endpoint = endpoint;
    this.subject = subject;
    this.bounces = bounces;
    this.#seq = after;
    this.#writer = new FrameWriter(turn, () => this.flush());
  }

  /** Number of the last frame that was sent to the process. */
  get seq(): number {
    return this.#seq;
  }

  /** True if nothing waits to be sent. */
  get idle(): boolean {
    return !this.#flushScheduled && this.#offline.length === 0;
  }

  /** Adds a request to the next frame. `ttl`: the time until its deadline, in ms. */
  request(call: Call, ttl: number): void {
    this.#writer.request(call.request.contract.name, ttl, call.text, metaText(call));
    call.index = this.#calls.length;
    this.#calls.push(call);
    if (call.request.ofEntity && this.#calls.length >= MAX_COMMANDS) this.flush("at once");
    else this.#schedule();
  }

  /** Adds an item without a payload, a value or an error, which answers no request, to the next frame. */
  add(item: FrameItem): void {
    this.#writer.add(item);
    this.#schedule();
  }

  /** Adds an item that answers no request, given as JSON, to the next frame. */
  item(text: string): void {
    this.#writer.item(text);
    this.#schedule();
  }

  /** Adds an item that answers or refuses a request, given as JSON, to the next frame. */
  answerItem(text: string): void {
    this.#writer.answerItem(text);
    this.#schedule();
  }

  /**
   * Answers the request at place `index` of the process's frame `seq`. `text`: the answer as JSON; `undefined` for the
   * answer `undefined`.
   */
  answer(seq: number, index: number, text: string | undefined): void {
    this.#writer.answer(seq, index, text);
    this.#schedule();
  }

  /** Refuses the request at place `index` of the process's frame `seq`: it will not run in this process. */
  refuse(seq: number, index: number, code: Dropped | "NO_HANDLER"): void {
    this.answerItem(`["n",${seq},${index},"${code}"]`);
  }

  /** Calls `later.write` when the turn of the event loop ends, so that it writes its items into the next frame. */
  gather(later: LateWriter): void {
    this.#late.push(later);
    this.#schedule();
  }

  /**
   * Sends the gathered items as one frame, and writes it to the socket at once, or with the other frames of this turn
   * of the event loop. Without a connection, the router gets the requests back ({@link CallOwner.disconnected}), and
   * the answers wait for {@link FrameSender.resume}.
   */
  flush(write: "at once" | "with the turn" = "with the turn"): void {
    this.#flushScheduled = false;
    if (this.#late.length > 0) { for (const later of this.#late.splice(0)) later.write(this.#writer); }
    const calls = this.#calls;
    this.#calls = [];
    const { requests, others: items, answering } = this.#writer.take();
    if (!this.#turn.connected) {
      if (items !== "") this.#offline.push({ items, answering });
      for (const call of calls) if (!call.done) this.#ledger.disconnected(call);
      return;
    }
    if (calls.length > 0 || items !== "") this.#send(calls, requests + items, { answering }, write === "at once");
  }

  /** Sends the answers that waited for the connection. Called when the connection is back. */
  resume(): void {
    for (const { items, answering } of this.#offline.splice(0)) this.#send([], items, { answering });
  }

  /** Sends answers again. `until`: the time at which they are given up, by the monotonic clock. */
  resend(answers: string, until: number): void {
    this.#send([], answers, { answering: true, until });
  }

  #send(
    calls: readonly Call[],
    items: string,
    how: { readonly answering: boolean; readonly until?: number },
    now = false,
  ): void {
    const seq = ++this.#seq;
    const frame = new SentFrame(seq, calls, this.#turn.now(), now);
    this.#ledger.add(frame);
    try {
      this.#turn.publish(this, frame, items, how);
    } catch (error) {
      this.#turn.failed(this.endpoint, error);
      // a call that fitted when it was gathered is too large if the server's limit has shrunk at a reconnect
      const tooLarge = calls.length === 1 && isCatgaError(error) && error.code === "TOO_LARGE";
      for (const call of calls) this.#ledger.refused(call, tooLarge ? "TOO_LARGE" : "BOUNCED");
      return;
    }
    // calls whose callers have given up while the frame was gathered are cancelled
    for (const { done, index } of calls) if (done) this.add(["c", seq, index]);
  }

  #schedule(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    this.#turn.add(this);
  }
}

/** Returns the meta of a call (id, headers and the like) as JSON; `undefined` if all members are defaults. */
function metaText(call: Call): string | undefined {
  if (call.request.meta === undefined && call.attempt === 1) return undefined;
  return JSON.stringify({ ...call.meta, attempt: call.attempt === 1 ? undefined : call.attempt });
}

/**
 * Maximum number of entity commands in a frame. The receiving node and the server take many times as long for a
 * command as its sender, so they begin with the first frame while the sender goes on
 * (docs/internals/measurements.md).
 */
const MAX_COMMANDS = 32;
/**
 * Length in UTF-16 code units up to which sent frames are kept as text; longer ones are kept as bytes. V8 copies a
 * large text that lives on at each garbage collection, and does not copy bytes (docs/internals/measurements.md).
 */
const KEPT_AS_TEXT = 1_024;

/**
 * Limits how many bursts of items the streams of one process send in each turn of the event loop: first come, first
 * served.
 */
class TurnBursts implements Bursts {
  readonly #clock: Clock;
  readonly #sends: { readonly number: number };
  readonly #waiting: Fifo<() => void> = new Fifo();
  #left = MAX_BURSTS;
  /** Number of the turn of the event loop in which `#left` more bursts may be sent. */
  #turn = 0;
  #resumes = false;

  /** `sends.number`: a number that grows when the frames of a turn have been sent. */
  constructor(clock: Clock, sends: { readonly number: number }) {
    this.#clock = clock;
    this.#sends = sends;
  }

  take(): boolean {
    if (this.#turn !== this.#sends.number) this.#begin();
    if (this.#left === 0 || this.#waiting.size > 0) return false;
    this.#left--;
    return true;
  }

  wait(go: () => void): void {
    this.#waiting.push(go);
    this.#resume();
  }

  #resume(): void {
    if (this.#resumes) return;
    this.#resumes = true;
    this.#clock.soon(() => {
      this.#resumes = false;
      this.#begin();
      while (this.#left > 0 && this.#waiting.size > 0) {
        this.#left--;
        this.#waiting.shift()!();
      }
      if (this.#waiting.size > 0) this.#resume();
    });
  }

  #begin(): void {
    this.#turn = this.#sends.number;
    this.#left = MAX_BURSTS;
  }
}

const MAX_BURSTS = 16; // bursts in a turn of the event loop: with 128 items of 100 bytes each, 200 KB

/** A sent frame with answers. */
interface SentAnswers {
  readonly to: FrameSender;
  readonly seq: number;
  /**
   * The frame's text; a large one as bytes, because with large texts the garbage collector takes so long that a node
   * sends a quarter fewer messages per second (docs/internals/measurements.md).
   */
  readonly frame: string | Uint8Array;
  /** Time after which the answers are not sent again, by the monotonic clock. */
  readonly until: number;
}

/** Dependencies of a {@link ResendBuffer} on the endpoint. */
interface ResendBufferOptions {
  readonly clock: Clock;
  /** Returns true if this process is connected, so that frames can be sent. */
  connected(): boolean;
  /**
   * Returns true if `to` is the present sender of frames to its process: a process may be forgotten, and a new sender
   * made for it later.
   */
  isCurrent(to: FrameSender): boolean;
}

/**
 * The last answers of one process to all others: at most 256 frames, and about 4 MiB. An answer is sent again when its
 * frame bounced, after a reconnect of either side, and when the caller's ping lists its frame as missing: the caller
 * would otherwise wait until its deadline, although the work is done.
 */
export class ResendBuffer {
  readonly #options: ResendBufferOptions;
  /**
   * Sent frames in the order of sending, from index `#first` on; `undefined` in place of a frame that has bounced (no
   * responders).
   */
  readonly #last: (SentAnswers | undefined)[] = [];
  /**
   * Index of the first kept frame. An index, because removing the first element for each frame costs as much as all the
   * rest (measured).
   */
  #first = 0;
  /** Sum of the lengths of all kept frames. */
  #size = 0;
  /** Frames whose answers are to be sent again. */
  #due: SentAnswers[] = [];
  #timer: Timer | undefined;

  constructor(options: ResendBufferOptions) {
    this.#options = options;
  }

  /** Keeps a sent frame with answers. `until`: when to give it up, by the monotonic clock; default: in 10 s. */
  add(
    to: FrameSender,
    seq: number,
    frame: string | Uint8Array,
    until = this.#options.clock.monotonic() + GIVE_UP_AFTER,
  ): void {
    this.#last.push({ to, seq, frame, until });
    this.#size += frame.length;
    while (this.#count > MAX_FRAMES || (this.#size > MAX_SIZE && this.#count > 1)) this.#take(this.#first);
  }

  /** Plans to send the answers of a bounced frame (no responders) again after a pause. */
  bounced(to: FrameSender, seq: number): void {
    const at = this.#last.findIndex((sent) => sent?.to === to && sent.seq === seq);
    if (at < 0) return;
    const sent = this.#take(at);
    if (sent !== undefined && this.#due.length < MAX_FRAMES) this.#due.push(sent);
    this.#wait();
  }

  /** Stops sending answers again, because this process leaves the cluster. */
  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /**
   * Sends all kept answers again, because they may be lost. Receivers ignore duplicates. Called when the connection is
   * back.
   */
  resume(): void {
    this.#due.push(...this.#last.splice(0).filter((sent) => sent !== undefined));
    this.#size = this.#first = 0;
    if (this.#due.length > 0) this.#resend();
  }

  /**
   * Sends the kept answers to another process again, because they may have been lost without a bounce; at most once a
   * second. Called when that process has reconnected.
   */
  again(to: FrameSender): void {
    const now = this.#options.clock.monotonic();
    if (to.answeredAgainAt >= 0 && now - to.answeredAgainAt < ASKED_PAUSE) return;
    to.answeredAgainAt = now;
    for (let at = this.#last.length - 1; at >= this.#first; at--) {
      if (this.#last[at]?.to === to) this.#due.push(this.#take(at)!);
    }
    if (this.#due.length > 0) this.#resend();
  }

  /**
   * Sends the answers in missing frames again. Called when the other process reports frames that it has not received,
   * `[from, to, from, to, …]`. Ranges beyond {@link MAX_RANGES}, more than a process keeps, are ignored.
   */
  missing(to: FrameSender, listed: readonly number[]): void {
    const ranges = listed.slice(0, MAX_RANGES);
    for (let at = this.#first; at < this.#last.length; at++) {
      const sent = this.#last[at];
      if (sent?.to === to && isWithin(sent.seq, ranges)) this.#due.push(this.#take(at)!);
    }
    if (this.#due.length > 0) this.#resend();
  }

  /** Number of kept frames, including frames that bounced and are still in the list. */
  get #count(): number {
    return this.#last.length - this.#first;
  }

  #take(at: number): SentAnswers | undefined {
    const sent = this.#last[at];
    this.#last[at] = undefined;
    this.#size -= sent?.frame.length ?? 0;
    if (at === this.#first && ++this.#first >= MAX_FRAMES) {
      this.#last.splice(0, this.#first);
      this.#first = 0;
    }
    return sent;
  }

  #wait(): void {
    this.#timer ??= this.#options.clock.after(RESEND_PAUSE, () => {
      this.#timer = undefined;
      this.#resend();
    }, { background: true });
  }

  #resend(): void {
    const { clock, connected, isCurrent } = this.#options;
    const now = clock.monotonic();
    this.#due = this.#due.filter(({ to, until }) => now < until && isCurrent(to));
    if (connected()) {
      for (const { to, frame, until } of this.#due.splice(0)) to.resend(answersIn(frame), until);
    } else if (this.#due.length > 0) this.#wait();
  }
}

const MAX_FRAMES = 256; // enough, because a bounce comes within ms
const MAX_SIZE = 4_194_304; // sum of lengths: 256 frames of a megabyte would fill the memory
const MAX_RANGES = 4 * MAX_GAPS; // numbers: the gaps that may still be filled, and the reported gaps
const RESEND_PAUSE = 250; // ms between two attempts, as between two reconnect attempts
const ASKED_PAUSE = 1_000; // ms between two repeats for one process: anybody may ask
const GIVE_UP_AFTER = 10_000; // ms: a caller that stays away for longer takes this node for gone, or is gone itself
