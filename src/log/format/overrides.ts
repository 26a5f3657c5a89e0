/**
 * Overrides: settings of a subscription by operators, until they clear them: that it is paused, or one of its limits;
 * and numbers of limits in place of the program's. The last message under `overridesSubject(…)` in the stream
 * `catga_<ns>_subscriptions` counts, whichever node leads, over restarts and deploys. Anybody with access can write
 * one, so it is validated.
 */
import { MAX_PAUSE_REASON, type PauseOptions } from "../../contract/calls/durable_messages.ts";
import type { KeyPause, LimitOverride, LimitSetting, SubscriptionPause } from "../../contract/nodes/node_info.ts";
import { isCount, isNotNegative, isRecord } from "../../data/checks.ts";
import { printable } from "../../data/printable.ts";
import { readRecord } from "./record_text.ts";

/** Settings of a subscription by operators. */
export interface Overrides {
  /** Absent: it is not paused. */
  readonly paused?: SubscriptionPause | undefined;
  /** Settings of its limits; absent: none. */
  readonly limits?: readonly LimitOverride[] | undefined;
  /** Settings of limits as they are stored, by the limit's name, that cannot be read; they are kept. Absent: none. */
  readonly unread?: ReadonlyMap<string, readonly unknown[]>;
  /** Members that only a newer version knows; they are kept. */
  readonly others?: Readonly<Record<string, unknown>>;
}

/** The overrides of a subscription for which none were ever set. */
export const NO_OVERRIDES: Overrides = Object.freeze({});

export function writeOverrides({ others, unread = new Map(), limits = [], ...own }: Overrides): string {
  const all = [...limits.filter(({ invalid }) => invalid === undefined), ...[...unread.values()].flat()];
  return JSON.stringify({ ...others, v: 1, ...own, ...(all.length > 0 && { limits: all }) });
}

/**
 * Parses overrides. Returns a string that says what is wrong if they are invalid. Of limits only those are left out
 * that are invalid: they are listed with what is wrong.
 */
export function readOverrides(text: string): Overrides | string {
  const value = readRecord(text);
  if (typeof value === "string") return value;
  const { v: _, paused, limits, ...others } = value;
  const more = Object.keys(others).length === 0 ? {} : { others };
  const pause = paused === undefined ? undefined : readPause(paused);
  if (paused !== undefined && pause === undefined) return "no pause";
  if (limits !== undefined && !Array.isArray(limits)) return "no limits";
  return { ...more, ...(pause !== undefined && { paused: pause }), ...(limits !== undefined && readLimits(limits)) };
}

function readLimits(given: readonly unknown[]): Pick<Overrides, "limits" | "unread"> {
  const limits: LimitOverride[] = [];
  const unread = new Map<string, unknown[]>();
  for (const each of given) {
    const read = readLimit(each);
    if (typeof read !== "string") {
      limits.push(read);
      continue;
    }
    const limit = isRecord(each) && typeof each.limit === "string" ? each.limit : NAMELESS;
    const own = unread.get(limit);
    if (own === undefined) {
      unread.set(limit, [each]);
      limits.push({ limit, invalid: read });
    } else own.push(each);
  }
  return { limits, ...(unread.size > 0 && { unread }) };
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
  return limits.flatMap(({ limit, paused, keys = [], set, invalid }): readonly LimitOverride[] => {
    if (invalid !== undefined) return [{ limit, invalid }];
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

/** Reads what is set of a limit. Returns a string that says what is wrong if it is invalid. */
function readLimit(value: unknown): LimitOverride | string {
  if (!isRecord(value) || typeof value.limit !== "string") return "it names no limit";
  const { limit, ...given } = value;
  const [unknown] = Object.keys(given).filter((each) => !MEMBERS.has(each));
  if (unknown !== undefined) return `it has ${printable(unknown)}, which this version does not know`;
  const paused = given.paused === undefined ? undefined : readPause(given.paused);
  const keys = given.keys === undefined ? undefined : readEach(given.keys, readKeyPause);
  const set = given.set === undefined ? undefined : readSetting(given.set);
  // half of what an operator has set would be something else
  const wrong = Object.entries({ paused, keys, set }).filter(([name, read]) =>
    (given[name] === undefined) !== (read === undefined)
  );
  if (wrong.length > 0) return `its ${wrong.map(([name]) => name).join(" and ")} cannot be read`;
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
  const { since, running, per, burst, ...others } = value;
  // numbers of a newer version: the others alone are not what was set, and would be stored without them
  if (Object.keys(others).length > 0) return undefined;
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

/** Shown as the name of a limit that has none. */
const NAMELESS = "?";
const MEMBERS: ReadonlySet<string> = new Set(["paused", "keys", "set"]);

function readEach<T>(value: unknown, read: (each: unknown) => T | undefined): readonly T[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const all = value.map(read);
  return all.every((each) => each !== undefined) ? all : undefined;
}
