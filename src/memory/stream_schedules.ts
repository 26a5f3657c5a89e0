/** The schedules of a stream in memory: at its time each appends what it stores to its target. */
import { Fifo } from "../data/fifo.ts";
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
  /** How long one that is due is in hand before it fires, in ms. */
  lag(): number;
  append(message: NewMessage): void;
  /** Removes whatever stands under the subject of a schedule that is done. */
  purge(subject: string): void;
}

/** How long one waits that is due while the stream cannot store anything, in ms. */
const LATER = 250;
/** A schedule that stands under its subject. */
interface Standing {
  readonly message: NewMessage;
  readonly schedule: Scheduled;
  /** Until it is due; `undefined`: it is in hand. */
  timer: Timer | undefined;
}

/** A schedule that is about to fire. */
interface Taken {
  readonly message: NewMessage;
  readonly schedule: Scheduled;
  /** When it is due again. */
  readonly next: number | undefined;
  /** When it fires, by the monotonic clock, or behind the one before it. */
  readonly at: number;
}

/**
 * What is due later, by the subject of its schedule. As nats-server does, it takes what is due in hand, and fires one after the other;
 * what is put in the place of a schedule meanwhile is removed by its firing, or is due when that schedule would be due again.
 */
export class StreamSchedules {
  readonly #clock: Clock;
  readonly #stream: ScheduleStream;
  readonly #standing = new Map<string, Standing>();
  readonly #taken = new Fifo<Taken>();
  /** Until the first of those fires. */
  #firing: Timer | undefined;

  constructor(clock: Clock, stream: ScheduleStream) {
    this.#clock = clock;
    this.#stream = stream;
  }

  /** Adds a schedule, or replaces the one of this subject. */
  set(subject: string, message: NewMessage, schedule: Scheduled): void {
    this.delete(subject);
    const standing: Standing = { message, schedule, timer: undefined };
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

  #wait(standing: Standing, due: number): void {
    const wait = Math.min(Math.max(0, due - this.#clock.now()), LONGEST);
    standing.timer = this.#clock.after(wait, () => {
      // timers may fire early: by a rounding, or because their delay is limited
      if (this.#clock.now() < due) return this.#wait(standing, due);
      if (!this.#stream.ready()) return this.#wait(standing, this.#clock.now() + LATER);
      standing.timer = undefined;
      this.#take(standing);
    }, { background: true });
  }

  #take({ message, schedule }: Standing): void {
    // one that was due several times, as while the process stood still, fires once
    const next = schedule.next(this.#clock.now());
    this.#taken.push({ message, schedule, next, at: this.#clock.monotonic() + this.#stream.lag() });
    if (this.#taken.size === 1) this.#fireFirst();
  }

  #fireFirst(least = 0): void {
    const { first } = this.#taken;
    if (first === undefined) return;
    this.#firing = this.#clock.after(Math.max(least, first.at - this.#clock.monotonic()), () => {
      if (!this.#stream.ready()) return this.#fireFirst(LATER);
      this.#taken.shift();
      this.#fire(first.message, first.schedule, first.next);
      this.#fireFirst();
    }, { background: true });
  }

  #fire({ subject, data, headers }: NewMessage, schedule: Scheduled, next: number | undefined): void {
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
const LONGEST = 2_147_483_647;
