/**
 * The waiting room: the waiters of a node for all keys of locks. The waiters for one key, at all nodes, get it in the
 * order in which their records were first written (`LockRecordWatch.queue`). The waiters of a node
 * share one watch of all lock records, which lasts a little longer than they do. A node that only holds locks watches
 * the queues alone, to know to which waiter it must hand a key over.
 */
import type { Stamp, Timer } from "../../ports/clock.ts";
import { type HeldKey, releaseOrHandOver } from "./held_key.ts";
import { DeadlockDetector } from "./deadlock.ts";
import { deadlock } from "./lock_error.ts";
import type { GrantedKey, LockHost } from "./lock_host.ts";
import type { LockRecord } from "./lock_record.ts";
import { JUNK, LockRecordWatch, type SeenWaiter } from "./lock_record_watch.ts";
import { LockWaiter } from "./waiter.ts";

/** A waiter that has ended. Another node, whose watch lags behind, may still hand a key over to it. */
interface EndedWaiter {
  readonly key: string;
  readonly record: LockRecord;
  /** Time by which every node's watch has reported the waiter's end. */
  readonly until: number;
  /** Last revision at which this node held the key that the waiter has acquired, and which is released. */
  revision: number;
}

/**
 * Makes this node the holder of a key. `revision`, `sent`: revision, and time of sending, of the write of the
 * holder's record.
 */
type Hold = (key: string, record: LockRecord, revision: number, sent: Stamp) => HeldKey;

/** Holds the calls of one node that wait for locks, and passes a lock on to them in the order of the queue. */
export class WaitingRoom {
  readonly #host: LockHost;
  readonly #hold: Hold;
  readonly #detector: DeadlockDetector;
  /** Waiters of this node, by nonce. */
  readonly #waiters = new Map<string, LockWaiter>();
  readonly #byKey = new Map<string, Set<LockWaiter>>();
  /** Waiters of this node that have ended, by nonce. */
  readonly #ended = new Map<string, EndedWaiter>();
  /**
   * Places of other nodes' waiters to which this node has handed a key over. A place that is renewed after that is
   * another object, and counts as waiting again.
   */
  readonly #handedOver = new WeakSet<SeenWaiter>();
  /** Attempts of this node's waiters, by key, to take a key without a holder: which waiter, and when. */
  readonly #scheduledTakes = new Map<
    string,
    { readonly waiter: LockWaiter; readonly at: number; readonly timer: Timer }
  >();
  /** Watch of the queues alone; `#all`: watch of all records. */
  #queues: LockRecordWatch | undefined;
  #all: LockRecordWatch | undefined;
  #sweep: Timer | undefined;
  /** Timer of the removal of places that were written after their waiters had ended. */
  #late: Timer | undefined;
  /** True after `close`: a call that ends later opens no watch, whose listing the node would wait for. */
  #closed = false;

  constructor(host: LockHost, hold: Hold) {
    this.#host = host;
    this.#hold = hold;
    this.#detector = new DeadlockDetector(host, {
      view: () => (this.#all?.listed ? this.#all : undefined),
      isOwn: (nonce) => this.#waiters.get(nonce)?.waiting === true,
      fail: (nonce, cycle) => this.#waiters.get(nonce)?.giveUp(deadlock(cycle)),
    });
  }

  /** Starts to watch the queues of waiters. Call before this node holds a key. */
  watchQueues(): void {
    this.#queues ??= this.#watch(this.#host.keys.waiters, "watching the queues of locks");
  }

  /** Adds a waiter for a key. The waiter is removed when it has got the key or was given up (its `held` settles). */
  wait(key: string, record: LockRecord): LockWaiter {
    if (!this.#closed) this.#all ??= this.#watch("", "watching locks");
    const waiter = new LockWaiter({
      host: this.#host,
      key,
      record,
      hold: (revision, sent) => this.#hold(key, { ...record, since: this.#host.clock.now() }, revision, sent),
      ended: () => this.#remove(waiter),
      notTaken: () => void this.#host.clock.after(RETRY_DELAY, () => this.#act(key)),
    });
    this.#waiters.set(record.nonce, waiter);
    let ofKey = this.#byKey.get(key);
    if (ofKey === undefined) this.#byKey.set(key, ofKey = new Set());
    ofKey.add(waiter);
    return waiter;
  }

  /** Returns true if this node knows of waiters for the key. */
  hasWaiters(key: string): boolean {
    return this.#byKey.has(key) || this.next(key, "") !== undefined;
  }

  /** Returns the record of a key's holder, if this node watches all records. */
  holder(key: string): LockRecord | undefined {
    return this.#all?.holder(key)?.record;
  }

  /** Returns the oldest waiter for a key, except the waiter `nonce` and waiters that already got the key. */
  next(key: string, nonce: string): SeenWaiter | undefined {
    return this.#queue(key).find(({ record }) => record.nonce !== nonce);
  }

  /**
   * Call when this node has handed a key over. If the new holder is a waiter of this node, it holds the key at once,
   * before the watch reports its record; if it is a waiter of another node, it is no longer counted as waiting.
   */
  handedOver(to: SeenWaiter, granted: GrantedKey): void {
    const waiter = this.#waiters.get(to.record.nonce);
    if (waiter === undefined) this.#handedOver.add(to);
    else this.#host.background("taking a lock", waiter.granted(granted));
  }

  /** Notes the last revision of a key that this node no longer holds, for a waiter that has ended and got the key. */
  holderEnded({ record, revision }: HeldKey): void {
    const ended = this.#ended.get(record.nonce);
    if (ended !== undefined) ended.revision = revision;
  }

  /** Ends the watches of lock records. Call after every waiter has been given up. */
  close(): void {
    this.#closed = true;
    this.#detector.close();
    this.#sweep?.cancel();
    this.#late?.cancel();
    for (const { timer } of this.#scheduledTakes.values()) timer.cancel();
    this.#queues?.close();
    this.#all?.close();
  }

  #watch(prefix: string, during: string): LockRecordWatch {
    const { clock, keys, observer } = this.#host;
    const view = new LockRecordWatch({
      clock,
      keys,
      prefix,
      bucket: () => this.#host.bucket(),
      failed: (error) => observer({ type: "fault", during, error }),
      changed: (key, nonce, change) => {
        if (view !== this.#all) return;
        const waiter = nonce === undefined ? undefined : this.#waiters.get(nonce);
        if (waiter !== undefined && change.type !== "put") waiter.placeRemoved(change.revision);
        if (nonce !== undefined && change.type === "put" && this.#ended.has(nonce)) this.#removeLatePlaces();
        this.#act(key);
        this.#detector.recordsChanged();
      },
    });
    this.#host.background(
      during,
      view.ready.then(() => {
        if (view !== this.#all) return;
        const ended = [...this.#ended.values()].map(({ key }) => key);
        for (const key of new Set([...this.#byKey.keys(), ...ended])) this.#act(key);
        if (ended.length > 0) this.#removeLatePlaces();
        this.#detector.recordsChanged();
      }),
    );
    return view;
  }

  /**
   * Returns the waiters for a key, the oldest first. Two kinds are left out: waiters of this node that have ended, and
   * other nodes' waiters that this node has handed the key to. (Otherwise two nodes would hand the key back and forth
   * between ended waiters whose places are not removed yet.)
   */
  #queue(key: string): SeenWaiter[] {
    const view = this.#all?.listed ? this.#all : this.#queues;
    return view?.queue(key).filter((each) => !this.#ended.has(each.record.nonce) && !this.#handedOver.has(each)) ?? [];
  }

  /** Acts on the records of a key that the watch has reported: a handed over or free key, or a removed place. */
  #act(key: string): void {
    if (!this.#all?.listed) return;
    const holder = this.#all.holder(key);
    if (holder === undefined) return this.#scheduleTake(key);
    this.#cancelTake(key);
    if (holder.record === JUNK) {
      const { revision } = holder;
      const removing = this.#host.bucket().then((bucket) => bucket.delete(this.#host.keys.holder(key), { revision }));
      return this.#host.background("removing an invalid lock record", removing);
    }
    const waiter = this.#waiters.get(holder.record.nonce);
    if (waiter !== undefined) return this.#host.background("taking a lock", waiter.granted(holder));
    const ended = this.#ended.get(holder.record.nonce);
    if (ended === undefined || this.#host.holds(key, holder.record.nonce) || holder.revision <= ended.revision) return;
    ended.revision = holder.revision;
    const releasing = releaseOrHandOver(this.#host, key, ended.record, { revision: holder.revision });
    this.#host.background("releasing a lock that came too late", releasing);
  }

  /**
   * Schedules attempts to take a key without a holder: the oldest waiter tries at once, each later one after a delay,
   * in case older waiters are dead.
   */
  #scheduleTake(key: string): void {
    const queue = this.#queue(key);
    const rank = queue.findIndex(({ record }) => this.#waiters.has(record.nonce));
    // the watch has not reported places of this node's waiters yet, so other waiters may be before them
    if (rank < 0) return this.#cancelTake(key);
    const waiter = this.#waiters.get(queue[rank].record.nonce)!;
    const { clock } = this.#host;
    const wait = rank === 0 ? 0 : HEAD_START + FURTHER_START * (rank - 1);
    const scheduled = this.#scheduledTakes.get(key);
    if (scheduled?.waiter === waiter && scheduled.at <= clock.monotonic() + wait) return;
    this.#cancelTake(key);
    const take = () => {
      this.#scheduledTakes.delete(key);
      this.#host.background("taking a lock", waiter.takeFreeKey());
    };
    if (wait === 0) return take();
    this.#scheduledTakes.set(key, { waiter, at: clock.monotonic() + wait, timer: clock.after(wait, take) });
  }

  #cancelTake(key: string): void {
    this.#scheduledTakes.get(key)?.timer.cancel();
    this.#scheduledTakes.delete(key);
  }

  #remove(waiter: LockWaiter): void {
    const { key, record } = waiter;
    const { clock } = this.#host;
    this.#waiters.delete(record.nonce);
    const ofKey = this.#byKey.get(key);
    ofKey?.delete(waiter);
    if (ofKey?.size === 0) this.#byKey.delete(key);
    this.#ended.set(record.nonce, { key, record, until: clock.monotonic() + LINGER, revision: 0 });
    if (this.#scheduledTakes.get(key)?.waiter === waiter) this.#act(key);
    this.#sweepLater();
  }

  /**
   * Removes, after a pause, the places of this node's waiters that have ended. A place is left if the store carries out
   * its write after its removal; until it expires, other nodes take it for that of a waiter. The pause is for the
   * removals under way, whose changes the watch has not reported yet.
   */
  #removeLatePlaces(): void {
    const { clock, keys } = this.#host;
    this.#late ??= clock.after(REMOVAL, () => {
      this.#late = undefined;
      for (const { key, record: { nonce }, revision } of this.#all?.waiters() ?? []) {
        if (!this.#ended.has(nonce)) continue;
        const removing = this.#host.bucket().then((bucket) => bucket.delete(keys.waiter(key, nonce), { revision }));
        this.#host.background("leaving the queue of a lock", removing);
      }
    }, { background: true });
  }

  #sweepLater(): void {
    this.#sweep ??= this.#host.clock.after(LINGER, () => {
      this.#sweep = undefined;
      const now = this.#host.clock.monotonic();
      for (const [nonce, { until }] of this.#ended) if (until <= now) this.#ended.delete(nonce);
      if (this.#ended.size > 0 || this.#waiters.size > 0) return this.#sweepLater();
      this.#all?.close();
      this.#all = undefined;
    }, { background: true });
  }
}

const LINGER = 10_000; // ms after which every node's watch has reported that a record is gone
const REMOVAL = 500; // ms in which a place is removed, and the watch reports it
const HEAD_START = 500; // ms that the oldest waiter has before the second one takes a free key
const FURTHER_START = 250; // ms that each waiter after the second waits longer than the one before it
const RETRY_DELAY = 20; // ms in which the watch reports which waiter was faster
