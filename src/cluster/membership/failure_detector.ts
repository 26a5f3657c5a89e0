/**
 * Detects nodes that died without leaving, and removes their records. The steps after a node's death:
 *
 * 1. Frames (messages) to the dead node bounce: the server answers that nobody subscribes to its endpoint. Each node
 *    pings its successor in the ring of sorted ids once a second, so that frames bounce without other traffic, too: one
 *    ping per node per second, whatever the size of the cluster.
 * 2. The first bounce, or 500 ms without an answer to a ping (over a slow link more: `patience` in `../wire/peer.ts`),
 *    makes the node a suspect (`membership_view.ts`): requests prefer other nodes, and each node that suspects it pings
 *    it once a second. Requests under way to it fail or move to another node (`../wire/watchdog.ts`,
 *    `../routing/router.ts`).
 * 3. A second bounce, a second later, removes the node's record. With several NATS servers, a bounce says only that
 *    nobody is there as seen from one server, now. So frames must bounce for as long as a live node may take to move to
 *    another server; then a node on another server is asked: it pings as well, and removes the record if that bounces,
 *    too.
 * 4. The removal reaches every node's watch of the records, and the node leaves every view (`membership.ts`).
 * 5. Its idempotency claims are freed when it is certainly gone, its locks and leaderships when their ttl ends.
 *
 * A node whose record has expired, because the store was away or the node was frozen, is pinged as well, and leaves
 * the view at the first bounce or silence. For 2.5 s after a reconnect of this node, bounces and silence remove
 * nobody.
 */
import type { Timer } from "../../ports/clock.ts";
import { stoodStill } from "../../ports/standstill.ts";
import { MOVING_BOUNCES_FOR, PROCESS_BOUNCES_FOR, RECONNECT_GRACE } from "../../ports/evidence_of_life.ts";
import type { ReconnectGrace } from "../wire/watchdog.ts";
import type { Member } from "./membership_view.ts";
import type { Membership } from "./membership.ts";
import type { OwnRecordOptions } from "./own_record.ts";

/** Dependencies of a {@link FailureDetector} on its node. */
interface FailureDetectorOptions
  extends Pick<OwnRecordOptions, "clock" | "random" | "observer" | "connected" | "server"> {
  readonly membership: Membership;
  /** `running`: true for 2.5 s after a reconnect of this node, while other nodes may still be reconnecting. */
  readonly grace: Pick<ReconnectGrace, "running">;
  /** This node's id. */
  readonly self: string;
  /** Sends a ping; {@link FailureDetector.report} is called with its outcome. */
  ping(endpoint: string): void;
  /** Returns how long the process may leave a ping unanswered until its node is suspect, in ms. */
  patience(endpoint: string): number;
  /**
   * Asks `witness`, a node on another server, to ping the process at `endpoint`, because frames to it bounce (no
   * responders) on this node's server. The witness then calls {@link FailureDetector.accused}. `server`: this node's
   * server.
   */
  accuse(witness: string, endpoint: string, server: string): void;
}

/** Detects for one node which members have died, by pings and bounces, and removes their records. */
export class FailureDetector {
  readonly #options: FailureDetectorOptions;
  /**
   * Timers of pings without an answer, by endpoint: a ping still unanswered at the end of its timer makes its node
   * suspect. An answer or a bounce removes the entry.
   */
  readonly #unanswered: Map<string, Set<Timer>> = new Map();
  /** Ids of nodes whose records are being removed. */
  readonly #removing: Set<string> = new Set();
  #timer: Timer | undefined;
  /** Timer of the pings that are sent when the grace after a reconnect ends. */
  #lastLook: Timer | undefined;
  #started = false;
  #stopped = false;

  constructor(options: FailureDetectorOptions) {
    this.#options = options;
  }

  /** Starts to ping the successor and the suspects once a second, while there are other members. */
  start(): void {
    this.#started = true;
    this.membersChanged();
  }

  /**
   * Sets the timer of the next round of pings, if no timer is set and there is a member besides this node. Call when a
   * member has joined.
   */
  membersChanged(): void {
    const { clock, membership: { view: { members } }, self } = this.#options;
    if (!this.#started || this.#stopped || this.#timer !== undefined) return;
    if (members.every(({ info }) => info.id === self)) return;
    this.#timer = clock.after(PERIOD, () => {
      this.#timer = undefined;
      this.#pingRound();
      this.membersChanged();
    }, { background: true });
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#lastLook?.cancel();
    this.#forgetPings();
  }

  /**
   * Forgets all bounces, because other nodes may still be reconnecting, and pings again when the grace ({@link
   * RECONNECT_GRACE} ms) ends. Called when this node has reconnected.
   */
  resume(): void {
    this.#forgetPings();
    this.#lastLook?.cancel();
    this.#lastLook = this.#options.clock.after(RECONNECT_GRACE, () => this.#pingRound(), { background: true });
    for (const member of this.#options.membership.view.members) member.clearBounces();
  }

  /** Pings a member whose record is gone from the store, to find out if its process is gone as well. */
  probe(member: Member): void {
    if (this.#options.connected()) this.#ping(member);
  }

  /**
   * Trusts the node of a process that is alive; suspects the node of a process that bounces or is silent. Call when
   * frames from the process, or the outcome of frames and pings to it, have shown this.
   */
  report(endpoint: string, state: "alive" | "bounced" | "silent"): void {
    const { membership } = this.#options;
    const pinged = state !== "silent" && this.#answered(endpoint);
    const member = membership.view.find(endpoint);
    if (state === "alive") return member === undefined ? membership.alive(endpoint) : membership.view.trust(member);
    if (member === undefined) return;
    membership.view.suspect(member);
    if (state === "bounced") this.#bounced(member, pinged);
  }

  /**
   * Pings a process to which frames bounce on another server. Called when a node on that `server` reports the bounces.
   */
  accused(endpoint: string, server: string): void {
    const { clock, connected, membership, server: ours } = this.#options;
    const member = membership.view.find(endpoint);
    if (member === undefined || server === ours().id || !connected()) return;
    member.accusedAt = clock.monotonic();
    this.#ping(member);
  }

  #pingRound(): void {
    const { connected, membership: { view: { members } }, self } = this.#options;
    if (!connected()) return this.#forgetPings();
    let successor = false;
    for (const member of successorsOf(self, members)) {
      if (successor && !member.suspect && !member.recordGone) continue;
      this.#ping(member);
      if (!member.suspect) successor = true;
    }
  }

  #ping(member: Member | undefined): void {
    if (member === undefined || this.#stopped) return;
    const { clock, patience, ping } = this.#options;
    const { endpoint } = member.info;
    const now = clock.monotonic();
    const timers = this.#unanswered.get(endpoint) ?? new Set<Timer>();
    this.#unanswered.set(endpoint, timers);
    ping(endpoint);
    const limit = patience(endpoint);
    const timer = clock.after(limit, () => {
      timers.delete(timer);
      // if the timer is late, this process was paused: answers may still be unread in its socket
      if (!stoodStill(clock.monotonic(), now + limit)) this.#silent(endpoint);
    }, { background: true });
    timers.add(timer);
  }

  /** Cancels the timers of the pings to a process. Returns false if no ping to it was unanswered. */
  #answered(endpoint: string): boolean {
    for (const timer of this.#unanswered.get(endpoint) ?? []) timer.cancel();
    return this.#unanswered.delete(endpoint);
  }

  #forgetPings(): void {
    for (const endpoint of this.#unanswered.keys()) this.#answered(endpoint);
  }

  #silent(endpoint: string): void {
    const { connected, grace, membership } = this.#options;
    const member = membership.view.find(endpoint);
    if (member === undefined || this.#stopped || !connected()) return;
    membership.view.suspect(member);
    if (member.recordGone && !grace.running) membership.removeMember(member, "silent");
  }

  /**
   * Handles the bounce of a frame to a member. `pinged`: false if the frame cannot have been a ping of this failure
   * detector.
   */
  #bounced(member: Member, pinged: boolean): void {
    const { clock, grace, membership, server, self } = this.#options;
    const now = clock.monotonic();
    const accused = member.accusedAt >= 0 && now - member.accusedAt < PERIOD;
    const first = member.bounces.add(now);
    if (!grace.running) {
      if (member.recordGone) return membership.removeMember(member, "bounced");
      if (accused) return this.#removeRecord(member);
      const needed = server().clustered ? MOVING_BOUNCES_FOR : PROCESS_BOUNCES_FOR;
      if (member.bounces.lastedFor(needed, now)) return this.#dead(member);
    }
    // ping the dead node's successor: it may be dead as well, and the dead node no longer pings it
    if (first && pinged) {
      this.#ping(successorsOf(member.info.id, membership.view.members).find(({ info }) => info.id !== self));
    }
  }

  /**
   * Removes the record of a dead member; with several servers, first asks a node on another server to ping the member.
   * Called when frames to the member have bounced for long enough.
   */
  #dead(member: Member): void {
    const { accuse, membership, random, server, self } = this.#options;
    const { id, clustered } = server();
    if (!clustered) return this.#removeRecord(member);
    const { endpoint } = member.info;
    const witnesses = membership.view.members.filter(({ info, suspect, recordGone }) =>
      info.server !== id && info.id !== self && !suspect && !recordGone
    );
    if (witnesses.length > 0) {
      accuse(witnesses[Math.floor(random() * witnesses.length)].info.endpoint, endpoint, id);
    } else if (member.info.server === id) {
      // no live node is on another server. The record is removed if the dead node was connected to this node's server;
      // otherwise the record expires by itself
      this.#removeRecord(member);
    }
  }

  #removeRecord(member: Member): void {
    const { membership, observer } = this.#options;
    const { id } = member.info;
    if (this.#removing.has(id)) return;
    this.#removing.add(id);
    membership.removeRecord(member).catch((error) => {
      // the record will expire by itself
      observer({ type: "fault", during: `removing the record of ${id}`, error });
    }).finally(() => this.#removing.delete(id));
  }
}

/** Returns all members except the node with this id, in the order of the ring, beginning with that node's successor. */
function successorsOf(id: string, members: readonly Member[]): Member[] {
  return [...members.filter(({ info }) => info.id > id), ...members.filter(({ info }) => info.id < id)];
}

/** Time between two rounds of pings, in ms. */
const PERIOD = 1_000;
