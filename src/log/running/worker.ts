/**
 * Handles the messages that leaders of subscriptions send to this node, under internal contracts that only Catga
 * sends. Requests pass the router, so that the router's guarantees of delivery apply.
 */
import { announcement, COMMANDS, controlName, runName, subscriptionName } from "../../contract/nodes/announcement.ts";
import type { SubscriptionHealth } from "../../contract/nodes/node_info.ts";
import type { MaybePromise } from "../../contract/schemas/schema.ts";
import { ALWAYS, type DurableHandler, type Mediator } from "../../dispatch/mediator.ts";
import type { MessageContext } from "../../dispatch/message_context.ts";
import type { Outcome } from "../../dispatch/outcome.ts";
import { byteLength } from "../../data/utf8.ts";
import { CatgaError } from "../../error.ts";
import type { EventLog } from "../../ports/event_log.ts";
import { openOnce } from "../../ports/open_once.ts";
import { Standstill } from "../../ports/standstill.ts";
import { UnderWay } from "../../ports/under_way.ts";
import { commitSubject, subscriptionKey } from "../format/names.ts";
import { type BarrierAnswer, internalCommand, readAbort, readBarrier } from "../format/run_request.ts";
import { openStream } from "../format/streams.ts";
import { categoryHandlers } from "./category_handlers.ts";
import { LeaderToken } from "./leader_token.ts";
import { type DrainingHost, SubscriptionRuns } from "./subscription_runs.ts";

/** Options of {@link serve}. */
export interface WorkerOptions {
  readonly host: DrainingHost & { readonly closed: Promise<void> };
  readonly mediator: Mediator;
  readonly service: string;
  readonly namespace: string;
  readonly replicas: number;
  /** Default timeout of handlers, from the app's options, in ms. */
  readonly timeout: number;
  /** True if a subscription's leader gets the errors that handlers throw. */
  readonly causes: boolean;
  log(): Promise<EventLog>;
}

/** The runs of this node, by a subscription's service (`owner`) and name. */
export interface ServedRuns {
  /** Reports dead letters of the subscription whose handlers still run here although their timeout has passed. */
  hanging(owner: string, name: string): SubscriptionHealth["hanging"];
  /** Returns the count of the subscription's messages that run at this node; `undefined`: it handles none of them. */
  underWay(owner: string, name: string): UnderWay | undefined;
}

/**
 * Returns the announcements of these handlers for the node's record, sorted. An announcement names a subscription, a
 * contract and the retry settings. `undefined`: there are no announcements.
 */
export function announced(service: string, handlers: readonly DurableHandler[]): readonly string[] | undefined {
  const texts = [...byCategory(service, handlers).values()].map(({ owner, name, category, handlers }) =>
    announcement(owner, name, category, handlers[0].settings)
  );
  return texts.length === 0 ? undefined : texts.sort();
}

/**
 * Registers the internal contracts of the node's durable handlers with the mediator. Call before other nodes see this
 * node. Returns what may be asked of a subscription's runs at this node.
 */
export function serve(options: WorkerOptions): ServedRuns {
  const { host, mediator, service, namespace, replicas, timeout, causes, log } = options;
  const kept = openOnce(async () => await openStream({ log: await log(), namespace, replicas }, "subscriptions"));
  const standstill = new Standstill(host.clock, STOOD_STILL);
  const close = () => standstill.close();
  host.closed.then(close, close);
  const subscriptions = new Map<string, ServedSubscription>();
  for (const { owner, name, category, handlers } of byCategory(service, mediator.durable).values()) {
    const key = subscriptionKey(owner, name);
    let subscription = subscriptions.get(key);
    if (subscription === undefined) {
      const record = async () => await (await kept()).last(commitSubject(namespace, key), { latest: true });
      const token = new LeaderToken({ service: owner, name, clock: host.clock, standstill, record });
      subscriptions.set(key, subscription = { token, categories: [], underWay: new UnderWay() });
      const own = subscription;
      // a barrier runs even if the node has no room for other messages: if a full node refused it, another node would
      // run this node's messages a second time
      const how = { always: ALWAYS };
      mediator.serve(internalCommand(controlName(owner, name)), (payload, ctx) => control(own, payload, ctx), how);
    }
    const { token, categories, underWay } = subscription;
    const together = categoryHandlers(handlers, timeout);
    const of = { token, subscription: `${owner}/${name}`, underWay };
    const runs = new SubscriptionRuns({ host, ...of, causes, handlers: together });
    categories.push(runs);
    const how = { always: (payload: unknown) => runs.joins(payload), lasts: together.timeout };
    mediator.serve(internalCommand(runName(owner, name, category)), runs.handle, how);
  }
  const of = (owner: string, name: string) => subscriptions.get(subscriptionKey(owner, name));
  return {
    hanging: (owner, name) => of(owner, name)?.categories.flatMap(({ hanging }) => hanging ?? [])[0],
    underWay: (owner, name) => of(owner, name)?.underWay,
  };
}

/** A subscription at this node: whom it obeys, and its runs by contract. */
interface ServedSubscription {
  readonly token: LeaderToken;
  readonly categories: SubscriptionRuns[];
  readonly underWay: UnderWay;
}

/** The handlers of one contract in one subscription. */
interface HandledCategory {
  /** Name of the service to which the subscription belongs. */
  readonly owner: string;
  readonly name: string;
  readonly category: string;
  readonly handlers: DurableHandler[];
}

/** Groups the handlers by subscription and contract, for subscriptions that nodes share. */
function byCategory(service: string, handlers: readonly DurableHandler[]): Map<string, HandledCategory> {
  const categories = new Map<string, HandledCategory>();
  for (const handler of handlers) {
    const { contract, settings } = handler;
    if (contract.kind === "event" && settings.each === "node") continue;
    const [owner, name] = contract.kind === "event"
      ? [service, subscriptionName(contract, settings.name)]
      : [COMMANDS, contract.name];
    const key = announcement(owner, name, contract.name);
    const known = categories.get(key);
    if (known !== undefined) known.handlers.push(handler);
    else categories.set(key, { owner, name, category: contract.name, handlers: [handler] });
  }
  return categories;
}

/**
 * Handles a request to abort a run; or a barrier: this node refuses runs of earlier leaders from now on, and answers
 * with the messages that run there.
 */
function control(
  { token, categories }: ServedSubscription,
  payload: unknown,
  ctx: MessageContext,
): MaybePromise<Outcome> {
  const abort = readAbort(payload);
  const given = abort === undefined ? readBarrier(payload) : abort[1];
  if (given === undefined) {
    const error = new CatgaError("INVALID_MESSAGE", "a barrier is malformed", { node: ctx.node });
    return { ok: false, error };
  }
  return token.check(given).then((check): Outcome => {
    if (check === "leader" && abort !== undefined) {
      const [, , category, id] = abort;
      for (const runs of categories) if (runs.category === category) runs.replace(id, given);
      return { ok: true, value: undefined };
    }
    if (check === "leader") {
      const reports = categories.map((runs) => runs.report(given));
      // what runs comes first: if it is left out, it runs twice
      const room = { bytes: MAX_ANSWER };
      const running = newest(reports.map(({ running }) => running), room);
      const finished = newest(reports.map(({ finished }) => finished), room);
      const ended = newest(reports.map(({ ended }) => ended), room);
      return { ok: true, value: { running, ended, finished } satisfies BarrierAnswer };
    }
    const message = `the ${abort === undefined ? "barrier" : "request"} is that of an earlier leader`;
    const earlier = () => new CatgaError("CANCELLED", message, { node: ctx.node });
    return { ok: false, error: check === "earlier" ? earlier() : check };
  });
}

/**
 * Returns the last elements of several lists for which there is room, as many of each as there is room for, and takes
 * the room that they need.
 */
function newest<T>(lists: readonly (readonly T[])[], room: { bytes: number }): readonly T[] {
  const from = lists.map(({ length }) => length);
  while (from.some((at) => at > 0)) {
    for (const [i, list] of lists.entries()) {
      if (from[i] === 0) continue;
      const left = room.bytes - byteLength(JSON.stringify(list[from[i] - 1])) - 1;
      if (left < 0) return lists.flatMap((list, i) => list.slice(from[i]));
      room.bytes = left;
      from[i]--;
    }
  }
  return lists.flat();
}

/**
 * Maximum size of an answer to a barrier, in bytes: half of what NATS takes as one message, unless told otherwise. An
 * answer that cannot be sent would make this node a silent one, whose messages run again elsewhere.
 */
const MAX_ANSWER = 512 * 1_024;
/**
 * Duration of a standstill of this process, in ms, after which another node may lead a subscription of this node: less
 * than the 1.7 s without a renewal of a leader's lease after which, at the earliest, another node takes the lead.
 */
const STOOD_STILL = 1_300;
