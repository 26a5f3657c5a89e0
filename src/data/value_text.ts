/** Values of any depth as text, without recursion: `JSON.stringify` of the runtimes fails at some thousand levels. */
import { isPlain } from "./is_plain.ts";
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
import { Unsendable, whyUnsendable } from "./unsendable.ts";

/**
 * - `tagged`: JSON with tags (`tag.ts`), which is read as the value itself.
 * - `canonical`: the same, of equal values the same: sorted keys (UTF-16 code units, as in RFC 8785), without the members that
 *   are `undefined`, and 0 for -0.
 * - `canonical-json`: the same for a value without tags: without the second `~` of texts that begin with one.
 * - `json`: JSON as other programs read it: a date is its ISO string, bytes are base64, a bigint is its digits, a `Map` an array
 *   of pairs, a `Set` an array, what is not finite is `null`, and members that are `undefined` are left out.
 */
export type Form = "tagged" | "canonical" | "canonical-json" | "json";

/** A text, and what is in it. */
export interface ValueText {
  readonly text: string;
  /** It has tags: as JSON it is another value. */
  readonly tagged: boolean;
  /** Among them are others than those of `undefined` members and of -0, which JSON leaves out and writes as 0. */
  readonly strict: boolean;
  /** A string in it begins as tags do: it is not the JSON of the value, even without tags. */
  readonly escaped: boolean;
}

/** A value in one of the {@link Form}s. Throws an {@link Unsendable} whose path begins with `root`. */
export function valueText(value: unknown, form: Form, root: string): ValueText {
  return new Writer(form).write(value, root);
}

/** The greatest depth: a getter that returns a new object each time has no end. */
export const MAX_DEPTH = 1_000_000;

/** An array, object, `Map`, `Set`, or a pair of a `Map`, whose members are being written. */
interface Open {
  readonly value: object;
  readonly kind: "object" | "array" | "map" | "pair" | "set";
  /** What has the members: the value itself, or the items of a `Map` or `Set`. */
  readonly members: object;
  /** The keys of an object; `undefined` for items. */
  readonly keys: readonly string[] | undefined;
  readonly count: number;
  at: number;
  /** Whether a member has been written. */
  begun: boolean;
}

class Writer {
  readonly #form: Form;
  readonly #open: Open[] = [];
  readonly #above = new Set<object>();
  #text = "";
  #strict = false;
  #loose = false;
  #escaped = false;

  constructor(form: Form) {
    this.#form = form;
  }

  write(value: unknown, root: string): ValueText {
    try {
      this.#begin(value, "", "array");
      for (let last = this.#open.at(-1); last !== undefined; last = this.#open.at(-1)) {
        if (last.at < last.count) this.#member(last);
        else this.#end(last);
      }
    } catch (error) {
      const why = error instanceof Refused ? error.message : "cannot be read: a getter threw, or its text is too long";
      throw new Unsendable(this.#path(root), why, error instanceof Refused ? undefined : error);
    }
    return { text: this.#text, tagged: this.#strict || this.#loose, strict: this.#strict, escaped: this.#escaped };
  }

  #end({ keys, value }: Open): void {
    this.#text += keys === undefined ? "]" : "}";
    this.#above.delete(value);
    this.#open.pop();
  }

  #member(last: Open): void {
    const { keys, members } = last;
    const index = last.at++;
    const key = keys === undefined ? index : keys[index];
    // an own member, or an item
    const member = (members as Record<string | number, unknown>)[key];
    const comma = last.begun ? "," : "";
    if (keys === undefined) this.#begin(member, comma, last.kind);
    else if (member !== undefined || this.#form === "tagged") {
      this.#begin(member, `${comma}${JSON.stringify(key)}:`, "object");
    } else return;
    last.begun = true;
  }

  /** Writes a value, or the beginning of one that has members. */
  #begin(value: unknown, before: string, within: Open["kind"]): void {
    if (typeof value !== "object" || value === null) {
      this.#text += before + this.#primitive(value, within);
    } else if (Array.isArray(value)) {
      this.#text += before + "[";
      this.#enter(value, within === "map" ? "pair" : "array", value);
    } else if (value instanceof Date && isOf(value, Date)) {
      this.#text += before + this.#leaf(tagOfDate(value), () => value.toJSON());
    } else if (value instanceof Map && isOf(value, Map)) {
      this.#collection(value, "map", [...value], before);
    } else if (value instanceof Set && isOf(value, Set)) {
      this.#collection(value, "set", [...value], before);
    } else if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
      const tag = tagOfBytes(value);
      if (tag === undefined) throw new Refused("is bytes of a type that other runtimes do not have");
      this.#text += before + this.#leaf(tag, () => base64(value));
    } else {
      if (!isPlain(value)) throw new Refused(whyUnsendable(value));
      const keys = Object.keys(value);
      this.#text += before + "{";
      this.#enter(value, "object", value, this.#form.startsWith("canonical") ? keys.sort() : keys);
    }
  }

  #collection(value: object, kind: "map" | "set", items: unknown[], before: string): void {
    this.#text += before + "[";
    this.#enter(value, kind, items);
    if (this.#form === "json") return;
    this.#strict = true;
    this.#text += kind === "map" ? `"${MAP}"` : `"${SET}"`;
    this.#open.at(-1)!.begun = true;
  }

  #enter(value: object, kind: Open["kind"], members: object, keys?: readonly string[]): void {
    if (this.#above.has(value)) throw new Refused("has a cycle: it stands within itself");
    if (this.#open.length === MAX_DEPTH) throw new Refused("is nested too deeply");
    this.#above.add(value);
    const count = keys === undefined ? (members as readonly unknown[]).length : keys.length;
    this.#open.push({ value, kind, members, keys, count, at: 0, begun: false });
  }

  #primitive(value: unknown, within: Open["kind"]): string {
    switch (typeof value) {
      case "string":
        if (!isTagged(value) || this.#form === "json" || this.#form === "canonical-json") return JSON.stringify(value);
        this.#escaped = true;
        return JSON.stringify(TILDE + value);
      case "number":
        if (Object.is(value, -0)) return this.#form === "tagged" ? this.#looseTag(MINUS_ZERO) : "0";
        return Number.isFinite(value) ? `${value}` : this.#leaf(tagOfNumber(value), () => null);
      case "bigint": {
        const tag = tagOfBigint(value);
        if (tag === undefined) throw new Refused("is a bigint of more than 1,048,576 bits");
        return this.#leaf(tag, () => `${value}`);
      }
      case "undefined":
        return within === "object" ? this.#looseTag(UNDEFINED) : this.#leaf(UNDEFINED, () => null);
      case "function":
      case "symbol":
        throw new Refused(whyUnsendable(value));
      default:
        return `${value}`; // a boolean, or null
    }
  }

  #leaf(tag: string, json: () => string | null): string {
    if (this.#form === "json") return JSON.stringify(json());
    this.#strict = true;
    return JSON.stringify(tag);
  }

  #looseTag(tag: string): string {
    this.#loose = true;
    return JSON.stringify(tag);
  }

  /** Where the member that is being written stands: `payload.lines[2].price`. */
  #path(root: string): string {
    let path = "";
    for (let i = this.#open.length - 1; i >= 0 && path.length < MAX_PATH; i--) path = step(this.#open[i]) + path;
    return root + (path.length < MAX_PATH ? path : `…${path.slice(-MAX_PATH)}`);
  }
}

/** Why the value at hand cannot be sent. */
class Refused extends Error {}

/** The part of a path that leads from a value to its member at hand; empty before the first. */
function step({ kind, keys, at }: Open): string {
  if (at === 0) return "";
  const index = at - 1;
  if (keys !== undefined) {
    return /^[\p{L}_$][\p{L}\d_$]*$/u.test(keys[index]) ? `.${keys[index]}` : `[${JSON.stringify(keys[index])}]`;
  }
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
