/**
 * JSON Schemas of the library effect. They describe the JSON that effect would make of a value: text for a `Date`, null
 * for `undefined`. But effect's validator, as Catga uses it, takes the value itself, so only some of these JSON Schemas
 * are right for Catga.
 */
import { isRecord } from "../data/checks.ts";

/** Returns effect's JSON Schema if it describes the values that effect's validator accepts; else `undefined`. */
export function effectJsonSchema(validator: unknown, schema: unknown): unknown {
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
