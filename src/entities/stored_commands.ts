/**
 * Commands that were stored lately, and their outcomes, read from the stream. The id of a command that Catga
 * made comes again only in attempts of the same send; that of a user's for as long as is promised. Both are looked up
 * among the recent ones, and else in the subject of the entity, back in time.
 */
import type { EntityCommand } from "../log/format/entity_group.ts";
import type { Clock } from "../ports/clock.ts";
import type { StoredAt } from "./entity_copy.ts";

/** A command that may have been stored. */
export interface Sought {
  /** The subject of its entity. */
  readonly subject: string;
  /** The name of its contract, and its id. */
  readonly name: string;
  readonly id: string;
  /** The send, in all of its attempts: its id where that is not its sender's. */
  readonly send: string;
  /** Number of the send and the subject, kept: they have many characters, and it is needed twice. */
  readonly sendNumber: number;
  /** True if its id is its sender's. */
  readonly named: boolean;
}

/** Result of a look-up of a command: it was stored, or its send is over. */
export type FoundCommand = { readonly type: "stored"; readonly command: EntityCommand } | { readonly type: "ended" };

/** The commands that a node has stored or read. */
export class StoredCommands {
  readonly #named: RecentCommands;
  readonly #made: RecentCommands;

  constructor(clock: Clock) {
    this.#named = new RecentCommands(clock, KEPT_NAMED);
    this.#made = new RecentCommands(clock, KEPT_MADE);
  }

  /** The commands of a message of this subject. `now`: by the server's clock. */
  add(subject: string, commands: readonly EntityCommand[], at: Omit<StoredAt, "size">, now: number): void {
    const age = now - at.time;
    if (age > KEPT_NAMED) return;
    const seed = numberOf(subject) | 0;
    for (const { name, id, fingerprint } of commands) {
      if (fingerprint !== undefined) this.#named.add(numberOf(name, numberOf(id, seed) | 0), at.sequence);
      else if (age <= KEPT_MADE) this.#made.add(numberOf(id, seed), at.sequence);
    }
  }

  /**
   * One was stored in the message of this sequence; without events its send was ended. `now`: by the monotonic clock.
   */
  note(sought: Sought, events: boolean, sequence: number, now: number): void {
    const { subject, name, id, sendNumber, named } = sought;
    if (named && events) this.#named.add(numberOf(name, numberOf(id, numberOf(subject) | 0) | 0), sequence, now);
    else this.#made.add(sendNumber, sequence, now);
  }

  /** Returns true if what passed by in the last `ms` is still known. */
  reaches(ms: number, { named }: Sought): boolean {
    return ms <= (named ? KEPT_NAMED : KEPT_MADE);
  }

  /** Places at which it may be stored, or that its send is over; `undefined`: none that is known. */
  places({ subject, name, id, sendNumber, named }: Sought): readonly number[] | undefined {
    const ended = this.#made.find(sendNumber);
    if (!named) return ended;
    const stored = this.#named.find(numberOf(name, numberOf(id, numberOf(subject) | 0) | 0));
    return stored === undefined ? ended : [...stored, ...ended ?? []];
  }
}

/** Looks a command up among those of a message. */
export function foundIn(stored: readonly EntityCommand[], { name, id, send }: Sought): FoundCommand | undefined {
  for (const command of stored) {
    if (command.name === name && command.id === id) return { type: "stored", command };
    if (command.name === "" && command.id === send) return { type: "ended" };
  }
  return undefined;
}

/** Time for which the sender of an id may send it again without `firstSent`, in ms. */
export const PROMISED = 120_000;
/** Greatest difference of the clocks of servers and nodes, in ms. */
export const SKEW = 10_000;
const KEPT_NAMED = PROMISED + SKEW + 1_000;
const KEPT_MADE = 30_000;

// Where the commands of lately are stored: from what names one to the sequence of its message, for all entities of a
// node. The stream is the memory; this says where to look in it, and forgets what is older than it is asked for. Two
// commands may have the same number here, and what it says may have been lost: whoever looks reads the message. So what
// is kept is a number of 53 bits and a sequence, without text: 16 bytes.

/** The commands of so many ms. */
export class RecentCommands {
  /** How long they are kept at least, in ms. */
  readonly kept: number;
  readonly #clock: Clock;
  /** The newest first. */
  #parts: CommandTable[] = [];
  /** When the newest was begun, by the monotonic clock. */
  #begun = -Infinity;

  constructor(clock: Clock, kept: number) {
    this.#clock = clock;
    this.kept = kept;
  }

  /** How many there are. */
  get count(): number {
    return this.#parts.reduce((sum, { count }) => sum + count, 0);
  }

  /** A command was stored in the message of this sequence. `now`: by the monotonic clock. */
  add(number: number, sequence: number, now: number = this.#clock.monotonic()): void {
    if (now - this.#begun >= this.kept / PARTS) this.#turn(now);
    this.#parts[0].add(number, sequence);
  }

  /** The sequences of what has this number, the latest first; `undefined`: none. */
  find(number: number): number[] | undefined {
    let found: number[] | undefined;
    for (const part of this.#parts) {
      const sequence = part.get(number);
      if (sequence > 0) (found ??= []).push(sequence);
    }
    return found;
  }

  #turn(now: number): void {
    // one is being filled, and those before it reach as far back as is asked
    const parts = now - this.#begun >= 2 * this.kept ? [] : this.#parts.slice(0, PARTS);
    this.#parts = [new CommandTable(parts[0]?.count ?? 0), ...parts];
    this.#begun = now;
  }
}

/** A number for what names a command: 53 bits, none of them 0. Different texts may have the same. */
export function numberOf(text: string, seed = 0): number {
  let a = 0xdeadbeef ^ seed;
  let b = 0x41c6ce57 ^ seed;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    a = Math.imul(a ^ code, 2654435761);
    b = Math.imul(b ^ code, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return 4_294_967_296 * (2_097_151 & b) + (a >>> 0) || 1;
}

const PARTS = 3;

/** A table with open addressing: pairs of a number and a sequence, in no order. */
class CommandTable {
  count = 0;
  #pairs: Float64Array;
  #mask: number;

  /** `expected`: so many will come, about. */
  constructor(expected: number) {
    let places = 64;
    while (places < expected * 1.5) places *= 2;
    this.#pairs = new Float64Array(places * 2);
    this.#mask = places - 1;
  }

  add(number: number, sequence: number): void {
    if (4 * this.count > 3 * this.#mask) this.#grow();
    const at = this.#place(number);
    if (this.#pairs[at] === 0) this.count++;
    this.#pairs[at] = number;
    this.#pairs[at + 1] = sequence;
  }

  /** 0: it has none. */
  get(number: number): number {
    return this.#pairs[this.#place(number) + 1];
  }

  #place(number: number): number {
    // the lower bits of a number are as good as any
    let place = number & this.#mask;
    while (this.#pairs[2 * place] !== 0 && this.#pairs[2 * place] !== number) place = (place + 1) & this.#mask;
    return 2 * place;
  }

  #grow(): void {
    const pairs = this.#pairs;
    this.#pairs = new Float64Array(pairs.length * 2);
    this.#mask = this.#pairs.length / 2 - 1;
    for (let at = 0; at < pairs.length; at += 2) {
      if (pairs[at] === 0) continue;
      const place = this.#place(pairs[at]);
      this.#pairs[place] = pairs[at];
      this.#pairs[place + 1] = pairs[at + 1];
    }
  }
}
