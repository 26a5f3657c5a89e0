/**
 * The requests of this process on their way to one other process: gathered for its next frame, or sent and unanswered.
 * Each request leaves the ledger once: answered, refused, bounced (no responders), lost (with the process or the
 * answer), taken back, or given up. `call.ts` documents the states of a call.
 */
import type { AttemptFailure, Call, NotRunCode, SentFrame } from "./call.ts";
import type { AnswersItem } from "./frame.ts";
import { FrameRing } from "./frame_ring.ts";
import { isWithin } from "./received_frames.ts";

/** The requests of this process to one other process. */
export class RequestLedger {
  /** Number of requests to the process that have no result yet. */
  outstanding = 0;
  /** Number of requests to the process that were ever gathered for sending. */
  requested = 0;
  /** Number of requests that the process answered with a value. */
  succeeded = 0;
  failed = 0;
  /** The sent frames with requests that wait for an answer. */
  readonly sent: FrameRing<SentFrame> = new FrameRing();
  /** Id of the node of the process. */
  readonly #node: string;
  /** Prefix of the names of requests to the process; the frame's number and the place in the frame follow. */
  readonly #names: string;

  constructor(node: string, names: string) {
    this.#node = node;
    this.#names = names;
  }

  /** Adds a frame that is about to be sent; its calls wait for answers from now on. */
  add(frame: SentFrame): void {
    for (const call of frame.calls) {
      if (call.done) continue;
      call.frame = frame;
      frame.open++;
    }
    if (frame.open > 0) this.sent.add(frame);
  }

  /** Returns the call at place `index` of the sent frame `seq`; `undefined` if it no longer waits for an answer. */
  find(seq: number, index: number): Call | undefined {
    const frame = this.sent.get(seq);
    const call = frame?.calls[index];
    return call?.frame === frame ? call : undefined;
  }

  /** Ends the calls that an item of the process answers with values. */
  answered(item: AnswersItem): void {
    const frame = this.sent.get(item[1]);
    if (frame === undefined) return;
    const first = item[2];
    // an item without a value is one answer `undefined`
    const count = Math.max(1, item.length - 3);
    for (let i = 0; i < count; i++) {
      const call: Call | undefined = frame.calls[first + i];
      if (call?.frame !== frame) continue;
      this.settle(call);
      this.succeeded++;
      call.owner.answered(call, { ok: true, value: item[3 + i] });
    }
  }

  /** Removes a call: no answer to it is awaited any more. */
  settle(call: Call): void {
    this.outstanding--;
    const { frame } = call;
    call.peer = call.frame = undefined;
    if (frame !== undefined && --frame.open === 0) this.sent.delete(frame.seq);
  }

  /**
   * Gives a call back to the router (its `owner`), because the connection was lost before the call's frame was sent.
   */
  disconnected(call: Call): void {
    this.settle(call);
    call.at = undefined;
    call.owner.disconnected(call);
  }

  /** Fails a call that certainly did not run on the process. */
  refused(call: Call, code: NotRunCode): void {
    if (call.done) return;
    this.#takeBack(call);
    this.failed++;
    call.at = undefined;
    call.owner.failed(call, { how: "undelivered", code }, this.#node);
  }

  /** Fails the calls of a frame, which certainly did not run. `code`: why. */
  undelivered(seq: number, code: NotRunCode): void {
    const frame = this.sent.get(seq);
    if (frame === undefined) return;
    for (const call of frame.calls) {
      if (call.frame === frame) this.refused(call, code);
    }
  }

  /**
   * Fails the calls in the frames that the peer process has reported missing, because it will never run them. `ranges`:
   * numbers of the missing frames, `[from, to, from, to, …]`, both included; numbers above `upTo` are ignored.
   */
  missing(upTo: number, ranges: readonly number[]): void {
    if (this.sent.size === 0) return;
    for (const { seq } of this.sent.values()) {
      if (seq <= upTo && isWithin(seq, ranges)) this.undelivered(seq, "LOST");
    }
  }

  /**
   * Fails the calls whose answers are lost. Called when the peer process has reported the last frame that it has
   * received (`upTo`), and the places of the requests that run or wait there, `[seq, index, seq, index, …]`: it has
   * answered all other requests in the frames up to `upTo`.
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
   * Fails the unanswered calls in frames before `seq`, which may have been delivered. Called when the peer process is
   * gone. Returns the number of these calls.
   */
  lost(seq: number): number {
    return this.#fail(LOST, (_, frame) => frame.seq < seq);
  }

  /**
   * Takes back the sent calls for which `go` returns true, to be sent to other nodes. Called when the peer process does
   * not answer pings.
   */
  release(go: (call: Call) => boolean): void {
    this.#fail(SILENT, go);
  }

  /** Takes back the sent calls for which `which` returns true, and fails them with `failure`. Returns their number. */
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
    // the name that the request has in its first frame is its id, also in later attempts
    if (call.frame !== undefined) call.id ??= `${this.#names}${call.frame.seq}.${call.index}`;
    this.settle(call);
  }
}

const LOST: AttemptFailure = { how: "lost" };
const ANSWER_LOST: AttemptFailure = { how: "lost", answered: true };
const SILENT: AttemptFailure = { how: "silent" };
