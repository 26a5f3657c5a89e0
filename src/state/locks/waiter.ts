/**
 * A waiter for one key: its record in the store, which is its place in the queue, and how it becomes the holder. The
 * table has, for each state of the waiter, what happens to this record, and each next state with its cause.
 *
 * | state     | its place in the queue     | next state: cause                                                        |
 * | --------- | -------------------------- | ------------------------------------------------------------------------ |
 * | `waiting` | written, renewed           | `taking`: the holder handed the key over, or it was free and this waiter |
 * |           |                            | is the oldest (or those before it did not take it in time)               |
 * |           |                            | `over`: it was given up (caller, deadlock, or an error of the store)     |
 * | `taking`  | renewed                    | `over`: it holds the key (`held` resolves), or was given up              |
 * |           |                            | `waiting`: another waiter was faster, or the store did not answer        |
 * | `over`    | removed, in the background | none                                                                     |
 *
 * If the key is handed over to a waiter that was given up (`held` rejects), the waiter releases the key.
 */
import { delay, type Stamp, stamp, type Timer } from "../../ports/clock.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import { isAmbiguous } from "../store/ambiguous_writes.ts";
import { LeasedEntry } from "../store/leased_entry.ts";
import { type HeldKey, releaseOrHandOver } from "./held_key.ts";
import { ANSWER_LIMIT, type GrantedKey, type LockHost } from "./lock_host.ts";
import { type LockRecord, readLockRecord, writeLockRecord } from "./lock_record.ts";

/** Dependencies of a {@link LockWaiter} on the waiting room. */
export interface WaiterOptions {
  readonly host: LockHost;
  readonly key: string;
  readonly record: LockRecord;
  /**
   * Makes this node the holder of the key. `revision`, `sent`: revision, and time of sending, of the write of the
   * holder's record.
   */
  hold(revision: number, sent: Stamp): HeldKey;
  /** Called when the waiter's state becomes `over`. */
  ended(waiter: LockWaiter): void;
  /** Called when the waiter's state is `waiting` again, because it did not get the key. */
  notTaken(waiter: LockWaiter): void;
}

/** A waiter for one key. It writes its place in the queue on construction, and removes it when it is over. */
export class LockWaiter {
  readonly key: string;
  readonly record: LockRecord;
  /** Resolves with the key, now held. Rejects with the error given to {@link LockWaiter.giveUp}. */
  readonly held: Promise<HeldKey>;
  readonly #options: WaiterOptions;
  readonly #result: PromiseWithResolvers<HeldKey> = Promise.withResolvers();
  /**
   * Time to live of the place in the queue, in ms: 10 s at most, so that others do not wait longer for a dead waiter.
   */
  readonly #ttl: number;
  readonly #start: Stamp;
  /**
   * The last acknowledged writes of this waiter's record, each with the time at which it was sent. A write of a greater
   * revision happened after that time.
   */
  #acknowledged: { readonly revision: number; readonly sent: Stamp }[] = [];
  readonly #entry: LeasedEntry;
  /** Revision of the first write of the place in the queue. */
  #place: number | undefined;
  #state: "waiting" | "taking" | "over" = "waiting";
  #writing: Promise<void> | undefined;
  #timer: Timer | undefined;

  constructor(options: WaiterOptions) {
    this.#options = options;
    this.key = options.key;
    this.record = options.record;
    this.held = this.#result.promise;
    this.#ttl = Math.min(options.record.ttl, MAX_TTL);
    this.#start = stamp(options.host.clock);
    const name = options.host.keys.waiter(this.key, this.record.nonce);
    // any record of this name is this waiter's own: the name has its nonce, under which no other process writes
    this.#entry = new LeasedEntry(options.host, name, this.#ttl, { revision: 0, sent: this.#start, isOwn: () => true });
    this.#writePlace();
  }

  get waiting(): boolean {
    return this.#state === "waiting";
  }

  /** Call when the place was removed from the store, by a deletion with this revision: the place is written again. */
  placeRemoved(revision: number): void {
    if (revision <= this.#entry.revision) return;
    this.#entry.forget();
    this.#writePlace();
  }

  /** Makes this waiter the holder of the key. Call when the holder's record names this waiter. */
  async granted({ revision, sent, overdue }: GrantedKey): Promise<void> {
    if (this.#state !== "waiting") return;
    this.#state = "taking";
    await this.#becomeHolder(this.#options.hold(revision, sent ?? this.#sentBefore(revision)), overdue);
  }

  /** Tries to become the holder of a key that no one holds. */
  async takeFreeKey(): Promise<void> {
    if (this.#state !== "waiting") return;
    this.#state = "taking";
    const { host, hold, notTaken } = this.#options;
    const { clock, keys } = host;
    try {
      const bucket = await host.bucket();
      const record: LockRecord = { ...this.record, since: clock.now() };
      const sent = stamp(clock);
      const creating = bucket.create(keys.holder(this.key), writeLockRecord(record), { ttl: this.record.ttl });
      const revision = await host.answers.within(ANSWER_LIMIT, creating);
      if (revision !== undefined) return await this.#becomeHolder(hold(revision, sent), false);
    } catch (error) {
      // unknown outcome: the watch will show if the write was made
      if (!isAmbiguous(error)) return this.giveUp(error);
      await delay(clock, 100 + 100 * host.random());
    }
    if (this.#over) return;
    this.#state = "waiting";
    notTaken(this);
  }

  /** Ends waiting with an error. If the key is handed over to this waiter after that, it is released. */
  giveUp(error: unknown): void {
    if (this.#state === "over") return;
    this.#result.reject(error);
    this.#end({ withKey: false });
  }

  // a getter, because otherwise the compiler assumes that the state cannot change during an `await`
  get #over(): boolean {
    return this.#state === "over";
  }

  async #becomeHolder(held: HeldKey, overdue: boolean): Promise<void> {
    if ((overdue || held.stale) && !await held.confirm()) {
      if (this.#over) return;
      this.#state = "waiting";
      return this.#options.notTaken(this);
    }
    if (this.#over) return await held.release();
    this.#result.resolve(held);
    this.#end({ withKey: true });
  }

  /**
   * Returns the time of sending of this waiter's last write that is known to be older than this revision. The ttl of
   * the key's record, whose write has this revision, began no earlier.
   */
  #sentBefore(revision: number): Stamp {
    return this.#acknowledged.findLast((write) => write.revision < revision)?.sent ?? this.#start;
  }

  #end({ withKey }: { withKey: boolean }): void {
    this.#state = "over";
    this.#timer?.cancel();
    const { host, ended } = this.#options;
    ended(this);
    host.background("leaving the queue of a lock", this.#removePlace(withKey));
  }

  /**
   * Removes the waiter's place in the queue. `withKey`: true if the waiter got the key; false: this method then reads
   * whether the key was handed over to the waiter before its place was removed, and if so releases the key. Another
   * node may hand the key over until its watch reports the removal: the watch of this node shows that, or a second read
   * if this node stops meanwhile, which ends the watch.
   */
  async #removePlace(withKey: boolean): Promise<void> {
    const { host } = this.#options;
    await this.#writing;
    const { key: name } = this.#entry;
    for (let failures = 0; failures < MAX_REMOVALS; failures++) {
      try {
        const bucket = await host.bucket();
        // a renewal whose acknowledgement was lost has changed the revision
        const { revision } = this.#entry;
        const removed = bucket.delete(name, revision === 0 ? {} : { revision });
        if (!await host.answers.within(ANSWER_LIMIT, removed)) {
          await host.answers.within(ANSWER_LIMIT, bucket.delete(name));
        }
        if (withKey) return;
        await this.#releaseIfHolder(bucket);
        if (await this.#stopsWithin(WATCH_LAG)) await this.#releaseIfHolder(bucket);
        return;
      } catch (error) {
        if (!isAmbiguous(error)) throw error;
        if (host.closing.aborted) return;
        await delay(host.clock, 200 * (failures + host.random()));
      }
    }
  }

  /** Resolves after `ms`, with true if this node stops, or has stopped, by then. */
  async #stopsWithin(ms: number): Promise<boolean> {
    const { clock, closing } = this.#options.host;
    await delay(clock, ms);
    return closing.aborted;
  }

  async #releaseIfHolder(bucket: Bucket): Promise<void> {
    const { host } = this.#options;
    const entry = await host.answers.within(ANSWER_LIMIT, bucket.get(host.keys.holder(this.key)));
    if (entry === undefined || readLockRecord(entry.value)?.nonce !== this.record.nonce) return;
    await releaseOrHandOver(host, this.key, this.record, { revision: entry.revision });
  }

  /** Writes or renews the place in the queue, and again after each third of its ttl. */
  #writePlace(): void {
    if (this.#state === "over") return;
    this.#timer?.cancel();
    this.#writing ??= this.#tryToWrite().finally(() => {
      this.#writing = undefined;
      if (this.#state === "over") return;
      this.#timer = this.#options.host.clock.after(this.#ttl / 3, () => this.#writePlace(), { background: true });
    });
  }

  /** Resolves when the place in the queue is written, or the waiter is over. Never rejects. */
  async #tryToWrite(): Promise<void> {
    const { host: { clock, random } } = this.#options;
    await undefined; // a waiter that is given up at once gets no place
    while (!this.#over) {
      try {
        return await this.#write();
      } catch (error) {
        if (!isAmbiguous(error)) return this.giveUp(error);
        await delay(clock, 100 + 100 * random());
      }
    }
  }

  async #write(): Promise<void> {
    const entry = this.#entry;
    while (!this.#over) {
      const written = await entry.renew(ANSWER_LIMIT, (revision) => {
        // if `revision` is above 0, an earlier write, whose acknowledgement was lost, was the first one
        if (revision > 0) this.#place ??= revision;
        return writeLockRecord({ ...this.record, place: this.#place });
      });
      if (written === "written") {
        const { revision, sent } = entry;
        this.#place ??= revision;
        this.#acknowledged = [...this.#acknowledged.slice(-2), { revision, sent }];
        return;
      }
      entry.forget(); // the place has expired: the next write creates it
    }
  }
}

const MAX_TTL = 10_000; // ms of a place
const WATCH_LAG = 200; // ms in which other nodes' watches report that a place is removed
const MAX_REMOVALS = 5; // attempts to remove a place; then it is left to expire
