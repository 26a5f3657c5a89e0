/**
 * Those who wait for locks in this node. They share one watch of all records, which stands as long as there are some and a
 * while longer; a node that only holds locks watches those who wait, so that it knows whom to hand a lock to.
 */
import type { Timer } from "../../ports/clock.ts";
import { DeadlockDetector } from "./deadlock.ts";
import { releaseOrHandOver } from "./release.ts";
import type { HeldKey } from "./held_key.ts";
import type { Stamp } from "../store/lease.ts";
import { deadlock } from "./lock_error.ts";
import type { LockHost } from "./lock_host.ts";
import type { LockRecord } from "./lock_record.ts";
import { JUNK, LockView, type SeenWaiter } from "./lock_view.ts";
import { Waiter } from "./waiter.ts";

/** One who waited: it may be handed a lock by a node that does not know yet that it has gone. */
interface Stray {
  readonly record: LockRecord;
  readonly until: number;
  /** The last revision at which it was the holder. */
  revision: number;
}

/** The waiting room of a node. */
export class WaitingRoom {
  readonly #host: LockHost;
  readonly #hold: (key: string, record: LockRecord, revision: number, sent: Stamp) => HeldKey;
  readonly #detector: DeadlockDetector;
  /** By nonce, and by key. */
  readonly #waiters = new Map<string, Waiter>();
  readonly #byKey = new Map<string, Set<Waiter>>();
  readonly #strays = new Map<string, Stray>();
  /** Who is about to take a lock that nobody holds. */
  readonly #takers = new Map<string, { readonly waiter: Waiter; readonly at: number; readonly timer: Timer }>();
  #queues: LockView | undefined;
  #all: LockView | undefined;
  #sweep: Timer | undefined;

  /** `hold` makes a holder of a record that stands in the store since then. */
  constructor(host: LockHost, hold: (key: string, record: LockRecord, revision: number, sent: Stamp) => HeldKey) {
    this.#host = host;
    this.#hold = hold;
    this.#detector = new DeadlockDetector(host, {
      view: () => (this.#all?.listed ? this.#all : undefined),
      own: (nonce) => this.#waiters.get(nonce)?.waiting === true,
      fail: (nonce, cycle) => this.#waiters.get(nonce)?.giveUp(deadlock(cycle)),
    });
  }

  /** From now on this node may hold locks. */
  open(): void {
    this.#queues ??= this.#watch(this.#host.keys.waiters, "watching who waits for locks");
  }

  /** Waits for a lock, until the answer's `held` settles. */
  wait(key: string, record: LockRecord): Waiter {
    this.#all ??= this.#watch("", "watching locks");
    const waiter = new Waiter({
      host: this.#host,
      key,
      record,
      hold: (revision, sent) => this.#hold(key, record, revision, sent),
      ended: () => this.#forget(waiter),
      again: () => void this.#host.clock.after(AGAIN, () => this.#look(key)),
    });
    this.#waiters.set(record.nonce, waiter);
    let others = this.#byKey.get(key);
    if (others === undefined) this.#byKey.set(key, others = new Set());
    others.add(waiter);
    return waiter;
  }

  /** Whether somebody waits for a lock, as far as this node knows. */
  awaited(key: string): boolean {
    return this.#byKey.has(key) || this.next(key, "") !== undefined;
  }

  /** Who holds a lock, when that is known. */
  holder(key: string): LockRecord | undefined {
    return this.#all?.holder(key)?.record;
  }

  /** Who is next, apart from `nonce`. */
  next(key: string, nonce: string): SeenWaiter | undefined {
    const view = this.#all?.listed ? this.#all : this.#queues;
    return view?.queue(key).find(({ record }) => record.nonce !== nonce && !this.#strays.has(record.nonce));
  }

  /** A lock was handed over by this node. */
  handed(to: SeenWaiter, revision: number, sent: Stamp): void {
    const waiter = this.#waiters.get(to.record.nonce);
    if (waiter !== undefined) this.#host.background("taking a lock", waiter.granted(revision, sent));
  }

  /** A holder of this node has ended. */
  spent({ record, revision }: HeldKey): void {
    const stray = this.#strays.get(record.nonce);
    if (stray !== undefined) stray.revision = Math.max(stray.revision, revision);
  }

  /** Nobody waits any more. */
  close(): void {
    this.#detector.close();
    this.#sweep?.cancel();
    for (const { timer } of this.#takers.values()) timer.cancel();
    this.#queues?.close();
    this.#all?.close();
  }

  #watch(prefix: string, during: string): LockView {
    const { clock, keys, observer } = this.#host;
    const view = new LockView({
      clock,
      keys,
      prefix,
      bucket: () => this.#host.bucket(),
      failed: (error) => observer({ type: "fault", during, error }),
      changed: (key, nonce, change) => {
        if (view !== this.#all) return;
        const waiter = nonce === undefined ? undefined : this.#waiters.get(nonce);
        if (waiter !== undefined && change.type !== "put") waiter.vanished(change.revision);
        this.#look(key);
        this.#detector.changed();
      },
    });
    this.#host.background(
      during,
      view.ready.then(() => {
        if (view !== this.#all) return;
        for (const key of this.#byKey.keys()) this.#look(key);
        this.#detector.changed();
      }),
    );
    return view;
  }

  /** Does what the records of a lock ask for. */
  #look(key: string): void {
    if (!this.#all?.listed) return;
    const holder = this.#all.holder(key);
    if (holder === undefined) return this.#fill(key);
    this.#dismiss(key);
    if (holder.record === JUNK) {
      return this.#host.background("removing what is no lock", this.#clear(key, holder.revision));
    }
    const waiter = this.#waiters.get(holder.record.nonce);
    if (waiter !== undefined) return this.#host.background("taking a lock", waiter.granted(holder.revision));
    const stray = this.#strays.get(holder.record.nonce);
    if (stray === undefined || this.#host.holds(key, holder.record.nonce) || holder.revision <= stray.revision) return;
    stray.revision = holder.revision;
    this.#host.background("handing on a lock", releaseOrHandOver(this.#host, key, stray.record, holder.revision));
  }

  /** Nobody holds a lock: the oldest who waits takes it, and the next of them after a while, for the oldest may be dead. */
  #fill(key: string): void {
    const queue = this.#all!.queue(key).filter(({ record }) => !this.#strays.has(record.nonce));
    const rank = queue.findIndex(({ record }) => this.#waiters.has(record.nonce));
    // one whose record has not been seen may have others before it
    if (rank < 0) return this.#dismiss(key);
    const waiter = this.#waiters.get(queue[rank].record.nonce)!;
    const { clock } = this.#host;
    const wait = rank === 0 ? 0 : HEAD_START + STEP * (rank - 1);
    const taker = this.#takers.get(key);
    if (taker?.waiter === waiter && taker.at <= clock.monotonic() + wait) return;
    this.#dismiss(key);
    const take = () => {
      this.#takers.delete(key);
      this.#host.background("taking a lock", waiter.take());
    };
    if (wait === 0) return take();
    this.#takers.set(key, { waiter, at: clock.monotonic() + wait, timer: clock.after(wait, take) });
  }

  async #clear(key: string, revision: number): Promise<void> {
    const bucket = await this.#host.bucket();
    await bucket.delete(this.#host.keys.holder(key), { revision });
  }

  #dismiss(key: string): void {
    this.#takers.get(key)?.timer.cancel();
    this.#takers.delete(key);
  }

  #forget(waiter: Waiter): void {
    const { key, record } = waiter;
    const { clock } = this.#host;
    this.#waiters.delete(record.nonce);
    const others = this.#byKey.get(key);
    others?.delete(waiter);
    if (others?.size === 0) this.#byKey.delete(key);
    this.#strays.set(record.nonce, { record, until: clock.monotonic() + LINGER, revision: 0 });
    if (this.#takers.get(key)?.waiter === waiter) this.#look(key);
    this.#sweepLater();
  }

  #sweepLater(): void {
    this.#sweep ??= this.#host.clock.after(LINGER, () => {
      this.#sweep = undefined;
      const now = this.#host.clock.monotonic();
      for (const [nonce, { until }] of this.#strays) if (until <= now) this.#strays.delete(nonce);
      if (this.#strays.size > 0 || this.#waiters.size > 0) return this.#sweepLater();
      this.#all?.close();
      this.#all = undefined;
    }, { background: true });
  }
}

const LINGER = 10_000; // ms, by which every node has seen that a record is gone
const HEAD_START = 500; // ms that the oldest has
const STEP = 250; // ms for each after it
const AGAIN = 20; // ms until the watch has told who was faster
