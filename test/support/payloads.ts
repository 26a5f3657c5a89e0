/** Payloads of every kind that can be sent, and what cannot, for tests that send them over every way. */

/** Names and values; a new value at each call. */
export const PAYLOADS: readonly (readonly [name: string, make: () => unknown])[] = [
  ["null", () => null],
  ["true", () => true],
  ["false", () => false],
  ["zero", () => 0],
  ["a number", () => 1.5e300],
  ["an empty string", () => ""],
  ["a string with everything", () => 'a "quoted" \n \ud800 \u{1f600} text\0'],
  ["an empty array", () => []],
  ["an empty object", () => ({})],
  ["an order", () => ({ sku: "tea", qty: 2, tags: ["a", "b"], to: { city: "London", zip: null } })],
  ["a key __proto__", () => JSON.parse('{"__proto__":{"a":1},"constructor":2,"toString":3}')],
  ["an object without prototype", () => ({ a: [[], {}, [[1]]] })],
  ["a string like a tag", () => "~Date:0"],
  ["an object like the encoding", () => ({ a: "~bigint:ff", b: ["~Map", ["a", 1]], c: "~~", d: "~" })],
  ["300 levels", () => nested(300, 1)],

  ["a Date", () => new Date(1_795_179_512_183)],
  ["a Date before 1970", () => new Date(-1)],
  ["the first Date", () => new Date(-8.64e15)],
  ["the last Date", () => new Date(8.64e15)],
  ["an invalid Date", () => new Date(NaN)],
  ["a Date in an object", () => ({ at: new Date(5), by: "ada" })],
  ["Dates in an array", () => [new Date(0), "1970-01-01T00:00:00.000Z", new Date(0)]],
  ["a bigint", () => 123n],
  ["a negative bigint", () => -(2n ** 64n)],
  ["0n", () => 0n],
  ["a bigint of 10,000 bits", () => 2n ** 10_000n - 1n],
  ["a Map", () => new Map([["a", 1], ["b", 2]])],
  ["an empty Map", () => new Map()],
  ["a Map of Maps", () => new Map([["a", new Map([["b", new Map()]])]])],
  [
    "a Map with keys of all kinds",
    () =>
      new Map<unknown, unknown>([[1, "1"], ["1", 1], [NaN, 0], [undefined, null], [null, undefined], [5n, 5], [
        true,
        [],
      ]]),
  ],
  [
    "a Map with objects as keys",
    () => new Map<unknown, unknown>([[{ a: 1 }, "x"], [new Date(1), "y"], [["~Map"], "z"]]),
  ],
  ["a Map whose entries look like the encoding", () => new Map([["~Map", "~Set"], ["~Date:0", "~~"]])],
  ["a Set", () => new Set(["a", 1, null])],
  ["an empty Set", () => new Set()],
  ["a Set of Sets and Dates", () => new Set<unknown>([new Set([1]), new Date(2), "~Set"])],
  ["a Uint8Array", () => new Uint8Array([0, 1, 127, 128, 255])],
  ["an empty Uint8Array", () => new Uint8Array()],
  ["a part of a buffer", () => new Uint8Array([1, 2, 3, 4, 5]).subarray(1, 4).slice()],
  ["100,000 bytes", () => new Uint8Array(100_000).map((_, i) => i * 7)],
  ["an Int8Array", () => new Int8Array([-128, 127])],
  ["a Uint8ClampedArray", () => new Uint8ClampedArray([0, 255])],
  ["an Int16Array", () => new Int16Array([-32768, 32767])],
  ["a Uint16Array", () => new Uint16Array([0, 65535])],
  ["an Int32Array", () => new Int32Array([-(2 ** 31), 2 ** 31 - 1])],
  ["a Uint32Array", () => new Uint32Array([0, 2 ** 32 - 1])],
  ["a Float32Array", () => new Float32Array([1.5, -0, NaN, Infinity])],
  ["a Float64Array", () => new Float64Array([Math.PI, -0, NaN, -Infinity])],
  ["a BigInt64Array", () => new BigInt64Array([-(2n ** 63n), 2n ** 63n - 1n])],
  ["a BigUint64Array", () => new BigUint64Array([0n, 2n ** 64n - 1n])],
  ["a DataView", () => new DataView(new Uint8Array([9, 8, 7]).buffer)],
  ["an ArrayBuffer", () => new Uint8Array([1, 2, 3]).buffer],
  ["bytes in an object", () => ({ name: "a.png", bytes: new Uint8Array([137, 80]), more: [new Uint8Array([1])] })],
  ["NaN", () => NaN],
  ["Infinity", () => Infinity],
  ["-Infinity", () => -Infinity],
  ["-0", () => -0],
  ["numbers that JSON lacks", () => ({ list: [NaN, Infinity, -Infinity, -0, 0], of: { nan: NaN } })],
  ["undefined members", () => ({ a: undefined, b: 1, c: { d: undefined } })],
  ["undefined items", () => [undefined, null, [undefined], { a: [undefined] }]],
  ["all at once", () => ({
    at: new Date(1),
    total: 10n,
    lines: new Map<string, unknown>([["tea", { qty: 2, seen: new Set([new Date(2)]) }]]),
    file: new Uint8Array([1]),
    ratio: NaN,
    note: undefined,
    ["__proto__x"]: "~",
  })],
  ["a Date at a key __proto__", () => withProto(new Date(3))],
  ["a Map at a key __proto__", () => withProto(new Map([["__proto__", 1n]]))],
  ["300 levels around a Date", () => nested(300, new Date(4))],
  ["an Instant", () => Temporal.Instant.from("2026-11-27T15:00:00.123456789Z")],
  ["Instants in an object", () => ({ first: Temporal.Instant.from("-271821-04-20T00:00Z"), list: [instant(), 1] })],
  ["a ZonedDateTime", () => Temporal.ZonedDateTime.from("2026-10-25T02:30:00+01:00[Europe/Berlin]")],
  ["a ZonedDateTime of another calendar", () => Temporal.ZonedDateTime.from("2026-01-01[-03:30][u-ca=hebrew]")],
  ["a ZonedDateTime whose offset has seconds", () => Temporal.ZonedDateTime.from("1960-01-01[Africa/Monrovia]")],
  ["a PlainDate", () => Temporal.PlainDate.from("2024-02-29")],
  ["a PlainDate of another calendar", () => Temporal.PlainDate.from("2024-02-29[u-ca=japanese]")],
  ["a PlainTime", () => Temporal.PlainTime.from("23:59:59.999999999")],
  ["a PlainDateTime", () => Temporal.PlainDateTime.from("2024-02-29T10:00")],
  ["a PlainYearMonth", () => Temporal.PlainYearMonth.from("2024-02")],
  [
    "a PlainYearMonth of another calendar",
    () => Temporal.PlainYearMonth.from({ year: 5786, monthCode: "M01", calendar: "hebrew" }),
  ],
  ["a PlainMonthDay", () => Temporal.PlainMonthDay.from("02-29")],
  ["a Duration", () => Temporal.Duration.from("-P1Y2M3W4DT5H6M7.008009001S")],
  ["a Duration whose parts are not balanced", () => Temporal.Duration.from({ minutes: 90, milliseconds: 1_500 })],
  ["an empty Duration", () => new Temporal.Duration()],
  ["a Map with Temporal keys", () => new Map([[Temporal.PlainDate.from("2024-02-29"), instant()]])],
];

/** Names, values that cannot be sent, and where in them; a new value at each call. */
export const UNSENDABLE: readonly (readonly [name: string, make: () => unknown, path: string])[] = [
  ["a function", () => () => 1, ""],
  ["a symbol", () => ({ s: Symbol("s") }), ".s"],
  ["a promise", () => ({ p: Promise.resolve(1) }), ".p"],
  ["a WeakMap", () => [1, new WeakMap()], "[1]"],
  ["a class's instance", () => ({ account: new Account("a") }), ".account"],
  ["a method in a Map", () => new Map([["a", { close() {} }]]), ".value.close"],
  ["a function as a key", () => new Map([[() => 1, 1]]), ".key"],
  ["a function in a Set", () => ({ s: new Set([() => 1]) }), ".s.item"],
  ["an Error", () => ({ error: new Error("secret") }), ".error"],
  ["a RegExp", () => ({ "a b": [/x/] }), '["a b"][0]'],
  ["a URL, which has a toJSON", () => ({ at: new URL("https://a.example") }), ".at"],
  ["a toJSON", () => ({ at: { toJSON: () => 1 } }), ".at.toJSON"],
  ["a class that extends Map", () => [new (class Lru extends Map {})()], "[0]"],
  ["a boxed number", () => Object(5), ""],
  ["a cycle", () => cycle(), ".list[0].self"],
  ["a cycle through a Map", () => mapCycle(), ".value"],
  ["a getter that throws", () => ({
    a: {
      get b() {
        throw new Error("secret");
      },
    },
  }), ".a.b"],
  ["a bigint that Bun cannot hold", () => ({ n: 1n << 1_100_000n }), ".n"],
];

function instant(): Temporal.Instant {
  return Temporal.Instant.fromEpochMilliseconds(5);
}

/** Takes the global `Temporal` away, as in Node 24. Returns a function that gives it back. */
export function withoutTemporal(): () => void {
  const { value } = Object.getOwnPropertyDescriptor(globalThis, "Temporal") ?? {};
  const define = (value: unknown) =>
    Object.defineProperty(globalThis, "Temporal", { value, configurable: true, writable: true });
  define(undefined);
  return () => void define(value);
}

/** An account with a method. */
export class Account {
  readonly id: string;

  constructor(id: string) {
    this.id = id;
  }

  close(): void {}
}

/** Where two values differ; `undefined` if they differ in their identity alone. */
export function difference(a: unknown, b: unknown, path = "it"): string | undefined {
  if (typeof a !== "object" || a === null || typeof b !== "object" || b === null) {
    // not every object has a text: one without a prototype throws
    const [text, other] = [a, b].map((value) =>
      typeof value === "object" && value !== null ? "an object" : String(value)
    );
    return Object.is(a, b) ? undefined : `${path}: ${text} and ${other}`;
  }
  const [type, other] = [a, b].map((value) => Object.prototype.toString.call(value));
  if (type !== other) return `${path}: ${type} and ${other}`;
  if (type.startsWith("[object Temporal.")) return difference(temporalParts(a), temporalParts(b), path);
  if (a instanceof Date) return difference(a.getTime(), (b as Date).getTime(), path);
  if (a instanceof Map) return difference([...a], [...b as Map<unknown, unknown>], path);
  if (a instanceof Set) return difference([...a], [...b as Set<unknown>], path);
  if (a instanceof ArrayBuffer || ArrayBuffer.isView(a)) {
    return differentBytes(bytesOf(a), bytesOf(b as ArrayBuffer), path);
  }
  const [prototype, prototype2] = [a, b].map((value) => Object.getPrototypeOf(value));
  if (prototype !== prototype2) return `${path}: prototypes`;
  const keys = Object.keys(a);
  if (keys.join() !== Object.keys(b).join()) return `${path}: ${keys} and ${Object.keys(b)}`;
  for (const key of keys) {
    const found = difference(
      (a as Record<string, unknown>)[key],
      (b as Record<string, unknown>)[key],
      `${path}.${key}`,
    );
    if (found !== undefined) return found;
  }
  return undefined;
}

/** What one value of `Temporal` has and another one of its type may lack. */
function temporalParts(value: object): unknown[] {
  const { epochNanoseconds, minutes, seconds, milliseconds, microseconds } = value as Record<string, unknown>;
  return [
    String(value),
    value.constructor === Temporal.Instant,
    epochNanoseconds,
    minutes,
    seconds,
    milliseconds,
    microseconds,
  ];
}

function differentBytes(a: Uint8Array, b: Uint8Array, path: string): string | undefined {
  if (a.length !== b.length) return `${path}: ${a.length} bytes and ${b.length}`;
  const at = a.findIndex((byte, index) => byte !== b[index]);
  return at === -1 ? undefined : `${path}.${at}: ${a[at]} and ${b[at]}`;
}

function bytesOf(value: ArrayBuffer | ArrayBufferView): Uint8Array {
  return ArrayBuffer.isView(value)
    ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
    : new Uint8Array(value);
}

function nested(levels: number, inner: unknown): unknown {
  let value = inner;
  for (let i = 0; i < levels; i++) value = i % 2 === 0 ? [value] : { a: value };
  return value;
}

function withProto(value: unknown): unknown {
  const object = JSON.parse('{"a":1,"__proto__":2}');
  Object.defineProperty(object, "__proto__", { value, enumerable: true, writable: true, configurable: true });
  return object;
}

function cycle(): unknown {
  const inner: Record<string, unknown> = {};
  inner.self = inner;
  return { list: [inner] };
}

function mapCycle(): unknown {
  const map = new Map<string, unknown>();
  return map.set("a", map);
}
