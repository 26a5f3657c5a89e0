/** Computes the rates at which subscriptions read, and keeps their lags of the last 15 minutes. */
import type { SubscriptionInfo } from "../../contract/calls/durable_messages.ts";
import { sequenceOf } from "../../log/format/group_text.ts";
import { shownText } from "../shown.ts";
import type { LimitHealth } from "../../contract/nodes/node_info.ts";
import { shownLimit, shownOverride, shownPause } from "./shown_pauses.ts";
import type { SubscriptionView } from "../view.ts";

interface Past {
  sequence: number;
  at: number;
  rate: number;
  /** Time at which the last lag was recorded, by a monotonic clock. */
  noted: number;
  lags: number[];
}

/**
 * Earlier positions and lags of all subscriptions.
 * @decides the lag of subscriptions over time
 */
export class SubscriptionRates {
  readonly #past = new Map<string, Past>();

  /**
   * Returns a subscription with its rate and its lags. `monotonic`: the present time, in ms of a clock that never
   * goes back; `label`: returns the label of a node; `limits`: the subscription's limits, as its leader says.
   */
  view(
    info: SubscriptionInfo,
    monotonic: number,
    { label = shownText, limits }: {
      readonly label?: (node: string) => string;
      readonly limits?: readonly LimitHealth[] | undefined;
    } = {},
  ): SubscriptionView {
    const key = `${info.service}/${info.name}`;
    const sequence = sequenceOf(info.position);
    const past = this.#past.get(key) ?? { sequence, at: monotonic, rate: 0, noted: -Infinity, lags: [] };
    this.#past.set(key, past);
    const seconds = (monotonic - past.at) / 1_000;
    // the first progress from position 0 gives no rate: sequences begin with the time at which the stream was created,
    // so the distance says nothing
    if (seconds > 0.2) {
      const read = sequence - past.sequence;
      past.rate = read < 0 || past.sequence === 0 ? 0 : read / seconds;
      [past.sequence, past.at] = [sequence, monotonic];
    }
    if (monotonic - past.noted >= POINT_INTERVAL) {
      past.noted = monotonic;
      past.lags = [...past.lags.slice(-(POINTS - 1)), info.lag];
    }
    const { position: _, requested: __, ...figures } = info;
    return {
      ...figures,
      ...(limits && { limits: limits.slice(0, LIMITS).map(shownLimit) }),
      service: shownText(info.service),
      name: shownText(info.name),
      contracts: info.contracts.slice(0, CONTRACTS).map((each) => shownText(each)),
      leader: info.leader === undefined ? undefined : label(info.leader),
      overrides: info.overrides?.map(shownOverride),
      paused: info.paused && shownPause(info.paused),
      oldest: Math.round(info.oldest),
      rate: Math.round(past.rate * 10) / 10,
      lags: past.lags,
    };
  }
}

/** Number of points of a graph: 15 minutes. */
const POINTS = 90;
/** Time between two points of a graph, in ms. */
const POINT_INTERVAL = 10_000;
/** Maximum number of limits that are shown of a subscription. */
const LIMITS = 20;
/** Maximum number of contracts that are named for a subscription. */
const CONTRACTS = 20;
