/**
 * Locks on a bucket. A holder has the record `h/<key>`; a waiter has a place in the queue, `w/<key>/<nonce>`. A lock
 * without waiters costs two writes; a lock with a waiter costs three: the waiter's place, the handover, the removal
 * of the place. Only compare-and-set on the holder's record decides who holds a lock, and the revision of that write
 * is the token.
 *
 * To read in this order: this file (a call of `lock`, taking keys, and what the caller gets), `waiting_room.ts` (the
 * node's waiters of all keys), `deadlock.ts` (cycles of waiters), `waiter.ts` (one place in a queue), `held_key.ts`
 * (renewal, loss, handover or removal), `lock_record.ts` (what is in the store).
 * @decides a lock is taken
 * @decides locks of a node that stops or drains are given back
 */
import { delay, elapsed, onAbort, type Stamp, stamp, token } from "../../ports/clock.ts";
import { openOnce } from "../../ports/open_once.ts";
import { isCatgaError } from "../../error.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import type { Asker, Locks } from "../../dispatch/context_host.ts";
import type { Lock, LockOptions } from "../../contract/calls/shared_state.ts";
import { AnswerTimeouts } from "../store/answer_timeouts.ts";
import { isAmbiguous } from "../store/ambiguous_writes.ts";
import { JumpWatch } from "../store/jump_watch.ts";
import { type LeaveWindow, timeOfFailed, WriteWindow } from "../store/write_window.ts";
import { isLeftover } from "./deadlock.ts";
import { HeldKey } from "./held_key.ts";
import { deadlock, locksClosed } from "./lock_error.ts";
import { ANSWER_LIMIT, type LockHost } from "./lock_host.ts";
import { isJunk, LockKeys, type LockRecord, NONCE_LENGTH, readLockRecord, writeLockRecord } from "./lock_record.ts";
import { WaitingRoom } from "./waiting_room.ts";
import { LockRequest } from "./lock_request.ts";
import { HeldLock } from "./held_lock.ts";

/** Options of a {@link LockManager}. */
export interface LockManagerOptions extends Pick<LockHost, "clock" | "random" | "node" | "endpoint" | "observer"> {
  /** Opens the bucket of lock records; called at the first lock, and again only after a failure. */
  bucket(): Promise<Bucket>;
  /** Prefix (letters) that keeps these locks apart from others in the same bucket; default: none. */
  readonly space?: string;
}

/** Acquires locks for one node, and keeps track of them until they are released or lost. */
export class LockManager implements Locks {
  /** Number of calls of `lock` that ended with `DEADLOCK`. */
  cycles = 0;
  readonly #host: LockHost;
  readonly #room: WaitingRoom;
  readonly #held = new Map<string, HeldKey>();
  readonly #requests = new Set<LockRequest>();
  /** Number of calls of this node, by key, that are trying to take the key and have no place in its queue yet. */
  readonly #trying = new Map<string, number>();
  readonly #writes: WriteWindow = new WriteWindow();
  readonly #background = new Set<Promise<void>>();
  readonly #closing = new AbortController();
  #closed: Promise<void> | undefined;

  constructor(options: LockManagerOptions) {
    const { clock, space } = options;
    this.#host = {
      ...options,
      keys: new LockKeys(space),
      jumps: new JumpWatch(clock),
      answers: new AnswerTimeouts(clock),
      closing: this.#closing.signal,
      bucket: openOnce(() => options.bucket()),
      holds: (key, nonce) => this.#held.get(key)?.record.nonce === nonce,
      holder: (key) => this.#room.holder(key),
      next: (key, nonce) => this.#room.next(key, nonce),
      handedOver: (waiter, granted) => this.#room.handedOver(waiter, granted),
      background: (during, work) => this.#inBackground(during, work),
    };
    this.#room = new WaitingRoom(this.#host, (...held) => this.#hold(...held));
  }

  async lock(keys: string | readonly string[], options: LockOptions, asker: Asker): Promise<Lock> {
    const request = new LockRequest(this.#host, keys, options, asker);
    try {
      const [first] = request.keys;
      if (this.#closing.signal.aborted) throw locksClosed(first);
      if (request.signal.aborted) throw request.error(first);
      this.#requests.add(request);
      return await this.#takeAll(request);
    } catch (error) {
      if (isCatgaError(error) && error.code === "DEADLOCK") this.cycles++;
      throw error;
    } finally {
      this.#requests.delete(request);
      request[Symbol.dispose]();
    }
  }

  /** Number of keys that this node holds now. */
  get held(): number {
    return this.#held.size;
  }

  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  async #close(): Promise<void> {
    this.#closing.abort();
    for (const request of this.#requests) request.giveUp(locksClosed);
    await Promise.allSettled([...this.#held.values()].map((held) => {
      held.lose("the app stops");
      return held.release();
    }));
    this.#room.close();
    while (this.#background.size > 0) await Promise.all(this.#background);
    this.#host.jumps.close();
    this.#host.answers.close();
  }

  /** Takes all keys of a call of `lock`, or none. */
  async #takeAll(request: LockRequest): Promise<Lock> {
    const taken: HeldKey[] = [];
    try {
      for (const key of request.keys) taken.push(await this.#take(key, request));
      const lost = taken.find((held) => held.lost !== undefined)?.lost;
      if (lost !== undefined) throw lost;
      return new HeldLock(taken);
    } catch (error) {
      this.#inBackground("releasing a lock", Promise.all(taken.map((held) => held.release())));
      throw error;
    }
  }

  /** Takes a key. Rejects as soon as the call of `lock` is given up; a key that is acquired later is released. */
  #take(key: string, request: LockRequest): Promise<HeldKey> {
    const { signal } = request;
    return new Promise((resolve, reject) => {
      const giveUp = () => reject(request.error(key));
      if (signal.aborted) return giveUp();
      signal.addEventListener("abort", giveUp, { once: true });
      this.#inBackground(
        "taking a lock",
        this.#acquire(key, request).then(
          (held) => signal.aborted ? held.release() : resolve(held),
          reject,
        ).finally(() => signal.removeEventListener("abort", giveUp)),
      );
    });
  }

  async #acquire(key: string, request: LockRequest): Promise<HeldKey> {
    const { endpoint, node, clock, random } = this.#host;
    const nonce = token(random, NONCE_LENGTH);
    request.begin(nonce);
    const { asker: { call, ancestry }, ttl, mayWait, signal } = request;
    const record: LockRecord = { nonce, node, endpoint, call, ancestry, ttl, since: clock.now() };
    this.#room.watchQueues();
    const contended = this.#isContended(key);
    this.#trying.set(key, (this.#trying.get(key) ?? 0) + 1);
    let waiter;
    try {
      const held = await this.#tryToTake(key, request, record, contended);
      if (held !== undefined) return held;
      const failed = mayWait ? undefined : request.timedOut(key);
      if (failed !== undefined && request.failure === undefined) throw failed;
      waiter = this.#room.wait(key, record);
      // the waiter removes the record if a write of this call that makes this node the holder arrives later
      if (failed !== undefined) waiter.giveUp(failed);
    } finally {
      const trying = this.#trying.get(key)! - 1;
      if (trying === 0) this.#trying.delete(key);
      else this.#trying.set(key, trying);
    }
    const off = onAbort(signal, () => waiter.giveUp(request.error(key)));
    const since = clock.monotonic();
    const observeWait = (code: string | undefined) => {
      const ms = clock.monotonic() - since;
      if (mayWait) this.#host.observer({ type: "lock-wait", key, ms, code });
    };
    try {
      const held = await waiter.held;
      observeWait(undefined);
      return held;
    } catch (error) {
      observeWait(isCatgaError(error) ? error.code : "UNAVAILABLE");
      throw error;
    } finally {
      off();
    }
  }

  /**
   * Writes the holder's record, unless another record is there. `contended`: true if another call is known to hold the
   * key or to wait for it; nothing is written then. Resolves with `undefined` if this call does not get the key by
   * that: it has to wait, or to fail if it does not wait.
   */
  async #tryToTake(
    key: string,
    request: LockRequest,
    record: LockRecord,
    contended: boolean,
  ): Promise<HeldKey | undefined> {
    const { clock, keys, random } = this.#host;
    const name = keys.holder(key);
    let first: Stamp | undefined;
    // two tries for a call that does not wait: the second finds out the outcome of the first
    for (let tries = 0; !request.signal.aborted && (request.mayWait || tries < 2); tries++) {
      try {
        const bucket = await this.#host.bucket();
        if (!contended) {
          // a call that does not wait does not wait here, either
          const leave: LeaveWindow = request.mayWait ? await this.#writes.enter() : () => {};
          if (request.signal.aborted) {
            leave();
            continue;
          }
          const sent = stamp(clock);
          first ??= sent;
          const creating = bucket.create(name, writeLockRecord(record), { ttl: request.ttl });
          // an error is remembered, because it may come after the time limit for the answer
          creating.catch((error) => request.failure = error);
          const answered = this.#host.answers.within(ANSWER_LIMIT, creating);
          answered.then(() => leave(elapsed(clock, sent)), (error) => leave(timeOfFailed(error)));
          const revision = await answered;
          if (revision !== undefined) {
            const held = this.#hold(key, record, revision, sent);
            // the key is confirmed, because this node may have been frozen since the write
            if (held.stale && !await held.confirm()) continue;
            return held;
          }
        }
        const entry = await this.#host.answers.within(ANSWER_LIMIT, bucket.get(name));
        if (entry !== undefined && isJunk(entry.value)) {
          await this.#host.answers.within(ANSWER_LIMIT, bucket.delete(name, { revision: entry.revision }));
          continue;
        }
        if (entry === undefined && !contended) continue;
        request.holder = entry && readLockRecord(entry.value);
        // if an acknowledgement was lost, the record may be this call's own; the store may be about to remove it
        const own = request.holder?.nonce === record.nonce;
        const held = own ? this.#hold(key, record, entry!.revision, first!) : undefined;
        if (held !== undefined && !await held.confirm()) continue;
        if (held === undefined) this.#checkAncestry(key, request);
        return held;
      } catch (error) {
        if (!isAmbiguous(error)) throw error;
        request.failure ??= error;
        await delay(clock, 100 + 100 * random(), request.signal).catch(() => {});
      }
    }
    return undefined;
  }

  /** Throws `DEADLOCK` if the holder of the key waits for this call to end. */
  #checkAncestry(key: string, { asker, holder }: LockRequest): void {
    if (holder === undefined || (holder.call !== asker.call && !asker.ancestry.includes(holder.call))) return;
    if (isLeftover(this.#host, key, holder)) return;
    const heldBy = { call: holder.call, node: holder.node };
    throw deadlock([{ call: asker.call, node: this.#host.node, waitsFor: key, heldBy }]);
  }

  /** Returns true if another call is known to hold the key or to wait for it: then a new call must join the queue. */
  #isContended(key: string): boolean {
    return this.#trying.has(key) || this.#held.has(key) || this.#room.hasWaiters(key);
  }

  #hold(key: string, record: LockRecord, revision: number, sent: Stamp): HeldKey {
    const ended = (held: HeldKey) => {
      this.#room.holderEnded(held);
      if (this.#held.get(key) === held) this.#held.delete(key);
    };
    const held = new HeldKey(this.#host, key, record, { revision, sent, ended });
    this.#held.set(key, held);
    return held;
  }

  #inBackground(during: string, work: Promise<unknown>): void {
    const observe = (error: unknown) => this.#host.observer({ type: "fault", during, error });
    const settled: Promise<void> = work.then(() => {}, observe).finally(() => this.#background.delete(settled));
    this.#background.add(settled);
  }
}
