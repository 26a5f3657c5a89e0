/**
 * The keywords of JSON Schema that the comparison knows, grouped by their meaning.
 */
import type { JsonSchema } from "../json_schema.ts";

/** A schema that is not a boolean: its keywords with their values. */
export type SchemaNode = { readonly [keyword: string]: unknown };
/** Subschemas by the names of members or definitions. */
export type SchemaMembers = { readonly [name: string]: JsonSchema };

/** Keywords whose value has subschemas by name. */
export const NAMED: ReadonlySet<string> = new Set(["properties", "$defs", "definitions"]);
/** Keywords whose value is a list of subschemas. */
export const LISTED: ReadonlySet<string> = new Set(["anyOf", "oneOf", "allOf", "prefixItems"]);
/** Keywords whose value is one subschema. */
export const SINGLE: ReadonlySet<string> = new Set(["additionalProperties", "propertyNames", "items"]);

/** Keywords that only describe a schema for people. */
export const DESCRIPTIONS: ReadonlySet<string> = new Set([
  ...["$schema", "$comment", "title", "description", "examples", "default"],
  ...["deprecated", "readOnly", "writeOnly"],
]);
/** Keywords that do not restrict which values are valid. */
export const ANNOTATIONS: ReadonlySet<string> = new Set([...DESCRIPTIONS, "$defs", "definitions"]);
/** Keywords that the comparison understands. */
export const KEYWORDS: ReadonlySet<string> = new Set([
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
export const NARROWING: ReadonlySet<string> = new Set([
  ...["not", "contains", "minContains", "maxContains", "dependentRequired", "contentMediaType"],
]);
