/**
 * The expiry rule: an entry has expired when its ttl and a margin of 500 ms have passed since it was stored, by the
 * server's clock, even if the server still has it. nats-server 2.15 forgets the ttl of entries at some restarts
 * (SIGTERM, start, SIGKILL, start), restores entries that had expired, and cannot expire an entry while its store is
 * full. So every reader applies the rule itself, by the time of storing and the ttl that come with each message;
 * entries of `@nats-io/kv` have no ttl (docs/internals/packages.md, row `watch`).
 */
import type { Clock } from "../../ports/clock.ts";

/**
 * Time for which a server may still have an entry after its ttl, in ms. (A healthy server expires an entry up to 320
 * ms late.)
 */
export const MARGIN = 500;
/** Maximum age of the reading of the server's clock by which an entry is treated as expired, in ms. */
const FRESH = 500;

/** The members of a message from which its expiry follows. */
export interface StoredTime {
  /** Time at which the message was stored, by the server's clock, in ms since 1970. */
  readonly stored: number;
  /** Time to live of the message, in ms; absent: it does not expire. */
  readonly ttl?: number | undefined;
}

/**
 * Parses the time to live in a `Nats-TTL` header, in ms; `undefined`: the message does not expire. The header has
 * whole seconds, a duration of Go, or `never`, as the server accepts. (A ttl that this function did not recognise
 * would keep its entry alive for ever.)
 */
export function readTtl(header: string | undefined): number | undefined {
  if (header === undefined || header === "") return undefined;
  const simple = /^(\d+)s?$/.exec(header);
  if (simple !== null) return Number(simple[1]) * 1_000;
  if (!/^(?:[\d.]+(?:h|m|s|ms|us|µs|ns))+$/.test(header)) return undefined;
  let ms = 0;
  for (const [, amount, unit] of header.matchAll(/([\d.]+)(h|ms|m|s|us|µs|ns)/g)) ms += Number(amount) * UNITS[unit];
  // the ttl is rounded down to whole seconds, as the server does
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
 * A server's wall clock, known from its last readings and extrapolated by this process's monotonic clock. The wall
 * clock of this machine is not used, because it may be wrong. A reading gives two bounds, because the server read its
 * clock at some moment between request and answer; the bounds may be far apart even for a quick server, if this
 * process was busy. With the lower bound, {@link at}, no message is declared expired too early; with the upper bound,
 * {@link latest}, no schedule is made too early.
 */
export class ServerClock {
  readonly #clock: Clock;
  /** Lower bound of the server's time minus the monotonic clock, in ms; `#most`: upper bound. */
  #least = NaN;
  #most = NaN;
  /**
   * Time of the last reading of the server's clock, by the monotonic clock; `#readWall`: by the wall clock; `#asked`:
   * time at which that reading was requested, by the monotonic clock. `-Infinity`: none.
   */
  #read = -Infinity;
  #readWall = -Infinity;
  #asked = -Infinity;
  /** True if further readings do not bring the bounds closer. */
  #settled = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** True if the server's clock has been read. */
  get known(): boolean {
    return !Number.isNaN(this.#least);
  }

  /**
   * True if the bounds of the server's time are at most 50 ms apart (or {@link ServerClock.settle} was called) and were
   * read in the last 30 s. The age is also measured by the wall clock, which goes on while a machine sleeps.
   */
  get exact(): boolean {
    const age = this.#clock.monotonic() - this.#read;
    const passed = this.#clock.now() - this.#readWall;
    if (age > STEADY || Math.abs(passed - age) > ASLEEP) return false;
    return this.#settled || this.#most - this.#least <= APART;
  }

  /**
   * Makes the bounds of the server's time count as exact. Call when further readings do not bring the bounds closer,
   * because the link is slow.
   */
  settle(): void {
    this.#settled = true;
  }

  /**
   * Returns true if the last reading was requested at or after `moment` (monotonic clock) and is at most 500 ms old.
   */
  freshSince(moment: number): boolean {
    return this.#asked >= moment && this.#clock.monotonic() - this.#read <= FRESH;
  }

  /**
   * Records the server's time from an answer that has just arrived. `asked`: time of its request, by the monotonic
   * clock.
   */
  read(time: string | undefined, asked: number): void {
    const ms = Date.parse(time ?? "");
    if (Number.isNaN(ms)) return;
    const now = this.#clock.monotonic();
    const drifted = (now - this.#read) * DRIFT;
    const [least, most] = [ms - now, ms + 1 - asked];
    // an earlier, quicker reading may be more exact: the bounds of both are combined, unless they contradict each
    // other
    const [lower, upper] = [Math.max(least, this.#least - drifted), Math.min(most, this.#most + drifted)];
    const agree = lower <= upper;
    [this.#least, this.#most] = agree ? [lower, upper] : [least, most];
    this.#settled &&= agree;
    this.#read = now;
    this.#readWall = this.#clock.now();
    this.#asked = asked;
  }

  /**
   * Returns the lower bound of the server's time at a moment given by the monotonic clock, in ms since 1970; `NaN`
   * before the first reading.
   */
  at(monotonic: number): number {
    return monotonic + this.#least;
  }

  /** Returns the upper bound of the server's time at a moment given by the monotonic clock, in ms since 1970. */
  latest(monotonic: number): number {
    return monotonic + this.#most + Math.max(0, monotonic - this.#read) * DRIFT;
  }

  /**
   * Returns the time at which a message expires, by the monotonic clock. Without a ttl: `Infinity`; before the first
   * reading of the server's clock: `NaN`.
   */
  endOf({ stored, ttl }: StoredTime): number {
    return ttl === undefined ? Infinity : stored + ttl + MARGIN - this.#least;
  }
}

/**
 * Maximum drift between two clocks, in ms for each ms, for quartz clocks and a server's clock that is being
 * corrected.
 */
const DRIFT = 0.0005;
/** Maximum age of an {@link ServerClock.exact} reading, in ms. */
const STEADY = 30_000;
/** Maximum distance of the bounds of an {@link ServerClock.exact} reading, in ms. */
const APART = 50;
/** Difference between the durations by wall clock and by monotonic clock, in ms, above which the machine was asleep. */
const ASLEEP = 1_000;
