/**
 * The routing key of a payload: it decides which node handles the message, and which messages of a contract run in
 * order.
 */
import { show } from "../data/checks.ts";
import type { AnyContract } from "../contract/contract.ts";
import type { Failure } from "../contract/result.ts";
import { disown } from "../contract/schema.ts";
import { CatgaError } from "../error.ts";
import { MAX_ID } from "../contract/send_options.ts";

/**
 * The key that the contract's `key` function returns for a payload; `undefined` if it has none. Throws what the
 * function throws, and a `TypeError` if it returns no string.
 */
export function keyOf(contract: AnyContract, payload: unknown): string | undefined {
  // the payload has the contract's type: its schema or its type arguments say so
  const makes = contract.options.key as ((payload: unknown) => unknown) | undefined;
  if (makes === undefined) return undefined;
  const key = makes(payload);
  if (typeof key === "string") return key;
  disown(key);
  throw new TypeError(`${contract.name}: the contract's key function must give a string; got ${show(key)}`);
}

/** The same for a message that is stored: `INVALID_MESSAGE` instead of an error. */
export function keyInLog(contract: AnyContract, payload: unknown): string | Failure | undefined {
  try {
    return keyOf(contract, payload);
  } catch (cause) {
    const why = cause instanceof TypeError && cause.message.startsWith(contract.name)
      ? cause.message
      : "its key function threw";
    const message = `${contract.kind} ${contract.name} was not stored: ${why}`;
    return { ok: false, error: new CatgaError("INVALID_MESSAGE", message, { cause }) };
  }
}

/**
 * The same for an ordered contract, whose messages must have one: throws a `TypeError` if the contract has no key
 * function.
 */
export function orderKeyOf(contract: AnyContract, payload: unknown): string {
  const key = keyOf(contract, payload);
  if (key === undefined) throw new TypeError(`${contract.name} has no key function`);
  return key;
}

// The message id that the `id` function of an idempotent command makes of a payload.

/** The id of a payload, or `INVALID_MESSAGE`; `undefined` if the contract has no `id` function. */
export function idOf({ name, options: { id } }: AnyContract, payload: unknown): string | Failure | undefined {
  // the payload has the contract's type: its schema or its type arguments say so
  const makes = id as ((payload: unknown) => unknown) | undefined;
  if (makes === undefined) return undefined;
  const invalid = (why: string, cause?: unknown): Failure => {
    const message = `the id of ${name} cannot be made of this payload: ${why}`;
    return { ok: false, error: new CatgaError("INVALID_MESSAGE", message, { cause }) };
  };
  try {
    const made = makes(payload);
    if (typeof made === "string" && made !== "" && made.length <= MAX_ID) return made;
    disown(made);
    return invalid(`it must be a string of 1 to ${MAX_ID} characters; got ${show(made)}`);
  } catch (error) {
    return invalid("the id function threw", error);
  }
}
