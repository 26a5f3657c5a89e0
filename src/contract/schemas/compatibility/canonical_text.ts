/**
 * Schemas as text, to compare them for equality.
 */
import { isRecord } from "../../../data/checks.ts";
import type { JsonSchema } from "../json_schema.ts";
import { DESCRIPTIONS, LISTED, NAMED, type SchemaMembers, SINGLE } from "./keywords.ts";

/**
 * Returns the schema as text that does not depend on the order of keywords and members, without keywords that only
 * describe.
 */
export function canonical(schema: unknown): string {
  if (!isRecord(schema)) return JSON.stringify(schema);
  const keys = Object.keys(schema).filter((key) => !DESCRIPTIONS.has(key)).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonicalPart(key, schema[key])}`).join()}}`;
}

/** Returns the value of a keyword as text; like {@link canonical} for the schemas in it. */
export function canonicalPart(key: string, value: unknown): string {
  if (SINGLE.has(key)) return canonical(value);
  if (LISTED.has(key)) return `[${(value as JsonSchema[]).map(canonical).join()}]`;
  if (!NAMED.has(key)) return JSON.stringify(value);
  const members = value as SchemaMembers;
  return `{${Object.keys(members).sort().map((name) => `${JSON.stringify(name)}:${canonical(members[name])}`).join()}}`;
}
