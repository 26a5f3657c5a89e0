/** Headers that go on: from a message, or the start of a run, to what its handlers and steps send. */
import { CALLER_HEADER } from "../contract/program_types.ts";
import { decodeText } from "../data/encoding.ts";

/** No headers. */
export const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze(Object.create(null));

/** The headers of these names that were inherited, and a message's own, which win; `undefined`: there are none. */
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

/** Who sent the first message of the chain, as an edge said; `undefined`: nobody said so. */
export function callerIn(headers: Readonly<Record<string, string>>): unknown {
  const text = headers[CALLER_HEADER];
  if (text === undefined) return undefined;
  try {
    return decodeText(text);
  } catch {
    return undefined; // a client that is no edge wrote it
  }
}
