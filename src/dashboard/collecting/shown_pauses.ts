/** Limits, and what operators have set of them and of subscriptions, safe to show on the page. */
import type { LimitHealth, LimitOverride, SubscriptionPause } from "../../contract/nodes/node_info.ts";
import { shownText } from "../shown.ts";

/** Returns what runs and waits for a limit. */
export function shownLimit({ name, waits = [], ...counts }: LimitHealth): LimitHealth {
  const keys = waits.map(({ key, ...of }) => ({ ...of, key: shownText(key, 200) }));
  return { ...counts, name: shownText(name), ...(keys.length > 0 && { waits: keys }) };
}

/** Returns what operators have set of a limit, with 20 paused keys at most. */
export function shownOverride({ limit, paused, keys = [], set, invalid }: LimitOverride): LimitOverride {
  return {
    limit: shownText(limit),
    ...(paused && { paused: shownPause(paused) }),
    ...(keys.length > 0 && {
      keys: keys.slice(0, 20).map(({ key, ...pause }) => ({ key: shownText(key, 200), ...shownPause(pause) })),
    }),
    ...(set && { set }),
    ...(invalid !== undefined && { invalid: shownText(invalid) }),
  };
}

/** Returns a pause with its reason. */
export function shownPause({ reason, ...pause }: SubscriptionPause): SubscriptionPause {
  return reason === undefined ? pause : { ...pause, reason: shownText(reason, 400) };
}
