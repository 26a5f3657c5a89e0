/** The check of a contract that a program passes in: the error says which kind was expected and what was given instead. */
import { show } from "../data/checks.ts";
import type { AnyContract, Kind } from "./contract.ts";
import { isHandler } from "./handler.ts";

/** Throws a `TypeError` for a value that is not a contract of one of these kinds. `method` is the one that was called. */
export function checkContract(method: string, contract: AnyContract, ...kinds: Kind[]): void {
  if (kinds.includes(contract?.kind) && typeof contract.name === "string") return;
  const wanted = `what ${kinds.map((kind) => `${kind}(…)`).join(" or ")} gives`;
  throw new TypeError(`${method}: the first argument must be ${wanted}; got ${describe(contract)}`);
}

/** The value that was given, and what was probably meant. */
function describe(given: AnyContract): string {
  if (isHandler(given)) return `a handler: give its contract, ${given.contract.name}`;
  if (given?.kind === undefined) return show(given);
  return `${given.kind} ${given.name}: ${given.kind === "event" ? "publish" : "send"} it`;
}
