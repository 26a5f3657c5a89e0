/**
 * The JSON Schema of a validator, as the library gives it ([Standard JSON
 * Schema](https://standardschema.dev/json-schema)), where it describes the values that travel.
 */
import { isRecord } from "../../data/checks.ts";
import type { AnyContract } from "../declaration/contract.ts";
import type { Schema } from "./schema.ts";

/** A JSON Schema of draft 2020-12. */
export type JsonSchema = boolean | { readonly [keyword: string]: unknown };

/**
 * Returns the JSON Schemas, as JSON text, of the payload that a plain client sends and of the answer that it gets.
 * Unknown schemas are left out.
 */
export function jsonSchemas({ options: { input, output } }: AnyContract): { input?: string; output?: string } {
  const [sent, answered] = [input, output].map((schema) => schema && jsonSchemaText(schema)?.text);
  return {
    ...(sent === undefined ? {} : { input: sent }),
    ...(answered === undefined ? {} : { output: answered }),
  };
}

/**
 * Returns the JSON Schema of the values that a validator accepts, because payloads and answers are sent and stored
 * before they are parsed. `undefined`: the library does not offer Standard JSON Schema, or has none for a part of this
 * schema, such as a `Date` (zod throws; arktype is made to throw; effect's schema is discarded).
 */
export function jsonSchemaOf(schema: Schema<never, unknown>): JsonSchema | undefined {
  return jsonSchemaText(schema)?.made;
}

/** Like {@link jsonSchemaOf}, with its JSON text. */
function jsonSchemaText(
  schema: Schema<never, unknown>,
): { readonly made: JsonSchema; readonly text: string } | undefined {
  const { vendor, jsonSchema } = schema["~standard"] as {
    readonly vendor: string;
    readonly jsonSchema?: { input?: (options: object) => unknown };
  };
  try {
    const more = vendor === "arktype" ? { libraryOptions: { fallback: THROWING } } : {};
    let made = jsonSchema?.input?.({ target: "draft-2020-12", ...more });
    if (vendor === "effect" && made !== undefined) made = effectJsonSchema(schema, made);
    // `stringify` throws for what cannot be sent: a bigint, or an object that contains itself
    return isJsonSchema(made) ? { made, text: JSON.stringify(made) } : undefined;
  } catch {
    return undefined; // libraries throw for a schema that has no JSON Schema
  }
}

/** Returns true if a value has the form of a JSON Schema; its keywords may be invalid. */
export function isJsonSchema(value: unknown): value is JsonSchema {
  return typeof value === "boolean" || isRecord(value);
}

/**
 * Options with which arktype throws for a type that JSON Schema cannot express, instead of describing it as "anything".
 * It does not throw for a predicate (a refinement): the JSON Schemas of other libraries leave refinements out, too.
 */
const THROWING = Object.fromEntries(
  ["arrayObject", "domain", "patternIntersection", "proto", "symbolKey", "unit", "date"].map((code) => [
    code,
    () => {
      throw new TypeError(`no JSON Schema: ${code}`);
    },
  ]),
);

/**
 * Returns effect's JSON Schema if it describes the values that effect's validator accepts; else `undefined`. Effect's
 * JSON Schema describes the JSON that effect would make of a value: text for a `Date`, null for `undefined`. But its
 * validator, as Catga uses it, takes the value itself.
 */
function effectJsonSchema(validator: unknown, schema: unknown): unknown {
  const { ast } = validator as { readonly ast?: unknown }; // a property of each schema of effect
  return isDescribed(ast, new Set()) ? withPlainNumbers(schema) : undefined;
}

/** Returns true if every value that this part of an effect schema accepts is equal to its JSON. */
function isDescribed(node: unknown, seen: Set<unknown>): boolean {
  if (!isRecord(node)) return false;
  if (seen.has(node)) return true; // a recursive schema: this node is being checked already
  seen.add(node);
  const each = (nodes: unknown) => Array.isArray(nodes) && nodes.every((own) => isDescribed(own, seen));
  // `to` of the last link is the encoded side: the value before effect transforms it
  if (Array.isArray(node.encoding) && node.encoding.length > 0) return isDescribed(node.encoding.at(-1)?.to, seen);
  switch (node._tag) {
    case "String":
    case "Number":
    case "Boolean":
    case "Null":
    case "Enum":
    case "TemplateLiteral":
    case "Unknown":
    case "Any":
      return true;
    case "Literal":
      return typeof node.literal !== "bigint";
    case "Union":
      return each(node.types);
    case "Arrays":
      return each(node.elements) && each(node.rest);
    case "Objects":
      return typesOf(node.propertySignatures).every((type) => isDescribed(type, seen)) &&
        typesOf(node.indexSignatures).every((type) => isDescribed(type, seen));
    case "Suspend":
      return typeof node.thunk === "function" && isDescribed(node.thunk(), seen);
    default:
      return false; // values with another JSON: Date and other classes, undefined, bigint, symbols
  }
}

function typesOf(signatures: unknown): readonly unknown[] {
  return Array.isArray(signatures) ? signatures.map((own) => isRecord(own) ? own.type : undefined) : [undefined];
}

/** Replaces the JSON Schema "a number, or one of the texts for NaN and the infinities" by "a number", in depth. */
function withPlainNumbers(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withPlainNumbers);
  if (!isRecord(schema)) return schema;
  const { anyOf, ...rest } = schema;
  if (JSON.stringify(anyOf) === NUMBER_OR_TEXT) return { ...rest, type: "number" };
  return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, withPlainNumbers(value)]));
}

/** The JSON Schema that effect makes of a number that may be infinite or NaN, as text. */
const NUMBER_OR_TEXT = '[{"type":"number"},{"type":"string","enum":["Infinity","-Infinity","NaN"]}]';
