/**
 * An operator of a simulated subscription, who pauses its limits, and keys of them, sets their numbers, and clears that
 * again; and what of that is in force, by rules of their own: a leader's are in `src/log/subscriptions`.
 */
import type { LimitOverride } from "../../src/contract/nodes/node_info.ts";
import type { Random } from "../../src/ports/clock.ts";

/** What is in force for one key of a limit. */
export interface InForce {
  readonly running: number;
  readonly isPaused: boolean;
}

/** Draws what the operator has set from now on of these limits, each with its keys; of some of them nothing. */
export function drawnOverrides(
  limits: Readonly<Record<string, readonly string[]>>,
  random: Random,
  now: number,
): readonly LimitOverride[] {
  const pause = () => ({ since: now, ...(random() < 0.5 && { until: Math.floor(now + random() * 1_500) }) });
  return Object.entries(limits).flatMap(([limit, keys]) => {
    const held = keys.filter(() => random() < 0.2).map((key) => ({ key, ...pause() }));
    const [isHeld, isSet] = [random() < 0.15, random() < 0.5];
    if (!isHeld && !isSet && held.length === 0) return [];
    return [{
      limit,
      ...(isHeld && { paused: pause() }),
      ...(held.length > 0 && { keys: held }),
      ...(isSet && { set: { since: now, running: 1 + Math.floor(random() * 4) } }),
    }];
  });
}

/** Returns these overrides without what has no end: pauses that only an operator ends. */
export function withoutEndless(overrides: readonly LimitOverride[]): readonly LimitOverride[] {
  return overrides.map(({ limit, paused, keys = [], set }) => ({
    limit,
    ...(paused?.until !== undefined && { paused }),
    ...(set && { set }),
    keys: keys.filter(({ until }) => until !== undefined),
  }));
}

/** Returns what is in force for a key of a limit at a time; `running`: the number of the program. */
export function inForce(
  overrides: readonly LimitOverride[],
  limit: string,
  key: string,
  { running, now }: { readonly running: number; readonly now: number },
): InForce {
  const own = overrides.find((each) => each.limit === limit);
  const pauses = [own?.paused, own?.keys?.find((each) => each.key === key)];
  return {
    running: own?.set?.running ?? running,
    isPaused: pauses.some((pause) => pause !== undefined && (pause.until ?? Infinity) > now),
  };
}
