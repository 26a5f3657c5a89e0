/** Converts the operations of a history of `explore` for `checkLinearizable`. */
import type { AnyContract } from "../../contract/contract.ts";
import { isErrorCode } from "../../error.ts";
import { type History, type HistoryOperation, mayHaveHappened } from "../history.ts";
import type { Operation } from "./linearizable.ts";

/** Input of an operation of {@link operationsOf}. */
export interface ContractInput {
  /** Name of the contract, or of the entity that is loaded. */
  readonly contract: string;
  /** The input as the caller passed it; `undefined` for a load. */
  readonly input: unknown;
}

/** Output of an operation that ended with a failure of its handler. */
export interface OwnFailure {
  /** Code of the failure. */
  readonly failed: string;
}

/**
 * Returns the sends of these contracts, and the loads of these entities, by key, for `checkLinearizable`. Sends of one
 * id are one operation: of an idempotent command, or of one of an entity. The output is the value, or `{ failed: code
 * }` for a code of the contract's own; a load gives its version. Sends that certainly had no effect are left out.
 * Times are places in the history.
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
    return id === undefined ? `${operation.number}` : `${operation.contract} ${operation.key} ${id}`;
  });
  return [...groups.values()].flatMap((sends): Operation<ContractInput, unknown>[] => {
    const [{ contract, key = "", input, began: from, node: by }] = sends;
    const ended = sends.find(isDecided);
    if (ended === undefined && !sends.some(({ outcome }) => mayHaveHappened(outcome))) return [];
    const end = ended === undefined ? {} : { output: outputOf(ended), to: ended.ended };
    return [{ key, input: { contract, input }, from, by, ...end }];
  });
}

/** Returns true if an outcome shows the decision of the handler. */
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
    return undefined; // the send has failed for the same reason
  }
}
