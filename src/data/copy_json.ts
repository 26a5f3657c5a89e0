/** Copies of JSON values, so that what one piece of user code changes in its own reaches no other. */

/** A copy of a value that `JSON.parse` has made. Throws a `RangeError` for one that is nested deeper than the stack. */
export function copyJson(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(copyJson);
  const copy: Record<string, unknown> = { ...value };
  // a member called __proto__ is the copy's own by now
  for (const key of Object.keys(copy)) copy[key] = copyJson(copy[key]);
  return copy;
}
