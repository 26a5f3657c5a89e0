/**
 * Finds recently stored commands and their outcomes in the stream. An id that Catga made is used again only by attempts
 * of the same send; an id that a program gave may be used again for {@link PROMISED} ms. Both are looked up among the
 * recent commands, and otherwise in the messages of the entity, back in time.
 */
import type { EntityCommand } from "../log/format/entity_group.ts";
import type { Clock } from "../ports/clock.ts";
import type { StoredAt } from "./entity_copy.ts";

/** A command that is looked up, because an earlier attempt of it may have been stored. */
export interface Sought {
  /** Subject of the command's entity. */
  readonly subject: string;
  /** Name of the command's contract. */
  readonly name: string;
  /** Id of the command. */
  readonly id: string;
  /** Id of the send, the same in all of its attempts; the command's id if Catga made that id. */
  readonly send: string;
  /**
   * Number made of the send's id and the subject. It is computed once, because both texts are long and it is needed
   * twice.
   */
  readonly sendNumber: number;
  /** True if the program that sent the command gave it its id. */
  readonly named: boolean;
}

/** Result of a look-up of a command: an attempt of it was stored, or its send has ended. */
export type FoundCommand = { readonly type: "stored"; readonly command: EntityCommand } | { readonly type: "ended" };

/** Remembers the commands that a node has stored or read. */
export class StoredCommands {
  readonly #named: RecentCommands;
  readonly #made: RecentCommands;

  constructor(clock: Clock) {
    this.#named = new RecentCommands(clock, KEPT_NAMED);
    this.#made = new RecentCommands(clock, KEPT_MADE);
  }

  /** Adds the commands of a stored message. `now`: the present time, by the server's clock. */
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
   * Adds a command that was stored in the message with this sequence. `events`: false if the message says only that the
   * send of the command has ended. `now`: the time by the monotonic clock.
   */
  note(sought: Sought, events: boolean, sequence: number, now: number): void {
    const { subject, name, id, sendNumber, named } = sought;
    if (named && events) this.#named.add(numberOf(name, numberOf(id, numberOf(subject) | 0) | 0), sequence, now);
    else this.#made.add(sendNumber, sequence, now);
  }

  /** Returns true if commands that were added within the last `ms` milliseconds are still remembered. */
  reaches(ms: number, { named }: Sought): boolean {
    return ms <= (named ? KEPT_NAMED : KEPT_MADE);
  }

  /**
   * Sequences of messages that may contain the command, or the end of its send; `undefined`: no such message is known.
   */
  places({ subject, name, id, sendNumber, named }: Sought): readonly number[] | undefined {
    const ended = this.#made.find(sendNumber);
    if (!named) return ended;
    const stored = this.#named.find(numberOf(name, numberOf(id, numberOf(subject) | 0) | 0));
    return stored === undefined ? ended : [...stored, ...ended ?? []];
  }
}

/** Finds a command among the commands of a stored message; `undefined`: the message does not contain it. */
export function foundIn(stored: readonly EntityCommand[], { name, id, send }: Sought): FoundCommand | undefined {
  for (const command of stored) {
    if (command.name === name && command.id === id) return { type: "stored", command };
    if (command.name === "" && command.id === send) return { type: "ended" };
  }
  return undefined;
}

/** Time for which a sender may send a command again with the same id, without `firstSent`, in ms. */
export const PROMISED = 120_000;
/** Greatest difference that is assumed between the clocks of servers and nodes, in ms. */
export const SKEW = 10_000;
const KEPT_NAMED = PROMISED + SKEW + 1_000;
const KEPT_MADE = 30_000;

// An index of recent commands, for all entities of a node: it has the sequences of the messages that contain them; the
// commands themselves are in the stream. An entry is a number of 53 bits, made of the command's names, and a sequence,
// without text: 16 bytes. Different commands may have the same number, and the message may be lost, so callers read the
// message. Entries that are too old for any look-up are removed.

/** An index of the commands of the last `kept` ms: their numbers, and the sequences of their messages. */
export class RecentCommands {
  /** Minimum time for which entries are kept, in ms. */
  readonly kept: number;
  readonly #clock: Clock;
  /** The tables of the index, the newest first. */
  #parts: CommandTable[] = [];
  /** Time at which the newest table was begun, by the monotonic clock. */
  #begun = -Infinity;

  constructor(clock: Clock, kept: number) {
    this.#clock = clock;
    this.kept = kept;
  }

  /** Number of entries in the index. */
  get count(): number {
    return this.#parts.reduce((sum, { count }) => sum + count, 0);
  }

  /**
   * Adds the command with this number, stored in the message with this sequence. `now`: the time by the monotonic
   * clock.
   */
  add(number: number, sequence: number, now: number = this.#clock.monotonic()): void {
    if (now - this.#begun >= this.kept / PARTS) this.#turn(now);
    this.#parts[0].add(number, sequence);
  }

  /** Returns the sequences of the messages of commands with this number, the latest first; `undefined`: none. */
  find(number: number): number[] | undefined {
    let found: number[] | undefined;
    for (const part of this.#parts) {
      const sequence = part.get(number);
      if (sequence > 0) (found ??= []).push(sequence);
    }
    return found;
  }

  #turn(now: number): void {
    // a new table will be filled; `PARTS` older tables cover `kept` ms
    const parts = now - this.#begun >= 2 * this.kept ? [] : this.#parts.slice(0, PARTS);
    this.#parts = [new CommandTable(parts[0]?.count ?? 0), ...parts];
    this.#begun = now;
  }
}

/** Hashes the names of a command to a number of 53 bits, never 0. Different texts may have the same number. */
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

  /** `expected`: approximate number of entries. */
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

  /** Returns the sequence that is stored for a number; 0: none. */
  get(number: number): number {
    return this.#pairs[this.#place(number) + 1];
  }

  #place(number: number): number {
    // any bits will do as index: the lower bits of a number are as random as the others
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
