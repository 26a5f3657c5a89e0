/** Headers that are inherited: from a message, or the start of a run, by the sends of its handlers and steps. */
import { CALLER_HEADER } from "../contract/program_types.ts";
import { decodeText } from "../data/encoding.ts";

/** An object without headers. */
export const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze(Object.create(null));

/**
 * Returns the inherited headers with these names, and a message's own headers, which win; `undefined`: there are none.
 */
export function withCarried(
  names: readonly string[],
  inherited: Readonly<Record<string, string>>,
  own: Readonly<Record<string, string>> | undefined,
): Readonly<Record<string, string>> | undefined {
  let headers: Record<string, string> | undefined;
  for (const name of names) {
    const value = inherited[name];
    if (value !== undefined) (headers ??= Object.create(null) as Record<string, string>)[name] = value;
  }
  if (own !== undefined) Object.assign(headers ??= Object.create(null) as Record<string, string>, own);
  return headers && Object.freeze(headers);
}

/** Returns the sender of the first message of the chain, as named by an edge; `undefined`: no edge named one. */
export function callerIn(headers: Readonly<Record<string, string>>): unknown {
  const text = headers[CALLER_HEADER];
  if (text === undefined) return undefined;
  try {
    return decodeText(text);
  } catch {
    return undefined; // the header was written by a client that is no edge
  }
}
