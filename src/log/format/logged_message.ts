/** An event, or a queued command, as it stands in the log: one item of a message of the stream. */
import { KEEP } from "../../contract/defaults.ts";
import { isShape } from "../../contract/shape.ts";
import { isNotNegative, isRecord, isStrings } from "../../data/checks.ts";
import { decodeText } from "../../data/encoding.ts";
import { isTagged } from "../../data/tags.ts";
import { dateOf } from "../../data/safe_date.ts";

/** A message of the log, as it is stored. */
export interface LoggedMessage {
  /** Its position. */
  readonly position: number;
  /** The name of its contract. */
  readonly category: string;
  /** The message id: what the publisher gave, or one that was made. */
  readonly id: string;
  /** Messages of one key and category are handled in order. */
  readonly key: string | undefined;
  /** The payload; when `tagged`, its text as `encodeValue` writes it, which JSON alone does not carry. */
  readonly payload: unknown;
  readonly tagged: boolean;
  readonly meta: LoggedMeta | undefined;
  /** When it was stored, by the server's clock, in ms since 1970. */
  readonly time: number;
  /** Of a dead letter that was edited: since when it was one, and what its payload was then, oldest first. */
  readonly earlier?: readonly (readonly [dead: number, payload: string])[];
}

/**
 * The payload of a message that cannot be kept as it is, to be tagged: a person can read it, and no handler is ever
 * given it, because it is no text of a payload.
 */
export function unusable(why: string, excerpt: string): string {
  return `(${why}) ${excerpt.slice(0, MOST_EXCERPT)}`;
}

const MOST_EXCERPT = 1_024; // characters

/** Metadata that is not default, as on the wire: one letter each. */
export interface LoggedMeta {
  /** The correlation id. */
  readonly c?: string;
  /** The id of the message whose handler published it: its causation. */
  readonly a?: string;
  readonly h?: Readonly<Record<string, string>>;
  /** The time that it was scheduled for, in ms since 1970; left out: it was not. */
  readonly d?: number;
  /** How long it is kept, in ms, if not for 7 days; 0: for good. */
  readonly k?: number;
  /** The shape of its contract at its writer; left out if that is unknown. */
  readonly w?: string;
}

/** Why a value is no {@link LoggedMeta}; `undefined` if it is one. */
export function whyNoMeta(value: unknown): string | undefined {
  if (!isRecord(value)) return "no meta";
  const { c = "", a = "", h = {}, d = 0, k = 0, w } = value;
  if (typeof c !== "string" || typeof a !== "string") return "no correlation or causation";
  if (!isStrings(h)) return "no headers";
  if (w !== undefined && !isShape(w)) return "no shape of its writer";
  if (!isNotNegative(d)) return "no time that it was scheduled for";
  return isNotNegative(k) ? undefined : "no time for which it is kept";
}

/** How soon a message is deleted from the log, in ms, if that is in the last quarter of its time. */
export function endsIn({ time, meta }: Pick<LoggedMessage, "time" | "meta">, now: number): number | undefined {
  const keep = meta?.k ?? KEEP;
  const left = time + keep - now;
  return keep > 0 && left < keep / 4 ? left : undefined;
}

/**
 * The payload for people, as it was published; a text that cannot be decoded, which somebody else has written, as it
 * stands there.
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
 * A dead letter with another payload, as `encodeValue` writes it; the one before it is kept, cut. The same edit twice
 * is one.
 */
export function withPayload(message: LoggedMessage, text: string, dead: number): LoggedMessage {
  const { earlier = [] } = message;
  const was = message.tagged ? `${message.payload}` : JSON.stringify(message.payload ?? null);
  const kept = [...earlier, [dead, was.slice(0, MOST_OF_EARLIER)] as const].slice(-EARLIER);
  const tagged = isTagged(text);
  return {
    ...{ ...message, tagged, payload: tagged ? text : JSON.parse(text) },
    earlier: earlier.at(-1)?.[0] === dead ? earlier : kept,
  };
}

/** Earlier payloads that are kept, and characters of each. */
const EARLIER = 5;
const MOST_OF_EARLIER = 16_384;

/** The times of a message for programs. */
export function timesOf(time: number, meta: LoggedMeta | null | undefined): LoggedTimes {
  return { stored: dateOf(time), due: meta?.d === undefined ? undefined : dateOf(meta.d) };
}

/** Times of a message of the log. */
export interface LoggedTimes {
  /** When it was stored, by the server's clock. */
  readonly stored: Date;
  /** The time that it was scheduled for; `undefined`: it was not scheduled. */
  readonly due: Date | undefined;
}

/** The headers of a message. */
export function headersOf(meta: LoggedMeta | null | undefined): Readonly<Record<string, string>> {
  return meta?.h === undefined ? NO_HEADERS : Object.freeze(Object.assign(Object.create(null), meta.h));
}

const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze(Object.create(null));
