/**
 * Finds those who wait for each other. Who waits, and the runs that wait for its end, cannot release what they hold: so
 * from one who waits an edge goes to each who waits as, or on behalf of, the run that holds its lock. A path back to where it
 * began is a deadlock. Its youngest waiter fails, once the store's leader has shown every edge a second time: an edge that
 * stood at both times stood in between, and so all of them stood together.
 */
import type { Timer } from "../../ports/clock.ts";
import { isAmbiguous } from "../store/ambiguous_writes.ts";
import type { DeadlockEdge } from "./lock_error.ts";
import { ANSWER_LIMIT, type LockHost } from "./lock_host.ts";
import { readLockRecord } from "./lock_record.ts";
import type { Seen, SeenWaiter } from "./lock_view.ts";

/** The records of locks at one moment. */
export interface Waits {
  holder(key: string): Seen | undefined;
  waiters(): Iterable<SeenWaiter>;
}

/** An edge: who waits, and the holder that it waits for. */
export interface Wait {
  readonly waiter: SeenWaiter;
  readonly holder: Seen;
}

/** Who waits as a run, or on behalf of it. */
export function waitsByRun(waits: Waits): Map<string, SeenWaiter[]> {
  const byRun = new Map<string, SeenWaiter[]>();
  for (const waiter of waits.waiters()) {
    const { ancestry, call, nonce } = waiter.record;
    // it has been handed the lock, and its record is about to go
    if (waits.holder(waiter.key)?.record.nonce === nonce) continue;
    for (const run of new Set([call, ...ancestry])) {
      const known = byRun.get(run);
      if (known === undefined) byRun.set(run, [waiter]);
      else known.push(waiter);
    }
  }
  return byRun;
}

/** The shortest cycle that has `youngest` in it and nobody younger, beginning with it. */
export function findCycle(
  waits: Waits,
  byRun: ReadonlyMap<string, readonly SeenWaiter[]>,
  youngest: SeenWaiter,
): Wait[] | undefined {
  if (waits.holder(youngest.key)?.record.nonce === youngest.record.nonce) return undefined;
  const reached = new Set<SeenWaiter>();
  // each with who led to it
  let front: { readonly waiter: SeenWaiter; readonly path: readonly Wait[] }[] = [{ waiter: youngest, path: [] }];
  while (front.length > 0) {
    const beyond: typeof front = [];
    for (const { waiter, path } of front) {
      const holder = waits.holder(waiter.key);
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

/** A cycle as its error tells it. */
export function describeCycle(cycle: readonly Wait[]): DeadlockEdge[] {
  return cycle.map(({ waiter: { record, key }, holder }) => ({
    call: record.call,
    node: record.node,
    waitsFor: key,
    heldBy: { call: holder.record.call, node: holder.record.node },
  }));
}

/** What a detector looks at, and whom it may fail. */
export interface DetectorOptions {
  /** All records, in the order of their writes; `undefined` when they are not known. */
  view(): Waits | undefined;
  /** Whether this one waits in this node. */
  own(nonce: string): boolean;
  fail(nonce: string, cycle: readonly DeadlockEdge[]): void;
}

/** The detector of one node: it fails the node's own waiters alone. */
export class DeadlockDetector {
  readonly #host: LockHost;
  readonly #options: DetectorOptions;
  readonly #confirming = new Set<string>();
  #timer: Timer | undefined;
  #closed = false;

  constructor(host: LockHost, options: DetectorOptions) {
    this.#host = host;
    this.#options = options;
  }

  /** The records have changed: they are looked through a little later. */
  changed(): void {
    if (this.#closed) return;
    this.#timer ??= this.#host.clock.after(LOOK, () => {
      this.#timer = undefined;
      this.#look();
    }, { background: true });
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #look(): void {
    const { own, view } = this.#options;
    const waits = view();
    if (waits === undefined) return;
    const byRun = waitsByRun(waits);
    for (const waiter of waits.waiters()) {
      const { nonce } = waiter.record;
      if (!own(nonce) || this.#confirming.has(nonce)) continue;
      const cycle = findCycle(waits, byRun, waiter);
      if (cycle === undefined) continue;
      this.#confirming.add(nonce);
      this.#host.background("confirming a deadlock", this.#confirm(nonce, cycle));
    }
  }

  async #confirm(nonce: string, cycle: readonly Wait[]): Promise<void> {
    try {
      const stands = await Promise.all(cycle.map((wait) => this.#stands(wait)));
      if (stands.every((each) => each)) this.#options.fail(nonce, describeCycle(cycle));
    } catch (error) {
      if (!isAmbiguous(error)) throw error;
    } finally {
      this.#confirming.delete(nonce);
      // there may be another cycle, or the store did not answer
      this.changed();
    }
  }

  async #stands({ waiter, holder }: Wait): Promise<boolean> {
    const { keys } = this.#host;
    const bucket = await this.#host.bucket();
    const [waits, holds] = await this.#host.answers.within(
      ANSWER_LIMIT,
      Promise.all([
        bucket.get(keys.waiter(waiter.key, waiter.record.nonce)),
        bucket.get(keys.holder(waiter.key)),
      ]),
    );
    return waits !== undefined && holds !== undefined &&
      readLockRecord(holds.value)?.nonce === holder.record.nonce;
  }
}

const LOOK = 100; // ms
