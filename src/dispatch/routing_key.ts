/**
 * Calls a contract's functions `key` and `id` with a payload. `key` gives the routing key, which decides which node
 * handles the message, and which messages of a contract run in order; `id` gives the message id of an idempotent
 * command.
 */
import type { Failure } from "../contract/calls/result.ts";
import { CatgaError } from "../error.ts";
import { failure, VersionRefusal } from "./outcome.ts";
import type { MessageContext } from "./message_context.ts";
import { disown, show } from "../data/checks.ts";
import type { AnyContract } from "../contract/declaration/contract.ts";
import { MAX_ID } from "../contract/calls/send_options.ts";

/**
 * Returns the key of a payload, or the failure `INVALID_MESSAGE`; `undefined` if the contract has no `key` function.
 */
export function keyOf({ name, options: { key } }: AnyContract, payload: unknown): string | Failure | undefined {
  // the cast is safe: the payload has the contract's type, which its schema or its type arguments guarantee
  const makes = key as ((payload: unknown) => unknown) | undefined;
  if (makes === undefined) return undefined;
  try {
    const made = makes(payload);
    if (typeof made === "string") return made;
    disown(made);
    return notMade("key", name, `it must be a string; got ${show(made)}`);
  } catch (error) {
    return notMade("key", name, "the key function threw", error);
  }
}

/**
 * Returns the key of a message of an ordered contract, from the sender's options, else from the payload; or the refusal
 * `INVALID_MESSAGE`: in another version of the contract, the payload may have a key, or need none.
 */
export function orderKeyOf({ contract, envelope, node }: MessageContext, payload: unknown): string | VersionRefusal {
  const key = envelope.key ?? keyOf(contract, payload);
  if (typeof key === "string") return key;
  const message = key?.error.message ??
    `${contract.kind} ${contract.name} is ordered, and its sender gave no key: send it with one`;
  return new VersionRefusal(new CatgaError("INVALID_MESSAGE", message, { cause: key?.error.cause, node }));
}

/** The failure of a payload from which the contract's function `key` or `id` makes no valid key or id. */
export function notMade(what: "key" | "id", name: string, why: string, cause?: unknown): Failure {
  const message = `the ${what} of ${name} cannot be made of this payload: ${why}`;
  return failure("INVALID_MESSAGE", message, { cause });
}

/**
 * Returns the id of a payload by the contract's function `id`, or the failure `INVALID_MESSAGE`; `undefined` if the
 * contract has no such function.
 */
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
