/**
 * A subscription as one of its nodes sees it: the record as it was seen last, and whether this node is to lead. Of the nodes that handle
 * it the first by rendezvous hashing takes the lead first, the others a little later, each when those in front of it have not.
 */
import type { CatgaError } from "../../error.ts";
import type { Bucket, Change } from "../../ports/key_value_store.ts";
import type { LogStream } from "../../ports/event_log.ts";
import { subscriptionKey } from "../format/names.ts";
import { endOf } from "../format/position.ts";
import {
  readSubscriptionRecord,
  type SubscriptionRecord,
  writeSubscriptionRecord,
} from "../format/subscription_record.ts";
import type { LogHost } from "../log_host.ts";
import type { CapableNode } from "./capable_nodes.ts";
import { firstRecord, recordFromStart } from "./first_record.ts";
import type { SubscriptionSpec } from "./spec.ts";
import { Term } from "./term.ts";
import type { TermEnd, TermState } from "./term_options.ts";
import { Warnings } from "./warnings.ts";

/** What a {@link Subscription} is made of. */
export interface SubscriptionOptions {
  readonly host: LogHost;
  readonly stream: LogStream;
  readonly records: Bucket;
  readonly parked: Bucket;
  readonly mostParked: number;
  readonly spec: SubscriptionSpec;
  /** The live nodes that handle it, the one that should lead first. */
  nodes(): readonly CapableNode[];
  /** Whether the process at an endpoint is gone, as far as that is known by now. */
  gone(endpoint: string): boolean;
}

/** The record as it was seen last. */
interface Seen {
  readonly revision: number;
  /** When, by the monotonic clock. */
  readonly at: number;
  /** A string: why it is invalid. */
  readonly record: SubscriptionRecord | string;
}

/** A subscription on one node. */
export class Subscription {
  readonly key: string;
  readonly #options: SubscriptionOptions;
  readonly #warnings: Warnings;
  #seen: Seen | undefined;
  #term: Term | undefined;
  #taking = false;
  #leaving = false;
  /** Not before this time it stands for the lead: a newer node should. */
  #stands = 0;
  #fresh = false;
  /** Since when another node should lead what this one leads, by the monotonic clock. */
  #secondSince: number | undefined;
  /** Until then it is not handed over to a node that should lead. */
  #keeps = 0;

  constructor(options: SubscriptionOptions) {
    this.#options = options;
    const { service, name } = options.spec;
    this.key = subscriptionKey(service, name);
    this.#warnings = new Warnings(options.host, `${service}/${name}`);
  }

  get spec(): SubscriptionSpec {
    return this.#options.spec;
  }

  /** Whether this node leads. */
  get leads(): boolean {
    return this.#term !== undefined;
  }

  /** Whether this node has messages in hand, or is about to lead: a process does not end by itself meanwhile. */
  get busy(): boolean {
    const { state } = this;
    if (state !== undefined) return state.open > 0 && !state.stopped;
    if (this.#leaving) return false;
    const record = this.#seen?.record;
    if (typeof record === "object" && record.leader !== "" && record.leader !== this.#options.host.endpoint) {
      return false;
    }
    return this.#first;
  }

  /** Of the term of this node. */
  get state(): TermState | undefined {
    return this.#term?.state;
  }

  /** The record has changed. */
  onChange(change: Change): void {
    if (this.#seen !== undefined && change.revision < this.#seen.revision) return;
    if (change.type !== "put") {
      this.#seen = undefined;
      this.#term?.onRevision(change.revision);
      return;
    }
    this.#see(change.value, change.revision);
    this.#term?.onRevision(change.revision);
  }

  /**
   * Makes the record if there is none, and adds the categories that are new. Those of an existing record begin now: the log's last
   * message at a moment when the leader has recorded no later position, because this write would fail else. So a leader of any version
   * finds them in the record before it passes their messages by for good: its next write fails, it reads the record back, and goes back
   * to the position that it had recorded before. Rejects with `UNAVAILABLE` and the like.
   */
  async ensure(): Promise<void> {
    const { records, stream, spec: { service, name, categories } } = this.#options;
    for (;;) {
      const entry = await records.get(this.key);
      const state = await stream.state();
      const now = state === undefined ? 0 : endOf(state.last);
      if (entry === undefined) {
        const record = firstRecord(this.#options.spec, stream, state);
        const text = writeSubscriptionRecord(record);
        const revision = await records.create(this.key, text);
        if (revision === undefined) continue;
        this.#see(text, revision);
        return;
      }
      this.#see(entry.value, entry.revision);
      const record = readSubscriptionRecord(service, name, entry.value);
      // an invalid one is replaced by who leads next
      if (typeof record === "string") return;
      const missing = [...categories.keys()].filter((category) => !Object.hasOwn(record.began, category));
      if (missing.length === 0) return;
      const began = { ...record.began, ...Object.fromEntries(missing.map((category) => [category, now])) };
      const text = writeSubscriptionRecord({ ...record, began });
      const revision = await records.update(this.key, text, entry.revision);
      if (revision === undefined) continue;
      this.#see(text, revision);
      this.#term?.onRevision(revision);
      return;
    }
  }

  /** The nodes have changed. */
  refresh(): void {
    this.#term?.refresh();
  }

  /** To be called every 100 ms. */
  tick(now: number): void {
    if (this.#term !== undefined) {
      this.#term.tick(now);
      this.#giveWay(now);
      return;
    }
    if (this.#taking || this.#leaving || now < this.#stands || !this.#options.host.connected) return;
    if (!this.#mayLead(now)) return;
    this.#taking = true;
    this.#take().catch((error: CatgaError) => this.#warnings.fault("taking the lead", error))
      .finally(() => void (this.#taking = false));
  }

  /** Whether this node is the one that should lead. */
  get #first(): boolean {
    return this.#options.nodes()[0]?.id === this.#options.host.node;
  }

  /**
   * Nodes that start one after the other would leave all leads to the first: one for which another node has been the right one for a while
   * is handed over, and seldom again, because nodes may disagree about who lives.
   */
  #giveWay(now: number): void {
    if (this.#first) this.#secondSince = undefined;
    else this.#secondSince ??= now;
    if (this.#leaving || this.#secondSince === undefined || now - this.#secondSince < SETTLED || now < this.#keeps) {
      return;
    }
    this.#keeps = now + KEPT;
    this.#secondSince = undefined;
    void this.#term?.handOver(PATIENCE);
  }

  /** Hands the lead over. Never rejects. */
  async leave(patience: number): Promise<void> {
    this.#leaving = true;
    await this.#term?.handOver(patience);
  }

  close(): void {
    this.#leaving = true;
    this.#term?.close();
    this.#term = undefined;
  }

  #see(value: string, revision: number): void {
    if (this.#seen !== undefined && revision <= this.#seen.revision) return;
    const { host: { clock }, spec: { service, name } } = this.#options;
    this.#seen = { revision, at: clock.monotonic(), record: readSubscriptionRecord(service, name, value) };
  }

  #mayLead(now: number): boolean {
    const { host, nodes, gone } = this.#options;
    const capable = nodes();
    const place = Math.max(0, capable.findIndex(({ id }) => id === host.node));
    const seen = this.#seen;
    if (seen === undefined) return place === 0;
    const still = now - seen.at;
    const turn = Math.min(place, LAST) * TURN;
    if (typeof seen.record === "string") return still >= STILL + turn;
    const { leader } = seen.record;
    if (leader === host.endpoint) return true;
    if (leader === "") return still >= turn;
    if (still >= STILL + turn) return true;
    return still >= turn && gone(leader);
  }

  async #take(): Promise<void> {
    const { host, records, stream, parked, mostParked, spec, nodes } = this.#options;
    const seen = this.#seen;
    if (seen === undefined) return await this.ensure();
    const since = host.clock.monotonic();
    let { record } = seen;
    if (typeof record === "string") {
      this.#warnings.fault("the record", new Error(`it is invalid (${record}); all that the log has is handled again`));
      record = recordFromStart(spec, stream);
    }
    const handedOver = record.leader === "" || record.leader === host.endpoint;
    const taken: SubscriptionRecord = {
      ...record,
      leader: host.endpoint,
      token: 0,
      takeovers: record.takeovers + (handedOver ? 0 : 1),
    };
    const text = writeSubscriptionRecord(taken);
    const revision = await records.update(this.key, text, seen.revision);
    if (revision === undefined) {
      const entry = await records.get(this.key);
      if (entry === undefined) this.#seen = undefined;
      else this.#see(entry.value, entry.revision);
      return;
    }
    this.#see(text, revision);
    if (this.#leaving) {
      await records.update(this.key, writeSubscriptionRecord({ ...record, leader: "" }), revision);
      return;
    }
    const fresh = this.#fresh;
    this.#fresh = false;
    this.#warnings.state("leading");
    this.#term = new Term({
      host,
      stream,
      records,
      parked,
      mostParked,
      spec,
      record: taken,
      revision,
      since,
      handedOver,
      fresh,
      nodes,
      onEnd: (end) => this.#ended(end),
    });
  }

  #ended(end: TermEnd): void {
    const { clock } = this.#options.host;
    this.#term = undefined;
    if (end === "rewound") this.#fresh = true;
    else if (end !== "outvoted") this.#warnings.state(end === "deposed" ? "deposed" : "handed over");
    if (end === "newer") this.#stands = clock.monotonic() + ASIDE;
    // what was seen of the record is as old as the last write of this node
    if (this.#seen !== undefined) this.#seen = { ...this.#seen, at: clock.monotonic() };
    if (end === "deposed") void this.#look();
  }

  async #look(): Promise<void> {
    try {
      const entry = await this.#options.records.get(this.key);
      if (entry !== undefined) this.#see(entry.value, entry.revision);
    } catch (error) {
      this.#warnings.fault("reading the record", error);
    }
  }
}

/** How long a record stands still before others take it, in ms. A leader stops handing out earlier. */
const STILL = 3_000;
/** How much later each further node does, in ms. */
const TURN = 300;
/** From this place on all are equal. */
const LAST = 10;
/** How long another node must have been the right leader, and for how long a lead is then not handed over again, in ms. */
const SETTLED = 30_000;
const KEPT = 600_000;
/** How long what is in hand has to end then, in ms. */
const PATIENCE = 2_000;
/** How long this node leaves it to newer ones, in ms. */
const ASIDE = 30_000;
