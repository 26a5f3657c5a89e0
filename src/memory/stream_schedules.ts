/** The schedules of a stream in memory: at its time each appends what it stores to its target. */
import type { Clock, Timer } from "../ports/clock.ts";
import type { LogSchedule } from "../ports/event_log.ts";
import { ttlSeconds } from "../ports/log_checks.ts";
import { parseCron } from "./cron.ts";
import type { NewMessage } from "./new_message.ts";

/** When, and to which subject, a stored message is appended. */
export interface Scheduled {
  readonly target: string;
  /** How long what is appended stays, in seconds. */
  readonly seconds: number | undefined;
  /** When it is due first, and the first time after a time, in ms since 1970; `undefined`: never again. */
  readonly due: number;
  next(time: number): number | undefined;
  /** Why no server takes it. */
  readonly invalid?: string | undefined;
}

/** When a schedule that is stored at the time `now` is due. */
export function scheduled({ at, zone, target, ttl }: LogSchedule, now: number): Scheduled {
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
  /** Whether one can fire now. */
  ready(): boolean;
  append(message: NewMessage): void;
  /** Removes a schedule that is done. */
  purge(subject: string): void;
}

/** How long one waits that is due while the stream cannot store anything, in ms. */
const LATER = 250;

/** What is due later, by the subject of its schedule. */
export class StreamSchedules {
  readonly #clock: Clock;
  readonly #stream: ScheduleStream;
  readonly #timers = new Map<string, Timer>();

  constructor(clock: Clock, stream: ScheduleStream) {
    this.#clock = clock;
    this.#stream = stream;
  }

  /** Adds a schedule, or replaces the one of this subject. */
  set(subject: string, message: NewMessage, schedule: Scheduled): void {
    this.delete(subject);
    this.#wait(subject, message, schedule, schedule.due);
  }

  delete(subject: string): void {
    this.#timers.get(subject)?.cancel();
    this.#timers.delete(subject);
  }

  close(): void {
    for (const subject of [...this.#timers.keys()]) this.delete(subject);
  }

  #wait(subject: string, message: NewMessage, schedule: Scheduled, due: number): void {
    const wait = Math.min(Math.max(0, due - this.#clock.now()), LONGEST);
    const timer = this.#clock.after(wait, () => {
      if (this.#timers.get(subject) !== timer) return;
      // timers may fire early: by a rounding, or because their delay is limited
      if (this.#clock.now() < due) return this.#wait(subject, message, schedule, due);
      if (!this.#stream.ready()) return this.#wait(subject, message, schedule, this.#clock.now() + LATER);
      this.#fire(subject, message, schedule);
    }, { background: true });
    this.#timers.set(subject, timer);
  }

  #fire(subject: string, { data, headers }: NewMessage, schedule: Scheduled): void {
    // one that was due several times, as while the process stood still, fires once
    const next = schedule.next(this.#clock.now());
    this.#timers.delete(subject);
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
    if (next === undefined) this.#stream.purge(subject);
    else this.#wait(subject, { subject, data, headers }, schedule, next);
  }
}

/** Headers of a schedule that what it appends does not have. */
const REMOVED = /^Nats-(?:Schedule|Expected-|Msg-Id$|TTL$|Rollup$)/;

/** The longest delay of a timer, in ms. */
const LONGEST = 2_147_483_647;
