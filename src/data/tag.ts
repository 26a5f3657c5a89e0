/**
 * Tags: texts that stand for the values that JSON lacks, such as `~Date:0` and `~bigint:ff`. A string of the value's
 * own that begins with `~` gets another one. A `Map` is an array that begins with `~Map`, a `Set` one that begins with
 * `~Set`.
 */
import process from "node:process";

/** What tags begin with. */
export const TILDE = "~";
/** The first item of the array of a `Map`; pairs of key and value follow. */
export const MAP = "~Map";
/** The first item of the array of a `Set`; its items follow. */
export const SET = "~Set";
/** `undefined`. */
export const UNDEFINED = "~undefined";
/** The number -0. */
export const MINUS_ZERO = "~-0";

/** The largest bigint in hexadecimal digits: Bun has none of more than 1,048,576 bits. */
export const MAX_DIGITS = 262_144;

/** Whether a text begins as tags do. */
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

/** The value of a tagged text. Throws a `TypeError` for one that is no tag. */
export function readTag(text: string): unknown {
  if (text.charCodeAt(1) === 126) return text.slice(1);
  if (PLAIN_TAGS.has(text)) return PLAIN_TAGS.get(text);
  const colon = text.indexOf(":");
  const [type, rest] = [text.slice(1, colon), text.slice(colon + 1)];
  if (colon > 0 && type === "Date") return readDate(rest);
  if (colon > 0 && type === "bigint") return readBigint(rest);
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
