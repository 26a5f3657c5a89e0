/**
 * The values that a schema allows, as far as one schema shows without following references: its types, the values of
 * `const` and `enum`, its members, and the members of its union.
 */
import { isRecord } from "../../../data/checks.ts";
import { isJsonSchema, type JsonSchema } from "../json_schema.ts";
import { ANNOTATIONS, type SchemaMembers, type SchemaNode } from "./keywords.ts";

/** Returns true for a schema that allows every value. */
export function isAny(schema: JsonSchema): boolean {
  return schema === true || (isRecord(schema) && Object.keys(schema).every((key) => ANNOTATIONS.has(key)));
}

/** Returns true for `false`, and for `{ not: {} }`, which zod writes for `never`. */
export function isNever(schema: JsonSchema): boolean {
  return schema === false || (isRecord(schema) && isJsonSchema(schema.not) && isAny(schema.not));
}

/** Returns the members of a union (`anyOf` or `oneOf`); `undefined`: the schema is no union. */
export function alternatives(node: SchemaNode): readonly JsonSchema[] | undefined {
  return (node.anyOf ?? node.oneOf) as readonly JsonSchema[] | undefined;
}

/** Returns `oneOf` for a schema with both `anyOf` and `oneOf`, which is not compared; otherwise `undefined`. */
export function unions(node: SchemaNode): string | undefined {
  return "anyOf" in node && "oneOf" in node ? "oneOf" : undefined;
}

/** The values that `const` or `enum` allows, without values that `type` excludes. */
export function valuesOf(schema: JsonSchema | undefined): readonly unknown[] | undefined {
  if (!isRecord(schema)) return undefined;
  const values = "const" in schema ? [schema.const] : Array.isArray(schema.enum) ? schema.enum : undefined;
  if (values === undefined || schema.type === undefined) return values;
  const types = [schema.type].flat();
  return values.filter((value) => {
    const type = typeOf(value);
    return types.includes(type) || (type === "integer" && types.includes("number"));
  });
}

/** Returns the schema of one member of an object, if the object's schema declares it. */
export function memberOf(node: SchemaNode, name: string): JsonSchema | undefined {
  const members = node.properties as SchemaMembers | undefined;
  return members !== undefined && Object.hasOwn(members, name) ? members[name] : undefined;
}

/** Returns the types of the values that a schema allows; `undefined`: the schema does not limit them. */
export function typesOf(node: SchemaNode): readonly string[] | undefined {
  const values = valuesOf(node);
  if (values !== undefined) return [...new Set(values.map(typeOf))];
  return node.type === undefined ? undefined : [node.type].flat() as string[];
}

/** Returns true if a value can have both types. */
export function overlap(a: string, b: string): boolean {
  return a === b || (a === "number" && b === "integer") || (a === "integer" && b === "number");
}

/** Returns true if all values that a schema allows have a type. */
export function hasType(node: SchemaNode, type: string): boolean {
  return node.type === type || (type === "number" && node.type === "integer");
}

/** Returns the type of a value, as JSON Schema names it; `integer` for whole numbers. */
export function typeOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return Number.isInteger(value) ? "integer" : typeof value;
}
