/**
 * `guarantees`: makes a check for `explore` from contracts. The check finds, in the history of each run, breaches of
 * the promises that the docs make for a command, a query, a durable event, a workflow, an entity, locks,
 * leadership and limits.
 */
import { isDeepStrictEqual } from "node:util";
import { CatgaError } from "../error.ts";
import type { AnyContract } from "../contract/declaration/contract.ts";
import { isRecord, show } from "../data/checks.ts";
import type { RequestKind } from "./checkers/allowed_results.ts";
import { type Breach, shown, throwFirst } from "./checkers/breach.ts";
import { checkDeliveries } from "./checkers/deliveries.ts";
import { checkSlots } from "./checkers/limits.ts";
import { type AwaySpan, checkLeadership, checkLocks } from "./checkers/locks.ts";
import { checkMessages, type MessageObservation, outcomeText } from "./checkers/messages.ts";
import { checkTransactions, recordedOperations } from "./checkers/transactions.ts";
import { checkRuns } from "./checkers/workflow_runs.ts";
import { STANDS } from "./explore_plan.ts";
import type { HandlerAttempt, History, HistoryOperation } from "./history.ts";

/** An argument of `guarantees`: a contract, a workflow or an entity. */
export type Guaranteed =
  | AnyContract
  | { readonly kind: "workflow"; readonly name: string }
  | { readonly name: string; readonly "~entity": object };

/**
 * Makes a check for `explore`: it throws a `BrokenPromise` if a run has broken what the docs promise for one of these
 * contracts. Locks, leadership, effects of stores and limits are always checked. Throws a `TypeError` for a value that
 * is no contract.
 *
 * - a command never runs twice, an idempotent one and one of an entity have one result for each id, and each result
 *   agrees with the runs of its handler
 * - a durable event or command that is `ok` was handled by each subscription of which a handler ran, or is a dead
 *   letter; those of one key in order
 * - a run of a workflow ends, each recorded step has run, no step runs after its `undo`, a run whose cancel was `ok`
 *   does not end with success, and a completion of a callback that is `ok` counts, one for each callback
 * - what a transaction of a store (option `sql`) has recorded is stored if it has committed, and only then; messages of
 *   a key in the order of the commits; an effect of a store is committed once for each id
 * - all nodes that load an entity at one version get the same state
 * - of a limit of a subscription, and of each key of it, no more messages run at once than `running` allows, over all
 *   nodes; what a node runs that was frozen, blocked or cut off is not counted, nor a limit that the workload changes
 *
 * @example
 * ```ts
 * import { command } from "@catga/catga";
 * import { explore, guarantees } from "@catga/catga/testing";
 *
 * const Pay = command<{ cents: number }, string>("Pay", { idempotent: true });
 * await explore({
 *   seeds: 5,
 *   handlers: Pay.handle(({ cents }) => `paid ${cents}`),
 *   workload: ({ app, step }) => step("pay", () => app.send(Pay, { cents: 420 }, { id: "order-7" })),
 *   check: guarantees(Pay),
 * });
 * ```
 */
export function guarantees(...promised: readonly Guaranteed[]): (run: { readonly history: History }) => void {
  promised.forEach((one, n) => {
    if (isRecord(one) && typeof one.name === "string" && ("kind" in one || "~entity" in one)) return;
    throw new TypeError(`guarantees takes contracts, workflows and entities; argument ${n + 1} is ${show(one)}`);
  });
  return ({ history }) => throwFirst(breachesOf(history, promised));
}

/**
 * Returns the breaches of all promises of these contracts in a history, and of locks, leadership and limits.
 * @decides what must hold of each kind of contract
 */
export function breachesOf(history: History, promised: readonly Guaranteed[]): Breach[] {
  const workflows = promised.filter((one) => "kind" in one && one.kind === "workflow").map(({ name }) => name);
  // cast: a value that is neither a workflow nor an entity is a contract
  const contracts = promised.filter((one) => "kind" in one && one.kind !== "workflow") as AnyContract[];
  const entities = promised.filter((one) => "~entity" in one).map(({ name }) => name);
  const requests = contracts.filter(({ kind }) => kind === "command" || kind === "query");
  return [
    ...requests.flatMap((contract) => ofRequests(history, contract)),
    ...checkDeliveries(
      { ...history, operations: [...history.operations, ...recordedOperations(history.transactions)] },
      contracts.filter(({ options }) => isDurable(options)),
    ),
    ...checkSlots(history),
    ...checkTransactions(history, workflows),
    ...checkRuns(history, workflows),
    ...entities.flatMap((entity) => ofEntity(history, entity)),
    ...ofLocks(history),
  ];
}

function isDurable({ durable, entity }: AnyContract["options"]): boolean {
  return (durable !== undefined && durable !== false) || entity !== undefined;
}

// Checks of commands and queries:

function ofRequests(history: History, contract: AnyContract): Breach[] {
  const { name, options } = contract;
  const attempts = history.attempts.filter((attempt) =>
    attempt.contract === name && attempt.position === undefined && attempt.batch === undefined
  );
  const sends = history.operations.filter((operation) => operation.contract === name && operation.method === "send");
  const isOfEntity = attempts.some(({ entity }) => entity !== undefined);
  const isIdempotent = options.idempotent !== undefined && options.idempotent !== false;
  const broken = isOfEntity || isIdempotent ? oneResult(contract, sends) : [];
  if (isOfEntity) return broken;
  const kind: RequestKind = contract.kind === "query" ? "query" : isIdempotent ? "idempotent" : "command";
  return [...broken, ...checkMessages(observationsOf(history, contract, kind, { attempts, sends }))];
}

/** Checks that all `ok` results of sends under one id are equal. */
function oneResult({ kind, name, options }: AnyContract, sends: readonly HistoryOperation[]): Breach[] {
  const ids = Map.groupBy(
    sends.flatMap((operation) => {
      const id = operation.id ?? idOf(options, operation.input);
      const { outcome } = operation;
      return id === undefined || outcome?.type !== "ok" ? [] : [{ operation, id, key: operation.key, outcome }];
    }),
    ({ id, key }) => JSON.stringify([key, id]),
  );
  return [...ids.values()].flatMap(([first, ...more]): Breach[] => {
    const other = more.find(({ outcome }) => !isDeepStrictEqual(outcome.value, first.outcome.value));
    if (other === undefined) return [];
    const told = [first, other].map(({ outcome, operation: { end } }) => `${shown(outcome.value)} at ${end}`);
    return [{
      promise: "idempotent: one recorded result for each id",
      subject: `${kind} ${name} ${first.id}`,
      text: `was answered ${told.join(", and ")}`,
      at: other.operation.end,
      shownBy: [first.operation, other.operation],
    }];
  });
}

function observationsOf(
  history: History,
  { name, options }: AnyContract,
  kind: RequestKind,
  { attempts, sends }: { readonly attempts: readonly HandlerAttempt[]; readonly sends: readonly HistoryOperation[] },
): MessageObservation[] {
  const byOperation = new Map(attempts.map(({ operation, id }) => [operation, id]));
  const settled = sends.filter(({ outcome }) => outcome !== undefined && outcome.type !== "thrown");
  const named = settled.map((operation) => {
    const id = operation.id ?? byOperation.get(operation.number) ?? idOf(options, operation.input);
    return { operation, message: `${name} ${id ?? `number ${operation.number}`}` };
  });
  const times = new Map<string, number>();
  for (const { message } of named) times.set(message, (times.get(message) ?? 0) + 1);
  const observations = [
    // sends under a shared id are left out: they share their runs
    ...named.filter(({ message }) => times.get(message) === 1).flatMap(({ operation, message }) => {
      const { node: sender, start, end, outcome } = operation;
      if (outcome?.type === "failed" && LOCAL.has(outcome.code)) return [];
      const timeout = timeoutOf(operation) ?? options.timeout ?? Infinity;
      const send: MessageObservation = { type: "send", at: start, message, kind, sender, due: start + timeout };
      const result = outcome?.type === "ok" ? { ok: true as const, value: outcome.value, error: undefined } : {
        ok: false as const,
        error: new CatgaError(outcome!.type === "failed" ? outcome!.code : "", ""),
        value: undefined,
      };
      return [send, { type: "result", at: end!, message, result } satisfies MessageObservation];
    }),
    ...attempts.map(({ start, id, node, outcome }): MessageObservation => {
      const isKnown = outcome !== undefined && (outcome.type !== "ok" || options.output === undefined);
      const text = !isKnown ? undefined : outcome.type === "ok" ? outcomeText(outcome.value) : codeOf(outcome);
      return {
        type: "run",
        at: start,
        message: `${name} ${id}`,
        kind: kindOfRun(kind, times.get(`${name} ${id}`)),
        node,
        id,
        outcome: text,
      };
    }),
  ];
  for (const { fault, node, start, end } of history.faults) {
    if (STANDS.has(fault) && node !== undefined && end !== undefined) {
      observations.push({ type: "resume", at: end, node, since: start });
    }
  }
  for (const { node, start, end, endedBy } of history.processes) {
    observations.push({ type: "start", at: start, node });
    if (endedBy === "kill" && end !== undefined) observations.push({ type: "kill", at: end, node });
  }
  return observations;
}

/**
 * Returns how the runs of a command are checked. `sends`: how often the command was sent under its id. If that is more
 * than once, its runs are checked like those of an idempotent command; else by the command's own kind.
 */
function kindOfRun(kind: RequestKind, sends: number | undefined): RequestKind {
  return kind === "command" && (sends ?? 1) > 1 ? "idempotent" : kind;
}

function codeOf(outcome: { readonly type: "failed"; readonly code: string } | { readonly type: "thrown" }): string {
  return outcome.type === "failed" ? outcome.code : "HANDLER_FAILED";
}

function idOf({ id }: AnyContract["options"], input: unknown): string | undefined {
  try {
    return id?.(input as never);
  } catch {
    return undefined; // the function of the contract threw: the operation itself has failed for the same reason
  }
}

function timeoutOf({ options }: HistoryOperation): number | undefined {
  const timeout = options?.timeout;
  return typeof timeout === "number" ? timeout : undefined;
}

/** Error codes of sends that say nothing about the runs of the handler. */
const LOCAL: ReadonlySet<string> = new Set([
  ...["INVALID_MESSAGE", "INVALID_RESPONSE", "TOO_LARGE", "ID_REUSED", "FORBIDDEN", "ACCESS_DENIED"],
]);

// Checks of entities, locks and leadership:

function ofEntity({ operations }: History, entity: string): Breach[] {
  const loads = operations.flatMap((operation) => {
    const { method, contract, key, outcome } = operation;
    if (method !== "load" || contract !== entity || outcome?.type !== "ok") return [];
    return [{ operation, key: String(key), ...outcome.value as { version: number; state: unknown } }];
  });
  return [...Map.groupBy(loads, ({ key, version }) => `${key} ${version}`).values()].flatMap(([first, ...more]) => {
    const other = more.find(({ state }) => !isDeepStrictEqual(state, first.state));
    if (other === undefined) return [];
    const of = [first, other].map(({ operation: { node }, state }) => `${shown(state)} on ${node}`);
    return [{
      promise: "entity: its state is made of its events",
      subject: `${entity} ${first.key}`,
      text: `is ${of.join(", and ")}, both at version ${first.version}`,
      at: other.operation.end,
      shownBy: [first.operation, other.operation],
    }];
  });
}

function ofLocks({ locks, terms, faults, processes }: History): Breach[] {
  const nameOf = ({ node, process }: { readonly node: string; readonly process: number }) =>
    `${node} (start ${process})`;
  const away: AwaySpan[] = [
    ...processes.filter(({ endedBy }) => endedBy === "kill")
      .map((of) => ({ by: nameOf(of), from: of.ended!, to: undefined })),
    ...faults.filter(({ fault, node }) => STANDS.has(fault) && node !== undefined).flatMap(({ node, began, ended }) =>
      processes.filter((of) => of.node === node).map((of) => ({ by: nameOf(of), from: began, to: ended }))
    ),
  ];
  const holds = locks.flatMap((lock) =>
    lock.keys.map((key) => ({ key, by: nameOf(lock), token: lock.token, from: lock.began, to: lock.ended }))
  );
  const leads = terms.map((term) => ({ key: term.name, by: nameOf(term), from: term.began, to: term.ended }));
  return [...checkLocks({ holds, away }), ...checkLeadership({ holds: leads, away })];
}
