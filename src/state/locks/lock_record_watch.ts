/**
 * Watches the records of locks, and has the queue of each key, the oldest waiter first. A watch of all records reports
 * changes in the order of the writes: when it has reported a holder, it has reported every earlier write. A watch of
 * the queues alone costs less, and is enough to release locks.
 */
import type { Bucket, Change } from "../../ports/key_value_store.ts";
import { type Clock, delay, doubled } from "../../ports/clock.ts";
import { PAUSES } from "../../ports/repeat.ts";
import { isCatgaError } from "../../error.ts";
import { isJunk, type LockKeys, type LockRecord, readLockRecord } from "./lock_record.ts";

/** A record as the watch has last reported it. */
export interface SeenRecord {
  readonly record: LockRecord;
  readonly revision: number;
}

/** The record of a holder, as the watch has last reported it. */
export interface SeenHolder extends SeenRecord {
  /**
   * True if the store may remove the record although its ttl has just begun: the record may have replaced an expired
   * one, whose removal can remove both ({@link Change}). True also if the watch cannot tell.
   */
  readonly overdue: boolean;
}

/** The record of a waiter, as the watch has last reported it. */
export interface SeenWaiter extends SeenRecord {
  readonly key: string;
  /** Revision of the record's first write: the oldest waiter has the smallest. */
  readonly place: number;
}

/** Options of a {@link LockRecordWatch}. */
interface LockRecordWatchOptions {
  readonly clock: Clock;
  readonly keys: LockKeys;
  /** Prefix of the bucket's keys that are watched. */
  readonly prefix: string;
  bucket(): Promise<Bucket>;
  /**
   * Called for every change after the watch has reported the records that were there when it began. `waiter`: nonce of
   * the waiter whose record has changed; `undefined`: the holder's record has changed.
   */
  changed(key: string, waiter: string | undefined, change: Change): void;
  /** Called when the watch cannot be opened. Opening it is tried again. */
  failed(error: unknown): void;
}

/** A watch of lock records, with the records that it has reported. The constructor opens the watch; `close` ends it. */
export class LockRecordWatch {
  readonly #options: LockRecordWatchOptions;
  readonly #waiters = new Map<string, Map<string, SeenWaiter>>();
  readonly #holders = new Map<string, SeenHolder>();
  readonly #end = new AbortController();
  /** Resolves when the present records are known, or the watch is closed; never rejects. */
  readonly ready: Promise<void>;
  #listed = false;

  constructor(options: LockRecordWatchOptions) {
    this.#options = options;
    this.ready = this.#open();
  }

  /** True if the present records are known. */
  get listed(): boolean {
    return this.#listed;
  }

  holder(key: string): SeenHolder | undefined {
    return this.#holders.get(key);
  }

  /** Returns the waiters for a key, the oldest first. */
  queue(key: string): SeenWaiter[] {
    return [...this.#waiters.get(key)?.values() ?? []].sort((a, b) => a.place - b.place);
  }

  /** Yields the waiters for all keys. */
  *waiters(): Iterable<SeenWaiter> {
    for (const ofKey of this.#waiters.values()) yield* ofKey.values();
  }

  /** Ends the watch. It has no waiters then: a key is handed over only to a waiter that is known to be there. */
  close(): void {
    this.#end.abort();
    this.#waiters.clear();
  }

  async #open(): Promise<void> {
    const { bucket, clock, failed, prefix } = this.#options;
    const { signal } = this.#end;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        await (await bucket()).watch(prefix, (change) => this.#apply(change), { signal });
        this.#listed = true;
        return;
      } catch (error) {
        if (signal.aborted || (isCatgaError(error) && error.code === "CLOSED")) return;
        failed(error);
        await delay(clock, doubled(failures, ...PAUSES.background), signal).catch(() => {});
      }
    }
  }

  #apply(change: Change): void {
    const parsed = this.#options.keys.parse(change.key);
    if (parsed === undefined) return;
    const { key, waiter } = parsed;
    const record = change.type === "put" ? readLockRecord(change.value) : undefined;
    const { revision } = change;
    const overdue = !this.#listed || (change.type === "put" && change.overdue === true);
    if (waiter === undefined) {
      if (change.type !== "put") this.#holders.delete(key);
      else this.#holders.set(key, { record: record ?? (isJunk(change.value) ? JUNK : UNREADABLE), revision, overdue });
    } else {
      let ofKey = this.#waiters.get(key);
      if (record?.nonce === waiter) {
        if (ofKey === undefined) this.#waiters.set(key, ofKey = new Map());
        ofKey.set(waiter, { key, record, revision, place: record.place ?? revision });
      } else if (ofKey?.delete(waiter) && ofKey.size === 0) this.#waiters.delete(key);
    }
    if (this.#listed) this.#options.changed(key, waiter, change);
  }
}

/** Stands for the record of a holder of another version of Catga, which this version cannot read. */
const UNREADABLE: LockRecord = { nonce: "", node: "?", endpoint: "?", call: "", ancestry: [], ttl: 1_000, since: 0 };

/** Stands for a text under a holder's key that is no record of any version: waiters remove it. */
export const JUNK: LockRecord = { ...UNREADABLE };
