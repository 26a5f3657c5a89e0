/**
 * Locks on a bucket: who holds one has the record `h/<key>`, who waits has a place in the queue, `w/<key>/<nonce>`. A lock
 * that nobody wants costs two writes, one that is waited for three: the place, the handover, the end of the place. Only
 * compare-and-set decides who holds it, and its revision is the token.
 */
import { type Clock, delay, type Random, token } from "../../ports/clock.ts";
import { type CatgaError, isCatgaError } from "../../error.ts";
import { type Bucket, ttlSeconds } from "../../ports/key_value_store.ts";
import type { Observer } from "../../contract/observer.ts";
import { checkKnown, checkNumber, checkSignal, show } from "../../contract/checks.ts";
import type { Asker, Locks } from "../../dispatch/shared_state.ts";
import type { Lock, LockOptions } from "../../contract/shared_state.ts";
import { isAmbiguous } from "../store/ambiguous_writes.ts";
import { AnswerTimeouts } from "../store/answer_timeouts.ts";
import { HeldKey } from "./held_key.ts";
import { HeldKeys } from "./held_keys.ts";
import { JumpWatch, type Stamp, stamp } from "../store/lease.ts";
import { deadlock, lockCancelled, locksClosed, lockTimeout, lockUnavailable } from "./lock_error.ts";
import { ANSWER_LIMIT, type LockHost } from "./lock_host.ts";
import { isJunk, LockKeys, type LockRecord, NONCE_LENGTH, readLockRecord, writeLockRecord } from "./lock_record.ts";
import { openOnce } from "../store/open_once.ts";
import { WaitingRoom } from "./waiting_room.ts";

/** What a {@link LockManager} is made of. */
export interface LockManagerOptions {
  /** Opens the bucket; called at the first lock, and again only when that failed. */
  bucket(): Promise<Bucket>;
  readonly clock: Clock;
  readonly random: Random;
  /** This node's id, and its process. */
  readonly node: string;
  readonly endpoint: string;
  /** Told of what goes wrong in the background. */
  readonly observer: Observer;
  /** Keeps these locks apart from others in the same bucket: letters; none. */
  readonly space?: string;
}

/** What one call of `lock` wants, for all of its keys. */
interface Wish {
  readonly ttl: number;
  readonly asker: Asker;
  readonly started: number;
  /** Whether it may wait. */
  readonly patient: boolean;
  /** Aborts with how to say, of a key, that it is not waited for any more. */
  readonly stop: AbortController;
  /** Who holds the key that it waits for, and what the store last failed with. */
  holder?: LockRecord;
  failure?: unknown;
}

const OPTIONS: ReadonlySet<string> = new Set(["ttl", "timeout", "signal"]);

type GiveUp = (key: string) => CatgaError;

/** The locks of one node. */
export class LockManager implements Locks {
  readonly #options: LockManagerOptions;
  readonly #host: LockHost;
  readonly #room: WaitingRoom;
  readonly #held = new Map<string, HeldKey>();
  readonly #wishes = new Set<Wish>();
  /** How many calls of this node are at a key and have no place in the queue yet. */
  readonly #asking = new Map<string, number>();
  readonly #background = new Set<Promise<void>>();
  #closed: Promise<void> | undefined;

  constructor(options: LockManagerOptions) {
    this.#options = options;
    // the parts see of this manager what they need, and the rest stays private
    // deno-lint-ignore no-this-alias
    const manager = this;
    const { clock, random, node, endpoint, observer } = options;
    this.#host = {
      node,
      endpoint,
      clock,
      random,
      observer,
      keys: new LockKeys(options.space),
      jumps: new JumpWatch(clock),
      answers: new AnswerTimeouts(clock),
      get closed() {
        return manager.#closed !== undefined;
      },
      bucket: openOnce(() => options.bucket()),
      holds: (key, nonce) => this.#held.get(key)?.record.nonce === nonce,
      next: (key, nonce) => this.#room.next(key, nonce),
      handed: (waiter, revision, sent) => this.#room.handed(waiter, revision, sent),
      background: (during, work) => this.#keep(during, work),
    };
    this.#room = new WaitingRoom(this.#host, (...held) => this.#hold(...held));
  }

  async lock(keys: string | readonly string[], options: LockOptions, asker: Asker): Promise<Lock> {
    checkKnown("lock", options, OPTIONS);
    if (typeof keys !== "string" && !Array.isArray(keys)) {
      throw new TypeError(`a lock needs a key, or an array of them; got ${show(keys)}`);
    }
    const sorted = typeof keys === "string" ? [keys] : [...new Set<string>(keys)].sort();
    const { timeout = 30_000, signal } = options;
    const ttl = ttlSeconds(options.ttl ?? 10_000) * 1_000;
    if (sorted.length === 0) throw new TypeError("a lock needs a key; got an empty list");
    for (const key of sorted) this.#host.keys.check(key);
    checkNumber("lock: timeout", timeout, 0, Infinity, "ms");
    checkSignal("lock", signal);
    if (this.#closed !== undefined) throw locksClosed(sorted[0]);
    const { clock } = this.#host;
    const started = clock.monotonic();
    const cancelled: GiveUp = (key) => lockCancelled(key, clock.monotonic() - started, signal?.reason);
    if (signal?.aborted) throw cancelled(sorted[0]);
    const stop = new AbortController();
    const wish: Wish = { ttl, asker, started, patient: timeout > 0, stop };
    const cancel = () => stop.abort(cancelled);
    signal?.addEventListener("abort", cancel, { once: true });
    const timer = wish.patient && timeout !== Infinity
      ? clock.after(timeout, () => stop.abort((key: string) => this.#late(key, wish)))
      : undefined;
    this.#wishes.add(wish);
    try {
      return await this.#takeAll(sorted, wish);
    } finally {
      this.#wishes.delete(wish);
      timer?.cancel();
      signal?.removeEventListener("abort", cancel);
    }
  }

  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  async #close(): Promise<void> {
    // #closed is set when this goes on
    await undefined;
    for (const wish of this.#wishes) wish.stop.abort(locksClosed);
    await Promise.allSettled([...this.#held.values()].map((held) => {
      held.lose("the app stops");
      return held.release();
    }));
    this.#room.close();
    while (this.#background.size > 0) await Promise.all(this.#background);
  }

  async #takeAll(keys: readonly string[], wish: Wish): Promise<Lock> {
    const taken: HeldKey[] = [];
    try {
      for (const key of keys) taken.push(await this.#take(key, wish));
      const lost = taken.find((held) => held.lost !== undefined)?.lost;
      if (lost !== undefined) throw lost;
      return new HeldKeys(taken);
    } catch (error) {
      await Promise.all(taken.map((held) => held.release()));
      throw error;
    }
  }

  /** The key, or at once the failure when the wish is given up; what comes after that goes back. */
  #take(key: string, wish: Wish): Promise<HeldKey> {
    const { signal } = wish.stop;
    return new Promise((resolve, reject) => {
      const giveUp = () => reject((signal.reason as GiveUp)(key));
      if (signal.aborted) return giveUp();
      signal.addEventListener("abort", giveUp, { once: true });
      this.#keep(
        "taking a lock",
        this.#acquire(key, wish).then(
          (held) => signal.aborted ? held.release() : resolve(held),
          reject,
        ).finally(() => signal.removeEventListener("abort", giveUp)),
      );
    });
  }

  async #acquire(key: string, wish: Wish): Promise<HeldKey> {
    const { endpoint, node, clock, random } = this.#host;
    const nonce = token(random, NONCE_LENGTH);
    const { call, ancestry } = wish.asker;
    const record: LockRecord = { nonce, node, endpoint, call, ancestry, ttl: wish.ttl, since: clock.now() };
    this.#room.open();
    const contended = this.#busy(key);
    this.#asking.set(key, (this.#asking.get(key) ?? 0) + 1);
    let waiter;
    try {
      const held = await this.#tryToTake(key, wish, record, contended);
      if (held !== undefined) return held;
      const failed = wish.patient ? undefined : this.#late(key, wish);
      if (failed?.code === "LOCK_TIMEOUT") throw failed;
      waiter = this.#room.wait(key, record);
      // a record that is still on its way is removed when it comes
      if (failed !== undefined) waiter.giveUp(failed);
    } finally {
      const asking = this.#asking.get(key)! - 1;
      if (asking === 0) this.#asking.delete(key);
      else this.#asking.set(key, asking);
    }
    const { signal } = wish.stop;
    const giveUp = () => waiter.giveUp((signal.reason as GiveUp)(key));
    signal.addEventListener("abort", giveUp, { once: true });
    if (signal.aborted) giveUp();
    const since = clock.monotonic();
    const waited = (code: string | undefined) => {
      const ms = clock.monotonic() - since;
      if (wish.patient) this.#options.observer({ type: "lock-wait", key, ms, code });
    };
    try {
      const held = await waiter.held;
      waited(undefined);
      return held;
    } catch (error) {
      waited(isCatgaError(error) ? error.code : "UNAVAILABLE");
      throw error;
    } finally {
      signal.removeEventListener("abort", giveUp);
    }
  }

  /** Creates the record, unless others are before this call. `undefined` when it has to wait. */
  async #tryToTake(key: string, wish: Wish, record: LockRecord, contended: boolean): Promise<HeldKey | undefined> {
    const { clock, keys, random } = this.#host;
    const name = keys.holder(key);
    let first: Stamp | undefined;
    // who does not wait looks a second time what became of a write
    for (let tries = 0; !wish.stop.signal.aborted && (wish.patient || tries < 2); tries++) {
      try {
        const bucket = await this.#host.bucket();
        if (!contended) {
          const sent = stamp(clock);
          first ??= sent;
          const creating = bucket.create(name, writeLockRecord(record), { ttl: wish.ttl });
          const revision = await this.#host.answers.within(ANSWER_LIMIT, creating);
          if (revision !== undefined) return this.#hold(key, record, revision, sent);
        }
        const entry = await this.#host.answers.within(ANSWER_LIMIT, bucket.get(name));
        if (entry !== undefined && isJunk(entry.value)) {
          await this.#host.answers.within(ANSWER_LIMIT, bucket.delete(name, { revision: entry.revision }));
          continue;
        }
        if (entry === undefined && !contended) continue;
        wish.holder = entry && readLockRecord(entry.value);
        const own = wish.holder?.nonce === record.nonce;
        // its acknowledgement was lost; else somebody else has it
        const held = own ? this.#hold(key, record, entry!.revision, first!) : undefined;
        if (held?.stale && !await held.confirm()) continue;
        if (held === undefined) this.#checkAncestry(key, wish);
        return held;
      } catch (error) {
        if (!isAmbiguous(error)) throw error;
        wish.failure = error;
        await delay(clock, 100 + 100 * random(), wish.stop.signal).catch(() => {});
      }
    }
    return undefined;
  }

  /** Throws when the holder waits for this call to end. */
  #checkAncestry(key: string, { asker, holder }: Wish): void {
    if (holder === undefined || (holder.call !== asker.call && !asker.ancestry.includes(holder.call))) return;
    const heldBy = { call: holder.call, node: holder.node };
    throw deadlock([{ call: asker.call, node: this.#host.node, waitsFor: key, heldBy }]);
  }

  /** Whether others of this node are before a new call, or are known to wait elsewhere. */
  #busy(key: string): boolean {
    return this.#asking.has(key) || this.#held.has(key) || this.#room.awaited(key);
  }

  #hold(key: string, record: LockRecord, revision: number, sent: Stamp): HeldKey {
    const ended = (held: HeldKey) => {
      this.#room.spent(held);
      if (this.#held.get(key) === held) this.#held.delete(key);
    };
    const held = new HeldKey(this.#host, key, record, { revision, sent, ended });
    this.#held.set(key, held);
    return held;
  }

  #late(key: string, wish: Wish): CatgaError {
    const { clock } = this.#host;
    const waited = clock.monotonic() - wish.started;
    const holder = this.#room.holder(key) ?? wish.holder;
    return wish.failure !== undefined && holder === undefined
      ? lockUnavailable(key, waited, wish.failure)
      : lockTimeout(key, wish.patient ? waited : 0, clock.now(), holder);
  }

  #keep(during: string, work: Promise<unknown>): void {
    const kept: Promise<void> = work.then(() => {}, (error) => this.#options.observer({ type: "fault", during, error }))
      .finally(() => this.#background.delete(kept));
    this.#background.add(kept);
  }
}
