/**
 * Encodes values as text in a browser. The text is the same as in `src/data/encoding.ts`, but is made with functions
 * that every browser has; `values_test.ts` compares the two.
 */

/** Encodes a value as text; `undefined` as `""`. Throws a `TypeError` if the value cannot be sent. */
export function write(value: unknown): string {
  if (value === undefined) return "";
  let tagged = false;
  const above = new Set<object>();
  const tag = (text: string) => (tagged = true, JSON.stringify("~" + text));
  const list = (items: readonly unknown[], head = "") =>
    `[${[...head === "" ? [] : [tag(head)], ...Array.from(items, text)].join()}]`;
  const text = (part: unknown): string => {
    if (part === undefined) return tag("undefined");
    if (typeof part === "string") return JSON.stringify(part[0] === "~" ? "~" + part : part);
    if (typeof part === "number") {
      return Object.is(part, -0) ? tag("-0") : Number.isFinite(part) ? `${part}` : tag(`${part}`);
    }
    if (typeof part === "bigint") return tag(`bigint:${part.toString(16)}`);
    if (typeof part === "boolean" || part === null) return `${part}`;
    if (typeof part !== "object") throw new TypeError(`a ${typeof part} cannot be sent`);
    const { [Symbol.toStringTag]: name } = part as { readonly [Symbol.toStringTag]?: string };
    if (name?.startsWith("Temporal.")) return tag(`${name}:${temporalText(name, part)}`);
    if (part instanceof Date) return tag(`Date:${part.getTime()}`);
    if (part instanceof ArrayBuffer || ArrayBuffer.isView(part)) return tag(`${bytesType(part)}:${base64(part)}`);
    if (above.has(part)) throw new TypeError("a value that has itself as a part cannot be sent");
    above.add(part);
    const made = Array.isArray(part)
      ? list(part)
      : part instanceof Map
      ? list([...part], "Map")
      : part instanceof Set
      ? list([...part], "Set")
      : `{${Object.entries(plain(part)).map(([key, member]) => `${JSON.stringify(key)}:${text(member)}`).join()}}`;
    above.delete(part);
    return made;
  };
  const made = text(value);
  // without a tag, strings that begin with "~" stand as they are
  return tagged ? `~${made}` : JSON.stringify(value);
}

/**
 * Decodes a value from its text. Throws if the text is invalid.
 * @decides values with tags (`Map`, `Date`, typed arrays) are written and read in a browser
 */
export function read(text: string): unknown {
  if (text === "") return undefined;
  return text[0] === "~" ? untag(JSON.parse(text.slice(1))) : JSON.parse(text);
}

function untag(part: unknown): unknown {
  if (typeof part === "string") return part[0] === "~" ? tagValue(part.slice(1)) : part;
  if (typeof part !== "object" || part === null) return part;
  if (!Array.isArray(part)) {
    // `fromEntries` defines members and does not assign them, because a key may be `__proto__`
    return Object.fromEntries(Object.entries(part).map(([key, member]) => [key, untag(member)]));
  }
  const [head, ...rest] = part;
  if (head === "~Map") return new Map(rest.map(untag) as [unknown, unknown][]);
  if (head === "~Set") return new Set(rest.map(untag));
  return part.map(untag);
}

function tagValue(tag: string): unknown {
  if (tag[0] === "~") return tag;
  if (tag === "undefined") return undefined;
  if (/^(-0|NaN|-?Infinity)$/.test(tag)) return Number(tag);
  // a tag without a colon is of a type that a later build has added
  const [, type, rest] = /^([^:]+):(.*)$/.exec(tag) ?? ["", `~${tag}`, ""];
  if (type === "Date") return new Date(Number(rest));
  if (type === "bigint") return rest[0] === "-" ? -BigInt(`0x${rest.slice(1)}`) : BigInt(`0x${rest}`);
  if (type.startsWith("Temporal.")) return temporalValue(type.slice(9), rest);
  const Type = (globalThis as Record<string, unknown>)[type] as (new (buffer: ArrayBuffer) => unknown) | undefined;
  if (Type === undefined || !/^(DataView|ArrayBuffer|[A-Z]\w+Array)$/.test(type)) {
    throw new TypeError(`a value of ${type} cannot be read here`);
  }
  const { buffer } = Uint8Array.from(atob(rest), (char) => char.charCodeAt(0));
  return type === "ArrayBuffer" ? buffer : new Type(buffer);
}

type TemporalTypes = Record<string, { new (...parts: unknown[]): unknown; from(text: string): unknown }>;

const DURATION = "years,months,weeks,days,hours,minutes,seconds,milliseconds,microseconds,nanoseconds".split(",");

function temporalText(name: string, part: object): string {
  const of = part as Record<string, unknown>;
  if (name.endsWith("Duration")) return DURATION.map((unit) => of[unit]).join();
  if (name.endsWith("ZonedDateTime")) return `${of.epochNanoseconds},${of.timeZoneId},${of.calendarId}`;
  return `${part}`;
}

function temporalValue(name: string, text: string): unknown {
  const type = (globalThis as unknown as { readonly Temporal?: TemporalTypes }).Temporal?.[name];
  if (type === undefined) throw new TypeError(`a value of Temporal.${name} cannot be read here`);
  const parts = text.split(",");
  if (name === "Duration") return new type(...parts.map(Number));
  return name === "ZonedDateTime" ? new type(BigInt(parts[0]), parts[1], parts[2]) : type.from(text);
}

function bytesType(bytes: ArrayBuffer | ArrayBufferView): string {
  return Object.prototype.toString.call(bytes).slice(8, -1);
}

function base64(bytes: ArrayBuffer | ArrayBufferView): string {
  const view = ArrayBuffer.isView(bytes)
    ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    : new Uint8Array(bytes);
  let text = "";
  for (const byte of view) text += String.fromCharCode(byte);
  return btoa(text);
}

function plain(part: object): object {
  const prototype = Object.getPrototypeOf(part);
  if (prototype === null || prototype === Object.prototype) return part;
  throw new TypeError(`a ${part.constructor?.name} cannot be sent`);
}
