/**
 * Reads locks, leaderships and loads of cached values, with their holders and waiters, from the entries of their
 * bucket; for operators.
 */
import type { Change } from "../../ports/key_value_store.ts";
import { LockKeys, type LockRecord, readLockRecord } from "./lock_record.ts";

/** A lock, a leadership, or a load of a cached value. */
export type LockKind = "lock" | "lead" | "load";

/** For each kind of lock: the form of its records' keys in the bucket. */
export const LOCK_SPACES: Readonly<Record<LockKind, LockKeys>> = {
  lock: new LockKeys(),
  lead: new LockKeys("lead"),
  load: new LockKeys("load"),
};

/** A lock that some node holds or waits for. */
export interface LockClaim {
  readonly kind: LockKind;
  readonly key: string;
  /** Record of the lock's holder; `undefined`: the lock is free. */
  record: LockRecord | undefined;
  token: number;
  /** Revision of the holder's record. */
  revision: number;
  /** Waiting nodes by nonce, with their places in the queue; the smallest place is next. */
  readonly waiters: Map<string, { readonly node: string; readonly place: number }>;
}

/**
 * The locks in a bucket, kept up to date by its changes.
 * @decides locks and waiters of a whole bucket as operators see them (tool and page); the kinds of locks
 */
export class HeldLocks {
  readonly #held = new Map<string, LockClaim>();

  /** All locks, in no particular order. */
  get all(): readonly LockClaim[] {
    return [...this.#held.values()];
  }

  /** Applies a change of the bucket's entries. */
  take(change: Change): void {
    for (const kind of Object.keys(LOCK_SPACES) as LockKind[]) { // cast: the keys of LOCK_SPACES are the kinds
      const about = LOCK_SPACES[kind].parse(change.key);
      if (about === undefined) continue;
      const { key, waiter } = about;
      const record = change.type === "put" ? readLockRecord(change.value) : undefined;
      const id = `${kind} ${key}`;
      const held: LockClaim = this.#held.get(id) ??
        { kind, key, record: undefined, token: 0, revision: 0, waiters: new Map() };
      if (waiter === undefined) {
        held.record = record;
        held.token = record?.token ?? change.revision;
        held.revision = change.revision;
      } else if (record === undefined) held.waiters.delete(waiter);
      else {
        // the record of a renewal contains the revision of the first record, which is the place
        const place = record.place ?? held.waiters.get(waiter)?.place ?? change.revision;
        held.waiters.set(waiter, { node: record.node, place });
      }
      if (held.record === undefined && held.waiters.size === 0) this.#held.delete(id);
      else this.#held.set(id, held);
      return;
    }
  }
}
