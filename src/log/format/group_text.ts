/**
 * Common text format of the messages of the log and of entities, `[version, endpoint, first, sentAt, head, item, …]` in
 * JSON; and positions, each of which names one item of a message. A message holds up to 512 items, so a position is the
 * message's sequence and, in the lowest 10 bits, the item's index. The first sequence of a stream is the time in ms at
 * which the stream was made (41 bits), so a position is a safe integer.
 */
import { isEndpoint } from "../../contract/nodes/subjects.ts";
import { isTagged } from "../../data/tags.ts";
import { isTooDeep, parsedJson } from "../../data/encoding.ts";
import { MAX_DEPTH } from "../../data/value_text.ts";
import { isCount } from "../../data/checks.ts";

/** Version of the format in which messages of the log are stored. */
export const GROUP_VERSION = 1;
/**
 * The newest version that this node reads: the same format, for messages with content that an older node would pass
 * over although it must not. Such a node says that it cannot read the message, and leaves it to newer ones.
 */
export const NEWEST_GROUP_VERSION = 2;

/** Returns true for a version of the format that this node reads. */
export function isKnownVersion(version: unknown): boolean {
  return version === GROUP_VERSION || version === NEWEST_GROUP_VERSION;
}

/** A stored message that this version of Catga cannot read. */
export interface UnreadableGroup {
  readonly reason: string;
  /** Format version of the message, if newer nodes can read it; `undefined`: the message is invalid in any version. */
  readonly version: number | undefined;
}

/** A parsed message whose head and items are still to be checked. */
export interface ParsedGroup {
  readonly endpoint: string;
  readonly first: number;
  readonly head: unknown;
  readonly items: readonly unknown[];
}

/**
 * Names (endpoint, command, event) of the last message that was read: most messages have the same names as the one
 * before, and equal names need no second check. NaN: no name was read yet; NaN is equal to nothing, so the first name
 * is checked.
 */
export class KnownNames {
  endpoint: unknown = NaN;
  command: unknown = NaN;
  event: unknown = NaN;
}

/** Parses the text of a stored message. Never throws. */
export function parseGroup(data: Uint8Array, known = new KnownNames()): ParsedGroup | UnreadableGroup {
  const value = parsedJson(data);
  if (!Array.isArray(value)) return unreadable("it is not a JSON array");
  // the depth is checked only for long texts, because each nesting level takes two bytes at least
  if (data.length > 2 * MAX_DEPTH && isTooDeep(value)) return unreadable("it is nested too deeply");
  const [version, endpoint, first, sentAt, head] = value;
  if (!isKnownVersion(version)) {
    return isCount(version) && version > NEWEST_GROUP_VERSION
      ? { reason: `it has format ${version}; this node reads ${NEWEST_GROUP_VERSION}`, version }
      : unreadable("it has no version of the format");
  }
  if (endpoint !== known.endpoint) {
    if (typeof endpoint !== "string" || !isEndpoint(endpoint)) {
      return unreadable("its publisher is not an endpoint");
    }
    known.endpoint = endpoint;
  }
  if (!isCount(first)) return unreadable("the number of its first item is not a count");
  if (!Number.isFinite(sentAt)) return unreadable("its time is not a number");
  return { endpoint, first, head, items: value.slice(HEADERS) };
}

/** Form of an item's payload: plain JSON. */
export const PLAIN = 0;
/** Form of an item's payload: a text with tags (marks of values that JSON lacks). */
export const TAGGED = 1;
/** Form of an item's payload: left out, because the payload is `undefined`. */
export const UNDEFINED = 2;

/** Returns the form of a payload's text, as `encodeValue` writes it. */
export function formOf(text: string | undefined): typeof PLAIN | typeof TAGGED | typeof UNDEFINED {
  return text === undefined ? UNDEFINED : isTagged(text) ? TAGGED : PLAIN;
}

/** Encodes an optional text; `null` for `undefined`. */
export function orNull(text: string | undefined): string {
  return text === undefined ? "null" : JSON.stringify(text);
}

/** Returns why the payload and form of an item are invalid; `undefined`: they are valid. */
export function whyNoPayload(payload: unknown, form: unknown): string | undefined {
  if (form === undefined || form === PLAIN || form === UNDEFINED) return undefined;
  if (form !== TAGGED) return "its form is not known";
  return typeof payload === "string" && isTagged(payload) ? undefined : "its payload has no tags";
}

/** Number of elements of a stored message before its first item. */
const HEADERS = 5;

/** Makes the result for a stored message that is invalid in any version. */
export function unreadable(reason: string): UnreadableGroup {
  return { reason, version: undefined };
}

/** Maximum number of items in one stored message. */
export const MAX_ITEMS_IN_GROUP = 512;

/** Returns the position of an item from its message's sequence and its index in the message. */
export function positionOf(sequence: number, index: number): number {
  return sequence * SCALE + index;
}

/** Returns the greatest position in the message with this sequence: none of its items is behind that position. */
export function endOf(sequence: number): number {
  return positionOf(sequence, SCALE - 1);
}

/** Returns the sequence of the message that contains a position. */
export function sequenceOf(position: number): number {
  return Math.floor(position / SCALE);
}

/** Returns how many messages of a stream, from its `first` to its `last`, a reader has not `read`. */
export function lagOf(read: number, { first, last }: { readonly first: number; readonly last: number }): number {
  return Math.max(0, last - Math.max(sequenceOf(read), first - 1));
}

const SCALE = 1_024;
