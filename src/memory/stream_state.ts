/**
 * The messages of one stream in memory: what the server stores, without clients.
 */
import { CatgaError } from "../error.ts";
import { Fifo } from "../data/queues.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import {
  type Appended,
  appendHeaders,
  type AppendOptions,
  type LogOptions,
  type LogSchedule,
  type LogState,
  type StoredMessage,
  ttlSeconds,
} from "../ports/event_log.ts";
import { MessageList } from "./message_list.ts";
import { isPattern, matcher } from "./subject_match.ts";
import { parseCron } from "../data/cron.ts";

/** Answer of {@link StreamState.append}. */
export type Verdict = Exclude<Appended, { readonly type: "unknown" }>;

/** How a stream begins. */
interface StreamOrigin {
  /** When it was created. */
  readonly created: string;
  /** Its first sequence is the time now in ms, or this if that is greater. */
  readonly least: number;
  /** Returns true if its schedules can fire now. */
  ready(): boolean;
  /** How long a schedule that is due is in the server's hand before it fires, in ms. */
  lag(): number;
}

/** How long ids are remembered, in ms. */
const DEDUPE = 120_000;

/** The stored messages of one stream. */
export class StreamState {
  readonly settings: Readonly<LogOptions>;
  /** When it was created. */
  readonly created: string;
  /** Returns true if a subject is one of its own. */
  readonly takes: (subject: string) => boolean;
  readonly #clock: Clock;
  readonly #log: MessageList;
  readonly #schedules: StreamSchedules;
  readonly #ids = new Map<string, { readonly sequence: number; readonly until: number }>();
  /** Messages that expire, by their ttl in seconds: in the order of their ends. */
  readonly #expiring = new Map<number, Fifo<{ readonly sequence: number; readonly end: number }>>();
  /** When the next message is to expire, by the monotonic clock. */
  #expiry = Infinity;
  readonly #observers = new Set<() => void>();
  #gone = false;
  #interruptions = 0;

  /** An empty stream. */
  constructor(clock: Clock, settings: Readonly<LogOptions>, { created, least, ready, lag }: StreamOrigin) {
    this.#clock = clock;
    this.settings = settings;
    this.created = created;
    this.#log = new MessageList(Math.max(Math.floor(clock.now()), least));
    this.takes = matcher(settings.subjects);
    this.#schedules = new StreamSchedules(clock, {
      ready,
      lag,
      append: (message) => this.append(message),
      purge: (subject) => this.purge(subject),
    });
  }

  /** How often its consumers were lost: with messages, or with its leader. */
  get interruptions(): number {
    return this.#interruptions;
  }

  /** The sequence of its first message, or of the next one. */
  get first(): number {
    return this.#log.first;
  }

  /** The sequence of the next message. */
  get next(): number {
    return this.#log.next;
  }

  state(): LogState {
    const { first, next, messages, bytes } = this.#log;
    return Object.freeze({
      created: this.created,
      first,
      last: next - 1,
      messages,
      bytes,
      maxBytes: undefined,
      now: this.#clock.now(),
    });
  }

  append(message: NewMessage): Verdict {
    const { subject, id, expect, seconds, rollup } = message;
    if (this.settings.lasting && (rollup || seconds !== undefined)) {
      const error = new CatgaError("INVALID_MESSAGE", "the stream takes no messages with a ttl or a rollup");
      return { type: "not stored", passing: false, error };
    }
    const schedule = message.schedule && scheduled(message.schedule, this.#clock.now());
    const invalid = schedule && this.#refuse(subject, schedule);
    if (invalid) return { type: "not stored", passing: false, error: invalid };
    if (expect !== undefined && (this.#log.last(subject)?.sequence ?? 0) !== expect) return { type: "conflict" };
    this.#forgetIds();
    const known = id === undefined ? undefined : this.#ids.get(id);
    if (known) return { type: "stored", sequence: known.sequence, duplicate: true };
    // as nats-server does, a schedule replaces what its subject has
    if (rollup || schedule) this.purge(subject);
    else this.#schedules.delete(subject);
    const sequence = this.#log.push({ ...message, time: Math.floor(this.#clock.now()) });
    if (id !== undefined) this.#ids.set(id, { sequence, until: this.#clock.monotonic() + DEDUPE });
    if (seconds !== undefined) this.#expire(sequence, seconds);
    if (schedule) this.#schedules.set(subject, message, schedule);
    for (const observer of [...this.#observers]) observer();
    return { type: "stored", sequence, duplicate: false };
  }

  /** The message of a sequence. */
  at(sequence: number): StoredMessage | undefined {
    return this.#log.at(sequence);
  }

  /** The last message of a subject; of those before a sequence. */
  last(subject: string, before = Infinity): StoredMessage | undefined {
    if (before >= this.next) return this.#log.last(subject);
    const sequence = this.#log.sequences(subject, before).at(-1);
    return sequence === undefined ? undefined : this.at(sequence);
  }

  /** The time of day has been set. */
  leapt(): void {
    this.#schedules.leapt();
  }

  /** The subjects, of those that match a pattern, that have messages. */
  subjects(pattern: string): string[] {
    const matches = isPattern(pattern) ? matcher([pattern]) : (subject: string) => subject === pattern;
    return [...this.#log.subjects].filter(matches);
  }

  /** The last message of each subject that matches a pattern, of those before a sequence, in order. */
  lasts(pattern: string, before: number): StoredMessage[] {
    const found = this.subjects(pattern).flatMap((subject) => this.last(subject, before) ?? []);
    return found.sort((a, b) => a.sequence - b.sequence);
  }

  /** The messages of a subject (a pattern) from a sequence on, `most` at most; of those before a sequence. */
  read(subject: string, from: number, most: number, before = Infinity): StoredMessage[] {
    return this.#log.sequences(subject, before, from, most).map((sequence) => this.at(sequence)!);
  }

  /** The sequence of the first message that was stored at a time or later, or of the next one. */
  since(time: number): number {
    let found = this.next;
    for (let sequence = this.next - 1; sequence >= this.#log.first; sequence--) {
      const message = this.at(sequence);
      if (message && message.time < time) break;
      if (message) found = sequence;
    }
    return found;
  }

  /** Removes the messages of a subject (a pattern), those before a sequence. Returns their number. */
  purge(subject: string, before = Infinity): number {
    const purged = this.#log.sequences(subject, before);
    for (const sequence of purged) this.#remove(sequence);
    return purged.length;
  }

  /** Loses all messages behind a sequence, and what is known of them: the next message gets the sequence behind it. */
  truncate(last: number): void {
    for (let sequence = Math.max(last + 1, this.#log.first); sequence < this.next; sequence++) this.#remove(sequence);
    this.#log.truncate(last);
    for (const [id, { sequence }] of this.#ids) {
      if (sequence > last) this.#ids.delete(id);
    }
    // other messages will get their sequences
    for (const queue of this.#expiring.values()) queue.keep(({ sequence }) => sequence <= last);
    this.interrupt();
  }

  /** Ends it: its schedules fire no more, its messages are lost. */
  remove(): void {
    this.#gone = true;
    this.#schedules.close();
    this.interrupt();
  }

  /** Calls back synchronously when there may be something new, until the returned function is called. */
  observe(observer: () => void): () => void {
    this.#observers.add(observer);
    return () => this.#observers.delete(observer);
  }

  /** Its consumers are lost. */
  interrupt(): void {
    this.#interruptions++;
    for (const observer of [...this.#observers]) observer();
  }

  #refuse(subject: string, { target, invalid }: ScheduleTimes): CatgaError | undefined {
    if (invalid) return new CatgaError("INVALID_MESSAGE", invalid);
    if (!this.settings.schedules) return new CatgaError("UNSUPPORTED", "the stream takes no schedules");
    if (target !== subject && !isPattern(target) && this.takes(target)) return undefined;
    return new CatgaError(
      "INVALID_MESSAGE",
      `a schedule's target is another subject of its stream, without wildcards; got ${JSON.stringify(target)}`,
    );
  }

  #remove(sequence: number): void {
    const removed = this.#log.remove(sequence);
    if (removed && this.#log.last(removed.subject) === undefined) this.#schedules.delete(removed.subject);
  }

  #forgetIds(): void {
    const now = this.#clock.monotonic();
    for (const [id, { until }] of this.#ids) {
      if (until > now) return;
      this.#ids.delete(id);
    }
  }

  #expire(sequence: number, seconds: number): void {
    let queue = this.#expiring.get(seconds);
    if (!queue) this.#expiring.set(seconds, queue = new Fifo());
    queue.push({ sequence, end: this.#clock.monotonic() + seconds * 1_000 });
    this.#armExpiry();
  }

  #armExpiry(): void {
    let next = Infinity;
    for (const { first } of this.#expiring.values()) next = Math.min(next, first?.end ?? Infinity);
    if (next >= this.#expiry) return;
    this.#expiry = next;
    this.#clock.after(Math.max(0, next - this.#clock.monotonic()), () => {
      if (this.#expiry === next) this.#expireDue();
    }, { background: true });
  }

  #expireDue(): void {
    const now = this.#clock.monotonic();
    for (const [seconds, queue] of this.#expiring) {
      while (queue.first && queue.first.end <= now) this.#remove(queue.shift()!.sequence);
      if (queue.size === 0) this.#expiring.delete(seconds);
    }
    this.#expiry = Infinity;
    if (!this.#gone) this.#armExpiry();
  }
}

// The schedules of a stream in memory: at its time each appends what it stores to its target.

/** When, and to which subject, a stored message is appended. */
interface ScheduleTimes {
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
interface ScheduleStream extends Pick<StreamOrigin, "ready" | "lag"> {
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

// A message on its way into a stream in memory, with the headers that it has on NATS.

/** A message to be stored. */
export interface NewMessage extends Pick<AppendOptions, "id" | "expect" | "rollup" | "schedule"> {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers: Readonly<Record<string, string>> | undefined;
  /** Ttl, in seconds. */
  readonly seconds?: number | undefined;
}

const encoder = new TextEncoder();

/** The message of an append whose arguments were checked. */
export function newMessage(subject: string, data: string | Uint8Array, options: AppendOptions): NewMessage {
  const { id, ttl, expect, rollup, schedule } = options;
  const own = Object.entries(options.headers ?? {}).map(([name, value]) => [name, value.trim()]);
  // a schedule replaces what its subject has
  const headers = appendHeaders({
    ...options,
    headers: Object.fromEntries(own),
    rollup: rollup || schedule !== undefined,
  });
  return {
    subject,
    data: typeof data === "string" ? encoder.encode(data) : new Uint8Array(data),
    headers: headers && Object.keys(headers).length > 0 ? Object.freeze(headers) : undefined,
    seconds: ttl === undefined ? undefined : ttlSeconds(ttl),
    ...{ id, expect, rollup, schedule },
  };
}
