/** The routing key of a payload: it decides which node handles the message, and which messages of a contract run in order. */
import { show } from "../contract/checks.ts";
import type { AnyContract } from "../contract/contract.ts";
import { disown } from "../contract/schema.ts";

/**
 * The key that the contract's `key` function returns for a payload; `undefined` if it has none. Throws what the function
 * throws, and a `TypeError` if it returns no string.
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

/** The same for an ordered contract, whose messages must have one: throws a `TypeError` if the contract has no key function. */
export function orderKeyOf(contract: AnyContract, payload: unknown): string {
  const key = keyOf(contract, payload);
  if (key === undefined) throw new TypeError(`${contract.name} has no key function`);
  return key;
}
