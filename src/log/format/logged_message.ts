/** An event or a queued command in the log: one item of a stored message. */
import type { AnyContract } from "../../contract/declaration/contract.ts";
import { KEEP } from "../../contract/declaration/defaults.ts";
import { isShape } from "../../contract/schemas/shape.ts";
import { isNotNegative, isRecord, isStrings } from "../../data/checks.ts";
import { decodeText } from "../../data/encoding.ts";
import { isTagged } from "../../data/tags.ts";
import { dateOf } from "../../ports/clock.ts";

/**
 * An event or a queued command, as read from the log.
 * @decides one event or queued command as read from the log: its metadata, its deadline, earlier payloads of an
 * edited letter
 */
export interface LoggedMessage {
  /** Position in the log. */
  readonly position: number;
  /** Name of the message's contract. */
  readonly category: string;
  /** Message id: given by the publisher, or made by Catga. */
  readonly id: string;
  /** Ordering key: messages of the same key and contract are handled in order. */
  readonly key: string | undefined;
  /** The payload; if `tagged`, the text that `encodeValue` has written for a value that JSON cannot hold. */
  readonly payload: unknown;
  readonly tagged: boolean;
  readonly meta: LoggedMeta | undefined;
  /** Time at which the message was stored, by the server's clock, in ms since 1970. */
  readonly time: number;
  /**
   * Earlier payloads of a dead letter that operators have edited, oldest first, each with the time since which the
   * message was dead with it.
   */
  readonly earlier?: readonly (readonly [dead: number, payload: string])[];
}

/**
 * Makes a stand-in for a payload that cannot be kept. Set `tagged` in a message that gets this payload: people can read
 * the text, and no handler receives the message, because the text cannot be decoded.
 */
export function unusable(why: string, excerpt: string): string {
  return `(${why}) ${excerpt.slice(0, MAX_EXCERPT)}`;
}

const MAX_EXCERPT = 1_024; // characters

/** Metadata of a message as stored: members that differ from the defaults, with names of one letter. */
export interface LoggedMeta {
  /** Correlation id of the message. */
  readonly c?: string;
  /** Causation id: id of the message whose handler published this message. */
  readonly a?: string;
  readonly h?: Readonly<Record<string, string>>;
  /** Time for which the message was scheduled, in ms since 1970; absent: not scheduled. */
  readonly d?: number;
  /** Time for which the message is kept, in ms; absent: 7 days; 0: for ever. */
  readonly k?: number;
  /** Name of the shape of the message's contract at its writer; absent: unknown. */
  readonly w?: string;
}

/** Returns why a value is no valid {@link LoggedMeta}; `undefined`: it is valid. */
export function whyNoMeta(value: unknown): string | undefined {
  if (!isRecord(value)) return "no meta";
  const { c = "", a = "", h = {}, d = 0, k = 0, w } = value;
  if (typeof c !== "string" || typeof a !== "string") return "no correlation or causation";
  if (!isStrings(h)) return "no headers";
  if (w !== undefined && !isShape(w)) return "no shape of its writer";
  if (!isNotNegative(d)) return "no time that it was scheduled for";
  return isNotNegative(k) ? undefined : "no time for which it is kept";
}

/** Returns the time for which messages of a contract are stored, in ms. */
export function keepOf({ options: { durable } }: AnyContract): number {
  return (typeof durable === "object" ? durable.keep : undefined) ?? KEEP;
}

/**
 * Returns the time until the log removes a message, in ms, if the last quarter of the message's lifetime has begun;
 * else `undefined`.
 */
export function endsIn({ time, meta }: Pick<LoggedMessage, "time" | "meta">, now: number): number | undefined {
  const keep = meta?.k ?? KEEP;
  const left = time + keep - now;
  return keep > 0 && left < keep / 4 ? left : undefined;
}

/**
 * Returns the payload of a message as it was published, for people. A text that cannot be decoded is returned as it
 * is: Catga did not write it.
 */
export function payloadOf({ payload, tagged }: Pick<LoggedMessage, "payload" | "tagged">): unknown {
  if (!tagged || typeof payload !== "string") return payload;
  try {
    return decodeText(payload);
  } catch {
    return payload;
  }
}

/**
 * Returns a dead letter with another payload (a text of `encodeValue`). Its present payload, cut to
 * {@link MAX_EARLIER_PAYLOAD} characters, is added to `earlier`, unless `earlier` has a payload with the same `dead`
 * already: then the same edit is carried out again. `dead`: time at which the message became a dead letter, in ms since
 * 1970.
 */
export function withPayload(message: LoggedMessage, text: string, dead: number): LoggedMessage {
  const { earlier = [] } = message;
  const was = message.tagged ? `${message.payload}` : JSON.stringify(message.payload ?? null);
  const kept = [...earlier, [dead, was.slice(0, MAX_EARLIER_PAYLOAD)] as const].slice(-EARLIER);
  const tagged = isTagged(text);
  return {
    ...{ ...message, tagged, payload: tagged ? text : JSON.parse(text) },
    earlier: earlier.at(-1)?.[0] === dead ? earlier : kept,
  };
}

/** Maximum number of earlier payloads of a dead letter that are kept. */
const EARLIER = 5;
/** Maximum length of an earlier payload that is kept, in characters. */
const MAX_EARLIER_PAYLOAD = 16_384;

/** Returns the times of a message as handlers and followers receive them. */
export function timesOf(time: number, meta: LoggedMeta | null | undefined): LoggedTimes {
  return { stored: dateOf(time), due: meta?.d === undefined ? undefined : dateOf(meta.d) };
}

/** Times of a message of the log. */
export interface LoggedTimes {
  /** Time at which the message was stored, by the server's clock. */
  readonly stored: Date;
  /** Time for which the message was scheduled; `undefined`: not scheduled. */
  readonly due: Date | undefined;
}

/** Returns the headers of a message. */
export function headersOf(meta: LoggedMeta | null | undefined): Readonly<Record<string, string>> {
  return meta?.h === undefined ? NO_HEADERS : Object.freeze(Object.assign(Object.create(null), meta.h));
}

const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze(Object.create(null));
