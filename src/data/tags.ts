/**
 * Tags: texts that represent values that JSON lacks, such as `~Date:0` and `~bigint:ff`. A string in a value that
 * begins with `~` gets another `~` in front. A `Map` is an array that begins with `~Map`, a `Set` one that begins with
 * `~Set`.
 */
import process from "node:process";
import { isOf } from "./checks.ts";

/** Character with which every tag begins. */
export const TILDE = "~";
/** The first item of an array that stands for a `Map`; pairs of key and value follow. */
export const MAP = "~Map";
/** The first item of an array that stands for a `Set`; the items of the set follow. */
export const SET = "~Set";
/** Tag that stands for `undefined`. */
export const UNDEFINED = "~undefined";
/** Tag that stands for the number -0. */
export const MINUS_ZERO = "~-0";

/** Beginning of a text that a codec has encoded: it has the form of a tag, and no value has this tag. */
export const SEALED = '~"~sealed:';
/** Beginning of bytes that a codec has encoded; no JSON begins with these two bytes. */
export const SEALED_BYTES = new Uint8Array([0, 0x63]);
/** Reason why a node cannot read what a codec has encoded. */
export const IS_SEALED = "it is encrypted, and this node has no codec, or not its key";

/** Returns true if bytes begin with the mark of a codec. */
export function areSealed(bytes: Uint8Array): boolean {
  return SEALED_BYTES.every((byte, i) => bytes[i] === byte);
}

/** Maximum number of hexadecimal digits of a bigint: Bun supports no more than 1,048,576 bits. */
export const MAX_DIGITS = 262_144;

/** Returns true if a text begins like a tag. */
export function isTagged(text: string): boolean {
  return text.charCodeAt(0) === 126;
}

/** Returns the tag of a number that is not finite. */
export function tagOfNumber(value: number): string {
  return TILDE + value;
}

/**
 * Returns the tag of a bigint: its hexadecimal digits, which can be parsed in linear time. `undefined`: it has too many
 * digits.
 */
export function tagOfBigint(value: bigint): string | undefined {
  const text = value.toString(16);
  const digits = value < 0n ? text.length - 1 : text.length;
  return digits > MAX_DIGITS ? undefined : `~bigint:${text}`;
}

/** Returns the tag of a date: its ms since 1970, or `NaN` for an invalid date. */
export function tagOfDate(value: Date): string {
  return `~Date:${value.getTime()}`;
}

/**
 * Returns the tag of bytes: the name of their type, and the bytes as base64. `undefined`: the type does not exist in
 * every runtime.
 */
export function tagOfBytes(value: ArrayBuffer | ArrayBufferView): string | undefined {
  const type = typeOfBytes(value);
  return BYTES.has(type) ? `~${type}:${base64(value)}` : undefined;
}

/** Encodes bytes as base64. */
export function base64(value: ArrayBuffer | ArrayBufferView): string {
  const { Buffer } = process.getBuiltinModule("node:buffer");
  const bytes = ArrayBuffer.isView(value)
    ? Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    : Buffer.from(value);
  return bytes.toString("base64");
}

/**
 * Returns the tag of a value of `Temporal`, from which exactly this value can be made again; `undefined` for another
 * value. Most types use their ISO string. A `ZonedDateTime` uses its ns since 1970, zone and calendar, because its
 * string rounds offsets to minutes, and processes may have other versions of the time zone database; a `Duration` uses
 * its parts, because its string turns 1,000 ms into 1 s.
 */
export function tagOfTemporal(value: object): string | undefined {
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

/** Makes a value of `Temporal` from its tag. Throws an {@link UnknownType} if this runtime lacks the type. */
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

/** The error for a tag whose type this runtime does not have, such as `Temporal.Instant`. */
export class UnknownType extends TypeError {
  constructor(type: string) {
    super(`it has a ${type}, which this runtime does not have`);
  }
}

/**
 * Stands for a payload or answer from another process that contains a value of a type unknown to this runtime, so that
 * the other parts of the message can be read.
 */
export class Unreadable {
  readonly why: string;
  /** The payload or answer, with tags in place of the parts that cannot be decoded. */
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

/**
 * Returns the types of `Temporal`, read at each use because a polyfill may be loaded after this module. Node 24 lacks
 * them, and so do the types of older TypeScript.
 */
function temporalTypes(): Readonly<Partial<Record<TemporalName, TemporalType>>> | undefined {
  return (globalThis as { readonly Temporal?: Readonly<Partial<Record<TemporalName, TemporalType>>> }).Temporal;
}

/** Makes a value from its tag. Throws a `TypeError` for a text that is not a valid tag. */
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
  // the class exists in every runtime by now, but not in the types of older TypeScript
  (globalThis as unknown as { readonly Float16Array: TypedArray }).Float16Array,
].filter((type) => type !== undefined);

/**
 * By name of a type of bytes: the function that makes it from bytes. It throws a `RangeError` for a number of bytes
 * that the type cannot have.
 */
const BYTES: ReadonlyMap<string, BytesOf> = new Map<string, BytesOf>([
  ["ArrayBuffer", (buffer) => buffer],
  ["DataView", (buffer) => new DataView(buffer)],
  ...TYPED_ARRAYS.map((type): [string, BytesOf] => [type.name, (buffer) => new type(buffer)]),
]);

const typedArrayTag = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag)!;

/** Returns the name of the type of bytes; for a subclass such as `Buffer`, the name of its base class. */
function typeOfBytes(value: ArrayBuffer | ArrayBufferView): string {
  if (!ArrayBuffer.isView(value)) return "ArrayBuffer";
  // this accessor of typed arrays returns `undefined` for a DataView
  return (typedArrayTag.get!.call(value) as string | undefined) ?? "DataView";
}

/**
 * Decodes bytes from base64. It never allocates more than the text's length, because a tag contains no separate length.
 */
function readBytes(make: BytesOf, text: string): ArrayBuffer | ArrayBufferView {
  const { Buffer } = process.getBuiltinModule("node:buffer");
  const decoded = Buffer.from(text, "base64");
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  // the text is invalid: the decoder skips characters that are not base64
  if (text.length % 4 !== 0 || decoded.length !== text.length / 4 * 3 - padding) {
    throw new TypeError("bytes are no base64");
  }
  // the bytes are copied into a buffer of their own, because small instances of `Buffer` share one
  const { buffer } = new Uint8Array(decoded);
  try {
    return make(buffer);
  } catch (cause) {
    throw new TypeError("there are too many or too few bytes for their type", { cause });
  }
}
