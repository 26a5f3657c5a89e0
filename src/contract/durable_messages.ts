/** Durable messages as programs see them: options of publishing, subscriptions, and dead letters. */
import { checkKnown, checkNumber, checkString, LATEST, show, TEN_YEARS } from "../data/checks.ts";
import { checkSending, type SendOptions } from "./send_options.ts";

/** Options of `publish` for a durable event, and those that `enqueue` shares with it. */
export interface KeepOptions extends Pick<SendOptions, "id" | "headers" | "signal" | "timeout"> {
  /** Delay before it is handled, in ms by the server's clock: 0 to 10 years; 0. Needs nats-server 2.12. */
  delay?: number | undefined;
  /**
   * Earliest time at which it is handled, by this process's clock, translated to the server's when published: before
   * the year 2262; at once. Needs nats-server 2.12.
   */
  at?: Date | undefined;
}

/** Options of `enqueue`. */
export interface EnqueueOptions extends KeepOptions {
  /**
   * Repeats it: six fields of cron, seconds first, or `@hourly` and the like. `id` is its name. Needs nats-server
   * 2.14.
   */
  cron?: string | undefined;
  /** The time zone of `cron`, as `"Europe/Berlin"`; UTC. */
  zone?: string | undefined;
}

/** Filter of dead letters; all of the namespace. */
export interface DeadLetterOptions {
  /** Dead letters of this service. */
  service?: string | undefined;
  /** Dead letters of this subscription. */
  subscription?: string | undefined;
}

/**
 * A message that a subscription failed to handle too often, or that cannot be read. It is kept until it is replayed or
 * discarded.
 */
export interface DeadLetter {
  /** The id of the message. */
  readonly id: string;
  /** The service of the subscription. */
  readonly service: string;
  /** The name of the subscription. */
  readonly subscription: string;
  /** The name of the contract. */
  readonly contract: string;
  /** Its key, if it has one. */
  readonly key: string | undefined;
  /** Payload as it was published: before the contract's schema. */
  readonly payload: unknown;
  /** Headers that it was published with. */
  readonly headers: Readonly<Record<string, string>>;
  /** Position in the log. */
  readonly position: number;
  /**
   * Failure of its last attempt. `cause` is what the handler threw, for operators: `name: message` on the first
   * line, then the stack; 4 kB at most, and none with `causes: false`.
   */
  readonly error: { readonly code: string; readonly message: string; readonly cause?: string | undefined };
  /** Attempts so far. */
  readonly attempts: number;
  /** When it was stored in the log, by the server's clock. */
  readonly stored: Date;
  /** The time that it was scheduled for; `undefined`: it was not scheduled. */
  readonly due: Date | undefined;
  /** Time at which it became a dead letter. */
  readonly at: Date;
  /** Later messages of its contract and key that wait behind it. */
  readonly heldBehind: number;
  /**
   * Its payloads before it was edited, oldest first: since when it was a dead letter with each, and that as JSON, cut.
   */
  readonly history: readonly { readonly at: Date; readonly payload: string }[];
  /**
   * Handles it again, with all its attempts, and then those behind it; with another payload, if one is given, under its
   * key. Resolves when the request is stored. Rejects with `TOO_LARGE` for a payload that `publish` would refuse so.
   */
  replay(options?: { readonly payload?: unknown }): Promise<void>;
  /** Removes it; those behind it go on. Resolves when the request is stored. */
  discard(): Promise<void>;
}

/** The state of a subscription. */
export interface SubscriptionInfo {
  /** Whose subscription it is. */
  readonly service: string;
  /** Its name. */
  readonly name: string;
  /** The contracts whose messages it handles. */
  readonly contracts: readonly string[];
  /** Up to where it has read. */
  readonly position: number;
  /** Messages of the stream behind that position: each has 1 to 512 events. */
  readonly lag: number;
  /** Messages that it has read, and neither handled nor put aside. */
  readonly open: number;
  /** Age of the oldest message that it has not handled, in ms; 0 if there is none. */
  readonly oldest: number;
  /**
   * How soon the first of those that it has not handled is deleted from the log, in ms, if that is in the last quarter
   * of its `keep`.
   */
  readonly ends?: number | undefined;
  /** Messages that wait for their next attempt, or behind another of their key. */
  readonly retrying: number;
  /** Dead letters. */
  readonly dead: number;
  /** The id of the node that leads it; `undefined`: none. */
  readonly leader: string | undefined;
  /** True if no live node handles it; it stays until it is removed. */
  readonly abandoned: boolean;
  /** True until its leader has carried out every `rewind`, `replay` and `discard`. */
  readonly requested: boolean;
}

/** Throws if the options of a durable `publish`, or of an `enqueue`, are invalid. */
export function checkKeepOptions(method: "publish" | "enqueue", name: string, options: EnqueueOptions): void {
  const at = `${method} ${name}`;
  checkKnown(at, options, method === "publish" ? KEEP_OPTIONS : ENQUEUE_OPTIONS);
  checkSending(at, options);
  const { delay, at: when, cron, id } = options;
  if (delay !== undefined) checkNumber(`${at}: delay`, delay, 0, TEN_YEARS, "ms");
  checkTimes(at, options);
  const given = Number(delay !== undefined) + Number(when !== undefined) + Number(cron !== undefined);
  if (given > 1) throw new TypeError(`${at}: give one of delay, at and cron`);
  if (cron !== undefined && id === undefined) throw new TypeError(`${at}: a cron needs an id, which is its name`);
}

/** Throws a `TypeError` or `RangeError` for a time, a cron or its time zone that is none. */
export function checkTimes(at: string, { at: when, cron, zone }: Pick<EnqueueOptions, "at" | "cron" | "zone">): void {
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

/** Throws for options of dead letters that are invalid. */
export function checkDeadLetterOptions(options: DeadLetterOptions): void {
  checkKnown("deadLetters", options, DEAD_LETTER_OPTIONS);
  for (const [option, value] of Object.entries(options)) {
    if (value !== undefined) checkString(`deadLetters: ${option}`, value);
  }
}

const KEEP_OPTIONS = new Set(["id", "headers", "signal", "timeout", "delay", "at"]);
const ENQUEUE_OPTIONS = new Set([...KEEP_OPTIONS, "cron", "zone"]);
const DEAD_LETTER_OPTIONS = new Set(["service", "subscription"]);
