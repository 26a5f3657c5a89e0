/**
 * The third of the ports: streams of messages that stay, as in JetStream. `memory/` and `nats/` implement it, and
 * `event_log_suite.ts` tests both. It knows no events: what the messages mean is in `log/format`.
 */
import { CatgaError, isCatgaError } from "../error.ts";
import { thrownMessage } from "../data/cause_text.ts";
import { checkHeader, checkInteger, checkNumber, checkPattern, checkSubject, LONGEST_TTL } from "../data/checks.ts";
import { type Clock, delay, doubled } from "./clock.ts";
import { checkBucket } from "./key_value_store.ts";

/** Streams of a cluster. */
export interface EventLog {
  /**
   * Opens a stream, and creates it when it does not exist: with sequences that begin with the server's time in ms, so
   * that those of a stream that was lost and made again are greater.
   *
   * Rejects with a `CatgaError`: `UNAVAILABLE` when it cannot be reached in time or this user may not open it;
   * `LOG_MISMATCH` when it exists with other settings, or some that could lose messages, naming the setting.
   */
  open(name: string, options: LogOptions): Promise<LogStream>;
}

/** Options of {@link EventLog.open}. */
export interface LogOptions {
  /** The subjects that its messages have: patterns, as `catga.default.log.>`. */
  readonly subjects: readonly string[];
  /** On how many servers each message is kept. */
  readonly replicas: number;
  /**
   * True if messages may be scheduled in it: it then drops its oldest messages when it is full, instead of refusing new
   * ones.
   */
  readonly schedules: boolean;
  /**
   * True if no append removes anything: none has a ttl or a rollup, which such a stream refuses unless an operator has
   * allowed them. nats-server stores a message in it in less time. `false`.
   */
  readonly lasting?: boolean;
  /**
   * A sequence that others have seen of it: a stream that is made again begins behind it. Asked for then; may reject.
   */
  readonly seen?: (() => Promise<number>) | undefined;
}

/**
 * A stream. Sequences grow with each message, and are less than 2^43. A stream that was lost is made again, empty, by
 * whatever finds it missing: an append, which was not stored then, a reader, or a request; `state` only says so.
 */
export interface LogStream {
  readonly name: string;
  /**
   * The time of the server that stores it, in ms since 1970, at least: it may be later there, by what an answer was on
   * its way. This process's clock before the first answer.
   */
  readonly serverTime: number;
  /**
   * The latest time that the server's clock may show now. What has to be due after a time of the server is judged by
   * this one.
   */
  readonly latestServerTime: number;
  /**
   * Asks for the server's time if it is not known, or not well: the last answer was slow, as to a process that was
   * busy, or is old. `undefined`: it is known. Rejects with `UNAVAILABLE` or `CLOSED`.
   */
  measureTime(): Promise<void> | undefined;
  /** Abilities of the server; `undefined` before its first answer. */
  readonly abilities: LogAbilities | undefined;
  /**
   * Appends one message, once: it is not repeated here. Resolves as soon as it is known what became of it, after
   * `timeout` at the latest. Never rejects. Throws a `TypeError` for a subject (the target of a schedule, too) or
   * header that NATS cannot carry or that is the server's own (`Nats-…`), and a `RangeError` for a ttl, a sequence or a
   * time that is none.
   */
  append(subject: string, data: string | Uint8Array, options: AppendOptions): Promise<Appended>;
  /**
   * Like `append`, without a promise, for many at once: calls back in a microtask. For subjects that were read before,
   * which are not checked again.
   */
  appendNext(receiver: AppendReceiver, subject: string, text: string, options: ConditionalAppend): void;
  /**
   * State of the stream now, from its leader. Rejects with `UNAVAILABLE` or `CLOSED`. `undefined`: there is no such
   * stream.
   */
  state(): Promise<LogState | undefined>;
  /**
   * Follows the messages of these subjects (patterns), in order, those that are there and those that come, until it is
   * closed. It outlives reconnects, restarts of the server, and the loss of its consumer. Messages come in later turns
   * of the event loop.
   */
  follow(options: FollowOptions): LogReader;
  /**
   * The last message of a subject, from the leader when `latest`, else from a server that may lag behind. Rejects as
   * `state`.
   */
  last(subject: string, options?: { latest?: boolean }): Promise<StoredMessage | undefined>;
  /** The message of a sequence, from the leader; `undefined`: there is none. Rejects as `state`. */
  at(sequence: number): Promise<StoredMessage | undefined>;
  /**
   * The messages of a subject (a pattern) from a sequence on, or stored at a time of the server (ms since 1970) or
   * later, in order, that are there now: `most` at most, 1,000 or fewer; fewer do not mean the end, none do. From a
   * server that may lag behind. Rejects as `state`.
   */
  read(subject: string, options: ReadOptions): Promise<StoredMessage[]>;
  /**
   * The subjects, of those that match a pattern, that have messages now, in no order; from the leader. Rejects as
   * `state`.
   */
  subjects(pattern: string): Promise<string[]>;
  /**
   * Calls back with the last message of each subject that matches a pattern, in order, from a server that may lag
   * behind; after a failure within, with some again. Rejects as `state`.
   */
  lasts(pattern: string, onMessage: (message: StoredMessage) => void): Promise<void>;
  /**
   * Removes the messages of a subject (a pattern): all, or those before the sequence `before`. Resolves with their
   * number. Rejects as `state`.
   */
  purge(subject: string, options?: { before?: number }): Promise<number>;
  /**
   * Calls back when the stream may be another one or have lost messages: after a reconnect. Returns a function that
   * removes the listener.
   */
  onDoubt(listener: () => void): () => void;
}

/** Options of {@link LogStream.read}. */
export type ReadOptions = ({ readonly from: number } | { readonly since: number }) & {
  readonly most?: number;
  /**
   * Called with each message as it comes, before the promise settles: the server sends the next ones meanwhile. Must
   * not throw. After a failure within a read it gets some again.
   */
  readonly onMessage?: (message: StoredMessage) => void;
};

/**
 * The messages of a subject (a pattern) from a sequence on, `most` of them read at a time. Rejects as {@link
 * LogStream.read}.
 */
export async function* messagesFrom(
  stream: Pick<LogStream, "read">,
  subject: string,
  from: number,
  most: number = MOST_READ,
): AsyncGenerator<StoredMessage> {
  for (let next = from;;) {
    const messages = await stream.read(subject, { from: next, most });
    if (messages.length === 0) return;
    yield* messages;
    next = messages[messages.length - 1].sequence + 1;
  }
}

/**
 * Reads until the stream answers: the election of its leader may take longer than one read is tried. `pauses`: the
 * first and the longest pause between two reads, in ms. `over`: whether nobody wants the answer any more, given the
 * pause that would come next. Rejects with the error of the last read when it is over, and at once for what does not
 * pass.
 */
export async function untilAnswered<T>(
  clock: Clock,
  read: () => Promise<T>,
  [first, longest]: readonly [first: number, longest: number],
  over: (pause: number) => boolean,
): Promise<T> {
  for (let failures = 0;; failures++) {
    try {
      return await read();
    } catch (error) {
      const pause = doubled(failures, first, longest);
      const passes = isCatgaError(error) && error.code === "UNAVAILABLE" && error.retryable;
      if (!passes || over(pause)) throw error;
      await delay(clock, pause);
      if (over(0)) throw error;
    }
  }
}

/** The data of a message as text. */
export function textOf({ data }: Pick<StoredMessage, "data">): string {
  return new TextDecoder().decode(data);
}

/** Abilities of a server. */
export interface LogAbilities {
  /** Messages may be scheduled for a time: nats-server 2.12. */
  readonly at: boolean;
  /** Messages may be scheduled again and again: nats-server 2.14. */
  readonly cron: boolean;
  /** The server's version, for errors. */
  readonly version: string;
}

/** Options of {@link LogStream.append}. */
export interface AppendOptions {
  /** Time to wait for the answer, in ms. */
  readonly timeout: number;
  /** Stored once for each id, in the whole stream, whatever the subject, for 2 minutes at least. */
  readonly id?: string | undefined;
  /** Ttl, in ms, rounded up to whole seconds; as long as the stream. */
  readonly ttl?: number | undefined;
  /** Only if the last message of its subject has this sequence; 0: if it has none. */
  readonly expect?: number | undefined;
  /** Replaces all messages of its subject. */
  readonly rollup?: boolean | undefined;
  /**
   * Stores it as a schedule, which later appends the same data to `target`. Its subject is the identity of the
   * schedule.
   */
  readonly schedule?: LogSchedule | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** Options of {@link LogStream.appendNext}. */
export interface ConditionalAppend {
  /** By the monotonic clock, as the caller has read it. */
  readonly now: number;
  /** Deadline of the answer, by the monotonic clock. */
  readonly due: number;
  /** As {@link AppendOptions.expect}. */
  readonly expect: number;
}

/** Gets what became of an append. */
export interface AppendReceiver {
  /** Called once; must not throw. `now`: by the monotonic clock. */
  appended(appended: Appended, now: number): void;
}

/** When what a schedule stores is appended. */
export interface LogSchedule {
  /** At this time of the server, in ms since 1970; or again and again: six fields of cron. */
  readonly at: number | string;
  /** The time zone of cron; UTC. */
  readonly zone?: string | undefined;
  /** The subject of what is appended: of the stream, not the schedule's own. */
  readonly target: string;
  /** Ttl of appended messages, in ms. */
  readonly ttl?: number | undefined;
}

/** Outcome of an append. */
export type Appended =
  /** It is stored; `duplicate`: it was already, under this id. */
  | { readonly type: "stored"; readonly sequence: number; readonly duplicate: boolean }
  /** It is not stored: the last message of its subject is another one than `expect` says. */
  | { readonly type: "conflict" }
  /**
   * It is certainly not stored. `passing`: trying again may help (no leader, a concurrent write, a full store); else it
   * does not (forbidden, too large, a schedule that the server does not know).
   */
  | { readonly type: "not stored"; readonly passing: boolean; readonly error: CatgaError }
  /** Nobody knows: no answer in time, or the connection was lost. It may even be stored later. */
  | { readonly type: "unknown"; readonly error: CatgaError };

/** A stream as it is. */
export interface LogState {
  /** When it was created, in the server's words: another stream of the same name has another. */
  readonly created: string;
  /** The sequence of its first message, or of the next one if it has none. */
  readonly first: number;
  /** The sequence of its last message, also if that was removed; one less than `first` if it never had one. */
  readonly last: number;
  readonly messages: number;
  readonly bytes: number;
  /** The limit of its size, in bytes; `undefined`: none. */
  readonly maxBytes: number | undefined;
  /** The time of the server when it answered, in ms since 1970. */
  readonly now: number;
}

/** A message as it is stored. Its data may be kept. */
export interface StoredMessage {
  readonly sequence: number;
  readonly subject: string;
  /** When it was stored, by the server's clock, in ms since 1970. */
  readonly time: number;
  readonly data: Uint8Array;
  readonly headers: Readonly<Record<string, string>> | undefined;
}

/** A place in a stream: up to which message it was read. */
export interface LogMark {
  /** {@link LogState.created} of the stream. */
  readonly created: string;
  readonly sequence: number;
  /** The time stamp of that message, in ms since 1970; `undefined`: unknown, or no message has that sequence. */
  readonly time?: number | undefined;
}

/** Options of {@link LogStream.follow}. */
export interface FollowOptions {
  readonly subjects: readonly string[];
  /** Goes on behind this place; from the first message on. */
  readonly after: LogMark | undefined;
  /** Gets the messages. What it throws is reported to {@link FollowOptions.onFault}, and reading goes on. */
  onMessage(message: StoredMessage): void;
  /**
   * Called before the first message and at every interruption, with the place from which reading goes on. `lost`: why
   * that is not behind what was read last: the stream was made again, ended before it, or has another message in its
   * place.
   */
  onStart(start: { readonly mark: LogMark; readonly state: LogState; readonly lost: LogLoss | undefined }): void;
  /** An error that reading survives, such as a stream that is missing; reported at once and then once a minute. */
  onFault(error: CatgaError): void;
}

/** Why reading goes on elsewhere. */
export interface LogLoss {
  readonly reason: "remade" | "truncated" | "replaced" | "expired";
  /** Sequence that was read last: reading goes on behind it. */
  readonly after: number;
  readonly next: number;
}

/** Something that follows a stream. */
export interface LogReader {
  /**
   * The message that was read last; `undefined` before the first start. While none comes it may follow those of other
   * subjects, which were passed by: so that it is not behind the first message of the stream when they expire.
   */
  readonly mark: LogMark | undefined;
  /** True if it has delivered all that the stream had when it (last) started. */
  readonly caughtUp: boolean;
  /** Why it cannot read now: `CLOSED` for good; `undefined` while it reads, and while it is not connected. */
  readonly fault: CatgaError | undefined;
  /** Stops delivery until {@link LogReader.resume}: some messages that are under way may still come. */
  pause(): void;
  resume(): void;
  /** Ends it; no message comes after that. Idempotent. */
  close(): void;
}

/** What a reader reports when one of its callbacks has thrown. */
export function callbackFault(error: unknown): CatgaError {
  if (isCatgaError(error)) return error;
  return new CatgaError("HANDLER_FAILED", `a reader's callback threw: ${thrownMessage(error)}`, { cause: error });
}

/** The greatest sequence: with an index of 10 bits behind it, a position is a safe integer. */
export const MAX_SEQUENCE = 2 ** 43 - 1;

// What every implementation of {@link EventLog} refuses before it asks a server.

/** The most messages of one `LogStream.read`. */
export const MOST_READ = 1_000;
/** The last ms since 1970 that nats-server holds in ns, in April 2262: a schedule for later is due at once. */
const LAST_HELD = 9_223_372_036_854;

/** Throws for options of `EventLog.open` that are none: a `TypeError`, or a `RangeError` for a number. */
export function checkLog(name: string, { subjects, replicas }: LogOptions): void {
  checkBucket(name, replicas);
  checkPatterns(subjects);
}

/** Throws a `TypeError` unless these are patterns, one at least. */
export function checkPatterns(subjects: readonly string[]): void {
  if (subjects.length === 0) throw new TypeError("one subject is needed at least");
  for (const subject of subjects) checkPattern(subject);
}

/** Throws for arguments of `LogStream.append` that are none: a `TypeError`, or a `RangeError` for a number. */
export function checkAppend(subject: string, { id, ttl, expect, schedule, headers = {} }: AppendOptions): void {
  checkSubject(subject);
  if (id !== undefined) checkHeader("Nats-Msg-Id", id);
  if (id === "") throw new TypeError("an id has one character at least");
  for (const name of Object.keys(headers)) {
    if (/^nats-/i.test(name)) throw new TypeError(`headers whose names begin with Nats- are the server's; got ${name}`);
    checkHeader(name, headers[name]);
  }
  if (ttl !== undefined) ttlSeconds(ttl);
  if (expect !== undefined) checkInteger("expect", expect, 0, Number.MAX_SAFE_INTEGER);
  if (schedule === undefined) return;
  const { at, zone, target } = schedule;
  checkSubject(target);
  if (schedule.ttl !== undefined) ttlSeconds(schedule.ttl);
  if (typeof at === "string") checkHeader("Nats-Schedule", at);
  else checkNumber("the time of a schedule", at, 0, LAST_HELD, "ms since 1970");
  if (zone !== undefined) checkHeader("Nats-Schedule-Time-Zone", zone);
}

/** The headers of an append by which nats-server knows its options, and its own; `undefined`: none. */
export function appendHeaders(options: AppendOptions): Readonly<Record<string, string>> | undefined {
  const { id, ttl, expect, rollup, schedule, headers } = options;
  if ((id ?? ttl ?? expect ?? schedule ?? headers) === undefined && !rollup) return undefined;
  const made: Record<string, string> = { ...headers };
  if (id !== undefined) made["Nats-Msg-Id"] = id;
  if (ttl !== undefined) made["Nats-TTL"] = `${ttlSeconds(ttl)}s`;
  if (expect !== undefined) made["Nats-Expected-Last-Subject-Sequence"] = `${expect}`;
  if (rollup) made["Nats-Rollup"] = "sub";
  if (schedule !== undefined) {
    const { at, zone, target, ttl } = schedule;
    made["Nats-Schedule"] = typeof at === "number" ? `@at ${new Date(at).toISOString()}` : at;
    made["Nats-Schedule-Target"] = target;
    if (ttl !== undefined) made["Nats-Schedule-TTL"] = `${ttlSeconds(ttl)}s`;
    if (zone !== undefined && typeof at !== "number") made["Nats-Schedule-Time-Zone"] = zone;
  }
  return made;
}

/** A ttl of a message in whole seconds, rounded up; throws a `RangeError` if it is none. */
export function ttlSeconds(ttl: number): number {
  checkNumber("the ttl of a message", ttl, 1, LONGEST_TTL, "ms");
  return Math.ceil(ttl / 1_000);
}

/** Throws a `RangeError` unless `LogStream.read` can give so many messages. */
export function checkMost(most: number): void {
  checkInteger("most", most, 1, MOST_READ);
}
