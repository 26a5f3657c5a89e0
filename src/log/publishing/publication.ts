/**
 * One message on its way into the log, which ends when it is stored, at its deadline, or when its sender gives up; and
 * the message of the stream that it travels in, written again until it is stored, unchanged once it may be, or until
 * nobody waits for it any more.
 */
import type { AnyContract } from "../../contract/contract.ts";
import type { Result } from "../../contract/result.ts";
import { thrownMessage } from "../../data/cause_text.ts";
import type { ContextHost, ParentMessage } from "../../dispatch/context_host.ts";
import type { Clock, Timer } from "../../ports/clock.ts";
import { Deadlined } from "../../ports/deadline_wheel.ts";
import type { DurableMessage, Schedule } from "../../dispatch/remote.ts";
import { cancelled } from "../../dispatch/unfinished.ts";
import { CatgaError, unavailable } from "../../error.ts";
import type { Appended, AppendOptions, LogAbilities, LogStream } from "../../ports/event_log.ts";
import type { Replacement } from "./schedule_write.ts";

/** Dependencies of a {@link Publication} on its app: a drain waits for it. */
export type PublicationHost = Pick<ContextHost, "wheel" | "underWay">;

/** A schedule that is to be stored. */
export interface Planned {
  readonly schedule: Schedule;
  /** When it is due: a moment of the monotonic clock; or cron. */
  readonly due: number | string;
  /** What names it, and the subject that says so. */
  readonly id: string;
  readonly subject: string;
}

/** How far the message of the stream is that holds a publication. */
export interface Attempted {
  /** True if it may have been stored, as far as is known. */
  readonly ambiguous: boolean;
  /** What the last attempt failed with. */
  readonly error: CatgaError | undefined;
  /** A publication in it has ended. */
  left(): void;
}

/** Arguments of a publication. */
export interface PublicationParts extends Pick<DurableMessage, "contract" | "key" | "timeout" | "signal" | "parent"> {
  /** The item of the stream's message, as text. */
  readonly item: string;
  /** What the program gave as its id. */
  readonly id: string | undefined;
  /** How long it is kept, in ms. */
  readonly keep: number;
  readonly planned: Planned | undefined;
}

/** A message on its way into the log. */
export class Publication extends Deadlined {
  readonly contract: AnyContract;
  readonly id: string | undefined;
  readonly key: string | undefined;
  readonly keep: number;
  readonly planned: Planned | undefined;
  /** Settles once. */
  readonly result: Promise<Result<void>>;
  /** Empty once it has ended. */
  item: string;
  /** The message of the stream that it is in; `undefined`: it waits. */
  attempted: Attempted | undefined;
  readonly #host: PublicationHost;
  readonly #ended: (publication: Publication) => void;
  readonly #signal: AbortSignal | undefined;
  readonly #execution: ParentMessage["execution"] | undefined;
  #settle: ((result: Result<void>) => void) | undefined;
  #cancel: (() => void) | undefined;

  /** `ended` is called once. */
  constructor(host: PublicationHost, parts: PublicationParts, ended: (publication: Publication) => void) {
    super(host.wheel.now() + parts.timeout);
    this.contract = parts.contract;
    this.id = parts.id;
    this.key = parts.key;
    this.keep = parts.keep;
    this.planned = parts.planned;
    this.item = parts.item;
    this.#host = host;
    this.#ended = ended;
    this.#signal = parts.signal;
    // events are not aborted with their handler: it may still publish what it did
    this.#execution = parts.contract.kind === "event" ? undefined : parts.parent?.execution;
    this.result = new Promise((resolve) => this.#settle = resolve);
    host.underWay.begin();
    host.wheel.add(this);
    if (parts.signal !== undefined) {
      this.#cancel = () => this.abort(cancelled(this.contract));
      parts.signal.addEventListener("abort", this.#cancel, { once: true });
    }
    this.#execution?.adopt(this);
  }

  /** True if it has its result. */
  get over(): boolean {
    return this.#settle === undefined;
  }

  /** Gives it its result, unless it has one. */
  end(result: Result<void>): void {
    const settle = this.#settle;
    if (settle === undefined) return;
    this.#settle = undefined;
    this.#host.wheel.delete(this);
    if (this.#cancel !== undefined) this.#signal!.removeEventListener("abort", this.#cancel);
    this.#execution?.release(this);
    this.#ended(this);
    this.item = "";
    settle(result); // before it ends: code that waits for it may start something that a drain has to wait for
    this.#host.underWay.end();
    this.attempted?.left();
  }

  override expire(): void {
    this.end(this.#failed("its deadline has passed"));
  }

  override abort(reason: CatgaError): void {
    if (reason.code === "CANCELLED") this.end({ ok: false, error: reason });
    else if (reason.code === "CLOSED" && !this.attempted?.ambiguous) {
      this.end({ ok: false, error: new CatgaError("CLOSED", `${this.#name} was not stored: ${reason.message}`) });
    } else this.end(this.#failed(reason.message));
  }

  /** It can no longer be stored for certain, or no longer be found out whether it is. */
  fail(why: string): void {
    this.end(this.#failed(why));
  }

  get #name(): string {
    return `${this.contract.kind} ${this.contract.name}`;
  }

  #failed(why: string): Result<void> {
    const error = this.attempted?.error;
    const last = error === undefined ? "" : `; last error: ${error.message}`;
    return this.attempted?.ambiguous
      ? {
        ok: false,
        error: new CatgaError("OUTCOME_UNKNOWN", `${this.#name} may have been stored: ${why}${last}`, { cause: error }),
      }
      : { ok: false, error: unavailable(`${this.#name} was not stored: ${why}${last}`, { cause: error }) };
  }
}

// When a message is to be handled, as the stream has it, and what the server must be able to do for it.

/**
 * When a schedule is due that is made now: a moment of this process's monotonic clock; or cron. A date is meant by its
 * wall clock.
 */
export function dueOf(schedule: Schedule, clock: Clock): number | string {
  if ("cron" in schedule) return schedule.cron.trim();
  return clock.monotonic() + ("delay" in schedule ? schedule.delay : schedule.at.getTime() - clock.now());
}

/** The time of the server in ms since 1970, certainly not before that moment, and now at the earliest; or cron. */
export function timeOf(due: number | string, clock: Clock, { latestServerTime }: LogStream): number | string {
  return typeof due === "string" ? due : Math.ceil(latestServerTime + Math.max(0, due - clock.monotonic()));
}

/** The options that a program gave, for an error. */
export function textOf(schedule: Schedule): string {
  if ("delay" in schedule) return `delay ${schedule.delay}`;
  if ("at" in schedule) return `at ${schedule.at.toISOString()}`;
  const { cron, zone } = schedule;
  return `cron ${JSON.stringify(cron)}${zone === undefined ? "" : ` and zone ${JSON.stringify(zone)}`}`;
}

/** Why the server cannot store such a schedule; `undefined` if it can, as far as is known. */
export function unsupported(due: number | string, abilities: LogAbilities | undefined): string | undefined {
  if (abilities === undefined) return undefined;
  const { version } = abilities;
  if (typeof due === "string") {
    return abilities.cron ? undefined : `a cron needs nats-server 2.14 or later; this server is ${version}`;
  }
  return abilities.at ? undefined : `a delay, or a time, needs nats-server 2.12 or later; this server is ${version}`;
}

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
    const timeout = Math.max(1, Math.min(this.#left, FIRST_TIMEOUT * 2 ** this.#attempts, LONGEST_TIMEOUT));
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
    const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (this.#attempts - 1));
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
