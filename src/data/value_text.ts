/** Values as text: JSON, with tags for what JSON lacks, or in other forms. */
import { isPlain } from "./checks.ts";
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
  TILDE,
  UNDEFINED,
} from "./tag.ts";

/**
 * - `tagged`: JSON with tags (`tag.ts`), which is read as the value itself.
 * - `canonical`: the same, of equal values the same: sorted keys (UTF-16 code units, as in RFC 8785), without the
 *   members that are `undefined`, and 0 for -0.
 * - `canonical-json`: the same for a value without tags: without the second `~` of texts that begin with one.
 * - `json`: JSON as other programs read it: a date is its ISO string, bytes are base64, a bigint is its digits, a `Map`
 *   an array of pairs, a `Set` an array, what is not finite is `null`, and members that are `undefined` are left out.
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

/** A value in one of the {@link Form}s. Throws an {@link Unsendable} whose path begins with `root`. */
export function valueText(value: unknown, form: Form, root: string): ValueText {
  const writer = new Writer(form);
  try {
    const text = writer.write(value, "array");
    return { text, tagged: writer.tagged, escaped: writer.escaped };
  } catch (error) {
    const { path, message, cause } = refusal(error);
    throw new Unsendable(root + (path.length < MAX_PATH ? path : `…${path.slice(-MAX_PATH)}`), message, cause);
  }
}

/** The levels of arrays, objects and collections that a value may have. */
export const MAX_DEPTH = 1_000;

/** What holds a value. */
type Holder = "object" | "array" | "map" | "pair" | "set";

class Writer {
  readonly #form: Form;
  /** The arrays, objects and collections around the value at hand. */
  readonly #above = new Set<object>();
  tagged = false;
  escaped = false;

  constructor(form: Form) {
    this.#form = form;
  }

  write(value: unknown, within: Holder): string {
    if (typeof value !== "object" || value === null) return this.#primitive(value, within);
    if (Array.isArray(value)) return `[${this.#items(value, value, within === "map" ? "pair" : "array")}]`;
    if (value instanceof Date && isOf(value, Date)) return this.#leaf(tagOfDate(value), () => value.toJSON());
    if (value instanceof Map && isOf(value, Map)) return this.#collection(value, "map", MAP);
    if (value instanceof Set && isOf(value, Set)) return this.#collection(value, "set", SET);
    if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
      const tag = tagOfBytes(value);
      if (tag === undefined) throw new Refused("is bytes of a type that other runtimes do not have");
      return this.#leaf(tag, () => base64(value));
    }
    if (!isPlain(value)) throw new Refused(whyUnsendable(value));
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
    if (this.#above.has(value)) throw new Refused("has a cycle: it stands within itself");
    if (this.#above.size === MAX_DEPTH) throw new Refused(`is nested too deeply: ${MAX_DEPTH} levels are the most`);
    this.#above.add(value);
  }

  #primitive(value: unknown, within: Holder): string {
    switch (typeof value) {
      case "string":
        if (!isTagged(value) || this.#form === "json" || this.#form === "canonical-json") return JSON.stringify(value);
        this.escaped = true;
        return JSON.stringify(TILDE + value);
      case "number":
        if (Object.is(value, -0)) return this.#form === "tagged" ? this.#tag(MINUS_ZERO) : "0";
        return Number.isFinite(value) ? `${value}` : this.#leaf(tagOfNumber(value), () => null);
      case "bigint": {
        const tag = tagOfBigint(value);
        if (tag === undefined) throw new Refused("is a bigint of more than 1,048,576 bits");
        return this.#leaf(tag, () => `${value}`);
      }
      case "undefined":
        return within === "object" ? this.#tag(UNDEFINED) : this.#leaf(UNDEFINED, () => null);
      case "function":
      case "symbol":
        throw new Refused(whyUnsendable(value));
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
class Refused extends Error {
  path = "";

  /** The same, seen from what holds the value. */
  under(step: string): this {
    this.path = step + this.path;
    return this;
  }
}

function refusal(error: unknown): Refused {
  if (error instanceof Refused) return error;
  return new Refused("cannot be read: a getter threw, or its text is too long", { cause: error });
}

/** The part of a path that leads to an item. */
function stepTo(index: number, kind: Holder): string {
  if (kind === "array") return `[${index}]`;
  if (kind === "pair") return index === 0 ? ".key" : ".value";
  return kind === "set" ? ".item" : "";
}

/** Whether a value is of this class, and not of one that extends it: that would arrive as another value. */
function isOf(value: object, type: { readonly prototype: object }): boolean {
  return Object.getPrototypeOf(value) === type.prototype;
}

/** Characters of a path that are shown. */
const MAX_PATH = 200;

// What cannot be sent to another process, and where in a value it stands.

/** A value, or a part of it, that cannot be sent. */
export class Unsendable extends TypeError {
  /** Where it stands: `payload.account.close`. */
  readonly path: string;
  /** What is wrong there: `is a function`. */
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
