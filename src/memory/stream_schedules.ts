/** The schedules of a stream in memory: at its time, each appends its stored data to its target. */
import { parseCron } from "../data/cron.ts";
import { Fifo } from "../data/queues.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import { type LogSchedule, ttlSeconds } from "../ports/event_log.ts";
import type { NewMessage } from "./new_message.ts";

/** Times and target of a schedule. */
export interface ScheduleTimes {
  readonly target: string;
  /** Ttl of appended messages, in seconds. */
  readonly seconds: number | undefined;
  /** First due time, in ms since 1970; `next`: the first due time after a time; `undefined`: never again. */
  readonly due: number;
  next(time: number): number | undefined;
  /** Reason why servers refuse the schedule; `undefined`: it is valid. */
  readonly invalid?: string | undefined;
}

/** Reads the times of a schedule that is stored at the time `now`. */
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

/** The stream that contains the schedules. */
export interface ScheduleStream {
  /** Returns true if schedules can fire now. */
  ready(): boolean;
  /** Returns the time between a schedule's due time and its firing, in ms. */
  lag(): number;
  append(message: NewMessage): void;
  /** Removes the message under the subject of a finished schedule, even if it is another one by now. */
  purge(subject: string): void;
}

/** Pause before a due schedule is tried again while the stream cannot store messages, in ms. */
const RETRY_PAUSE = 250;
/** A pending schedule. */
interface StandingSchedule {
  readonly message: NewMessage;
  readonly schedule: ScheduleTimes;
  /** Timer until the schedule is due; `undefined`: it is about to fire. */
  timer: Timer | undefined;
  /** Due time by the time of day, in ms since 1970. */
  due: number;
}

/** A schedule that is about to fire. */
interface FiringSchedule {
  readonly message: NewMessage;
  readonly schedule: ScheduleTimes;
  /** Next due time; `undefined`: none. */
  readonly next: number | undefined;
  /** Earliest time of the firing, by the monotonic clock; a schedule fires after the one in front of it. */
  readonly at: number;
}

/**
 * Schedules by subject. Like nats-server, it takes due schedules in hand and fires them one after the other; a message
 * that replaces a schedule meanwhile is removed by that firing, or is due when the old schedule would be due again.
 */
export class StreamSchedules {
  readonly #clock: Clock;
  readonly #stream: ScheduleStream;
  readonly #standing = new Map<string, StandingSchedule>();
  readonly #taken = new Fifo<FiringSchedule>();
  /** Timer until the first schedule in hand fires. */
  #firing: Timer | undefined;

  constructor(clock: Clock, stream: ScheduleStream) {
    this.#clock = clock;
    this.#stream = stream;
  }

  /** Adds a schedule, or replaces that of this subject. */
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

  /** Call when the time of day was set: due schedules fire. */
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
    // a schedule that was due several times, as during a standstill of the process, fires once
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
    // even if another message is there by now
    if (next === undefined) return this.#stream.purge(subject);
    const standing = this.#standing.get(subject);
    standing?.timer?.cancel();
    if (standing !== undefined) this.#wait(standing, next);
  }
}

/** Headers of a schedule that its appended messages do not get. */
const REMOVED = /^Nats-(?:Schedule|Expected-|Msg-Id$|TTL$|Rollup$)/;

/** Maximum delay of a timer, in ms. */
const MAX_TIMER = 2_147_483_647;
