/** The message id that the `id` function of an idempotent command makes of a payload. */
import { show } from "../data/checks.ts";
import type { AnyContract } from "../contract/contract.ts";
import type { Failure } from "../contract/result.ts";
import { disown } from "../contract/schema.ts";
import { MAX_ID } from "../contract/send_options.ts";
import { CatgaError } from "../error.ts";

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
