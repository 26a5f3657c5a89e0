/** Converts the operations in a history of `explore` to the form that `checkLinearizable` takes. */
import type { AnyContract } from "../../contract/declaration/contract.ts";
import { isErrorCode } from "../../error.ts";
import { type History, type HistoryOperation, mayHaveHappened } from "../history.ts";
import type { Operation } from "./linearizable.ts";

/** Input of an operation that {@link operationsOf} returns. */
export interface ContractInput {
  /** Name of the sent contract, or of the entity that was loaded. */
  readonly contract: string;
  /** The input as the caller passed it; `undefined` for a load. */
  readonly input: unknown;
}

/** Output of an operation whose handler returned a failure. */
export interface OwnFailure {
  /** Code of the failure. */
  readonly failed: string;
}

/**
 * Returns the sends of these contracts, and the loads of these entities, as operations for `checkLinearizable`.
 * Several sends of an idempotent command, or of an entity's command, under one id are one operation. The output of a
 * send is its value, or `{ failed: code }` for a failure of the contract's own; the output of a load is the entity's
 * version. Sends that certainly had no effect are left out. Times are places in the history.
 *
 * @example
 * ```ts
 * import { command, entity } from "@catga/catga";
 * import { checkLinearizable, explore, operationsOf } from "@catga/catga/testing";
 *
 * const Show = entity("Show", { initial: () => 0 });
 * const Sold = Show.event("Sold", (sold) => sold + 1);
 * const Sell = command<{ show: string }, number>("Sell", { key: ({ show }) => show });
 * await explore({
 *   seeds: 5,
 *   handlers: Show.handle(Sell, (show) => {
 *     show.emit(Sold);
 *     return show.state;
 *   }),
 *   workload: ({ app }) => Promise.all([1, 2, 3].map((n) => app.send(Sell, { show: "hamlet" }, { id: `${n}` }))),
 *   check: ({ history }) => {
 *     const sells = operationsOf(history, Sell);
 *     const model = { initial: () => 0, apply: (sold: number) => ({ state: sold + 1, output: sold + 1 }) };
 *     for (const { text } of checkLinearizable(sells, model)) throw new Error(text);
 *   },
 * });
 * ```
 */
export function operationsOf(
  { operations }: Pick<History, "operations">,
  ...contracts: readonly (AnyContract | { readonly name: string; readonly "~entity": object })[]
): Operation<ContractInput, unknown>[] {
  const names = new Map(contracts.map((contract) => [contract.name, contract]));
  const own = operations.filter(({ contract, method }) =>
    names.has(contract) && (method === "send" || method === "load")
  );
  const groups = Map.groupBy(own, (operation) => {
    const id = operation.id ?? idOf(names.get(operation.contract)!, operation.input);
    return JSON.stringify(id === undefined ? operation.number : [operation.contract, operation.key, id]);
  });
  return [...groups.values()].flatMap((sends): Operation<ContractInput, unknown>[] => {
    const [{ contract, key = "", input, began: from, node: by }] = sends;
    const [ended] = sends.filter(isDecided).sort((a, b) => a.ended! - b.ended!);
    if (ended === undefined && !sends.some(({ outcome }) => mayHaveHappened(outcome))) return [];
    const end = ended === undefined ? {} : { output: outputOf(ended), to: ended.ended };
    return [{ key, input: { contract, input }, from, by, ...end }];
  });
}

/** Returns true if an outcome shows what the handler decided: a value, or a failure of the contract's own. */
function isDecided({ outcome }: HistoryOperation): boolean {
  return outcome?.type === "ok" || (outcome?.type === "failed" && !isErrorCode(outcome.code));
}

function outputOf({ method, outcome }: HistoryOperation): unknown {
  if (outcome?.type === "failed") return { failed: outcome.code } satisfies OwnFailure;
  const value = outcome?.type === "ok" ? outcome.value : undefined;
  return method === "load" ? (value as { readonly version: number }).version : value;
}

function idOf(contract: AnyContract | { readonly "~entity": object }, input: unknown): string | undefined {
  if (!("options" in contract)) return undefined;
  try {
    return contract.options.id?.(input as never);
  } catch {
    return undefined; // the function of the contract threw: the send itself has failed for the same reason
  }
}
