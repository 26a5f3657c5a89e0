/**
 * The leases of the runs that a node drives: schedules that call for its runs unless it puts them off, as it does once
 * a second while it lives. A lease has up to 64 runs of one workflow, so that thousands of runs cost tens of writes.
 */
import { type CatgaError, isCatgaError, unavailable } from "../error.ts";
import type { Clock } from "../ports/clock.ts";
import { keyOf, type RunRef } from "./run_ref.ts";

/** Dependencies of leases on their node. */
export interface RunLeasesHost {
  readonly endpoint: string;
  readonly clock: Clock;
  /** Its `epoch` tells a store that has lost its end, and perhaps leases, from the one before. */
  readonly log: { readonly epoch: number };
  /** Stores a lease, in place of the one of this name. Rejects with a `CatgaError`. */
  lease(lease: RunLease): Promise<void>;
  /** Removes a lease, which calls for its runs if that fails. */
  unlease(lease: Pick<RunLease, "workflow" | "name">): void;
}

/** A lease as it is stored. */
export interface RunLease {
  readonly workflow: string;
  /** Name among the leases of the workflow. */
  readonly name: string;
  readonly runs: readonly string[];
  /** When it calls for them, in ms since 1970. */
  readonly at: number;
}

/** The leases of one node. */
export class RunLeases {
  readonly #host: RunLeasesHost;
  readonly #leases = new Map<string, Lease>();
  /** By run, its lease. */
  readonly #byRun = new Map<string, Lease>();
  #names = 0;

  constructor(host: RunLeasesHost) {
    this.#host = host;
  }

  /** How many there are. */
  get size(): number {
    return this.#leases.size;
  }

  /**
   * Has a run be in a lease. Calls back each time that one which has it is stored, while it is held, with the epoch of
   * the store when its write began.
   */
  add(ref: RunRef, onStored: (epoch: number) => void): void {
    if (this.#byRun.has(keyOf(ref))) return;
    const lease = this.#withRoom(ref);
    lease.runs.set(ref.run, onStored);
    lease.chars += ref.run.length;
    lease.due = -Infinity;
    this.#byRun.set(keyOf(ref), lease);
  }

  /**
   * A lease has called for these runs. Resolves when the leases that have them now were stored again; rejects with
   * `UNAVAILABLE` if one of them is not put off any more.
   */
  async again(refs: readonly RunRef[]): Promise<void> {
    const leases = new Set(refs.flatMap((ref) => this.#byRun.get(keyOf(ref)) ?? []));
    await Promise.all([...leases].map((lease) => this.#again(lease)));
  }

  /** A run needs its lease no more. */
  remove(ref: RunRef): void {
    const lease = this.#take(ref);
    if (lease === undefined || lease.runs.size > 0) return;
    this.#leases.delete(lease.name);
    this.#unlease(lease);
  }

  /** A run needs to be called for, as this node drives it no more: its lease is put off no longer. */
  abandon(ref: RunRef): void {
    const lease = this.#take(ref);
    if (lease === undefined) return;
    this.#leases.delete(lease.name);
    lease.isAbandoned = true;
    for (const [run, onStored] of lease.runs) {
      const other = { workflow: lease.workflow, run };
      this.#byRun.delete(keyOf(other));
      this.add(other, onStored);
    }
    lease.runs.clear();
    lease.fail();
  }

  /** Puts none off any more. */
  close(): void {
    for (const lease of this.#leases.values()) {
      lease.isAbandoned = true;
      lease.runs.clear();
      lease.fail();
    }
    this.#leases.clear();
    this.#byRun.clear();
  }

  /** Stores those that are to be put off, or have runs that no stored one has. To be called often. */
  tick(): void {
    const now = this.#host.clock.monotonic();
    for (const lease of this.#leases.values()) if (lease.due <= now && lease.retry <= now) this.#write(lease);
  }

  #take(ref: RunRef): Lease | undefined {
    const key = keyOf(ref);
    const lease = this.#byRun.get(key);
    if (lease === undefined) return undefined;
    this.#byRun.delete(key);
    lease.runs.delete(ref.run);
    lease.chars -= ref.run.length;
    return lease;
  }

  #withRoom({ workflow, run }: RunRef): Lease {
    for (const lease of this.#leases.values()) {
      const fits = lease.runs.size < MAX_RUNS && lease.chars + run.length <= MAX_CHARS;
      if (lease.workflow === workflow && fits) return lease;
    }
    const lease = new Lease(workflow, `lease ${this.#host.endpoint} ${this.#names++}`);
    this.#leases.set(lease.name, lease);
    return lease;
  }

  #again(lease: Lease): Promise<void> {
    const stored = new Promise<void>((resolve, reject) => lease.waiting.push({ resolve, reject }));
    lease.due = -Infinity;
    this.#write(lease);
    return stored;
  }

  #write(lease: Lease): void {
    if (lease.isWriting || lease.runs.size === 0) return;
    const { clock, log: { epoch } } = this.#host;
    const { workflow, name, waiting } = lease;
    const runs = [...lease.runs];
    lease.isWriting = lease.isStored = true;
    lease.waiting = [];
    lease.due = clock.monotonic() + PUT_OFF;
    this.#host.lease({ workflow, name, runs: runs.map(([run]) => run), at: clock.now() + LEASE_LENGTH }).then(() => {
      lease.isWriting = false;
      for (const [run, onStored] of runs) if (lease.runs.has(run)) onStored(epoch);
      for (const { resolve } of waiting) resolve();
      if (lease.waiting.length > 0) this.#write(lease);
      if (lease.runs.size === 0) this.#unlease(lease);
    }, (error: CatgaError) => {
      lease.isWriting = false;
      lease.waiting.unshift(...waiting);
      if (lease.isAbandoned) return lease.fail();
      lease.due = -Infinity;
      // a server that has no schedules has none in half a second, either
      const unsupported = isCatgaError(error) && error.code === "UNSUPPORTED";
      lease.retry = clock.monotonic() + (unsupported ? UNSUPPORTED_PAUSE : PAUSE);
      if (lease.runs.size === 0) this.#unlease(lease);
    });
  }

  /** Removes a lease without runs, behind the write that is under way. */
  #unlease(lease: Lease): void {
    for (const { resolve } of lease.waiting.splice(0)) resolve();
    if (lease.isStored && !lease.isWriting && !lease.isAbandoned) this.#host.unlease(lease);
  }
}

class Lease {
  readonly workflow: string;
  readonly name: string;
  /** By run, what is called when it is stored. */
  readonly runs = new Map<string, (epoch: number) => void>();
  chars = 0;
  /** When it is to be stored again, and the earliest time after a failure, by the monotonic clock. */
  due = -Infinity;
  retry = -Infinity;
  isWriting = false;
  /** It may be stored. */
  isStored = false;
  isAbandoned = false;
  /** Callers that wait for it to be stored again. */
  waiting: { readonly resolve: () => void; readonly reject: (error: CatgaError) => void }[] = [];

  constructor(workflow: string, name: string) {
    this.workflow = workflow;
    this.name = name;
  }

  /** It is not put off any more. */
  fail(): void {
    for (const { reject } of this.waiting.splice(0)) reject(unavailable(`${this.name} is not put off any more`));
  }
}

/** After how long without its node a lease calls for its runs, and how often it is put off, in ms. */
const LEASE_LENGTH = 4_000;
const PUT_OFF = 1_000;
/** Pauses after a write that failed, in ms. */
const PAUSE = 500;
const UNSUPPORTED_PAUSE = 10_000;
/** The runs of a lease, and the characters of their ids, at most. */
const MAX_RUNS = 64;
const MAX_CHARS = 4_096;
