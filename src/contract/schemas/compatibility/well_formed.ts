/**
 * Which schemas are compared at all: those whose keywords have valid values, and that are not too large. A schema may
 * come from another process.
 */
import { isRecord } from "../../../data/checks.ts";
import { isJsonSchema, type JsonSchema } from "../json_schema.ts";
import { LISTED, NAMED, type SchemaMembers, SINGLE } from "./keywords.ts";

/**
 * Returns the first keyword whose value violates JSON Schema, or `size` for a schema that is too large; `undefined` for
 * a valid schema.
 */
export function malformed(root: JsonSchema): string | undefined {
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

/** Maximum depth of nesting, for schemas and for their comparison. */
export const MAX_DEPTH = 200;
/** Maximum number of subschemas in a schema. */
const MAX_NODES = 10_000;
