/**
 * Leases of the runs that a node executes. A lease is a schedule that calls other nodes to execute its runs when it
 * fires. While the node lives, it sets the lease to a later time once a second, so that it does not fire. A lease
 * covers up to 64 runs of one workflow, so that thousands of runs cost tens of writes.
 */
import { type CatgaError, isCatgaError, unavailable } from "../../error.ts";
import { Machine, type StateTable } from "../../data/state_table.ts";
import type { Clock } from "../../ports/clock.ts";
import { keyOf, type RunRef } from "../stored/run_ref.ts";

/** The states of a lease. */
export const LEASE_STATES = {
  /** Never written. */
  new: ["writing", "abandoned"],
  /** A write is in progress, so no other one begins. */
  writing: ["written", "abandoned"],
  /** Perhaps stored: renewed, or removed with its last run. */
  written: ["writing", "abandoned"],
  /** Neither renewed nor removed, so that it expires. A write that was in progress changes nothing here. */
  abandoned: [],
} as const satisfies StateTable<"new" | "writing" | "written" | "abandoned">;

/** Dependencies of {@link RunLeases}, a node's leases of the runs that it executes, on the node. */
export interface RunLeasesHost {
  readonly endpoint: string;
  readonly clock: Clock;
  /** `epoch` changes when the store may have lost its last messages, which may include leases. */
  readonly log: { readonly epoch: number };
  /** Stores a lease, in place of an earlier lease of the same name. Rejects with a `CatgaError`. */
  lease(lease: RunLease): Promise<void>;
  /** Removes a lease. If that fails, the lease expires, and nodes are called to execute its runs. */
  unlease(lease: Pick<RunLease, "workflow" | "name">): void;
}

/** A lease of runs as it is stored: if its node does not postpone it in time, other nodes execute the runs. */
export interface RunLease {
  readonly workflow: string;
  /** Name of the lease, unique for the workflow. */
  readonly name: string;
  readonly runs: readonly string[];
  /** When the lease expires, in ms since 1970: then nodes are called to execute its runs. */
  readonly at: number;
}

/**
 * The leases of one node.
 * @decides the lease by which a dead driver is noticed
 */
export class RunLeases {
  readonly #host: RunLeasesHost;
  readonly #leases = new Map<string, Lease>();
  /** By key of a run: the lease that covers it. */
  readonly #byRun = new Map<string, Lease>();
  #names = 0;

  constructor(host: RunLeasesHost) {
    this.#host = host;
  }

  /** Number of leases of this node. */
  get size(): number {
    return this.#leases.size;
  }

  /**
   * Adds a run to a lease. `onStored` is called each time that a lease with this run is stored, until the run is
   * removed; its argument is the epoch of the store (the number of its possible losses) when the write began.
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
   * Stores the leases that cover these runs again, after one of the leases has expired. Rejects with `UNAVAILABLE` if
   * this node no longer renews one of them.
   */
  async again(refs: readonly RunRef[]): Promise<void> {
    const leases = new Set(refs.flatMap((ref) => this.#byRun.get(keyOf(ref)) ?? []));
    await Promise.all([...leases].map((lease) => this.#again(lease)));
  }

  /** Removes a run that no longer needs a lease. */
  remove(ref: RunRef): void {
    const lease = this.#take(ref);
    if (lease === undefined || lease.runs.size > 0) return;
    this.#leases.delete(lease.name);
    this.#unlease(lease);
  }

  /**
   * Removes a run that this node no longer executes although the run has not ended. The lease that covers the run is
   * not renewed, so it expires, and a node is called to execute the run; other runs of that lease get another one.
   */
  abandon(ref: RunRef): void {
    const lease = this.#take(ref);
    if (lease === undefined) return;
    this.#leases.delete(lease.name);
    lease.machine.to("abandoned");
    for (const [run, onStored] of lease.runs) {
      const other = { workflow: lease.workflow, run };
      this.#byRun.delete(keyOf(other));
      this.add(other, onStored);
    }
    lease.runs.clear();
    lease.fail();
  }

  /** Stops renewing leases. */
  close(): void {
    for (const lease of this.#leases.values()) {
      lease.machine.to("abandoned");
      lease.runs.clear();
      lease.fail();
    }
    this.#leases.clear();
    this.#byRun.clear();
  }

  /**
   * Stores the leases that are due for renewal, and leases with a run that no stored lease covers. To be called several
   * times a second.
   */
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
    const { machine } = lease;
    if (machine.is("writing") || lease.runs.size === 0) return;
    const { clock, log: { epoch } } = this.#host;
    const { workflow, name, waiting } = lease;
    const runs = [...lease.runs];
    machine.to("writing");
    lease.waiting = [];
    lease.due = clock.monotonic() + PUT_OFF;
    this.#host.lease({ workflow, name, runs: runs.map(([run]) => run), at: clock.now() + LEASE_LENGTH }).then(() => {
      if (machine.is("writing")) machine.to("written");
      for (const [run, onStored] of runs) if (lease.runs.has(run)) onStored(epoch);
      for (const { resolve } of waiting) resolve();
      if (lease.waiting.length > 0) this.#write(lease);
      if (lease.runs.size === 0) this.#unlease(lease);
    }, (error: CatgaError) => {
      lease.waiting.unshift(...waiting);
      if (machine.is("abandoned")) return lease.fail();
      machine.to("written"); // perhaps: the failure may be the acknowledgement's
      lease.due = -Infinity;
      // a NATS server that does not support schedules will not support them half a second later, either
      const unsupported = isCatgaError(error) && error.code === "UNSUPPORTED";
      lease.retry = clock.monotonic() + (unsupported ? UNSUPPORTED_PAUSE : PAUSE);
      if (lease.runs.size === 0) this.#unlease(lease);
    });
  }

  /** Removes a lease that covers no run, once no write of it is in progress. */
  #unlease(lease: Lease): void {
    for (const { resolve } of lease.waiting.splice(0)) resolve();
    if (lease.machine.is("written")) this.#host.unlease(lease);
  }
}

class Lease {
  readonly workflow: string;
  readonly name: string;
  /** Functions that are called when the lease is stored, by the runs that the lease covers. */
  readonly runs = new Map<string, (epoch: number) => void>();
  chars = 0;
  /** When the lease is to be renewed, by the monotonic clock. */
  due = -Infinity;
  /** Earliest time of the next write after a failed write of the lease, by the monotonic clock. */
  retry = -Infinity;
  readonly machine: Machine<keyof typeof LEASE_STATES> = new Machine(LEASE_STATES, "new");
  /** The calls of `again` that wait until the lease is stored again. */
  waiting: { readonly resolve: () => void; readonly reject: (error: CatgaError) => void }[] = [];

  constructor(workflow: string, name: string) {
    this.workflow = workflow;
    this.name = name;
  }

  /** Rejects the calls of `again` that wait for the lease, because the lease is no longer renewed. */
  fail(): void {
    for (const { reject } of this.waiting.splice(0)) reject(unavailable(`${this.name} is not put off any more`));
  }
}

/** Time after which a lease that is not renewed expires, in ms. */
const LEASE_LENGTH = 4_000;
/** Interval at which a lease is renewed, in ms. */
const PUT_OFF = 1_000;
/** Pause after a failed write of a lease, in ms. */
const PAUSE = 500;
/** Pause after a NATS server without schedules has refused a lease, in ms. */
const UNSUPPORTED_PAUSE = 10_000;
/** Maximum number of runs in a lease. */
const MAX_RUNS = 64;
/** Maximum length of the ids of all runs in a lease together, in characters. */
const MAX_CHARS = 4_096;
