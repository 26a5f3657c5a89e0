/**
 * Checks locks and leadership: one holder at a time, unless it was away (frozen, cut off or killed), growing fencing
 * tokens, and fenced writes.
 */
import type { Breach } from "./breach.ts";

/** A time for which a lock, or a leadership, was held. */
export interface ObservedHold {
  /** Key of the lock, or name of the leadership. */
  readonly key: string;
  /** Name of the holder: the node, or another name of the process. */
  readonly by: string;
  /** Fencing token of the lock; absent for a leadership. All holds with one token belong to one holder. */
  readonly token?: number | undefined;
  /** Time of the acquisition, in ms. */
  readonly from: number;
  /** Time of the release or loss, in ms; `undefined`: it is still held. */
  readonly to: number | undefined;
}

/** A write with a fencing token, as observed by the resource that the lock protects; in the order of the writes. */
export interface FencedWrite {
  /** Key of the lock that protects the resource. */
  readonly key: string;
  /** Name of the writer, the same as `by` of its {@link ObservedHold}. */
  readonly by: string;
  /** Fencing token of the write. */
  readonly token: number;
  /** False if the resource refused the write. */
  readonly accepted: boolean;
  /** Time of the write, in ms. */
  readonly at: number;
}

/**
 * A time for which a holder did not run or could not reach the store; its hold may then overlap with the next
 * holder's.
 */
export interface AwaySpan {
  /** Name of the holder, the same as `by` of its {@link ObservedHold}. */
  readonly by: string;
  /** Time at which the holder went away, in ms. */
  readonly from: number;
  /** Time at which the holder was back, in ms; `undefined`: never, as after a kill. */
  readonly to: number | undefined;
}

/** Argument of {@link checkLocks}. */
export interface LockHistory {
  /** Times for which locks were held, in any order. */
  readonly holds: readonly ObservedHold[];
  /** Writes at resources that locks protect. Default: none. */
  readonly writes?: readonly FencedWrite[] | undefined;
  /** Pauses, cuts and kills of holders. Default: none. */
  readonly away?: readonly AwaySpan[] | undefined;
}

/**
 * Returns a breach for each broken promise of locks: two holders of one key at a time, unless the first was away while
 * it held; a token that is not greater than a token of the key that was given before, unless the holder of the new
 * token was away (frozen, cut off or killed) between the beginnings of the two holds; an accepted write with a smaller
 * token than an earlier accepted write; a write with a token that its writer was never given; a refused write of the
 * present holder.
 *
 * @example
 * ```ts
 * import { checkLocks } from "@catga/catga/testing";
 *
 * const holds = [{ key: "report", by: "a", token: 1, from: 0, to: 90 }, { key: "report", by: "b", token: 2, from: 50, to: 60 }];
 * console.log(checkLocks({ holds })[0].text); // a held it from 0 to 90, and b from 50
 * console.log(checkLocks({ holds, away: [{ by: "a", from: 10, to: 80 }] }).length); // 0: a was frozen
 * ```
 */
export function checkLocks({ holds, writes = [], away = [] }: LockHistory): Breach[] {
  return [...tokensThatDoNotGrow(holds, away), ...overlaps(holds, away, ONE_HOLDER), ...wrongWrites(holds, writes)];
}

/**
 * Returns a breach for each time at which two nodes led under one name, unless the first node was away while it led.
 *
 * @example
 * ```ts
 * import { checkLeadership } from "@catga/catga/testing";
 *
 * const holds = [{ key: "billing", by: "a", from: 0, to: 90 }, { key: "billing", by: "b", from: 50, to: 60 }];
 * console.log(checkLeadership({ holds }).length); // 1
 * console.log(checkLeadership({ holds, away: [{ by: "a", from: 10, to: 80 }] }).length); // 0: a was frozen
 * ```
 */
export function checkLeadership({ holds, away = [] }: Pick<LockHistory, "holds" | "away">): Breach[] {
  return overlaps(holds, away, ONE_LEADER);
}

function tokensThatDoNotGrow(holds: readonly ObservedHold[], away: readonly AwaySpan[]): Breach[] {
  const last = new Map<string, { readonly by: string; readonly token: number; readonly from: number }>();
  const known = new Set<string>();
  return inOrder(holds).flatMap(({ key, by, token, from }) => {
    if (token === undefined || known.has(`${key} ${by} ${token}`)) return [];
    known.add(`${key} ${by} ${token}`);
    const before = last.get(key);
    if (before === undefined || before.token < token) {
      last.set(key, { by, token, from });
      return [];
    }
    // a smaller token is allowed if its holder was away when the store answered it: the holder notices only afterwards
    // that it has lost the lock
    if (wasAway({ by, from: before.from }, from, away)) return [];
    const text = `${by} was given the token ${token}, after ${before.by} had ${before.token}`;
    return [{ promise: "lock: tokens of a key grow", subject: key, text, at: from }];
  });
}

function overlaps(holds: readonly ObservedHold[], away: readonly AwaySpan[], promise: string): Breach[] {
  return [...Map.groupBy(inOrder(holds), ({ key }) => key)].flatMap(([key, own]) =>
    own.flatMap((first, n) =>
      own.slice(n + 1).filter((second) => {
        if (second.token !== undefined && second.token === first.token && second.by === first.by) return false;
        return second.from < (first.to ?? Infinity) && !wasAway(first, second.from, away);
      }).map((second) => ({
        promise,
        subject: key,
        text: `${first.by} held it from ${first.from} to ${
          first.to ?? "the end"
        }, and ${second.by} from ${second.from}`,
        at: second.from,
      }))
    )
  );
}

function inOrder(holds: readonly ObservedHold[]): ObservedHold[] {
  return holds.toSorted((a, b) => a.from - b.from || (a.token ?? 0) - (b.token ?? 0));
}

/** Returns true if the holder was away at some time between `from` and `until`. */
function wasAway({ by, from }: Pick<ObservedHold, "by" | "from">, until: number, away: readonly AwaySpan[]): boolean {
  return away.some((span) => span.by === by && span.from <= until && (span.to ?? Infinity) >= from);
}

function wrongWrites(holds: readonly ObservedHold[], writes: readonly FencedWrite[]): Breach[] {
  const given = new Set(holds.map(({ key, by, token }) => `${key} ${by} ${token}`));
  const last = new Map<string, FencedWrite>();
  return writes.flatMap((write) => {
    const { key, by, token, accepted, at } = write;
    const wrong = (promise: string, text: string) => [{ promise, subject: key, text, at }];
    if (!given.has(`${key} ${by} ${token}`)) {
      return wrong(FENCED, `${by} wrote with ${token}, which it was never given`);
    }
    const newest = last.get(key);
    if (accepted) {
      last.set(key, write);
      if (newest === undefined || newest.token <= token) return [];
      const newer = `one of ${newest.by} with ${newest.token}`;
      return wrong(FENCED, `a write of ${by} with ${token} was accepted after ${newer}`);
    }
    const holding = holds.some((hold) =>
      hold.key === key && hold.by === by && hold.token === token && hold.from < at && at < (hold.to ?? Infinity)
    );
    if (!holding || (newest !== undefined && newest.token > token)) return [];
    return wrong(FENCED, `a write of ${by} with ${token} was refused, and it held the lock`);
  });
}

const ONE_HOLDER = "lock: one holder at a time";
const ONE_LEADER = "leadership: one leader at a time";
const FENCED = "lock: the resource takes writes in the order of their tokens";
