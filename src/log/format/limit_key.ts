/** Keys of messages in limits, and tenants: what functions of the program return for a payload. */
import { show } from "../../data/checks.ts";
import { type LoggedMessage, payloadOf } from "./logged_message.ts";

/** Maximum length of a key of a limit, or of a tenant, in characters. */
export const MAX_LIMIT_KEY = 1_024;

/**
 * Key in a limit of a message of which none is known. All of them count as of the key "", but none takes the place of
 * another one: they may have nothing in common.
 */
export const NO_KEY = "\0";

/** Returns the key or tenant (`what`) of a message. Throws if the function does, or if it returns no valid one. */
export function limitKeyOf(of: (payload: never) => unknown, message: LoggedMessage, what: string): string {
  const value = of(payloadOf(message) as never); // the function is that of the contract's handler
  if (typeof value === "string" && value.length <= MAX_LIMIT_KEY) return value;
  const text = typeof value === "string" ? `${value.length} characters` : show(value);
  throw new TypeError(`a ${what} is a string of ${MAX_LIMIT_KEY} characters at most; got ${text}`);
}
