/** Derives the subscriptions of a node from its handlers of durable contracts. */
import type { AnyContract } from "../../contract/declaration/contract.ts";
import type { BatchSettings, SubscriptionSettings } from "../../contract/declaration/handler.ts";
import { DEFAULT_RETRY } from "../../contract/declaration/defaults.ts";
import { COMMANDS, subscriptionName } from "../../contract/nodes/announcement.ts";
import { MAX_CATEGORIES } from "../format/commit.ts";

/** Settings of a category (contract) that its subscription's leader needs. */
export type CategorySettings = Pick<
  SubscriptionSettings,
  "from" | "attempts" | "delay" | "timeout" | "batch" | "limits" | "fair"
>;

/** A subscription, and the categories (contracts) of it that this node handles. */
export interface SubscriptionSpec {
  /** Name of the service that owns the subscription; `COMMANDS` for a queued command. */
  readonly service: string;
  readonly name: string;
  readonly categories: ReadonlyMap<string, CategorySettings>;
}

/**
 * Returns the subscriptions of these handlers, without read models. A queued command begins at the start, because
 * messages may be stored before any node handles it.
 */
export function subscriptionSpecs(
  service: string,
  handlers: Iterable<{ readonly contract: AnyContract; readonly settings: SubscriptionSettings }>,
): readonly SubscriptionSpec[] {
  const specs = new Map<string, { service: string; name: string; categories: Map<string, CategorySettings> }>();
  for (const { contract, settings } of handlers) {
    if (settings.each === "node") continue;
    const queued = contract.kind === "command";
    const owner = queued ? COMMANDS : service;
    const name = queued ? contract.name : subscriptionName(contract, settings.name);
    const key = `${owner}/${name}`;
    let spec = specs.get(key);
    if (spec === undefined) specs.set(key, spec = { service: owner, name, categories: new Map() });
    // two handlers of a category have the same settings but for batches: others were refused when they were collected
    const { attempts, delay, timeout, limits, fair } = settings;
    const from = queued ? "start" : settings.from;
    const other = spec.categories.get(contract.name);
    const batch = other === undefined ? settings.batch : commonBatch(settings.batch, other.batch);
    const more = { ...(limits === undefined ? {} : { limits }), ...(fair === undefined ? {} : { fair }) };
    spec.categories.set(contract.name, { from, attempts, delay, timeout, batch, ...more });
    if (spec.categories.size > MAX_CATEGORIES) {
      throw new TypeError(
        `the subscription ${name} has handlers of more than ${MAX_CATEGORIES} contracts: give some of them another name`,
      );
    }
  }
  return [...specs.values()];
}

/**
 * Settings of a category that only other nodes handle. The retry settings that these nodes announce take precedence,
 * and these nodes abort runs at their own timeout.
 */
export const DEFAULT_SETTINGS: CategorySettings = Object.freeze({ from: "now", ...DEFAULT_RETRY, timeout: 3_600_000 });

/**
 * Returns the settings of batches for two handlers of the same subscription and category, both of which run for each
 * message: if one of them takes single messages, both get single messages.
 */
function commonBatch(one: BatchSettings | undefined, other: BatchSettings | undefined): BatchSettings | undefined {
  return one && other && { max: Math.min(one.max, other.max), within: Math.min(one.within, other.within) };
}
