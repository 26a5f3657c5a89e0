/**
 * The open requests between this process and one other process, by the number of their frame and their place in it.
 * `RequestLedger` has those that this process sends, `RunningRequests` those that the other process has sent; both keep
 * them in a `FrameRing`.
 */
import type { AttemptFailure, Call, NotRunCode, SentFrame } from "./call.ts";
import type { AnswersItem } from "./frame.ts";
import { isWithin } from "./received_frames.ts";
import type { CatgaError } from "../../error.ts";

/**
 * The requests of this process on their way to one other process: gathered for its next frame, or sent and unanswered.
 * Each request leaves the ledger once: answered, refused, bounced, lost (with the process or the answer), taken back,
 * or given up. `call.ts` documents the states of a call.
 */
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
  /**
   * The calls that were taken back because the process was silent, by frame and place: it may only have stood still,
   * and answer yet. The newest {@link MAX_LATE}. They are held weakly, so that payloads of ended calls are not kept in
   * memory: a call that has not ended is held by the wheel of deadlines, or by its run at this node.
   */
  readonly #late = new Map<string, WeakRef<Call>>();
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
    const first = item[2];
    // an item without a value is one answer `undefined`
    const count = Math.max(1, item.length - 3);
    if (this.#late.size > 0) this.#answeredLate(item, count);
    if (frame === undefined) return;
    for (let i = 0; i < count; i++) {
      const call: Call | undefined = frame.calls[first + i];
      if (call?.frame !== frame) continue;
      this.settle(call);
      this.succeeded++;
      call.owner.answered(call, { ok: true, value: item[3 + i] });
    }
  }

  /** Ends the calls that were taken back, and that an item of the process answers with values all the same. */
  #answeredLate([, seq, first, ...values]: AnswersItem, count: number): void {
    for (let i = 0; i < count; i++) {
      const place = `${seq}.${first + i}`;
      const call = this.#late.get(place)?.deref();
      if (!this.#late.delete(place) || call === undefined) continue;
      if (!call.done) call.owner.answeredLate(call, { ok: true, value: values[i] });
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
    this.#fail(SILENT, (call, { seq }) => {
      if (!go(call)) return false;
      this.#late.set(`${seq}.${call.index}`, new WeakRef(call));
      if (this.#late.size > MAX_LATE) this.#late.delete(this.#late.keys().next().value!); // it has a first key
      return true;
    });
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

/** Maximum number of calls to a silent process whose late answers still count. */
const MAX_LATE = 1_024;
const LOST: AttemptFailure = { how: "lost" };
const ANSWER_LOST: AttemptFailure = { how: "lost", answered: true };
const SILENT: AttemptFailure = { how: "silent" };

/** A request that runs or waits in this process, and can be aborted. */
export interface RunningRequest {
  abort(reason: CatgaError): void;
}

/** The requests of one frame that still run or wait. */
interface FrameRequests {
  readonly seq: number;
  /** Requests by their place in the frame; `undefined` in place of ended ones. */
  readonly requests: (RunningRequest | undefined)[];
  open: number;
}

/**
 * The requests of one other process that run in this process, or wait until it has room for them.
 * @decides another process cancels a request: the running one is found and aborted
 */
export class RunningRequests {
  readonly #frames: FrameRing<FrameRequests> = new FrameRing();

  /** True if no request of the other process runs or waits. */
  get none(): boolean {
    return this.#frames.size === 0;
  }

  /** Places of the requests that run or wait, as `[seq, index, seq, index, …]`. */
  get places(): number[] {
    return this.#frames.values().flatMap(({ seq, requests }) =>
      requests.flatMap((request, index) => request === undefined ? [] : [seq, index])
    );
  }

  /** Returns the request at place `index` of frame `seq`; `undefined`: it neither runs nor waits. */
  find(seq: number, index: number): RunningRequest | undefined {
    return this.#frames.get(seq)?.requests[index];
  }

  /**
   * Adds a request that begins to run, or to wait until there is room for it. Its frame `seq` must be the newest frame
   * of all, or a frame of which another request still runs or waits.
   */
  begun(seq: number, index: number, request: RunningRequest): void {
    let frame = this.#frames.get(seq);
    if (frame === undefined) this.#frames.add(frame = { seq, requests: [], open: 0 });
    frame.requests[index] = request;
    frame.open++;
  }

  /**
   * Removes a request whose handler has ended, or that has left its queue: because it was dropped, or because it is
   * about to run (`begun` then adds it again).
   */
  ended(seq: number, index: number): void {
    const frame = this.#frames.get(seq);
    if (frame === undefined) return;
    frame.requests[index] = undefined;
    if (--frame.open === 0) this.#frames.delete(seq);
  }
}

/**
 * Values by ascending frame number: a ring for the 256 newest, and a small `Map` for the few older ones that remain. A
 * `Map` for all of them cost 37 % of a client's time in garbage collection, because its old tables keep young objects
 * alive (measured).
 */
export class FrameRing<T extends { readonly seq: number }> {
  #ring: (T | undefined)[] | undefined;
  #stragglers: Map<number, T> | undefined;
  #size = 0;

  /** Number of values in the ring. */
  get size(): number {
    return this.#size;
  }

  /** Adds a value; its number must be higher than all numbers before. */
  add(value: T): void {
    const ring = this.#ring ??= new Array(RING).fill(undefined);
    const place = value.seq % RING;
    const old = ring[place];
    if (old !== undefined) (this.#stragglers ??= new Map()).set(old.seq, old);
    ring[place] = value;
    this.#size++;
  }

  /** Returns the value with this number; `undefined`: none has it. */
  get(seq: number): T | undefined {
    const value = this.#ring?.[seq % RING];
    return value?.seq === seq ? value : this.#stragglers?.get(seq);
  }

  /** Removes the value with this number, if there is one. */
  delete(seq: number): void {
    const place = seq % RING;
    if (this.#ring?.[place]?.seq === seq) this.#ring[place] = undefined;
    else if (this.#stragglers?.delete(seq) !== true) return;
    this.#size--;
  }

  /** Returns all present values, in no order. */
  values(): T[] {
    if (this.#size === 0) return [];
    const all = this.#ring!.filter((value) => value !== undefined);
    return this.#stragglers === undefined ? all : [...this.#stragglers.values(), ...all];
  }
}

const RING = 256;
