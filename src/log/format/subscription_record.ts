/**
 * The record of a subscription: its position in the log, and the lease of its leader. Its key is `subscriptionKey(…)`, in the
 * bucket `catga_<ns>_subscriptions`. Its revision at a takeover is the leader's token. Anybody with access can write one, so it is validated.
 */
import { isContractName } from "../../contract/contract.ts";
import { isCount, isNotNegative, isRecord } from "../../data/checks.ts";
import { type OpenEntry, readOpen, writeOpen } from "./open_positions.ts";

/** A subscription as it is stored. */
export interface SubscriptionRecord {
  readonly service: string;
  readonly name: string;
  /** The endpoint of the node that leads it; empty: nobody does, and anybody may at once. */
  readonly leader: string;
  /**
   * The token of its leader, by which nodes know a leader from an earlier one; 0 in the write of the takeover itself, whose revision it is.
   */
  readonly token: number;
  /** Grows with every rewind: what was parked before is dropped. */
  readonly generation: number;
  /**
   * Takeovers from leaders that ended, since none of the messages that ran at such an end was left: from the second on those run alone,
   * one after the other, and the others wait for them.
   */
  readonly takeovers: number;
  /** Where each category began, by stream: positions up to this one are not for it. */
  readonly began: Readonly<Record<string, number>>;
  /** By the name of the stream. */
  readonly streams: Readonly<Record<string, StreamProgress>>;
  /** A request to begin again, which the leader carries out and removes. `to`: a position; all behind it is handled again. */
  readonly rewind?: { readonly to: number; readonly id: string } | undefined;
}

/** How far a subscription is in one stream. */
export interface StreamProgress {
  /** Of which stream: `LogState.created`. */
  readonly created: string;
  /** Positions up to this one are done, parked, not for this subscription, or {@link StreamProgress.open}. */
  readonly read: number;
  /** The time stamp of the message at `read`, in ms; 0: unknown. */
  readonly time: number;
  /** When the log had nothing behind `read` that is for this subscription, by the server's clock, in ms; none: unknown. */
  readonly at?: number | undefined;
  /** Positions up to `read` that are not done. Bounded by the leader's window. */
  readonly open: readonly OpenEntry[];
}

/** The text of a record. */
export function writeSubscriptionRecord(record: SubscriptionRecord): string {
  const streams = Object.entries(record.streams).map(([name, each]) => [name, { ...each, open: writeOpen(each.open) }]);
  return JSON.stringify({ ...record, streams: Object.fromEntries(streams) });
}

/** Parses the record of a subscription. Returns a string that says what is wrong with it if it is invalid. */
export function readSubscriptionRecord(service: string, name: string, text: string): SubscriptionRecord | string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return "no JSON";
  }
  if (!isRecord(value)) return "no object";
  const { leader, token, generation, takeovers, began, streams, rewind } = value;
  if (value.service !== service || value.name !== name) return "the record of another subscription";
  if (typeof leader !== "string") return "no leader";
  if (!isCount(token)) return "no token";
  if (!isCount(generation) || !isCount(takeovers) || generation > MOST_GENERATIONS) return "no generation or takeovers";
  if (!isRecord(began) || !Object.values(began).every(isCount)) return "no places where its categories began";
  const categories = Object.entries(began) as [string, number][];
  if (categories.length > MOST_CATEGORIES) return `more than ${MOST_CATEGORIES} categories`;
  if (!isRecord(streams)) return "no streams";
  const progress: [string, StreamProgress][] = [];
  for (const [stream, each] of Object.entries(streams)) {
    const read = readProgress(each);
    if (read === undefined) return `no progress in ${stream}`;
    progress.push([stream, read]);
  }
  if (rewind !== undefined && !(isRecord(rewind) && isCount(rewind.to) && typeof rewind.id === "string")) {
    return "an invalid request to rewind";
  }
  return {
    service,
    name,
    leader,
    token,
    generation,
    takeovers: Math.min(takeovers, MOST_TAKEOVERS),
    // entries, because a category may be called __proto__
    began: Object.fromEntries(categories.filter(([name]) => isContractName(name))),
    streams: Object.fromEntries(progress),
    ...(rewind === undefined ? {} : { rewind: { to: rewind.to as number, id: rewind.id as string } }),
  };
}

/** No count grows out of the safe integers: the record that says so would be refused by every node. */
const MOST_GENERATIONS = 2 ** 52;
const MOST_TAKEOVERS = 1_000_000;
/** The leader's consumer has a filter for each. */
const MOST_CATEGORIES = 4_096;

function readProgress(value: unknown): StreamProgress | undefined {
  if (!isRecord(value)) return undefined;
  const { created, read, time, at } = value;
  const open = readOpen(value.open);
  if (typeof created !== "string" || !isCount(read) || !isNotNegative(time) || open === undefined) return undefined;
  return { created, read, time, open, ...(isNotNegative(at) ? { at } : {}) };
}
