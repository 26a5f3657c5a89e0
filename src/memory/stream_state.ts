/**
 * The messages of one stream in memory, on the side of the simulated server.
 * @decides what a stream in memory stores, and refuses
 */
import { CatgaError } from "../error.ts";
import { Fifo } from "../data/fifo.ts";
import type { Clock } from "../ports/clock.ts";
import { type Appended, type LogOptions, type LogState, neverStored, type StoredMessage } from "../ports/event_log.ts";
import type { NewMessage } from "./new_message.ts";
import { scheduled, type ScheduleStream, type ScheduleTimes, StreamSchedules } from "./stream_schedules.ts";
import { isPattern, matcher } from "./subject_match.ts";
import { firstIndex } from "../data/binary_search.ts";

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
      discard: "new",
      now: this.#clock.now(),
    });
  }

  append(message: NewMessage): Verdict {
    const { subject, id, expect, seconds, rollup } = message;
    if (this.settings.lasting && (rollup || seconds !== undefined)) {
      const error = new CatgaError("INVALID_MESSAGE", "the stream takes no messages with a ttl or a rollup");
      return neverStored(error);
    }
    const schedule = message.schedule && scheduled(message.schedule, this.#clock.now());
    const invalid = schedule && this.#refuse(subject, schedule);
    if (invalid) return neverStored(invalid);
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

/** A message without its sequence, which {@link MessageList.push} gives it. */
type Unnumbered = Omit<StoredMessage, "sequence">;

/** Messages in the order of their sequences, which grow by one. */
export class MessageList {
  /** Messages from the sequence `#base` on; `undefined` in place of a removed message. */
  #messages: (StoredMessage | undefined)[] = [];
  #base: number;
  /** Index in `#messages` of the first message that was not removed. */
  #head = 0;
  readonly #subjects = new Map<string, number[]>();
  #size = 0;
  #bytes = 0;

  /** Makes an empty list, whose first message will get the sequence `first`. */
  constructor(first: number) {
    this.#base = first;
  }

  /** Sequence of the list's first message; if the list is empty, of the next message to be added. */
  get first(): number {
    return this.#base + this.#head;
  }

  /** Sequence that the next message will get. */
  get next(): number {
    return this.#base + this.#messages.length;
  }

  get messages(): number {
    return this.#size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  push({ subject, data, headers, time }: Unnumbered): number {
    const sequence = this.next;
    const message = Object.freeze({ sequence, subject, time, data, headers });
    this.#messages.push(message);
    this.#size++;
    this.#bytes += sizeOf(message);
    const sequences = this.#subjects.get(subject);
    if (sequences) sequences.push(sequence);
    else this.#subjects.set(subject, [sequence]);
    return sequence;
  }

  at(sequence: number): StoredMessage | undefined {
    return this.#messages[sequence - this.#base];
  }

  last(subject: string): StoredMessage | undefined {
    const sequence = this.#subjects.get(subject)?.at(-1);
    return sequence === undefined ? undefined : this.at(sequence);
  }

  /** Subjects that have a message in the list. */
  get subjects(): Iterable<string> {
    return this.#subjects.keys();
  }

  /** Returns at most `most` sequences of messages of a subject (a pattern), from `from` on and before `before`. */
  sequences(subject: string, before = Infinity, from = 0, most = Infinity): number[] {
    const found: number[] = [];
    if (!isPattern(subject)) {
      const all = this.#subjects.get(subject) ?? [];
      for (
        let i = firstIndex(all.length, (at) => all[at] < from);
        i < all.length && all[i] < before && found.length < most;
        i++
      ) {
        if (this.at(all[i])) found.push(all[i]);
      }
      return found;
    }
    const matches = matcher([subject]);
    const end = Math.min(this.next, before);
    for (let sequence = Math.max(from, this.first); sequence < end && found.length < most; sequence++) {
      const message = this.at(sequence);
      if (message && matches(message.subject)) found.push(sequence);
    }
    return found;
  }

  remove(sequence: number): StoredMessage | undefined {
    const message = this.at(sequence);
    if (!message) return undefined;
    this.#messages[sequence - this.#base] = undefined;
    this.#size--;
    while (this.#head < this.#messages.length && this.#messages[this.#head] === undefined) this.#head++;
    if (this.#head > 1_024 && 2 * this.#head > this.#messages.length) {
      this.#messages = this.#messages.slice(this.#head);
      this.#base += this.#head;
      this.#head = 0;
    }
    this.#bytes -= sizeOf(message);
    const sequences = this.#subjects.get(message.subject)!;
    while (sequences.length > 0 && !this.at(sequences.at(-1)!)) sequences.pop();
    if (sequences.length === 0) this.#subjects.delete(message.subject);
    // removed messages at the front of a subject's list are dropped many at a time
    else if (sequences.length > 64 && !this.at(sequences[sequences.length >>> 1])) {
      this.#subjects.set(message.subject, sequences.filter((each) => this.at(each)));
    }
    return message;
  }

  /**
   * Sets the sequence of the next message to the one behind `last`. All messages behind `last` must have been removed.
   */
  truncate(last: number): void {
    if (last + 1 >= this.next) return;
    if (last + 1 < this.first) {
      this.#messages = [];
      this.#base = last + 1;
      this.#head = 0;
    } else this.#messages.length = last + 1 - this.#base;
  }
}

/** Approximate size of a message, as nats-server counts it in memory. */
function sizeOf({ subject, data, headers }: StoredMessage): number {
  let size = subject.length + data.length + 16;
  for (const name in headers) size += name.length + headers[name].length + 4;
  return size;
}
