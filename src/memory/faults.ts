/** What may go wrong on a `MemoryNetwork`, and the dice that are thrown for it. */
import type { Random } from "../ports/clock.ts";

/**
 * What goes wrong on a `MemoryNetwork`, by chance: only what a real NATS can show. Chances are from 0 (never) to 1
 * (always), durations in ms. Nothing goes wrong that is not named.
 *
 * The messages of one connection reach one subscription in their order, whatever their delay; those of different
 * connections overtake each other.
 */
export interface Faults {
  /** Chance of a message, for each subscription that it goes to, to get lost without a word: a slow consumer's loss. */
  readonly drop?: number;
  /**
   * How much longer a message takes at most to the server, and again from it, in ms; mostly much less (the cube of an
   * even draw). Requests to the store and its answers as well. What is on its way to the server when a connection
   * breaks is lost, or arrives late: even after what the next connection sends.
   */
  readonly delay?: number;
  /** Connections break, and come back. */
  readonly cut?: Outages;
  /** Processes freeze, and go on. */
  readonly pause?: Outages;
  /**
   * Chance of a message with a reply subject to come back as if nobody were there, though somebody is, on another
   * server. It has not been delivered then. Only where there are several servers.
   */
  readonly falseBounce?: number;
  /** Chance of a store operation to be carried out while its answer is lost: `UNAVAILABLE` after 5 s. */
  readonly lostAck?: number;
  /** Chance of an entry with a ttl to expire before its time: at any moment of it. */
  readonly earlyExpiry?: number;
  /** Chance of an entry with a ttl to outlive it, by a second at most: as one whose ttl the server has forgotten. */
  readonly lateExpiry?: number;
  /**
   * Chance of an entry with a ttl that was deleted to be there again within a second, at its old revision, for the rest of
   * its ttl: as after a kill of the server. Watches are not told before it ends.
   */
  readonly revival?: number;
}

/** Something that happens to each connection again and again, at moments that do not depend on each other. */
export interface Outages {
  /** The mean time from the end of one to the beginning of the next, in ms; above 0. */
  readonly every: number;
  /** How long one lasts at most, in ms; drawn evenly. */
  readonly lasts: number;
}

const CHANCES = ["drop", "falseBounce", "lostAck", "earlyExpiry", "lateExpiry", "revival"] as const;
const OUTAGES = ["cut", "pause"] as const;

/** A fault that is thrown dice for. */
export type Chance = typeof CHANCES[number];
/** A fault that comes and goes. */
export type Outage = typeof OUTAGES[number];

/** The faults as they are set now, and their dice. Draws nothing for faults that are off. */
export class FaultSource {
  readonly random: Random;
  #faults: Faults = Object.freeze({});

  constructor(random: Random) {
    this.random = random;
  }

  get faults(): Faults {
    return this.#faults;
  }

  /** Throws a `TypeError` or `RangeError` for what are no faults. */
  set faults(faults: Faults) {
    check(faults);
    this.#faults = Object.freeze({ ...faults });
  }

  /** Whether it happens, this time. */
  hits(fault: Chance): boolean {
    const chance = this.#faults[fault];
    return chance !== undefined && chance > 0 && this.random() < chance;
  }

  /** Whether things may take longer. */
  get late(): boolean {
    return (this.#faults.delay ?? 0) > 0;
  }

  /** How much longer something takes, this time, in whole ms. */
  lag(): number {
    return this.late ? Math.round(this.#faults.delay! * this.random() ** 3) : 0;
  }
}

function check(faults: Faults): void {
  for (const name of Object.keys(faults)) {
    if (name === "delay" || CHANCES.includes(name as Chance) || OUTAGES.includes(name as Outage)) continue;
    throw new TypeError(`unknown fault ${name}; there are ${[...CHANCES, "delay", ...OUTAGES].join(", ")}`);
  }
  for (const name of CHANCES) {
    const chance = faults[name] ?? 0;
    if (!(chance >= 0 && chance <= 1)) throw new RangeError(`${name} is a chance from 0 to 1; got ${chance}`);
  }
  checkTime("delay", faults.delay ?? 0, 0);
  for (const name of OUTAGES) {
    const outages = faults[name];
    if (outages === undefined) continue;
    checkTime(`${name}.every`, outages.every, 1);
    checkTime(`${name}.lasts`, outages.lasts, 0);
  }
}

function checkTime(name: string, ms: number, least: number): void {
  if (!(ms >= least && Number.isFinite(ms))) {
    throw new RangeError(`${name} is a number of ms, at least ${least}; got ${ms}`);
  }
}
