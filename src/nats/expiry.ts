/**
 * When an entry's time is over, though the server still has it. nats-server 2.15 forgets the ttl of entries at some
 * restarts (SIGTERM, start, SIGKILL, start), brings back what it had expired, and cannot expire anything when its store is
 * full. So whoever reads an entry looks at its time: stored when, by the server's clock, and for how long.
 */
import type { Clock } from "../ports/clock.ts";

/** How long after its end the server may still have an entry before it is taken for forgotten, in ms; it is late by up to 320. */
export const MARGIN = 500;
/** How old a reading of the server's clock may be when an entry is judged by it, in ms. */
const FRESH = 500;

/** When a record was stored, by the server's clock in ms since 1970, and for how long, in ms. */
export interface Stored {
  readonly stored: number;
  /** Absent: for good. */
  readonly ttl?: number | undefined;
}

/**
 * The ttl of a `Nats-TTL` header, in ms; `undefined` for good. The server takes whole seconds, durations of Go, and
 * `never`. Everything in here rests on this function: an entry without a ttl is believed for ever.
 */
export function readTtl(header: string | undefined): number | undefined {
  if (header === undefined || header === "") return undefined;
  const simple = /^(\d+)s?$/.exec(header);
  if (simple !== null) return Number(simple[1]) * 1_000;
  if (!/^(?:[\d.]+(?:h|m|s|ms|us|µs|ns))+$/.test(header)) return undefined;
  let ms = 0;
  for (const [, amount, unit] of header.matchAll(/([\d.]+)(h|ms|m|s|us|µs|ns)/g)) ms += Number(amount) * UNITS[unit];
  // as the server does
  return Math.floor(ms / 1_000) * 1_000;
}

const UNITS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1_000,
  ms: 1,
  us: 1e-3,
  "µs": 1e-3,
  ns: 1e-6,
};

/**
 * What a server's clock says now: its last reading, carried forward by this process's monotonic clock. Never by the wall
 * clock of this machine, which may be wrong.
 */
export class ServerClock {
  readonly #clock: Clock;
  /** The server's time less the monotonic clock, in ms. */
  #ahead = NaN;
  #read = -Infinity;
  #asked = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether it was read at all. */
  get known(): boolean {
    return !Number.isNaN(this.#ahead);
  }

  /** Whether an entry may be judged by it that came at that moment of the monotonic clock: it was read since, and just now. */
  freshSince(moment: number): boolean {
    return this.#asked >= moment && this.#clock.monotonic() - this.#read <= FRESH;
  }

  /** Notes the time in an answer that has come just now, to what was asked at that moment of the monotonic clock. */
  read(time: string | undefined, asked: number): void {
    const ms = Date.parse(time ?? "");
    if (Number.isNaN(ms)) return;
    this.#read = this.#clock.monotonic();
    this.#asked = asked;
    // an answer that took long says no more than this, and what was known may be more exact
    const [least, most] = [ms - this.#read, ms + 1 - asked];
    if (!(this.#ahead >= least && this.#ahead <= most)) this.#ahead = least;
  }

  /** The server's time at a moment of the monotonic clock, in ms since 1970; `NaN` when it is not known. */
  at(monotonic: number): number {
    return monotonic + this.#ahead;
  }

  /** Until when a record may be believed, by the monotonic clock: `NaN` when it is not known, `Infinity` for good. */
  endOf({ stored, ttl }: Stored): number {
    return ttl === undefined ? Infinity : stored + ttl + MARGIN - this.#ahead;
  }
}
