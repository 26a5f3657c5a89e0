/**
 * A message of the stream that contains publications (messages of the program). It is sent again until it is stored
 * or until no sender waits for it; once an attempt may have stored it, it is repeated unchanged.
 */
import type { Observer } from "../../contract/nodes/observer.ts";
import { thrownMessage } from "../../data/cause_text.ts";
import { CatgaError } from "../../error.ts";
import { type Clock, doubled, type Timer } from "../../ports/clock.ts";
import { PAUSES } from "../../ports/repeat.ts";
import type { Appended, LogStream } from "../../ports/event_log.ts";
import type { Attempted, Publication } from "./publication.ts";
import { textOf } from "./schedule_time.ts";
import type { LogSource, ScheduleStore } from "./schedule_store.ts";
import { type NamedSchedule, type StreamMessage, type StreamMessages, unstored } from "./stream_message.ts";

/** Parts of the publisher that its queues (`PublishLane`) and their messages use. */
export interface LaneParts {
  readonly clock: Clock;
  /** The stream in which messages are stored. */
  readonly source: LogSource;
  /** Makes the messages of the stream. */
  readonly messages: StreamMessages;
  /** Stores schedules under their subjects, and takes them back. */
  readonly schedules: ScheduleStore;
  /** Gets an event for each message of the stream that was stored, while `hooks.watched` is true. */
  readonly observer: Observer;
  readonly hooks: { readonly watched: boolean };
}

/** The end of a message: `too large`: its publications must be sent again in several smaller messages. */
type GroupEnd = "settled" | "too large";

/**
 * A message of the stream until it is stored. Once an attempt may have stored the message, it is repeated unchanged.
 * @decides an append is repeated until its outcome is known
 */
export class PublicationGroup implements Attempted {
  publications: readonly Publication[];
  error: CatgaError | undefined;
  readonly #parts: LaneParts;
  readonly #finish: (how: GroupEnd) => void;
  #message: StreamMessage | undefined;
  /**
   * Time of the first attempt that may have stored the message, by the wall clock; `#firstMonotonicTime`: by the
   * monotonic clock.
   */
  #firstWallTime = 0;
  #firstMonotonicTime = 0;
  /** True if an attempt has ended without an answer, so that it may have stored the message. */
  #unanswered = false;
  /** True while an attempt to store the message waits for its answer. */
  #sending = false;
  #attempts = 0;
  #waitingSenders: number;
  #timer: Timer | undefined;
  #over = false;

  /**
   * `finish` is called once, when the message is stored or given up, or when the server has refused it as too large.
   */
  constructor(parts: LaneParts, publications: readonly Publication[], finish: (how: GroupEnd) => void) {
    this.#parts = parts;
    this.publications = publications;
    this.#finish = finish;
    this.#waitingSenders = publications.length;
    for (const publication of publications) publication.attempted = this;
  }

  get ambiguous(): boolean {
    return this.#unanswered || this.#sending;
  }

  /** Notes that a publication has given up. If none is left, the message is not sent again. */
  publicationGaveUp(): void {
    if (--this.#waitingSenders > 0 || this.#over) return;
    this.#over = true;
    this.#timer?.cancel();
    this.#finish("settled");
  }

  begin(): void {
    let stream: LogStream | Promise<LogStream>;
    try {
      const { source } = this.#parts;
      stream = this.error === undefined ? source.get() : source.again();
    } catch (error) {
      return this.#openingFailed(error);
    }
    if (!(stream instanceof Promise)) this.#measureTime(stream);
    else stream.then((opened) => this.#measureTime(opened), (error) => this.#openingFailed(error));
  }

  /** Has the difference between this process's clock and the server's clock measured before a schedule is stored. */
  #measureTime(stream: LogStream): void {
    const measuring = this.publications[0].planned === undefined ? undefined : stream.measureTime();
    if (measuring === undefined) this.#attempt(stream);
    else measuring.then(() => this.#attempt(stream), (error) => this.#openingFailed(error));
  }

  #attempt(stream: LogStream): void {
    if (this.#over) return;
    const { clock } = this.#parts;
    // as long as no attempt may have stored the message, each attempt makes it anew, without publications that have
    // ended
    if (this.#message === undefined || !this.#unanswered) {
      this.publications = this.publications.filter(({ over }) => !over);
      const made = this.#parts.messages.makeMessage(this.publications, stream);
      if (made instanceof CatgaError) return this.#refused(made);
      if ("replacement" in made) return this.#replace(made);
      this.#message = made;
    }
    const now = clock.monotonic();
    const elapsed = Math.max(clock.now() - this.#firstWallTime, now - this.#firstMonotonicTime);
    if (!this.#unanswered) {
      this.#firstWallTime = clock.now();
      this.#firstMonotonicTime = now;
    } else if (elapsed > REPEATED_FOR) {
      // after this time the stream may have forgotten the message's id and would store the message a second time
      return this.#endAll("no acknowledgement came for so long that another attempt could store it twice");
    }
    const timeout = Math.max(1, Math.min(this.#timeLeft, doubled(this.#attempts, FIRST_TIMEOUT, LONGEST_TIMEOUT)));
    const { subject, data, options } = this.#message;
    this.#attempts++;
    this.#sending = true;
    let appending: Promise<Appended>;
    try {
      appending = stream.append(subject, data, { ...options, timeout });
    } catch (cause) {
      this.#sending = false;
      return this.#refused(cannotBeStored(subject, cause));
    }
    appending.then((appended) => this.#appended(appended, stream));
  }

  #replace(schedule: NamedSchedule): void {
    this.#attempts++;
    this.#sending = true;
    this.#parts.schedules.replace(schedule, this.#timeLeft, () => this.#over).then(() => this.#stored(), (error) => {
      if (this.#over) return;
      this.#sending = false;
      if (!(error instanceof CatgaError)) return this.#refused(cannotBeStored(schedule.subject, error));
      this.error = error;
      if (error.code === "UNAVAILABLE") return error.retryable ? this.#retryLater() : this.#refused(error);
      if (error.code !== "OUTCOME_UNKNOWN") return this.#refused(this.#withScheduleNamed(error));
      this.#unanswered = true;
      this.#endAll("it was to replace the schedule of its id, and the outcome of that write is unknown");
    });
  }

  /** Time until the last deadline of the message's publications, in ms. */
  get #timeLeft(): number {
    const due = this.publications.reduce((most, { due, over }) => over ? most : Math.max(most, due), 0);
    return due - this.#parts.clock.monotonic();
  }

  #appended(appended: Appended, stream: LogStream): void {
    if (this.#over) return;
    this.#sending = false;
    if (appended.type === "stored") {
      const { replaces } = this.#message!; // `#message` is set: it was stored
      const [{ id, planned }] = this.publications;
      if (appended.duplicate && id !== undefined && planned === undefined) {
        return this.#compare(stream, appended.sequence);
      }
      if (replaces === undefined) return this.#stored();
      // a publication that ends from now on has an unknown outcome, because its message is stored
      this.#unanswered = true;
      this.#parts.schedules.takeBack(replaces, this.#timeLeft).then(() => this.#stored(), ({ message }: CatgaError) => {
        if (!this.#over) {
          this.#endAll(
            `it was stored, but the earlier schedule of its id could not be removed and may fire, too: ${message}`,
          );
        }
      });
      return;
    }
    if (appended.type === "conflict") {
      return this.#refused(
        new CatgaError("UNAVAILABLE", "the stream refused it: it expected another message before it"),
      );
    }
    this.error = appended.error;
    if (appended.type === "unknown") this.#unanswered = true;
    else if (!appended.transient) return this.#refused(this.#withScheduleNamed(appended.error));
    this.#retryLater();
  }

  /**
   * Compares the message with the one that the stream has under the id of the program: its sender is told if that one
   * has another payload.
   */
  #compare(stream: LogStream, sequence: number): void {
    this.#unanswered = true; // a sender that gives up meanwhile has an unknown outcome: the id may be its own
    stream.at(sequence).then((found) => {
      if (this.#over) return;
      const { messages } = this.#parts;
      if (found === undefined || !messages.hasOtherPayload(this.#message!, found)) return this.#stored();
      const [{ contract, id }] = this.publications;
      const why = `the id ${JSON.stringify(id)} came before with another payload; give each its own`;
      this.#unanswered = false;
      this.#refused(unstored("ID_REUSED", contract, why));
    }, () => this.#stored()); // the stream has a message of this id, though its payload cannot be read now
  }

  #stored(): void {
    if (this.#over) return;
    this.#over = true;
    this.#finish("settled"); // finished before the senders continue, so that the queue's next message is sent first
    for (const publication of this.publications) publication.end(STORED);
    const { observer, hooks } = this.#parts;
    if (!hooks.watched) return;
    observer({ type: "stored", contract: this.publications[0].contract.name, count: this.publications.length });
  }

  /**
   * Adds the contract and the program's schedule to an error with which the server refuses a schedule; the server's
   * error names neither.
   */
  #withScheduleNamed(error: CatgaError): CatgaError {
    const [{ contract, planned }] = this.publications;
    if (error.code !== "INVALID_MESSAGE" || planned === undefined) return error;
    const what = `${contract.kind} ${contract.name} was not stored, with ${textOf(planned.schedule)}`;
    return new CatgaError(error.code, `${what}: ${error.message}`, { cause: error });
  }

  /**
   * Handles an error of opening the stream: tries again later, or ends the publications if another attempt would not
   * help.
   */
  #openingFailed(error: unknown): void {
    if (this.#over) return;
    if (!(error instanceof CatgaError)) {
      return this.#refused(new CatgaError("UNAVAILABLE", "the log could not be opened", { cause: error }));
    }
    this.error = error;
    this.#attempts++;
    if (error.code === "UNAVAILABLE") this.#retryLater();
    else this.#refused(error);
  }

  #retryLater(): void {
    const pause = doubled(this.#attempts - 1, ...PAUSES.read);
    // without time for another attempt, the publications end at their deadlines
    if (!this.#unanswered && this.#timeLeft - pause < SHORTEST_TIMEOUT) return;
    this.#timer = this.#parts.clock.after(pause, () => this.begin());
  }

  /** Acts on a final refusal of the message: ends its publications, or splits the message if it is too large. */
  #refused(error: CatgaError): void {
    this.error = error;
    if (this.#unanswered) return this.#endAll("the last attempt was refused");
    if (error.code === "TOO_LARGE" && this.publications.length > 1) {
      this.#over = true;
      return this.#finish("too large");
    }
    this.#over = true;
    // `#finish` is deferred: if thousands of publications are refused at once, calls from here would overflow the
    // stack
    queueMicrotask(() => this.#finish("settled"));
    for (const publication of this.publications) publication.end({ ok: false, error });
  }

  #endAll(why: string): void {
    this.#over = true;
    for (const publication of this.publications) publication.fail(why);
    this.#finish("settled");
  }
}

function cannotBeStored(subject: string, cause: unknown): CatgaError {
  const message = `${subject} cannot be stored: ${thrownMessage(cause)}`;
  return new CatgaError("INVALID_MESSAGE", message, { cause });
}

const STORED = Object.freeze({ ok: true, value: undefined });
/**
 * Time for which a message is repeated, in ms: less than the 2 minutes for which the stream recognizes the message's
 * id.
 */
const REPEATED_FOR = 105_000;
/**
 * Minimum time left for another attempt, in ms. With less, none begins, because an attempt that ends without an
 * answer makes the outcome unknown.
 */
const SHORTEST_TIMEOUT = 50;
/** Timeout of the first attempt to store a message, in ms; doubled with each further attempt. */
const FIRST_TIMEOUT = 1_000;
/** Longest timeout of an attempt to store a message, in ms. */
const LONGEST_TIMEOUT = 5_000;
