/**
 * Finds nodes that died without a word: each node pings its successor in the ring of sorted ids once a second, one ping
 * per node per second whatever the size of the cluster. A bounce makes it suspect; a second one a second later, and its
 * record is taken away. Suspects, and members whose record is gone, are pinged as well.
 *
 * With several NATS servers a bounce says only that nobody is there as seen from one of them, now. So it has to go on
 * bouncing for as long as a live node may take to move to another server, and then a node on another server is asked: it
 * pings too, and when that bounces, it takes the record away.
 */
import type { Clock, Random, Timer } from "../../ports/clock.ts";
import type { Observer } from "../../contract/observer.ts";
import type { ServerInfo } from "../../ports/transport.ts";
import type { Member, Membership } from "./membership.ts";

/** What a ring is made of. */
export interface FailureDetectorOptions {
  readonly membership: Membership;
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: Observer;
  /** This node's id. */
  readonly self: string;
  /** Whether frames may leave. */
  connected(): boolean;
  /** The server that this node is connected to. */
  server(): ServerInfo;
  /** Sends a ping; what comes of it is told by {@link FailureDetector.heard}. */
  ping(endpoint: string): void;
  /** Tells a node on another server that frames to `endpoint` bounce on ours; there, {@link FailureDetector.accused} is called. */
  accuse(witness: string, endpoint: string, server: string): void;
}

/** The failure detector of one node. */
export class FailureDetector {
  readonly #options: FailureDetectorOptions;
  /** Endpoints that were pinged and have not answered: since when, by the monotonic clock. */
  readonly #asked: Map<string, number> = new Map();
  readonly #burying: Set<string> = new Set();
  #timer: Timer | undefined;
  #resumedAt = -Infinity;
  #stopped = false;

  constructor(options: FailureDetectorOptions) {
    this.#options = options;
  }

  /** Begins to ping. */
  start(): void {
    if (this.#stopped) return;
    this.#timer = this.#options.clock.after(PERIOD, () => {
      this.#round();
      this.start();
    }, { background: true });
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** The connection is there again: what bounced before, or does before the others are back as well, proves nothing. */
  resume(): void {
    this.#resumedAt = this.#options.clock.monotonic();
    this.#asked.clear();
    for (const member of this.#options.membership.members) member.bouncedAt = member.accusedAt = -1;
  }

  /** The record of a member is gone: sees whether the node is. */
  probe(member: Member): void {
    if (this.#options.connected()) this.#ping(member);
  }

  /** A node on this server has seen frames to this process bounce for a while. */
  accused(endpoint: string, server: string): void {
    const { clock, connected, membership, server: ours } = this.#options;
    const member = membership.find(endpoint);
    if (member === undefined || server === ours().id || !connected()) return;
    member.accusedAt = clock.monotonic();
    this.#ping(member);
  }

  /** News of another process, from traffic or from a ping of ours. */
  heard(endpoint: string, news: "alive" | "bounced" | "silent"): void {
    const { membership } = this.#options;
    const asked = news !== "silent" && this.#asked.delete(endpoint);
    const member = membership.find(endpoint);
    if (news === "alive") return member === undefined ? membership.alive(endpoint) : membership.trust(member);
    if (member === undefined) return;
    membership.suspect(member);
    if (news === "bounced") this.#bounced(member, asked);
  }

  /** Whether the others may still be on their way back to a server that was away for all. */
  get #returning(): boolean {
    return this.#options.clock.monotonic() - this.#resumedAt < RETURN;
  }

  #round(): void {
    const { connected, membership: { members }, self } = this.#options;
    if (!connected()) return this.#asked.clear();
    let successor = false;
    for (const member of inRing(members, self)) {
      if (successor && !member.suspect && !member.lapsed) continue;
      this.#ping(member);
      if (!member.suspect) successor = true;
    }
  }

  #ping(member: Member | undefined): void {
    if (member === undefined) return;
    const { clock, ping } = this.#options;
    const { endpoint } = member.info;
    const now = clock.monotonic();
    if (!this.#asked.has(endpoint)) this.#asked.set(endpoint, now);
    ping(endpoint);
    clock.after(SILENT, () => {
      // late: it is this process that stood still, and answers may lie in its socket
      if (clock.monotonic() - now < SILENT + LATE && this.#asked.get(endpoint)! <= now) this.#silent(endpoint);
    }, { background: true });
  }

  #silent(endpoint: string): void {
    const { connected, membership } = this.#options;
    const member = membership.find(endpoint);
    if (member === undefined || this.#stopped || !connected()) return;
    membership.suspect(member);
    if (member.lapsed && !this.#returning) membership.forget(member, "silent");
  }

  #bounced(member: Member, asked: boolean): void {
    const { clock, membership, server, self } = this.#options;
    const now = clock.monotonic();
    const accused = member.accusedAt >= 0 && now - member.accusedAt < PERIOD;
    const first = member.bouncedAt < 0;
    if (first) member.bouncedAt = now;
    if (!this.#returning) {
      if (member.lapsed) return membership.forget(member, "bounced");
      if (accused) return this.#bury(member);
      if (!first && now - member.bouncedAt >= (server().clustered ? MOVE : AGAIN)) return this.#gone(member);
    }
    // the one behind it may be gone as well
    if (first && asked) this.#ping(inRing(membership.members, member.info.id).find(({ info }) => info.id !== self));
  }

  /** It has bounced for long enough, as far as this node can see. */
  #gone(member: Member): void {
    const { accuse, membership, random, server, self } = this.#options;
    const { id, clustered } = server();
    if (!clustered) return this.#bury(member);
    const { endpoint } = member.info;
    const witnesses = membership.members.filter(({ info, suspect, lapsed }) =>
      info.server !== id && info.id !== self && !suspect && !lapsed
    );
    if (witnesses.length > 0) {
      accuse(witnesses[Math.floor(random() * witnesses.length)].info.endpoint, endpoint, id);
    } else if (member.info.server === id) {
      // the server that it was on has said so itself, and no node is on another; else its record expires
      this.#bury(member);
    }
  }

  #bury(member: Member): void {
    const { membership, observer } = this.#options;
    const { id } = member.info;
    if (this.#burying.has(id)) return;
    this.#burying.add(id);
    membership.bury(member).catch((error) => {
      // the record expires by itself
      observer({ type: "fault", during: `taking the record of ${id} away`, error });
    }).finally(() => this.#burying.delete(id));
  }
}

/** All but the node of this id, in the order of the ring, beginning behind it. */
function inRing(members: readonly Member[], id: string): Member[] {
  return [...members.filter(({ info }) => info.id > id), ...members.filter(({ info }) => info.id < id)];
}

const PERIOD = 1_000; // ms
const SILENT = 500; // ms without an answer
const LATE = 250; // ms that a timer may be late before its process is said to have stood still
const AGAIN = 900; // ms between the first bounce and the one that counts: a period, less a timer's inaccuracy
const MOVE = 2_900; // the same with several servers: a live node needs up to 1.7 s to move (measured)
const RETURN = 3_000; // ms after a reconnect in which bounces and silence decide nothing
