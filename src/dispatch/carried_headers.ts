/**
 * Inherited headers: a handler's sends inherit them from its message, and a workflow's steps from the start of the run.
 */
import { CALLER_HEADER } from "../contract/calls/send_options.ts";
import { decodeText } from "../data/encoding.ts";

/** A frozen object that stands for "no headers". */
export const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze(Object.create(null));

/**
 * Returns the headers that a message is sent with: its own headers, and those inherited headers that are in `names` and
 * are not among its own. `undefined`: there are none.
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

/**
 * Returns the caller from a message's headers: the user or program for whom the first message of the chain was sent, as
 * the HTTP edge (the server that takes requests from outside) named it; `undefined`: no edge named one.
 */
export function callerIn(headers: Readonly<Record<string, string>>): unknown {
  const text = headers[CALLER_HEADER];
  if (text === undefined) return undefined;
  try {
    return decodeText(text);
  } catch {
    return undefined; // an invalid header, written by a client other than an edge
  }
}
