/** Makes the message id of an idempotent command from its payload, by the contract's function `id`. */
import type { Failure } from "../contract/result.ts";
import { disown, show } from "../data/checks.ts";
import type { AnyContract } from "../contract/contract.ts";
import { MAX_ID } from "../contract/send_options.ts";
import { notMade } from "./routing_key.ts";

/** Returns the id of a payload, or the failure `INVALID_MESSAGE`; `undefined` if the contract has no `id` function. */
export function idOf({ name, options: { id } }: AnyContract, payload: unknown): string | Failure | undefined {
  // the cast is safe: the payload has the contract's type, which its schema or its type arguments guarantee
  const makes = id as ((payload: unknown) => unknown) | undefined;
  if (makes === undefined) return undefined;
  try {
    const made = makes(payload);
    if (typeof made === "string" && made !== "" && made.length <= MAX_ID) return made;
    disown(made);
    return notMade("id", name, `it must be a string of 1 to ${MAX_ID} characters; got ${show(made)}`);
  } catch (error) {
    return notMade("id", name, "the id function threw", error);
  }
}
