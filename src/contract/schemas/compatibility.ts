/**
 * Compatibility of two versions of a schema: can a reader read everything that a writer may write? The comparison works
 * on JSON Schemas (draft 2020-12), as `json_schema.ts` gets them. A comparison that cannot be decided is `unknown`,
 * never `yes`.
 *
 * A writer is taken to write the members that its schema declares, and no others: validators leave objects open, and
 * without this rule no optional member could ever be added. `yes` covers the JSON Schemas only, not refinements,
 * coercions and transforms.
 */
import { isRecord } from "../../data/checks.ts";
import {
  alternatives,
  hasType,
  isAny,
  isNever,
  memberOf,
  overlap,
  typeOf,
  typesOf,
  unions,
  valuesOf,
} from "./compatibility/allowed_values.ts";
import { canonical } from "./compatibility/canonical_text.ts";
import { ANNOTATIONS, KEYWORDS, NARROWING, type SchemaMembers, type SchemaNode } from "./compatibility/keywords.ts";
import { counts, numbers, texts, whole } from "./compatibility/ranges.ts";
import { SchemaDocument, StepLimit } from "./compatibility/schema_document.ts";
import { type Compatibility, every, no, unknown, YES } from "./compatibility/verdict.ts";
import { malformed, MAX_DEPTH } from "./compatibility/well_formed.ts";
import { listed, shown, typeName } from "./compatibility/wording.ts";
import type { JsonSchema } from "./json_schema.ts";

/**
 * Returns whether a reader of one schema reads every value that a writer of the other may write. Pure. Both schemas may
 * come from another process: no schema makes this function throw, run long, or evaluate a pattern.
 * @decides may a new version of a schema read what the old one wrote
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

/** Compares a reader's schema with a writer's. */
class Comparison {
  readonly #reader: SchemaDocument;
  readonly #writer: SchemaDocument;
  readonly #steps = new StepLimit();
  /**
   * Pairs of subschemas (reader's, writer's) whose comparison has begun, each with the length of the path at which it
   * began: a recursive schema reaches the same pair again.
   */
  readonly #open = new Map<unknown, Map<unknown, number>>();
  #compared = 0;

  constructor(reader: JsonSchema, writer: JsonSchema) {
    this.#reader = new SchemaDocument(reader, this.#steps);
    this.#writer = new SchemaDocument(writer, this.#steps);
  }

  judge(read: JsonSchema, written: JsonSchema, path: string, depth = 0): Compatibility {
    if (!this.#steps.take() || depth > MAX_DEPTH) return unknown("size");
    const r = this.#reader.resolve(read);
    const w = this.#writer.resolve(written);
    if (r === undefined || w === undefined) return unknown("$ref");
    if (isNever(w) || isAny(r)) return YES;
    if (isNever(r)) return no(path, "written, not read");
    const node = r as SchemaNode; // no boolean: booleans are handled above
    const source: SchemaNode = w === true ? {} : w as SchemaNode;
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

  #judge(r: SchemaNode, w: SchemaNode, path: string, depth: number): Compatibility {
    const parts = this.#reader.parts(r);
    if (parts !== undefined) return every(parts.map((part) => this.judge(part, w, path, depth)));
    const flat = this.#writer.flatten(w);
    if (flat === undefined) return unknown("allOf");
    if (flat !== w) return this.judge(r, flat, path, depth);
    const written = alternatives(w);
    if (written !== undefined) {
      const { anyOf: _, oneOf: __, ...rest } = w;
      const alone = Object.keys(rest).every((key) => ANNOTATIONS.has(key));
      return every(written.map((each, i) => {
        const member = alone ? each : this.#writer.derive(w, `any ${i}`, () => ({ allOf: [rest, each] }));
        return this.judge(r, member, path, depth);
      }));
    }
    const values = valuesOf(w);
    if (values !== undefined) return every(values.map((value) => this.#judgeValue(r, value, path, depth)));
    if (Array.isArray(w.type)) {
      return every(w.type.map((type: string) => {
        return this.judge(r, this.#writer.derive(w, `type ${type}`, () => ({ ...w, type })), path, depth);
      }));
    }
    if (w.type === "boolean" && ("enum" in r || "const" in r || alternatives(r) !== undefined)) {
      return this.judge(r, this.#writer.derive(w, "values", () => ({ enum: [true, false] })), path, depth);
    }
    const read = alternatives(r);
    if (read !== undefined) return this.#judgeAlternatives(r, read, w, path, depth);
    const only = valuesOf(r);
    if (only !== undefined) return no(path, `${typeName(w)} is written, only ${listed(only)} is read`);
    if (Array.isArray(r.type)) {
      const type = r.type.find((each: string) => hasType(w, each));
      return type === undefined ? no(path, `${typeName(w)} is written, ${r.type.join(" or ")} is read`) : this.judge(
        this.#reader.derive(r, `type ${type}`, () => ({ ...r, type })),
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
  #judgeAlternatives(
    r: SchemaNode,
    read: readonly JsonSchema[],
    w: SchemaNode,
    path: string,
    depth: number,
  ): Compatibility {
    const { anyOf: _, oneOf, ...rest } = r;
    const near = read.filter((each) => !this.#isApart(each, w));
    const verdicts = near.map((each) => this.judge(each, w, path, depth));
    const others = Object.keys(rest).every((key) => ANNOTATIONS.has(key))
      ? YES
      : this.judge(this.#reader.derive(r, "beside union", () => rest), w, path, depth);
    if (near.length === 0) return every([others, no(path, this.#reasonOfUnion(read, w))]);
    if (near.length === 1) return every([others, ...verdicts]);
    // with `oneOf`, the reader refuses a value that fits two members
    if (oneOf === undefined && verdicts.some((each) => each.reads === "yes")) return others;
    return every([others, verdicts.find((each) => each.reads === "unknown") ?? unknown(oneOf ? "oneOf" : "anyOf")]);
  }

  /** Returns the reason, in words, why no member of the reader's union accepts the written value. */
  #reasonOfUnion(read: readonly JsonSchema[], w: SchemaNode): string {
    const members = read.map((each) => this.#reader.resolve(each));
    const [tag, written] =
      Object.entries(w.properties as SchemaMembers ?? {}).find(([name]) =>
        members.every((each) => isRecord(each) && valuesOf(memberOf(each, name)) !== undefined)
      ) ?? [];
    if (tag !== undefined) {
      const known = members.flatMap((each) => valuesOf(memberOf(each as SchemaNode, tag)) ?? []);
      const values = valuesOf(this.#writer.resolve(written as JsonSchema)) ?? [];
      return `${tag} ${values.map(shown).join(", ")} is not among ${listed(known)}`;
    }
    const types = members.map((each) => (isRecord(each) ? typeName(each) : "anything"));
    return `${typeName(w)} is written, ${[...new Set(types)].join(" or ")} is read`;
  }

  /** Compares the reader's schema with one value that the writer may write. */
  #judgeValue(r: SchemaNode, value: unknown, path: string, depth: number): Compatibility {
    const read = alternatives(r);
    if (read !== undefined) {
      const { anyOf: _, oneOf, ...rest } = r;
      const verdicts = read.map((each) => this.judge(each, { const: value }, path, depth));
      const fitting = verdicts.filter((each) => each.reads === "yes").length;
      const open = verdicts.find((each) => each.reads === "unknown");
      const others = this.judge(this.#reader.derive(r, "beside union", () => rest), { const: value }, path, depth);
      if (oneOf === undefined ? fitting > 0 : fitting === 1 && open === undefined) return others;
      if (open !== undefined) return every([others, open]);
      const known = read.flatMap((each) => valuesOf(this.#reader.resolve(each)) ?? []);
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

  #objects(r: SchemaNode, w: SchemaNode, path: string, depth: number): Compatibility {
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
  #membersOf(w: SchemaNode): { names: SchemaMembers; more: JsonSchema | undefined } {
    const own = w.properties as SchemaMembers ?? {};
    // an object schema without `properties` allows any members
    const more = w.additionalProperties as JsonSchema | undefined ?? !("properties" in w);
    const listed = valuesOf(this.#writer.resolve(w.propertyNames as JsonSchema ?? true));
    const added = more === false ? w.required as string[] ?? [] : listed ?? [];
    const names = { ...own };
    for (const name of added) if (typeof name === "string" && !Object.hasOwn(own, name)) names[name] = more || true;
    return { names, more: more === false || listed !== undefined ? undefined : more };
  }

  #arrays(r: SchemaNode, w: SchemaNode, path: string, depth: number): Compatibility {
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
  #isApart(read: JsonSchema, w: SchemaNode, depth = 0): boolean {
    const r = this.#reader.resolve(read);
    if (r === undefined || depth > MAX_DEPTH || !this.#steps.take()) return false;
    if (isNever(r)) return true;
    if (r === true || alternatives(w) !== undefined || "allOf" in w) return false;
    const node = r as SchemaNode;
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
      const written = own === undefined ? undefined : this.#writer.resolve(own);
      const expected = memberOf(node, name);
      return isRecord(written) && expected !== undefined && this.#isApart(expected, written, depth + 1);
    });
  }

  /**
   * Returns true if both schemas are equal and contain no reference: equal references may lead to different schemas.
   */
  #isSame(r: SchemaNode, w: SchemaNode): boolean {
    if (++this.#compared > MAX_COMPARED) return false;
    const text = canonical(r);
    return text === canonical(w) && !text.includes('"$ref"');
  }
}

/** Maximum number of subschemas that one comparison compares as text. */
const MAX_COMPARED = 200;
