/**
 * The expiry rule: an entry has expired when its ttl and a margin of 500 ms have passed since it was stored, by the
 * server's clock, even if the server still has it. nats-server 2.15 forgets the ttl of entries at some restarts
 * (SIGTERM, start, SIGKILL, start), restores entries that had expired, and cannot expire an entry while its store is
 * full. So every reader applies the rule itself, by the time of storing and the ttl that come with each message;
 * entries of `@nats-io/kv` have no ttl (docs/internals/packages.md, row `watch`).
 */
import type { Clock } from "../ports/clock.ts";

/** How long a server may still have an entry after its ttl, in ms: a healthy one expires it up to 320 ms late. */
export const MARGIN = 500;
/** How old a reading of the server's clock may be when an entry is declared expired by it, in ms. */
const FRESH = 500;

/** Part of a message that its expiry depends on. */
export interface StoredTime {
  /** When it was stored, by the server's clock, in ms since 1970. */
  readonly stored: number;
  /** In ms; absent: it does not expire. */
  readonly ttl?: number | undefined;
}

/**
 * The ttl in a `Nats-TTL` header, in ms; `undefined` if the message does not expire. The server accepts whole seconds,
 * durations of Go, and `never`. A ttl that is not recognised here would keep its entry alive for ever.
 */
export function readTtl(header: string | undefined): number | undefined {
  if (header === undefined || header === "") return undefined;
  const simple = /^(\d+)s?$/.exec(header);
  if (simple !== null) return Number(simple[1]) * 1_000;
  if (!/^(?:[\d.]+(?:h|m|s|ms|us|µs|ns))+$/.test(header)) return undefined;
  let ms = 0;
  for (const [, amount, unit] of header.matchAll(/([\d.]+)(h|ms|m|s|us|µs|ns)/g)) ms += Number(amount) * UNITS[unit];
  // the server, too, rounds down
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
 * A server's wall clock: its last readings, carried forward by this process's monotonic clock. The wall clock of this
 * machine, which may be wrong, has no part in it.
 *
 * A reading gives two bounds, because the server read its clock at some moment between request and answer: that may be
 * long, also if the server was quick and this process was busy. By {@link at} a message is never taken as expired too
 * early; by {@link latest} a schedule never comes too early.
 */
export class ServerClock {
  readonly #clock: Clock;
  /** The server's time less the monotonic clock, in ms: at least, and at most. */
  #least = NaN;
  #most = NaN;
  /** When it was last read, by both clocks, and when that was requested. */
  #read = -Infinity;
  #readWall = -Infinity;
  #asked = -Infinity;
  /** Its bounds are as close as they get. */
  #settled = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** True if it has been read. */
  get known(): boolean {
    return !Number.isNaN(this.#least);
  }

  /**
   * True if its bounds are at most 50 ms apart, or settled, and were read in the last 30 s: by the wall clock, too,
   * which goes on while a machine sleeps.
   */
  get exact(): boolean {
    const age = this.#clock.monotonic() - this.#read;
    const passed = this.#clock.now() - this.#readWall;
    if (age > STEADY || Math.abs(passed - age) > ASLEEP) return false;
    return this.#settled || this.#most - this.#least <= APART;
  }

  /** Says that more readings do not bring its bounds closer: the link is slow. */
  settle(): void {
    this.#settled = true;
  }

  /**
   * Returns true if its last reading was requested at or after `moment` of the monotonic clock, and is at most 500 ms
   * old.
   */
  freshSince(moment: number): boolean {
    return this.#asked >= moment && this.#clock.monotonic() - this.#read <= FRESH;
  }

  /** Takes the time in an answer that has just arrived; `asked` is when it was requested, by the monotonic clock. */
  read(time: string | undefined, asked: number): void {
    const ms = Date.parse(time ?? "");
    if (Number.isNaN(ms)) return;
    const now = this.#clock.monotonic();
    const drifted = (now - this.#read) * DRIFT;
    const [least, most] = [ms - now, ms + 1 - asked];
    // an earlier, quicker reading may be more exact, as long as it agrees
    const [lower, upper] = [Math.max(least, this.#least - drifted), Math.min(most, this.#most + drifted)];
    const agree = lower <= upper;
    [this.#least, this.#most] = agree ? [lower, upper] : [least, most];
    this.#settled &&= agree;
    this.#read = now;
    this.#readWall = this.#clock.now();
    this.#asked = asked;
  }

  /**
   * The server's time at a moment of the monotonic clock, in ms since 1970, at least; `NaN` before the first reading.
   */
  at(monotonic: number): number {
    return monotonic + this.#least;
  }

  /** The latest time that the server's clock may show now. */
  latest(monotonic: number): number {
    return monotonic + this.#most + Math.max(0, monotonic - this.#read) * DRIFT;
  }

  /** When a message expires, by the monotonic clock: `Infinity` without a ttl, else `NaN` before the first reading. */
  endOf({ stored, ttl }: StoredTime): number {
    return ttl === undefined ? Infinity : stored + ttl + MARGIN - this.#least;
  }
}

/** Greatest drift of two clocks, in ms for each ms: quartz, and a server's clock that is being set right. */
const DRIFT = 0.0005;
/** How old a reading may be that is {@link ServerClock.exact}, and how far apart its bounds, in ms. */
const STEADY = 30_000;
const APART = 50;
/** Greatest difference between the two clocks of a machine about a duration, in ms, unless it slept. */
const ASLEEP = 1_000;
