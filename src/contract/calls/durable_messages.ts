/**
 * Durable messages as programs see them: options of publishing, subscriptions, dead letters, and the events that
 * `app.follow` returns.
 */
import { checkKnown, checkNumber, checkSignal, checkString, LATEST, show, TEN_YEARS } from "../../data/checks.ts";
import type { LimitOverride, SubscriptionPause } from "../nodes/node_info.ts";
import { checkSending, type PublishOptions, type SendOptions } from "./send_options.ts";
import type { ContractOptions, DurableContract, DurableContractOptions } from "../declaration/contract.ts";

/** Options of `publish` for a durable event; `enqueue` takes them, too. */
export interface KeepOptions extends Pick<SendOptions, "id" | "headers" | "signal" | "timeout"> {
  /**
   * Delay before the message is handled, in ms by the server's clock: 0 to 10 years. Needs nats-server 2.12. Default:
   * 0.
   *
   * `[delay, longest]`, with `id`: a debounce. A message takes the place of one of its `id` that still waits, and is
   * handled when none has come for `delay` ms (1 to 10 years), but at most `longest` ms (`delay` to 10 years) after the
   * first that has waited since the last one was handled.
   * @example
   * ```ts
   * import { catga, command, unwrap } from "@catga/catga";
   *
   * const Index = command<{ page: string; text: string }>("Index", { durable: true });
   * const indexed = Promise.withResolvers<string>();
   * await using app = await catga({ handlers: Index.handle(({ text }) => indexed.resolve(text)) });
   * for (const text of ["a", "ab", "abc"]) {
   *   unwrap(await app.enqueue(Index, { page: "7", text }, { id: "7", delay: [2_000, 10_000] }));
   * }
   * console.log(await indexed.promise); // abc
   * ```
   */
  delay?: number | readonly [delay: number, longest: number] | undefined;
  /**
   * Earliest time at which the message is handled, before the year 2262, by this process's clock; `publish` and
   * `enqueue` translate it to the server's clock. Needs nats-server 2.12. Default: at once.
   */
  at?: Date | undefined;
}

/**
 * Options of `publish` for an event with the options `O`. Those of a durable event alone are of a text for any other
 * event: the text appears in the compiler's error.
 */
export type PublishOptionsOf<O extends ContractOptions> = O extends DurableContractOptions ? KeepOptions
  :
    & PublishOptions
    & {
      [Option in Exclude<keyof KeepOptions, keyof PublishOptions>]?:
        | "only a durable event takes this option: define the event with durable: true"
        | undefined;
    };

/** Options of `enqueue`. */
export interface EnqueueOptions extends KeepOptions {
  /**
   * Repeats the message at the times of a cron expression: six fields, seconds first, or `@hourly` and the like. `id`
   * is the schedule's name. Needs nats-server 2.14.
   */
  cron?: string | undefined;
  /** The time zone in which `cron` is read, such as `"Europe/Berlin"`. Default: UTC. */
  zone?: string | undefined;
}

/** Filter of dead letters. Default: all dead letters of the namespace. */
export interface DeadLetterOptions {
  /** Only dead letters of this service. */
  service?: string | undefined;
  /** Only dead letters of this subscription. */
  subscription?: string | undefined;
}

/**
 * A message that a subscription failed to handle too often, or could not read. It is kept until it is replayed or
 * discarded.
 */
export interface DeadLetter {
  /** The id of the message. */
  readonly id: string;
  /** The service of the subscription. */
  readonly service: string;
  /** The name of the subscription. */
  readonly subscription: string;
  /** The name of the message's contract. */
  readonly contract: string;
  /** The message's key; `undefined`: it has none. */
  readonly key: string | undefined;
  /** Payload as it was published, before the contract's schema parsed it. */
  readonly payload: unknown;
  /** Headers that the message was published with. */
  readonly headers: Readonly<Record<string, string>>;
  /** The message's position in the log. */
  readonly position: number;
  /**
   * Failure of the last attempt. `cause`: the error that the handler threw, for operators: `name: message` on the first
   * line, then the stack; 4 kB at most; absent if the handler's node has the option `causes: false`.
   */
  readonly error: { readonly code: string; readonly message: string; readonly cause?: string | undefined };
  /** Number of attempts to handle the message so far. */
  readonly attempts: number;
  /** Time at which the message was stored in the log, by the server's clock. */
  readonly stored: Date;
  /** The time for which the message was scheduled; `undefined`: it was not scheduled. */
  readonly due: Date | undefined;
  /** Time at which the message became a dead letter. */
  readonly at: Date;
  /**
   * Number of later messages of the same contract and key, which wait until the dead letter is replayed or discarded.
   */
  readonly heldBehind: number;
  /**
   * The payloads that the dead letter had before it was edited, oldest first, as JSON that is cut if it is long; `at`:
   * the time since which it was a dead letter with that payload.
   */
  readonly history: readonly { readonly at: Date; readonly payload: string }[];
  /**
   * Has the message handled again, with a full number of attempts, and then the messages that wait behind it. `payload`
   * replaces the message's payload; its key stays. Resolves when the request is stored. Rejects with `TOO_LARGE` for a
   * payload that is too large for `publish`, and with `CONFLICT` if the letter was handled or discarded meanwhile.
   */
  replay(options?: { readonly payload?: unknown }): Promise<void>;
  /** Removes the dead letter; messages that waited behind it are then handled. Resolves when the request is stored. */
  discard(): Promise<void>;
}

/** The state of a subscription. */
export interface SubscriptionInfo {
  /** The service of the subscription. */
  readonly service: string;
  /** The name of the subscription. */
  readonly name: string;
  /** The contracts whose messages the subscription handles. */
  readonly contracts: readonly string[];
  /** Position in the log up to which the subscription has read messages. */
  readonly position: number;
  /** Number of messages of the log's stream that the subscription has not read yet; each has 1 to 512 events. */
  readonly lag: number;
  /** Number of messages that the subscription has read, and that are neither handled nor dead letters. */
  readonly open: number;
  /** Age of the subscription's oldest unhandled message, in ms; 0 if there is none. */
  readonly oldest: number;
  /**
   * Time until the oldest unhandled message is deleted from the log, in ms; absent while more than a quarter of the
   * time for which the log keeps the message (`keep`) is left, or if none is unhandled.
   */
  readonly ends?: number | undefined;
  /** Number of messages that wait for their next attempt, or behind another message of their key. */
  readonly retrying: number;
  /**
   * Keys whose later messages stay in the log until there is room for them, because many of the key are in hand, or
   * wait behind one that has failed: their number, and the one that is furthest behind; `undefined`: none.
   */
  readonly behind?: { readonly count: number; readonly contract: string; readonly key: string } | undefined;
  /** Number of dead letters of the subscription. */
  readonly dead: number;
  /**
   * Number of messages that limits have skipped (`over`) since the subscription began; they count as handled.
   * `undefined`: none.
   */
  readonly skipped?: number | undefined;
  /** The id of the node that leads the subscription; `undefined`: none. */
  readonly leader: string | undefined;
  /**
   * True if no live node handles the subscription; the subscription and its dead letters are kept until an operator
   * removes them.
   */
  readonly abandoned: boolean;
  /**
   * True while an operator's `rewind`, `replay` or `discard` is waiting for the subscription's leader to carry it out.
   */
  readonly requested: boolean;
  /** The pause by which an operator has it hand out nothing; `undefined`: it is not paused. */
  readonly paused?: SubscriptionPause | undefined;
  /** Settings of its limits by operators (`catga limits`); absent: none. */
  readonly overrides?: readonly LimitOverride[] | undefined;
}

/** Options of `app.pause`. */
export interface PauseOptions {
  /** Reason, which is shown wherever the pause is: 1 to 400 characters. */
  readonly reason?: string | undefined;
  /** Time after which the subscription goes on by itself, in ms: 1 ms to 10 years. Default: it lasts until `resume`. */
  readonly for?: number | undefined;
}

/** Options of the pause of a limit. */
export interface LimitPauseOptions extends PauseOptions {
  /** Pauses the messages of this key alone, 1,024 characters at most. Default: the whole limit. */
  readonly key?: string | undefined;
}

/** Numbers of a limit that count in place of the program's; at least one. */
export interface LimitSettings {
  /** Maximum number of messages that run at once, 1 to 1,000,000. */
  readonly running?: number | undefined;
  /** `count` messages begin in `ms`: 1 to 1,000,000 in 1 ms to a day. */
  readonly per?: readonly [count: number, ms: number] | undefined;
  /** Number of messages that may begin at once after a pause, 1 to 1,000,000. */
  readonly burst?: number | undefined;
}

/**
 * Changes one limit of a subscription, for all nodes, as the command `catga limits` does. Each change is kept over
 * restarts and deploys until it is taken back, and shown wherever the limit is. A method resolves when its change is
 * stored; the leader follows
 * within a moment. Rejects with a `TypeError` or `RangeError` for an invalid option, and if there is no such
 * subscription, or no live node has the limit; with a `CatgaError` (`UNAVAILABLE`, `OUTCOME_UNKNOWN`).
 */
export interface LimitControl {
  /** None of its messages, or of the key's, begins until `resume`, or for `for` ms; what runs ends, others go on. */
  pause(options?: LimitPauseOptions): Promise<void>;
  /** Ends the pause of the limit, or that of the key; does nothing if it is not paused. */
  resume(options?: Pick<LimitPauseOptions, "key">): Promise<void>;
  /** Has numbers count in place of the program's until `clear`; others stay as they are. */
  set(settings: LimitSettings): Promise<void>;
  /** Has the limit be as the program says: all pauses of it and of its keys end, too. */
  clear(): Promise<void>;
}

/** Throws if the options of a pause are invalid. */
export function checkPauseOptions(options: PauseOptions): void {
  checkKnown("pause", options, PAUSE_OPTIONS);
  const { reason, for: lasts } = options;
  if (lasts !== undefined) checkNumber("pause: for", lasts, 1, TEN_YEARS, "ms");
  if (reason === undefined) return;
  checkString("pause: reason", reason);
  if (reason.trim() === "" || reason.length > MAX_PAUSE_REASON) {
    throw new RangeError(`pause: a reason has 1 to ${MAX_PAUSE_REASON} characters; got ${reason.length}`);
  }
}

const PAUSE_OPTIONS: ReadonlySet<string> = new Set(["reason", "for"]);
/** Maximum length of the reason of a pause, in characters. */
export const MAX_PAUSE_REASON = 400;

/** Throws if the options of a durable `publish`, or of an `enqueue`, are invalid. */
export function checkKeepOptions(method: "publish" | "enqueue", name: string, options: EnqueueOptions): void {
  const at = `${method} ${name}`;
  if (method === "publish") checkKnown(at, options, KEEP_OPTIONS, NOT_OF_PUBLISH);
  else checkKnown(at, options, ENQUEUE_OPTIONS);
  checkSending(at, options);
  const { delay, at: when, cron, id } = options;
  if (typeof delay === "object" && delay !== null) checkLongest(at, delay, id);
  else if (delay !== undefined) checkNumber(`${at}: delay`, delay, 0, TEN_YEARS, "ms");
  checkScheduleTimes(at, options);
  const given = Number(delay !== undefined) + Number(when !== undefined) + Number(cron !== undefined);
  if (given > 1) throw new TypeError(`${at}: give one of delay, at and cron`);
  if (cron !== undefined && id === undefined) throw new TypeError(`${at}: a cron needs an id, which is its name`);
}

/** Throws if a delay with a longest wait is invalid. */
function checkLongest(at: string, given: readonly unknown[], id: string | undefined): void {
  if (!Array.isArray(given) || given.length !== 2) {
    throw new TypeError(`${at}: delay must be a number of ms, or [ms, longest ms]; got ${show(given)}`);
  }
  const [delay, longest] = given;
  checkNumber(`${at}: delay, its first number`, delay, 1, TEN_YEARS, "ms");
  checkNumber(`${at}: delay, its longest wait`, longest, delay, TEN_YEARS, "ms");
  if (id !== undefined) return;
  throw new TypeError(`${at}: a delay with a longest wait needs an id, which its messages share`);
}

/**
 * Throws a `TypeError` or `RangeError` if `at`, `cron` or `zone` is invalid. `at` (first argument): text at the
 * beginning of the error.
 */
export function checkScheduleTimes(
  at: string,
  { at: when, cron, zone }: Pick<EnqueueOptions, "at" | "cron" | "zone">,
): void {
  if (when !== undefined && !(when instanceof Date && !Number.isNaN(when.getTime()))) {
    throw new TypeError(`${at}: at must be a valid Date; got ${show(when)}`);
  }
  if (when !== undefined && when.getTime() > LATEST) {
    throw new RangeError(`${at}: at must be before the year 2262; got ${when.toISOString()}`);
  }
  if (cron !== undefined && !(typeof cron === "string" && /^\s*(?:@(?!every|at\b)|(?:\S+\s+){5}\S+\s*$)/.test(cron))) {
    throw new TypeError(`${at}: cron must be six fields, seconds first, like "0 0 5 * * *"; got ${show(cron)}`);
  }
  if (zone !== undefined && (typeof zone !== "string" || zone === "Local")) {
    throw new TypeError(`${at}: zone must be the name of a time zone, like "Europe/Berlin"; got ${show(zone)}`);
  }
  if (zone !== undefined && cron === undefined) throw new TypeError(`${at}: zone is that of cron: give it a cron, too`);
}

/** Throws if the options of the method `deadLetters` are invalid. */
export function checkDeadLetterOptions(options: DeadLetterOptions): void {
  checkKnown("deadLetters", options, DEAD_LETTER_OPTIONS);
  for (const [option, value] of Object.entries(options)) {
    if (value !== undefined) checkString(`deadLetters: ${option}`, value);
  }
}

const KEEP_OPTIONS = new Set(["id", "headers", "signal", "timeout", "delay", "at"]);
const NOT_OF_PUBLISH = new Map(
  ["cron", "zone"].map((name) => [name, "is of enqueue: enqueue a durable command, whose handler publishes the event"]),
);
const ENQUEUE_OPTIONS = new Set([...KEEP_OPTIONS, "cron", "zone"]);
const DEAD_LETTER_OPTIONS = new Set(["service", "subscription"]);

/** A durable event, as `follow` takes it. */
export interface FollowableEvent<Payload> extends DurableContract<"event", never> {
  /** Compile time only: carries the type of the payload that the event's schema returns. */
  on(fn: (payload: Payload) => unknown): unknown;
}

/** Options of `follow`, which reads durable events without a subscription. */
export interface FollowEventsOptions {
  /**
   * The first event to return: `"now"`: events stored after the call; `"start"`: the oldest event that is still stored;
   * a position: the events after it; a time of this process's clock: the events stored since then. Default: `"now"`.
   */
  from?: "now" | "start" | number | Date | undefined;
  /** Only events with this key. Default: all events. */
  key?: string | undefined;
  /** Aborting this signal ends the follower. Default: none. */
  signal?: AbortSignal | undefined;
}

/**
 * A durable event as a follower gets it. It is frozen, and all followers of a process get the same object: copy the
 * parts that you want to change.
 */
export interface FollowedEvent<T> {
  /**
   * The event's position in the log, a safe integer that grows with each event. `from: position` continues after this
   * event.
   */
  readonly position: number;
  /** The message id. */
  readonly id: string;
  /** The event's key: for an event of an entity, the entity's id; `undefined` without a key. */
  readonly key: string | undefined;
  /** The payload, parsed by the event's schema. */
  readonly payload: T;
  /** Time at which the event was stored, by the server's clock. */
  readonly stored: Date;
  /** The time for which the event was scheduled; `undefined`: it was not scheduled. */
  readonly due: Date | undefined;
  /** The headers that the event was published with. */
  readonly headers: Readonly<Record<string, string>>;
}

/** The events that `follow` returns, in the order of the log. End it with `break`, `return()` or the signal. */
export interface EventFollower<T> extends AsyncIterableIterator<FollowedEvent<T>> {
  /**
   * The position up to which the follower has read: the position of the last event that it returned or skipped because
   * of its key, or the end of the log if it has read the log to its end. It moves on while the follower waits for an
   * event. `undefined` until the follower has begun to read.
   */
  readonly position: number | undefined;
}

/** Throws a `TypeError` or `RangeError` for invalid options of `follow`. */
export function checkFollowOptions(event: string, options: FollowEventsOptions): void {
  const at = `follow ${event}`;
  checkKnown(at, options, FOLLOW_OPTIONS);
  const { from, key, signal } = options;
  checkSignal(at, signal);
  if (key !== undefined) checkString(`${at}: key`, key);
  if (from === undefined || from === "now" || from === "start") return;
  if (typeof from === "number") {
    if (Number.isSafeInteger(from) && from >= 0) return;
    throw new RangeError(`${at}: a position is a whole number from 0; got ${from}`);
  }
  if (from instanceof Date && !Number.isNaN(from.getTime())) return;
  throw new TypeError(`${at}: from must be "now", "start", a position, or a valid Date; got ${show(from)}`);
}

const FOLLOW_OPTIONS: ReadonlySet<string> = new Set<keyof FollowEventsOptions>(["from", "key", "signal"]);
