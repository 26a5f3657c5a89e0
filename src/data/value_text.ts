/**
 * Encodes values as text: as JSON with tags (texts that stand for values that JSON lacks), or in one of three other
 * forms; a canonical one has the fingerprint of a value. An error for a value that cannot be sent has the path to the
 * part that cannot.
 */
import { isOf, isPlain } from "./checks.ts";
import {
  base64,
  isTagged,
  MAP,
  MINUS_ZERO,
  SET,
  tagOfBigint,
  tagOfBytes,
  tagOfDate,
  tagOfNumber,
  tagOfTemporal,
  TILDE,
  UNDEFINED,
} from "./tags.ts";
import process from "node:process";

/**
 * The forms of an encoded value:
 *
 * - `tagged`: JSON with tags, from which the value itself is decoded.
 * - `canonical`: like `tagged`, but equal values have the same text: keys are sorted (by UTF-16 code units, as in RFC
 *   8785), and members that are `undefined` are left out.
 * - `canonical-json`: like `canonical`, for a value without tags: strings that begin with `~` get no second one.
 * - `json`: JSON for other programs: a `Date`, or a value of `Temporal`, becomes its ISO string, bytes become base64, a
 *   bigint its digits, a `Map` an array of pairs, a `Set` an array, a number that is not finite `null`, and `undefined`
 *   members are left out.
 */
export type Form = "tagged" | "canonical" | "canonical-json" | "json";

/** An encoded value, and its properties. */
interface ValueText {
  readonly text: string;
  /** True if the text has tags: read as JSON, it is another value. */
  readonly tagged: boolean;
  /** True if a string in the value begins like a tag: then the text is not the value's JSON, even if it has no tags. */
  readonly escaped: boolean;
}

/** Encodes a value in one of the {@link Form}s. Throws an {@link UnsendableError} whose path begins with `root`. */
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

/**
 * Maximum depth of nesting of arrays, objects and collections: of a value (`MAX_DEPTH`), and of a value together with
 * its envelope (`STORED_DEPTH`).
 */
export const [MAX_DEPTH, STORED_DEPTH] = [1_000, 1_016];

/** Kind of the container that has the value as its item or member. */
type Holder = "object" | "array" | "map" | "pair" | "set";

class Writer {
  readonly #form: Form;
  readonly #levels: number;
  /** The outermost array, object or collection; most values have no other. */
  #root: object | undefined = undefined;
  /** The objects below `#root` that contain the value which is being encoded; a value among them is a cycle. */
  #above: Set<object> | undefined = undefined;
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
      // all types of `Temporal` have `toJSON`
      return this.#leaf(temporal, () => (value as { toJSON(): string }).toJSON());
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
    this.#leave(value);
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
    this.#leave(holder);
    return text;
  }

  #collection(value: Map<unknown, unknown> | Set<unknown>, kind: "map" | "set", tag: string): string {
    if (this.#form === "json") return `[${this.#items(value, [...value], kind)}]`;
    this.tagged = true;
    return `[${this.#items(value, [...value], kind, `"${tag}"`)}]`;
  }

  #enter(value: object): void {
    if (this.#root === undefined) {
      this.#root = value;
      return;
    }
    const above = this.#above ??= new Set();
    if (value === this.#root || above.has(value)) throw new RefusedValue("has a cycle: it stands within itself");
    if (above.size + 1 === this.#levels) {
      throw new RefusedValue(`is nested too deeply: ${MAX_DEPTH} levels are the most`);
    }
    above.add(value);
  }

  #leave(value: object): void {
    if (value === this.#root) this.#root = undefined;
    else this.#above?.delete(value);
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

/** Thrown for a value that cannot be sent; says why. `path`: path to the value, such as `.lines[2].price`. */
class RefusedValue extends Error {
  path = "";

  /** Puts the step from a container to the value in front of the path. Returns this error. */
  under(step: string): this {
    this.path = step + this.path;
    return this;
  }
}

function refusal(error: unknown): RefusedValue {
  if (error instanceof RefusedValue) return error;
  return new RefusedValue("cannot be read: a getter threw, or its text is too long", { cause: error });
}

/** Returns the part of a path that leads from a container to its item. */
function stepTo(index: number, kind: Holder): string {
  if (kind === "array") return `[${index}]`;
  if (kind === "pair") return index === 0 ? ".key" : ".value";
  return kind === "set" ? ".item" : "";
}

/** Maximum number of characters of a path that are shown. */
const MAX_PATH = 200;

/** The error for a value that cannot be sent, or has a part that cannot. */
export class UnsendableError extends TypeError {
  /** Path to the part that cannot be sent: `payload.account.close`. */
  readonly path: string;
  /** Why the part cannot be sent: `is a function`. */
  readonly why: string;

  /** `cause`: error that a getter threw; absent: none did. */
  constructor(path: string, why: string, cause?: unknown) {
    super(`${path} ${why}`, cause === undefined ? undefined : { cause });
    this.path = path;
    this.why = why;
  }
}

/** Returns why a value that has neither JSON nor a tag cannot be sent, and what to do. */
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

/** Returns the name of an object's class. */
function classOf(value: object): string | undefined {
  try {
    const { name } = (value as { constructor?: { name?: unknown } }).constructor ?? {};
    return typeof name === "string" && /^[\p{L}_$][\p{L}\d_$]{0,63}$/u.test(name) ? name : undefined;
  } catch {
    return undefined; // a getter threw; that does not matter, because the name is only for the message
  }
}

/**
 * Returns the fingerprint of a payload, which detects reuse of an id: the SHA-256 of its canonical text as 43 letters,
 * digits, `-` and `_`. The canonical text is the value's JSON with keys in the order of RFC 8785; for values that JSON
 * lacks, it is `~` followed by such JSON with tags. Members that are `undefined` are ignored. Throws a `TypeError` for
 * a value that cannot be sent.
 */
export function fingerprint(value: unknown): string {
  return fingerprintBy(textHash(), value);
}

/** Returns the {@link fingerprint} of a value, with the function of {@link textHash}. */
export function fingerprintBy(hash: Hash, value: unknown): string {
  return hash("sha256", canonicalText(value), "base64url");
}

/** Hashes a text, and encodes the hash. */
export type Hash = (algorithm: "sha256", text: string, encoding: "base64url") => string;

/** Returns the function that hashes texts, for callers of many fingerprints: in Deno, finding it takes 0.25 µs. */
export function textHash(): Hash {
  // the module is loaded on first use, because it costs 3 ms and 1 to 2 MB (measured), and most programs do not need it
  return process.getBuiltinModule("node:crypto").hash;
}

function canonicalText(value: unknown): string {
  // `undefined` has no JSON, so the empty text stands for it
  if (value === undefined) return "";
  const { text, tagged, escaped } = valueText(value, "canonical", "payload");
  if (tagged) return TILDE + text;
  return escaped ? valueText(value, "canonical-json", "payload").text : text;
}
