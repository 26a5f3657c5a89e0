/** Locks, leaderships and loads of cached values, with those who wait for them, followed as they change. */
import type { Change } from "../ports/key_value_store.ts";
import { LockKeys, type LockRecord, readLockRecord } from "../state/locks/lock_record.ts";
import { shownId, shownText } from "./shown.ts";
import type { Capped, LockView } from "./view.ts";

const SPACES = [["lock", new LockKeys()], ["lead", new LockKeys("lead")], ["load", new LockKeys("load")]] as const;

interface Waiter {
  readonly node: string;
  /** The smallest is next. */
  readonly place: number;
}

interface Held {
  readonly kind: LockView["kind"];
  readonly key: string;
  record: LockRecord | undefined;
  token: number;
  readonly waiters: Map<string, Waiter>;
}

/** The entries of the bucket. */
export class LockWatch {
  readonly #held = new Map<string, Held>();

  /** A change of the bucket. */
  take(change: Change): void {
    for (const [kind, keys] of SPACES) {
      const about = keys.parse(change.key);
      if (about === undefined) continue;
      const record = change.type === "put" ? readLockRecord(change.value) : undefined;
      const id = `${kind} ${about.key}`;
      const held = this.#held.get(id) ??
        { kind, key: about.key, record: undefined, token: 0, waiters: new Map<string, Waiter>() };
      if (about.waiter === undefined) {
        held.record = record;
        held.token = record?.token ?? change.revision;
      } else if (record === undefined) held.waiters.delete(about.waiter);
      else {
        // a renewal says where the first record stood
        const place = record.place ?? held.waiters.get(about.waiter)?.place ?? change.revision;
        held.waiters.set(about.waiter, { node: record.node, place });
      }
      if (held.record === undefined && held.waiters.size === 0) this.#held.delete(id);
      else this.#held.set(id, held);
      return;
    }
  }

  /** Those that most wait for first; then leaderships, locks and loads by key. */
  view(most: number, label: (node: string) => string = shownText): Capped<LockView> {
    const all = [...this.#held.values()].sort((a, b) =>
      b.waiters.size - a.waiters.size || (a.kind < b.kind ? -1 : a.kind > b.kind ? 1 : a.key < b.key ? -1 : 1)
    );
    return { shown: all.slice(0, most).map((held) => viewOf(held, label)), total: all.length };
  }
}

/** Waiters that are named. */
const NAMED = 20;

function viewOf({ kind, key, record, token, waiters }: Held, label: (node: string) => string): LockView {
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
