/** Copies of JSON values, so that what one piece of user code changes in its own reaches no other. */
import { stringify } from "./json.ts";

/** A copy of a value that `JSON.parse` has made. */
export function copyJson(value: unknown, depth = 0): unknown {
  if (typeof value !== "object" || value === null) return value;
  // a payload may be deeper than the stack
  if (depth > DEEP) return JSON.parse(stringify(value)!); // JSON has a text
  if (Array.isArray(value)) return value.map((each) => copyJson(each, depth + 1));
  const copy: Record<string, unknown> = { ...value };
  // a member called __proto__ is the copy's own by now
  for (const key of Object.keys(copy)) copy[key] = copyJson(copy[key], depth + 1);
  return copy;
}

const DEEP = 100;
