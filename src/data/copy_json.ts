/** Copies of JSON values, so that what one piece of user code changes in its own reaches no other. */
import { stringify } from "./json.ts";

/** A copy of a value that `JSON.parse` has made. */
export function copyJson(value: unknown, depth = 0): unknown {
  if (typeof value !== "object" || value === null) return value;
  // a payload may be deeper than the stack
  if (depth > DEEP) return JSON.parse(stringify(value)!); // JSON has a text
  if (Array.isArray(value)) return value.map((each) => copyJson(each, depth + 1));
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    const member = copyJson((value as Record<string, unknown>)[key], depth + 1);
    if (key === "__proto__") Object.defineProperty(copy, key, { ...OWN, value: member });
    else copy[key] = member;
  }
  return copy;
}

const DEEP = 100;
const OWN = { configurable: true, enumerable: true, writable: true };
