/**
 * The records of locks in the store: one for the holder of a key, one for each waiter; and the queue of a key, the
 * oldest waiter first.
 */
import { type Bucket, type Change, MAX_LOCK_KEY } from "../../ports/key_value_store.ts";
import { type Clock, delay, doubled } from "../../ports/clock.ts";
import { isCatgaError } from "../../error.ts";
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
   * Set when a holder renews its record: the fencing token, which is the revision of the acquisition. For people
   * only.
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

// The records of locks as one watch reports them. A watch of all records reports changes in the order of the writes:
// when it has reported a holder, it has reported every earlier write. A watch of the queues alone costs less, and is
// enough to release locks.

/** A record as the watch has last reported it. */
export interface SeenRecord {
  readonly record: LockRecord;
  readonly revision: number;
}

/** The record of a waiter, as the watch has last reported it. */
export interface SeenWaiter extends SeenRecord {
  readonly key: string;
  /** Revision of the record's first write: the oldest waiter has the smallest. */
  readonly place: number;
}

/** Options of a {@link LockRecordWatch}. */
interface LockViewOptions {
  readonly clock: Clock;
  readonly keys: LockKeys;
  /** Prefix of the bucket's keys that are watched. */
  readonly prefix: string;
  bucket(): Promise<Bucket>;
  /**
   * Called for every change after the present records are known. `waiter`: nonce of the waiter whose record has
   * changed; `undefined`: the holder's record has changed.
   */
  changed(key: string, waiter: string | undefined, change: Change): void;
  /** Called when the watch cannot be opened. Opening it is tried again. */
  failed(error: unknown): void;
}

/** A watch of lock records, with the records that it has reported. The constructor opens the watch; `close` ends it. */
export class LockRecordWatch {
  readonly #options: LockViewOptions;
  readonly #waiters = new Map<string, Map<string, SeenWaiter>>();
  readonly #holders = new Map<string, SeenRecord>();
  readonly #end = new AbortController();
  /** Resolves when the present records are known, or the watch is closed; never rejects. */
  readonly ready: Promise<void>;
  #listed = false;

  constructor(options: LockViewOptions) {
    this.#options = options;
    this.ready = this.#open();
  }

  /** True if the present records are known. */
  get listed(): boolean {
    return this.#listed;
  }

  holder(key: string): SeenRecord | undefined {
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
        await delay(clock, doubled(failures, 50, 1_000), signal).catch(() => {});
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

/** Stands for the record of a holder of another version of Catga, which this version cannot read. */
const UNREADABLE: LockRecord = { nonce: "", node: "?", endpoint: "?", call: "", ancestry: [], ttl: 1_000, since: 0 };

/** Stands for a text under a holder's key that is no record of any version: waiters remove it. */
export const JUNK: LockRecord = { ...UNREADABLE };
