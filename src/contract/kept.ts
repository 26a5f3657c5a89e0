/** What is kept, as programs see it: the options of publishing what stays, subscriptions, and dead letters. */
import { checkKnown, checkNumber, checkString, show, TEN_YEARS } from "../data/checks.ts";
import { checkSending, type SendOptions } from "./send_options.ts";

/** Options of `publish` for a durable event, and those that `enqueue` shares with it. */
export interface KeepOptions extends Pick<SendOptions, "id" | "headers" | "signal" | "timeout"> {
  /** Not before so many ms are over, by the server's clock: 0 to 10 years; at once. Needs nats-server 2.12. */
  delay?: number | undefined;
  /**
   * Not before this time of this process's clock, which is translated to the server's when it is published; at once.
   * Needs nats-server 2.12.
   */
  at?: Date | undefined;
}

/** Options of `enqueue`. */
export interface EnqueueOptions extends KeepOptions {
  /**
   * Again and again: six fields of cron, seconds first, or `@hourly` and the like. `id` is its name. Needs nats-server
   * 2.14.
   */
  cron?: string | undefined;
  /** The time zone of `cron`, as `"Europe/Berlin"`; UTC. */
  zone?: string | undefined;
}

/** Which dead letters; all of the namespace. */
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
  /** As it was published: before the contract's schema. */
  readonly payload: unknown;
  /** What it was published with. */
  readonly headers: Readonly<Record<string, string>>;
  /** Where it stands in the log. */
  readonly position: number;
  /**
   * What its last attempt failed with. `cause` is what the handler threw, for operators: `name: message` on the first
   * line, then the stack; 4 kB at most, and none with `causes: false`.
   */
  readonly error: { readonly code: string; readonly message: string; readonly cause?: string | undefined };
  /** Attempts so far. */
  readonly attempts: number;
  /** When it was stored in the log. */
  readonly publishedAt: Date;
  /** When it became a dead letter. */
  readonly at: Date;
  /** Later messages of its contract and key that wait behind it. */
  readonly heldBehind: number;
  /** What it was before it was edited, oldest first: since when it was a dead letter, and its payload as JSON, cut. */
  readonly history: readonly { readonly at: Date; readonly payload: string }[];
  /**
   * Has it handled again, with all its attempts, and then those behind it; with another payload, if one is given, under
   * its key. Resolves when that is recorded.
   */
  replay(options?: { readonly payload?: unknown }): Promise<void>;
  /** Removes it; those behind it go on. Resolves when that is recorded. */
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
  /** How old the oldest message is that it has not handled, in ms; 0 if there is none. */
  readonly oldest: number;
  /** Messages that wait for their next attempt, or behind another of their key. */
  readonly retrying: number;
  /** Dead letters. */
  readonly dead: number;
  /** The id of the node that leads it; `undefined`: none. */
  readonly leader: string | undefined;
  /** Whether a live node handles it: an abandoned one stays until it is removed. */
  readonly abandoned: boolean;
}

/** Throws if the options of a durable `publish`, or of an `enqueue`, are invalid. */
export function checkKeepOptions(method: "publish" | "enqueue", name: string, options: EnqueueOptions): void {
  const at = `${method} ${name}`;
  checkKnown(at, options, method === "publish" ? KEEP_OPTIONS : ENQUEUE_OPTIONS);
  checkSending(at, options);
  const { delay, at: when, cron, zone, id } = options;
  if (delay !== undefined) checkNumber(`${at}: delay`, delay, 0, TEN_YEARS, "ms");
  if (when !== undefined && !(when instanceof Date && !Number.isNaN(when.getTime()))) {
    throw new TypeError(`${at}: at must be a valid Date; got ${show(when)}`);
  }
  if (cron !== undefined && (typeof cron !== "string" || cron.trim() === "")) {
    throw new TypeError(`${at}: cron must be six fields, seconds first, like "0 0 5 * * *"; got ${show(cron)}`);
  }
  if (zone !== undefined && typeof zone !== "string") {
    throw new TypeError(`${at}: zone must be the name of a time zone, like "Europe/Berlin"; got ${show(zone)}`);
  }
  const given = [delay, when, cron].filter((option) => option !== undefined).length;
  if (given > 1) throw new TypeError(`${at}: give one of delay, at and cron`);
  if (zone !== undefined && cron === undefined) throw new TypeError(`${at}: zone is that of cron: give it a cron, too`);
  if (cron !== undefined && id === undefined) throw new TypeError(`${at}: a cron needs an id, which is its name`);
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
