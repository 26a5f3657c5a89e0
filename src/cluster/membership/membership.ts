/**
 * Who is there: a record per node in the store, watched by every node. It makes its node a member when that was heard: it
 * answers a ping, or has sent a frame. A record lives for `heartbeat` and is refreshed at a
 * third of it; a node that leaves deletes its own, and the ring (`ring.ts`) deletes that of a node that died. A record
 * that is gone without having been deleted says nothing about its node, for the store may have been away: the node stays
 * as long as it answers pings.
 */
import type { Change } from "../../ports/key_value_store.ts";
import type { NodeEvent, NodeInfo } from "../../contract/node_info.ts";
import { nodeOf, PROTOCOL } from "../wire/frame.ts";
import { type HandledList, HandledLists } from "./handled_lists.ts";
import type { MalformedCount } from "../wire/malformed_count.ts";
import { freeze, readRecord } from "./node_record.ts";
import { OwnRecord, type OwnRecordOptions } from "./own_record.ts";
import { PassedOver } from "./passed_over.ts";
import { Unproven } from "./unproven.ts";

/** What a membership is made of. */
export interface MembershipOptions extends OwnRecordOptions {
  readonly malformed: MalformedCount;
  /** A node came, changed, went, or became suspect or trusted again; `handled`: with it, who handles what. */
  changed(handled: boolean): void;
  /** Whether anything has come from this process, and nothing to it has bounced since. */
  heard(endpoint: string): boolean;
  /** Sends the nth ping to a process; what comes of it is told by {@link Membership.alive} and {@link Membership.bounced}. */
  ping(endpoint: string, n: number): void;
  /** Whether bounces say that nobody is there. */
  conclusive(): boolean;
  /** The record of a member is gone, and nobody deleted it: it has to show that it is alive. */
  lapsed(member: Member): void;
}

/** A node and what is thought of it. */
export interface Member {
  info: NodeInfo;
  /** The contracts that it handles. */
  readonly handled: HandledList;
  /** Of its record. */
  revision: number;
  /** It did not answer lately. */
  suspect: boolean;
  /** When the first of the frames bounced that have since it was last heard of, by the monotonic clock; -1 for none. */
  bouncedAt: number;
  /** When a node on another server last said that frames to it bounce there, by the monotonic clock; -1 for never. */
  accusedAt: number;
  /** Its record is gone: it stays as long as it answers pings. */
  lapsed: boolean;
}

/** The membership as this node sees it. */
export class Membership {
  readonly #options: MembershipOptions;
  readonly #own: OwnRecord;
  readonly #members: Map<string, MemberState> = new Map();
  readonly #byEndpoint: Map<string, MemberState> = new Map();
  readonly #unproven: Unproven;
  /** Ids whose records are read at this moment. */
  readonly #lookingUp: Set<string> = new Set();
  /** How many records of nobody are being taken away at this moment. */
  #burying = 0;
  /** When it was told that one could not be, by the monotonic clock. */
  #unburiedAt = -Infinity;
  readonly #handled: HandledLists = new HandledLists();
  /** Members that went because they were silent without a record, by id: they may have been frozen. */
  readonly #silent: Map<string, MemberState> = new Map();
  readonly #watchers: Set<(event: NodeEvent) => void> = new Set();
  readonly #stop = new AbortController();
  /** This node's id and endpoint, which do not change. */
  readonly #self: NodeInfo;
  readonly #sorted: MemberState[] = [];
  readonly #passed: PassedOver;

  constructor(options: MembershipOptions) {
    this.#options = options;
    this.#self = options.self();
    this.#own = new OwnRecord(options);
    const { clock, connected, ping, conclusive } = options;
    this.#passed = new PassedOver(clock, options.observer);
    this.#unproven = new Unproven({
      clock,
      connected,
      ping,
      conclusive,
      gone: (info, revision) => void this.#buryUnproven(info, revision),
      dropped: () => this.#passed.add("unproven"),
    });
  }

  /** All nodes, this one included once it has joined, sorted by id. */
  get members(): readonly Member[] {
    return this.#sorted;
  }

  /** Whether this node's own record is in the store, as far as it knows. */
  get listed(): boolean {
    return this.#own.listed;
  }

  /** The node behind an endpoint, when it is the process that the membership knows. */
  find(endpoint: string): Member | undefined {
    return this.#byEndpoint.get(endpoint);
  }

  /** Whether no other node handles a contract. */
  alone(name: string): boolean {
    const own = this.#members.get(this.#self.id)?.handled.has(name) ? 1 : 0;
    return this.#handled.count(name) === own;
  }

  /** Calls back at every change until the answer is called. */
  watch(onEvent: (event: NodeEvent) => void): () => void {
    this.#watchers.add(onEvent);
    return () => this.#watchers.delete(onEvent);
  }

  /**
   * Registers this node and reads the others, side by side, and pings them: those that answer within 250 ms are members when
   * it resolves. Rejects with `ID_TAKEN` when its id belongs to a live process. */
  async join(): Promise<void> {
    const { bucket } = this.#options;
    const registered = this.#own.register();
    try {
      await Promise.all([
        bucket.watch("", (change) => this.#apply(change), { signal: this.#stop.signal }),
        registered,
      ]);
      await this.#unproven.listed(FIRST_ANSWERS);
    } catch (error) {
      this.#stop.abort();
      this.#unproven.stop();
      throw error;
    }
    this.#put(this.#options.self(), this.#own.revision);
    this.#own.keep();
  }

  /** Takes this node's record away; nothing writes it again. */
  async leave(): Promise<void> {
    this.#stop.abort();
    this.#unproven.stop();
    await this.#own.leave();
    this.#remove(this.#self.id);
    this.#watchers.clear();
  }

  /** A member is not to be trusted for now. */
  suspect(member: Member): void {
    if (member.suspect) return;
    member.suspect = true;
    this.#options.observer({ type: "node", change: "suspect", node: member.info.id });
    this.#options.changed(false);
  }

  /** It has shown that it is alive. */
  trust(member: Member): void {
    member.bouncedAt = member.accusedAt = -1;
    if (!member.suspect) return;
    member.suspect = false;
    this.#options.observer({ type: "node", change: "alive", node: member.info.id });
    this.#options.changed(false);
  }

  /** Takes the record of a node away that is gone, unless it has been written since. */
  async bury(member: Member): Promise<void> {
    const { info, revision } = member;
    const gone = await this.#options.bucket.delete(info.id, { revision });
    if (gone && this.#members.get(info.id)?.revision === revision) this.#remove(info.id);
  }

  /** A member whose record is gone does not show that it is alive: it leaves. One that was `silent` may come back. */
  forget(member: Member, why: "bounced" | "silent"): void {
    const { id } = member.info;
    const known = this.#members.get(id);
    if (known !== member) return;
    this.#remove(id);
    if (why === "bounced") return;
    this.#silent.set(id, known);
    // its own record brings it back as well
    for (const [oldest] of this.#silent) {
      if (this.#silent.size <= MAX_SILENT) break;
      this.#silent.delete(oldest);
    }
  }

  /** A process that is no member was heard: it is one, when it has a record, or was taken for dead. */
  alive(endpoint: string): void {
    const proven = this.#unproven.prove(endpoint);
    if (proven !== undefined) return this.#admit(proven.info, proven.revision);
    const id = nodeOf(endpoint);
    const member = this.#silent.get(id);
    if (member === undefined && this.#unproven.lossy) return void this.#lookUp(endpoint);
    if (member?.info.endpoint !== endpoint || this.#members.has(id)) return;
    this.#silent.delete(id);
    member.suspect = false;
    member.bouncedAt = member.accusedAt = -1;
    member.handled = this.#handled.take(member.info.handles);
    this.#enter(member, true);
  }

  /** A frame to a process that is no member bounced. */
  bounced(endpoint: string): void {
    this.#unproven.bounced(endpoint);
  }

  /** The connection is there again: the record may have expired, or the store may be another one. */
  resume(): void {
    this.#own.refresh();
  }

  #apply(change: Change): void {
    const { key } = change;
    const own = key === this.#self.id;
    if (change.type !== "put") {
      if (own) { // evicted by mistake, or the store was away
        if (change.type === "vanish" || change.revision > this.#own.revision) this.#own.lost();
        return;
      }
      this.#unproven.delete(key);
      if (change.type === "delete") this.#remove(key);
      else this.#lapse(key);
      return;
    }
    const info = readRecord(key, change.value);
    if (typeof info === "string") {
      this.#options.malformed.add(`${this.#options.bucket.name}/${key}`, info);
      if (own) this.#own.refresh();
      return;
    }
    if (own && (info.endpoint !== this.#self.endpoint || info.protocol !== PROTOCOL)) {
      this.#own.refresh(); // which finds out who it is
      return;
    }
    if (info.protocol === PROTOCOL) return this.#put(info, change.revision);
    this.#unproven.delete(key);
    this.#remove(key); // another version's node, in place of one that is gone: nothing can be sent to it
  }

  #put(info: NodeInfo, revision: number): void {
    const known = this.#members.get(info.id);
    if (known !== undefined && known.revision >= revision) return;
    const { endpoint } = info;
    // one that is in place of a member's has to be proven too, and the member stays meanwhile
    if (endpoint === known?.info.endpoint || endpoint === this.#self.endpoint || this.#options.heard(endpoint)) {
      this.#unproven.delete(info.id);
      this.#admit(info, revision);
    } else this.#unproven.put(info, revision);
  }

  /** It has a record and is there: it is a member, unless there are too many. */
  #admit(info: NodeInfo, revision: number): void {
    const known = this.#members.get(info.id);
    if (known === undefined && this.#members.size >= MAX_MEMBERS && info.id !== this.#self.id) {
      return this.#passed.add("members");
    }
    this.#silent.delete(info.id);
    const same = known !== undefined && known.info.endpoint === info.endpoint;
    // a suspect stays one until it shows that it is alive, and writing its record does
    this.#enter(new MemberState(info, revision, this.#handled.take(info.handles)), !same || known.suspect);
  }

  /** It is a member, in place of the one with its id. */
  #enter(member: MemberState, loud: boolean): void {
    const { info, handled } = member;
    const known = this.#members.get(info.id);
    this.#members.set(info.id, member);
    const at = placeOf(this.#sorted, info.id);
    this.#sorted.splice(at, known === undefined ? 0 : 1, member);
    if (known !== undefined) {
      this.#byEndpoint.delete(known.info.endpoint);
      this.#handled.give(known.handled);
    }
    this.#byEndpoint.set(info.endpoint, member);
    this.#told(known === undefined ? "join" : "update", info, { loud, handled: handled !== known?.handled });
  }

  #lapse(id: string): void {
    const member = this.#members.get(id);
    if (member === undefined || member.lapsed) return;
    member.lapsed = true;
    this.#options.lapsed(member);
  }

  #remove(id: string): void {
    this.#silent.delete(id);
    const known = this.#members.get(id);
    if (known === undefined) return;
    this.#members.delete(id);
    this.#byEndpoint.delete(known.info.endpoint);
    this.#sorted.splice(placeOf(this.#sorted, id), 1);
    this.#handled.give(known.handled);
    this.#told("leave", known.info, { loud: true, handled: true });
  }

  /** A process was heard whose record may be among those that were passed over. */
  async #lookUp(endpoint: string): Promise<void> {
    const { bucket, observer } = this.#options;
    const id = nodeOf(endpoint);
    // its own next record makes it a member as well
    if (this.#lookingUp.has(id) || this.#lookingUp.size >= MAX_AT_ONCE) return;
    this.#lookingUp.add(id);
    try {
      const entry = await bucket.get(id);
      if (entry !== undefined && !this.#stop.signal.aborted) this.#apply({ type: "put", ...entry });
    } catch (error) {
      observer({ type: "fault", during: `reading the record of ${id}`, error });
    } finally {
      this.#lookingUp.delete(id);
    }
  }

  /** Nobody is at the endpoint of a record: takes the record away, unless it has been written since. */
  async #buryUnproven({ id }: NodeInfo, revision: number): Promise<void> {
    const { bucket, clock, observer } = this.#options;
    // the next bounce tries again
    if (this.#burying >= MAX_AT_ONCE) return;
    this.#burying++;
    try {
      await bucket.delete(id, { revision });
    } catch (error) {
      // the record expires by itself; of a flood of them one line is enough
      if (clock.monotonic() - this.#unburiedAt < UNBURIED) return;
      this.#unburiedAt = clock.monotonic();
      observer({ type: "fault", during: `taking the record of ${id} away`, error });
    } finally {
      this.#burying--;
    }
  }

  #told(type: NodeEvent["type"], node: NodeInfo, what: { loud: boolean; handled: boolean }): void {
    if (what.loud) this.#options.observer({ type: "node", change: type, node: node.id });
    this.#options.changed(what.handled);
    for (const watcher of this.#watchers) watcher({ type, node });
  }
}

/** Where a node is, or is to be, among the sorted. */
function placeOf(sorted: readonly Member[], id: string): number {
  let from = 0;
  let to = sorted.length;
  while (from < to) {
    const middle = (from + to) >> 1;
    if (sorted[middle].info.id < id) from = middle + 1;
    else to = middle;
  }
  return from;
}

class MemberState implements Member {
  info: NodeInfo;
  handled: HandledList;
  revision: number;
  suspect = false;
  bouncedAt = -1;
  accusedAt = -1;
  lapsed = false;

  constructor(info: NodeInfo, revision: number, handled: HandledList) {
    // replicas have lists of their own, all alike
    this.info = info.handles === handled.names ? info : freeze({ ...info, handles: handled.names });
    this.handled = handled;
    this.revision = revision;
  }
}

const MAX_SILENT = 256;
/** Nodes in a view: four times the largest cluster that is planned for. */
export const MAX_MEMBERS = 4_096;
const MAX_AT_ONCE = 16;
const UNBURIED = 60_000; // ms between two lines
const FIRST_ANSWERS = 250; // ms that a start waits for nodes that do not answer
