/**
 * The wall clock of a time zone, with its changes (daylight saving), from the runtime's time zone database. A wall
 * clock time is given in ms since 1970, for use with the UTC methods of `Date`.
 *
 * @decides when the clocks of a time zone change
 */

/** The offsets of a wall clock to UTC. */
export interface ZoneClock {
  /** Returns the offset to UTC at `time` (ms since 1970), in ms. */
  offset(time: number): number;
  /** Returns the first change of the offset after `time` and before `limit`; `undefined`: none. */
  changeAfter(time: number, limit: number): number | undefined;
}

/** Returns the clock of a time zone; `undefined`: UTC. Throws a `RangeError` for an unknown zone. */
export function zoneClock(zone: string): ZoneClock | undefined {
  return zone === "UTC" ? undefined : new DatabaseClock(zone);
}

/** Returns the first time at which the clock shows `wall`, or, if a change skips `wall`, the time of the change. */
export function firstAt(clock: ZoneClock, wall: number): number {
  // no clock is 2 days from UTC
  let from = wall - 2 * DAY;
  for (;;) {
    const change = clock.changeAfter(from, wall + 2 * DAY);
    const at = Math.max(from, wall - clock.offset(from));
    if (change === undefined || at < change) return at;
    from = change;
  }
}

const DAY = 86_400_000;
/** Assumed minimum time between two changes, in ms. (Morocco changes twice within 5 weeks.) */
const SPAN = 14 * DAY;

/** The offsets within a span. `change`: time at which `before` becomes `after`; `Infinity`: no change. */
interface Span {
  readonly before: number;
  readonly change: number;
  readonly after: number;
}

class DatabaseClock implements ZoneClock {
  readonly #format: Intl.DateTimeFormat;
  /** The spans asked for so far, by their number since 1970: the runtime takes microseconds for each look at it. */
  readonly #spans = new Map<number, Span>();

  constructor(zone: string) {
    this.#format = new Intl.DateTimeFormat("en-US", {
      timeZone: zone,
      calendar: "gregory",
      numberingSystem: "latn",
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
    // Intl also accepts offsets, and names in upper or lower case
    const { timeZone } = this.#format.resolvedOptions();
    if (/(?:^|\/)[^A-Z]/.test(zone) || (timeZone !== zone && timeZone.toUpperCase() === zone.toUpperCase())) {
      throw new RangeError(`the time zone ${JSON.stringify(zone)} is not the name of one, like "Europe/Berlin"`);
    }
  }

  offset(time: number): number {
    const { before, change, after } = this.#span(Math.floor(time / SPAN));
    return time < change ? before : after;
  }

  changeAfter(time: number, limit: number): number | undefined {
    for (let span = Math.floor(time / SPAN); span * SPAN < limit; span++) {
      const { change } = this.#span(span);
      if (change > time && change < limit) return change;
    }
    return undefined;
  }

  #span(number: number): Span {
    let span = this.#spans.get(number);
    if (span === undefined) {
      const start = number * SPAN;
      const before = this.#spans.get(number - 1)?.after ?? this.#shown(start);
      const after = this.#shown(start + SPAN);
      span = { before, change: before === after ? Infinity : this.#change(start, start + SPAN, before), after };
      this.#spans.set(number, span);
    }
    return span;
  }

  /** Finds the second at which the offset `before` ends, between two times with different offsets. */
  #change(from: number, to: number, before: number): number {
    while (to - from > 1_000) {
      const middle = Math.floor((from + to) / 2_000) * 1_000;
      if (this.#shown(middle) === before) from = middle;
      else to = middle;
    }
    return to;
  }

  /** Reads the offset at a time in whole seconds from the runtime's database. */
  #shown(time: number): number {
    const parts = Object.fromEntries(this.#format.formatToParts(time).map(({ type, value }) => [type, Number(value)]));
    return Date.UTC(parts.year, parts.month - 1, parts.day, parts.hour, parts.minute, parts.second) - time;
  }
}
