/**
 * What a node knows of the records of locks, by one watch. A watch of everything is told in the order of the writes: who
 * sees a holder in it has seen all that came before. A watch of waiters alone is what a node has that only holds locks.
 */
import { type Clock, delay } from "../../ports/clock.ts";
import { isCatgaError } from "../../error.ts";
import type { Bucket, Change } from "../../ports/key_value_store.ts";
import { isJunk, type LockKeys, type LockRecord, readLockRecord } from "./lock_record.ts";

/** A record in the store. */
export interface Seen {
  readonly record: LockRecord;
  readonly revision: number;
}

/** One who waits, as seen. */
export interface SeenWaiter extends Seen {
  readonly key: string;
  /** The first revision: who came first has the smallest. */
  readonly place: number;
}

/** What a view is made of. */
export interface LockViewOptions {
  readonly clock: Clock;
  readonly keys: LockKeys;
  /** What it watches. */
  readonly prefix: string;
  bucket(): Promise<Bucket>;
  /** Something is otherwise with a lock, after the current records are known. `waiter`: with that one's record. */
  changed(key: string, waiter: string | undefined, change: Change): void;
  /** It could not be watched; it is tried again. */
  failed(error: unknown): void;
}

/** A watch, and what it has told. Opened when it is made, until it is closed. */
export class LockView {
  readonly #options: LockViewOptions;
  readonly #waiters = new Map<string, Map<string, SeenWaiter>>();
  readonly #holders = new Map<string, Seen>();
  readonly #end = new AbortController();
  /** Resolves when the current records are known; never rejects. */
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

  holder(key: string): Seen | undefined {
    return this.#holders.get(key);
  }

  waiter(key: string, nonce: string): SeenWaiter | undefined {
    return this.#waiters.get(key)?.get(nonce);
  }

  /** Those who wait for a lock, the oldest first. */
  queue(key: string): SeenWaiter[] {
    return [...this.#waiters.get(key)?.values() ?? []].sort((a, b) => a.place - b.place);
  }

  /** All who wait. */
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
    const about = this.#options.keys.parse(change.key);
    if (about === undefined) return;
    const { key, waiter } = about;
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

/** Stands for a holder of another version, whose record says nothing to this one. */
const UNREADABLE: LockRecord = { nonce: "", node: "?", endpoint: "?", call: "", ancestry: [], ttl: 1_000, since: 0 };

/** Stands for what is no holder of any version, though it stands in the place of one: whoever waits removes it. */
export const JUNK: LockRecord = { ...UNREADABLE };
