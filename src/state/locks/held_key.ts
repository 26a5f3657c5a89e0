/**
 * A key of a lock that this node holds, renewed at a third of its ttl until it is released or lost. When it is lost,
 * the signal of its lock aborts: `check` notices the end of its lease, `#tryToRenew` notices that its record is gone or
 * that the connection is closed; `LockManager.close` gives the key up when the app stops.
 */
import { delay, elapsed, LONG_AGO, type Stamp, stamp, type Timer } from "../../ports/clock.ts";
import { type CatgaError, isCatgaError } from "../../error.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import { isAmbiguous } from "../store/ambiguous_writes.ts";
import type { Leased } from "../store/jump_watch.ts";
import { LeasedEntry } from "../store/leased_entry.ts";
import { lockLost } from "./lock_error.ts";
import { ANSWER_LIMIT, type LockHost } from "./lock_host.ts";
import { type LockRecord, readLockRecord, writeLockRecord } from "./lock_record.ts";
import type { SeenWaiter } from "./lock_record_watch.ts";

/** A key of a lock, from its acquisition to its release or loss. */
export class HeldKey implements Leased {
  readonly key: string;
  readonly record: LockRecord;
  /** Called at most once, when the key is lost. */
  onLost: ((error: CatgaError) => void) | undefined;
  readonly #host: LockHost;
  readonly #ended: (held: HeldKey) => void;
  readonly #entry: LeasedEntry;
  #token: number;
  #lost: CatgaError | undefined;
  /** True if the store has the record of another holder, or none, so that nothing is left to release. */
  #gone = false;
  #released: Promise<void> | undefined;
  #renewing: Promise<void> | undefined;
  #timer: Timer | undefined;
  /** True during {@link HeldKey.confirm}: no caller relies on the lease, so its end alone does not lose the key. */
  #confirming = false;

  /**
   * `revision`: revision of the holder's record; `sent`: time at which the write of this record was sent; the record
   * lives for at least its ttl from then on. `ended` is called once, when the key is no longer held.
   */
  constructor(
    host: LockHost,
    key: string,
    record: LockRecord,
    held: { revision: number; sent: Stamp; ended: (held: HeldKey) => void },
  ) {
    this.#host = host;
    this.key = key;
    this.record = record;
    this.#token = held.revision;
    this.#entry = entryOf(host, key, record, held);
    this.#ended = held.ended;
    host.jumps.add(this);
    this.#scheduleRenewal();
  }

  /** Fencing token: the revision of the key's acquisition, or of the renewal that confirmed it. */
  get token(): number {
    return this.#token;
  }

  /** Error because of which the key was lost; `undefined` while it is held, and if it was released first. */
  get lost(): CatgaError | undefined {
    return this.#lost;
  }

  /** Last known revision of the holder's record. */
  get revision(): number {
    return this.#entry.revision;
  }

  /** True if less than a third of the lease is left: the key must then be renewed before a caller gets it. */
  get stale(): boolean {
    return this.#entry.left < this.record.ttl / 3;
  }

  /**
   * Renews the key before its caller gets it. Resolves with false if the key is lost. An acknowledged renewal begins a
   * new lease, even after the end of the old one: the store makes it only while the key's record is this node's.
   * (Otherwise, whoever finds the record after that end would renew it, and lose the key, again and again.) The token
   * becomes the revision of this renewal, because another node may have held the key, and handed it over again, since
   * the revision that was known before.
   */
  async confirm(): Promise<boolean> {
    this.#timer?.cancel();
    this.#confirming = true;
    await this.#renew();
    this.#confirming = false;
    this.#token = this.#entry.revision;
    this.check();
    return this.#lost === undefined;
  }

  /** Gives the key up if its lease has ended. */
  check(): void {
    if (!this.#confirming) this.#checkLease();
  }

  #checkLease(): void {
    if (this.#entry.left <= 0) this.lose(this.#entry.overdue);
  }

  /** Gives the key up before its release: the lock's signal aborts. `why`: reason for the text of the error. */
  lose(why: string): void {
    if (this.#lost !== undefined || this.#released !== undefined) return;
    this.#lost = lockLost(this.key, why, this.#host.node);
    this.#end();
    this.onLost?.(this.#lost);
  }

  /**
   * Releases the key: hands it over to the oldest waiter, or removes its record. The record of another holder stays.
   * Idempotent.
   */
  release(): Promise<void> {
    return this.#released ??= this.#release();
  }

  async #release(): Promise<void> {
    if (this.#lost === undefined) this.#end();
    // wait for a running renewal, because it changes the revision
    await this.#renewing;
    if (!this.#gone) await releaseOrHandOver(this.#host, this.key, this.record, this.#entry);
  }

  #end(): void {
    this.#timer?.cancel();
    this.#host.jumps.delete(this);
    this.#ended(this);
  }

  #scheduleRenewal(): void {
    const { clock } = this.#host;
    const wait = this.record.ttl / 3 - elapsed(clock, this.#entry.sent);
    this.#timer = clock.after(Math.max(0, wait), () => void this.#renew(), { background: true });
  }

  #renew(): Promise<void> {
    return this.#renewing ??= this.#tryToRenew().finally(() => {
      this.#renewing = undefined;
      if (this.#holding) this.#scheduleRenewal();
    });
  }

  get #holding(): boolean {
    return this.#lost === undefined && this.#released === undefined;
  }

  /** Resolves when the key is renewed, lost or released. Never rejects. */
  async #tryToRenew(): Promise<void> {
    const { clock, random } = this.#host;
    const { ttl } = this.record;
    const end = clock.after(Math.max(0, this.#entry.left), () => this.check(), { background: true });
    try {
      while (this.#holding) {
        try {
          const text = writeLockRecord({ ...this.record, token: this.#confirming ? undefined : this.#token });
          // the answer may have come after the end of the lease, so check the lease
          if (await this.#entry.renew(Math.min(ANSWER_LIMIT, ttl / 6), () => text) === "written") return this.check();
          this.#gone = true;
          return this.lose(
            "its record is gone or another's: it was deleted, or this process or its way to the store stood still",
          );
        } catch (error) {
          if (isCatgaError(error) && error.code === "CLOSED") return this.lose("the connection is closed");
          // the store has not answered: try again until the lease ends, also for a key that has no caller yet
          await delay(clock, Math.min(500, ttl / 20) * (0.5 + random()));
          this.#checkLease();
        }
      }
    } finally {
      end.cancel();
    }
  }
}

/** Makes the entry of the holder's record in the store. */
function entryOf(
  host: LockHost,
  key: string,
  { nonce, ttl }: LockRecord,
  { revision, sent }: { revision: number; sent: Stamp },
): LeasedEntry {
  const isOwn = (text: string) => readLockRecord(text)?.nonce === nonce;
  return new LeasedEntry(host, host.keys.holder(key), ttl, { revision, sent, isOwn });
}

// Ends the holding of a key: its record is handed over to the oldest waiter, or removed.

/**
 * Hands over or removes the record of a holder, never the record of another holder: writes at the known revision, or at
 * a later one whose record has the same nonce. Resolves after the first try; if the store does not answer, tries go on
 * in the background until the record has expired.
 */
export async function releaseOrHandOver(
  host: LockHost,
  key: string,
  record: LockRecord,
  { revision, sent = LONG_AGO }: { readonly revision: number; readonly sent?: Stamp },
): Promise<void> {
  const entry = entryOf(host, key, record, { revision, sent });
  const isOverdue = () => entry.left <= 0;
  const tryOnce = () =>
    entry.change(ANSWER_LIMIT, (bucket, revision) => {
      const next = host.next(key, record.nonce);
      return next === undefined
        ? bucket.delete(entry.key, { revision })
        : handOver(host, bucket, next, revision, isOverdue);
    }).catch((error) => {
      // without a connection no further try is made, because the record expires
      if (!isCatgaError(error) || error.code !== "CLOSED") throw error;
    });
  const repeat = async () => {
    const { clock, random } = host;
    const end = clock.monotonic() + record.ttl;
    while (!host.closing.aborted && clock.monotonic() < end) {
      await delay(clock, 100 + 400 * random());
      try {
        return await tryOnce();
      } catch (error) {
        if (!isAmbiguous(error)) throw error;
      }
    }
  };
  try {
    await tryOnce();
  } catch (error) {
    if (!isAmbiguous(error)) throw error;
    if (!host.closing.aborted) host.background("releasing a lock", repeat());
  }
}

/**
 * Replaces the holder's record by the record of a waiter, which then holds the key. Resolves with false if the
 * revision has changed. `isOverdue`: returns true if the holder's record may have expired.
 */
async function handOver(
  host: LockHost,
  bucket: Bucket,
  to: SeenWaiter,
  revision: number,
  isOverdue: () => boolean,
): Promise<boolean> {
  const { clock, keys } = host;
  const { ttl } = to.record;
  const record: LockRecord = { ...to.record, since: clock.now(), place: undefined };
  const sent = stamp(clock);
  const writing = bucket.update(keys.holder(to.key), writeLockRecord(record), revision, { ttl });
  // a late answer is ignored: the watch of the records shows the outcome
  const written = await host.answers.within(ANSWER_LIMIT, writing);
  if (written === undefined) return false;
  host.handedOver(to, { revision: written, sent, overdue: isOverdue() });
  return true;
}
