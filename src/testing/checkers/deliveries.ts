/**
 * Checks durable events and queued commands: stored messages must be handled at least once, messages of one key in
 * order.
 */
import type { AnyContract } from "../../contract/declaration/contract.ts";
import { type HandlerAttempt, type History, type HistoryOperation, mayHaveHappened } from "../history.ts";
import type { Breach } from "./breach.ts";

/** The members of a {@link History} that {@link checkDeliveries} reads. */
export type DeliveryHistory = Pick<History, "operations" | "attempts" | "deadLetters" | "processes">;

/**
 * Returns a breach for each broken promise of durable contracts: a stored message that a subscription has neither
 * handled nor made a dead letter, a handled message whose publisher got the result that it is not stored, and a message
 * that began before an earlier message of its contract, key and subscription was done. Only subscriptions of which a
 * handler ran are checked, and only messages of `publish` or `enqueue` without a schedule must be handled.
 *
 * @example
 * ```ts
 * import { event } from "@catga/catga";
 * import { checkDeliveries, explore } from "@catga/catga/testing";
 *
 * const Placed = event<number>("Placed", { durable: true });
 * await explore({
 *   seeds: 5,
 *   handlers: Placed.on(() => {}, { name: "mails" }),
 *   workload: ({ app, step }) => step("place", () => app.publish(Placed, 7)),
 *   check: ({ history }) => {
 *     for (const { text } of checkDeliveries(history, [Placed])) throw new Error(text);
 *   },
 * });
 * ```
 * @decides nothing durable is lost, doubled or out of order
 */
export function checkDeliveries(history: DeliveryHistory, contracts: readonly AnyContract[]): Breach[] {
  return contracts.flatMap((contract) => {
    const { name } = contract;
    const deliveries = deliveriesOf(history, name);
    const operations = history.operations.filter((operation) =>
      operation.contract === name && (operation.method === "publish" || operation.method === "enqueue")
    );
    return [...missing(history, contract, operations, deliveries), ...outOfOrder(history, contract, deliveries)];
  });
}

/** A message of the log in one run of a handler. */
interface ObservedDelivery {
  /** Service and name of the subscription. */
  readonly subscription: string;
  /** Name of the subscription, without its service. */
  readonly name: string;
  readonly id: string;
  readonly key: string | undefined;
  readonly position: number;
  readonly operation: number | undefined;
  readonly began: number;
  readonly start: number;
  /**
   * Place in the history of the end of a run that handled the message, in a process that was alive at that place;
   * `undefined`: no run has handled it.
   */
  readonly done: number | undefined;
  readonly attempt: HandlerAttempt;
}

function deliveriesOf({ attempts, processes }: DeliveryHistory, contract: string): ObservedDelivery[] {
  const killed = new Map(
    processes.filter(({ endedBy }) => endedBy === "kill").map((
      { node, process, ended },
    ) => [`${node} ${process}`, ended]),
  );
  return attempts.filter((attempt) => attempt.contract === contract && attempt.subscription !== undefined)
    .flatMap((attempt) => {
      const { began, start, ended, outcome, node, process } = attempt;
      const name = attempt.subscription!;
      const death = killed.get(`${node} ${process}`) ?? Infinity;
      const done = outcome?.type === "ok" && ended !== undefined && ended < death ? ended : undefined;
      const subscription = subscriptionOf(attempt);
      const members = attempt.batch ??
        (attempt.position === undefined ? [] : [{ ...attempt, position: attempt.position }]);
      return members.map(({ id, key, position, operation }) => ({
        ...{ subscription, name, id, key, position, operation, began, start, done, attempt },
      }));
    });
}

/**
 * Returns service and name of the subscription of a run, because services have subscriptions of the same name; the name
 * alone for a queued command, which has one subscription for all services.
 */
export function subscriptionOf({ subscription, kind, node }: HandlerAttempt): string {
  return kind === "command" ? `${subscription}` : `${node.replace(/-\d+$/, "")}/${subscription}`;
}

function missing(
  { deadLetters, operations: all }: DeliveryHistory,
  contract: AnyContract,
  operations: readonly HistoryOperation[],
  deliveries: readonly ObservedDelivery[],
): Breach[] {
  const subscriptions = new Map(deliveries.map(({ subscription, name }) => [subscription, name]));
  const isDead = (name: string, id: string) =>
    deadLetters.some((letter) => letter.contract === contract.name && letter.subscription === name && letter.id === id);
  const isUnscheduled = (id: string | undefined) =>
    all.some((operation) =>
      operation.method === "unschedule" && operation.contract === contract.name && operation.key === id
    );
  const ids = new Map(operations.map((operation) => [operation, idOf(contract, operation)]));
  return operations.flatMap((operation): Breach[] => {
    const { number, outcome, input, start } = operation;
    const id = ids.get(operation);
    const isOf = (delivery: ObservedDelivery) => id === undefined ? delivery.operation === number : delivery.id === id;
    const subject = `${contract.kind} ${contract.name} ${id ?? `number ${number}`}`;
    if (outcome?.type === "ok") {
      if (isUnscheduled(id) || isScheduled(operation)) return [];
      return [...subscriptions].flatMap(([subscription, name]) => {
        const own = deliveries.filter((delivery) => delivery.subscription === subscription && isOf(delivery));
        if (own.some(({ done }) => done !== undefined)) return [];
        const seen = id ?? own[0]?.id;
        if (seen !== undefined && isDead(name, seen)) return [];
        const runs = own.length === 0 ? "no handler of it has run" : `${own.length} run(s) began, and none was done`;
        return [{
          promise: "durable: handled at least once by each subscription",
          subject,
          text: `was stored, and ${subscription} has not handled it: ${runs}`,
          at: undefined,
          shownBy: [operation, ...own.map(({ attempt }) => attempt)],
        }];
      });
    }
    if (mayHaveHappened(outcome) || outcome?.type !== "failed") return [];
    // the id belongs to more than one operation, so it does not show which operation stored the message
    if (id !== undefined && [...ids].some(([other, otherId]) => other !== operation && otherId === id)) return [];
    const own = deliveries.find(isOf);
    if (own === undefined) return [];
    return [{
      promise: "durable: a failure that is certain means not stored",
      subject,
      text: `its publisher got ${outcome.code} at ${start}, and ${own.subscription} handled it: ${
        JSON.stringify(input)
      }`,
      at: own.start,
      shownBy: [operation, own.attempt],
    }];
  });
}

function outOfOrder(
  { deadLetters }: DeliveryHistory,
  { name, kind, options }: AnyContract,
  deliveries: readonly ObservedDelivery[],
): Breach[] {
  if (options.key === undefined) return [];
  const isDiscarded = (delivery: ObservedDelivery) =>
    delivery.attempt.outcome?.type === "failed" &&
    !deadLetters.some(({ id, subscription }) => id === delivery.id && subscription === delivery.name);
  const isKeyed = ({ key }: ObservedDelivery) => key !== undefined;
  const orders = Map.groupBy(deliveries.filter(isKeyed), ({ subscription, key }) => `${subscription} ${key}`);
  return [...orders].flatMap(([order, own]) => {
    const messages = new Map<
      number,
      { readonly first: ObservedDelivery; readonly attempts: Set<HandlerAttempt>; done: number }
    >();
    for (const delivery of own.toSorted((a, b) => a.began - b.began)) {
      const message = messages.get(delivery.position) ?? { first: delivery, attempts: new Set(), done: Infinity };
      message.attempts.add(delivery.attempt);
      message.done = Math.min(message.done, delivery.done ?? Infinity);
      messages.set(delivery.position, message);
    }
    const sorted = [...messages].toSorted(([a], [b]) => a - b).map(([, message]) => message);
    return sorted.flatMap(({ first }, n): Breach[] => {
      const earlier = sorted.slice(0, n).find(({ first: before, attempts, done }) =>
        done > first.began && !attempts.has(first.attempt) &&
        (before.began > first.began || done < Infinity || !isDiscarded(before))
      );
      if (earlier === undefined) return [];
      const how = earlier.first.began > first.began ? "had begun" : "was done";
      return [{
        promise: "durable: messages of one key in order",
        subject: `${kind} ${name}, key ${first.key}`,
        text:
          `${first.id} at position ${first.position} began in ${order.split(" ")[0]} before ${earlier.first.id} at ` +
          `position ${earlier.first.position} ${how}`,
        at: first.start,
        shownBy: [earlier.first.attempt, first.attempt],
      }];
    });
  });
}

function idOf({ options }: AnyContract, { id, input }: HistoryOperation): string | undefined {
  if (id !== undefined || options.id === undefined) return id;
  try {
    return options.id(input as never);
  } catch {
    return undefined; // the function of the contract threw: the operation itself has failed for the same reason
  }
}

/** Returns true if an operation (a publish, an enqueue or a start) is scheduled for a later time. */
export function isScheduled({ options: { at, delay, cron } = {} }: HistoryOperation): boolean {
  return at !== undefined || delay !== undefined || cron !== undefined;
}
