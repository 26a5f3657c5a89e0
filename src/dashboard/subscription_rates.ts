/** How fast subscriptions read, and how their lag was in the last 15 minutes. */
import type { SubscriptionInfo } from "../contract/durable_messages.ts";
import { sequenceOf } from "../log/format/group_text.ts";
import { shownText } from "./shown.ts";
import type { SubscriptionView } from "./view.ts";

interface Past {
  sequence: number;
  at: number;
  rate: number;
  /** When the last lag was noted. */
  noted: number;
  lags: number[];
}

/** The past of the subscriptions. */
export class SubscriptionRates {
  readonly #past = new Map<string, Past>();

  /** A subscription as it stands now, in ms of a clock that never goes back. */
  view(info: SubscriptionInfo, monotonic: number, label: (node: string) => string = shownText): SubscriptionView {
    const key = `${info.service}/${info.name}`;
    const sequence = sequenceOf(info.position);
    const past = this.#past.get(key) ?? { sequence, at: monotonic, rate: 0, noted: -Infinity, lags: [] };
    this.#past.set(key, past);
    const seconds = (monotonic - past.at) / 1_000;
    // sequences begin with the time of the stream's creation: a first read of it is no rate
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
      service: shownText(info.service),
      name: shownText(info.name),
      contracts: info.contracts.slice(0, CONTRACTS).map((each) => shownText(each)),
      leader: info.leader === undefined ? undefined : label(info.leader),
      oldest: Math.round(info.oldest),
      rate: Math.round(past.rate * 10) / 10,
      lags: past.lags,
    };
  }
}

/** Points of 15 minutes, and the ms between two. */
const POINTS = 90;
const POINT_INTERVAL = 10_000;
/** Contracts that are named. */
const CONTRACTS = 20;
