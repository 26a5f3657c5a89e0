/**
 * Values as text (`Date`, `Map`, `bigint`, `Temporal` and the like too), for other processes and for the store. Most
 * are plain JSON. The text of a value that JSON would change is `~` and JSON with tags: so a plain one is never
 * searched for tags.
 */
import { CatgaError } from "../error.ts";
import { isPlain, PLAIN_TOKEN } from "./checks.ts";

import process from "node:process";

/**
 * The text of a value other than `undefined`. Throws an {@link UnsendableError} for what cannot be sent; its path
 * begins with `root`. `levels`: how many it may have; 1,000.
 */
export function encodeValue(value: unknown, root: string, levels = MAX_DEPTH): string {
  try {
    if (isJson(value)) return JSON.stringify(value);
  } catch {
    // a getter threw, or the stack is full: what follows needs no stack, and finds out where
  }
  const { text, tagged, escaped } = valueText(value, "tagged", root, levels);
  if (tagged) return TILDE + text;
  return escaped ? valueText(value, "json", root, levels).text : text;
}

/** The value of a text. Throws a `SyntaxError` or `TypeError` if it is not one. */
export function decodeText(text: string): unknown {
  return isTagged(text) ? read(JSON.parse(text.slice(1)), STORED_DEPTH) : JSON.parse(text);
}

/** Parses a text, or bytes in UTF-8, as JSON; `undefined` if it is not valid. */
export function parsedJson(data: string | Uint8Array): unknown {
  try {
    return JSON.parse(typeof data === "string" ? data : decode(data));
  } catch {
    return undefined; // whoever asks reports it
  }
}

/**
 * The text of a value, as {@link encodeValue} returns it. Throws a `CatgaError` with this code for what cannot be sent.
 * Its message begins with `what`, and the name of what it is `of`; `root` is how the path of a part begins.
 */
export function toText(
  value: unknown,
  code: "INVALID_MESSAGE" | "INVALID_RESPONSE",
  what: string,
  of?: string,
): string {
  try {
    return encodeValue(value, rootOf(code));
  } catch (error) {
    throw cannotBeSent(error, code, what, of);
  }
}

/** A value as JSON for programs without Catga. */
export function toJson(
  value: unknown,
  code: "INVALID_MESSAGE" | "INVALID_RESPONSE",
  what: string,
  of?: string,
): string {
  try {
    return isJson(value) ? JSON.stringify(value) : valueText(value, "json", rootOf(code)).text;
  } catch (error) {
    throw cannotBeSent(error, code, what, of);
  }
}

/**
 * The `CatgaError` of a value that cannot be sent. What a getter threw may hold secrets, and is not part of its
 * message.
 */
export function cannotBeSent(
  error: unknown,
  code: "INVALID_MESSAGE" | "INVALID_RESPONSE",
  what: string,
  of?: string,
): CatgaError {
  const why = error instanceof UnsendableError ? error.message : "it cannot be read";
  return new CatgaError(code, `${what}${of === undefined ? "" : ` of ${of}`} cannot be sent: ${why}`, { cause: error });
}

function rootOf(code: "INVALID_MESSAGE" | "INVALID_RESPONSE"): string {
  return code === "INVALID_MESSAGE" ? "payload" : "result";
}

// Checks that a value survives JSON, for every payload and answer before it is encoded; and that parsed JSON is not too
// deep.

/**
 * Returns true if `JSON.parse(JSON.stringify(value))` certainly equals `value`: strings, booleans, `null`, finite
 * numbers other than -0, and arrays and plain objects of these, nested at most 200 levels. Cheap, because almost
 * everything is such a value; `false` means that a closer look is needed.
 */
export function isJson(value: unknown): boolean {
  return isJsonAt(value, MAX_LEVELS);
}

function isJsonAt(value: unknown, levels: number): boolean {
  switch (typeof value) {
    case "string":
    case "boolean":
      return true;
    case "number":
      return value === 0 ? 1 / value > 0 : value - value === 0;
    case "object":
      if (value === null) return true;
      // JSON.stringify would call it, also one that is inherited or not enumerable
      if (levels === 0 || typeof (value as { toJSON?: unknown }).toJSON === "function") return false;
      return Array.isArray(value) ? isJsonArray(value, levels - 1) : isJsonObject(value, levels - 1);
    default:
      return false;
  }
}

function isJsonArray(value: readonly unknown[], levels: number): boolean {
  for (let i = 0; i < value.length; i++) {
    const item = value[i];
    if (typeof item !== "string" && !isJsonAt(item, levels)) return false;
  }
  return true;
}

function isJsonObject(value: object, levels: number): boolean {
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  // an inherited member that is no JSON leads to a closer look, which sees only the object's own
  for (const key in value) {
    const member = (value as Record<string, unknown>)[key];
    // a call less for most members: V8 does not inline a recursive one
    if (typeof member !== "string" && !isJsonAt(member, levels)) return false;
  }
  return true;
}

/** A cycle ends here, too. */
const MAX_LEVELS = 200;

/**
 * Returns true if parsed JSON is nested deeper than values are that can be sent, with room for what stands around them.
 */
export function isTooDeep(parsed: unknown): boolean {
  return isDeeper(parsed, STORED_DEPTH);
}

function isDeeper(parsed: unknown, levels: number): boolean {
  if (typeof parsed !== "object" || parsed === null) return false;
  if (levels === 0) return true;
  if (Array.isArray(parsed)) {
    for (const member of parsed) if (isDeeper(member, levels - 1)) return true;
    return false;
  }
  // for all of a long message: `Object.values` would make a list of each object
  for (const key in parsed) if (isDeeper((parsed as Record<string, unknown>)[key], levels - 1)) return true;
  return false;
}

// Reads JSON with tags: the values that they stand for, in place of the texts.

/**
 * The value of JSON with tags, parsed; arrays and objects in it are changed in place. Throws a `TypeError` for an
 * invalid tag, and for more than 1,000 levels.
 */
export function untag(parsed: unknown): unknown {
  return read(parsed, MAX_DEPTH);
}

function read(parsed: unknown, levels: number): unknown {
  if (typeof parsed === "string") return isTagged(parsed) ? readTag(parsed) : parsed;
  if (typeof parsed !== "object" || parsed === null) return parsed;
  if (levels === 0) throw new TypeError(`it is nested more than ${MAX_DEPTH} levels deep`);
  if (Array.isArray(parsed)) {
    const [head] = parsed;
    if (head === MAP) return new Map(parsed.slice(1).map((item) => pair(read(item, levels - 1))));
    if (head === SET) return new Set(parsed.slice(1).map((item) => read(item, levels - 1)));
    for (let i = 0; i < parsed.length; i++) parsed[i] = read(parsed[i], levels - 1);
    return parsed;
  }
  const members = parsed as Record<string, unknown>;
  // each is the object's own, also one whose key is `__proto__`
  for (const key of Object.keys(members)) members[key] = read(members[key], levels - 1);
  return members;
}

function pair(value: unknown): [unknown, unknown] {
  if (!Array.isArray(value) || value.length !== 2) throw new TypeError("an entry of a Map is not a pair");
  return [value[0], value[1]];
}

// Values as text: JSON, with tags for what JSON lacks, or in other forms.

/**
 * - `tagged`: JSON with tags, which is read as the value itself.
 * - `canonical`: the same, of equal values the same: sorted keys (UTF-16 code units, as in RFC 8785), without the
 *   members that are `undefined`.
 * - `canonical-json`: the same for a value without tags: without the second `~` of texts that begin with one.
 * - `json`: JSON as other programs read it: a `Date`, or a value of `Temporal`, is its ISO string, bytes are base64, a
 *   bigint is its digits, a `Map` an array of pairs, a `Set` an array, what is not finite is `null`, and members that
 *   are `undefined` are left out.
 */
export type Form = "tagged" | "canonical" | "canonical-json" | "json";

/** A text, and what is in it. */
interface ValueText {
  readonly text: string;
  /** It has tags: as JSON it is another value. */
  readonly tagged: boolean;
  /** A string in it begins as tags do: it is not the JSON of the value, even without tags. */
  readonly escaped: boolean;
}

/** A value in one of the {@link Form}s. Throws an {@link UnsendableError} whose path begins with `root`. */
export function valueText(value: unknown, form: Form, root: string, levels = MAX_DEPTH): ValueText {
  const writer = new Writer(form, levels);
  try {
    const text = writer.write(value, "array");
    return { text, tagged: writer.tagged, escaped: writer.escaped };
  } catch (error) {
    const { path, message, cause } = refusal(error);
    throw new UnsendableError(root + (path.length < MAX_PATH ? path : `…${path.slice(-MAX_PATH)}`), message, cause);
  }
}

/** The levels of arrays, objects and collections that a value may have, alone and with what stands around it. */
export const [MAX_DEPTH, STORED_DEPTH] = [1_000, 1_016];

/** Container of a value. */
type Holder = "object" | "array" | "map" | "pair" | "set";

class Writer {
  readonly #form: Form;
  readonly #levels: number;
  /** The arrays, objects and collections around the value at hand. */
  readonly #above = new Set<object>();
  tagged = false;
  escaped = false;

  constructor(form: Form, levels: number) {
    this.#form = form;
    this.#levels = levels;
  }

  write(value: unknown, within: Holder): string {
    if (typeof value !== "object" || value === null) return this.#primitive(value, within);
    if (Array.isArray(value)) return `[${this.#items(value, value, within === "map" ? "pair" : "array")}]`;
    if (value instanceof Date && isOf(value, Date)) return this.#leaf(tagOfDate(value), () => value.toJSON());
    if (value instanceof Map && isOf(value, Map)) return this.#collection(value, "map", MAP);
    if (value instanceof Set && isOf(value, Set)) return this.#collection(value, "set", SET);
    if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
      const tag = tagOfBytes(value);
      if (tag === undefined) throw new RefusedValue("is bytes of a type that other runtimes do not have");
      return this.#leaf(tag, () => base64(value));
    }
    if (!isPlain(value)) {
      const temporal = tagOfTemporal(value);
      if (temporal === undefined) throw new RefusedValue(whyUnsendable(value));
      return this.#leaf(temporal, () => (value as { toJSON(): string }).toJSON()); // all types of `Temporal` have it
    }
    return `{${this.#membersOf(value)}}`;
  }

  #membersOf(value: Record<PropertyKey, unknown>): string {
    const keys = Object.keys(value);
    if (this.#form.startsWith("canonical")) keys.sort();
    this.#enter(value);
    let text = "";
    for (const key of keys) {
      try {
        const member = value[key];
        if (member === undefined && this.#form !== "tagged") continue;
        text += `${text === "" ? "" : ","}${JSON.stringify(key)}:${this.write(member, "object")}`;
      } catch (error) {
        throw refusal(error).under(/^[\p{L}_$][\p{L}\d_$]*$/u.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`);
      }
    }
    this.#above.delete(value);
    return text;
  }

  #items(holder: object, items: readonly unknown[], kind: Holder, first = ""): string {
    this.#enter(holder);
    let text = first;
    for (let i = 0; i < items.length; i++) {
      try {
        const item = this.write(items[i], kind);
        text += text === "" ? item : `,${item}`;
      } catch (error) {
        throw refusal(error).under(stepTo(i, kind));
      }
    }
    this.#above.delete(holder);
    return text;
  }

  #collection(value: Map<unknown, unknown> | Set<unknown>, kind: "map" | "set", tag: string): string {
    if (this.#form === "json") return `[${this.#items(value, [...value], kind)}]`;
    this.tagged = true;
    return `[${this.#items(value, [...value], kind, `"${tag}"`)}]`;
  }

  #enter(value: object): void {
    if (this.#above.has(value)) throw new RefusedValue("has a cycle: it stands within itself");
    if (this.#above.size === this.#levels) {
      throw new RefusedValue(`is nested too deeply: ${MAX_DEPTH} levels are the most`);
    }
    this.#above.add(value);
  }

  #primitive(value: unknown, within: Holder): string {
    switch (typeof value) {
      case "string":
        if (!isTagged(value) || this.#form === "json" || this.#form === "canonical-json") return JSON.stringify(value);
        this.escaped = true;
        return JSON.stringify(TILDE + value);
      case "number":
        if (Object.is(value, -0)) return this.#form === "json" ? "0" : this.#tag(MINUS_ZERO);
        return Number.isFinite(value) ? `${value}` : this.#leaf(tagOfNumber(value), () => null);
      case "bigint": {
        const tag = tagOfBigint(value);
        if (tag === undefined) throw new RefusedValue("is a bigint of more than 1,048,576 bits");
        return this.#leaf(tag, () => `${value}`);
      }
      case "undefined":
        return within === "object" ? this.#tag(UNDEFINED) : this.#leaf(UNDEFINED, () => null);
      case "function":
      case "symbol":
        throw new RefusedValue(whyUnsendable(value));
      default:
        return `${value}`; // a boolean, or null
    }
  }

  #leaf(tag: string, json: () => string | null): string {
    return this.#form === "json" ? JSON.stringify(json()) : this.#tag(tag);
  }

  #tag(tag: string): string {
    this.tagged = true;
    return JSON.stringify(tag);
  }
}

/** Why the value at hand cannot be sent, and the path that leads to it: `.lines[2].price`. */
class RefusedValue extends Error {
  path = "";

  /** The same error, with the step from the container to the value before its path. */
  under(step: string): this {
    this.path = step + this.path;
    return this;
  }
}

function refusal(error: unknown): RefusedValue {
  if (error instanceof RefusedValue) return error;
  return new RefusedValue("cannot be read: a getter threw, or its text is too long", { cause: error });
}

/** The part of a path that leads to an item. */
function stepTo(index: number, kind: Holder): string {
  if (kind === "array") return `[${index}]`;
  if (kind === "pair") return index === 0 ? ".key" : ".value";
  return kind === "set" ? ".item" : "";
}

/** Returns true if a value is of this class, and not of one that extends it: that would arrive as another value. */
function isOf(value: object, type: { readonly prototype: object }): boolean {
  return Object.getPrototypeOf(value) === type.prototype;
}

/** Characters of a path that are shown. */
const MAX_PATH = 200;

// Errors of values that cannot be sent to another process, with the path to the part that cannot.

/** A value, or a part of it, that cannot be sent. */
export class UnsendableError extends TypeError {
  /** Path to the value: `payload.account.close`. */
  readonly path: string;
  /** Reason: `is a function`. */
  readonly why: string;

  /** `cause`: what a getter threw. */
  constructor(path: string, why: string, cause?: unknown) {
    super(`${path} ${why}`, cause === undefined ? undefined : { cause });
    this.path = path;
    this.why = why;
  }
}

/** Why a value that is neither JSON nor one of the values that have tags cannot be sent, and what to do. */
export function whyUnsendable(value: unknown): string {
  if (typeof value === "function") return "is a function";
  if (typeof value === "symbol") return "is a symbol";
  if (value instanceof Promise) return "is a promise: await it first";
  if (value instanceof Error) return "is an Error: send its message, or fail() with a code";
  if (value instanceof RegExp) return "is a RegExp: send its source and its flags";
  const name = classOf(value as object);
  const what = name === undefined ? "is an instance of a class" : `is an instance of ${name}`;
  return `${what}: send a plain object, or a text, that it can be made from`;
}

/** The name of an object's class. */
function classOf(value: object): string | undefined {
  try {
    const { name } = (value as { constructor?: { name?: unknown } }).constructor ?? {};
    return typeof name === "string" && /^[\p{L}_$][\p{L}\d_$]{0,63}$/u.test(name) ? name : undefined;
  } catch {
    return undefined; // a getter threw; the name is only for the message
  }
}

// Tags: texts that stand for the values that JSON lacks, such as `~Date:0` and `~bigint:ff`. A string of the value's
// own that begins with `~` gets another one. A `Map` is an array that begins with `~Map`, a `Set` one that begins with
// `~Set`.

/** Prefix of tags. */
export const TILDE = "~";
/** The first item of the array of a `Map`; pairs of key and value follow. */
const MAP = "~Map";
/** The first item of the array of a `Set`; its items follow. */
const SET = "~Set";
/** `undefined`. */
export const UNDEFINED = "~undefined";
/** The number -0. */
export const MINUS_ZERO = "~-0";

/** The largest bigint in hexadecimal digits: Bun has none of more than 1,048,576 bits. */
export const MAX_DIGITS = 262_144;

/** Returns true if a text begins as tags do. */
export function isTagged(text: string): boolean {
  return text.charCodeAt(0) === 126;
}

/** The tag of a number that is not finite. */
export function tagOfNumber(value: number): string {
  return TILDE + value;
}

/** The tag of a bigint; in hexadecimal digits, which are read in linear time. `undefined`: it has too many. */
export function tagOfBigint(value: bigint): string | undefined {
  const text = value.toString(16);
  const digits = value < 0n ? text.length - 1 : text.length;
  return digits > MAX_DIGITS ? undefined : `~bigint:${text}`;
}

/** The tag of a date, in ms since 1970; `NaN` for an invalid one. */
export function tagOfDate(value: Date): string {
  return `~Date:${value.getTime()}`;
}

/** The tag of bytes: their type, and the bytes as base64. `undefined`: they are of no type that every runtime has. */
export function tagOfBytes(value: ArrayBuffer | ArrayBufferView): string | undefined {
  const type = typeOfBytes(value);
  return BYTES.has(type) ? `~${type}:${base64(value)}` : undefined;
}

/** Bytes as base64. */
export function base64(value: ArrayBuffer | ArrayBufferView): string {
  const { Buffer } = process.getBuiltinModule("node:buffer");
  const bytes = ArrayBuffer.isView(value)
    ? Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    : Buffer.from(value);
  return bytes.toString("base64");
}

/**
 * The tag of an instance of a type of `Temporal`, from which exactly this value is made: most by their ISO string; a
 * `ZonedDateTime` by its ns since 1970, zone and calendar, for its string rounds offsets to minutes, and processes may
 * have other versions of the time zone database; a `Duration` by its parts, for its string makes 1 s of 1,000 ms.
 * `undefined` for another value.
 */
function tagOfTemporal(value: object): string | undefined {
  const types = temporalTypes();
  const name = TEMPORAL.find((each) => types?.[each] !== undefined && isOf(value, types[each]));
  if (name === undefined) return undefined;
  if (name === "Duration") {
    const duration = value as Readonly<Record<string, number>>;
    return `~Temporal.Duration:${DURATION_PARTS.map((part) => duration[part]).join()}`;
  }
  if (name === "ZonedDateTime") {
    const { epochNanoseconds, timeZoneId, calendarId } = value as ZonedDateTime;
    return `~Temporal.ZonedDateTime:${epochNanoseconds},${timeZoneId},${calendarId}`;
  }
  return `~Temporal.${name}:${value}`;
}

/** The value of a tag of `Temporal`. Throws an {@link UnknownType} if this runtime has no such type. */
function readTemporal(name: string, text: string): unknown {
  if (!TEMPORAL.includes(name as TemporalName)) throw new TypeError("a text begins like a tag, and is none");
  const type = temporalTypes()?.[name as TemporalName];
  if (type === undefined) throw new UnknownType(`Temporal.${name}`);
  try {
    if (name === "Duration") return new type(...text.split(",").map(Number));
    if (name !== "ZonedDateTime") return type.from(text);
    const [ns, zone, calendar] = text.split(",");
    return new type(BigInt(ns), zone, calendar);
  } catch (cause) {
    throw new TypeError(`a text is no Temporal.${name}, or its time zone or calendar is unknown here`, { cause });
  }
}

/** Thrown for the tag of a value whose type this runtime does not have, such as `Temporal.Instant`. */
export class UnknownType extends TypeError {
  constructor(type: string) {
    super(`it has a ${type}, which this runtime does not have`);
  }
}

/**
 * Stands in a message for a payload or an answer of another process that has a value of an {@link UnknownType}; the
 * other parts of the message can be read.
 */
export class Unreadable {
  readonly why: string;
  /** The value, with tags where it could not be read. */
  readonly given: unknown;

  constructor(why: string, given: unknown) {
    this.why = why;
    this.given = given;
  }
}

const TEMPORAL = [
  "Instant",
  "ZonedDateTime",
  "PlainDate",
  "PlainTime",
  "PlainDateTime",
  "PlainYearMonth",
  "PlainMonthDay",
  "Duration",
] as const;
type TemporalName = typeof TEMPORAL[number];

const DURATION_PARTS = [
  "years",
  "months",
  "weeks",
  "days",
  "hours",
  "minutes",
  "seconds",
  "milliseconds",
  "microseconds",
  "nanoseconds",
];

interface ZonedDateTime {
  readonly epochNanoseconds: bigint;
  readonly timeZoneId: string;
  readonly calendarId: string;
}

interface TemporalType {
  readonly prototype: object;
  new (...parts: readonly unknown[]): unknown;
  from(text: string): unknown;
}

/** Read at each use: a polyfill may come after this module. Node 24, and the types of older TypeScript, lack it. */
function temporalTypes(): Readonly<Partial<Record<TemporalName, TemporalType>>> | undefined {
  return (globalThis as { readonly Temporal?: Readonly<Partial<Record<TemporalName, TemporalType>>> }).Temporal;
}

/** The value of a tagged text. Throws a `TypeError` for one that is no tag. */
export function readTag(text: string): unknown {
  if (text.charCodeAt(1) === 126) return text.slice(1);
  if (PLAIN_TAGS.has(text)) return PLAIN_TAGS.get(text);
  const colon = text.indexOf(":");
  const [type, rest] = [text.slice(1, colon), text.slice(colon + 1)];
  if (colon > 0 && type === "Date") return readDate(rest);
  if (colon > 0 && type === "bigint") return readBigint(rest);
  if (colon > 0 && type.startsWith("Temporal.")) return readTemporal(type.slice("Temporal.".length), rest);
  const bytes = colon > 0 ? BYTES.get(type) : undefined;
  if (bytes !== undefined) return readBytes(bytes, rest);
  throw new TypeError("a text begins like a tag, and is none");
}

const PLAIN_TAGS: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  [UNDEFINED, undefined],
  [MINUS_ZERO, -0],
  ["~NaN", NaN],
  ["~Infinity", Infinity],
  ["~-Infinity", -Infinity],
]);

function readDate(text: string): Date {
  const date = new Date(text === "NaN" ? NaN : /^-?\d{1,16}$/.test(text) ? Number(text) : Infinity);
  if (Number.isNaN(date.getTime()) && text !== "NaN") throw new TypeError("a date's time is no time");
  return date;
}

function readBigint(text: string): bigint {
  const [, minus, digits] = /^(-?)([\da-f]+)$/.exec(text) ?? [];
  if (digits === undefined || digits.length > MAX_DIGITS) throw new TypeError("a bigint has no or too many digits");
  const value = BigInt(`0x${digits}`);
  return minus === "" ? value : -value;
}

type BytesOf = (buffer: ArrayBuffer) => ArrayBuffer | ArrayBufferView;

interface TypedArray {
  readonly name: string;
  new (buffer: ArrayBuffer): ArrayBufferView;
}

const TYPED_ARRAYS: readonly TypedArray[] = [
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  // in every runtime by now, but not in the types of older TypeScript
  (globalThis as unknown as { readonly Float16Array: TypedArray }).Float16Array,
].filter((type) => type !== undefined);

/** How to make each type of its bytes. Throws a `RangeError` for a number of bytes that the type does not have. */
const BYTES: ReadonlyMap<string, BytesOf> = new Map<string, BytesOf>([
  ["ArrayBuffer", (buffer) => buffer],
  ["DataView", (buffer) => new DataView(buffer)],
  ...TYPED_ARRAYS.map((type): [string, BytesOf] => [type.name, (buffer) => new type(buffer)]),
]);

const typedArrayTag = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag)!;

/** The name of the type; that of what a subclass, such as `Buffer`, derives from. */
function typeOfBytes(value: ArrayBuffer | ArrayBufferView): string {
  if (!ArrayBuffer.isView(value)) return "ArrayBuffer";
  // the accessor of all typed arrays returns `undefined` for a DataView
  return (typedArrayTag.get!.call(value) as string | undefined) ?? "DataView";
}

/** Never larger than the text: no length is claimed apart from the bytes. */
function readBytes(make: BytesOf, text: string): ArrayBuffer | ArrayBufferView {
  const { Buffer } = process.getBuiltinModule("node:buffer");
  const decoded = Buffer.from(text, "base64");
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  // characters that are not base64 were skipped
  if (text.length % 4 !== 0 || decoded.length !== text.length / 4 * 3 - padding) {
    throw new TypeError("bytes are no base64");
  }
  // a buffer of its own: small ones of `Buffer` share one
  const { buffer } = new Uint8Array(decoded);
  try {
    return make(buffer);
  } catch (cause) {
    throw new TypeError("there are too many or too few bytes for their type", { cause });
  }
}

// Texts as UTF-8, as messages and the store hold them, and their size in bytes.

/** A text as UTF-8. */
export function encode(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Parts of so many bytes in all, one behind the other; a single one is not copied. */
export function joinBytes(parts: readonly Uint8Array[], size: number): Uint8Array {
  if (parts.length === 1) return parts[0];
  const joined = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** The size of a text as UTF-8, in bytes. */
export function byteLength(text: string): number {
  return text.length <= SHORT && isAscii(text) ? text.length : encode(text).length;
}

/** Returns true if each character is one byte. */
function isAscii(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) > 127) return false;
  return true;
}

/** Characters of a text that is read faster than it is encoded (Deno, measured: 256 take 0.2 µs, and 1.5 µs). */
const SHORT = 1_024;

/** Returns true if a text has more than this many bytes as UTF-8. Encodes it only when its length leaves that open. */
export function exceeds(text: string, limit: number): boolean {
  return text.length * 3 > limit && byteLength(text) > limit;
}

/** The text of UTF-8. Throws a `TypeError` for other bytes. */
export function decode(bytes: Uint8Array): string {
  const text = decoder.decode(bytes);
  // a strict decoder takes twice as long (Deno, measured): it decodes only what it may refuse
  return text.includes(REPLACEMENT) ? strict.decode(bytes) : text;
}

const REPLACEMENT = "\ufffd"; // decoded in place of invalid UTF-8
const encoder = new TextEncoder();
const decoder = new TextDecoder();
const strict = new TextDecoder("utf-8", { fatal: true });

// Names of contracts, keys and ids as tokens of NATS subjects, and back.

/**
 * Any well-formed string as one token of a subject: letters, digits, `-` and `_` stay; other bytes are `=` and two hex
 * digits.
 */
export function token(text: string): string {
  if (PLAIN_TOKEN.test(text)) return text;
  let made = "";
  for (const byte of encoder.encode(text)) {
    const char = String.fromCharCode(byte);
    made += /[\w-]/.test(char) ? char : `=${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return made === "" ? "=" : made;
}

/** The string of a token; `undefined` if {@link token} does not make it. */
export function untoken(text: string): string | undefined {
  if (PLAIN_TOKEN.test(text)) return text;
  if (text === "=") return "";
  if (!/^(?:[\w-]|=[0-9A-F]{2})+$/.test(text)) return undefined;
  const bytes: number[] = [];
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== "=") bytes.push(text.charCodeAt(i));
    else bytes.push(Number.parseInt(text.slice(i + 1, i += 3), 16)), i--;
  }
  try {
    const made = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes));
    return token(made) === text ? made : undefined;
  } catch {
    return undefined; // no UTF-8
  }
}
