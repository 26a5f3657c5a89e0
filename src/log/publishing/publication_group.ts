/**
 * The message of the stream in which publications travel: written again until it is stored, unchanged once it may be,
 * or until nobody waits for it any more.
 */
import { thrownMessage } from "../../data/cause_text.ts";
import { CatgaError } from "../../error.ts";
import { type Clock, doubled, type Timer } from "../../ports/clock.ts";
import type { Appended, AppendOptions, LogStream } from "../../ports/event_log.ts";
import type { Attempted, Publication } from "./publication.ts";
import { textOf } from "./schedule_time.ts";
import type { Replacement } from "./schedule_write.ts";

/** Dependencies of the lanes of a publisher, and their messages, on it. */
export interface LaneHost {
  readonly clock: Clock;
  /** The stream, opened; `again`: an attempt failed, so that the stream may be gone. Rejects with a `CatgaError`. */
  stream(again: boolean): LogStream | Promise<LogStream>;
  /** The message that holds these publications; or the error that all of them end with. */
  message(publications: readonly Publication[], stream: LogStream): StreamMessage | NamedSchedule | CatgaError;
  /**
   * Puts a schedule in the place of what has its name. Rejects with a `CatgaError`. `limit`: how long to try, in ms.
   */
  replace(schedule: NamedSchedule, limit: number, abandoned: () => boolean): Promise<unknown>;
  /**
   * Takes back the schedule under this subject, if there is one: resolves with whether it did. Rejects with a
   * `CatgaError`. `limit`: how long to try, in ms.
   */
  takeBack(subject: string, limit: number): Promise<boolean>;
  /** They are stored: at least one. */
  stored(publications: readonly Publication[]): void;
}

/** A message of the stream. */
export interface StreamMessage {
  readonly subject: string;
  readonly data: string;
  readonly options: Omit<AppendOptions, "timeout">;
  /** The subject of the schedule whose place it takes: that is taken back when this message is stored. */
  readonly replaces?: string | undefined;
}

/** A schedule whose name may be that of another one. */
export interface NamedSchedule {
  readonly subject: string;
  readonly replacement: Replacement;
}

/** A message of the stream until it is stored: repeated unchanged once it may have been stored. */
export class PublicationGroup implements Attempted {
  publications: readonly Publication[];
  error: CatgaError | undefined;
  readonly #host: LaneHost;
  readonly #finish: (split: boolean) => void;
  #message: StreamMessage | undefined;
  /** When it was first sent so that it may have been stored, by both clocks. */
  #wall = 0;
  #monotonic = 0;
  /** An attempt ended without an answer. */
  #unanswered = false;
  /** An attempt is under way. */
  #sending = false;
  #attempts = 0;
  #alive: number;
  #timer: Timer | undefined;
  #over = false;

  /** `finish` is called once; with `true` when it has to be sent as several smaller ones. */
  constructor(host: LaneHost, publications: readonly Publication[], finish: (split: boolean) => void) {
    this.#host = host;
    this.publications = publications;
    this.#finish = finish;
    this.#alive = publications.length;
    for (const publication of publications) publication.attempted = this;
  }

  get ambiguous(): boolean {
    return this.#unanswered || this.#sending;
  }

  /** When all have ended there is nobody left to try for. */
  left(): void {
    if (--this.#alive > 0 || this.#over) return;
    this.#over = true;
    this.#timer?.cancel();
    this.#finish(false);
  }

  begin(): void {
    let stream: LogStream | Promise<LogStream>;
    try {
      stream = this.#host.stream(this.error !== undefined);
    } catch (error) {
      return this.#failed(error);
    }
    if (!(stream instanceof Promise)) this.#measure(stream);
    else stream.then((opened) => this.#measure(opened), (error) => this.#failed(error));
  }

  /** A schedule needs the server's time. */
  #measure(stream: LogStream): void {
    const measuring = this.publications[0].planned === undefined ? undefined : stream.measureTime();
    if (measuring === undefined) this.#attempt(stream);
    else measuring.then(() => this.#attempt(stream), (error) => this.#failed(error));
  }

  #attempt(stream: LogStream): void {
    if (this.#over) return;
    const { clock } = this.#host;
    // as long as it is certainly not stored it is made anew, without those that have ended meanwhile: they were told so
    if (this.#message === undefined || !this.#unanswered) {
      this.publications = this.publications.filter(({ over }) => !over);
      const made = this.#host.message(this.publications, stream);
      if (made instanceof CatgaError) return this.#refused(made);
      if ("replacement" in made) return this.#replace(made);
      this.#message = made;
    }
    const now = clock.monotonic();
    const elapsed = Math.max(clock.now() - this.#wall, now - this.#monotonic);
    if (!this.#unanswered) {
      this.#wall = clock.now();
      this.#monotonic = now;
    } else if (elapsed > REPEATED_FOR) {
      // the stream may have forgotten its id, and store it a second time
      return this.#endAll("nothing was known of it for too long to send it again");
    }
    const timeout = Math.max(1, Math.min(this.#left, doubled(this.#attempts, FIRST_TIMEOUT, LONGEST_TIMEOUT)));
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
    appending.then((appended) => this.#appended(appended));
  }

  #replace(schedule: NamedSchedule): void {
    this.#attempts++;
    this.#sending = true;
    this.#host.replace(schedule, this.#left, () => this.#over).then(() => this.#stored(), (error) => {
      if (this.#over) return;
      this.#sending = false;
      if (!(error instanceof CatgaError)) return this.#refused(cannotBeStored(schedule.subject, error));
      this.error = error;
      if (error.code === "UNAVAILABLE") return error.retryable ? this.#later() : this.#refused(error);
      if (error.code !== "OUTCOME_UNKNOWN") return this.#refused(this.#named(error));
      this.#unanswered = true;
      this.#endAll("it was to take the place of the schedule of its id");
    });
  }

  /** How long somebody waits for it still, in ms. */
  get #left(): number {
    const due = this.publications.reduce((most, { due, over }) => over ? most : Math.max(most, due), 0);
    return due - this.#host.clock.monotonic();
  }

  #appended(appended: Appended): void {
    if (this.#over) return;
    this.#sending = false;
    if (appended.type === "stored") {
      const { replaces } = this.#message!; // what was appended
      if (replaces === undefined) return this.#stored();
      this.#unanswered = true; // who gives up from now on has it stored
      this.#host.takeBack(replaces, this.#left).then(() => this.#stored(), ({ message }: CatgaError) => {
        if (!this.#over) this.#endAll(`it is, but the schedule of its id may fire, too: ${message}`);
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
    else if (!appended.passing) return this.#refused(this.#named(appended.error));
    this.#later();
  }

  #stored(): void {
    if (this.#over) return;
    this.#over = true;
    this.#finish(false); // first: the next message is under way while senders go on
    for (const publication of this.publications) publication.end(STORED);
    this.#host.stored(this.publications);
  }

  /**
   * The server's error for a schedule that it does not accept, with the option that says so: the server names neither.
   */
  #named(error: CatgaError): CatgaError {
    const [{ contract, planned }] = this.publications;
    if (error.code !== "INVALID_MESSAGE" || planned === undefined) return error;
    const what = `${contract.kind} ${contract.name} was not stored, with ${textOf(planned.schedule)}`;
    return new CatgaError(error.code, `${what}: ${error.message}`, { cause: error });
  }

  /** The stream could not be opened. */
  #failed(error: unknown): void {
    if (this.#over) return;
    if (!(error instanceof CatgaError)) {
      return this.#refused(new CatgaError("UNAVAILABLE", "the log could not be opened", { cause: error }));
    }
    this.error = error;
    this.#attempts++;
    if (error.code === "UNAVAILABLE") this.#later();
    else this.#refused(error);
  }

  #later(): void {
    const pause = doubled(this.#attempts - 1, FIRST_PAUSE, LONGEST_PAUSE);
    if (!this.#unanswered && this.#left - pause < SHORTEST_TIMEOUT) return; // their deadlines end it
    this.#timer = this.#host.clock.after(pause, () => this.begin());
  }

  /** It is not stored, and trying again does not help. */
  #refused(error: CatgaError): void {
    this.error = error;
    if (this.#unanswered) return this.#endAll("the last attempt was refused");
    if (error.code === "TOO_LARGE" && this.publications.length > 1) {
      this.#over = true;
      return this.#finish(true);
    }
    this.#over = true;
    // not now: thousands that are refused as they begin would be on one stack
    queueMicrotask(() => this.#finish(false));
    for (const publication of this.publications) publication.end({ ok: false, error });
  }

  #endAll(why: string): void {
    this.#over = true;
    for (const publication of this.publications) publication.fail(why);
    this.#finish(false);
  }
}

function cannotBeStored(subject: string, cause: unknown): CatgaError {
  const message = `${subject} cannot be stored: ${thrownMessage(cause)}`;
  return new CatgaError("INVALID_MESSAGE", message, { cause });
}

const STORED = Object.freeze({ ok: true, value: undefined });
/** Ms for which a message is repeated: the stream recognizes it for 2 minutes after it was stored. */
const REPEATED_FOR = 105_000;
/** Least time for another attempt, in ms: one that ends without an answer may have been stored. */
const SHORTEST_TIMEOUT = 50;
/** How long an attempt waits for its answer, in ms: doubled with each attempt, up to the longest. */
const FIRST_TIMEOUT = 1_000;
const LONGEST_TIMEOUT = 5_000;
/** Between attempts, in ms: doubled with each. */
const FIRST_PAUSE = 20;
const LONGEST_PAUSE = 500;
