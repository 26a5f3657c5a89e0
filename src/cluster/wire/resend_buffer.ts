/**
 * Keeps the last answers that were sent (256 frames at most, for 10 s), to send them again. An answer whose frame
 * bounces (no responders) is sent again until its caller is back; answers that a server, or a dying connection of
 * either side, may have lost are sent again after a reconnect; answers whose frames a caller's ping lists as missing
 * are sent again at once. Otherwise a caller would wait until its deadline although the work is done.
 */
import { answersIn } from "./frame.ts";
import { isWithin, MAX_GAPS } from "./received_frames.ts";
import type { Clock, Timer } from "../../ports/clock.ts";
import type { FrameSender } from "./frame_sender.ts";

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

/** The last answers of one process to all others: at most 256 frames, and about 4 MiB. */
export class ResendBuffer {
  readonly #options: ResendBufferOptions;
  /**
   * Sent frames in the order of sending, from index `#first` on; `undefined` in place of a frame that has bounced (no
   * responders).
   */
  readonly #last: (SentAnswers | undefined)[] = [];
  /**
   * Index of the first kept frame. An index, because removing the first element for each frame costs as much as all
   * the rest (measured).
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
   * Sends all kept answers again, because they may be lost. Receivers ignore duplicates. Called when the connection
   * is back.
   */
  resume(): void {
    this.#due.push(...this.#last.splice(0).filter((sent) => sent !== undefined));
    this.#size = this.#first = 0;
    if (this.#due.length > 0) this.#resend();
  }

  /**
   * Sends the kept answers to another process again, because they may have been lost without a bounce (no responders);
   * at most once a second. Called when that process has reconnected.
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

  /** Number of kept frames, including frames that bounced (no responders) and are still in the list. */
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
