/** The records of locks in the store, and their keys: one record for the holder of a key, one for each waiter. */
import { MAX_LOCK_KEY } from "../../ports/key_value_store.ts";
import { isStringArray } from "../../data/checks.ts";
import { parsedJson } from "../../data/encoding.ts";

/** The record of a holder of a key, or of a waiter for it. */
export interface LockRecord {
  /** Random text that identifies this acquisition of the key, or the wait for it. */
  readonly nonce: string;
  readonly node: string;
  readonly endpoint: string;
  /** The handler's run that called `lock`; `ancestry`: the runs that wait for it to end, outermost first. */
  readonly call: string;
  readonly ancestry: readonly string[];
  /** Time for which the record outlives its process, in ms. */
  readonly ttl: number;
  /** Time at which the key was taken, or waiting began, in ms since 1970 by the writer's clock. For people only. */
  readonly since: number;
  /**
   * Set when a waiter renews its record: revision of the waiter's first record. The waiter with the smallest `place` is
   * next.
   */
  readonly place?: number | undefined;
  /**
   * Set when a holder renews its record: the fencing token. Without it, the token is the revision of the record. For
   * people only.
   */
  readonly token?: number | undefined;
}

/** Encodes the record of a lock. */
export function writeLockRecord(record: LockRecord): string {
  return JSON.stringify(record);
}

/** Parses the record of a lock; `undefined` if the text is no record. */
export function readLockRecord(text: string): LockRecord | undefined {
  // cast: every member is checked below
  const record = parsedJson(text) as Partial<LockRecord> | null | undefined;
  const strings = [record?.nonce, record?.node, record?.endpoint, record?.call];
  const numbers = [record?.ttl, record?.since, record?.place ?? 0, record?.token ?? 0];
  if (!strings.every((each) => typeof each === "string") || !numbers.every(Number.isFinite)) return undefined;
  const { ancestry, ttl } = record as LockRecord;
  return ttl >= 1_000 && isStringArray(ancestry) ? record as LockRecord : undefined;
}

/**
 * Returns true if a text is no record of any version: it names no holder and no ttl. Waiters remove such a text, for
 * example a stored answer of JetStream.
 */
export function isJunk(text: string): boolean {
  const { nonce, node, endpoint, ttl } = (parsedJson(text) ?? {}) as Record<string, unknown>;
  return ![nonce, node, endpoint].every((each) => typeof each === "string" && each !== "") ||
    typeof ttl !== "number" || !(ttl > 0);
}

/**
 * The keys of lock records in the bucket: `h/<key>` for a holder, `w/<key>/<nonce>` for a waiter. A nonce contains no
 * `/`.
 */
export class LockKeys {
  /** Prefix of the keys of all holders' records; `waiters`: of all waiters' records. A server can filter by either. */
  readonly holders: string;
  readonly waiters: string;

  /** `space`: prefix that keeps locks of one purpose apart from others in the same bucket. */
  constructor(space = "") {
    this.holders = `${space}h/`;
    this.waiters = `${space}w/`;
  }

  /** Throws a `TypeError` or `RangeError` if the key of a lock is invalid. */
  check(key: string): void {
    if (typeof key !== "string") throw new TypeError(`a lock's key is a string; got ${typeof key}`);
    if (!key.isWellFormed()) throw new TypeError(`a lock's key is well-formed Unicode; got ${JSON.stringify(key)}`);
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

  /** Parses the lock's key and the waiter's nonce from a record's key; `undefined`: the record is of another space. */
  parse(recordKey: string): { readonly key: string; readonly waiter?: string } | undefined {
    if (recordKey.startsWith(this.holders)) return { key: recordKey.slice(this.holders.length) };
    const slash = recordKey.lastIndexOf("/");
    if (!recordKey.startsWith(this.waiters) || slash < this.waiters.length) return undefined;
    return { key: recordKey.slice(this.waiters.length, slash), waiter: recordKey.slice(slash + 1) };
  }
}

/** Number of letters and digits of a nonce. */
export const NONCE_LENGTH = 20;
