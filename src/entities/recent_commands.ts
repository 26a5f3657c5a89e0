/**
 * An index of recent commands, for all entities of a node: it has the sequences of the messages that contain them; the
 * commands themselves are in the stream. An entry is a number of 53 bits, a hash of the command's contract, id and
 * entity, and a sequence, without text: 16 bytes. Different commands may have the same number, and the message may be
 * lost, so callers read the message. Entries that are too old for any look-up are removed.
 */
import type { Clock } from "../ports/clock.ts";

/** An index of the commands of the last `kept` ms: their numbers, and the sequences of their messages. */
export class RecentCommands {
  /** Minimum time for which entries are kept, in ms. */
  readonly kept: number;
  readonly #clock: Clock;
  /** The tables of the index, the newest first. */
  #tables: CommandTable[] = [];
  /** Time at which the newest table was begun, by the monotonic clock. */
  #begun = -Infinity;

  constructor(clock: Clock, kept: number) {
    this.#clock = clock;
    this.kept = kept;
  }

  /** Number of entries in the index. */
  get count(): number {
    return this.#tables.reduce((sum, { count }) => sum + count, 0);
  }

  /**
   * Adds the command with this number, stored in the message with this sequence. `now`: the time by the monotonic
   * clock.
   */
  add(number: number, sequence: number, now: number = this.#clock.monotonic()): void {
    if (now - this.#begun >= this.kept / TABLES) this.#beginTable(now);
    this.#tables[0].add(number, sequence);
  }

  /** Returns the sequences of the messages of commands with this number, the latest first; `undefined`: none. */
  find(number: number): number[] | undefined {
    let found: number[] | undefined;
    for (const table of this.#tables) {
      const sequence = table.get(number);
      if (sequence > 0) (found ??= []).push(sequence);
    }
    return found;
  }

  #beginTable(now: number): void {
    // a new table will be filled; the `TABLES` older tables cover `kept` ms
    const tables = now - this.#begun >= 2 * this.kept ? [] : this.#tables.slice(0, TABLES);
    this.#tables = [new CommandTable(tables[0]?.count ?? 0), ...tables];
    this.#begun = now;
  }
}

/**
 * Hashes a text that identifies a command to a number of 53 bits, never 0. Different texts may have the same number.
 */
export function hashOf(text: string, seed = 0): number {
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

const TABLES = 3;

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
