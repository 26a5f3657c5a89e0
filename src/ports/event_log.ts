/**
 * The third port (interface to the outside): streams of stored messages, as in JetStream. The folders `memory/` and
 * `nats/` implement it, and `event_log_suite.ts` tests both. It does not interpret the messages; their format is in
 * `log/format`.
 */
import { CatgaError, isCatgaError } from "../error.ts";
import { thrownMessage } from "../data/cause_text.ts";
import { checkHeader, checkInteger, checkNumber, checkPattern, checkSubject, LONGEST_TTL } from "../data/checks.ts";
import { checkBucket } from "./key_value_store.ts";

/** Opens the streams of a cluster. */
export interface EventLog {
  /**
   * Opens a stream, and creates it if it does not exist. The first sequence is the server's time in ms, so that a
   * stream that is created again after a loss has greater sequences. Rejects with a `CatgaError`: `UNAVAILABLE` if the
   * stream cannot be reached in time or this user may not open it; `LOG_MISMATCH` if it has a setting that is wrong or
   * could lose messages, naming the setting.
   */
  open(name: string, options: LogOptions): Promise<LogStream>;
}

/** Options of {@link EventLog.open}, which opens a stream. */
export interface LogOptions {
  /** Subjects of the stream's messages, as patterns such as `catga.default.log.>`. */
  readonly subjects: readonly string[];
  /** Number of servers that keep each message. */
  readonly replicas: number;
  /**
   * True if messages may be scheduled in the stream; a full stream then drops its oldest messages instead of refusing
   * new ones.
   */
  readonly schedules: boolean;
  /**
   * True if no append uses a ttl or a rollup; such a stream refuses both, unless an operator has allowed them. Then
   * nats-server stores a message in less time. Default: false.
   */
  readonly lasting?: boolean;
  /**
   * Returns a sequence of the stream that other processes have seen. Called when the stream is created again after a
   * loss: its sequences then begin after this one. May reject.
   */
  readonly seen?: (() => Promise<number>) | undefined;
}

/**
 * A stream of stored messages. Each message has a greater sequence than the one before; sequences are less than 2^43. A
 * stream that the store has lost is created again, empty, by the first append (which is then not stored), reader or
 * request that notices the loss; `state` only reports the loss.
 * @decides what a stream promises
 */
export interface LogStream {
  readonly name: string;
  /**
   * Lower bound of the server's time, in ms since 1970: the server's clock may be later by the time that its last
   * answer travelled. Before the first answer: this process's clock.
   */
  readonly serverTime: number;
  /**
   * Upper bound of the server's time, in ms since 1970, for decisions that a time has certainly not been reached on the
   * server.
   */
  readonly latestServerTime: number;
  /**
   * Asks the server for its time, if that is not known exactly enough, because the last answer was slow (as in a busy
   * process) or is old. Returns `undefined` if the time is known. Rejects with `UNAVAILABLE` or `CLOSED`.
   */
  measureTime(): Promise<void> | undefined;
  /** Abilities of the server, such as schedules; `undefined` before its first answer. */
  readonly abilities: LogAbilities | undefined;
  /**
   * Appends one message, in one attempt. Resolves as soon as the outcome is known, after `timeout` at the latest. Never
   * rejects. Throws a `TypeError` for a subject (also the target of a schedule) or header that NATS cannot carry or
   * that is reserved for the server (`Nats-…`), and a `RangeError` for an invalid ttl, sequence or time.
   */
  append(subject: string, data: string | Uint8Array, options: AppendOptions): Promise<Appended>;
  /**
   * Appends one message, like `append`, but calls the receiver in a microtask instead of returning a promise, because
   * there may be many. The subject must be one that `append` has accepted or a read has returned: it is not checked
   * here.
   */
  appendNext(receiver: AppendReceiver, subject: string, text: string, options: ConditionalAppend): void;
  /**
   * Reads the state of the stream from its leader; `undefined`: there is no such stream. Rejects with `UNAVAILABLE` or
   * `CLOSED`.
   */
  state(): Promise<LogState | undefined>;
  /**
   * Reads the messages of these subjects (patterns), existing and new ones, in order, until the returned reader is
   * closed. The reader survives reconnects, restarts of the server, and the loss of its consumer. Messages arrive in
   * later turns of the event loop.
   */
  follow(options: FollowOptions): LogReader;
  /**
   * Reads the last message of a subject: with `latest` from the stream's leader, otherwise from a server that may lag
   * behind. `undefined`: the subject has no message. Rejects with `UNAVAILABLE` or `CLOSED`.
   */
  last(subject: string, options?: { latest?: boolean }): Promise<StoredMessage | undefined>;
  /**
   * Reads the message with this sequence from the stream's leader; `undefined`: there is none. Rejects with
   * `UNAVAILABLE` or `CLOSED`.
   */
  at(sequence: number): Promise<StoredMessage | undefined>;
  /**
   * Reads messages of a subject (a pattern) that exist now, in order: from a sequence on, or stored at or after a time
   * of the server (ms since 1970). Returns at most `most` messages (1,000 or fewer). Only an empty answer means that
   * there are no more. The server that answers may lag behind. Rejects with `UNAVAILABLE` or `CLOSED`.
   */
  read(subject: string, options: ReadOptions): Promise<StoredMessage[]>;
  /**
   * Reads from the stream's leader the subjects that match a pattern and have messages now, in no particular order.
   * Rejects with `UNAVAILABLE` or `CLOSED`.
   */
  subjects(pattern: string): Promise<string[]>;
  /**
   * Calls `onMessage` with the last message of each subject that matches a pattern, in order of their sequences. The
   * server that answers may lag behind; after a failure within the read, some messages are repeated. Rejects with
   * `UNAVAILABLE` or `CLOSED`.
   */
  lasts(pattern: string, onMessage: (message: StoredMessage) => void): Promise<void>;
  /**
   * Removes the messages of a subject (a pattern): all, or the messages before the sequence `before`. Resolves with the
   * number of removed messages. Rejects with `UNAVAILABLE` or `CLOSED`.
   */
  purge(subject: string, options?: { before?: number }): Promise<number>;
  /**
   * Calls the listener after each reconnect: the stream may then be another one, or may have lost messages. Returns a
   * function that removes the listener.
   */
  onDoubt(listener: () => void): () => void;
}

/** Options of {@link LogStream.read}, which reads messages of a subject that exist now. */
export type ReadOptions = ({ readonly from: number } | { readonly since: number }) & {
  readonly most?: number;
  /**
   * Called with each message when it arrives, before the promise settles. Must not throw. After a failure within a
   * read, some messages are repeated.
   */
  readonly onMessage?: (message: StoredMessage) => void;
};

/**
 * Returns the messages of a subject (a pattern) from a sequence on; reads `most` of them at a time. Rejects with
 * `UNAVAILABLE` or `CLOSED`.
 */
export async function* messagesFrom(
  stream: Pick<LogStream, "read">,
  subject: string,
  from: number,
  most: number = MAX_MESSAGES_READ,
): AsyncGenerator<StoredMessage> {
  for (let next = from;;) {
    const messages = await stream.read(subject, { from: next, most });
    if (messages.length === 0) return;
    yield* messages;
    next = messages[messages.length - 1].sequence + 1;
  }
}

/** Maximum time by which a server may lag behind a stream's leader, in ms. */
export const MAX_SERVER_LAG = 1_000;

/** Decodes the data of a message as text. */
export function textOf({ data }: Pick<StoredMessage, "data">): string {
  return new TextDecoder().decode(data);
}

/** Abilities of a NATS server that older versions lack. */
export interface LogAbilities {
  /** True if messages can be scheduled for a time: nats-server 2.12. */
  readonly at: boolean;
  /** True if messages can be scheduled repeatedly: nats-server 2.14. */
  readonly cron: boolean;
  /** The server's version, for errors. */
  readonly version: string;
}

/** Options of {@link LogStream.append}, which stores a message. */
export interface AppendOptions {
  /** Maximum time to wait for the server's answer, in ms. */
  readonly timeout: number;
  /**
   * Id of the message: the stream stores only one message with an id, whatever the subject, within 2 minutes at least.
   * Absent: none.
   */
  readonly id?: string | undefined;
  /**
   * How long the stream keeps the message, in ms, rounded up to whole seconds; absent: as long as its other messages.
   */
  readonly ttl?: number | undefined;
  /**
   * Condition: the last message of the subject has this sequence; 0: the subject has no message. Absent: no condition.
   */
  readonly expect?: number | undefined;
  /** True if the message replaces all messages of its subject. */
  readonly rollup?: boolean | undefined;
  /**
   * Stores the message as a schedule, which later appends the same data to the subject `target`. The message's own
   * subject identifies the schedule. Absent: the message is no schedule.
   */
  readonly schedule?: LogSchedule | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** Options of {@link LogStream.appendNext}, which appends under a condition. */
export interface ConditionalAppend {
  /** The present time, by the monotonic clock, as the caller has read it. */
  readonly now: number;
  /** Deadline for the server's answer, by the monotonic clock. */
  readonly due: number;
  /** Condition: the last message of the subject has this sequence; 0: the subject has no message. */
  readonly expect: number;
}

/** Receives the outcome of an append. */
export interface AppendReceiver {
  /** Called once, with the outcome; must not throw. `now`: the time by the monotonic clock. */
  appended(appended: Appended, now: number): void;
}

/** Times and target of a schedule. */
export interface LogSchedule {
  /**
   * Time at which the schedule fires once, in ms since 1970 by the server's clock; or a cron expression of six fields,
   * for repeated firings.
   */
  readonly at: number | string;
  /** Time zone in which the cron expression is read; default: UTC. */
  readonly zone?: string | undefined;
  /** Subject of the messages that the schedule appends: a subject of the stream, but not the schedule's own. */
  readonly target: string;
  /** How long the stream keeps an appended message, in ms. */
  readonly ttl?: number | undefined;
  /**
   * True if a live process postpones the schedule again and again, so that it fires when the process has ended. A
   * stream that outlives its process in a file fires it at once when the next process opens the file. Default: false.
   */
  readonly ofProcess?: true | undefined;
}

/** Outcome of an append. */
export type Appended =
  /** The message is stored; `duplicate`: a message with this id was stored before. */
  | { readonly type: "stored"; readonly sequence: number; readonly duplicate: boolean }
  /** The message is not stored, because the last message of the subject has another sequence than `expect`. */
  | { readonly type: "conflict" }
  /**
   * The message is certainly not stored. `transient`: true if another attempt may help (no leader, a concurrent write,
   * a full store); false if not (forbidden, too large, a schedule that the server does not support).
   */
  | { readonly type: "not stored"; readonly transient: boolean; readonly error: CatgaError }
  /**
   * The outcome is unknown: there was no answer in time, or the connection was lost. The message may have been stored,
   * or may even be stored later.
   */
  | { readonly type: "unknown"; readonly error: CatgaError };

type NotStored = Extract<Appended, { readonly type: "not stored" }>;

/** Makes the outcome of a message that is certainly not stored, and may be stored by another attempt. */
export function notStoredNow(error: CatgaError): NotStored {
  return { type: "not stored", transient: true, error };
}

/** Makes the outcome of a message that is certainly not stored, and that no other attempt would store. */
export function neverStored(error: CatgaError): NotStored {
  return { type: "not stored", transient: false, error };
}

/** State of a stream. */
export interface LogState {
  /**
   * Time of creation, as text of the server. It identifies the stream: a later stream of the same name has another one.
   */
  readonly created: string;
  /** Sequence of the stream's first message; if there is none, of the next message. */
  readonly first: number;
  /** Sequence of the stream's last message, even if that was removed; `first` minus 1 if the stream never had one. */
  readonly last: number;
  readonly messages: number;
  readonly bytes: number;
  /** Maximum size of the stream, in bytes; `undefined`: no limit. */
  readonly maxBytes: number | undefined;
  /** A full stream removes its oldest messages (`old`) or refuses new ones (`new`). */
  readonly discard: "old" | "new";
  /** The server's time when it answered, in ms since 1970. */
  readonly now: number;
}

/** A stored message, as it was read. The receiver may keep its data. */
export interface StoredMessage {
  readonly sequence: number;
  readonly subject: string;
  /** Time at which the message was stored, by the server's clock, in ms since 1970. */
  readonly time: number;
  readonly data: Uint8Array;
  readonly headers: Readonly<Record<string, string>> | undefined;
}

/** A place in a stream, given by the last message that was read. */
export interface LogMark {
  /** Identity of the stream: its {@link LogState.created}. */
  readonly created: string;
  readonly sequence: number;
  /**
   * Time stamp of the message with the sequence {@link LogMark.sequence}, in ms since 1970; `undefined`: not known, or
   * there is no such message.
   */
  readonly time?: number | undefined;
  /**
   * Server time at which the reader had read all of its messages, in ms since 1970; `undefined`: not known. If the
   * stream has lost messages and `time` is not known, what was stored since then has not been read
   * ({@link SERVERS_APART}).
   */
  readonly at?: number | undefined;
}

/** Greatest difference between the clocks of two servers, in ms, at which a {@link LogMark.at} skips no message. */
export const SERVERS_APART = 1_000;

/**
 * Returns the time from which a reader goes on after its stream has lost messages, in ms since 1970: what was stored
 * until then has been read. `Infinity` if neither time of the mark is known: the reader then goes on at the end.
 */
export function readBy({ time, at = Infinity }: LogMark): number {
  return time ?? at - SERVERS_APART;
}

/** Options of {@link LogStream.follow}, which reads messages until it is closed. */
export interface FollowOptions {
  readonly subjects: readonly string[];
  /** Place after which reading begins; `undefined`: at the first message. */
  readonly after: LogMark | undefined;
  /**
   * Called with each message. An error that it throws is passed to {@link FollowOptions.onFault}, and reading
   * continues.
   */
  onMessage(message: StoredMessage): void;
  /**
   * Called before the first message and after every interruption, with the place from which reading continues. `lost`:
   * set if messages were lost, so that reading does not continue after the last message read: because the stream was
   * made anew, ends before that message, or has another message with that message's sequence.
   */
  onStart(start: { readonly mark: LogMark; readonly state: LogState; readonly lost: LogLoss | undefined }): void;
  /** Called with an error after which reading continues, such as a missing stream: at once, and then once a minute. */
  onFault(error: CatgaError): void;
}

/** A loss of messages, because of which reading continues at another place. */
export interface LogLoss {
  readonly reason: "remade" | "truncated" | "replaced" | "expired";
  /** Sequence of the last message that was read. */
  readonly after: number;
  /** Sequence at which reading continues. */
  readonly next: number;
}

/** Reads a stream until it is closed; {@link LogStream.follow} returns it. */
export interface LogReader {
  /**
   * The last message read; `undefined` before the first start. While no message arrives, the mark may move past
   * messages of other subjects: otherwise it would be before the first message of the stream once they have expired.
   */
  readonly mark: LogMark | undefined;
  /** True if all messages were delivered that the stream had when reading last began. */
  readonly caughtUp: boolean;
  /**
   * Error because of which the reader cannot read now (`CLOSED`: for ever); `undefined` while it reads, and while it is
   * not connected.
   */
  readonly fault: CatgaError | undefined;
  /** Stops the delivery of messages until {@link LogReader.resume}; messages on their way may still arrive. */
  pause(): void;
  resume(): void;
  /** Ends the reader; no message is delivered afterwards. Repeated calls do nothing. */
  close(): void;
}

/** Makes the error that a reader reports when a callback of its user has thrown. */
export function callbackFault(error: unknown): CatgaError {
  if (isCatgaError(error)) return error;
  return new CatgaError("HANDLER_FAILED", `a reader's callback threw: ${thrownMessage(error)}`, { cause: error });
}

/** Maximum sequence: followed by an index of 10 bits, it makes a position that is a safe integer. */
export const MAX_SEQUENCE = 2 ** 43 - 1;

// Checks of arguments that every implementation of {@link EventLog} makes before it sends a request.

/** Maximum number of messages that one `LogStream.read` returns. */
export const MAX_MESSAGES_READ = 1_000;
/**
 * Last time that nats-server can represent in ns, in ms since 1970 (April 2262): a schedule for a later time would fire
 * at once.
 */
const LAST_HELD = 9_223_372_036_854;

/** Throws if options of `EventLog.open` are invalid: a `TypeError`, or a `RangeError` for a number. */
export function checkLog(name: string, { subjects, replicas }: LogOptions): void {
  checkBucket(name, replicas);
  checkPatterns(subjects);
}

/** Throws a `TypeError` if an element is not a valid subject pattern, or the list is empty. */
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
 * Makes the headers of an append: its options in the form that nats-server expects, and the message's own headers;
 * `undefined`: none.
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

/**
 * Returns the sequence of the message of its subject that a message was appended after, as its append expected it; 0:
 * none; `undefined`: not known, because the append expected nothing.
 */
export function precedingOf({ headers }: StoredMessage): number | undefined {
  const expected = headers?.["Nats-Expected-Last-Subject-Sequence"];
  return expected === undefined || !/^\d{1,15}$/.test(expected) ? undefined : Number(expected);
}

/** Rounds the ttl of a message up to whole seconds; throws a `RangeError` if it is invalid. */
export function ttlSeconds(ttl: number): number {
  checkNumber("the ttl of a message", ttl, 1, LONGEST_TTL, "ms");
  return Math.ceil(ttl / 1_000);
}

/** Throws a `RangeError` if `most` is not a valid maximum number of messages for `LogStream.read`. */
export function checkMost(most: number): void {
  checkInteger("most", most, 1, MAX_MESSAGES_READ);
}
