/**
 * This node's record in the store. The record is registered under an id that no other live process has: a process that
 * has the id is pinged (`ProcessProbe`). It is written again after about a third of its lifetime, in large clusters
 * later, and sooner if it is gone or a write failed. It is deleted when the node leaves. Every node reads every write:
 * so the lifetime of records grows with the cluster, and the number of writes that a node reads a second does not. The
 * record's content comes from `describe` in `catga.ts`, and `self` in `cluster/cluster.ts`.
 * @decides a second node with the id of a running one is refused
 */
import { type Clock, delay, type Random, type Timer, within } from "../../ports/clock.ts";
import { CatgaError } from "../../error.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import type { NodeInfo } from "../../contract/nodes/node_info.ts";
import type { Observer } from "../../contract/nodes/observer.ts";
import type { ServerInfo, Transport } from "../../ports/transport.ts";
import { readRecord, SIGNED_OFF, writeRecord } from "./node_record.ts";

/** Options of an {@link OwnRecord}. */
export interface OwnRecordOptions {
  readonly bucket: Bucket;
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: Observer;
  /** Lifetime of this node's record in a cluster of up to {@link FEW} nodes, in ms. */
  readonly heartbeat: number;
  /** Returns the current description of this node. */
  self(): NodeInfo;
  /** Returns true if this node is connected, so that frames can be sent. */
  connected(): boolean;
  /** Returns the NATS server that this node is connected to. */
  server(): ServerInfo;
  /**
   * Asks if a process is alive. Resolves with `true` if it answers at that endpoint, `false` if a ping bounces (no
   * responders), `undefined` if neither happens.
   */
  probe(endpoint: string): Promise<boolean | undefined>;
  /** Called when another live process has taken this node's id: this node must stop. */
  evicted(error: CatgaError): void;
}

/** Writes the record of this node in the store, and writes it again before it expires. */
export class OwnRecord {
  readonly #options: OwnRecordOptions;
  /** Returns the number of nodes in the cluster. */
  readonly #nodes: () => number;
  #revision = 0;
  /** Time to live of the record as last written, in ms. */
  #lifetime = 0;
  /** Time at which the record as last written expires, by the monotonic clock. */
  #expires = -Infinity;
  #kept = false;
  #leaving = false;
  #refreshing: Promise<void> | undefined;
  /** True if the record must be written once more when the present write has ended. */
  #stale = false;
  #timer: Timer | undefined;
  #retry: Timer | undefined;

  constructor(options: OwnRecordOptions, nodes: () => number) {
    this.#options = options;
    this.#nodes = nodes;
  }

  /** Revision of the record's last acknowledged write. */
  get revision(): number {
    return this.#revision;
  }

  /** True if the record is in the store, as far as this node knows. */
  get listed(): boolean {
    return this.#kept && !this.#leaving && this.#options.clock.monotonic() < this.#expires;
  }

  /** True once the node leaves: its record is deleted for good. */
  get leaving(): boolean {
    return this.#leaving;
  }

  /** Writes the record for the first time. Rejects with `ID_TAKEN` if this node's id belongs to a live process. */
  async register(): Promise<void> {
    const { bucket, clock, self } = this.#options;
    const info = self();
    const ttl = this.#ttl();
    let sent = clock.monotonic();
    const revision = await bucket.create(info.id, writeRecord(info), ttl);
    if (revision !== undefined) return this.#written(revision, sent, ttl.ttl);
    const entry = await bucket.get(info.id);
    // the other process's record was removed after the write was refused: try again
    if (entry === undefined) return await this.register();
    const other = readRecord(info.id, entry.value);
    if (typeof other !== "string") {
      // an earlier attempt has written this record, and its acknowledgement was lost
      if (other.endpoint === info.endpoint) {
        return this.#written(entry.revision, sent, ttl.ttl);
      }
      const alive = await this.#alive(other);
      if (alive !== false) throw taken(other, alive);
    }
    sent = clock.monotonic();
    const taking = await bucket.update(info.id, writeRecord(info), entry.revision, ttl);
    if (taking === undefined) return await this.register(); // another process has written the record first: try again
    this.#written(taking, sent, ttl.ttl);
  }

  /** Begins to write the record again at intervals. */
  keep(): void {
    this.#kept = true;
    this.#beat();
  }

  /** Writes the record again. Called when the record is gone from the store. */
  lost(): void {
    this.#expires = -Infinity;
    this.refresh();
  }

  /** Writes the record again, one write at a time. Does nothing before {@link OwnRecord.keep} was called. */
  refresh(): void {
    const { clock, connected, observer } = this.#options;
    this.#stale = this.#refreshing !== undefined;
    if (this.#stale || !this.#kept || this.#leaving || !connected()) return;
    this.#retry?.cancel();
    this.#refreshing = this.#write().catch((error) => {
      observer({ type: "fault", during: "refreshing this node's record", error });
      // try soon: the store may be back long before the next regular write, and the record may be gone
      if (!this.#leaving) this.#retry = clock.after(RETRY, () => this.refresh(), { background: true });
    }).finally(() => {
      this.#refreshing = undefined;
      if (this.#stale) this.refresh();
    });
  }

  /** Deletes the record for good, when the node leaves. */
  async leave(): Promise<void> {
    this.#leaving = true;
    this.#timer?.cancel();
    this.#retry?.cancel();
    await this.#refreshing;
    const { bucket, connected, self } = this.#options;
    if (this.#kept && connected()) await bucket.delete(self().id, { revision: this.#revision, note: SIGNED_OFF });
  }

  /** Sets the time of the next write. Each write sets the time anew, because the lifetime may have changed. */
  #beat(): void {
    this.#timer?.cancel();
    if (this.#leaving || !this.#kept) return;
    const { clock, heartbeat, random } = this.#options;
    // random, because nodes that started together would otherwise write together for ever
    const lifetime = Math.min(this.#lifetime, this.#ttl().ttl);
    const interval = lifetime * (1 - SPREAD * (1 - random())) - heartbeat * RESERVE;
    this.#timer = clock.after(interval, () => {
      this.refresh();
      // sets the next attempt: `refresh` writes nothing while the connection is lost
      this.#beat();
    }, { background: true });
  }

  #ttl(): { readonly ttl: number } {
    const { bucket, heartbeat } = this.#options;
    // at its first write this node has not read the other nodes' records yet: the number of records in the bucket
    // stands for the number of nodes
    const nodes = this.#kept ? this.#nodes() : Math.max(this.#nodes(), bucket.size);
    return { ttl: heartbeat * Math.max(1, nodes / FEW) };
  }

  #written(revision: number, sent: number, ttl: number): void {
    this.#revision = revision;
    this.#lifetime = ttl;
    this.#expires = sent + ttl;
    // set the time again: in a cluster that has shrunk, the record's new lifetime may end before the next write was due
    this.#beat();
  }

  async #write(): Promise<void> {
    const { bucket, clock, self, evicted } = this.#options;
    const ttl = this.#ttl();
    const record = () => writeRecord(self());
    const { id, endpoint } = self();
    let sent = clock.monotonic();
    let revision = await bucket.update(id, record(), this.#revision, ttl);
    while (revision === undefined && !this.#leaving) {
      const entry = await bucket.get(id);
      sent = clock.monotonic();
      if (entry === undefined) {
        revision = await bucket.create(id, record(), ttl);
        continue;
      }
      const other = readRecord(id, entry.value);
      // check, because anybody may have written the other record: only a live process takes the id from this node
      if (typeof other !== "string" && other.endpoint !== endpoint && await this.#alive(other) !== false) {
        return evicted(taken(other, true));
      }
      revision = await bucket.update(id, record(), entry.revision, ttl);
    }
    if (revision !== undefined) this.#written(revision, sent, ttl.ttl);
  }

  /**
   * Asks if the other process with this node's id is alive. Resolves with true if it is, false if it is not;
   * `undefined` if it neither answers nor bounces.
   */
  async #alive({ endpoint, server: theirs }: NodeInfo): Promise<boolean | undefined> {
    const { clock, probe, server } = this.#options;
    const alive = await probe(endpoint);
    const { id, clustered } = server();
    if (alive !== false || !clustered || theirs === id) return alive;
    // ask again later: the process may be moving from one server to another, and must not lose its id for that
    await delay(clock, SERVER_CHANGE);
    return await probe(endpoint);
  }
}

/**
 * Number of nodes up to which a record lives for `heartbeat`, and is written again after a third of it. With n times as
 * many nodes it lives n times as long, and is written again at the latest {@link RESERVE} of `heartbeat` before its
 * end.
 */
export const FEW = 32;
/**
 * Minimum time between the regular write of a record and the end of the record that it replaces, as a share of
 * `heartbeat`, whatever the size of the cluster: for so long the store may be away without a loss of records.
 */
const RESERVE = 5 / 9;
/** Difference between the longest and the shortest interval between two writes, as a share of the lifetime. */
const SPREAD = 2 / 9;
/** Longest interval between two writes in a cluster of up to {@link FEW} nodes, as a share of `heartbeat`. */
export const LONGEST: number = 1 - RESERVE;
/**
 * Time to wait for a live node that may be moving to another server, in ms: it needs up to 1.7 s
 * (`docs/internals/measurements.md`).
 */
const SERVER_CHANGE = 2_000;
/** Pause after a failed write of the record, in ms. */
const RETRY = 1_000;

function taken({ id, endpoint, service, metadata }: NodeInfo, alive: boolean | undefined): CatgaError {
  const where = metadata.host === undefined ? "" : ` on host ${metadata.host}`;
  const state = alive ? "which is alive" : "which does not answer, and may be frozen: its record expires by itself";
  return new CatgaError(
    "ID_TAKEN",
    `the node id ${id} belongs to another process of this namespace (${endpoint}, service ${service}${where}), ${state}; ` +
      `give every process an id of its own, or leave the id out`,
    { details: { id, endpoint, service, metadata: { ...metadata } } },
  );
}

/** Dependencies of a {@link ProcessProbe} on its node. */
interface ProcessProbeOptions {
  readonly transport: Pick<Transport, "clock" | "flush">;
  /** Sends a ping to this endpoint; {@link ProcessProbe.report} is called with its outcome. */
  ping(endpoint: string): void;
}

/** The questions of one node if other processes are alive. */
export class ProcessProbe {
  readonly #options: ProcessProbeOptions;
  readonly #pending: Map<string, (alive: boolean) => void> = new Map();

  constructor(options: ProcessProbeOptions) {
    this.#options = options;
  }

  /**
   * Pings an endpoint. Resolves with true if a process answers, false if the ping bounces; `undefined` if neither
   * happens within 1 s, twice: the server may still route to a process that was killed a moment ago. Do not call again
   * for this endpoint before the promise has settled. Rejects with `UNAVAILABLE` if the connection is lost before the
   * answer.
   */
  async isAlive(endpoint: string): Promise<boolean | undefined> {
    const { transport, ping } = this.#options;
    let alive: boolean | undefined;
    const shown = new Promise<void>((resolve) => {
      this.#pending.set(endpoint, (answer) => {
        alive = answer;
        resolve();
      });
    });
    try {
      for (let asked = 0; alive === undefined && asked < PINGS; asked++) {
        ping(endpoint);
        // the server answers in order: a bounce, however late, comes before the flush resolves
        await Promise.race([shown, transport.flush()]);
        await within(transport.clock, PING_TIMEOUT, shown);
      }
      return alive;
    } finally {
      this.#pending.delete(endpoint);
    }
  }

  /**
   * Ends the wait of {@link ProcessProbe.isAlive} for a process. `alive`: true: a frame has come from the process;
   * false: a frame to it has bounced.
   */
  report(endpoint: string, alive: boolean): void {
    this.#pending.get(endpoint)?.(alive);
  }
}

const PING_TIMEOUT = 1_000; // ms
const PINGS = 2;
