/**
 * Overrides: settings of a subscription by operators, until they clear them: that it is paused, or one of its limits;
 * and numbers of limits in place of the program's. The last message under `overridesSubject(…)` in the stream
 * `catga_<ns>_subscriptions` counts, whichever node leads, over restarts and deploys. Anybody with access can write
 * one, so it is validated.
 */
import { MAX_PAUSE_REASON, type PauseOptions } from "../../contract/calls/durable_messages.ts";
import type { KeyPause, LimitOverride, LimitSetting, SubscriptionPause } from "../../contract/nodes/node_info.ts";
import { isCount, isNotNegative, isRecord } from "../../data/checks.ts";
import { readRecord } from "./record_text.ts";

/** Settings of a subscription by operators. */
export interface Overrides {
  /** Absent: it is not paused. */
  readonly paused?: SubscriptionPause | undefined;
  /** Settings of its limits; absent: none. */
  readonly limits?: readonly LimitOverride[] | undefined;
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
  const { v: _, paused, limits, ...others } = value;
  const more = Object.keys(others).length === 0 ? {} : { others };
  const pause = paused === undefined ? undefined : readPause(paused);
  if (paused !== undefined && pause === undefined) return "no pause";
  const ofLimits = limits === undefined ? undefined : readEach(limits, readLimit);
  if (limits !== undefined && ofLimits === undefined) return "no limits";
  return {
    ...more,
    ...(pause !== undefined && { paused: pause }),
    ...(ofLimits !== undefined && { limits: ofLimits }),
  };
}

/** Returns a pause from `now` on, in ms since 1970; one that goes on, `known`, keeps the time since which it lasts. */
export function pauseOf(
  { reason, for: lasts }: PauseOptions,
  known: SubscriptionPause | undefined,
  now: number,
): SubscriptionPause {
  return {
    since: known?.since ?? now,
    ...(lasts !== undefined && { until: now + lasts }),
    ...(reason !== undefined && { reason }),
  };
}

/** Returns the pause that is in force at a time, in ms since 1970; `undefined`: none is. */
export function pauseAt({ paused }: Overrides, now: number): SubscriptionPause | undefined {
  return paused !== undefined && isInForce(paused, now) ? paused : undefined;
}

/** Returns the settings of limits that are in force at a time, in ms since 1970. */
export function limitsAt({ limits = [] }: Overrides, now: number): readonly LimitOverride[] {
  return limits.flatMap(({ limit, paused, keys = [], set }) => {
    const held = keys.filter((each) => isInForce(each, now));
    const isHeld = paused !== undefined && isInForce(paused, now);
    if (!isHeld && held.length === 0 && set === undefined) return [];
    return [{ limit, ...(isHeld && { paused }), ...(held.length > 0 && { keys: held }), ...(set && { set }) }];
  });
}

function isInForce({ until = Infinity }: SubscriptionPause, now: number): boolean {
  return until > now;
}

function readPause(value: unknown): SubscriptionPause | undefined {
  if (!isRecord(value) || !isNotNegative(value.since)) return undefined;
  const { since, until, reason } = value;
  return {
    since,
    ...(isNotNegative(until) && { until }),
    ...(typeof reason === "string" && { reason: reason.slice(0, MAX_PAUSE_REASON) }),
  };
}

function readLimit(value: unknown): LimitOverride | undefined {
  if (!isRecord(value) || typeof value.limit !== "string") return undefined;
  const { limit, ...given } = value;
  const paused = given.paused === undefined ? undefined : readPause(given.paused);
  const keys = given.keys === undefined ? undefined : readEach(given.keys, readKeyPause);
  const set = given.set === undefined ? undefined : readSetting(given.set);
  // half of what an operator has set would be something else
  const isWhole = [[given.paused, paused], [given.keys, keys], [given.set, set]].every(([each, read]) =>
    (each === undefined) === (read === undefined)
  );
  if (!isWhole) return undefined;
  return { limit, ...(paused && { paused }), ...(keys && { keys }), ...(set && { set }) };
}

function readKeyPause(value: unknown): KeyPause | undefined {
  const pause = readPause(value);
  return isRecord(value) && typeof value.key === "string" && pause !== undefined
    ? { key: value.key, ...pause }
    : undefined;
}

function readSetting(value: unknown): LimitSetting | undefined {
  if (!isRecord(value) || !isNotNegative(value.since)) return undefined;
  const { since, running, per, burst } = value;
  const isPositive = (each: unknown): each is number => isCount(each) && each > 0;
  const [count, ms, ...more] = Array.isArray(per) ? per : [];
  const hasRate = isPositive(count) && isPositive(ms) && more.length === 0;
  if (running !== undefined && !isPositive(running)) return undefined;
  if ((per !== undefined && !hasRate) || (burst !== undefined && !isPositive(burst))) return undefined;
  return {
    since,
    ...(running !== undefined && { running }),
    ...(hasRate && { per: [count, ms] as const }),
    ...(burst !== undefined && { burst }),
  };
}

function readEach<T>(value: unknown, read: (each: unknown) => T | undefined): readonly T[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const all = value.map(read);
  return all.every((each) => each !== undefined) ? all : undefined;
}
