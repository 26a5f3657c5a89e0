/** Locks, leaderships and loads of cached values, with the nodes that wait for them, followed as they change. */
import { HeldLocks, type LockClaim } from "../state/locks/held_locks.ts";
import { shownId, shownText } from "./shown.ts";
import type { Capped, LockView } from "./view.ts";

/** The entries of the locks bucket, for the page. */
export class LockWatch extends HeldLocks {
  /** Returns the entries with the most waiters first, then by kind and key. */
  view(most: number, label: (node: string) => string = shownText): Capped<LockView> {
    const all = this.all.toSorted((a, b) =>
      b.waiters.size - a.waiters.size || (a.kind < b.kind ? -1 : a.kind > b.kind ? 1 : a.key < b.key ? -1 : 1)
    );
    return { shown: all.slice(0, most).map((held) => viewOf(held, label)), total: all.length };
  }
}

/** Maximum number of waiters that are named. */
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
