/**
 * Faults of a `MemoryNetwork`, and the random decisions about them. They take effect where a message passes:
 * `broker.ts` drops it, `server_link.ts` delays it, `store_session.ts` loses the store's answer, and streams and
 * buckets have faults of their own.
 */
import { checkKnown, checkNumber } from "../data/checks.ts";
import type { Random } from "../ports/clock.ts";

/**
 * Random faults of a `MemoryNetwork`, all of which can happen with a real NATS, too. Chances are from 0 (never) to 1
 * (always), durations in ms. A fault that is left out never happens. The messages of one connection reach one
 * subscription in order, whatever their delay; those of different connections may overtake each other.
 */
export interface Faults {
  /**
   * Chance that a message to a subscription is lost silently, as for a slow consumer. A reader of a log notices the
   * loss, and reads on behind the last message that it received.
   */
  readonly drop?: number | undefined;
  /**
   * Longest additional delay of a message to the server, and again from it, in ms; mostly the delay is much shorter
   * (the cube of a uniform random number). It applies to requests to the store and their answers as well. A message
   * in transit to the server when a connection breaks is lost, or arrives late: even after messages that the next
   * connection sends.
   */
  readonly delay?: number | undefined;
  /** Times at which connections break, and are restored. */
  readonly cut?: Outages | undefined;
  /** Times at which processes freeze, and go on. */
  readonly pause?: Outages | undefined;
  /**
   * Chance that a message with a reply subject bounces, undelivered, although its subject has a subscription on another
   * server. Only with several servers.
   */
  readonly falseBounce?: number | undefined;
  /**
   * Chance that the store, or a log, carries out an operation and its answer is lost: the caller gets `UNAVAILABLE`
   * after 5 s.
   */
  readonly lostAck?: number | undefined;
  /** Chance that an entry with a ttl expires too early, at any moment of its ttl. */
  readonly earlyExpiry?: number | undefined;
  /** Chance that an entry outlives its ttl by up to 1 s, as when the server has forgotten the ttl. */
  readonly lateExpiry?: number | undefined;
  /**
   * Chance that an entry written over an expired entry, which the store had not removed yet, is removed up to 20 ms
   * later, although its own ttl has just begun: the removal of the expired entry was under way. Until then the store
   * refuses writes that expect a revision of the key. Expired entries stay by `lateExpiry`.
   */
  readonly lateMarker?: number | undefined;
  /**
   * Chance that a deleted entry with a ttl is back within a second, at its old revision, for the rest of its ttl, as
   * after the server was killed. Watches report nothing until the entry ends.
   */
  readonly revival?: number | undefined;
  /**
   * Chance that a log's server sends a reader old messages again, as after the death of the log's leader. The reader
   * ignores them.
   */
  readonly redelivery?: number | undefined;
  /** Chance that a read from a server that may lag behind lacks the messages that a log stored in the last 100 ms. */
  readonly staleRead?: number | undefined;
  /** Times at which the logs have no leader: no message is stored or read, and readers begin anew. */
  readonly noLeader?: Outages | undefined;
  /**
   * Times at which the leader of the logs has no quorum: it stores the messages that arrive during the outage when the
   * outage ends, in order, even if their senders have given up.
   */
  readonly noQuorum?: Outages | undefined;
}

/**
 * Outages of each connection, or of the logs, that come again and again, at moments that do not depend on each other.
 */
export interface Outages {
  /** Mean time from the end of an outage to the beginning of the next, in ms; above 0. */
  readonly every: number;
  /** Maximum duration of an outage, in ms; uniformly distributed. */
  readonly lasts: number;
}

const CHANCES = [
  "drop",
  "falseBounce",
  "lostAck",
  "earlyExpiry",
  "lateExpiry",
  "lateMarker",
  "revival",
  "redelivery",
  "staleRead",
] as const;
const LOG_OUTAGES = ["noLeader", "noQuorum"] as const;
const OUTAGES = ["cut", "pause", ...LOG_OUTAGES] as const;

/** Name of a fault that may happen each time. */
export type Chance = typeof CHANCES[number];
/** Name of a fault that begins and ends. */
export type Outage = typeof OUTAGES[number];
/** Name of an outage of the logs. */
export type LogOutage = typeof LOG_OUTAGES[number];

/** Decides randomly when the present faults happen. Draws no random number for a fault that is off. */
export class FaultSource {
  readonly random: Random;
  #faults: Faults = Object.freeze({});

  constructor(random: Random) {
    this.random = random;
  }

  get faults(): Faults {
    return this.#faults;
  }

  /** Replaces the faults. Throws a `TypeError` or `RangeError` if they are invalid. */
  set faults(faults: Faults) {
    check(faults);
    this.#faults = Object.freeze({ ...faults });
  }

  /** Decides randomly if a fault happens this time. */
  hits(fault: Chance): boolean {
    const chance = this.#faults[fault];
    return chance !== undefined && chance > 0 && this.random() < chance;
  }

  /** True if the faults may delay messages. */
  get late(): boolean {
    return (this.#faults.delay ?? 0) > 0;
  }

  /** Draws the additional delay of one message, in whole ms. */
  lag(): number {
    return this.late ? Math.round(this.#faults.delay! * this.random() ** 3) : 0;
  }
}

function check(faults: Faults): void {
  checkKnown("faults", faults, FAULTS);
  for (const name of CHANCES) {
    const chance = faults[name];
    if (chance !== undefined) checkNumber(`faults.${name}`, chance, 0, 1);
  }
  if (faults.delay !== undefined) checkTime("delay", faults.delay, 0);
  for (const name of OUTAGES) {
    const outages = faults[name];
    if (outages === undefined) continue;
    checkKnown(`faults.${name}`, outages, OUTAGE_OPTIONS);
    checkTime(`${name}.every`, outages.every, 1);
    checkTime(`${name}.lasts`, outages.lasts, 0);
  }
}

const FAULTS = new Set([...CHANCES, "delay", ...OUTAGES]);
const OUTAGE_OPTIONS = new Set(["every", "lasts"]);

function checkTime(name: string, ms: number, least: number): void {
  checkNumber(`faults.${name}`, ms, least, Number.MAX_VALUE, "ms");
}
