/**
 * Overrides: settings of a subscription by operators, until they clear them: that it is paused. The last message under
 * `overridesSubject(…)` in the stream `catga_<ns>_subscriptions` counts, whichever node leads, over restarts and
 * deploys. Anybody with access can write one, so it is validated.
 */
import { MAX_PAUSE_REASON } from "../../contract/calls/durable_messages.ts";
import type { SubscriptionPause } from "../../contract/nodes/node_info.ts";
import { isNotNegative, isRecord } from "../../data/checks.ts";
import { readRecord } from "./record_text.ts";

/** Settings of a subscription by operators. */
export interface Overrides {
  /** Absent: it is not paused. */
  readonly paused?: SubscriptionPause | undefined;
  /** Members that only a newer version knows; they are kept. */
  readonly others?: Readonly<Record<string, unknown>>;
}

/** The overrides of a subscription for which none were ever set. */
export const NO_OVERRIDES: Overrides = Object.freeze({});

export function writeOverrides({ others, ...own }: Overrides): string {
  return JSON.stringify({ ...others, v: 1, ...own });
}

/** Parses overrides. Returns a string that says what is wrong if they are invalid. */
export function readOverrides(text: string): Overrides | string {
  const value = readRecord(text);
  if (typeof value === "string") return value;
  const { v: _, paused, ...others } = value;
  const more = Object.keys(others).length === 0 ? {} : { others };
  if (paused === undefined) return more;
  if (!isRecord(paused) || !isNotNegative(paused.since)) return "no pause";
  const { since, until, reason } = paused;
  return {
    ...more,
    paused: {
      since,
      ...(isNotNegative(until) && { until }),
      ...(typeof reason === "string" && { reason: reason.slice(0, MAX_PAUSE_REASON) }),
    },
  };
}

/** Returns the pause that is in force at a time, in ms since 1970; `undefined`: none is. */
export function pauseAt({ paused }: Overrides, now: number): SubscriptionPause | undefined {
  return paused === undefined || (paused.until ?? Infinity) <= now ? undefined : paused;
}
