/** One who waits for a lock: the record that is its place in the queue, and how it becomes the holder. */
import { delay, type Timer } from "../../ports/clock.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import { isAmbiguous } from "../store/ambiguous_writes.ts";
import { releaseOrHandOver } from "./release.ts";
import { type Stamp, stamp } from "../store/lease.ts";
import type { HeldKey } from "./held_key.ts";
import { ANSWER_LIMIT, type LockHost } from "./lock_host.ts";
import { type LockRecord, readLockRecord, writeLockRecord } from "./lock_record.ts";

/** What a waiter needs of the room that it waits in. */
export interface WaiterOptions {
  readonly host: LockHost;
  readonly key: string;
  readonly record: LockRecord;
  /** Makes it the holder. */
  hold(revision: number, sent: Stamp): HeldKey;
  /** It waits no longer. */
  ended(waiter: Waiter): void;
  /** It could not become the holder, and has to be told again when it may. */
  again(waiter: Waiter): void;
}

/** From the first write of its record to the removal of that. */
export class Waiter {
  readonly key: string;
  readonly record: LockRecord;
  /** The lock. Rejects with what {@link Waiter.giveUp} was given. */
  readonly held: Promise<HeldKey>;
  readonly #options: WaiterOptions;
  readonly #settle: PromiseWithResolvers<HeldKey> = Promise.withResolvers();
  /** How long its record lives without renewal: after that it is taken for dead. */
  readonly #ttl: number;
  readonly #start: Stamp;
  /** Its acknowledged writes: each was sent before anything happened that has a greater revision. */
  #acknowledged: { readonly revision: number; readonly sent: Stamp }[] = [];
  #place: number | undefined;
  #revision = 0;
  #state: "waiting" | "taking" | "over" = "waiting";
  #writing: Promise<void> | undefined;
  #timer: Timer | undefined;

  constructor(options: WaiterOptions) {
    this.#options = options;
    this.key = options.key;
    this.record = options.record;
    this.held = this.#settle.promise;
    this.#ttl = Math.min(options.record.ttl, LONGEST);
    this.#start = stamp(options.host.clock);
    this.enrol();
  }

  get waiting(): boolean {
    return this.#state === "waiting";
  }

  /** Writes its record, anew when that is gone. */
  enrol(): void {
    if (this.#state === "over") return;
    this.#timer?.cancel();
    this.#writing ??= this.#tryToWrite().finally(() => {
      this.#writing = undefined;
      if (this.#state === "over") return;
      this.#timer = this.#options.host.clock.after(this.#ttl / 3, () => this.enrol(), { background: true });
    });
  }

  /** Its record is not in the store any more, as of this revision. */
  vanished(revision: number): void {
    if (revision <= this.#revision) return;
    this.#revision = 0;
    this.enrol();
  }

  /** The lock is its own since the write of this revision, which was sent then: by itself, or by one who is not known. */
  async granted(revision: number, sent?: Stamp): Promise<void> {
    if (this.#state !== "waiting") return;
    this.#state = "taking";
    await this.#become(this.#options.hold(revision, sent ?? this.#sentBefore(revision)));
  }

  /** Nobody holds the lock: tries to be the one. */
  async take(): Promise<void> {
    if (this.#state !== "waiting") return;
    this.#state = "taking";
    const { host, hold, again } = this.#options;
    const { clock, keys } = host;
    try {
      const bucket = await host.bucket();
      const record: LockRecord = { ...this.record, since: clock.now() };
      const sent = stamp(clock);
      const creating = bucket.create(keys.holder(this.key), writeLockRecord(record), { ttl: this.record.ttl });
      const revision = await host.answers.within(ANSWER_LIMIT, creating);
      if (revision !== undefined) return await this.#become(hold(revision, sent));
    } catch (error) {
      // whether it is ours the watch tells
      if (!isAmbiguous(error)) return this.giveUp(error);
      await delay(clock, 100 + 100 * host.random());
    }
    if (this.#over) return;
    this.#state = "waiting";
    again(this);
  }

  /** Waits no longer; hands the lock on if it comes all the same. */
  giveUp(error: unknown): void {
    if (this.#state === "over") return;
    this.#settle.reject(error);
    this.#leave(true);
  }

  // a getter, for what is awaited may change it
  get #over(): boolean {
    return this.#state === "over";
  }

  async #become(held: HeldKey): Promise<void> {
    if (held.stale && !await held.confirm()) {
      if (this.#over) return;
      this.#state = "waiting";
      return this.#options.again(this);
    }
    if (this.#over) return await held.release();
    this.#settle.resolve(held);
    this.#leave(false);
  }

  /** When the last thing was sent of which it is known that it came before this revision. */
  #sentBefore(revision: number): Stamp {
    return this.#acknowledged.findLast((write) => write.revision < revision)?.sent ?? this.#start;
  }

  #leave(empty: boolean): void {
    this.#state = "over";
    this.#timer?.cancel();
    const { host, ended } = this.#options;
    ended(this);
    host.background("ending to wait for a lock", this.#remove(empty));
  }

  /** Takes its record away; `empty`: it did not get the lock, and looks whether it was given it meanwhile. */
  async #remove(empty: boolean): Promise<void> {
    const { host } = this.#options;
    await this.#writing;
    const name = host.keys.waiter(this.key, this.record.nonce);
    for (let failures = 0; failures < TRIES; failures++) {
      try {
        const bucket = await host.bucket();
        // a renewal whose acknowledgement was lost has changed the revision
        const revision = this.#revision === 0 ? undefined : this.#revision;
        const removed = bucket.delete(name, revision === undefined ? {} : { revision });
        if (!await host.answers.within(ANSWER_LIMIT, removed)) {
          await host.answers.within(ANSWER_LIMIT, bucket.delete(name));
        }
        if (empty) await this.#handOn(bucket);
        return;
      } catch (error) {
        if (!isAmbiguous(error)) throw error;
        if (host.closed) return;
        await delay(host.clock, 200 * (failures + host.random()));
      }
    }
  }

  async #handOn(bucket: Bucket): Promise<void> {
    const { host } = this.#options;
    const entry = await host.answers.within(ANSWER_LIMIT, bucket.get(host.keys.holder(this.key)));
    if (entry === undefined || readLockRecord(entry.value)?.nonce !== this.record.nonce) return;
    await releaseOrHandOver(host, this.key, this.record, entry.revision);
  }

  /** Ends when the record stands, or is not wanted any more. Never rejects. */
  async #tryToWrite(): Promise<void> {
    const { host: { clock, random } } = this.#options;
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
    const { host: { clock, keys }, host } = this.#options;
    const bucket = await host.bucket();
    const name = keys.waiter(this.key, this.record.nonce);
    const ttl = { ttl: this.#ttl };
    while (!this.#over) {
      const text = writeLockRecord({ ...this.record, place: this.#place });
      const sent = stamp(clock);
      const writing = this.#revision === 0
        ? bucket.create(name, text, ttl)
        : bucket.update(name, text, this.#revision, ttl);
      const revision = await host.answers.within(ANSWER_LIMIT, writing);
      if (revision !== undefined) {
        this.#revision = revision;
        this.#place ??= revision;
        this.#acknowledged = [...this.#acknowledged.slice(-2), { revision, sent }];
        return;
      }
      // lost to an earlier write of its own, or the record is gone
      const entry = await host.answers.within(ANSWER_LIMIT, bucket.get(name));
      this.#revision = entry?.revision ?? 0;
      this.#place ??= entry?.revision;
    }
  }
}

const LONGEST = 10_000; // ms
const TRIES = 5;
