/**
 * The expiry rule: an entry has expired when its ttl and a margin of 500 ms have passed since it was stored, by the
 * server's clock, even if the server still has it. nats-server 2.15 forgets the ttl of entries at some restarts
 * (SIGTERM, start, SIGKILL, start), restores entries that had expired, and cannot expire an entry while its store is
 * full. So every reader applies the rule itself, by the time of storing and the ttl that come with each message;
 * entries of `@nats-io/kv` have no ttl (docs/internals/packages.md, row `watch`).
 */
import type { Clock } from "../ports/clock.ts";

/**
 * Time for which a server may still have an entry after its ttl, in ms: a healthy server expires it up to 320 ms late.
 */
export const MARGIN = 500;
/** Maximum age of a reading of the server's clock by which an entry is declared expired, in ms. */
const FRESH = 500;

/** The part of a message from which its expiry follows. */
export interface StoredTime {
  /** Time at which the message was stored, by the server's clock, in ms since 1970. */
  readonly stored: number;
  /** Ttl in ms; absent: the message does not expire. */
  readonly ttl?: number | undefined;
}

/**
 * Parses the ttl in a `Nats-TTL` header, in ms; `undefined`: the message does not expire. The server accepts whole
 * seconds, durations of Go, and `never`. A ttl that is not recognised here would keep its entry alive for ever.
 */
export function readTtl(header: string | undefined): number | undefined {
  if (header === undefined || header === "") return undefined;
  const simple = /^(\d+)s?$/.exec(header);
  if (simple !== null) return Number(simple[1]) * 1_000;
  if (!/^(?:[\d.]+(?:h|m|s|ms|us|µs|ns))+$/.test(header)) return undefined;
  let ms = 0;
  for (const [, amount, unit] of header.matchAll(/([\d.]+)(h|ms|m|s|us|µs|ns)/g)) ms += Number(amount) * UNITS[unit];
  // round down to whole seconds, as the server does
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
 * A server's wall clock: the last readings of it, extrapolated by this process's monotonic clock. The wall clock of
 * this machine, which may be wrong, is not used. A reading gives two bounds, because the server read its clock at some
 * moment between request and answer; these may be far apart even for a quick server, if this process was busy. {@link
 * at} never declares a message expired too early; {@link latest} never makes a schedule too early.
 */
export class ServerClock {
  readonly #clock: Clock;
  /** Bounds of the server's time minus the monotonic clock, in ms. */
  #least = NaN;
  #most = NaN;
  /** Time of the last reading, by the monotonic clock and the wall clock; `#asked`: time of its request. */
  #read = -Infinity;
  #readWall = -Infinity;
  #asked = -Infinity;
  /** True if more readings do not bring the bounds closer. */
  #settled = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** True if the clock has been read. */
  get known(): boolean {
    return !Number.isNaN(this.#least);
  }

  /**
   * True if the bounds are at most 50 ms apart, or settled, and were read in the last 30 s (also by the wall clock,
   * which goes on while a machine sleeps).
   */
  get exact(): boolean {
    const age = this.#clock.monotonic() - this.#read;
    const passed = this.#clock.now() - this.#readWall;
    if (age > STEADY || Math.abs(passed - age) > ASLEEP) return false;
    return this.#settled || this.#most - this.#least <= APART;
  }

  /** Call when more readings do not bring the bounds closer: the link is slow. */
  settle(): void {
    this.#settled = true;
  }

  /**
   * Returns true if the last reading was requested at or after `moment` of the monotonic clock and is at most 500 ms
   * old.
   */
  freshSince(moment: number): boolean {
    return this.#asked >= moment && this.#clock.monotonic() - this.#read <= FRESH;
  }

  /**
   * Takes the server's time from an answer that has just arrived. `asked`: time of its request, by the monotonic clock.
   */
  read(time: string | undefined, asked: number): void {
    const ms = Date.parse(time ?? "");
    if (Number.isNaN(ms)) return;
    const now = this.#clock.monotonic();
    const drifted = (now - this.#read) * DRIFT;
    const [least, most] = [ms - now, ms + 1 - asked];
    // an earlier, quicker reading may be more exact, unless the two contradict each other
    const [lower, upper] = [Math.max(least, this.#least - drifted), Math.min(most, this.#most + drifted)];
    const agree = lower <= upper;
    [this.#least, this.#most] = agree ? [lower, upper] : [least, most];
    this.#settled &&= agree;
    this.#read = now;
    this.#readWall = this.#clock.now();
    this.#asked = asked;
  }

  /**
   * Returns the lower bound of the server's time at a moment of the monotonic clock, in ms since 1970; `NaN` before the
   * first reading.
   */
  at(monotonic: number): number {
    return monotonic + this.#least;
  }

  /** Returns the upper bound of the server's time at this moment of the monotonic clock, in ms since 1970. */
  latest(monotonic: number): number {
    return monotonic + this.#most + Math.max(0, monotonic - this.#read) * DRIFT;
  }

  /**
   * Returns the time at which a message expires, by the monotonic clock: `Infinity` without a ttl, else `NaN` before
   * the first reading.
   */
  endOf({ stored, ttl }: StoredTime): number {
    return ttl === undefined ? Infinity : stored + ttl + MARGIN - this.#least;
  }
}

/** Maximum drift between two clocks, in ms for each ms: quartz, and a server's clock that is being corrected. */
const DRIFT = 0.0005;
/** Maximum age of an {@link ServerClock.exact} reading, in ms. */
const STEADY = 30_000;
/** Maximum distance of the bounds of an {@link ServerClock.exact} reading, in ms. */
const APART = 50;
/**
 * Maximum difference between the wall clock and the monotonic clock about a duration, in ms, unless the machine slept.
 */
const ASLEEP = 1_000;
