/**
 * The format of frames, and their reader; `frame_writer.ts` writes frames. A frame is a message with everything that
 * one process sends to another in one turn of the event loop, as the JSON text `[1, seq, sentAt, item, item, …]`.
 * Nothing that arrives is trusted: a frame is accepted as a whole or not at all, and malformed ones are counted. NATS
 * accepts messages of up to its `max_payload`, and a new frame is begun well before that size. A message of a frame
 * computes its id, headers and ancestry when they are read (`WireEnvelope`).
 */
import { isInternalContract } from "../../contract/announcement.ts";
import { isContractName } from "../../contract/contract.ts";
import { isCount, isRecord, isStringArray, isStrings } from "../../data/checks.ts";
import { byteLength, encode, exceeds } from "../../data/utf8.ts";
import { PAYLOAD_OVERHEAD, sizeAdvice } from "../../data/payload_limit.ts";
import { parsedJson, untag } from "../../data/encoding.ts";
import { UnknownType, Unreadable } from "../../data/tags.ts";
import type { Meta } from "../../dispatch/remote.ts";
import { CatgaError } from "../../error.ts";
import { PROTOCOL } from "../../version.ts";
import { NO_HEADERS } from "../../dispatch/carried_headers.ts";
import type { Envelope } from "../../dispatch/context_host.ts";
import type { Observer } from "../../contract/observer.ts";
import { OnceAMinute } from "../../ports/clock.ts";
import type { Transport } from "../../ports/transport.ts";

/**
 * First item of a batch of events whose payloads have tags (texts for values that JSON lacks, `data/tags.ts`), in place
 * of the format's version.
 */
export const TAGGED_PROTOCOL = "~1";

/**
 * `["q", name, ttl, payload, …]`: requests of one contract. Without a payload: one request with the payload
 * `undefined`.
 */
type RequestsItem = ["q", name: string, ttl: number, ...payloads: unknown[]];
/** `["m", name, ttl, meta, payload]`: one request whose meta (id, headers and the like) is not the default. */
type RequestItem = ["m", name: string, ttl: number, meta: WireMeta, payload?: unknown];
/**
 * `["r", seq, index, value, …]`: answers to consecutive requests of frame `seq`; the first value answers the request at
 * index `index` among the frame's requests (from 0). Without a value: one answer `undefined`.
 */
export type AnswersItem = ["r", seq: number, index: number, ...values: unknown[]];
/**
 * `["e", seq, index, error]`: the handler of a request failed. With a 1 at the end: the node's version of the contract
 * refused the request, and no handler began; with a 2: the stored state or events of the request's entity were refused.
 */
export type FailureItem = ["e", seq: number, index: number, error: unknown, refused?: 1 | 2];
/** `["n", seq, index, code]`: a request was refused before its handler began. */
type RefusalItem = ["n", seq: number, index: number, code: string];
/**
 * `["c", seq, index]`: the caller of a request has given up. With a 1 at the end: the request has moved to another
 * node; a handler of the receiver that has acquired the claim (record that reserves the request's id) may go on.
 */
export type CancelItem = ["c", seq: number, index: number, moved?: 1];
/**
 * `["i", seq, index, n, value, …]`: items of the stream that answers request `index` of frame `seq`; the first item has
 * number `n`.
 */
type ItemsItem = ["i", seq: number, index: number, n: number, ...values: unknown[]];
/** `["a", seq, index, n]`: asks the reader of a stream to report when it has consumed `n` items. */
type AskItem = ["a", seq: number, index: number, n: number];
/** `["z", seq, index, n]`: a stream has `n` items in all. */
type EndItem = ["z", seq: number, index: number, n: number];
/**
 * `["w", seq, index, consumed, received]`: progress of a stream's reader: the number of items consumed and received.
 * With a 1 at the end: items beyond these may be lost, and must be sent again.
 */
export type WordItem = ["w", seq: number, index: number, consumed: number, received: number, again?: 1];
/**
 * `["p", n]`: a ping. With a 1, its sender has reconnected, and asks for all answers again. `missing`: numbers of the
 * receiver's frames that have not arrived at the sender; the sender asks for the answers in them.
 */
export type PingItem = ["p", n: number, again?: 0 | 1, missing?: number[]];
/**
 * `["o", n, upTo, missing, load]`: a pong, the answer to ping `n`. Its sender has received frames up to
 * `upTo`, except those in `missing` (`[from, to, from, to, …]`, both included), whose requests it will never run.
 * `load`: its number of requests in flight and queued. If the ping listed missing frames, the pong adds the requests of
 * the pinging process that run or wait in the pong's sender, `[seq, index, seq, index, …]`.
 */
export type PongItem = ["o", n: number, upTo: number, missing: number[], load: [number, number], inHand?: number[]];
/**
 * `["v", version, …]`: the versions of the protocol that the sender speaks; the answer to a frame of another version.
 */
export type VersionsItem = ["v", ...versions: number[]];
/**
 * `["b", endpoint, server]`: frames to that process bounce (no responders) on that server. The receiver, on another
 * server, pings the process.
 */
type BouncesItem = ["b", endpoint: string, server: string];
/** `["h", name]`: asks if the receiver remembers a node that handled this contract; if not, it sends no answer. */
type HandledItem = ["h", name: string];
/** `["g", name, left]`: the sender will remember for `left` ms more that a node handled this contract. */
type GapItem = ["g", name: string, left: number];
/** `["s", n]`: asks for the receiver's statistics; `n` is the question's number. */
export type StatsAskedItem = ["s", n: number];
/**
 * `["t", n, stats]`: the answer to question `n`, a `NodeStats` without members that are 0 or empty. Nodes ignore it;
 * tools read it.
 */
type StatsItem = ["t", n: number, stats: unknown];

/**
 * `["k", n, name, …]`: question `n`, for the shapes (hashes) of the receiver's contracts; with names, for the
 * descriptions of these contracts.
 */
export type ShapesAskedItem = ["k", n: number, ...names: string[]];
/**
 * `["l", n, answer]`: the answer to question `n`: the shapes (hashes) of a node's contracts, as `NodeShapes`; or
 * descriptions of contracts, by name.
 */
type ShapesItem = ["l", n: number, answer: unknown];

/** An item of a frame, of any kind. */
export type FrameItem =
  | RequestsItem
  | RequestItem
  | AnswersItem
  | FailureItem
  | RefusalItem
  | CancelItem
  | ItemsItem
  | AskItem
  | EndItem
  | WordItem
  | PingItem
  | PongItem
  | VersionsItem
  | BouncesItem
  | HandledItem
  | GapItem
  | StatsAskedItem
  | StatsItem
  | ShapesAskedItem
  | ShapesItem;

/**
 * A frame that has been checked: every item has the form of its kind. Items of unknown kinds are left out.
 * `Q`, `M`, `R`, `E` and `I` on the wire are `q`, `m`, `r`, `e` and `i` with tagged payloads, values and errors (tags
 * are texts for values that JSON lacks); a checked frame has the values instead.
 */
export interface Frame {
  readonly seq: number;
  /**
   * Time of sending in ms, by a clock of the sender that does not jump; lateness is measured by differences of such
   * times.
   */
  readonly sentAt: number;
  readonly items: readonly FrameItem[];
}

/** Meta of a request (id, headers and the like) as sent: without members that have their default. */
export interface WireMeta extends Meta {
  /** Number of the attempt; absent: 1. */
  readonly attempt?: number;
}

/**
 * A batch of events as sent: `[1, sender, sentAt, meta, payload, …]`. `meta`: headers and the like, the same for all
 * events of the batch; its `seq` is the number of the batch among the sender's batches.
 */
export interface EventFrame {
  readonly sender: string;
  /** Time of sending in ms, by the sender's wall clock. */
  readonly sentAt: number;
  readonly meta: WireMeta & { readonly seq: number };
  readonly payloads: readonly unknown[];
}

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

/** Returns true if a text has the form of an endpoint: a node's id, a dot, and a nonce. */
export function isEndpoint(text: string): boolean {
  return /^[A-Za-z0-9_-]{1,64}\.[A-Za-z0-9_-]{1,64}$/.test(text);
}

/** Returns the id of the node whose process has this endpoint. */
export function nodeOf(endpoint: string): string {
  return endpoint.slice(0, endpoint.indexOf("."));
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
  if (value === undefined) throw new Malformed("it is not JSON");
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
  return typeof name === "string" && (isContractName(name) || isInternalContract(name));
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
 * The envelope of a message from another process (its id, sender, headers and the like), for one run of a handler. The
 * members are computed on demand, because most handlers read none of them.
 */
export abstract class WireEnvelope implements Envelope {
  readonly #meta: WireMeta | undefined;
  #call: string | undefined = undefined;
  #headers: Readonly<Record<string, string>> | undefined = undefined;

  /** Time at which the message was sent; `undefined` for messages that came without a frame. See `Envelope.sentAt`. */
  readonly sentAt: number | undefined = undefined;

  /** `meta`: members of the message's meta that are not the default. */
  constructor(meta: WireMeta | undefined) {
    this.#meta = meta;
  }

  /** Returns the unique name of this run of a handler. */
  protected abstract name(): string;

  /** Returns the id of a message whose sender has given it none. */
  protected defaultId(): string {
    return this.call;
  }

  get call(): string {
    return this.#call ??= this.name();
  }

  get id(): string {
    return this.#meta?.id ?? this.defaultId();
  }

  get attempt(): number {
    return Math.max(1, this.#meta?.attempt ?? 1);
  }

  get correlation(): string | undefined {
    return this.#meta?.correlation;
  }

  get causation(): string | undefined {
    return this.#meta?.causation;
  }

  get ancestry(): readonly string[] {
    return this.#meta?.ancestry ?? [];
  }

  get headers(): Readonly<Record<string, string>> {
    const headers = this.#meta?.headers;
    if (headers === undefined) return NO_HEADERS;
    // an object without a prototype, because the names of headers come from the network
    return this.#headers ??= Object.freeze(Object.assign(Object.create(null), headers));
  }

  get key(): string | undefined {
    return this.#meta?.key;
  }

  get send(): string | undefined {
    return this.#meta?.send;
  }

  get span(): number | undefined {
    return this.#meta?.span;
  }

  get passedOn(): true | undefined {
    return this.#meta?.passedOn;
  }

  get ran(): true | undefined {
    return this.#meta?.ran;
  }
}

/** Returns the length at which a frame is sent and the next one begun, in UTF-16 code units. */
export function frameLimit(maxPayload: number): number {
  // a code unit is at most 3 bytes of UTF-8
  return Math.min(FRAME_LENGTH, Math.floor(maxPayload / 3) - PAYLOAD_OVERHEAD);
}

/** Returns the error for a text that is longer than `limit` bytes; `undefined` if it is not longer. */
export function tooLarge(
  what: "the payload" | "payload and headers" | "the answer",
  contract: string,
  text: string,
  limit: number,
): CatgaError | undefined {
  if (!exceeds(text, limit)) return undefined;
  const verb = what === "payload and headers" ? "are" : "is";
  const message = `${what} of ${contract} ${verb} ${byteLength(text)} bytes; the server takes ${limit} at most: ` +
    sizeAdvice("send");
  return new CatgaError("TOO_LARGE", message);
}

/**
 * Maximum length of a frame, in UTF-16 code units. Larger frames are no faster, and delay the frames behind them
 * (docs/internals/measurements.md).
 */
export const FRAME_LENGTH = 64_000;

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
