/**
 * Numbers of the frames of one sender that have arrived. The sender can rely on a report: a frame that was once
 * reported missing is refused for ever, even when it arrives late, after a reconnect.
 */
import type { CatgaError } from "../../error.ts";

/** The received frames of one sender: at most {@link MAX_GAPS} gaps are kept. */
export class ReceivedFrames {
  /** The highest number so far. */
  #upTo = 0;
  /** Gaps that may still arrive: `[from, to]`, ascending. */
  #missing: [from: number, to: number][] = [];
  /** Gaps that were reported: they are refused. */
  #refused: [from: number, to: number][] = [];
  /** Frames up to here are refused: their gaps are forgotten. */
  #forgotten = 0;
  /** The last ping that listed gaps, and the highest number when it was sent. */
  #asked: { readonly ping: number; readonly upTo: number } = { ping: 0, upTo: 0 };
  /** For gaps up to here the sender has sent its answers again, if it had them. */
  #settled = 0;
  /** The sender was known before, and forgotten: which frames came before the next one is not known. */
  #unknown: boolean;

  constructor(options: { forgotten?: boolean } = {}) {
    this.#unknown = options.forgotten ?? false;
  }

  /** The highest number so far. */
  get upTo(): number {
    return this.#upTo;
  }

  /** Notes a frame. `false`: its requests must not run, because it came before, or was reported missing. */
  take(seq: number): boolean {
    if (this.#unknown) {
      this.#unknown = false;
      this.#upTo = this.#forgotten = seq - 1;
    }
    if (seq > this.#upTo) {
      if (seq > this.#upTo + 1) this.#missing.push([this.#upTo + 1, seq - 1]);
      this.#upTo = seq;
      this.#bound();
      return true;
    }
    if (seq <= this.#forgotten) return false;
    const index = this.#missing.findIndex(([from, to]) => seq >= from && seq <= to);
    if (index < 0) return false;
    const [from, to] = this.#missing[index];
    const rest: [number, number][] = [];
    if (from < seq) rest.push([from, seq - 1]);
    if (seq < to) rest.push([seq + 1, to]);
    this.#missing.splice(index, 1, ...rest);
    this.#bound();
    return true;
  }

  /** The gaps, flat: `[from, to, from, to, …]`. From now on they are refused. */
  report(): number[] {
    this.#refused.push(...this.#missing);
    this.#missing = [];
    if (this.#refused.length > MAX_GAPS) {
      for (const [, to] of this.#refused.splice(0, this.#refused.length - MAX_GAPS)) {
        this.#forgotten = Math.max(this.#forgotten, to);
      }
    }
    return this.#refused.flat();
  }

  /** The gaps that the sender has not answered for yet, flat, for the ping of this number. They may still arrive. */
  ask(ping: number): number[] {
    const gaps = this.#unsettled;
    if (gaps.length > 0) this.#asked = { ping, upTo: this.#upTo };
    return gaps.flat();
  }

  /**
   * The sender has answered for the gaps in the ping of this number. Returns whether it has for all that there are by
   * now.
   */
  settle(ping: number): boolean {
    if (ping >= this.#asked.ping) this.#settled = this.#asked.upTo;
    return this.#unsettled.length === 0;
  }

  get #unsettled(): [from: number, to: number][] {
    return [...this.#refused, ...this.#missing].filter(([, to]) => to > this.#settled);
  }

  /** Forgets the oldest gap when there are too many: a frame adds one at most. */
  #bound(): void {
    if (this.#missing.length > MAX_GAPS) this.#forgotten = this.#missing.shift()![1];
  }
}

/** Returns `true` for a number in one of these ranges, `[from, to, from, to, …]`. */
export function isWithin(seq: number, ranges: readonly number[]): boolean {
  for (let i = 0; i < ranges.length; i += 2) if (seq >= ranges[i] && seq <= ranges[i + 1]) return true;
  return false;
}

/** Gaps kept for one sender. */
export const MAX_GAPS = 64;

// The requests of one other process that run or wait for their turn here, by their frames and places.

/** A request that can be aborted. */
export interface RunningRequest {
  abort(reason: CatgaError): void;
}

/** The requests of one frame that still run. */
interface FrameRequests {
  readonly seq: number;
  /** By their places; `undefined` for those that have ended. */
  readonly requests: (RunningRequest | undefined)[];
  open: number;
}

/** The requests of one other process. */
export class RunningRequests {
  readonly #frames: FrameRing<FrameRequests> = new FrameRing();

  /** `true` if none runs. */
  get none(): boolean {
    return this.#frames.size === 0;
  }

  /** The requests in hand as `[seq, index, seq, index, …]`. */
  get places(): number[] {
    return this.#frames.values().flatMap(({ seq, requests }) =>
      requests.flatMap((request, index) => request === undefined ? [] : [seq, index])
    );
  }

  /** The request at this place. */
  find(seq: number, index: number): RunningRequest | undefined {
    return this.#frames.get(seq)?.requests[index];
  }

  /** A request of the newest frame runs, or waits for its turn, from now on. */
  begun(seq: number, index: number, request: RunningRequest): void {
    let frame = this.#frames.get(seq);
    if (frame === undefined) this.#frames.add(frame = { seq, requests: [], open: 0 });
    frame.requests[index] = request;
    frame.open++;
  }

  /** A request has ended, or left its queue. */
  ended(seq: number, index: number): void {
    const frame = this.#frames.get(seq);
    if (frame === undefined) return;
    frame.requests[index] = undefined;
    if (--frame.open === 0) this.#frames.delete(seq);
  }
}

/**
 * Values by ascending frame number: a ring for the 256 newest, a small Map for stragglers. A Map for all of them cost
 * 37 % of a client's time in garbage collection: its old tables keep young objects alive (measured).
 */
export class FrameRing<T extends { readonly seq: number }> {
  #ring: (T | undefined)[] | undefined;
  #stragglers: Map<number, T> | undefined;
  #size = 0;

  /** How many there are. */
  get size(): number {
    return this.#size;
  }

  /** Adds one; its number is higher than all before. */
  add(value: T): void {
    const ring = this.#ring ??= new Array(RING).fill(undefined);
    const place = value.seq % RING;
    const old = ring[place];
    if (old !== undefined) (this.#stragglers ??= new Map()).set(old.seq, old);
    ring[place] = value;
    this.#size++;
  }

  /** The one of this number. */
  get(seq: number): T | undefined {
    const value = this.#ring?.[seq % RING];
    return value?.seq === seq ? value : this.#stragglers?.get(seq);
  }

  /** Removes one, if it is there. */
  delete(seq: number): void {
    const place = seq % RING;
    if (this.#ring?.[place]?.seq === seq) this.#ring[place] = undefined;
    else if (this.#stragglers?.delete(seq) !== true) return;
    this.#size--;
  }

  /** All of them, as they are now; in no order. */
  values(): T[] {
    if (this.#size === 0) return [];
    const all = this.#ring!.filter((value) => value !== undefined);
    return this.#stragglers === undefined ? all : [...this.#stragglers.values(), ...all];
  }
}

const RING = 256;

// How late messages of one sender are. Messages reach a paused process seconds late, with their time to live unchanged
// (docs/internals/measurements.md). The smallest difference of the two clocks that was seen is the clocks' own
// difference plus the shortest way; a message is late by what it exceeds this. That is taken off the time of its
// requests, and those that have none left are refused.

/** Refuses a request that has come after its deadline, `ttl` ms before it, and returns whether it did. */
export function refuseLate(
  sender: { refuse(seq: number, index: number, code: "LATE"): void },
  seq: number,
  index: number,
  ttl: number,
): boolean {
  if (ttl > 0) return false;
  sender.refuse(seq, index, "LATE");
  return true;
}

/** The smallest difference among the messages of 30 s. */
interface LatenessWindow {
  /** When its first message arrived. */
  readonly begun: number;
  least: number;
  /** When that one arrived. */
  at: number;
}

/**
 * The lateness of one sender's messages. The smallest difference counts for one to two windows of messages: a sender
 * whose clock stood still (its machine was suspended) or lied is believed again after that. Windows change when a
 * message arrives and not with time, so that the first messages after a long pause are still measured by those before
 * it.
 */
export class Lateness {
  #last: LatenessWindow | undefined;
  #now: LatenessWindow | undefined;

  /** Notes a message and returns how late it is, in ms; 0 for the first one. Both times by clocks that do not jump. */
  note(sentAt: number, receivedAt: number): number {
    const difference = receivedAt - sentAt;
    const now = this.#now;
    if (now === undefined || receivedAt - now.begun >= WINDOW) {
      this.#last = now;
      this.#now = { begun: receivedAt, least: difference, at: receivedAt };
    } else if (difference <= now.least + (receivedAt - now.at) * DRIFT) {
      now.least = difference;
      now.at = receivedAt;
    }
    return Math.max(
      0,
      this.#beyond(this.#last, difference, receivedAt),
      this.#beyond(this.#now, difference, receivedAt),
    );
  }

  #beyond(window: LatenessWindow | undefined, difference: number, receivedAt: number): number {
    return window === undefined ? 0 : difference - window.least - (receivedAt - window.at) * DRIFT;
  }
}

const WINDOW = 30_000; // ms
/** Two clocks may drift apart by 1 ms a second: twice what NTP lets a clock slew (500 ppm). */
const DRIFT = 0.001;
