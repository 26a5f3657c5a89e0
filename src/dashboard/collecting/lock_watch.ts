/** Follows locks, leaderships and loads of cached values as they change, with the nodes that wait for them. */
import { HeldLocks, type LockClaim } from "../../state/locks/held_locks.ts";
import { compareTexts } from "../../data/text_order.ts";
import { shownId, shownText } from "../shown.ts";
import type { Capped, LockView } from "../view.ts";

/**
 * The locks in their bucket, as the page shows them.
 * @decides locks and leaders on the page: which are shown first, how many waiters are named
 */
export class LockWatch extends HeldLocks {
  /**
   * Returns the locks: those with the most waiters first, then by kind and key; at most `most`. `label`: returns the
   * label of a node.
   */
  view(most: number, label: (node: string) => string = shownText): Capped<LockView> {
    const all = this.all.toSorted((a, b) =>
      b.waiters.size - a.waiters.size || compareTexts(a.kind, b.kind) || compareTexts(a.key, b.key)
    );
    return { shown: all.slice(0, most).map((held) => viewOf(held, label)), total: all.length };
  }
}

/** Maximum number of waiting nodes whose labels are shown for a lock. */
const NAMED = 20;

function viewOf({ kind, key, record, token, waiters }: LockClaim, label: (node: string) => string): LockView {
  const inOrder = [...waiters.values()].sort((a, b) => a.place - b.place);
  return {
    kind,
    key: shownId(key),
    holder: record === undefined ? "" : label(record.node),
    token,
    since: record?.since ?? 0,
    ttl: record?.ttl ?? 0,
    waiters: inOrder.slice(0, NAMED).map(({ node }) => label(node)),
    waiting: waiters.size,
  };
}
