/**
 * The third of the ports: streams of stored messages, as in JetStream. `memory/` and `nats/` implement it, and
 * `event_log_suite.ts` tests both. It does not interpret the messages; their format is in `log/format`.
 */
import { CatgaError, isCatgaError } from "../error.ts";
import { thrownMessage } from "../data/cause_text.ts";
import { checkHeader, checkInteger, checkNumber, checkPattern, checkSubject, LONGEST_TTL } from "../data/checks.ts";
import { type Clock, delay, doubled } from "./clock.ts";
import { checkBucket } from "./key_value_store.ts";

/** Streams of a cluster. */
export interface EventLog {
  /**
   * Opens a stream, and creates it if it does not exist. Its sequences begin with the server's time in ms, so that
   * those of a stream made anew after a loss are greater. Rejects with a `CatgaError`: `UNAVAILABLE` if the stream
   * cannot be reached in time or this user may not open it; `LOG_MISMATCH` if it has a setting that is wrong or could
   * lose messages, naming the setting.
   */
  open(name: string, options: LogOptions): Promise<LogStream>;
}

/** Options of {@link EventLog.open}. */
export interface LogOptions {
  /** Subjects of its messages: patterns, as `catga.default.log.>`. */
  readonly subjects: readonly string[];
  /** Number of servers on which each message is kept. */
  readonly replicas: number;
  /**
   * True if messages may be scheduled in the stream; a full stream then drops its oldest messages instead of refusing
   * new ones.
   */
  readonly schedules: boolean;
  /**
   * True if no append uses a ttl or a rollup, which such a stream refuses unless an operator has allowed them.
   * nats-server then stores a message in less time. Default: false.
   */
  readonly lasting?: boolean;
  /**
   * Returns a sequence of the stream that others have seen, called when the stream is made anew: it then begins behind
   * that. May reject.
   */
  readonly seen?: (() => Promise<number>) | undefined;
}

/**
 * A stream. Sequences grow with each message, and are less than 2^43. A lost stream is made anew, empty, by the first
 * append (which is then not stored), reader or request that notices the loss; `state` only reports it.
 */
export interface LogStream {
  readonly name: string;
  /**
   * Lower bound of the server's time, in ms since 1970: the server's clock may be later by the time that its last
   * answer travelled. Before the first answer: this process's clock.
   */
  readonly serverTime: number;
  /** Upper bound of the server's time. A time that must not be reached yet on the server is compared with this. */
  readonly latestServerTime: number;
  /**
   * Requests the server's time if it is unknown or inexact: the last answer was slow, as for a busy process, or is old.
   * `undefined`: it is known. Rejects with `UNAVAILABLE` or `CLOSED`.
   */
  measureTime(): Promise<void> | undefined;
  /** Abilities of the server; `undefined` before its first answer. */
  readonly abilities: LogAbilities | undefined;
  /**
   * Appends one message, in one attempt. Resolves as soon as the outcome is known, after `timeout` at the latest. Never
   * rejects. Throws a `TypeError` for a subject (also the target of a schedule) or header that NATS cannot carry or
   * that is reserved for the server (`Nats-…`), and a `RangeError` for an invalid ttl, sequence or time.
   */
  append(subject: string, data: string | Uint8Array, options: AppendOptions): Promise<Appended>;
  /**
   * Like `append`, for many at once: calls the receiver in a microtask instead of making a promise. For subjects that
   * were read before, which are not checked again.
   */
  appendNext(receiver: AppendReceiver, subject: string, text: string, options: ConditionalAppend): void;
  /**
   * Reads the state of the stream from its leader. Rejects with `UNAVAILABLE` or `CLOSED`. `undefined`: there is no
   * such stream.
   */
  state(): Promise<LogState | undefined>;
  /**
   * Follows the messages of these subjects (patterns), in order, existing and new ones, until the reader is closed. The
   * reader outlives reconnects, restarts of the server, and the loss of its consumer. Messages arrive in later turns of
   * the event loop.
   */
  follow(options: FollowOptions): LogReader;
  /**
   * Reads the last message of a subject, from the leader if `latest`, else from a server that may lag behind. Rejects
   * like {@link LogStream.state}.
   */
  last(subject: string, options?: { latest?: boolean }): Promise<StoredMessage | undefined>;
  /**
   * Reads the message with this sequence, from the leader; `undefined`: there is none. Rejects like
   * {@link LogStream.state}.
   */
  at(sequence: number): Promise<StoredMessage | undefined>;
  /**
   * Reads messages of a subject (a pattern) that exist now, in order: from a sequence on, or stored at or after a time
   * of the server (ms since 1970). Returns at most `most` (1,000 or fewer). Fewer do not mean that the end is reached;
   * only an empty answer does. From a server that may lag behind. Rejects like {@link LogStream.state}.
   */
  read(subject: string, options: ReadOptions): Promise<StoredMessage[]>;
  /**
   * Reads the subjects that match a pattern and have messages now, in no particular order, from the leader. Rejects
   * like {@link LogStream.state}.
   */
  subjects(pattern: string): Promise<string[]>;
  /**
   * Calls `onMessage` with the last message of each subject that matches a pattern, in order, from a server that may
   * lag behind; after a failure in between, some messages are repeated. Rejects like {@link LogStream.state}.
   */
  lasts(pattern: string, onMessage: (message: StoredMessage) => void): Promise<void>;
  /**
   * Removes the messages of a subject (a pattern): all, or those before the sequence `before`. Resolves with their
   * number. Rejects like {@link LogStream.state}.
   */
  purge(subject: string, options?: { before?: number }): Promise<number>;
  /**
   * Calls the listener when the stream may be another one or may have lost messages: after a reconnect. Returns a
   * function that removes the listener.
   */
  onDoubt(listener: () => void): () => void;
}

/** Options of {@link LogStream.read}. */
export type ReadOptions = ({ readonly from: number } | { readonly since: number }) & {
  readonly most?: number;
  /**
   * Called with each message on arrival, before the promise settles, while the server sends the next ones. Must not
   * throw. After a failure within a read, some messages are repeated.
   */
  readonly onMessage?: (message: StoredMessage) => void;
};

/**
 * Yields the messages of a subject (a pattern) from a sequence on; reads `most` of them at a time. Rejects like
 * {@link LogStream.read}.
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
 * Repeats a read until the stream answers, because the election of its leader may take longer than one read waits.
 * `pauses`: first and longest pause between two reads, in ms. `over`: returns true if the answer is not wanted any
 * more, given the next pause. Rejects with the error of the last read then, and at once with an error that does not
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

/** Decodes the data of a message as text. */
export function textOf({ data }: Pick<StoredMessage, "data">): string {
  return new TextDecoder().decode(data);
}

/** Abilities of a server. */
export interface LogAbilities {
  /** Messages may be scheduled for a time: nats-server 2.12. */
  readonly at: boolean;
  /** Messages may be scheduled repeatedly: nats-server 2.14. */
  readonly cron: boolean;
  /** The server's version, for errors. */
  readonly version: string;
}

/** Options of {@link LogStream.append}. */
export interface AppendOptions {
  /** Time to wait for the answer, in ms. */
  readonly timeout: number;
  /**
   * Id of the message: the stream stores only one message with an id, whatever the subject, within 2 minutes at least.
   */
  readonly id?: string | undefined;
  /** Ttl, in ms, rounded up to whole seconds; absent: as long as the stream. */
  readonly ttl?: number | undefined;
  /** Required sequence of the last message of the subject; 0: the subject must have none. */
  readonly expect?: number | undefined;
  /** True if the message replaces all messages of its subject. */
  readonly rollup?: boolean | undefined;
  /**
   * Stores the message as a schedule, which later appends the same data to `target`. The subject is the identity of the
   * schedule.
   */
  readonly schedule?: LogSchedule | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** Options of {@link LogStream.appendNext}. */
export interface ConditionalAppend {
  /** Present time by the monotonic clock, as read by the caller. */
  readonly now: number;
  /** Deadline of the answer, by the monotonic clock. */
  readonly due: number;
  /** See {@link AppendOptions.expect}. */
  readonly expect: number;
}

/** Receives the outcome of an append. */
export interface AppendReceiver {
  /** Called once; must not throw. `now`: by the monotonic clock. */
  appended(appended: Appended, now: number): void;
}

/** Times and target of a schedule. */
export interface LogSchedule {
  /** Server time, in ms since 1970, of its only firing; a string: six fields of cron, for repeated firings. */
  readonly at: number | string;
  /** Time zone of the cron; default: UTC. */
  readonly zone?: string | undefined;
  /** Subject of the appended messages: one of the stream's, not the schedule's own. */
  readonly target: string;
  /** Ttl of appended messages, in ms. */
  readonly ttl?: number | undefined;
}

/** Outcome of an append. */
export type Appended =
  /** Stored; `duplicate`: a message with this id was stored before. */
  | { readonly type: "stored"; readonly sequence: number; readonly duplicate: boolean }
  /** Not stored: the last message of the subject has another sequence than `expect`. */
  | { readonly type: "conflict" }
  /**
   * Certainly not stored. `passing`: another attempt may help (no leader, a concurrent write, a full store); else it
   * does not (forbidden, too large, a schedule that the server does not support).
   */
  | { readonly type: "not stored"; readonly passing: boolean; readonly error: CatgaError }
  /** Unknown: no answer in time, or the connection was lost. The message may even be stored later. */
  | { readonly type: "unknown"; readonly error: CatgaError };

/** State of a stream. */
export interface LogState {
  /** Creation time as text of the server; it identifies the stream: a later stream of the same name has another. */
  readonly created: string;
  /** Sequence of its first message; if it has none, of the next one. */
  readonly first: number;
  /** Sequence of its last message, even if that was removed; `first` minus 1 if it never had one. */
  readonly last: number;
  readonly messages: number;
  readonly bytes: number;
  /** Maximum size of the stream, in bytes; `undefined`: no limit. */
  readonly maxBytes: number | undefined;
  /** Server time of the answer, in ms since 1970. */
  readonly now: number;
}

/** A stored message. Its data may be kept. */
export interface StoredMessage {
  readonly sequence: number;
  readonly subject: string;
  /** Time at which the message was stored, by the server's clock, in ms since 1970. */
  readonly time: number;
  readonly data: Uint8Array;
  readonly headers: Readonly<Record<string, string>> | undefined;
}

/** A place in a stream: the last message that was read. */
export interface LogMark {
  /** {@link LogState.created} of the stream. */
  readonly created: string;
  readonly sequence: number;
  /**
   * Time stamp of the message with that sequence, in ms since 1970; `undefined`: unknown, or there is no such message.
   */
  readonly time?: number | undefined;
}

/** Options of {@link LogStream.follow}. */
export interface FollowOptions {
  readonly subjects: readonly string[];
  /** Place behind which reading begins; `undefined`: with the first message. */
  readonly after: LogMark | undefined;
  /**
   * Called with each message. Errors that it throws are reported to {@link FollowOptions.onFault}, and reading goes on.
   */
  onMessage(message: StoredMessage): void;
  /**
   * Called before the first message and after every interruption, with the place from which reading goes on. `lost`:
   * set if that is not behind the message read last, because the stream was made anew, ends earlier, or has another
   * message with its sequence.
   */
  onStart(start: { readonly mark: LogMark; readonly state: LogState; readonly lost: LogLoss | undefined }): void;
  /** Called with an error after which reading goes on, such as a missing stream; at once, and then once a minute. */
  onFault(error: CatgaError): void;
}

/** A loss of messages, because of which reading goes on elsewhere. */
export interface LogLoss {
  readonly reason: "remade" | "truncated" | "replaced" | "expired";
  /** Last sequence read. */
  readonly after: number;
  /** First sequence at which reading goes on. */
  readonly next: number;
}

/** A reader that follows a stream. */
export interface LogReader {
  /**
   * The last message read; `undefined` before the first start. While no message arrives, the mark may move behind
   * skipped messages of other subjects, so that it is not before the first message of the stream when they expire.
   */
  readonly mark: LogMark | undefined;
  /** True if all messages that the stream had at the (last) start were delivered. */
  readonly caughtUp: boolean;
  /** Why the reader cannot read now (`CLOSED`: for ever); `undefined` while it reads, and while it is not connected. */
  readonly fault: CatgaError | undefined;
  /** Stops delivery until {@link LogReader.resume}; messages in transit may still arrive. */
  pause(): void;
  resume(): void;
  /** Ends the reader; no message is delivered after that. Idempotent. */
  close(): void;
}

/** Makes the error that a reader reports when one of its callbacks has thrown. */
export function callbackFault(error: unknown): CatgaError {
  if (isCatgaError(error)) return error;
  return new CatgaError("HANDLER_FAILED", `a reader's callback threw: ${thrownMessage(error)}`, { cause: error });
}

/** Maximum sequence: with an index of 10 bits behind it, a position is a safe integer. */
export const MAX_SEQUENCE = 2 ** 43 - 1;

// Checks that every implementation of {@link EventLog} makes before it sends a request.

/** Maximum number of messages of one `LogStream.read`. */
export const MOST_READ = 1_000;
/**
 * Last time that nats-server can hold in ns, in ms since 1970 (April 2262): a schedule for later would be due at once.
 */
const LAST_HELD = 9_223_372_036_854;

/** Throws if options of `EventLog.open` are invalid: a `TypeError`, or a `RangeError` for a number. */
export function checkLog(name: string, { subjects, replicas }: LogOptions): void {
  checkBucket(name, replicas);
  checkPatterns(subjects);
}

/** Throws a `TypeError` if one of these is no pattern, or if there is none. */
export function checkPatterns(subjects: readonly string[]): void {
  if (subjects.length === 0) throw new TypeError("one subject is needed at least");
  for (const subject of subjects) checkPattern(subject);
}

/** Throws if arguments of `LogStream.append` are invalid: a `TypeError`, or a `RangeError` for a number. */
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

/**
 * Makes the headers of an append: the options as nats-server expects them, and the message's own headers; `undefined`:
 * none.
 */
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

/** Rounds the ttl of a message up to whole seconds; throws a `RangeError` if it is invalid. */
export function ttlSeconds(ttl: number): number {
  checkNumber("the ttl of a message", ttl, 1, LONGEST_TTL, "ms");
  return Math.ceil(ttl / 1_000);
}

/** Throws a `RangeError` if `LogStream.read` cannot return so many messages. */
export function checkMost(most: number): void {
  checkInteger("most", most, 1, MOST_READ);
}
