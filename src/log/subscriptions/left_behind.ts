/**
 * The keys whose messages the leader of a subscription leaves in the log, because it has enough of them in hand: its
 * first reader passes them by, and a second one brings them when there is room again. So the backlog or the failures of
 * one key hold up no other key, and the state of that is one position for each such key. Messages of a key come in the
 * order of the log: while it is left behind, only the second reader takes any of it, and it never passes the first one.
 */

import { byteLength } from "../../data/utf8.ts";
import { type LeftKey, MAX_LEFT } from "../format/commit.ts";
import { endOf, sequenceOf } from "../format/group_text.ts";

interface LeftLine {
  readonly category: string;
  readonly key: string;
  /** Position up to which the messages of the key were taken. */
  from: number;
  /** Position of the last message that this leader's first reader has passed by. */
  last: number;
  /** True if earlier leaders, or this one before the log lost messages, may have passed by others. */
  isUnknown: boolean;
  /** True if the second reader has passed a message of the key by: it takes none before it begins again. */
  isPassed: boolean;
}

/** The next thing that the second reader is to do. */
export type ReaderTurn =
  /** Read on from its place. */
  | "read"
  /** Wait at its place, because none of the keys that it may take has room. */
  | "wait"
  /** Read from {@link LeftBehind.place} on. */
  | "begin"
  /** Close: there is nothing to read. */
  | "rest";

/** The keys that are left behind, and the place of the reader that brings their messages. */
export class LeftBehind {
  readonly #lines = new Map<string, LeftLine>();
  /** Size of the names of all keys, in bytes. */
  #bytes = 0;
  /** Position up to which the second reader has read; `undefined`: it does not read. */
  place: number | undefined = undefined;
  #waits = false;
  /** True while the second reader brings messages, or is to begin to. */
  isReading: boolean;
  /** True if the log has lost messages, so that positions may be those of other messages now. */
  #isUnsure = false;

  constructor(stored: readonly LeftKey[] = []) {
    this.isReading = stored.length > 0;
    for (const [category, key, from] of stored) {
      this.#add({ category, key, from, last: 0, isUnknown: true, isPassed: false });
    }
  }

  get size(): number {
    return this.#lines.size;
  }

  /** True if one more key can be left behind. */
  get hasRoom(): boolean {
    return this.#lines.size < MAX_LEFT && this.#bytes < MAX_LEFT_BYTES;
  }

  /** The keys in the form that commits record. */
  get stored(): readonly LeftKey[] {
    return [...this.#lines.values()].map((line) => [line.category, line.key, this.#taken(line)] as const);
  }

  /** The key that is furthest behind, with the position up to which its messages were taken; `undefined`: none is. */
  get furthest(): { readonly category: string; readonly from: number } | undefined {
    let furthest: { readonly category: string; readonly from: number } | undefined;
    for (const line of this.#lines.values()) {
      const from = this.#taken(line);
      if (furthest === undefined || from < furthest.from) furthest = { category: line.category, from };
    }
    return furthest;
  }

  /**
   * Least position up to which messages were read: those of one category, or all of them. `read`: the first reader's.
   */
  slowest(read: number, category?: string): number {
    let slowest = read;
    for (const line of this.#lines.values()) {
      if (category === undefined || line.category === category) slowest = Math.min(slowest, this.#taken(line));
    }
    return slowest;
  }

  /** Returns true if the second reader is to bring this message. */
  has(category: string, key: string, position: number): boolean {
    const line = this.#lines.get(nameOf(category, key));
    return line !== undefined && position > line.from;
  }

  /** Returns true if the first reader, which has read a message, is to pass it by. */
  passes(category: string, key: string, position: number): boolean {
    this.caughtUp(position);
    const line = this.#lines.get(nameOf(category, key));
    if (line === undefined || position <= line.from) return false;
    line.last = position;
    return true;
  }

  /** Takes note that the first reader has read the log, which has lost messages, up to a position, and what follows. */
  caughtUp(position: number): void {
    if (this.#isUnsure) this.#dropAll(({ from }) => from >= position);
    this.#isUnsure = false;
  }

  /** Leaves a key behind: of its messages those up to `from` were taken, and those up to `last` were passed by. */
  leave(category: string, key: string, from: number, last: number): void {
    const known = this.#lines.get(nameOf(category, key));
    const isPassed = this.place !== undefined; // it may have read further already
    if (known === undefined) {
      this.#add({ category, key, from, last, isUnknown: false, isPassed });
    } else Object.assign(known, { from, last: Math.max(known.last, last), isPassed });
  }

  /**
   * Returns true if a message that the second reader has read is to be added. `read`: position of the first reader;
   * `isFull`: returns true if the leader has too many messages of a key, more than those for which it waits.
   */
  takes(
    { category, key, position }: { readonly category: string; readonly key: string; readonly position: number },
    read: number,
    isFull: () => boolean,
  ): boolean {
    const name = nameOf(category, key);
    const line = this.#lines.get(name);
    if (line === undefined || line.isPassed || position <= line.from) return false;
    if (position > read) {
      this.#drop(name, line); // all that the first reader has passed by was taken, and it brings this one itself
      return false;
    }
    if (isFull()) {
      line.isPassed = true;
      return false;
    }
    line.from = position;
    if (position >= line.last && !line.isUnknown) this.#drop(name, line);
    return true;
  }

  /**
   * Notes how far the second reader has read. `caughtUp`: true if it has read all that the log had when it began.
   * `read`: position of the first reader at that time.
   */
  readTo(position: number, caughtUp: boolean, read: number): void {
    if (this.place === undefined) return;
    this.place = Math.max(this.place, position);
    for (const [name, line] of this.#lines) {
      if (line.isPassed) continue;
      if (caughtUp) line.isUnknown = false;
      // what was passed by has been taken, or the log no longer has it
      const all = caughtUp ? Math.max(this.place, read) : this.place;
      if (!line.isUnknown && line.last <= all) this.#drop(name, line);
    }
  }

  /**
   * Says what the second reader is to do. `hasRoom`: returns true if the leader has few messages of a key in hand; of
   * one that waits for room half as many.
   */
  turn(hasRoom: (category: string, key: string, isWaiting: boolean) => boolean): ReaderTurn {
    if (this.#lines.size === 0 || this.#isUnsure) return this.rest();
    let [from, isReading, mayRead] = [Infinity, false, false];
    for (const line of this.#lines.values()) {
      const { category, key, isPassed } = line;
      if (this.place !== undefined && !isPassed) {
        mayRead = true;
        if (hasRoom(category, key, this.#waits)) isReading = true;
      } else if (hasRoom(category, key, true)) from = Math.min(from, line.from);
    }
    this.isReading = isReading || from < Infinity;
    this.#waits = !this.isReading;
    if (isReading) return "read";
    if (from < Infinity) {
      for (const line of this.#lines.values()) line.from = this.#taken(line);
      // a stored message is read as a whole
      const place = from === endOf(sequenceOf(from)) ? from : sequenceOf(from) < 2 ? 0 : endOf(sequenceOf(from) - 1);
      this.place = place;
      for (const line of this.#lines.values()) line.isPassed = line.from < place;
      return "begin";
    }
    return mayRead ? "wait" : this.rest();
  }

  /** Takes note that the second reader has ended. */
  rest(): "rest" {
    for (const line of this.#lines.values()) line.from = this.#taken(line);
    this.place = undefined;
    this.#waits = this.isReading = false;
    return "rest";
  }

  /** Takes note that the log has lost messages, and that the first reader goes back in it. */
  lost(): void {
    this.rest();
    for (const line of this.#lines.values()) line.isUnknown = true;
    this.#isUnsure = true;
  }

  /** Goes back in the log to a position; only categories for which `reads` returns true are read on. */
  rewind(to: number, reads: (category: string) => boolean): void {
    this.rest();
    this.#dropAll(({ category, from }) => from >= to || !reads(category));
    for (const line of this.#lines.values()) line.isUnknown = true;
  }

  #add(line: LeftLine): void {
    this.#lines.set(nameOf(line.category, line.key), line);
    this.#bytes += sizeOf(line);
  }

  #drop(name: string, line: LeftLine): void {
    this.#lines.delete(name);
    this.#bytes -= sizeOf(line);
  }

  #dropAll(goes: (line: LeftLine) => boolean): void {
    for (const [name, line] of this.#lines) if (goes(line)) this.#drop(name, line);
  }

  /** Position up to which messages of a key were taken: all that the second reader has read, unless it passed any. */
  #taken({ from, isPassed }: LeftLine): number {
    return isPassed ? from : Math.max(from, this.place ?? from);
  }
}

/** Size of a key in a commit, in bytes. */
function sizeOf({ category, key }: LeftLine): number {
  return byteLength(JSON.stringify([category, key]));
}

function nameOf(category: string, key: string): string {
  return `${category}/${key}`; // unambiguous: a category's name has no slash
}

/** Size of the names of all keys above which no more are left behind, in bytes: a commit has to fit into a message. */
const MAX_LEFT_BYTES = 262_144;
