/**
 * Collects what the page shows, between `start` and `stop`, and keeps graphs and alarms in between. What is collected,
 * and how often: `collection.ts`.
 */
import { AlarmBoard } from "./alarm_board.ts";
import { type CollectedParts, Collection, type CollectorState, ROWS } from "./collection.ts";
import { ContractRates } from "./contract_rates.ts";
import type { DashboardSource } from "./dashboard_source.ts";
import { SubscriptionRates } from "./subscription_rates.ts";
import type { Topics } from "./view.ts";

/** Collects for the browsers that are connected. */
export class Collector {
  readonly #kept: CollectorState;
  #collection: Collection | undefined;

  constructor(source: DashboardSource, streams: CollectorState["streams"], only?: CollectedParts) {
    const [subscriptions, contracts, alarms] = [new SubscriptionRates(), new ContractRates(), new AlarmBoard()];
    this.#kept = { source, streams, only, subscriptions, contracts, alarms };
  }

  /** Begins. Idempotent. */
  start(): void {
    this.#collection ??= new Collection(this.#kept);
  }

  /** The graphs of the contracts. */
  history(): Topics["history"] {
    const { contracts } = this.#kept;
    return contracts.history(contracts.view(ROWS).shown.map(({ name }) => name));
  }

  /** Ends: nothing is asked or received after that, but answers that are on their way. Idempotent. */
  stop(): void {
    this.#collection?.stop();
    this.#collection = undefined;
  }
}
