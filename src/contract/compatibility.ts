/**
 * Compatibility of two versions of a schema: can a reader read everything that a writer may write? The comparison works
 * on JSON Schemas (draft 2020-12), as `json_schema.ts` gets them. A comparison that cannot be decided is `unknown`,
 * never `yes`.
 *
 * A writer is taken to write the members that its schema declares, and no others: validators leave objects open, and
 * without this rule no optional member could ever be added. `yes` covers the JSON Schemas only, not refinements,
 * coercions and transforms.
 */
import { isRecord } from "../data/checks.ts";
import { isJsonSchema, type JsonSchema } from "./json_schema.ts";

/**
 * The result of {@link reads}: whether a reader of one schema accepts every value that a writer of another may write.
 */
export type Compatibility =
  | { readonly reads: "yes" }
  /** `paths`: each entry is a path and the reason in words, such as `buyer: required by the reader, not written`. */
  | { readonly reads: "no"; readonly paths: readonly string[] }
  /** `keyword`: the part of the schema that could not be decided, most often a keyword of JSON Schema. */
  | { readonly reads: "unknown"; readonly keyword: string };

/**
 * Returns whether a reader of one schema reads every value that a writer of the other may write. Pure. Both schemas may
 * come from another process: no schema makes this function throw, run long, or evaluate a pattern.
 */
export function reads(reader: JsonSchema, writer: JsonSchema): Compatibility {
  const odd = malformed(reader) ?? malformed(writer);
  if (odd !== undefined) return unknown(odd);
  try {
    // equal schemas: the reader accepts every value, whatever keywords the schemas have
    if (canonical(reader) === canonical(writer)) return YES;
    return new Comparison(reader, writer).judge(reader, writer, "");
  } catch (error) {
    // a value of an unknown keyword may be nested too deeply to be compared
    if (error instanceof RangeError) return unknown("size");
    throw error;
  }
}

const YES: Compatibility = { reads: "yes" };

function no(path: string, reason: string): Compatibility {
  return { reads: "no", paths: [`${path || "the whole"}: ${reason}`] };
}

function unknown(keyword: string): Compatibility {
  return { reads: "unknown", keyword };
}

/** Combines verdicts that must all be `yes`: the result is `no` if any is `no`, else `unknown` if any is `unknown`. */
function every(verdicts: readonly Compatibility[]): Compatibility {
  const paths = verdicts.flatMap((each) => (each.reads === "no" ? each.paths : []));
  if (paths.length > 0) return { reads: "no", paths: [...new Set(paths)] };
  return verdicts.find((each) => each.reads === "unknown") ?? YES;
}

type Node = { readonly [keyword: string]: unknown };
type SchemaMembers = { readonly [name: string]: JsonSchema };

/** Compares a reader's schema with a writer's; a `$ref` resolves from the root of the schema that it stands in. */
class Comparison {
  readonly #reader: JsonSchema;
  readonly #writer: JsonSchema;
  /**
   * Pairs of subschemas (reader's, writer's) whose comparison has begun, each with the length of the path at which it
   * began: a recursive schema reaches the same pair again.
   */
  readonly #open = new Map<unknown, Map<unknown, number>>();
  /**
   * Schemas made from parts of other schemas, cached by their origin, so that a recursive schema meets the same object
   * again.
   */
  readonly #derived = new Map<unknown, Map<string, JsonSchema>>();
  #steps = 0;

  constructor(reader: JsonSchema, writer: JsonSchema) {
    this.#reader = reader;
    this.#writer = writer;
  }

  judge(read: JsonSchema, written: JsonSchema, path: string, depth = 0): Compatibility {
    if (++this.#steps > MAX_STEPS || depth > MAX_DEPTH) return unknown("size");
    const r = this.#resolved(read, this.#reader);
    const w = this.#resolved(written, this.#writer);
    if (r === undefined || w === undefined) return unknown("$ref");
    if (isNever(w) || isAny(r)) return YES;
    if (isNever(r)) return no(path, "written, not read");
    const node = r as Node; // no boolean: booleans are handled above
    const source: Node = w === true ? {} : w as Node;
    const odd = Object.keys(node).find((key) => !KEYWORDS.has(key)) ?? unions(node);
    const oddWritten = Object.keys(source).find((key) => !KEYWORDS.has(key) && !NARROWING.has(key)) ?? unions(source);
    if (odd !== undefined || oddWritten !== undefined) {
      return this.#isSame(node, source) ? YES : unknown(odd ?? oddWritten ?? "");
    }
    const visited = this.#open.get(node) ?? new Map<unknown, number>();
    const before = visited.get(source);
    // a recursive schema: this inner comparison of the pair answers `yes`, because the outer comparison of the same
    // pair decides
    if (before !== undefined) return before < path.length ? YES : unknown("$ref");
    this.#open.set(node, visited.set(source, path.length));
    const verdict = this.#judge(node, source, path, depth + 1);
    visited.delete(source);
    if (verdict.reads === "yes" || !Object.keys(source).some((key) => NARROWING.has(key))) {
      return verdict.reads === "unknown" && this.#isSame(node, source) ? YES : verdict;
    }
    // keywords such as `not` exclude values that this comparison took as written, so that a verdict other than `yes` is
    // not certain
    return this.#isSame(node, source) ? YES : unknown(Object.keys(source).find((key) => NARROWING.has(key)) ?? "");
  }

  #judge(r: Node, w: Node, path: string, depth: number): Compatibility {
    const parts = this.#parts(r, this.#reader);
    if (parts !== undefined) return every(parts.map((part) => this.judge(part, w, path, depth)));
    const flat = this.#flat(w);
    if (flat === undefined) return unknown("allOf");
    if (flat !== w) return this.judge(r, flat, path, depth);
    const written = alternatives(w);
    if (written !== undefined) {
      const { anyOf: _, oneOf: __, ...rest } = w;
      const alone = Object.keys(rest).every((key) => ANNOTATIONS.has(key));
      return every(written.map((each, i) => {
        const member = alone ? each : this.#derive(w, `any ${i}`, () => ({ allOf: [rest, each] }));
        return this.judge(r, member, path, depth);
      }));
    }
    const values = valuesOf(w);
    if (values !== undefined) return every(values.map((value) => this.#judgeValue(r, value, path, depth)));
    if (Array.isArray(w.type)) {
      return every(w.type.map((type: string) => {
        return this.judge(r, this.#derive(w, `type ${type}`, () => ({ ...w, type })), path, depth);
      }));
    }
    if (w.type === "boolean" && ("enum" in r || "const" in r || alternatives(r) !== undefined)) {
      return this.judge(r, this.#derive(w, "values", () => ({ enum: [true, false] })), path, depth);
    }
    const read = alternatives(r);
    if (read !== undefined) return this.#judgeAlternatives(r, read, w, path, depth);
    const only = valuesOf(r);
    if (only !== undefined) return no(path, `${typeName(w)} is written, only ${listed(only)} is read`);
    if (Array.isArray(r.type)) {
      const type = r.type.find((each: string) => hasType(w, each));
      return type === undefined ? no(path, `${typeName(w)} is written, ${r.type.join(" or ")} is read`) : this.judge(
        this.#derive(r, `type ${type}`, () => ({ ...r, type })),
        w,
        path,
        depth,
      );
    }
    if (r.type !== undefined && !hasType(w, r.type as string)) {
      return no(path, `${typeName(w)} is written, ${r.type} is read`);
    }
    const verdicts: Compatibility[] = [];
    const may = (...types: string[]) => w.type === undefined || types.includes(w.type as string);
    if (may("number", "integer")) verdicts.push(numbers(r, w, path));
    if (may("string")) verdicts.push(texts(r, w, path));
    if (may("object")) verdicts.push(this.#objects(r, w, path, depth));
    if (may("array")) verdicts.push(this.#arrays(r, w, path, depth));
    return every(verdicts);
  }

  /**
   * Compares a union of the reader with the writer's schema. Members that certainly accept none of the written values
   * are left out. If none is left, the verdict is `no`; if one is left, its verdict counts; if several are left, the
   * verdict is `yes` if one of them reads all written values (not with `oneOf`, which refuses a value that fits two
   * members), and `unknown` otherwise. The keywords beside the union are compared, too. `path`: place in the value, for
   * the reason; `depth`: of nesting, which is limited.
   */
  #judgeAlternatives(r: Node, read: readonly JsonSchema[], w: Node, path: string, depth: number): Compatibility {
    const { anyOf: _, oneOf, ...rest } = r;
    const near = read.filter((each) => !this.#isApart(each, w));
    const verdicts = near.map((each) => this.judge(each, w, path, depth));
    const others = Object.keys(rest).every((key) => ANNOTATIONS.has(key))
      ? YES
      : this.judge(this.#derive(r, "rest", () => rest), w, path, depth);
    if (near.length === 0) return every([others, no(path, this.#taken(read, w))]);
    if (near.length === 1) return every([others, ...verdicts]);
    // with `oneOf`, the reader refuses a value that fits two members
    if (oneOf === undefined && verdicts.some((each) => each.reads === "yes")) return others;
    return every([others, verdicts.find((each) => each.reads === "unknown") ?? unknown(oneOf ? "oneOf" : "anyOf")]);
  }

  /** Returns the reason, in words, why no member of the reader's union accepts the written value. */
  #taken(read: readonly JsonSchema[], w: Node): string {
    const members = read.map((each) => this.#resolved(each, this.#reader));
    const [tag, written] =
      Object.entries(w.properties as SchemaMembers ?? {}).find(([name]) =>
        members.every((each) => isRecord(each) && valuesOf(memberOf(each, name)) !== undefined)
      ) ?? [];
    if (tag !== undefined) {
      const known = members.flatMap((each) => valuesOf(memberOf(each as Node, tag)) ?? []);
      const values = valuesOf(this.#resolved(written as JsonSchema, this.#writer)) ?? [];
      return `${tag} ${values.map(shown).join(", ")} is not among ${listed(known)}`;
    }
    const types = members.map((each) => (isRecord(each) ? typeName(each) : "anything"));
    return `${typeName(w)} is written, ${[...new Set(types)].join(" or ")} is read`;
  }

  /** Compares the reader's schema with one value that the writer may write. */
  #judgeValue(r: Node, value: unknown, path: string, depth: number): Compatibility {
    const read = alternatives(r);
    if (read !== undefined) {
      const { anyOf: _, oneOf, ...rest } = r;
      const verdicts = read.map((each) => this.judge(each, { const: value }, path, depth));
      const fitting = verdicts.filter((each) => each.reads === "yes").length;
      const open = verdicts.find((each) => each.reads === "unknown");
      const others = this.judge(this.#derive(r, "rest", () => rest), { const: value }, path, depth);
      if (oneOf === undefined ? fitting > 0 : fitting === 1 && open === undefined) return others;
      if (open !== undefined) return every([others, open]);
      const known = read.flatMap((each) => valuesOf(this.#resolved(each, this.#reader)) ?? []);
      const reason = known.length > 0
        ? `${shown(value)} is not among ${listed(known)}`
        : fitting > 1
        ? `${shown(value)} fits ${fitting} members of the reader's union`
        : `${shown(value)} fits no member of the reader's union`;
      return no(path, reason);
    }
    const only = valuesOf(r);
    if (only !== undefined) {
      if (isRecord(value) || Array.isArray(value)) return unknown("const");
      if (!only.includes(value)) return no(path, `${shown(value)} is not among ${listed(only)}`);
      const own = "const" in r ? "const" : "enum";
      const other = Object.keys(r).find((key) => key !== own && key !== "type" && !ANNOTATIONS.has(key));
      return other === undefined ? YES : unknown(other);
    }
    const type = typeOf(value);
    const types = r.type === undefined ? undefined : [r.type].flat() as string[];
    if (types !== undefined && !types.some((each) => each === type || (each === "number" && type === "integer"))) {
      return no(path, `${shown(value)} is written, ${types.join(" or ")} is read`);
    }
    if (isRecord(value) || Array.isArray(value)) {
      return Object.keys(r).every((key) => key === "type" || ANNOTATIONS.has(key)) ? YES : unknown("const");
    }
    if (typeof value === "number") {
      return numbers(r, { type, minimum: value, maximum: value, ...whole(r, value) }, path);
    }
    if (typeof value !== "string") return YES;
    const odd = ["pattern", "format", "contentEncoding"].find((key) => key in r);
    if (odd !== undefined) return unknown(odd);
    // both lengths of the text are judged: in UTF-16 units, which most validators count, and in characters, which JSON
    // Schema counts
    const lengths = [value.length, [...value].length].map((length) => {
      return texts(r, { type: "string", minLength: length, maxLength: length }, path);
    });
    const long = () => no(path, `${shown(value)} is longer or shorter than what is read`);
    return lengths[0].reads === lengths[1].reads ? (lengths[0].reads === "yes" ? YES : long()) : unknown("maxLength");
  }

  #objects(r: Node, w: Node, path: string, depth: number): Compatibility {
    const { names, more } = this.#membersOf(w);
    const read = r.properties as SchemaMembers ?? {};
    const needed = new Set(w.required as string[] ?? []);
    const rest = r.additionalProperties as JsonSchema | undefined;
    const at = (name: string) => (path === "" ? name : `${path}.${name}`);
    const written = (name: string) => Object.hasOwn(names, name) ? names[name] : more;
    const verdicts: Compatibility[] = [];
    for (const name of r.required as string[] ?? []) {
      const own = written(name);
      if (own === undefined) verdicts.push(no(at(name), "required by the reader, not written"));
      else if (!needed.has(name)) verdicts.push(no(at(name), "required by the reader, may be left out"));
    }
    for (const [name, schema] of Object.entries(names)) {
      const own = Object.hasOwn(read, name) ? read[name] : rest ?? true;
      if (own === false && !Object.hasOwn(read, name)) verdicts.push(no(at(name), "written, not known to the reader"));
      else verdicts.push(this.judge(own, schema, at(name), depth));
      if (r.propertyNames !== undefined) {
        verdicts.push(this.judge(r.propertyNames as JsonSchema, { const: name }, at(name), depth));
      }
    }
    if (more !== undefined) {
      if (rest === false) verdicts.push(no(at("*"), "more members are written than the reader takes"));
      else verdicts.push(this.judge(rest ?? true, more, at("*"), depth));
      for (const [name, schema] of Object.entries(read)) {
        if (!Object.hasOwn(names, name)) verdicts.push(this.judge(schema, more, at(name), depth));
      }
      if (r.propertyNames !== undefined) {
        const own = w.propertyNames as JsonSchema ?? { type: "string" };
        verdicts.push(this.judge(r.propertyNames as JsonSchema, own, at("*"), depth));
      }
    }
    const most = more === undefined ? Object.keys(names).length : undefined;
    const least = Math.max(w.minProperties as number ?? 0, needed.size);
    const limit = Math.min(w.maxProperties as number ?? Infinity, most ?? Infinity);
    verdicts.push(counts(r.minProperties, r.maxProperties, least, limit, "members", path));
    return every(verdicts);
  }

  /**
   * Returns the members that a writer's object schema declares, and the schema of undeclared members, if it allows any.
   * If `propertyNames` lists the names that an object may have, the object declares these names.
   */
  #membersOf(w: Node): { names: SchemaMembers; more: JsonSchema | undefined } {
    const own = w.properties as SchemaMembers ?? {};
    // an object schema without `properties` allows any members
    const more = w.additionalProperties as JsonSchema | undefined ?? !("properties" in w);
    const listed = valuesOf(this.#resolved(w.propertyNames as JsonSchema ?? true, this.#writer));
    const added = more === false ? w.required as string[] ?? [] : listed ?? [];
    const names = { ...own };
    for (const name of added) if (typeof name === "string" && !Object.hasOwn(own, name)) names[name] = more || true;
    return { names, more: more === false || listed !== undefined ? undefined : more };
  }

  #arrays(r: Node, w: Node, path: string, depth: number): Compatibility {
    const read = r.prefixItems as JsonSchema[] ?? [];
    const written = w.prefixItems as JsonSchema[] ?? [];
    // after the items of `prefixItems` more items follow only if `items` declares them
    const more = (w.items ?? (w.prefixItems === undefined ? true : false)) as JsonSchema;
    const verdicts: Compatibility[] = [];
    for (let i = 0; i < Math.max(read.length, written.length); i++) {
      const item = written[i] ?? more;
      const own = read[i] ?? r.items as JsonSchema | undefined ?? true;
      if (!isNever(item)) verdicts.push(this.judge(own, item, `${path}[${i}]`, depth));
    }
    if (!isNever(more)) verdicts.push(this.judge(r.items as JsonSchema ?? true, more, `${path}[]`, depth));
    const most = isNever(more) ? written.length : Infinity;
    const limit = Math.min(w.maxItems as number ?? Infinity, most);
    verdicts.push(counts(r.minItems, r.maxItems, w.minItems as number ?? 0, limit, "items", path));
    if (r.uniqueItems === true && w.uniqueItems !== true && !(limit <= 1)) {
      verdicts.push(no(path, "items may be written twice, the reader takes each once"));
    }
    return every(verdicts);
  }

  /** Returns true if certainly no value of the writer fits the reader's schema. */
  #isApart(read: JsonSchema, w: Node, depth = 0): boolean {
    const r = this.#resolved(read, this.#reader);
    if (r === undefined || depth > MAX_DEPTH || ++this.#steps > MAX_STEPS) return false;
    if (isNever(r)) return true;
    if (r === true || alternatives(w) !== undefined || "allOf" in w) return false;
    const node = r as Node;
    if (Array.isArray(node.allOf) && node.allOf.some((each: JsonSchema) => this.#isApart(each, w, depth + 1))) {
      return true;
    }
    const members = alternatives(node);
    if (members?.every((each) => this.#isApart(each, w, depth + 1))) return true;
    const [values, only] = [valuesOf(w), valuesOf(node)];
    if (values !== undefined && only !== undefined) {
      if ([...values, ...only].some((each) => typeof each === "object" && each !== null)) return false;
      return !values.some((each) => only.includes(each));
    }
    const types = typesOf(w);
    const others = typesOf(node);
    if (types !== undefined && others !== undefined && !types.some((a) => others.some((b) => overlap(a, b)))) {
      return true;
    }
    if (types?.length !== 1 || types[0] !== "object" || others?.length !== 1 || others[0] !== "object") return false;
    // a required member with a fixed value shows to which member of a union an object belongs
    return (w.required as string[] ?? []).some((name) => {
      const own = memberOf(w, name);
      const written = own === undefined ? undefined : this.#resolved(own, this.#writer);
      const expected = memberOf(node, name);
      return isRecord(written) && expected !== undefined && this.#isApart(expected, written, depth + 1);
    });
  }

  /**
   * Follows the `$ref` of a schema to its target; `undefined`: the target does not exist, or is in another document.
   */
  #resolved(schema: JsonSchema, root: JsonSchema): JsonSchema | undefined {
    let at: unknown = schema;
    for (let hops = 0; isRecord(at) && typeof at.$ref === "string"; hops++) {
      if (hops > MAX_DEPTH) return undefined;
      const { $ref, ...rest } = at;
      const target = pointed($ref as string, root);
      if (target === undefined) return undefined;
      if (Object.keys(rest).some((key) => !ANNOTATIONS.has(key))) {
        return this.#derive(at, "$ref", () => ({ allOf: [target, rest] }));
      }
      at = target;
    }
    return isJsonSchema(at) ? at : undefined;
  }

  /**
   * Returns the schemas in a node's `allOf`, and one more schema made of the keywords beside `allOf`; `undefined`: the
   * node has no `allOf`.
   */
  #parts(node: Node, root: JsonSchema): readonly JsonSchema[] | undefined {
    if (!Array.isArray(node.allOf)) return undefined;
    const { allOf, ...rest } = node;
    const own = this.#derive(node, `rest ${root === this.#reader}`, () => rest);
    return [...allOf as JsonSchema[], own];
  }

  /**
   * Returns a writer's schema without `allOf`, its parts joined into one; `undefined`: the parts cannot be joined. A
   * value fits all parts, and has the members that the parts declare together.
   */
  #flat(w: Node): JsonSchema | undefined {
    const parts = this.#parts(w, this.#writer);
    if (parts === undefined) return w;
    const known = this.#derived.get(w)?.get("flat");
    if (known !== undefined) return known;
    const joined: Record<string, unknown> = {};
    let [objects, arrays, unions] = [0, 0, 0];
    for (const part of parts) {
      const resolved = this.#resolved(part, this.#writer);
      if (resolved === undefined || ++this.#steps > MAX_STEPS) return undefined;
      if (isNever(resolved)) return false;
      if (resolved === true) continue;
      const flat = "allOf" in (resolved as Node) ? this.#flat(resolved as Node) : resolved;
      if (flat === undefined || typeof flat === "boolean") return flat;
      const keys = Object.keys(flat);
      if (keys.some((key) => OPEN_OBJECT.has(key) || key === "properties")) objects++;
      if (keys.some((key) => key === "items" || key === "prefixItems")) arrays++;
      if (keys.some((key) => key === "anyOf" || key === "oneOf")) unions++;
      for (const key of keys) {
        if (ANNOTATIONS.has(key)) continue;
        const both = key in joined ? join(key, joined[key], flat[key]) : flat[key];
        if (both === undefined) return undefined;
        joined[key] = both;
      }
    }
    const open = Object.keys(joined).some((key) => OPEN_OBJECT.has(key));
    if ((objects > 1 && open) || arrays > 1 || unions > 1) return undefined;
    return this.#derive(w, "flat", () => joined);
  }

  #derive(from: object, name: string, make: () => JsonSchema): JsonSchema {
    const own = this.#derived.get(from) ?? new Map<string, JsonSchema>();
    this.#derived.set(from, own);
    const made = own.get(name) ?? make();
    own.set(name, made);
    return made;
  }

  /**
   * Returns true if both schemas are equal and contain no reference: equal references may lead to different schemas.
   */
  #isSame(r: Node, w: Node): boolean {
    if (++this.#compared > MAX_COMPARED) return false;
    const text = canonical(r);
    return text === canonical(w) && !text.includes('"$ref"');
  }

  #compared = 0;
}

/** Joins the values that two parts of `allOf` have for one keyword; `undefined`: they cannot be joined. */
function join(key: string, a: unknown, b: unknown): unknown {
  if (canonicalPart(key, a) === canonicalPart(key, b)) return a;
  if (key === "required") return [...new Set([...a as string[], ...b as string[]])];
  if (key === "properties") {
    const joined: Record<string, JsonSchema> = { ...a as SchemaMembers };
    for (const [name, schema] of Object.entries(b as SchemaMembers)) {
      joined[name] = Object.hasOwn(joined, name) ? { allOf: [joined[name], schema] } : schema;
    }
    return joined;
  }
  if (LOWER.has(key)) return Math.max(a as number, b as number);
  if (UPPER.has(key)) return Math.min(a as number, b as number);
  if (key === "type" && a === "number" && b === "integer") return b;
  if (key === "type" && a === "integer" && b === "number") return a;
  return undefined;
}

function numbers(r: Node, w: Node, path: string): Compatibility {
  const low = lowest(w);
  const high = highest(w);
  const verdicts: Compatibility[] = [];
  const least = lowest(r);
  const most = highest(r);
  if (low.at < least.at || (low.at === least.at && least.out && !low.out)) {
    verdicts.push(no(path, `${bound(low, ">")} is written, ${bound(least, ">")} is read`));
  }
  if (high.at > most.at || (high.at === most.at && most.out && !high.out)) {
    verdicts.push(no(path, `${bound(high, "<")} is written, ${bound(most, "<")} is read`));
  }
  const step = r.multipleOf as number | undefined;
  if (step !== undefined && step !== w.multipleOf && !(step === 1 && w.type === "integer")) {
    const own = w.multipleOf as number | undefined;
    const isWhole = own !== undefined && Number.isInteger(step) && Number.isInteger(own);
    if (own === undefined) verdicts.push(no(path, `any number is written, multiples of ${step} are read`));
    else if (!isWhole) verdicts.push(unknown("multipleOf"));
    else if (own % step !== 0) verdicts.push(no(path, `multiples of ${own} are written, of ${step} are read`));
  }
  if (r.format !== undefined && r.format !== w.format && w.type !== undefined) verdicts.push(unknown("format"));
  return every(verdicts);
}

/**
 * The `multipleOf` that describes one number: the number itself; for 0, the reader's `multipleOf`, because 0 is a
 * multiple of every number.
 */
function whole(r: Node, value: number): { multipleOf?: number } {
  return r.multipleOf === undefined ? {} : { multipleOf: value === 0 ? r.multipleOf as number : value };
}

function texts(r: Node, w: Node, path: string): Compatibility {
  const verdicts: Compatibility[] = [];
  // the length of strings that match a pattern or a format is not known
  const isFree = w.pattern === undefined && w.format === undefined;
  const [least, most] = [w.minLength as number ?? 0, w.maxLength as number ?? Infinity];
  const lengths = counts(r.minLength, r.maxLength, least, most, "characters", path);
  verdicts.push(lengths.reads === "no" && !isFree ? unknown(w.pattern === undefined ? "format" : "pattern") : lengths);
  for (const key of ["pattern", "format", "contentEncoding"]) {
    if (r[key] === undefined || r[key] === w[key]) continue;
    verdicts.push(
      isFree ? no(path, `any string is written, ${key} ${shortened(r[key] as string)} is read`) : unknown(key),
    );
  }
  // equal formats with different patterns: two libraries, or two options of one library, define the format differently
  if (r.format !== undefined && r.format === w.format && r.pattern !== w.pattern) verdicts.push(unknown("format"));
  return every(verdicts);
}

/**
 * Compares two ranges of counts (lengths of strings, numbers of members or items): the writer's from `least` to `most`,
 * and the reader's from `from` to `to`. `of`: a noun for the things counted, for the reason.
 */
function counts(from: unknown, to: unknown, least: number, most: number, of: string, path: string): Compatibility {
  const verdicts: Compatibility[] = [];
  if (from !== undefined && least < (from as number)) {
    verdicts.push(no(path, `${least} ${of} may be written, at least ${from} are read`));
  }
  if (to !== undefined && most > (to as number)) {
    const written = most === Infinity ? `any number of ${of}` : `${most} ${of}`;
    verdicts.push(no(path, `${written} may be written, at most ${to} are read`));
  }
  return every(verdicts);
}

/** One end of a range of numbers; `out`: the number `at` itself is not in the range. */
interface Bound {
  readonly at: number;
  readonly out: boolean;
}

function lowest({ minimum = -Infinity, exclusiveMinimum = -Infinity }: Node): Bound {
  const [own, out] = [minimum as number, exclusiveMinimum as number];
  return out >= own && out !== -Infinity ? { at: out, out: true } : { at: own, out: false };
}

function highest({ maximum = Infinity, exclusiveMaximum = Infinity }: Node): Bound {
  const [own, out] = [maximum as number, exclusiveMaximum as number];
  return out <= own && out !== Infinity ? { at: out, out: true } : { at: own, out: false };
}

function bound({ at, out }: Bound, sign: "<" | ">"): string {
  return Math.abs(at) === Infinity ? "any number" : `a number ${sign}${out ? "" : "="} ${at}`;
}

function alternatives(node: Node): readonly JsonSchema[] | undefined {
  return (node.anyOf ?? node.oneOf) as readonly JsonSchema[] | undefined;
}

/** Returns `oneOf` for a schema with both `anyOf` and `oneOf`, which is not compared; otherwise `undefined`. */
function unions(node: Node): string | undefined {
  return "anyOf" in node && "oneOf" in node ? "oneOf" : undefined;
}

/** The values that `const` or `enum` allows, without values that `type` excludes. */
function valuesOf(schema: JsonSchema | undefined): readonly unknown[] | undefined {
  if (!isRecord(schema)) return undefined;
  const values = "const" in schema ? [schema.const] : Array.isArray(schema.enum) ? schema.enum : undefined;
  if (values === undefined || schema.type === undefined) return values;
  const types = [schema.type].flat();
  return values.filter((value) => {
    const type = typeOf(value);
    return types.includes(type) || (type === "integer" && types.includes("number"));
  });
}

function memberOf(node: Node, name: string): JsonSchema | undefined {
  const members = node.properties as SchemaMembers | undefined;
  return members !== undefined && Object.hasOwn(members, name) ? members[name] : undefined;
}

function typesOf(node: Node): readonly string[] | undefined {
  const values = valuesOf(node);
  if (values !== undefined) return [...new Set(values.map(typeOf))];
  return node.type === undefined ? undefined : [node.type].flat() as string[];
}

function overlap(a: string, b: string): boolean {
  return a === b || (a === "number" && b === "integer") || (a === "integer" && b === "number");
}

function hasType(node: Node, type: string): boolean {
  return node.type === type || (type === "number" && node.type === "integer");
}

function typeName(node: Node): string {
  return typesOf(node)?.join(" or ") ?? "anything";
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return Number.isInteger(value) ? "integer" : typeof value;
}

function shown(value: unknown): string {
  return shortened(JSON.stringify(value));
}

/** Returns the values that the reader accepts, as text for a message to people. */
function listed(values: readonly unknown[]): string {
  const texts = values.map((value) => (typeof value === "string" ? value : JSON.stringify(value)));
  return shortened([...new Set(texts)].join(", "));
}

function shortened(text: string): string {
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}

function isAny(schema: JsonSchema): boolean {
  return schema === true || (isRecord(schema) && Object.keys(schema).every((key) => ANNOTATIONS.has(key)));
}

/** Returns true for `false`, and for `{ not: {} }`, which zod writes for `never`. */
function isNever(schema: JsonSchema): boolean {
  return schema === false || (isRecord(schema) && isJsonSchema(schema.not) && isAny(schema.not));
}

/** Returns the part of a document that the `$ref` text `reference` points to; `undefined` if there is none. */
function pointed(reference: string, root: JsonSchema): JsonSchema | undefined {
  if (reference !== "#" && !reference.startsWith("#/")) return undefined;
  let at: unknown = root;
  for (const part of reference.split("/").slice(1)) {
    const name = part.replaceAll("~1", "/").replaceAll("~0", "~");
    if (Array.isArray(at)) at = at[Number(name)];
    else if (isRecord(at) && Object.hasOwn(at, name)) at = at[name];
    else return undefined;
  }
  return isJsonSchema(at) ? at : undefined;
}

/**
 * Returns the schema as text that does not depend on the order of keywords and members, without keywords that only
 * describe.
 */
function canonical(schema: unknown): string {
  if (!isRecord(schema)) return JSON.stringify(schema);
  const keys = Object.keys(schema).filter((key) => !DESCRIPTIONS.has(key)).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonicalPart(key, schema[key])}`).join()}}`;
}

function canonicalPart(key: string, value: unknown): string {
  if (SINGLE.has(key)) return canonical(value);
  if (LISTED.has(key)) return `[${(value as JsonSchema[]).map(canonical).join()}]`;
  if (!NAMED.has(key)) return JSON.stringify(value);
  const members = value as SchemaMembers;
  return `{${Object.keys(members).sort().map((name) => `${JSON.stringify(name)}:${canonical(members[name])}`).join()}}`;
}

/**
 * Returns the first keyword whose value violates JSON Schema, or `size` for a schema that is too large; `undefined` for
 * a valid schema.
 */
function malformed(root: JsonSchema): string | undefined {
  const open: [JsonSchema, number][] = [[root, 0]];
  for (let visited = 0; open.length > 0; visited++) {
    const [schema, depth] = open.pop()!; // the loop's condition: `open` is not empty
    if (visited > MAX_NODES || depth > MAX_DEPTH) return "size";
    if (typeof schema === "boolean") continue;
    for (const [key, value] of Object.entries(schema)) {
      const check = SHAPES[key];
      if (check !== undefined && !check(value)) return key;
      for (const below of schemasIn(key, value)) open.push([below, depth + 1]);
    }
  }
  return undefined;
}

function schemasIn(key: string, value: unknown): readonly JsonSchema[] {
  if (NAMED.has(key)) return Object.values(value as SchemaMembers);
  if (LISTED.has(key)) return value as JsonSchema[];
  return SINGLE.has(key) ? [value as JsonSchema] : [];
}

const isCount = (value: unknown) => Number.isInteger(value) && (value as number) >= 0;
const isNumber = (value: unknown) => typeof value === "number";
const isText = (value: unknown) => typeof value === "string";
const areTexts = (value: unknown) => Array.isArray(value) && value.every(isText);
const areSchemas = (value: unknown) => Array.isArray(value) && value.length > 0 && value.every(isJsonSchema);
const areNamed = (value: unknown) => isRecord(value) && Object.values(value).every(isJsonSchema);

const NAMED: ReadonlySet<string> = new Set(["properties", "$defs", "definitions"]);
const LISTED: ReadonlySet<string> = new Set(["anyOf", "oneOf", "allOf", "prefixItems"]);
const SINGLE: ReadonlySet<string> = new Set(["additionalProperties", "propertyNames", "items"]);
/** By keyword: the check that its value in a JSON Schema is valid. */
const SHAPES: Readonly<Record<string, (value: unknown) => boolean>> = Object.assign(Object.create(null), {
  ...Object.fromEntries([...NAMED].map((key) => [key, areNamed])),
  ...Object.fromEntries([...LISTED].map((key) => [key, areSchemas])),
  ...Object.fromEntries([...SINGLE].map((key) => [key, isJsonSchema])),
  type: (value: unknown) => isText(value) || (areTexts(value) && (value as []).length > 0),
  enum: (value: unknown) => Array.isArray(value),
  required: areTexts,
  ...{ minimum: isNumber, maximum: isNumber, exclusiveMinimum: isNumber, exclusiveMaximum: isNumber },
  multipleOf: (value: unknown) => isNumber(value) && (value as number) > 0,
  ...{ minLength: isCount, maxLength: isCount, minItems: isCount, maxItems: isCount },
  ...{ minProperties: isCount, maxProperties: isCount },
  ...{ pattern: isText, format: isText, contentEncoding: isText, $ref: isText },
  uniqueItems: (value: unknown) => typeof value === "boolean",
});

/** Keywords that only describe a schema for people. */
const DESCRIPTIONS: ReadonlySet<string> = new Set([
  ...["$schema", "$comment", "title", "description", "examples", "default"],
  ...["deprecated", "readOnly", "writeOnly"],
]);
/** Keywords that do not restrict which values are valid. */
const ANNOTATIONS: ReadonlySet<string> = new Set([...DESCRIPTIONS, "$defs", "definitions"]);
/** Keywords that the comparison understands. */
const KEYWORDS: ReadonlySet<string> = new Set([
  ...ANNOTATIONS,
  ...NAMED,
  ...LISTED,
  ...SINGLE,
  ...["$ref", "type", "required", "enum", "const", "multipleOf", "pattern", "format", "contentEncoding", "uniqueItems"],
  ...["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength"],
  ...["minItems", "maxItems", "minProperties", "maxProperties"],
]);
/**
 * Keywords of a writer's schema that only exclude values: a reader that accepts all values without these keywords also
 * accepts the values with them.
 */
const NARROWING: ReadonlySet<string> = new Set([
  ...["not", "contains", "minContains", "maxContains", "dependentRequired", "contentMediaType"],
]);
const OPEN_OBJECT: ReadonlySet<string> = new Set(["additionalProperties", "propertyNames"]);
const LOWER: ReadonlySet<string> = new Set([
  ...["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"],
]);
const UPPER: ReadonlySet<string> = new Set([
  ...["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"],
]);

/**
 * Limits of a comparison, because a schema may come from another process: depth of nesting, number of subschemas,
 * number of steps, and number of subschemas compared as text.
 */
const MAX_DEPTH = 200;
const MAX_NODES = 10_000;
const MAX_STEPS = 20_000;
const MAX_COMPARED = 200;
/** Maximum length of a value that is shown in a message, in characters. */
const MAX_SHOWN = 100;
