/**
 * The storage of a stream: its messages, the ids that it remembers, the times at which messages expire, and its
 * schedules. `StreamState` decides what is stored; this file has the interface of the storage, and the storage in
 * memory. `src/file` has the other one, in the rows of a file.
 */
import { Fifo } from "../data/fifo.ts";
import { firstIndex } from "../data/binary_search.ts";
import type { Clock } from "../ports/clock.ts";
import type { LogOptions, StoredMessage } from "../ports/event_log.ts";
import type { NewMessage } from "./new_message.ts";
import type { StoreGate } from "./store_session.ts";
import { type ScheduleStream, type ScheduleTimes, StreamSchedules } from "./stream_schedules.ts";
import { isPattern, matcher, type SubjectFilter } from "./subject_match.ts";

/** The stream of a {@link StreamStorage}, as its storage uses it. */
export interface StorageStream extends ScheduleStream {
  /** Removes a message that has expired. */
  expire(sequence: number): void;
}

/**
 * The stored messages of one stream, in the order of their sequences, which grow by one. A write that cannot be stored
 * throws, and the storage then is as it was before the turn of the event loop in which the write was made.
 */
export interface StreamStorage {
  /** Sequence of the first message; if there is none, of the next message. */
  readonly first: number;
  /** Sequence that the next message will get. */
  readonly next: number;
  /** Number of messages. */
  readonly messages: number;
  /** Approximate size of all messages, in bytes. */
  readonly bytes: number;
  /** Time before which all messages were stored, in ms since 1970, even if the clock was set back since. */
  readonly time: number;
  /**
   * Stores a message, with its id, its time to live and its schedule. Returns its sequence. A message without a
   * schedule ends the schedule of its subject, unless that is about to fire.
   */
  push(message: NewMessage, time: number, schedule: ScheduleTimes | undefined): number;
  /** Returns the message with this sequence. */
  at(sequence: number): StoredMessage | undefined;
  /** Returns the sequence of the last message of a subject; 0: it has none. */
  last(subject: string): number;
  /** Returns the sequence of the message that was stored with this id within the last two minutes. */
  known(id: string): number | undefined;
  /** Returns the subjects that match a pattern and have messages. */
  subjects(pattern: string): string[];
  /** Returns at most `most` sequences of messages of a subject (a pattern), from `from` on and before `before`. */
  sequences(subject: string, before?: number, from?: number, most?: number): number[];
  /**
   * Returns the first sequence at or behind `from` whose message has one of these subjects; else the next sequence. The
   * message may have been removed a moment ago.
   */
  ahead(from: number, filter: SubjectFilter): number;
  /**
   * Returns the last sequence before the next one, and from `least` on, whose message has one of these subjects; else
   * `least` - 1.
   */
  lastOf(filter: SubjectFilter, least: number): number;
  /** Returns the sequence of the first message stored at or after a time; if there is none, the next sequence. */
  since(time: number): number;
  /** Removes a message, and its schedule. */
  remove(sequence: number): void;
  /** Loses all messages behind a sequence, with their ids and ttls: the next message gets the sequence `last` + 1. */
  truncate(last: number): void;
  /** Fires the schedules that are due now. Called when the time of day of the clock has jumped. */
  leapt(): void;
  /** Fires the schedules of a process that has ended. Absent: the storage does so when the next process opens it. */
  processEnded?(): void;
  /** Ends the storage: its schedules no longer fire, no message expires. `lost`: the messages are lost. */
  close(lost: boolean): void;
}

/** A stream as a {@link LogStorage} has it. */
export interface StreamOnDisk {
  readonly name: string;
  /** Time at which the stream was made, as an ISO string. */
  readonly created: string;
  readonly settings: Readonly<LogOptions>;
}

/** The storage of all streams of a log that outlives the log. */
export interface LogStorage {
  readonly gate: StoreGate;
  /** Returns the streams that are stored. */
  streams(): readonly StreamOnDisk[];
  /**
   * Opens the storage of a stream, and makes it if there is none. `first`: minimum sequence of the first message of a
   * new one.
   */
  open(record: StreamOnDisk, first: number, stream: StorageStream): StreamStorage;
  /** Returns the greatest sequence of all streams that had this name and were removed; 0: there were none. */
  greatest(name: string): number;
  /** Calls `listener` when a turn was rolled back: what readers got of it was not stored. */
  onRollback(listener: () => void): void;
}

/** Time for which a stream remembers the ids of messages, to detect duplicates, in ms. */
export const DEDUPE = 120_000;

/** The messages of one stream in memory. */
export class MemoryStreamStorage implements StreamStorage {
  readonly #clock: Clock;
  readonly #stream: StorageStream;
  readonly #log: MessageList;
  readonly #schedules: StreamSchedules;
  readonly #ids = new Map<string, { readonly sequence: number; readonly until: number }>();
  /** Messages that expire, by ttl in seconds; each queue is in the order of expiry. */
  readonly #expiring = new Map<number, Fifo<{ readonly sequence: number; readonly end: number }>>();
  /** Time at which the next message expires, by the monotonic clock. */
  #expiry = Infinity;
  #closed = false;

  /** Makes an empty storage, whose first message will get the sequence `first`. */
  constructor(clock: Clock, first: number, stream: StorageStream) {
    this.#clock = clock;
    this.#stream = stream;
    this.#log = new MessageList(first);
    this.#schedules = new StreamSchedules(clock, stream);
  }

  get first(): number {
    return this.#log.first;
  }

  get next(): number {
    return this.#log.next;
  }

  get messages(): number {
    return this.#log.messages;
  }

  get bytes(): number {
    return this.#log.bytes;
  }

  get time(): number {
    return 0;
  }

  push(message: NewMessage, time: number, schedule: ScheduleTimes | undefined): number {
    const { subject, data, headers, id, seconds } = message;
    if (schedule === undefined) this.#schedules.delete(subject);
    const sequence = this.#log.push({ subject, data, headers, time });
    if (id !== undefined) this.#ids.set(id, { sequence, until: this.#clock.monotonic() + DEDUPE });
    if (seconds !== undefined) this.#expire(sequence, seconds);
    if (schedule !== undefined) this.#schedules.set(subject, message, schedule);
    return sequence;
  }

  at(sequence: number): StoredMessage | undefined {
    return this.#log.at(sequence);
  }

  last(subject: string): number {
    return this.#log.last(subject)?.sequence ?? 0;
  }

  known(id: string): number | undefined {
    const now = this.#clock.monotonic();
    for (const [each, { until }] of this.#ids) {
      if (until > now) break;
      this.#ids.delete(each);
    }
    return this.#ids.get(id)?.sequence;
  }

  subjects(pattern: string): string[] {
    const matches = isPattern(pattern) ? matcher([pattern]) : (subject: string) => subject === pattern;
    return [...this.#log.subjects].filter(matches);
  }

  sequences(subject: string, before?: number, from?: number, most?: number): number[] {
    return this.#log.sequences(subject, before, from, most);
  }

  ahead(from: number, { matches }: SubjectFilter): number {
    const { next } = this.#log;
    let sequence = Math.max(from, this.#log.first);
    for (; sequence < next; sequence++) {
      const message = this.#log.at(sequence);
      if (message && matches(message.subject)) break;
    }
    return sequence;
  }

  lastOf({ matches }: SubjectFilter, least: number): number {
    let sequence = this.#log.next - 1;
    for (; sequence >= least; sequence--) {
      const message = this.#log.at(sequence);
      if (message && matches(message.subject)) break;
    }
    return sequence;
  }

  since(time: number): number {
    let found = this.#log.next;
    for (let sequence = found - 1; sequence >= this.#log.first; sequence--) {
      const message = this.#log.at(sequence);
      if (message && message.time < time) break;
      if (message) found = sequence;
    }
    return found;
  }

  remove(sequence: number): void {
    const removed = this.#log.remove(sequence);
    if (removed && this.#log.last(removed.subject) === undefined) this.#schedules.delete(removed.subject);
  }

  truncate(last: number): void {
    for (let sequence = Math.max(last + 1, this.#log.first); sequence < this.#log.next; sequence++) {
      this.remove(sequence);
    }
    this.#log.truncate(last);
    for (const [id, { sequence }] of this.#ids) {
      if (sequence > last) this.#ids.delete(id);
    }
    // expiry times of the lost messages are removed, because new messages will get the same sequences
    for (const queue of this.#expiring.values()) queue.keep(({ sequence }) => sequence <= last);
  }

  leapt(): void {
    this.#schedules.leapt();
  }

  processEnded(): void {
    this.#schedules.processEnded();
  }

  close(): void {
    this.#closed = true;
    this.#schedules.close();
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
      while (queue.first && queue.first.end <= now) this.#stream.expire(queue.shift()!.sequence);
      if (queue.size === 0) this.#expiring.delete(seconds);
    }
    this.#expiry = Infinity;
    if (!this.#closed) this.#armExpiry();
  }
}

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

  push({ subject, data, headers, time }: Omit<StoredMessage, "sequence">): number {
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

/** Returns the approximate size of a message, as nats-server counts it in memory. */
export function sizeOf({ subject, data, headers }: Pick<StoredMessage, "subject" | "data" | "headers">): number {
  let size = subject.length + data.length + 16;
  for (const name in headers) size += name.length + headers[name].length + 4;
  return size;
}
