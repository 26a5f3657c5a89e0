/** What stands in the store for who holds a lock and for who waits for one. */
import { MAX_KEY_LENGTH } from "../../ports/key_value_store.ts";

/** A holder, or one who waits to be it. */
export interface LockRecord {
  /** Names this acquisition among all others. */
  readonly nonce: string;
  readonly node: string;
  readonly endpoint: string;
  /** The run of a handler that asks, and those that wait for it. */
  readonly call: string;
  readonly ancestry: readonly string[];
  /** For how long the lock is to be held after each renewal, in ms. */
  readonly ttl: number;
  /** Since when, in ms since 1970 by the clock of who wrote it: for people. */
  readonly since: number;
  /** Of one who waits, in a renewal: the revision of the first record. Who has the smallest is next. */
  readonly place?: number;
  /** Of a holder, in a renewal: the revision of the acquisition, which is its token. For people. */
  readonly token?: number;
}

/** A record as text. */
export function writeLockRecord(record: LockRecord): string {
  return JSON.stringify(record);
}

/** A record from the store; `undefined` for what is none. */
export function readLockRecord(text: string): LockRecord | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  // every member is looked at below
  const record = parsed as Partial<LockRecord> | null;
  const strings = [record?.nonce, record?.node, record?.endpoint, record?.call];
  const numbers = [record?.ttl, record?.since, record?.place ?? 0, record?.token ?? 0];
  if (!strings.every((each) => typeof each === "string") || !numbers.every(Number.isFinite)) return undefined;
  const { ancestry, ttl } = record as LockRecord;
  if (ttl < 1_000) return undefined;
  if (!(Array.isArray(ancestry) && ancestry.every((each) => typeof each === "string"))) return undefined;
  return record as LockRecord;
}

/**
 * Whether a text that is no record of ours is none of another version either: each of those is an object with a nonce. JetStream
 * writes its answers wherever a request's reply subject points to, under the key of a lock as well.
 */
export function isJunk(text: string): boolean {
  try {
    const { nonce } = (JSON.parse(text) ?? {}) as { nonce?: unknown };
    return typeof nonce !== "string";
  } catch {
    return true;
  }
}

/** Where the records stand: `h/<key>` for a holder, `w/<key>/<nonce>` for one who waits. No nonce has a `/`. */
export class LockKeys {
  /** What every holder's key begins with; and every waiter's, which the server can watch alone. */
  readonly holders: string;
  readonly waiters: string;

  /** `space` keeps the locks of one purpose apart from those of another in the same bucket. */
  constructor(space = "") {
    this.holders = `${space}h/`;
    this.waiters = `${space}w/`;
  }

  /** Throws for what cannot be the key of a lock. */
  check(key: string): void {
    if (typeof key !== "string") throw new TypeError(`a lock's key is a string; got ${typeof key}`);
    if (!key.isWellFormed()) {
      throw new TypeError(
        `a lock's key must be well-formed Unicode; got half a surrogate pair: ${JSON.stringify(key)}`,
      );
    }
    if (key.length <= MAX_LOCK_KEY) return;
    throw new RangeError(
      `a lock's key has at most ${MAX_LOCK_KEY} characters; this one has ${key.length}: ${key.slice(0, 40)}…`,
    );
  }

  holder(key: string): string {
    return this.holders + key;
  }

  waiter(key: string, nonce: string): string {
    return `${this.waiters}${key}/${nonce}`;
  }

  /** Which lock a record is about; `undefined` for one of another space. */
  parse(recordKey: string): { readonly key: string; readonly waiter?: string } | undefined {
    if (recordKey.startsWith(this.holders)) return { key: recordKey.slice(this.holders.length) };
    const slash = recordKey.lastIndexOf("/");
    if (!recordKey.startsWith(this.waiters) || slash < this.waiters.length) return undefined;
    return { key: recordKey.slice(this.waiters.length, slash), waiter: recordKey.slice(slash + 1) };
  }
}

/** Letters and digits of a nonce. */
export const NONCE_LENGTH = 20;
/** The longest key of a lock, in UTF-16 code units. */
export const MAX_LOCK_KEY = MAX_KEY_LENGTH - 64;
