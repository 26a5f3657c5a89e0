/** The schedules of a stream in memory: at its time each appends what it stores to its target. */
import { parseCron } from "../data/cron.ts";
import { Fifo } from "../data/queues.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import { type LogSchedule, ttlSeconds } from "../ports/event_log.ts";
import type { NewMessage } from "./new_message.ts";

/** When, and to which subject, a stored message is appended. */
export interface ScheduleTimes {
  readonly target: string;
  /** Ttl of appended messages, in seconds. */
  readonly seconds: number | undefined;
  /** When it is due first, and the first time after a time, in ms since 1970; `undefined`: never again. */
  readonly due: number;
  next(time: number): number | undefined;
  /** Why no server takes it. */
  readonly invalid?: string | undefined;
}

/** When a schedule that is stored at the time `now` is due. */
export function scheduled({ at, zone, target, ttl }: LogSchedule, now: number): ScheduleTimes {
  const seconds = ttl === undefined ? undefined : ttlSeconds(ttl);
  if (typeof at === "number") return { target, seconds, due: at, next: () => undefined };
  try {
    const { next } = parseCron(at, zone);
    const due = next(now);
    if (due !== undefined) return { target, seconds, due, next };
    return { target, seconds, due: now, next, invalid: `cron ${JSON.stringify(at)} is never due` };
  } catch (error) {
    return { target, seconds, due: now, next: () => undefined, invalid: (error as Error).message };
  }
}

/** The stream that schedules are in. */
export interface ScheduleStream {
  /** Returns true if its schedules can fire now. */
  ready(): boolean;
  /** How long a schedule that is due is in the server's hand before it fires, in ms. */
  lag(): number;
  append(message: NewMessage): void;
  /** Removes whatever stands under the subject of a schedule that is done. */
  purge(subject: string): void;
}

/** How long one waits that is due while the stream cannot store anything, in ms. */
const RETRY_PAUSE = 250;
/** A schedule that stands under its subject. */
interface StandingSchedule {
  readonly message: NewMessage;
  readonly schedule: ScheduleTimes;
  /** Timer until it is due; `undefined`: it is in hand. */
  timer: Timer | undefined;
  /** By the time of day, in ms since 1970. */
  due: number;
}

/** A schedule that is about to fire. */
interface FiringSchedule {
  readonly message: NewMessage;
  readonly schedule: ScheduleTimes;
  /** When it is due again. */
  readonly next: number | undefined;
  /** When it fires, by the monotonic clock, or behind the one before it. */
  readonly at: number;
}

/**
 * Schedules by subject. As nats-server does, it takes what is due in hand, and fires one
 * after the other; what is put in the place of a schedule meanwhile is removed by its firing, or is due when that
 * schedule would be due again.
 */
export class StreamSchedules {
  readonly #clock: Clock;
  readonly #stream: ScheduleStream;
  readonly #standing = new Map<string, StandingSchedule>();
  readonly #taken = new Fifo<FiringSchedule>();
  /** Timer until the first of them fires. */
  #firing: Timer | undefined;

  constructor(clock: Clock, stream: ScheduleStream) {
    this.#clock = clock;
    this.#stream = stream;
  }

  /** Adds a schedule, or replaces the one of this subject. */
  set(subject: string, message: NewMessage, schedule: ScheduleTimes): void {
    this.delete(subject);
    const standing: StandingSchedule = { message, schedule, timer: undefined, due: schedule.due };
    this.#standing.set(subject, standing);
    this.#wait(standing, schedule.due);
  }

  /** Removes the schedule of a subject, unless it is about to fire. */
  delete(subject: string): void {
    this.#standing.get(subject)?.timer?.cancel();
    this.#standing.delete(subject);
  }

  close(): void {
    for (const subject of [...this.#standing.keys()]) this.delete(subject);
    this.#firing?.cancel();
    while (this.#taken.shift() !== undefined);
  }

  /** The time of day has been set: what is due by now fires. */
  leapt(): void {
    for (const standing of this.#standing.values()) {
      if (standing.timer === undefined) continue;
      standing.timer.cancel();
      this.#wait(standing, standing.due);
    }
  }

  #wait(standing: StandingSchedule, due: number): void {
    standing.due = due;
    const wait = Math.min(Math.max(0, due - this.#clock.now()), MAX_TIMER);
    standing.timer = this.#clock.after(wait, () => {
      // timers may fire early: by a rounding, or because their delay is limited
      if (this.#clock.now() < due) return this.#wait(standing, due);
      if (!this.#stream.ready()) return this.#wait(standing, this.#clock.now() + RETRY_PAUSE);
      standing.timer = undefined;
      this.#take(standing);
    }, { background: true });
  }

  #take({ message, schedule }: StandingSchedule): void {
    // one that was due several times, as while the process stood still, fires once
    const next = schedule.next(this.#clock.now());
    this.#taken.push({ message, schedule, next, at: this.#clock.monotonic() + this.#stream.lag() });
    if (this.#taken.size === 1) this.#fireFirst();
  }

  #fireFirst(least = 0): void {
    const { first } = this.#taken;
    if (first === undefined) return;
    this.#firing = this.#clock.after(Math.max(least, first.at - this.#clock.monotonic()), () => {
      if (!this.#stream.ready()) return this.#fireFirst(RETRY_PAUSE);
      this.#taken.shift();
      this.#fire(first.message, first.schedule, first.next);
      this.#fireFirst();
    }, { background: true });
  }

  #fire({ subject, data, headers }: NewMessage, schedule: ScheduleTimes, next: number | undefined): void {
    const own = Object.entries(headers ?? {}).filter(([name]) => !REMOVED.test(name));
    this.#stream.append({
      subject: schedule.target,
      data,
      seconds: schedule.seconds,
      headers: Object.freeze({
        ...Object.fromEntries(own),
        "Nats-Scheduler": subject,
        "Nats-Schedule-Next": next === undefined ? "purge" : new Date(next).toISOString().replace(".000Z", "Z"),
        ...(schedule.seconds === undefined ? {} : { "Nats-TTL": `${schedule.seconds}s` }),
      }),
    });
    // whatever stands there by now
    if (next === undefined) return this.#stream.purge(subject);
    const standing = this.#standing.get(subject);
    standing?.timer?.cancel();
    if (standing !== undefined) this.#wait(standing, next);
  }
}

/** Headers of a schedule that what it appends does not have. */
const REMOVED = /^Nats-(?:Schedule|Expected-|Msg-Id$|TTL$|Rollup$)/;

/** The longest delay of a timer, in ms. */
const MAX_TIMER = 2_147_483_647;
