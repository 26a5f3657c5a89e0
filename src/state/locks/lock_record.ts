/** The records of locks in the store: one for the holder of a key, one for each waiter. */
import { MAX_KEY_LENGTH } from "../../ports/key_value_store.ts";

/** The record of a holder, or of a waiter. */
export interface LockRecord {
  /** Identifies this acquisition. */
  readonly nonce: string;
  readonly node: string;
  readonly endpoint: string;
  /** The run of a handler that called `lock`, and the runs that wait for it to end, outermost first. */
  readonly call: string;
  readonly ancestry: readonly string[];
  /** How long the lock outlives its holder, in ms. */
  readonly ttl: number;
  /** When it was taken, or waiting began, in ms since 1970 by the writer's clock. For people. */
  readonly since: number;
  /** Of a waiter, in a renewal: the revision of its first record. The waiter with the smallest is next. */
  readonly place?: number | undefined;
  /** Of a holder, in a renewal: its token, the revision of the acquisition. For people. */
  readonly token?: number | undefined;
}

/** The text of a record. */
export function writeLockRecord(record: LockRecord): string {
  return JSON.stringify(record);
}

/** Parses a record; `undefined` if the text is not one. */
export function readLockRecord(text: string): LockRecord | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  // every member is checked below
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
 * Whether a text is no record of any version: those are objects with a nonce. Such a text may be an answer of JetStream, which
 * publishes answers to whatever reply subject a request names, the key of a lock too.
 */
export function isJunk(text: string): boolean {
  try {
    const { nonce } = (JSON.parse(text) ?? {}) as { nonce?: unknown };
    return typeof nonce !== "string";
  } catch {
    return true;
  }
}

/** The keys of the records: `h/<key>` for a holder, `w/<key>/<nonce>` for a waiter. A nonce contains no `/`. */
export class LockKeys {
  /** The prefix of every holder's key, and of every waiter's; a server can filter by either. */
  readonly holders: string;
  readonly waiters: string;

  /** `space` keeps the locks of one purpose apart from those of another in the same bucket. */
  constructor(space = "") {
    this.holders = `${space}h/`;
    this.waiters = `${space}w/`;
  }

  /** Throws a `TypeError` or `RangeError` for an invalid key of a lock. */
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

  /** The lock's key and the waiter's nonce in a record's key; `undefined` for one of another space. */
  parse(recordKey: string): { readonly key: string; readonly waiter?: string } | undefined {
    if (recordKey.startsWith(this.holders)) return { key: recordKey.slice(this.holders.length) };
    const slash = recordKey.lastIndexOf("/");
    if (!recordKey.startsWith(this.waiters) || slash < this.waiters.length) return undefined;
    return { key: recordKey.slice(this.waiters.length, slash), waiter: recordKey.slice(slash + 1) };
  }
}

/** How many letters and digits a nonce has. */
export const NONCE_LENGTH = 20;
/** The longest key of a lock, in UTF-16 code units. */
export const MAX_LOCK_KEY = MAX_KEY_LENGTH - 64;
