/**
 * Answers that have left lately. One whose frame bounces leaves again until its caller is there, and those that may have
 * gone down with the server leave again when there is one: a caller would otherwise wait for its deadline, although the
 * work is done.
 */
import type { Clock } from "../../ports/clock.ts";
import { answersIn } from "./frame.ts";
import type { Peer } from "./peer.ts";

/** The answers of one frame. */
interface LeftAnswers {
  readonly peer: Peer;
  readonly seq: number;
  /** A large one as bytes: as texts they cost a quarter of the rate (measured). */
  readonly frame: string | Uint8Array;
  /** When it is given up, by the monotonic clock. */
  readonly until: number;
}

/** What a log of answers needs. */
export interface LeftAnswersOptions {
  readonly clock: Clock;
  /** Whether frames may leave. */
  connected(): boolean;
  /** Whether this is still what stands for the other process. */
  knows(peer: Peer): boolean;
}

/** The last answers of one process, to all others: bounded, whoever asks. */
export class ResendBuffer {
  readonly #options: LeftAnswersOptions;
  /** In the order in which they left, from `#first` on; `undefined` for those that have bounced. */
  readonly #last: (LeftAnswers | undefined)[] = [];
  /** Those before it are forgotten: to move all of them up at each frame costs as much as the rest (measured). */
  #first = 0;
  /** How large all of them are, in bytes. */
  #size = 0;
  /** Those that bounced. */
  #bounced: LeftAnswers[] = [];
  #waiting = false;

  constructor(options: LeftAnswersOptions) {
    this.#options = options;
  }

  /** Notes a frame with answers that has left; `until` of those that leave again. */
  add(peer: Peer, seq: number, frame: string | Uint8Array, until = this.#options.clock.monotonic() + PATIENCE): void {
    this.#last.push({ peer, seq, frame, until });
    this.#size += frame.length;
    while (this.#count > KEPT || (this.#size > MOST && this.#count > 1)) this.#take(this.#first);
  }

  /** A frame bounced: the answers in it leave again after a while. */
  bounced(peer: Peer, seq: number): void {
    const at = this.#last.findIndex((left) => left?.peer === peer && left.seq === seq);
    if (at < 0) return;
    const left = this.#take(at);
    if (left !== undefined && this.#bounced.length < KEPT) this.#bounced.push(left);
    this.#wait();
  }

  /** The connection is there again: what had left may be lost, and leaves once more. Who has it takes it for nothing. */
  resume(): void {
    this.#bounced.push(...this.#last.splice(0).filter((left) => left !== undefined));
    this.#size = this.#first = 0;
    if (this.#bounced.length > 0) this.#again();
  }

  /** Places that are not forgotten. */
  get #count(): number {
    return this.#last.length - this.#first;
  }

  #take(at: number): LeftAnswers | undefined {
    const left = this.#last[at];
    this.#last[at] = undefined;
    this.#size -= left?.frame.length ?? 0;
    if (at === this.#first && ++this.#first >= KEPT) {
      this.#last.splice(0, this.#first);
      this.#first = 0;
    }
    return left;
  }

  #wait(): void {
    if (this.#waiting) return;
    this.#waiting = true;
    this.#options.clock.after(PAUSE, () => {
      this.#waiting = false;
      this.#again();
    }, { background: true });
  }

  #again(): void {
    const { clock, connected, knows } = this.#options;
    const now = clock.monotonic();
    this.#bounced = this.#bounced.filter(({ peer, until }) => now < until && knows(peer));
    if (connected()) {
      for (const { peer, frame, until } of this.#bounced.splice(0)) {
        peer.again(answersIn(frame), until);
      }
    } else if (this.#bounced.length > 0) this.#wait();
  }
}

const KEPT = 256; // frames: a bounce comes within ms
const MOST = 4_194_304; // bytes of all of them: some would be a megabyte each
const PAUSE = 250; // ms, as a connection is dialled anew
const PATIENCE = 10_000; // ms: a caller that stays away longer has been told that its node is gone, or that it is gone itself
