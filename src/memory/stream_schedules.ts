/**
 * The schedules of a stream in memory. At its due time, each appends the message stored with it to its target
 * subject.
 */
import { parseCron } from "../data/cron.ts";
import { Fifo } from "../data/fifo.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import { type LogSchedule, ttlSeconds } from "../ports/event_log.ts";
import type { NewMessage } from "./new_message.ts";

/** Due times and target of a schedule. */
export interface ScheduleTimes {
  readonly target: string;
  /** Time to live of the messages that the schedule appends, in seconds; `undefined`: they do not expire. */
  readonly seconds: number | undefined;
  /**
   * First due time of the schedule, in ms since 1970. `next` returns the first due time after a given time;
   * `undefined`: never again.
   */
  readonly due: number;
  next(time: number): number | undefined;
  /** Why servers refuse the schedule; `undefined`: it is valid. */
  readonly invalid?: string | undefined;
}

/** Computes the due times of a schedule that is stored at the time `now`. */
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

/** The stream that has the schedules, as they use it. */
export interface ScheduleStream {
  /** Returns true if the stream can store messages now, so that schedules can fire. */
  ready(): boolean;
  /** Draws the time between a schedule's due time and its firing, in ms. */
  lag(): number;
  /** Stores the message of a schedule that has fired. `time`: when, in whole ms since 1970; default: now. */
  append(message: NewMessage, time?: number): void;
  /**
   * Removes the message stored under the subject of a finished schedule, even if another message has been stored there
   * since the schedule became due.
   */
  purge(subject: string): void;
}

/** Pause before a due schedule is tried again while the stream cannot store messages, in ms. */
const RETRY_PAUSE = 250;
/** A schedule that is not due yet. */
interface StandingSchedule {
  readonly message: NewMessage;
  readonly schedule: ScheduleTimes;
  /** Timer that fires when the schedule is due; `undefined`: it is about to fire. */
  timer: Timer | undefined;
  /** Due time by the time of day, in ms since 1970. */
  due: number;
}

/** A due schedule that is about to fire. */
interface FiringSchedule {
  readonly message: NewMessage;
  readonly schedule: ScheduleTimes;
  /** Next due time of the schedule, in ms since 1970; `undefined`: it fires for the last time. */
  readonly next: number | undefined;
  /** Earliest time of the firing, by the monotonic clock. Schedules fire one after the other. */
  readonly at: number;
}

/**
 * Schedules by subject. Like nats-server, this class takes all due schedules at once and fires them one after the
 * other. A message that is stored in place of a schedule that is about to fire is removed by the firing, or becomes due
 * when the old schedule would be due again.
 */
export class StreamSchedules {
  readonly #clock: Clock;
  readonly #stream: ScheduleStream;
  readonly #standing = new Map<string, StandingSchedule>();
  readonly #taken = new Fifo<FiringSchedule>();
  /** Timer that fires the first of the due schedules, which wait to fire one after the other. */
  #firing: Timer | undefined;

  constructor(clock: Clock, stream: ScheduleStream) {
    this.#clock = clock;
    this.#stream = stream;
  }

  /** Adds a schedule, replacing the schedule of the same subject. */
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

  /** Fires the schedules that are due now. Call when the clock's time of day has jumped. */
  leapt(): void {
    for (const standing of this.#standing.values()) {
      if (standing.timer === undefined) continue;
      standing.timer.cancel();
      this.#wait(standing, standing.due);
    }
  }

  /** Fires the schedules of a process that has ended ({@link LogSchedule.ofProcess}). */
  processEnded(): void {
    for (const standing of this.#standing.values()) {
      if (standing.timer === undefined || !standing.message.schedule?.ofProcess) continue;
      standing.timer.cancel();
      this.#wait(standing, this.#clock.now());
    }
  }

  #wait(standing: StandingSchedule, due: number): void {
    standing.due = due;
    const wait = Math.min(Math.max(0, due - this.#clock.now()), MAX_TIMER);
    standing.timer = this.#clock.after(wait, () => {
      // the schedule is not due yet: timers may fire early, by a rounding or because their delay is limited
      if (this.#clock.now() < due) return this.#wait(standing, due);
      if (!this.#stream.ready()) return this.#wait(standing, this.#clock.now() + RETRY_PAUSE);
      standing.timer = undefined;
      this.#take(standing);
    }, { background: true });
  }

  #take({ message, schedule }: StandingSchedule): void {
    // the next time is computed from now: a schedule that was due several times, as during a standstill of the
    // process, fires once
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

  #fire(message: NewMessage, schedule: ScheduleTimes, next: number | undefined): void {
    const { subject } = message;
    this.#stream.append(firedMessage(message, schedule, next));
    // a message that was stored under the schedule's subject since the schedule became due is removed, too, as
    // nats-server does
    if (next === undefined) return this.#stream.purge(subject);
    const standing = this.#standing.get(subject);
    standing?.timer?.cancel();
    if (standing !== undefined) this.#wait(standing, next);
  }
}

/**
 * Makes the message that a schedule appends when it fires. `next`: next due time of the schedule, in ms since 1970;
 * `undefined`: it fires for the last time.
 */
export function firedMessage(
  { subject, data, headers }: Pick<NewMessage, "subject" | "data" | "headers">,
  { target, seconds }: ScheduleTimes,
  next: number | undefined,
): NewMessage {
  const own = Object.entries(headers ?? {}).filter(([name]) => !REMOVED.test(name));
  return {
    subject: target,
    data,
    seconds,
    headers: Object.freeze({
      ...Object.fromEntries(own),
      "Nats-Scheduler": subject,
      "Nats-Schedule-Next": next === undefined ? "purge" : new Date(next).toISOString().replace(".000Z", "Z"),
      ...(seconds === undefined ? {} : { "Nats-TTL": `${seconds}s` }),
    }),
  };
}

/** Headers of a schedule that its appended messages do not get. */
const REMOVED = /^Nats-(?:Schedule|Expected-|Msg-Id$|TTL$|Rollup$)/;

/** Maximum delay of a timer, in ms. */
const MAX_TIMER = 2_147_483_647;
