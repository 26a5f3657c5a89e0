/** The messages of one stream in memory, on the side of the simulated server. */
import { CatgaError } from "../error.ts";
import { Fifo } from "../data/fifo.ts";
import type { Clock } from "../ports/clock.ts";
import type { Appended, LogOptions, LogState, StoredMessage } from "../ports/event_log.ts";
import { MessageList } from "./message_list.ts";
import type { NewMessage } from "./new_message.ts";
import { scheduled, type ScheduleStream, type ScheduleTimes, StreamSchedules } from "./stream_schedules.ts";
import { isPattern, matcher } from "./subject_match.ts";

/** Outcome of {@link StreamState.append}, which is always known to the simulated server. */
export type Verdict = Exclude<Appended, { readonly type: "unknown" }>;

/** How a stream was made: when, and with which first sequence. */
interface StreamOrigin extends Pick<ScheduleStream, "ready" | "lag"> {
  /** Time at which the stream was made, as an ISO string. */
  readonly created: string;
  /**
   * Minimum sequence of the stream's first message. The first sequence is the present time in ms if that is greater.
   */
  readonly least: number;
}

/** Time for which the stream remembers the ids of messages, to detect duplicates, in ms. */
const DEDUPE = 120_000;

/** The stored messages of one stream. */
export class StreamState {
  readonly settings: Readonly<LogOptions>;
  /** Time at which the stream was made; it identifies the stream. */
  readonly created: string;
  /** Returns true if a subject belongs to the stream. */
  readonly takes: (subject: string) => boolean;
  readonly #clock: Clock;
  readonly #log: MessageList;
  readonly #schedules: StreamSchedules;
  readonly #ids = new Map<string, { readonly sequence: number; readonly until: number }>();
  /** Messages that expire, by ttl in seconds; each queue is in the order of expiry. */
  readonly #expiring = new Map<number, Fifo<{ readonly sequence: number; readonly end: number }>>();
  /** Time at which the next message expires, by the monotonic clock. */
  #expiry = Infinity;
  readonly #observers = new Set<() => void>();
  #gone = false;
  #interruptions = 0;

  /** Makes an empty stream. */
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

  /** Number of times that all consumers of the stream were lost, because the stream lost messages or its leader. */
  get interruptions(): number {
    return this.#interruptions;
  }

  /** Sequence of the stream's first message; if there is none, of the next message. */
  get first(): number {
    return this.#log.first;
  }

  /** Sequence that the next message of the stream will get. */
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
    // a schedule replaces the message of its subject, as on nats-server
    if (rollup || schedule) this.purge(subject);
    else this.#schedules.delete(subject);
    const sequence = this.#log.push({ ...message, time: Math.floor(this.#clock.now()) });
    if (id !== undefined) this.#ids.set(id, { sequence, until: this.#clock.monotonic() + DEDUPE });
    if (seconds !== undefined) this.#expire(sequence, seconds);
    if (schedule) this.#schedules.set(subject, message, schedule);
    for (const observer of [...this.#observers]) observer();
    return { type: "stored", sequence, duplicate: false };
  }

  /** Returns the message with this sequence. */
  at(sequence: number): StoredMessage | undefined {
    return this.#log.at(sequence);
  }

  /** Returns the last message of a subject before a sequence. */
  last(subject: string, before = Infinity): StoredMessage | undefined {
    if (before >= this.next) return this.#log.last(subject);
    const sequence = this.#log.sequences(subject, before).at(-1);
    return sequence === undefined ? undefined : this.at(sequence);
  }

  /** Fires the schedules that are due now. Call when the clock's time of day has jumped. */
  leapt(): void {
    this.#schedules.leapt();
  }

  /** Returns the subjects that match a pattern and have messages. */
  subjects(pattern: string): string[] {
    const matches = isPattern(pattern) ? matcher([pattern]) : (subject: string) => subject === pattern;
    return [...this.#log.subjects].filter(matches);
  }

  /** Returns the last message before a sequence of each subject that matches a pattern, in order. */
  lasts(pattern: string, before: number): StoredMessage[] {
    const found = this.subjects(pattern).flatMap((subject) => this.last(subject, before) ?? []);
    return found.sort((a, b) => a.sequence - b.sequence);
  }

  /** Returns the messages of a subject (a pattern) from a sequence on and before another, at most `most`. */
  read(subject: string, from: number, most: number, before = Infinity): StoredMessage[] {
    return this.#log.sequences(subject, before, from, most).map((sequence) => this.at(sequence)!);
  }

  /** Returns the sequence of the first message stored at or after a time; if there is none, the next sequence. */
  since(time: number): number {
    let found = this.next;
    for (let sequence = this.next - 1; sequence >= this.#log.first; sequence--) {
      const message = this.at(sequence);
      if (message && message.time < time) break;
      if (message) found = sequence;
    }
    return found;
  }

  /** Removes the messages of a subject (a pattern) before a sequence. Returns their number. */
  purge(subject: string, before = Infinity): number {
    const purged = this.#log.sequences(subject, before);
    for (const sequence of purged) this.#remove(sequence);
    return purged.length;
  }

  /** Loses all messages behind a sequence, with their ids and ttls: the next message gets the sequence `last` + 1. */
  truncate(last: number): void {
    for (let sequence = Math.max(last + 1, this.#log.first); sequence < this.next; sequence++) this.#remove(sequence);
    this.#log.truncate(last);
    for (const [id, { sequence }] of this.#ids) {
      if (sequence > last) this.#ids.delete(id);
    }
    // expiry times of the lost messages are removed, because new messages will get the same sequences
    for (const queue of this.#expiring.values()) queue.keep(({ sequence }) => sequence <= last);
    this.interrupt();
  }

  /** Ends the stream: its schedules no longer fire, and its messages are lost. */
  remove(): void {
    this.#gone = true;
    this.#schedules.close();
    this.interrupt();
  }

  /** Calls `observer` synchronously whenever the stream may have new messages. Returns a function that removes it. */
  observe(observer: () => void): () => void {
    this.#observers.add(observer);
    return () => this.#observers.delete(observer);
  }

  /** Loses all consumers of the stream: readers must begin again. */
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
