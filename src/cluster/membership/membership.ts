/**
 * Decides which nodes are members: how records and pings change this node's view.
 *
 * Each node has a record in the store (`own_record.ts`), which every node watches. A record alone makes no member: its
 * process has to answer a ping, or send a frame, first (`unproven.ts`). A record that was deleted ends the membership:
 * a node deletes its own when it leaves, and the failure detector (`failure_detector.ts`) deletes the record of a node
 * that died. A record that expired, or vanished (is gone from the store for an unknown reason), does not, because the
 * store may have been away: the node stays as long as it answers pings (`wire/peer.ts` answers them). The members and
 * the events of their changes are in `membership_view.ts`. Records beyond the limits are counted (`SkippedRecords`).
 */
import type { NodeInfo } from "../../contract/nodes/node_info.ts";
import type { Change } from "../../ports/key_value_store.ts";
import type { MalformedCount } from "../wire/frame_reader.ts";
import { nodeOf } from "../../contract/nodes/subjects.ts";
import { PROTOCOL } from "../../version.ts";
import { type Member, MembershipView, type MembershipViewOptions } from "./membership_view.ts";
import { readRecord, SIGNED_OFF } from "./node_record.ts";
import { OwnRecord, type OwnRecordOptions } from "./own_record.ts";
import { Unproven } from "./unproven.ts";
import { type Clock, OnceAMinute } from "../../ports/clock.ts";
import { election, repeat } from "../../ports/repeat.ts";
import { GapInquiry, type GapInquiryOptions, Gaps } from "./gaps.ts";
import type { Observer } from "../../contract/nodes/observer.ts";

/** Dependencies of a {@link Membership} on its node. */
interface MembershipOptions
  extends OwnRecordOptions, Pick<MembershipViewOptions, "changed">, Pick<GapInquiryOptions, "askGap" | "gapFound"> {
  readonly malformed: MalformedCount;
  /** Returns true if a frame has come from this process, and no frame to it has bounced since. */
  isAlive(endpoint: string): boolean;
  /**
   * Sends the nth ping to the process at this endpoint. Its outcome is reported by {@link Membership.alive} or
   * {@link Membership.bounced}.
   */
  ping(endpoint: string, n: number): void;
  /** Returns true if the bounce of a frame proves that no process subscribes to the endpoint. */
  conclusive(): boolean;
  /**
   * Called when the record of a member has expired, or is gone from the store for an unknown reason: the member must
   * then show that it is alive.
   */
  recordGone(member: Member): void;
}

/** Knows which nodes are in the cluster, as this node sees it, and keeps this node's own record in the store. */
export class Membership {
  /** The members of the cluster, for the other parts of this node to read. */
  readonly view: MembershipView;
  /** The contracts that members handled in the last 5 minutes and that no member handles now. */
  readonly gaps: GapInquiry;
  readonly #options: MembershipOptions;
  readonly #own: OwnRecord;
  /** Id and endpoint of this node, which do not change. */
  readonly #self: NodeInfo;
  readonly #unproven: Unproven;
  readonly #skipped: SkippedRecords;
  /**
   * Former members, by id, that were removed because they had no record and did not answer. They may have been
   * frozen, and come back when they answer.
   */
  readonly #silent: Map<string, Member> = new Map();
  /** Ids of nodes whose records are being read. */
  readonly #lookingUp: Set<string> = new Set();
  /** Number of records of unproven nodes (which never answered) that are being deleted. */
  #removing = 0;
  /** Limits how often failed deletions of records are logged. */
  readonly #failures: OnceAMinute;
  readonly #stop = new AbortController();

  constructor(options: MembershipOptions) {
    this.#options = options;
    this.#self = options.self();
    this.#failures = new OnceAMinute(options.clock);
    this.#own = new OwnRecord(options, () => this.view.members.length);
    const { clock, connected, ping, conclusive, observer, changed } = options;
    const gaps = new Gaps(clock);
    this.view = new MembershipView({ self: this.#self.id, observer, changed, unhandled: (name) => gaps.open(name) });
    this.gaps = new GapInquiry({ ...options, gaps, view: this.view, self: this.#self.id });
    this.#skipped = new SkippedRecords(clock, observer);
    this.#unproven = new Unproven({
      clock,
      connected,
      ping,
      conclusive,
      gone: (info, revision) => void this.#removeUnproven(info, revision),
      dropped: () => this.#skipped.add("unproven"),
    });
  }

  /** True if this node's own record is in the store, as far as this node knows. */
  get listed(): boolean {
    return this.#own.listed;
  }

  /**
   * Registers this node; at the same time reads the records of the other nodes and pings those nodes. Nodes that
   * answer within 1 s are members when the promise resolves. If the store does not answer, waits for as long as an
   * election of its leader takes. Rejects with `ID_TAKEN` if this node's id belongs to a live process. `onListed` is
   * called when this node is registered; the join waits for its promise as well as for the answers.
   */
  async join(onListed: () => Promise<void>): Promise<void> {
    const { bucket } = this.#options;
    const { signal } = this.#stop;
    try {
      await Promise.all([
        repeat(() => this.#own.register(), election(this.#options, signal)),
        repeat(
          () => bucket.watch("", (change) => this.#onChange(change), { signal }),
          election(this.#options, signal),
        ),
      ]);
      await Promise.all([onListed(), this.#unproven.listed(FIRST_ANSWERS)]);
    } catch (error) {
      this.#stop.abort();
      this.#unproven.stop();
      throw error;
    }
    this.#onRecord(this.#options.self(), this.#own.revision);
    this.#own.keep();
  }

  /** Deletes this node's record for good. The view follows the other nodes until {@link Membership.close}. */
  async leave(): Promise<void> {
    await this.#own.leave();
    this.#remove(this.#self.id, "leave");
  }

  /** Ends all watches of nodes. */
  close(): void {
    this.#stop.abort();
    this.#unproven.stop();
    this.view.close();
  }

  /** Writes this node's record again, because its content has changed. */
  refresh(): void {
    this.#own.refresh();
  }

  /**
   * Writes this node's record again, because it may have expired, or the store may have been replaced by an empty one.
   * Called when the connection is back.
   */
  resume(): void {
    this.#own.refresh();
  }

  /**
   * Deletes the record of a dead member, unless the record was rewritten. The watches of all nodes then remove the
   * member.
   */
  async removeRecord(member: Member): Promise<void> {
    const { info, revision } = member;
    const removed = await this.#options.bucket.delete(info.id, { revision });
    if (removed && this.view.get(info.id)?.revision === revision) this.#remove(info.id, "lost");
  }

  /**
   * Removes a member that has no record and does not show that it is alive. `bounced`: its process is gone; `silent`:
   * it did not answer pings, and becomes a member again when it does.
   */
  removeMember(member: Member, why: "bounced" | "silent"): void {
    const { id } = member.info;
    if (this.view.get(id) !== member) return;
    // `leave`: the node may have deleted its own record while this node's watch of the records was interrupted
    this.#remove(id, member.recordGone === "vanish" && why === "bounced" ? "leave" : "lost");
    if (why === "bounced") return;
    this.#silent.set(id, member);
    // the number of remembered silent nodes is limited: a forgotten node still comes back with the next write of its
    // record
    for (const [oldest] of this.#silent) {
      if (this.#silent.size <= MAX_SILENT) break;
      this.#silent.delete(oldest);
    }
  }

  /**
   * Makes a node a member if it has a record or was a member before. Called when a process that is no member has
   * shown that it is alive.
   */
  alive(endpoint: string): void {
    const proven = this.#unproven.prove(endpoint);
    if (proven !== undefined) return this.#admit(proven.info, proven.revision);
    const id = nodeOf(endpoint);
    const member = this.#silent.get(id);
    if (member === undefined && this.#unproven.lossy) return void this.#lookUp(endpoint);
    if (member?.info.endpoint !== endpoint || this.view.get(id) !== undefined) return;
    this.#silent.delete(id);
    this.view.restore(member);
  }

  /**
   * Counts a bounce of a ping to a process that is no member; after the second bounce, the process's record is deleted.
   */
  bounced(endpoint: string): void {
    this.#unproven.bounced(endpoint);
  }

  #onChange(change: Change): void {
    const { key } = change;
    const own = key === this.#self.id;
    if (own && this.#own.leaving) return; // a late report of a write must not make this node a member again
    if (change.type !== "put") {
      if (own) { // write this node's record again: it was removed by mistake, or the store was away
        if (change.type === "vanish" || change.revision > this.#own.revision) this.#own.lost();
        return;
      }
      this.#unproven.delete(key);
      if (change.type !== "delete") this.#onRecordGone(key, change.type);
      else this.#remove(key, change.note === SIGNED_OFF ? "leave" : "lost");
      return;
    }
    const info = readRecord(key, change.value);
    if (typeof info === "string") {
      this.#options.malformed.add(`${this.#options.bucket.name}/${key}`, info);
      if (own) this.#own.refresh();
      return;
    }
    if (own && (info.endpoint !== this.#self.endpoint || info.protocol !== PROTOCOL)) {
      this.#own.refresh(); // the write finds out if the other process with this node's id is alive
      return;
    }
    if (info.protocol === PROTOCOL) return this.#onRecord(info, change.revision);
    this.#unproven.delete(key);
    this.#remove(key, "leave"); // a node with another protocol has replaced the member: this node cannot send to it
  }

  #onRecord(info: NodeInfo, revision: number): void {
    const known = this.view.get(info.id);
    if (known !== undefined && known.revision >= revision) return;
    const { endpoint } = info;
    // a new process under a member's id must answer a ping before it replaces the old process as the member
    if (endpoint === known?.info.endpoint || endpoint === this.#self.endpoint || this.#options.isAlive(endpoint)) {
      this.#unproven.delete(info.id);
      this.#admit(info, revision);
    } else this.#unproven.put(info, revision);
  }

  #onRecordGone(id: string, how: "expire" | "vanish"): void {
    const member = this.view.get(id);
    if (member === undefined || member.recordGone !== undefined) return;
    member.recordGone = how;
    this.#options.recordGone(member);
  }

  /** Makes the node of a record a member, unless there are too many members. */
  #admit(info: NodeInfo, revision: number): void {
    const { view } = this;
    if (view.get(info.id) === undefined && view.members.length >= MAX_MEMBERS && info.id !== this.#self.id) {
      return this.#skipped.add("members");
    }
    this.#silent.delete(info.id);
    view.put(info, revision);
  }

  #remove(id: string, how: "leave" | "lost"): void {
    this.#silent.delete(id);
    this.view.remove(id, how);
  }

  /**
   * Reads the record of a process that has shown that it is alive: this node may have ignored the record earlier,
   * because it had too many.
   */
  async #lookUp(endpoint: string): Promise<void> {
    const { bucket, observer } = this.#options;
    const id = nodeOf(endpoint);
    // at the limit of concurrent reads the record is not read: its node becomes a member with the next write of the
    // record
    if (this.#lookingUp.has(id) || this.#lookingUp.size >= MAX_AT_ONCE) return;
    this.#lookingUp.add(id);
    try {
      const entry = await bucket.get(id);
      if (entry !== undefined && !this.#stop.signal.aborted) this.#onChange({ type: "put", ...entry });
    } catch (error) {
      observer({ type: "fault", during: `reading the record of ${id}`, error });
    } finally {
      this.#lookingUp.delete(id);
    }
  }

  /** Deletes a record whose process does not exist, unless the record was rewritten. */
  async #removeUnproven({ id }: NodeInfo, revision: number): Promise<void> {
    const { bucket, observer } = this.#options;
    // too many deletions are under way: the deletion is tried again after the next bounce of a ping
    if (this.#removing >= MAX_AT_ONCE) return;
    this.#removing++;
    try {
      await bucket.delete(id, { revision });
    } catch (error) {
      // the record will expire by itself
      if (this.#failures.due()) observer({ type: "fault", during: `removing the record of ${id}`, error });
    } finally {
      this.#removing--;
    }
  }
}

/** Maximum number of members: four times the largest cluster that is planned for. */
export const MAX_MEMBERS = 4_096;
/** Maximum number of former members without an answer that are remembered. */
const MAX_SILENT = 256;
/** Maximum number of records that are read at once, and of records that are deleted at once. */
const MAX_AT_ONCE = 16;
/** Time for which a starting node waits for other nodes that do not answer, in ms. */
const FIRST_ANSWERS = 1_000;

/**
 * Counts node records whose nodes did not become members, because there were too many records or members. The counts
 * are reported once a minute at most, so that a flood of records does not flood the log.
 */
export class SkippedRecords {
  readonly #reports: OnceAMinute;
  readonly #observer: Observer;
  #unproven = 0;
  #members = 0;

  constructor(clock: Clock, observer: Observer) {
    this.#reports = new OnceAMinute(clock);
    this.#observer = observer;
  }

  /**
   * Counts an ignored record. `unproven`: newer records displaced it before its node answered a ping; `members`: there
   * were too many members.
   */
  add(why: "unproven" | "members"): void {
    if (why === "unproven") this.#unproven++;
    else this.#members++;
    if (!this.#reports.due()) return;
    this.#observer({ type: "crowded", unproven: this.#unproven, members: this.#members });
    this.#unproven = this.#members = 0;
  }
}
