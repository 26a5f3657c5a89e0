/**
 * One stream, on the side of the simulated server: which messages it stores, and what its readers see. Its storage
 * (`stream_storage.ts`) is in memory, or in a file.
 * @decides what a stream in memory stores, and refuses
 */
import { CatgaError } from "../error.ts";
import type { Clock } from "../ports/clock.ts";
import { type Appended, type LogOptions, type LogState, neverStored, type StoredMessage } from "../ports/event_log.ts";
import type { NewMessage } from "./new_message.ts";
import { scheduled, type ScheduleStream, type ScheduleTimes } from "./stream_schedules.ts";
import { MemoryStreamStorage, type StorageStream, type StreamStorage } from "./stream_storage.ts";
import { isPattern, matcher, type SubjectFilter } from "./subject_match.ts";

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
  /** Opens the storage of the stream; default: an empty one in memory. */
  readonly storage?: ((stream: StorageStream, first: number) => StreamStorage) | undefined;
}

/** The stored messages of one stream. */
export class StreamState {
  readonly settings: Readonly<LogOptions>;
  /** Time at which the stream was made; it identifies the stream. */
  readonly created: string;
  /** Returns true if a subject belongs to the stream. */
  readonly takes: (subject: string) => boolean;
  readonly #clock: Clock;
  readonly #storage: StreamStorage;
  readonly #observers = new Set<() => void>();
  #interruptions = 0;

  /** Makes a stream, which is empty unless its storage has messages. */
  constructor(clock: Clock, settings: Readonly<LogOptions>, { created, least, ready, lag, storage }: StreamOrigin) {
    this.#clock = clock;
    this.settings = settings;
    this.created = created;
    this.takes = matcher(settings.subjects);
    const stream: StorageStream = {
      ready,
      lag,
      append: (message, time) => this.append(message, time),
      purge: (subject) => this.purge(subject),
      expire: (sequence) => this.#storage.remove(sequence),
    };
    const first = Math.max(Math.floor(clock.now()), least);
    this.#storage = storage?.(stream, first) ?? new MemoryStreamStorage(clock, first, stream);
  }

  /** Number of times that all consumers of the stream were lost, because the stream lost messages or its leader. */
  get interruptions(): number {
    return this.#interruptions;
  }

  /** Sequence of the stream's first message; if there is none, of the next message. */
  get first(): number {
    return this.#storage.first;
  }

  /** Sequence that the next message of the stream will get. */
  get next(): number {
    return this.#storage.next;
  }

  state(): LogState {
    const { first, next, messages, bytes, time } = this.#storage;
    return Object.freeze({
      created: this.created,
      first,
      last: next - 1,
      messages,
      bytes,
      maxBytes: undefined,
      discard: "new",
      now: Math.max(time, this.#clock.now()),
    });
  }

  append(message: NewMessage, time: number = Math.floor(this.#clock.now())): Verdict {
    const { subject, id, expect, seconds, rollup } = message;
    if (this.settings.lasting && (rollup || seconds !== undefined)) {
      const error = new CatgaError("INVALID_MESSAGE", "the stream takes no messages with a ttl or a rollup");
      return neverStored(error);
    }
    const schedule = message.schedule && scheduled(message.schedule, this.#clock.now());
    const invalid = schedule && this.#refuse(subject, schedule);
    if (invalid) return neverStored(invalid);
    if (expect !== undefined && this.#storage.last(subject) !== expect) return { type: "conflict" };
    const known = id === undefined ? undefined : this.#storage.known(id);
    if (known !== undefined) return { type: "stored", sequence: known, duplicate: true };
    // a schedule replaces the message of its subject, as on nats-server
    if (rollup || schedule) this.purge(subject);
    const sequence = this.#storage.push(message, time, schedule);
    for (const observer of [...this.#observers]) observer();
    return { type: "stored", sequence, duplicate: false };
  }

  /** Returns the message with this sequence. */
  at(sequence: number): StoredMessage | undefined {
    return this.#storage.at(sequence);
  }

  /** Returns the last message of a subject before a sequence. */
  last(subject: string, before = Infinity): StoredMessage | undefined {
    const sequence = before >= this.next
      ? this.#storage.last(subject)
      : this.#storage.sequences(subject, before).at(-1) ?? 0;
    return sequence === 0 ? undefined : this.at(sequence);
  }

  /** Returns the first sequence at or behind `from` whose message has one of these subjects; else the next sequence. */
  ahead(from: number, filter: SubjectFilter): number {
    return this.#storage.ahead(from, filter);
  }

  /** Returns the last sequence from `least` on whose message has one of these subjects; else `least` - 1. */
  lastOf(filter: SubjectFilter, least: number): number {
    return this.#storage.lastOf(filter, least);
  }

  /** Fires the schedules that are due now. Call when the clock's time of day has jumped. */
  leapt(): void {
    this.#storage.leapt();
  }

  /** Fires the schedules of a process that has ended, as when the next one opens a file. */
  processEnded(): void {
    this.#storage.processEnded?.();
  }

  /** Returns the subjects that match a pattern and have messages. */
  subjects(pattern: string): string[] {
    return this.#storage.subjects(pattern);
  }

  /** Returns the last message before a sequence of each subject that matches a pattern, in order. */
  lasts(pattern: string, before: number): StoredMessage[] {
    const found = this.subjects(pattern).flatMap((subject) => this.last(subject, before) ?? []);
    return found.sort((a, b) => a.sequence - b.sequence);
  }

  /** Returns the messages of a subject (a pattern) from a sequence on and before another, at most `most`. */
  read(subject: string, from: number, most: number, before = Infinity): StoredMessage[] {
    return this.#storage.sequences(subject, before, from, most).map((sequence) => this.at(sequence)!);
  }

  /** Returns the sequence of the first message stored at or after a time; if there is none, the next sequence. */
  since(time: number): number {
    return this.#storage.since(time);
  }

  /** Removes the messages of a subject (a pattern) before a sequence. Returns their number. */
  purge(subject: string, before = Infinity): number {
    const purged = this.#storage.sequences(subject, before);
    for (const sequence of purged) this.#storage.remove(sequence);
    return purged.length;
  }

  /** Loses all messages behind a sequence, with their ids and ttls: the next message gets the sequence `last` + 1. */
  truncate(last: number): void {
    this.#storage.truncate(last);
    this.interrupt();
  }

  /** Ends the stream: its schedules no longer fire, and its messages are lost. */
  remove(): void {
    this.#storage.close(true);
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
}
