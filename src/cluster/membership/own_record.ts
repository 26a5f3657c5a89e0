/**
 * This node's record in the store. It is registered under an id that no other live process has, written again after
 * some third of its lifetime, and sooner if it is gone or a write failed, and deleted when the node leaves. Every node
 * reads every write: so the lifetime grows with the cluster, and the number of writes that a node reads a second does
 * not. Its content comes from `describe` in `catga.ts`, and `self` in `cluster/cluster.ts`.
 */
import { type Clock, delay, type Random, type Timer } from "../../ports/clock.ts";
import { CatgaError } from "../../error.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import type { NodeInfo } from "../../contract/node_info.ts";
import type { Observer } from "../../contract/observer.ts";
import type { ServerInfo } from "../../ports/transport.ts";
import { readRecord, SIGNED_OFF, writeRecord } from "./node_record.ts";

/** Options of a node's own record. */
export interface OwnRecordOptions {
  readonly bucket: Bucket;
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: Observer;
  /** Lifetime of a record in a cluster of up to {@link FEW} nodes, in ms. */
  readonly heartbeat: number;
  /** Returns the current description of this node. */
  self(): NodeInfo;
  /** Returns true if frames can be sent. */
  connected(): boolean;
  /** Returns the server that this node is connected to. */
  server(): ServerInfo;
  /**
   * Resolves with `true` if a process answers at that endpoint, `false` if a ping bounces, `undefined` if neither
   * happens.
   */
  probe(endpoint: string): Promise<boolean | undefined>;
  /** Called when another live process has taken this node's id: this node has to stop. */
  evicted(error: CatgaError): void;
}

/** The record of this node. */
export class OwnRecord {
  readonly #options: OwnRecordOptions;
  /** Returns the number of nodes in the cluster. */
  readonly #nodes: () => number;
  #revision = 0;
  /** Ttl of the last written record, in ms. */
  #lifetime = 0;
  /** Time at which the last written record expires, by the monotonic clock. */
  #expires = -Infinity;
  #kept = false;
  #leaving = false;
  #refreshing: Promise<void> | undefined;
  /** True if the record has to be written once more when the write under way has ended. */
  #stale = false;
  #timer: Timer | undefined;
  #retry: Timer | undefined;

  constructor(options: OwnRecordOptions, nodes: () => number) {
    this.#options = options;
    this.#nodes = nodes;
  }

  /** Revision of the last acknowledged write. */
  get revision(): number {
    return this.#revision;
  }

  /** True if the record is in the store, as far as this node knows. */
  get listed(): boolean {
    return this.#kept && !this.#leaving && this.#options.clock.monotonic() < this.#expires;
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
    if (entry === undefined) return await this.register(); // the record was removed meanwhile
    const other = readRecord(info.id, entry.value);
    if (typeof other !== "string") {
      if (other.endpoint === info.endpoint) { // the acknowledgement of an earlier attempt was lost
        return this.#written(entry.revision, sent, ttl.ttl);
      }
      const alive = await this.#alive(other);
      if (alive !== false) throw taken(other, alive);
    }
    sent = clock.monotonic();
    const taking = await bucket.update(info.id, writeRecord(info), entry.revision, ttl);
    if (taking === undefined) return await this.register(); // another process was faster
    this.#written(taking, sent, ttl.ttl);
  }

  /** Starts to write the record again and again. */
  keep(): void {
    this.#kept = true;
    this.#beat();
  }

  /** Called when the record is gone from the store: writes it anew. */
  lost(): void {
    this.#expires = -Infinity;
    this.refresh();
  }

  /** Writes the record again, one write at a time. Does nothing before {@link OwnRecord.keep}. */
  refresh(): void {
    const { clock, connected, observer } = this.#options;
    this.#stale = this.#refreshing !== undefined;
    if (this.#stale || !this.#kept || this.#leaving || !connected()) return;
    this.#retry?.cancel();
    this.#refreshing = this.#write().catch((error) => {
      observer({ type: "fault", during: "refreshing this node's record", error });
      // the store may be back long before the next regular write, and the record may be gone
      if (!this.#leaving) this.#retry = clock.after(RETRY, () => this.refresh(), { background: true });
    }).finally(() => {
      this.#refreshing = undefined;
      if (this.#stale) this.refresh();
    });
  }

  /** Deletes the record for good. */
  async leave(): Promise<void> {
    this.#leaving = true;
    this.#timer?.cancel();
    this.#retry?.cancel();
    await this.#refreshing;
    const { bucket, connected, self } = this.#options;
    if (this.#kept && connected()) await bucket.delete(self().id, { revision: this.#revision, note: SIGNED_OFF });
  }

  #beat(): void {
    if (this.#leaving) return;
    const { clock, random } = this.#options;
    // the interval varies around a third of the lifetime: nodes that started together would write together for ever
    this.#timer = clock.after(this.#lifetime * LONGEST * (1 + random()) / 2, () => {
      this.refresh();
      this.#beat();
    }, { background: true });
  }

  #ttl(): { readonly ttl: number } {
    return { ttl: this.#options.heartbeat * Math.max(1, this.#nodes() / FEW) };
  }

  #written(revision: number, sent: number, ttl: number): void {
    this.#revision = revision;
    this.#lifetime = ttl;
    this.#expires = sent + ttl;
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
      // anybody may have written the other record: only a process that is alive takes the id from this node
      if (typeof other !== "string" && other.endpoint !== endpoint && await this.#alive(other) !== false) {
        return evicted(taken(other, true));
      }
      revision = await bucket.update(id, record(), entry.revision, ttl);
    }
    if (revision !== undefined) this.#written(revision, sent, ttl.ttl);
  }

  /**
   * Resolves with true if the process that has this node's id is alive, false if it is not; `undefined` if it neither
   * answers nor bounces.
   */
  async #alive({ endpoint, server: theirs }: NodeInfo): Promise<boolean | undefined> {
    const { clock, probe, server } = this.#options;
    const alive = await probe(endpoint);
    const { id, clustered } = server();
    if (alive !== false || !clustered || theirs === id) return alive;
    // the process may be moving from one server to another, and must not lose its id for that
    await delay(clock, SERVER_CHANGE);
    return await probe(endpoint);
  }
}

/**
 * Number of nodes up to which each writes its record every third of `heartbeat`; with n times as many, 1/n as often.
 */
export const FEW = 32;
/** Greatest interval between two writes of a record, as a share of its lifetime; the least is half of it. */
export const LONGEST = 4 / 9;
/**
 * Time to wait for a live node that moves to another server, in ms: it needs up to 1.7 s
 * (`docs/internals/measurements.md`).
 */
const SERVER_CHANGE = 2_000;
/** Pause after a write that failed, in ms. */
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
