import type { AnyContract } from "../contract/contract.ts";
import { show } from "../contract/checks.ts";
import { disown } from "../contract/schema.ts";

/** The routing key that the contract makes of a payload, when it has a function for it. Throws what that throws. */
export function keyOf(contract: AnyContract, payload: unknown): string | undefined {
  // the payload has the contract's type: its schema or its type arguments say so
  const makes = contract.options.key as ((payload: unknown) => unknown) | undefined;
  if (makes === undefined) return undefined;
  const key = makes(payload);
  if (typeof key === "string") return key;
  disown(key);
  throw new TypeError(`${contract.name}: the contract's key function must give a string; got ${show(key)}`);
}
