/**
 * Finds nodes that died without a word: each node pings its successor in the ring of sorted ids once a second, one ping
 * per node per second whatever the size of the cluster. A bounce makes it suspect; a second one a second later, and its
 * record is taken away.
 */
import type { Clock, Timer } from "../clock.ts";
import type { Observer } from "../observer.ts";
import type { Member, Membership } from "./membership.ts";

/** What a ring is made of. */
export interface RingOptions {
  readonly membership: Membership;
  readonly clock: Clock;
  readonly observer: Observer;
  /** This node's id. */
  readonly self: string;
  /** Whether frames may leave. */
  connected(): boolean;
  /** Whether a bounce proves that a process is gone: on a single server it does. */
  conclusive(): boolean;
  /** Sends a ping; what comes of it is told by {@link Ring.heard}. */
  ping(endpoint: string): void;
}

/** The failure detector of one node. */
export class Ring {
  readonly #options: RingOptions;
  /** Endpoints that were pinged and have not answered: since when, by the monotonic clock. */
  readonly #asked: Map<string, number> = new Map();
  readonly #burying: Set<string> = new Set();
  #timer: Timer | undefined;
  #stopped = false;

  constructor(options: RingOptions) {
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

  /** News of another process, from traffic or from a ping of ours. */
  heard(endpoint: string, news: "alive" | "bounced" | "silent"): void {
    const { membership } = this.#options;
    const asked = this.#asked.delete(endpoint);
    const member = membership.find(endpoint);
    if (member === undefined) return;
    if (news === "alive") return membership.trust(member);
    membership.suspect(member);
    if (news !== "bounced") return;
    if (member.bouncedAt >= 0) return this.#bounced(member);
    member.bouncedAt = this.#options.clock.monotonic();
    if (asked) this.#ping(this.#after(member.info.id)); // the one behind it may be gone as well
  }

  #round(): void {
    const { connected, clock, membership, self } = this.#options;
    if (!connected()) return this.#asked.clear();
    const now = clock.monotonic();
    for (const [endpoint, since] of this.#asked) {
      if (now - since < SILENT) continue;
      this.#asked.delete(endpoint);
      const member = membership.find(endpoint);
      if (member !== undefined) membership.suspect(member);
    }
    for (const member of this.#successors(self)) {
      this.#ping(member);
      if (!member.suspect) break;
    }
  }

  #ping(member: Member | undefined): void {
    if (member === undefined) return;
    const { endpoint } = member.info;
    if (!this.#asked.has(endpoint)) this.#asked.set(endpoint, this.#options.clock.monotonic());
    this.#options.ping(endpoint);
  }

  /** It bounced again. */
  #bounced(member: Member): void {
    const { clock, conclusive, membership, observer } = this.#options;
    const { id } = member.info;
    if (!conclusive() || clock.monotonic() - member.bouncedAt < AGAIN || this.#burying.has(id)) return;
    this.#burying.add(id);
    membership.bury(member).catch((error) => {
      // the record expires by itself
      observer({ type: "fault", during: `taking the record of ${id} away`, error });
    }).finally(() => this.#burying.delete(id));
  }

  /** The others in the order of the ring, beginning behind this id. */
  #successors(id: string): Member[] {
    const { membership: { members }, self } = this.#options;
    const behind = members.filter((member) => member.info.id > id);
    const before = members.filter((member) => member.info.id < id);
    return [...behind, ...before].filter((member) => member.info.id !== self);
  }

  #after(id: string): Member | undefined {
    return this.#successors(id)[0];
  }
}

const PERIOD = 1_000; // ms
const SILENT = 500; // ms without an answer
const AGAIN = 900; // ms between the first bounce and the one that counts: a period, less a timer's inaccuracy
