/**
 * The limits of subscriptions for operators: what the program says of each, as nodes announce it, and what operators
 * have set in its place.
 */
import {
  limitName,
  type LimitNumbers,
  type NamedLimit,
  readAnnouncement,
  stricter,
} from "../../contract/nodes/announcement.ts";
import {
  checkPauseOptions,
  type LimitPauseOptions,
  type LimitSettings,
} from "../../contract/calls/durable_messages.ts";
import type { KeyPause, LimitOverride, LimitSetting, NodeInfo } from "../../contract/nodes/node_info.ts";
import { checkLimitNumbers } from "../../contract/declaration/handler.ts";
import { checkKnown, checkString } from "../../data/checks.ts";
import { limitsAt, type Overrides, pauseOf, writeOverrides } from "../format/overrides.ts";
import { MAX_LIMIT_KEY } from "../format/limit_key.ts";
import { overridesOf } from "./set_overrides.ts";
import type { KeptCommits, StoredSubscription } from "./stored_subscriptions.ts";

/** The name of a limit, with that of its subscription. */
export interface LimitTarget {
  readonly service: string;
  readonly subscription: string;
  /** Name of the limit; of one without a name its contract and place among the limits of the handler, as `Paid/0`. */
  readonly limit: string;
}

/** A limit of a subscription, as nodes announce it and operators have set it. */
export interface LimitInfo extends LimitTarget {
  /** True if each key has the limit for itself. */
  readonly isByKey: boolean;
  /** The numbers of the program: the strictest of all live nodes; `undefined`: no live node has the limit. */
  readonly program: LimitSummary | undefined;
  /** Endpoint of the subscription's leader in its last commit. */
  readonly leader: string;
  /** Settings by operators; `undefined`: none. */
  readonly override: LimitOverride | undefined;
}

/** Numbers of a limit. Without one of them nothing is limited in that way. */
export type LimitSummary = Omit<LimitSetting, "since">;

/** Returns the limits of a subscription, sorted by name: those that nodes have, and those of which something is set. */
export async function limitsOf(
  kept: KeptCommits,
  { key, service, name, state }: StoredSubscription,
  nodes: readonly NodeInfo[],
  now: number,
): Promise<readonly LimitInfo[]> {
  const announced = new Map<string, { numbers: LimitNumbers; isByKey: boolean }>();
  for (const node of nodes) {
    for (const text of node.subscriptions ?? []) {
      const { retry: { limits = [] }, category, ...of } = readAnnouncement(node.service, text);
      if (of.service === service && of.name === name) limits.forEach((limit, i) => add(category, limit, i));
    }
  }
  function add(category: string, limit: NamedLimit, i: number): void {
    const name = limitName(category, limit, i);
    const known = announced.get(name);
    const numbers = known === undefined ? limit : stricter(known.numbers, limit);
    announced.set(name, { numbers, isByKey: known?.isByKey === true || limit.isByKey === true });
  }
  const set = new Map(limitsAt(await overridesOf(kept, key), now).map((each) => [each.limit, each]));
  return [...new Set([...announced.keys(), ...set.keys()])].sort().map((limit) => ({
    ...{ service, subscription: name, limit, leader: state.head.leader, override: set.get(limit) },
    isByKey: announced.get(limit)?.isByKey ?? set.get(limit)?.keys !== undefined,
    program: summaryOf(announced.get(limit)?.numbers),
  }));
}

function summaryOf(numbers: LimitNumbers | undefined): LimitSummary | undefined {
  if (numbers === undefined) return undefined;
  const { running, count, ms, burst } = numbers;
  return {
    ...(running < Infinity && { running }),
    ...(count < Infinity && { per: [count, ms] as const }),
    ...(count < Infinity && burst > 1 && { burst }),
  };
}

/** A change of what operators have set of one limit. `now`: in ms since 1970. */
export type LimitChange = (override: LimitOverride, now: number) => LimitOverride;

/** Returns the change that pauses a limit, or one of its keys. Throws if the options are invalid. */
export function pausedLimit({ key, ...options }: LimitPauseOptions): LimitChange {
  checkPauseOptions(options);
  if (key !== undefined) {
    checkString("pause: key", key);
    if (key.length > MAX_LIMIT_KEY) {
      throw new RangeError(`pause: a key has ${MAX_LIMIT_KEY} characters at most; got ${key.length}`);
    }
  }
  return ({ paused, keys = [], ...others }, now) => {
    if (key === undefined) return { ...others, ...keysIn(keys), paused: pauseOf(options, paused, now) };
    const own: KeyPause = { key, ...pauseOf(options, keys.find((each) => each.key === key), now) };
    return { ...others, ...(paused && { paused }), keys: [...keys.filter((each) => each.key !== key), own] };
  };
}

/** Throws if the options of the end of a pause are invalid. */
export function checkResumeOptions(options: Pick<LimitPauseOptions, "key">): void {
  checkKnown("resume", options, RESUME_OPTIONS);
  if (options.key !== undefined) checkString("resume: key", options.key);
}

/** Returns the change that resumes a limit, or one of its keys. */
export function resumedLimit(key?: string): LimitChange {
  return ({ paused, keys = [], ...others }) =>
    key === undefined
      ? { ...others, ...keysIn(keys) }
      : { ...others, ...(paused && { paused }), ...keysIn(keys.filter((each) => each.key !== key)) };
}

/** Returns the change that sets numbers of a limit; others stay as they are. Throws if one is invalid or none given. */
export function setNumbers(numbers: LimitSettings): LimitChange {
  checkKnown("limit", numbers, NUMBERS);
  const { running, per, burst } = numbers;
  if (running === undefined && per === undefined && burst === undefined) {
    throw new TypeError("limit: give running, per or burst");
  }
  checkLimitNumbers("limit: ", numbers);
  return ({ set, ...others }, since) => ({
    ...others,
    set: {
      ...set,
      since,
      ...(running !== undefined && { running }),
      ...(per !== undefined && { per }),
      ...(burst !== undefined && { burst }),
    },
  });
}

/** The change back to what the program says. */
export const clearedLimit: LimitChange = ({ limit }) => ({ limit });

/**
 * Returns overrides with one limit changed, without pauses that are over. Throws a `RangeError` if more is set than a
 * message holds.
 */
export function withLimit(overrides: Overrides, limit: string, change: LimitChange, now: number): Overrides {
  const { limits: _, unread: stored = new Map<string, readonly unknown[]>(), ...others } = overrides;
  const all = limitsAt(overrides, now);
  // what is invalid of it goes
  const { invalid: _invalid, ...known } = all.find((each) => each.limit === limit) ?? { limit };
  const changed = change(known, now);
  const kept = new Map([...stored].filter(([name]) => name !== limit));
  const rest = all.filter((each) => each.limit !== limit);
  const isNothing = changed.paused === undefined && changed.keys === undefined && changed.set === undefined;
  const limits = isNothing ? rest : [...rest, changed];
  const unread = kept.size === 0 ? {} : { unread: kept };
  const next = limits.length === 0 ? others : { ...others, limits, ...unread };
  const keys = limits.reduce((sum, { keys = [] }) => sum + keys.length, 0);
  if (keys > MAX_KEYS || writeOverrides(next).length > MAX_LENGTH) {
    throw new RangeError(
      `a subscription takes ${MAX_KEYS} paused keys, of ${MAX_LENGTH} characters in all: resume some, or pause the limit`,
    );
  }
  return next;
}

function keysIn(keys: readonly KeyPause[]): Pick<LimitOverride, "keys"> {
  return keys.length === 0 ? {} : { keys };
}

const RESUME_OPTIONS: ReadonlySet<string> = new Set(["key"]);
const NUMBERS: ReadonlySet<string> = new Set(["running", "per", "burst"]);
/** Maximum number of keys that are paused in the limits of one subscription. */
const MAX_KEYS = 1_000;
/** Maximum length of all that operators have set of a subscription, in characters: half of a server's max_payload. */
const MAX_LENGTH = 250_000;
