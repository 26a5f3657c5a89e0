/**
 * Finds deadlocks: cycles of waiters. While a run of a handler waits for a lock, this run, and the runs that wait for
 * its end, cannot release the locks that they hold. So an edge leads from a waiter for a key to each waiter of the run
 * that holds the key, and to each waiter of the runs for whose end the holding run waits. The youngest waiter of a
 * cycle fails, after every edge was read a second time, at the stream's leader: an edge that exists in both reads
 * existed between them, so all edges of the cycle existed at once.
 */
import type { Timer } from "../../ports/clock.ts";
import { isAmbiguous } from "../store/ambiguous_writes.ts";
import type { DeadlockEdge } from "./lock_error.ts";
import { ANSWER_LIMIT, type LockHost } from "./lock_host.ts";
import { type LockRecord, readLockRecord } from "./lock_record.ts";
import type { SeenRecord, SeenWaiter } from "./lock_record_watch.ts";

/** Dependencies of a {@link DeadlockDetector} on the node's waiting room for locks. */
interface DetectorOptions {
  /** Returns all lock records, in the order of their writes; `undefined`: they are not known yet. */
  view(): LockRecords | undefined;
  /** Returns true if the waiter with this nonce waits in this node. */
  isOwn(nonce: string): boolean;
  /** Ends the wait of the waiter with this nonce, with an error that names the cycle. */
  fail(nonce: string, cycle: readonly DeadlockEdge[]): void;
}

/**
 * Detects deadlocks for one node. It fails only waiters of its node: the youngest waiter of a cycle belongs to
 * exactly one node.
 */
export class DeadlockDetector {
  readonly #host: LockHost;
  readonly #options: DetectorOptions;
  /** Nonces of own waiters for whose cycles every edge is being read a second time. */
  readonly #confirming = new Set<string>();
  #timer: Timer | undefined;
  #closed = false;

  constructor(host: LockHost, options: DetectorOptions) {
    this.#host = host;
    this.#options = options;
  }

  /** Searches cycles of waiters 100 ms later, once for all changes until then. Call when lock records have changed. */
  recordsChanged(): void {
    if (this.#closed) return;
    this.#timer ??= this.#host.clock.after(SEARCH_DELAY, () => {
      this.#timer = undefined;
      this.#search();
    }, { background: true });
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #search(): void {
    const { isOwn, view } = this.#options;
    const records = view();
    if (records === undefined) return;
    const byRun = waitsByRun(records);
    for (const waiter of records.waiters()) {
      const { nonce } = waiter.record;
      if (!isOwn(nonce) || this.#confirming.has(nonce)) continue;
      const cycle = findCycle(records, byRun, waiter);
      if (cycle === undefined) continue;
      this.#confirming.add(nonce);
      this.#host.background("confirming a deadlock", this.#confirm(nonce, cycle));
    }
  }

  async #confirm(nonce: string, cycle: readonly LockWait[]): Promise<void> {
    try {
      const confirmed = await Promise.all(cycle.map((wait) => this.#stillWaits(wait)));
      if (confirmed.every((each) => each)) this.#options.fail(nonce, describeCycle(cycle));
    } catch (error) {
      if (!isAmbiguous(error)) throw error;
    } finally {
      this.#confirming.delete(nonce);
      // search for cycles again: the waiter may be in another cycle, or the store did not answer
      this.recordsChanged();
    }
  }

  async #stillWaits({ waiter, holder }: LockWait): Promise<boolean> {
    const { keys } = this.#host;
    if (isLeftover(this.#host, waiter.key, holder.record)) return false;
    const bucket = await this.#host.bucket();
    const [waiting, holding] = await this.#host.answers.within(
      ANSWER_LIMIT,
      Promise.all([
        bucket.get(keys.waiter(waiter.key, waiter.record.nonce)),
        bucket.get(keys.holder(waiter.key)),
      ]),
    );
    return waiting !== undefined && holding !== undefined &&
      readLockRecord(holding.value)?.nonce === holder.record.nonce;
  }
}

/**
 * Returns true for the record of a holder or waiter that has already ended on this node: the record will be removed,
 * or expires.
 */
export function isLeftover(host: LockHost, key: string, { endpoint, nonce }: LockRecord): boolean {
  return endpoint === host.endpoint && !host.holds(key, nonce);
}

/** The records of locks at one moment. */
export interface LockRecords {
  holder(key: string): SeenRecord | undefined;
  waiters(): Iterable<SeenWaiter>;
}

/** A waiter, and the holder for whose lock it waits. */
interface LockWait {
  readonly waiter: SeenWaiter;
  readonly holder: SeenRecord;
}

/**
 * Groups waiters by run of a handler. The waiters of a run are those that it has made itself, and those of the runs for
 * whose end it waits.
 */
export function waitsByRun(records: LockRecords): Map<string, SeenWaiter[]> {
  const byRun = new Map<string, SeenWaiter[]>();
  for (const waiter of records.waiters()) {
    const { ancestry, call, nonce } = waiter.record;
    // this waiter holds the key already, and its place in the queue will be removed
    if (records.holder(waiter.key)?.record.nonce === nonce) continue;
    for (const run of new Set([call, ...ancestry])) {
      const known = byRun.get(run);
      if (known === undefined) byRun.set(run, [waiter]);
      else known.push(waiter);
    }
  }
  return byRun;
}

/**
 * Finds the shortest cycle of waits that contains the waiter `youngest`, and no waiter that is younger. Returns the
 * waits of the cycle, the wait of `youngest` first; `undefined`: there is no such cycle.
 */
export function findCycle(
  records: LockRecords,
  byRun: ReadonlyMap<string, readonly SeenWaiter[]>,
  youngest: SeenWaiter,
): LockWait[] | undefined {
  if (records.holder(youngest.key)?.record.nonce === youngest.record.nonce) return undefined;
  const reached = new Set<SeenWaiter>();
  // the search is breadth first; `front` has each waiter reached, with the path to it
  let front: { readonly waiter: SeenWaiter; readonly path: readonly LockWait[] }[] = [{ waiter: youngest, path: [] }];
  while (front.length > 0) {
    const beyond: typeof front = [];
    for (const { waiter, path } of front) {
      const holder = records.holder(waiter.key);
      if (holder === undefined) continue;
      const longer = [...path, { waiter, holder }];
      for (const next of byRun.get(holder.record.call) ?? []) {
        if (next.record.nonce === youngest.record.nonce) return longer;
        if (next.place > youngest.place || reached.has(next)) continue;
        reached.add(next);
        beyond.push({ waiter: next, path: longer });
      }
    }
    front = beyond;
  }
  return undefined;
}

/** Describes a cycle of waits for the details of its error. */
function describeCycle(cycle: readonly LockWait[]): DeadlockEdge[] {
  return cycle.map(({ waiter: { record, key }, holder }) => ({
    call: record.call,
    node: record.node,
    waitsFor: key,
    heldBy: { call: holder.record.call, node: holder.record.node },
  }));
}

/** Time between a change of lock records and the search for cycles, in ms. */
const SEARCH_DELAY = 100;
