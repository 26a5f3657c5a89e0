/**
 * Schemas and values as words in the reason of a verdict, which is a message to people.
 */
import { typesOf } from "./allowed_values.ts";
import type { SchemaNode } from "./keywords.ts";

/** Returns the types that a schema allows, as words. */
export function typeName(node: SchemaNode): string {
  return typesOf(node)?.join(" or ") ?? "anything";
}

/** Returns a value as JSON text, shortened. */
export function shown(value: unknown): string {
  return shortened(JSON.stringify(value));
}

/** Returns the values that the reader accepts, as text for a message to people. */
export function listed(values: readonly unknown[]): string {
  const texts = values.map((value) => (typeof value === "string" ? value : JSON.stringify(value)));
  return shortened([...new Set(texts)].join(", "));
}

/** Returns a text, cut after {@link MAX_SHOWN} characters. */
export function shortened(text: string): string {
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}

/** Maximum length of a value that is shown in a message, in characters. */
const MAX_SHOWN = 100;
