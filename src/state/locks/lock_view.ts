/**
 * The records of locks as one watch reports them. A watch of all records reports changes in the order of the writes: a view
 * that shows a holder has shown every earlier write. A watch of the queues alone costs less, and suffices to release locks.
 */
import { type Clock, delay } from "../../ports/clock.ts";
import { isCatgaError } from "../../error.ts";
import type { Bucket, Change } from "../../ports/key_value_store.ts";
import { isJunk, type LockKeys, type LockRecord, readLockRecord } from "./lock_record.ts";

/** A record, as the watch last reported it. */
export interface SeenRecord {
  readonly record: LockRecord;
  readonly revision: number;
}

/** The record of a waiter. */
export interface SeenWaiter extends SeenRecord {
  readonly key: string;
  /** The revision of its first write: the oldest waiter has the smallest. */
  readonly place: number;
}

/** What a view is made of. */
export interface LockViewOptions {
  readonly clock: Clock;
  readonly keys: LockKeys;
  /** The prefix of the keys that it watches. */
  readonly prefix: string;
  bucket(): Promise<Bucket>;
  /** Called for every change after the current records are known; `waiter`: the nonce of the waiter whose record it is. */
  changed(key: string, waiter: string | undefined, change: Change): void;
  /** Called when the watch cannot be opened; the view tries again. */
  failed(error: unknown): void;
}

/** A watch and its records. Opens the watch on construction; `close` ends it. */
export class LockView {
  readonly #options: LockViewOptions;
  readonly #waiters = new Map<string, Map<string, SeenWaiter>>();
  readonly #holders = new Map<string, SeenRecord>();
  readonly #end = new AbortController();
  /** Resolves when the current records are known, or the view is closed; never rejects. */
  readonly ready: Promise<void>;
  #listed = false;

  constructor(options: LockViewOptions) {
    this.#options = options;
    this.ready = this.#open();
  }

  /** Whether the current records are known. */
  get listed(): boolean {
    return this.#listed;
  }

  holder(key: string): SeenRecord | undefined {
    return this.#holders.get(key);
  }

  /** The waiters of a key, the oldest first. */
  queue(key: string): SeenWaiter[] {
    return [...this.#waiters.get(key)?.values() ?? []].sort((a, b) => a.place - b.place);
  }

  /** The waiters of all keys. */
  *waiters(): Iterable<SeenWaiter> {
    for (const ofKey of this.#waiters.values()) yield* ofKey.values();
  }

  close(): void {
    this.#end.abort();
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
        await delay(clock, Math.min(1_000, 50 * 2 ** failures), signal).catch(() => {});
      }
    }
  }

  #apply(change: Change): void {
    const parsed = this.#options.keys.parse(change.key);
    if (parsed === undefined) return;
    const { key, waiter } = parsed;
    const record = change.type === "put" ? readLockRecord(change.value) : undefined;
    const { revision } = change;
    if (waiter === undefined) {
      if (change.type !== "put") this.#holders.delete(key);
      else this.#holders.set(key, { record: record ?? (isJunk(change.value) ? JUNK : UNREADABLE), revision });
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

/** Stands for a holder of another version, whose record this version cannot read. */
const UNREADABLE: LockRecord = { nonce: "", node: "?", endpoint: "?", call: "", ancestry: [], ttl: 1_000, since: 0 };

/** Stands for a text under a holder's key that is no record of any version: waiters remove it. */
export const JUNK: LockRecord = { ...UNREADABLE };
