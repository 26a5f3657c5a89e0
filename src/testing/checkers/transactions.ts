/**
 * Checks transactions of stores: what one has recorded is stored if it has committed, and only then; events of a key
 * are stored in the order of the commits; an effect happens once for each id.
 */
import type { HandlerAttempt, History, HistoryOperation, StoreTransaction } from "../history.ts";
import type { Breach } from "./breach.ts";

/**
 * Returns the messages that transactions have recorded as operations: `ok` if they have committed, failed if they were
 * rolled back. A message of a transaction whose outcome is not known may be stored.
 */
export function recordedOperations(transactions: readonly StoreTransaction[]): HistoryOperation[] {
  return transactions.flatMap(({ store, recorded, outcome, effects: _, ...span }) =>
    recorded.flatMap(({ kind, contract, key, id }): HistoryOperation[] =>
      kind === "start" || kind === "tell" ? [] : [{
        ...span,
        ...{ number: -1, method: kind === "event" ? "publish" : "enqueue", kind, contract, key: key ?? undefined, id },
        ...{ input: undefined, options: undefined, node: store, step: undefined, by: undefined },
        outcome: outcome === "committed"
          ? { type: "ok", value: undefined }
          : outcome === "unknown"
          ? undefined
          : { type: "failed", code: "ROLLED_BACK", message: "the transaction was rolled back" },
      }]
    )
  );
}

/**
 * Returns a breach for each effect that two transactions have committed, for each start of a run of these workflows
 * that was committed and has not begun, or the other way round, and for each message of a key that is stored before
 * one that was committed earlier.
 */
export function checkTransactions(
  { transactions, attempts, runs }: Pick<History, "transactions" | "attempts" | "runs">,
  workflows: readonly string[],
): Breach[] {
  const committed = transactions.filter(({ outcome }) => outcome === "committed");
  return [
    ...effectsTwice(committed),
    ...workflows.flatMap((workflow) => startsApart(transactions, runs, workflow)),
    ...outOfOrder(transactions, attempts),
  ];
}

function effectsTwice(committed: readonly StoreTransaction[]): Breach[] {
  const of = Map.groupBy(
    committed.flatMap((transaction) => transaction.effects.map(({ scope, id }) => ({ transaction, scope, id }))),
    ({ transaction: { store }, scope, id }) => JSON.stringify([store, scope, id]),
  );
  return [...of.values()].flatMap(([first, second]): Breach[] => {
    if (second === undefined) return [];
    const [one, other] = [first.transaction, second.transaction];
    return [{
      promise: "effect once: for each id",
      subject: `effect ${first.id} of ${first.scope}`,
      text: `was committed at ${one.end}, and again at ${other.end}`,
      at: other.end,
      shownBy: [one, other],
    }];
  });
}

function startsApart(
  transactions: readonly StoreTransaction[],
  runs: History["runs"],
  workflow: string,
): Breach[] {
  const begun = new Set(runs.filter((run) => run.workflow === workflow).map(({ id }) => id));
  const starts = transactions.flatMap((transaction) =>
    transaction.recorded.filter(({ kind, contract }) => kind === "start" && contract === workflow)
      .map(({ key }) => ({ transaction, id: key! })) // of a start it is the id of the run
  );
  const has = (id: string, outcomes: readonly StoreTransaction["outcome"][]) =>
    starts.some((start) => start.id === id && outcomes.includes(start.transaction.outcome));
  return starts.flatMap(({ transaction, id }): Breach[] => {
    const { outcome, end } = transaction;
    const isWrong = outcome === "committed"
      ? !begun.has(id)
      : outcome === "rolled back" && begun.has(id) && !has(id, ["committed", "unknown"]);
    if (!isWrong) return [];
    return [{
      promise: "both or neither: what a transaction has recorded is stored if it commits",
      subject: `run ${id} of ${workflow}`,
      text: outcome === "committed"
        ? `was committed at ${end}, and has not begun`
        : `has begun, and its transaction was rolled back at ${end}`,
      at: outcome === "committed" ? undefined : end,
      shownBy: [transaction],
    }];
  });
}

function outOfOrder(transactions: readonly StoreTransaction[], attempts: readonly HandlerAttempt[]): Breach[] {
  const positions = new Map<string, number>();
  for (const { contract, id, position, batch } of attempts) {
    const members = batch ?? (position === undefined ? [] : [{ id, position }]);
    for (const member of members) {
      const name = JSON.stringify([contract, member.id]);
      positions.set(name, Math.min(member.position, positions.get(name) ?? Infinity));
    }
  }
  const known = new Set<string>();
  const lanes = new Map<string, { readonly position: number; readonly id: string; readonly of: StoreTransaction }[]>();
  return transactions.flatMap((of) =>
    of.recorded.flatMap(({ kind, contract, key, id }): Breach[] => {
      const message = JSON.stringify([contract, id]);
      const position = positions.get(message);
      const { store, outcome, ordered } = of;
      if (kind === "start" || kind === "tell" || key === null || position === undefined || !ordered) return [];
      // an id that is recorded again is stored once, where it was first
      if (outcome === "rolled back" || known.has(message)) return [];
      known.add(message);
      if (outcome === "unknown") return [];
      const lane = JSON.stringify([store, kind, contract, key]);
      const earlier = lanes.get(lane) ?? [];
      lanes.set(lane, [...earlier, { position, id, of }]);
      // of two side by side the one that ends last here may have committed first: an answer may be late
      const before = earlier.find((one) => one.position > position && one.of.ended! < of.began);
      if (before === undefined) return [];
      return [{
        promise: "order: messages of a key are stored in the order of their commits",
        subject: `${kind} ${contract} ${id}`,
        text: `was committed after ${before.id}, and is stored before it`,
        at: of.end,
        shownBy: [before.of, of],
      }];
    })
  );
}
