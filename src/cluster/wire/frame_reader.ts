/**
 * Reads frames. Nothing that arrives is trusted: a frame is accepted as a whole or not at all, and malformed ones are
 * counted (`MalformedCount`).
 */
import { isContractName } from "../../contract/declaration/contract.ts";
import { isInternalContract } from "../../contract/nodes/announcement.ts";
import type { Observer } from "../../contract/nodes/observer.ts";
import { isEndpoint } from "../../contract/nodes/subjects.ts";
import { isCount, isRecord, isStringArray, isStrings } from "../../data/checks.ts";
import { parsedJson, untag } from "../../data/encoding.ts";
import { areSealed, IS_SEALED, UnknownType, Unreadable } from "../../data/tags.ts";
import { encode } from "../../data/utf8.ts";
import { CatgaError } from "../../error.ts";
import { OnceAMinute } from "../../ports/clock.ts";
import type { Transport } from "../../ports/transport.ts";
import { PROTOCOL } from "../../version.ts";
import type { EventFrame, Frame, FrameItem, WireMeta } from "./frame.ts";

/**
 * First item of a batch of events whose payloads have tags (texts for values that JSON lacks, `data/tags.ts`), in place
 * of the format's version.
 */
export const TAGGED_PROTOCOL = "~1";

/** Error of bytes that are no valid frame; its message is the reason. */
export class Malformed extends Error {
  /** Protocol version of the frame, if it is another version than this program's; else `undefined`. */
  readonly version: number | undefined;

  constructor(reason: string, version?: number) {
    super(reason);
    this.version = version;
  }
}

/** Parses a frame. Throws {@link Malformed} if it is invalid. */
export function readFrame(data: Uint8Array): Frame {
  const frame = readItems(data);
  let unreadable = false;
  for (const item of frame.items) unreadable = readTags(item) || unreadable;
  return unreadable ? { ...frame, items: frame.items.flatMap(withoutUnreadable) } : frame;
}

function readItems(data: Uint8Array): Frame {
  const frame = readArray(data, PROTOCOL);
  const [, seq, sentAt] = frame;
  if (!isCount(seq) || seq === 0) throw new Malformed("seq is not a positive integer");
  if (!isTime(sentAt)) throw new Malformed("sentAt is not a time");
  const items: FrameItem[] = [];
  for (let i = 3; i < frame.length; i++) {
    const item = frame[i];
    if (isItem(item)) items.push(item);
  }
  return { seq, sentAt, items };
}

/** Parses a batch of events. Throws {@link Malformed} if it is invalid. */
export function readEventFrame(data: Uint8Array): EventFrame {
  const [version, sender, sentAt, meta, ...payloads] = readArray(data, PROTOCOL, TAGGED_PROTOCOL);
  if (typeof sender !== "string" || !isEndpoint(sender)) throw new Malformed("sender is not an endpoint");
  if (!isTime(sentAt)) throw new Malformed("sentAt is not a time");
  checkMeta(meta);
  const { seq } = meta as { seq?: unknown };
  if (!isCount(seq)) throw new Malformed("meta.seq is not a count");
  if (version === TAGGED_PROTOCOL) readTagsFrom(payloads, 0);
  return { sender, sentAt, meta: { ...meta, seq }, payloads };
}

/** Returns the answers and refusals in a sent frame, as text for another frame. */
export function answersIn(frame: string | Uint8Array): string {
  const { items } = readItems(typeof frame === "string" ? encode(frame) : frame);
  return items.filter(([kind]) => "renRE".includes(kind)).map((item) => "," + JSON.stringify(item)).join("");
}

const MAX_VERSIONS = 16;

/** Parses a JSON array whose first item must be one of `versions`. Throws {@link Malformed} for anything else. */
function readArray(data: Uint8Array, ...versions: readonly unknown[]): unknown[] {
  const value = parsedJson(data);
  if (value === undefined) throw new Malformed(areSealed(data) ? IS_SEALED : "it is not JSON");
  if (!Array.isArray(value)) throw new Malformed("it is not an array");
  if (!versions.includes(value[0])) {
    throw isCount(value[0])
      ? new Malformed(`protocol version ${value[0]}, not ${PROTOCOL}`, value[0])
      : new Malformed("it has no protocol version");
  }
  return value;
}

/**
 * Returns true for a valid item, false for an item of an unknown kind. Throws {@link Malformed} for an item of a
 * known kind with the wrong form.
 */
function isItem(item: unknown): item is FrameItem {
  if (!Array.isArray(item) || typeof item[0] !== "string") throw new Malformed("an item is not an array with a kind");
  const fits = SHAPES.get(item[0]);
  if (fits === undefined) return false;
  if (!fits(item)) throw new Malformed(`an item of the kind ${item[0]} has the wrong shape`);
  if (item[0] === "m" || item[0] === "M") checkMeta(item[3]);
  return true;
}

/**
 * For each kind of item, a function that returns true if an item has the form of its type. `checkMeta` checks the meta
 * of requests.
 */
const SHAPES: ReadonlyMap<string, (item: readonly unknown[]) => boolean> = new Map([
  ["q", isRequest],
  ["Q", isRequest],
  ["m", isSingleRequest],
  ["M", isSingleRequest],
  ["r", isPlace],
  ["R", isPlace],
  ["e", isPlace],
  ["E", isPlace],
  ["c", isPlace],
  ["i", isNumbered],
  ["I", isNumbered],
  ["a", isNumbered],
  ["z", isNumbered],
  ["w", (item) => isNumbered(item) && isCount(item[4])],
  ["n", (item) => isPlace(item) && typeof item[3] === "string"],
  ["p", ([, n, , missing = []]) => isCount(n) && isPairs(missing)],
  ["o", ([, n, upTo, missing, load, inHand = []]) => {
    return isCounts([n, upTo]) && isPairs(missing) && isCounts(load) && load.length === 2 && isPairs(inHand);
  }],
  ["v", (item) => isCounts(item.slice(1)) && item.length <= 1 + MAX_VERSIONS],
  ["b", ([, endpoint, server]) => typeof endpoint === "string" && isEndpoint(endpoint) && typeof server === "string"],
  ["h", ([, name]) => isName(name)],
  ["g", ([, name, left]) => isName(name) && isCount(left)],
  ["s", ([, n]) => isCount(n)],
  ["t", ([, n]) => isCount(n)],
  ["k", ([, n, ...names]) => isCount(n) && names.every(isName)],
  ["l", ([, n]) => isCount(n)],
]);

/**
 * Returns true for a valid item with requests. Reads the members by index, because destructuring would take a fifth of
 * the time in which a frame is read.
 */
function isRequest(item: readonly unknown[]): boolean {
  return isName(item[1]) && typeof item[2] === "number";
}

function isSingleRequest(item: readonly unknown[]): boolean {
  return isRequest(item) && item.length <= 5;
}

function isName(name: unknown): boolean {
  return typeof name === "string" && isAskable(name);
}

/** Returns true if a frame may name this contract: another name makes its receiver drop the frame. */
export function isAskable(name: string): boolean {
  return isContractName(name) || isInternalContract(name);
}

function isPlace(item: readonly unknown[]): boolean {
  return isCount(item[1]) && isCount(item[2]);
}

function isNumbered(item: readonly unknown[]): boolean {
  return isPlace(item) && isCount(item[3]);
}

/**
 * Replaces the tags in an item (texts for values that JSON lacks) by the values they stand for, and its kind by the
 * kind without tags. Returns true if a value is {@link Unreadable}.
 */
function readTags(item: FrameItem): boolean {
  // a sent item may have a kind for values with tags, such as `Q`, that a parsed item does not have
  const kind: string = item[0];
  if (kind !== "Q" && kind !== "M" && kind !== "R" && kind !== "E" && kind !== "I") return false;
  (item as unknown[])[0] = kind.toLowerCase();
  return readTagsFrom(item, kind === "M" || kind === "I" ? 4 : 3);
}

function readTagsFrom(values: unknown[], first: number): boolean {
  let unreadable = false;
  try {
    for (let i = first; i < values.length; i++) {
      values[i] = untagged(values[i]);
      unreadable ||= values[i] instanceof Unreadable;
    }
  } catch (error) {
    // a RangeError comes from a bigint or an array that this runtime cannot hold: the value is unreadable
    if (!(error instanceof TypeError || error instanceof RangeError || error instanceof SyntaxError)) throw error;
    throw new Malformed(`invalid tags: ${error.message}`);
  }
  return unreadable;
}

/**
 * Returns the value that a value with tags (texts for values that JSON lacks) stands for, or an {@link Unreadable} with
 * the reason: then only the message with this value is refused, not its frame.
 */
function untagged(value: unknown): unknown {
  try {
    return untag(value);
  } catch (error) {
    if (error instanceof UnknownType) return new Unreadable(error.message, value);
    throw error;
  }
}

/**
 * Returns the items that replace an item with unreadable values. An unreadable answer, or item of a stream, becomes
 * an error; requests stay, because their receiver answers with an error.
 */
function withoutUnreadable(item: FrameItem): FrameItem[] {
  if (item[0] === "r") {
    const [, seq, first, ...values] = item;
    return values.map((value, i): FrameItem =>
      value instanceof Unreadable
        ? ["e", seq, first + i, invalidResponse("the answer", value)]
        : ["r", seq, first + i, value]
    );
  }
  const value = (item as readonly unknown[]).find((part) => part instanceof Unreadable);
  // the error ends the stream: its reader gets none of these items
  if (item[0] === "i" && value !== undefined) return [["e", item[1], item[2], invalidResponse("an item", value)]];
  if (item[0] !== "e" || value === undefined) return [item];
  // only the member `details` of an error can be unreadable here, because it is read after all other members
  return [["e", item[1], item[2], { ...value.given as object, details: "(the details could not be read)" }]];
}

/** Makes the error of a message whose payload is {@link Unreadable}. */
export function unreadable(contract: string, { why }: Unreadable): CatgaError {
  return new CatgaError("INVALID_MESSAGE", `the payload of ${contract} cannot be read: ${why}`, { final: true });
}

function invalidResponse(what: string, { why }: Unreadable): object {
  return { code: "INVALID_RESPONSE", message: `${what} cannot be read: ${why}`, final: true };
}

function checkMeta(meta: unknown): asserts meta is WireMeta {
  if (!isRecord(meta)) throw new Malformed("meta is not an object");
  const { id, correlation, causation, attempt, ancestry, headers, key, send, span, passedOn, ran } = meta;
  if (key !== undefined && typeof key !== "string") throw new Malformed("meta.key is not a string");
  for (const text of [id, correlation, causation, send]) {
    if (text !== undefined && (typeof text !== "string" || text === "")) {
      throw new Malformed("an id in meta is not a string, or empty");
    }
  }
  if (attempt !== undefined && !isCount(attempt)) throw new Malformed("meta.attempt is not a count");
  if (span !== undefined && !isTime(span)) throw new Malformed("meta.span is not a number");
  if (passedOn !== undefined && passedOn !== true) throw new Malformed("meta.passedOn is not true");
  if (ran !== undefined && ran !== true) throw new Malformed("meta.ran is not true");
  if (ancestry !== undefined && !isStringArray(ancestry)) {
    throw new Malformed("meta.ancestry is not an array of strings");
  }
  if (headers === undefined) return;
  if (!isStrings(headers)) throw new Malformed("meta.headers is not an object of strings");
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(isCount);
}

function isPairs(value: unknown): value is number[] {
  return isCounts(value) && value.length % 2 === 0;
}

function isTime(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

/**
 * Counts the malformed messages that one node has received, and reports them: the first at once, after that once a
 * minute at most.
 */
export class MalformedCount {
  readonly #observer: Observer;
  readonly #reports: OnceAMinute;
  #count = 0;
  #last = { subject: "", reason: "" };

  constructor({ clock }: Transport, observer: Observer) {
    this.#reports = new OnceAMinute(clock);
    this.#observer = observer;
  }

  add(subject: string, reason: string): void {
    this.#count++;
    this.#last = { subject: subject.slice(0, 200), reason };
    if (this.#reports.due()) this.report();
  }

  /** Reports the number of malformed messages since the last report; does nothing if there were none. */
  report(): void {
    if (this.#count === 0) return;
    this.#observer({ type: "malformed", ...this.#last, count: this.#count });
    this.#count = 0;
  }
}

/** Reason for which a message with headers is refused. */
export const HEADERS = "it has headers, and no node sends any";

/** Reason for which a message on a subject to which the node did not subscribe is refused. */
export const ELSEWHERE =
  "it came on a subject that is not this node's: a mapping or an import of the server changes subjects";
