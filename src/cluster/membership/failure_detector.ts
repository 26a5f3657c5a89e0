/**
 * Detects nodes that died without leaving, and removes their records. What follows a node's death:
 *
 * 1. Frames to the dead node bounce: the server answers that nobody subscribes to its endpoint. Each node pings its
 *    successor in the ring of sorted ids once a second, so that this happens without traffic, too: one ping per node
 *    per second, whatever the size of the cluster.
 * 2. The first bounce, or 500 ms without an answer to a ping (over a slow link more: `patience` in `../wire/peer.ts`),
 *    makes the node a suspect (`membership_view.ts`): requests prefer other nodes, and each node that suspects it pings
 *    it once a second. Requests under way to it fail or move to another node (`../wire/watchdog.ts`,
 *    `../routing/router.ts`).
 * 3. A second bounce, a second later, removes its record. With several NATS servers, a bounce says only that nobody is
 *    there as seen from one server, now. So frames have to bounce for as long as a live node may take to move to
 *    another server; then a node on another server is asked: it pings as well, and removes the record if that bounces,
 *    too.
 * 4. The removal reaches every node's watch of the records, and the node leaves every view (`membership.ts`).
 * 5. Its idempotency claims are freed when it is certainly gone, its locks and leaderships when their ttl ends.
 *
 * A node whose record has expired, because the store was away or the node was frozen, is pinged as well, and leaves the
 * view at the first bounce or silence. For 2.5 s after a reconnect of this node, bounces and silence remove nobody.
 */
import type { Timer } from "../../ports/clock.ts";
import { RECONNECT_GRACE, type ReconnectGrace } from "../wire/reconnect_grace.ts";
import type { Member } from "./member.ts";
import type { Membership } from "./membership.ts";
import type { OwnRecordOptions } from "./own_record.ts";

/** Dependencies of a failure detector on its node. */
interface FailureDetectorOptions
  extends Pick<OwnRecordOptions, "clock" | "random" | "observer" | "connected" | "server"> {
  readonly membership: Membership;
  /** `running`: other nodes may still be reconnecting after an outage that cut off this node, too. */
  readonly grace: Pick<ReconnectGrace, "running">;
  /** This node's id. */
  readonly self: string;
  /** Sends a ping; {@link FailureDetector.report} is called with its outcome. */
  ping(endpoint: string): void;
  /** Returns how long a process may leave a ping unanswered until it is suspect, in ms. */
  patience(endpoint: string): number;
  /**
   * Reports to the node `witness` on another server that frames to `endpoint` bounce on this one; the witness then
   * calls {@link FailureDetector.accused}.
   */
  accuse(witness: string, endpoint: string, server: string): void;
}

/** The failure detector of one node. */
export class FailureDetector {
  readonly #options: FailureDetectorOptions;
  /**
   * Time of the first unanswered ping, by endpoint, by the monotonic clock; an answer or a bounce removes the entry.
   */
  readonly #unanswered: Map<string, number> = new Map();
  /** Ids whose records are being removed. */
  readonly #removing: Set<string> = new Set();
  #timer: Timer | undefined;
  /** Timer of the round of pings at the end of the grace. */
  #lastLook: Timer | undefined;
  /** Timers at whose end an unanswered ping makes its node a suspect. */
  readonly #limits = new Set<Timer>();
  #stopped = false;

  constructor(options: FailureDetectorOptions) {
    this.#options = options;
  }

  /** Starts the rounds of pings. */
  start(): void {
    if (this.#stopped) return;
    this.#timer = this.#options.clock.after(PERIOD, () => {
      this.#pingRound();
      this.start();
    }, { background: true });
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#lastLook?.cancel();
    for (const timer of this.#limits) timer.cancel();
    this.#limits.clear();
  }

  /**
   * Called when this node has reconnected: forgets all bounces, because the other nodes may still be reconnecting, and
   * pings again when the grace ends. A node that bounces then is dead.
   */
  resume(): void {
    this.#unanswered.clear();
    this.#lastLook?.cancel();
    this.#lastLook = this.#options.clock.after(RECONNECT_GRACE, () => this.#pingRound(), { background: true });
    for (const member of this.#options.membership.view.members) member.clearBounces();
  }

  /** Pings a member whose record is gone, to find out whether the node is gone as well. */
  probe(member: Member): void {
    if (this.#options.connected()) this.#ping(member);
  }

  /** Takes the state of another process, as seen by its frames, or by frames and pings to it. */
  report(endpoint: string, state: "alive" | "bounced" | "silent"): void {
    const { membership } = this.#options;
    const pinged = state !== "silent" && this.#unanswered.delete(endpoint);
    const member = membership.view.find(endpoint);
    if (state === "alive") return member === undefined ? membership.alive(endpoint) : membership.view.trust(member);
    if (member === undefined) return;
    membership.view.suspect(member);
    if (state === "bounced") this.#bounced(member, pinged);
  }

  /**
   * Called when a node on `server` reports that frames to the process at `endpoint` bounce there: pings it from here,
   * too.
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
    if (!connected()) return this.#unanswered.clear();
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
    if (!this.#unanswered.has(endpoint)) this.#unanswered.set(endpoint, now);
    ping(endpoint);
    const limit = patience(endpoint);
    const timer = clock.after(limit, () => {
      this.#limits.delete(timer);
      // a late timer means that this process was paused: answers may still be in its socket
      if (clock.monotonic() - now < limit + STANDSTILL && this.#unanswered.get(endpoint)! <= now) {
        this.#silent(endpoint);
      }
    }, { background: true });
    this.#limits.add(timer);
  }

  #silent(endpoint: string): void {
    const { connected, grace, membership } = this.#options;
    const member = membership.view.find(endpoint);
    if (member === undefined || this.#stopped || !connected()) return;
    membership.view.suspect(member);
    if (member.recordGone && !grace.running) membership.removeMember(member, "silent");
  }

  /** Handles a bounce. `pinged`: the frame may have been a ping of this failure detector. */
  #bounced(member: Member, pinged: boolean): void {
    const { clock, grace, membership, server, self } = this.#options;
    const now = clock.monotonic();
    const accused = member.accusedAt >= 0 && now - member.accusedAt < PERIOD;
    const first = member.bouncedAt < 0;
    if (first) member.bouncedAt = now;
    if (!grace.running) {
      if (member.recordGone) return membership.removeMember(member, "bounced");
      if (accused) return this.#removeRecord(member);
      if (!first && now - member.bouncedAt >= (server().clustered ? SECOND_BOUNCE_OF_SEVERAL : SECOND_BOUNCE)) {
        return this.#dead(member);
      }
    }
    // the dead node's successor may be dead as well, and the dead node no longer pings it
    if (first && pinged) {
      this.#ping(successorsOf(member.info.id, membership.view.members).find(({ info }) => info.id !== self));
    }
  }

  /**
   * The member has bounced for long enough: removes its record, or with several servers has a node on another one ping
   * it.
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
      // no live node is on another server, and the dead node's own server bounced the frames; otherwise its record
      // expires
      this.#removeRecord(member);
    }
  }

  #removeRecord(member: Member): void {
    const { membership, observer } = this.#options;
    const { id } = member.info;
    if (this.#removing.has(id)) return;
    this.#removing.add(id);
    membership.removeRecord(member).catch((error) => {
      // the record expires by itself
      observer({ type: "fault", during: `removing the record of ${id}`, error });
    }).finally(() => this.#removing.delete(id));
  }
}

/** Returns all nodes except the one with this id, in the order of the ring, beginning with its successor. */
function successorsOf(id: string, members: readonly Member[]): Member[] {
  return [...members.filter(({ info }) => info.id > id), ...members.filter(({ info }) => info.id < id)];
}

/** Time between two rounds of pings, in ms. */
const PERIOD = 1_000;
/** Delay of a timer, in ms, from which it shows that its own process was paused. */
const STANDSTILL = 250;
/**
 * Minimum time between the first bounce and the one that removes the record, in ms: a period, less the inaccuracy of
 * timers.
 */
const SECOND_BOUNCE = 900;
/**
 * {@link SECOND_BOUNCE} with several servers: a live node needs up to 1.7 s to move (`docs/internals/measurements.md`).
 */
const SECOND_BOUNCE_OF_SEVERAL = 2_900;
