/**
 * Collects the data of the page between `start` and `stop`, and keeps its graphs and alarms for the next `start`.
 * `collection.ts` decides which data are read, and how often.
 */
import { AlarmBoard } from "./alarm_board.ts";
import { type CollectedParts, Collection, type CollectorState, ROWS } from "./collection.ts";
import { ContractRates } from "./contract_rates.ts";
import type { DashboardSource } from "../dashboard_source.ts";
import { SubscriptionRates } from "./subscription_rates.ts";
import type { Topics } from "../view.ts";

/** Collects the data for the connected browsers. */
export class Collector {
  readonly #kept: CollectorState;
  #collection: Collection | undefined;

  constructor(source: DashboardSource, streams: CollectorState["streams"], only?: CollectedParts) {
    const [subscriptions, contracts, alarms] = [new SubscriptionRates(), new ContractRates(), new AlarmBoard()];
    this.#kept = { source, streams, only, subscriptions, contracts, alarms };
  }

  /** Starts collecting. Idempotent. */
  start(): void {
    this.#collection ??= new Collection(this.#kept);
  }

  /** Returns the graphs of the contracts for the last 15 minutes. */
  history(): Topics["history"] {
    const { contracts } = this.#kept;
    return contracts.history(contracts.view(ROWS).shown.map(({ name }) => name));
  }

  /** Stops collecting: from then on nothing is requested, and only answers under way still arrive. Idempotent. */
  stop(): void {
    this.#collection?.stop();
    this.#collection = undefined;
  }
}
