/**
 * One of the two schemas of a comparison, as a document: its references (`$ref`) are followed, and the parts of `allOf`
 * are joined.
 */
import { isRecord } from "../../../data/checks.ts";
import { isJsonSchema, type JsonSchema } from "../json_schema.ts";
import { isNever } from "./allowed_values.ts";
import { canonicalPart } from "./canonical_text.ts";
import { ANNOTATIONS, type SchemaMembers, type SchemaNode } from "./keywords.ts";
import { MAX_DEPTH } from "./well_formed.ts";

/** The steps of one comparison, which are limited: a schema may come from another process. */
export class StepLimit {
  #steps = 0;

  /** Counts a step; returns false when the comparison has had all of its steps. */
  take(): boolean {
    return ++this.#steps <= MAX_STEPS;
  }
}

/** A schema and its subschemas; a `$ref` resolves from the root. */
export class SchemaDocument {
  readonly #root: JsonSchema;
  readonly #steps: StepLimit;
  /**
   * Schemas made from parts of this one, cached by their origin, so that a recursive schema meets the same object
   * again. Each document has its own cache: both may contain one object, whose references lead elsewhere in each.
   */
  readonly #derived = new Map<unknown, Map<string, JsonSchema>>();

  constructor(root: JsonSchema, steps: StepLimit) {
    this.#root = root;
    this.#steps = steps;
  }

  /**
   * Follows the `$ref` of a schema to its target; `undefined`: the target does not exist, or is in another document.
   */
  resolve(schema: JsonSchema): JsonSchema | undefined {
    let at: unknown = schema;
    for (let hops = 0; isRecord(at) && typeof at.$ref === "string"; hops++) {
      if (hops > MAX_DEPTH) return undefined;
      const { $ref, ...rest } = at;
      const target = pointed($ref as string, this.#root);
      if (target === undefined) return undefined;
      if (Object.keys(rest).some((key) => !ANNOTATIONS.has(key))) {
        return this.derive(at, "$ref", () => ({ allOf: [target, rest] }));
      }
      at = target;
    }
    return isJsonSchema(at) ? at : undefined;
  }

  /**
   * Returns the schemas in a schema's `allOf`, and one more schema made of the keywords beside `allOf`; `undefined`:
   * there is no `allOf`.
   */
  parts(node: SchemaNode): readonly JsonSchema[] | undefined {
    if (!Array.isArray(node.allOf)) return undefined;
    const { allOf, ...rest } = node;
    const own = this.derive(node, "beside allOf", () => rest);
    return [...allOf as JsonSchema[], own];
  }

  /**
   * Returns a schema without `allOf`, its parts joined into one; `undefined`: the parts cannot be joined. A value fits
   * all parts, and has the members that the parts declare together.
   */
  flatten(node: SchemaNode): JsonSchema | undefined {
    const parts = this.parts(node);
    if (parts === undefined) return node;
    const known = this.#derived.get(node)?.get("flat");
    if (known !== undefined) return known;
    const joined: Record<string, unknown> = {};
    let [objects, arrays, unions] = [0, 0, 0];
    for (const part of parts) {
      const resolved = this.resolve(part);
      if (resolved === undefined || !this.#steps.take()) return undefined;
      if (isNever(resolved)) return false;
      if (resolved === true) continue;
      const flat = "allOf" in (resolved as SchemaNode) ? this.flatten(resolved as SchemaNode) : resolved;
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
    return this.derive(node, "flat", () => joined);
  }

  /** Returns a schema made from a part of this document: the same object each time for one origin and name. */
  derive(from: object, name: string, make: () => JsonSchema): JsonSchema {
    const own = this.#derived.get(from) ?? new Map<string, JsonSchema>();
    this.#derived.set(from, own);
    const made = own.get(name) ?? make();
    own.set(name, made);
    return made;
  }
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

const OPEN_OBJECT: ReadonlySet<string> = new Set(["additionalProperties", "propertyNames"]);
const LOWER: ReadonlySet<string> = new Set([
  ...["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"],
]);
const UPPER: ReadonlySet<string> = new Set([
  ...["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"],
]);

/** Maximum number of steps in a comparison. */
const MAX_STEPS = 20_000;
