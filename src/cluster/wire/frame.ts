/**
 * The format of frames, and how they are read and written. A frame is a JSON text with everything
 * that one process sends to another in one turn of the event loop: `[1, seq, sentAt, item, item, …]`. Nothing that
 * arrives is trusted: a frame is accepted as a whole or not at all.
 */
import { isInternalContract } from "../../contract/send_options.ts";
import { isContractName } from "../../contract/contract.ts";
import { isCount, isRecord, isStringArray, isStrings } from "../../data/checks.ts";
import {
  byteLength,
  encode,
  exceeds,
  isTagged,
  parsedJson,
  UnknownType,
  Unreadable,
  untag,
} from "../../data/encoding.ts";
import type { Meta } from "../../dispatch/remote.ts";
import { type Envelope, NO_HEADERS } from "../../dispatch/context_host.ts";
import { CatgaError } from "../../error.ts";
import { PROTOCOL } from "../../version.ts";

/** In place of the version: a batch of events whose payloads have tags. */
const TAGGED_PROTOCOL = "~1";

/**
 * `["q", name, ttl, payload, …]`: requests of one contract; without a payload, one request whose payload is
 * `undefined`.
 */
type RequestsItem = ["q", name: string, ttl: number, ...payloads: unknown[]];
/** `["m", name, ttl, meta, payload]`: one request with what is not default. */
type RequestItem = ["m", name: string, ttl: number, meta: WireMeta, payload?: unknown];
/** `["r", seq, index, value, …]`: answers to consecutive requests; without a value, one answer that is `undefined`. */
export type AnswersItem = ["r", seq: number, index: number, ...values: unknown[]];
/**
 * `["e", seq, index, error]`: the handler failed. With a 1 its input schema refused the payload, and it did not begin;
 * with a 2 it refused what is stored of the request's entity.
 */
type FailureItem = ["e", seq: number, index: number, error: unknown, refused?: 1 | 2];
/** `["n", seq, index, code]`: refused before a handler saw it. */
type RefusalItem = ["n", seq: number, index: number, code: string];
/**
 * `["c", seq, index]`: the caller has given up. With a 1 the request has moved to another node; a run here may go on.
 */
export type CancelItem = ["c", seq: number, index: number, moved?: 1];
/** `["i", seq, index, n, value, …]`: items of a stream, the request at this place, from number `n` on. */
type ItemsItem = ["i", seq: number, index: number, n: number, ...values: unknown[]];
/** `["a", seq, index, n]`: asks the reader of a stream to say when it has consumed `n` items. */
type AskItem = ["a", seq: number, index: number, n: number];
/** `["z", seq, index, n]`: a stream has `n` items in all. */
type EndItem = ["z", seq: number, index: number, n: number];
/** `["w", seq, index, consumed, received]`: the reader of a stream; with a 1 it may lack what was sent since. */
export type WordItem = ["w", seq: number, index: number, consumed: number, received: number, again?: 1];
/**
 * `["p", n]`: ping. With a 1 its sender has reconnected, and asks for all answers again; else for those in `missing`
 * frames.
 */
export type PingItem = ["p", n: number, again?: 0 | 1, missing?: number[]];
/**
 * `["o", n, upTo, missing, load]`: pong. Its sender has received frames up to `upTo`, except those in `missing`
 * (`[from, to, from, to, …]`, both included), which it will never run; `load` is `[in flight, queued]`. To a ping with
 * `missing` it adds which of the pinger's requests it has in hand, `[seq, index, seq, index, …]`.
 */
export type PongItem = ["o", n: number, upTo: number, missing: number[], load: [number, number], inHand?: number[]];
/** `["v", version, …]`: the versions of the protocol that the sender speaks, in answer to a frame of another. */
export type VersionsItem = ["v", ...versions: number[]];
/** `["b", endpoint, server]`: frames to that process bounce on that server; the receiver, on another one, pings it. */
type BouncesItem = ["b", endpoint: string, server: string];
/**
 * `["h", name]`: asks whether the receiver has seen a node that handles this contract; without an answer it has not.
 */
type HandledItem = ["h", name: string];
/** `["g", name, left]`: a node handled this contract lately; its sender will remember that for `left` ms more. */
type GapItem = ["g", name: string, left: number];
/** `["s", n]`: asks what the receiver has counted. */
export type StatsAskedItem = ["s", n: number];
/** `["t", n, stats]`: the answer, a `NodeStats` without what is 0 or empty. Nodes ignore it. */
type StatsItem = ["t", n: number, stats: unknown];

/**
 * `["k", n, name, …]`: asks for the shapes of the receiver's contracts; with names, for what these contracts look like.
 */
export type ShapesAskedItem = ["k", n: number, ...names: string[]];
/** `["l", n, answer]`: a `NodeShapes`, or descriptions of contracts by name. */
type ShapesItem = ["l", n: number, answer: unknown];

/** An item of a frame. */
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
 * A frame that has been checked: every item has its shape. Items of unknown kinds are left out. `Q`, `M`, `R`, `E`
 * and `I` on the wire are `q`, `m`, `r`, `e` and `i` whose payloads, values and errors have tags; here they have been
 * read.
 */
export interface Frame {
  readonly seq: number;
  /** By a clock of the sender's that does not jump, in ms; lateness is measured by its differences. */
  readonly sentAt: number;
  readonly items: readonly FrameItem[];
}

/** Members of a request that are not default, as they travel. */
export interface WireMeta extends Meta {
  /** 1 when left out. */
  readonly attempt?: number;
}

/**
 * A batch of events as it travels: `[1, sender, sentAt, meta, payload, …]`; `seq` in `meta` counts the sender's
 * batches.
 */
export interface EventFrame {
  readonly sender: string;
  /** By the sender's wall clock, in ms. */
  readonly sentAt: number;
  readonly meta: WireMeta & { readonly seq: number };
  readonly payloads: readonly unknown[];
}

/** Bytes that are not a frame, and why. */
export class Malformed extends Error {
  /** The version of a frame of another version. */
  readonly version: number | undefined;

  constructor(reason: string, version?: number) {
    super(reason);
    this.version = version;
  }
}

/** Reads a frame; throws {@link Malformed}. */
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

/** Reads a batch of events; throws {@link Malformed}. */
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

/** Returns true if a string is `<id>.<nonce>`. */
export function isEndpoint(text: string): boolean {
  return /^[A-Za-z0-9_-]{1,64}\.[A-Za-z0-9_-]{1,64}$/.test(text);
}

/** The id of the node behind an endpoint. */
export function nodeOf(endpoint: string): string {
  return endpoint.slice(0, endpoint.indexOf("."));
}

/** The answers and refusals in a frame of ours, as text for another frame. */
export function answersIn(frame: string | Uint8Array): string {
  const { items } = readItems(typeof frame === "string" ? encode(frame) : frame);
  return items.filter(([kind]) => "renRE".includes(kind)).map((item) => "," + JSON.stringify(item)).join("");
}

const MAX_VERSIONS = 16;

/** The first item of the array is one of the `versions`. */
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

/** `false` for an item of an unknown kind; throws for a known one with the wrong shape. */
function isItem(item: unknown): item is FrameItem {
  if (!Array.isArray(item) || typeof item[0] !== "string") throw new Malformed("an item is not an array with a kind");
  const fits = SHAPES.get(item[0]);
  if (fits === undefined) return false;
  if (!fits(item)) throw new Malformed(`an item of the kind ${item[0]} has the wrong shape`);
  if (item[0] === "m" || item[0] === "M") checkMeta(item[3]);
  return true;
}

/** By kind: returns true if an item has the shape that its type says; meta apart. */
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

// by place: taking an array apart costs a fifth of the reading

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
 * Puts the values in place of their tags: the item becomes one of the kind without tags. Returns true if a value is
 * {@link Unreadable}.
 */
function readTags(item: FrameItem): boolean {
  // on the wire there are more kinds than in a frame that has been read
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
    // a RangeError is that of a bigint or an array that this runtime cannot hold
    if (!(error instanceof TypeError || error instanceof RangeError || error instanceof SyntaxError)) throw error;
    throw new Malformed(`invalid tags: ${error.message}`);
  }
  return unreadable;
}

/** The value, or why it cannot be read here: its message is refused then, and the other items of its frame are read. */
function untagged(value: unknown): unknown {
  try {
    return untag(value);
  } catch (error) {
    if (error instanceof UnknownType) return new Unreadable(error.message, value);
    throw error;
  }
}

/** The items that stand for this one: each answer that is {@link Unreadable} is an error; requests stay. */
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
  // the reader gets none of these items, and the error ends its stream
  if (item[0] === "i" && value !== undefined) return [["e", item[1], item[2], invalidResponse("an item", value)]];
  if (item[0] !== "e" || value === undefined) return [item];
  // the details are read last
  return [["e", item[1], item[2], { ...value.given as object, details: "(the details could not be read)" }]];
}

/** The error of a message whose payload is {@link Unreadable}. */
export function unreadable(contract: string, { why }: Unreadable): CatgaError {
  return new CatgaError("INVALID_MESSAGE", `the payload of ${contract} cannot be read: ${why}`, { final: true });
}

function invalidResponse(what: string, { why }: Unreadable): object {
  return { code: "INVALID_RESPONSE", message: `${what} cannot be read: ${why}`, final: true };
}

function checkMeta(meta: unknown): asserts meta is WireMeta {
  if (!isRecord(meta)) throw new Malformed("meta is not an object");
  const { id, correlation, causation, attempt, ancestry, headers, key, send, span } = meta;
  if (key !== undefined && typeof key !== "string") throw new Malformed("meta.key is not a string");
  for (const text of [id, correlation, causation, send]) {
    if (text !== undefined && (typeof text !== "string" || text === "")) {
      throw new Malformed("an id in meta is not a string, or empty");
    }
  }
  if (attempt !== undefined && !isCount(attempt)) throw new Malformed("meta.attempt is not a count");
  if (span !== undefined && !isTime(span)) throw new Malformed("meta.span is not a number");
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

// What came with a message over the wire. Made on demand: most handlers read none of it.

/** The envelope of one run of a handler. */
export abstract class WireEnvelope implements Envelope {
  readonly #meta: WireMeta | undefined;
  #call: string | undefined = undefined;
  #headers: Readonly<Record<string, string>> | undefined = undefined;

  /** As `Envelope.sentAt`; undefined for what came without a frame. */
  readonly sentAt: number | undefined = undefined;

  /** `meta`: what is not default about the message. */
  constructor(meta: WireMeta | undefined) {
    this.#meta = meta;
  }

  /** The name of this run, different from all others. */
  protected abstract name(): string;

  /** The message id if the sender set none. */
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
    // without a prototype: the names come from the wire
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
}

// What fits into a message: NATS takes messages of up to its `max_payload`, and frames are begun anew well before.

/** The largest payload (with its meta) or answer that fits into a frame, in bytes. */
export function payloadLimit(maxPayload: number): number {
  return maxPayload - FRAME_OVERHEAD;
}

/** The length at which a frame is sent and another one begun, in UTF-16 code units. */
export function frameLimit(maxPayload: number): number {
  // a code unit is at most 3 bytes of UTF-8
  return Math.min(FRAME_LENGTH, Math.floor(maxPayload / 3) - FRAME_OVERHEAD);
}

/** The error of a text that is longer than `limit`, in bytes. */
export function tooLarge(
  what: "the payload" | "payload and headers" | "the answer",
  contract: string,
  text: string,
  limit: number,
): CatgaError | undefined {
  if (!exceeds(text, limit)) return undefined;
  const verb = what === "payload and headers" ? "are" : "is";
  const message = `${what} of ${contract} ${verb} ${byteLength(text)} bytes; the server takes ${limit} at most: ` +
    "store what is large elsewhere and send a reference, or raise max_payload in the server's configuration";
  return new CatgaError("TOO_LARGE", message);
}

/**
 * UTF-16 code units; larger frames are no faster, and delay what is behind them (see docs/internals/measurements.md).
 */
export const FRAME_LENGTH = 64_000;
const FRAME_OVERHEAD = 2_048; // bytes: subject, name, and what stands around a payload, with room to spare

// Writes frames. Requests of one contract that are sent in one frame are grouped in one item,
// and so are answers to consecutive requests; what has tags (`data/encoding.ts`) stands in items of its own. What does
// not fit into a frame begins another one.

/** The items of one frame: requests first, then answers and everything else. */
export interface WrittenItems {
  readonly requests: string;
  readonly others: string;
  /** True if an answer or a refusal is among them, not only pings and the like. */
  readonly answering: boolean;
}

/** The frame that a writer writes. */
export interface OpenFrame {
  /** Length of its items, in UTF-16 code units, at which another frame is begun (`frame.ts`). */
  readonly frameLimit: number;
}

/** Gathers the items of the next frame to one process. */
export class FrameWriter {
  readonly #frame: OpenFrame;
  readonly #send: () => void;
  #requests = "";
  #count = 0;
  /** The contract and ttl of the item that is open at the end of `#requests`. */
  #openName = "";
  #openTtl = 0;
  #openTagged = false;
  #others = "";
  #answering = false;
  /** The frame, and the place after the last answer, of the item that is open at the end of `#others`. */
  #openSeq = 0;
  #openIndex = 0;
  #answersTagged = false;

  /** `send` is called when the frame is full: it takes and sends what has been gathered. */
  constructor(frame: OpenFrame, send: () => void) {
    this.#frame = frame;
    this.#send = send;
  }

  /** The length of the items, in UTF-16 code units. */
  get length(): number {
    return this.#requests.length + this.#others.length;
  }

  /**
   * Adds a request. `ttl`: what is left of its time, in ms; payload as text, meta as JSON, `undefined` if there is
   * none.
   */
  request(name: string, ttl: number, payload: string | undefined, meta: string | undefined): void {
    const length = (payload === undefined ? 0 : payload.length) + (meta === undefined ? 0 : meta.length);
    if (this.#count >= MAX_REQUESTS || this.length + length > this.#frame.frameLimit) this.#send();
    this.#count++;
    const rounded = roundTtl(ttl);
    const tagged = payload !== undefined && isTagged(payload);
    const written = tagged ? payload.slice(1) : payload;
    if (meta !== undefined) {
      this.#closeRequests();
      const kind = tagged ? "M" : "m";
      this.#requests += `,["${kind}","${name}",${rounded},${meta}${written === undefined ? "" : `,${written}`}]`;
    } else if (written === undefined) {
      this.#closeRequests();
      this.#requests += `,["q","${name}",${rounded}]`;
    } else if (this.#openName === name && this.#openTtl === rounded && this.#openTagged === tagged) {
      this.#requests += "," + written;
    } else {
      this.#closeRequests();
      this.#requests += (tagged ? ',["Q","' : ',["q","') + name + '",' + rounded + "," + written;
      this.#openName = name;
      this.#openTtl = rounded;
      this.#openTagged = tagged;
    }
  }

  /** Adds the answer to the request at this place: a value as text, `undefined` for `undefined`. */
  answer(seq: number, index: number, value: string | undefined): void {
    if (value === undefined) return this.item(`["r",${seq},${index}]`, true);
    if (this.length + value.length > this.#frame.frameLimit) this.#send();
    this.#answering = true;
    const tagged = isTagged(value);
    const written = tagged ? value.slice(1) : value;
    if (this.#openSeq === seq && this.#openIndex === index && this.#answersTagged === tagged) {
      this.#others += "," + written;
      this.#openIndex++;
    } else {
      this.#closeAnswers();
      this.#others += (tagged ? ',["R",' : ',["r",') + seq + "," + index + "," + written;
      this.#openSeq = seq;
      this.#openIndex = index + 1;
      this.#answersTagged = tagged;
    }
  }

  /** Adds items of the stream at this place from number `n` on: those of `list` from `first` on, texts or strings. */
  streamItems(seq: number, index: number, n: number, list: readonly string[], first: number, strings = false): void {
    for (let from = first, to = first; from < list.length; from = to) {
      const tagged = !strings && isTagged(list[from]);
      if (this.length + list[from].length > this.#frame.frameLimit) this.#send();
      const room = this.#frame.frameLimit - this.length;
      let length = 0;
      do length += list[to++].length + AROUND; while (
        to < list.length && length + list[to].length <= room && (strings || isTagged(list[to]) === tagged)
      );
      let values = itemsText(list.slice(from, to), strings, tagged);
      while (values.length > room && to > from + 1) {
        to = (from + to) >> 1; // there are escapes in the strings
        values = itemsText(list.slice(from, to), strings, tagged);
      }
      this.#closeAnswers();
      this.#others += `,["${tagged ? "I" : "i"}",${seq},${index},${n + from - first},${values}]`;
    }
  }

  /** Adds an item without a payload, a value or an error. */
  add(item: FrameItem, answering = false): void {
    this.item(JSON.stringify(item), answering);
  }

  /** Adds the text of an item. */
  item(text: string, answering = false): void {
    if (this.length + text.length > this.#frame.frameLimit) this.#send();
    if (answering) this.#answering = true;
    this.#closeAnswers();
    this.#others += "," + text;
  }

  /** Returns what has been gathered, and begins anew. */
  take(): WrittenItems {
    this.#closeRequests();
    this.#closeAnswers();
    const items = { requests: this.#requests, others: this.#others, answering: this.#answering };
    this.#requests = this.#others = "";
    this.#count = 0;
    this.#answering = false;
    return items;
  }

  #closeRequests(): void {
    if (this.#openName !== "") this.#requests += "]";
    this.#openName = "";
  }

  #closeAnswers(): void {
    if (this.#openSeq !== 0) this.#others += "]";
    this.#openSeq = 0;
  }
}

/** Items as JSON without the brackets. */
function itemsText(list: readonly string[], strings: boolean, tagged: boolean): string {
  if (strings) return JSON.stringify(list).slice(1, -1);
  return (tagged ? list.map((text) => text.slice(1)) : list).join();
}

const AROUND = 3; // quotes and a comma
/** Requests in a frame; 4,096 and 128 were slower (see docs/internals/measurements.md). */
const MAX_REQUESTS = 512;

/** A frame; `items` as {@link FrameWriter.take} returns them. */
export function frameText(seq: number, sentAt: number, items: string): string {
  return "[" + PROTOCOL + "," + seq + "," + sentAt + items + "]";
}

/** A batch of events; `payloads` are JSON texts, each behind a comma; `tagged`: all of them have tags. */
export function eventFrameText(
  sender: string,
  sentAt: number,
  meta: Meta | undefined,
  seq: number,
  payloads: string,
  tagged = false,
): string {
  const wire = meta === undefined ? `{"seq":${seq}}` : JSON.stringify({ ...meta, seq });
  const version = tagged ? `"${TAGGED_PROTOCOL}"` : PROTOCOL;
  return `[${version},"${sender}",${sentAt},${wire}${payloads}]`;
}

/** The item of an error as text. `refused`: as in {@link FailureItem}; 0: it was not. */
export function failureItem(seq: number, index: number, error: string, refused: 0 | 1 | 2 = 0): string {
  const place = `${seq},${index},`;
  const end = refused === 0 ? "]" : `,${refused}]`;
  return isTagged(error) ? `["E",${place}${error.slice(1)}${end}` : `["e",${place}${error}${end}`;
}

/** Rounds a ttl down, so that requests of one turn stand in one group. */
function roundTtl(ttl: number): number {
  if (ttl > 1_000) return ttl - ttl % 100;
  return ttl > 100 ? ttl - ttl % 10 : Math.ceil(ttl);
}
