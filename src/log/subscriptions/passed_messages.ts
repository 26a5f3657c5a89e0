/**
 * The messages that the first reader of a subscription's leader has passed by, because enough of their tenants (those
 * of `fair`, each with its keys in limits) are in hand: a second reader brings them when there is room again. So the
 * backlog or the failures of one tenant hold up no other. A commit records them by position, in spans: whatever
 * functions the next leader's version has, none is lost, and none that was taken is taken again. Which tenants they
 * are of is only in memory: until a new leader has read all of them once, it passes by all that follows. The messages
 * of a tenant are taken in the order of the log.
 */
import type { PassedSpan } from "../format/commit.ts";
import { endOf, sequenceOf } from "../format/group_text.ts";
import type { ReaderTurn } from "./left_behind.ts";

/** A tenant of which messages were passed by. */
interface Tenant {
  readonly category: string;
  /** No message of the tenant before this position was passed by and not taken. */
  first: number;
  /** Position of the last message that was passed by. */
  last: number;
  /** True if the second reader has passed a message of the tenant by: it takes none before it begins again. */
  isSkipped: boolean;
}

/** A message that a reader has read. */
export interface TenantMessage {
  readonly position: number;
  readonly category: string;
  /** Name of its tenant. */
  readonly tenant: string;
}

/** The messages that were passed by, and the place of the reader that brings them. */
export class PassedMessages {
  /** Spans that the second reader has read, in order: all of them, if it does not read. */
  #behind: [from: number, to: number][] = [];
  /** Spans that it has not read yet, in order. */
  #ahead: [from: number, to: number][] = [];
  readonly #tenants = new Map<string, Tenant>();
  /** The span of the last message that the first reader has read; `undefined`: it has taken that one. */
  #open: [from: number, to: number] | undefined;
  /** That of the message before. */
  #openBefore: [from: number, to: number] | undefined;
  /** The span that the second reader extends, if it passes the next message by, too. */
  #kept: [from: number, to: number] | undefined;
  /** Position up to which messages were passed by whose tenants are not known: by earlier leaders. */
  #unknownTo = -1;
  /** Position up to which the second reader has read; `undefined`: it does not read. */
  place: number | undefined = undefined;
  #waits = false;
  /** True while the second reader brings messages, or is to begin to. */
  isReading = false;
  /** True if the log has lost messages, so that positions may be those of other messages now. */
  #isUnsure = false;

  /** `read`: position of the first reader. The last one may have gone back behind spans when the log lost messages. */
  constructor(stored: readonly PassedSpan[] = [], read = Infinity) {
    this.#behind = clipped(stored, read);
    this.#forgetTenants();
  }

  /** Number of spans. */
  get size(): number {
    return this.#behind.length + this.#ahead.length;
  }

  /** Number of tenants of which messages were passed by, as far as they are known. */
  get tenants(): number {
    return this.#tenants.size;
  }

  /** True if one more span fits into a commit. */
  get hasRoom(): boolean {
    return this.size < MAX_SPANS;
  }

  /** The spans in the form that commits record. */
  get stored(): readonly PassedSpan[] {
    return [...this.#behind, ...this.#ahead];
  }

  /** Position before the first message that was passed by; `read`, that of the first reader, if none was. */
  slowest(read: number): number {
    const first = this.#behind[0] ?? this.#ahead[0];
    return first === undefined ? read : Math.min(read, first[0] - 1);
  }

  /** The tenant that is furthest behind, as far as it is known. */
  get furthest(): { readonly category: string; readonly from: number } | undefined {
    let furthest: Tenant | undefined;
    for (const each of this.#tenants.values()) if (each.first < (furthest?.first ?? Infinity)) furthest = each;
    return furthest && { category: furthest.category, from: furthest.first - 1 };
  }

  /** Returns true if a message was passed by and is not taken. */
  has(position: number): boolean {
    return isIn(this.#behind, position) || isIn(this.#ahead, position);
  }

  /** Takes note that the first reader has read a message; `position`: the message's. */
  reads(position: number): void {
    this.#openBefore = this.#open;
    this.#open = undefined;
    this.#isSureTo(position - 1);
  }

  /** Takes note that the log has nothing behind this position, which the first reader has read. */
  caughtUp(position: number): void {
    this.#isSureTo(position);
  }

  /** Keeps what was passed by up to a position: the first reader reads, after a loss, what is behind it. */
  #isSureTo(position: number): void {
    if (!this.#isUnsure) return;
    this.#isUnsure = false;
    this.#behind = clipped(this.#behind, position);
    this.#forgetTenants();
  }

  /** Returns true if the first reader has to pass a message by, because earlier ones of its tenant were. */
  passes({ tenant }: TenantMessage): boolean {
    return this.#unknownTo >= 0 || this.#tenants.has(tenant);
  }

  /** Passes by the message that the first reader has read. Call after {@link PassedMessages.reads}. */
  pass({ position, category, tenant }: TenantMessage): void {
    const isRead = this.place !== undefined && position <= this.place; // the second reader will not come to it
    const known = this.#tenants.get(tenant);
    if (known === undefined) {
      this.#tenants.set(tenant, { category, first: position, last: position, isSkipped: isRead });
    } else {
      known.last = position;
      known.isSkipped ||= isRead;
    }
    const list = isRead || this.place === undefined ? this.#behind : this.#ahead;
    let span = this.#openBefore;
    if (span !== undefined && list.at(-1) === span) span[1] = position;
    else list.push(span = [position, position]);
    this.#open = span;
  }

  /**
   * Returns true if a message that the second reader has read is to be taken. `mayTake`: returns true if there is room
   * for one more of its tenant. `runs`: true if the message runs already, so that it is taken anyway.
   */
  takes({ position, category, tenant }: TenantMessage, mayTake: () => boolean, runs: boolean): boolean {
    if (this.place === undefined || position <= this.place) return false;
    this.#advance(position - 1);
    this.#reach(position);
    const span = this.#ahead[0];
    if (span === undefined || position < span[0]) {
      this.#kept = undefined;
      return false;
    }
    // taken from between two that stay, it makes a span two: more than fit into a commit there may not be
    const mayLeave = this.hasRoom || this.#kept === undefined || position === span[1];
    if (position === span[1]) this.#ahead.shift();
    else span[0] = position + 1;
    const known = this.#tenants.get(tenant);
    if (!runs && (!mayLeave || known?.isSkipped || !mayTake())) {
      if (known === undefined) {
        this.#tenants.set(tenant, { category, first: position, last: position, isSkipped: true });
      } else if (!known.isSkipped) Object.assign(known, { first: position, isSkipped: true });
      if (known !== undefined) known.last = Math.max(known.last, position);
      if (this.#kept !== undefined) this.#kept[1] = position;
      else this.#behind.push(this.#kept = [position, position]);
      return false;
    }
    this.#kept = undefined;
    if (known !== undefined && !known.isSkipped) {
      known.first = position + 1;
      if (position >= known.last) this.#tenants.delete(tenant);
    }
    return true;
  }

  /**
   * Notes how far the second reader has read. `caughtUp`: true if it has read all that the log had when it began.
   * `read`: position of the first reader at that time.
   */
  readTo(position: number, caughtUp: boolean, read: number): void {
    if (this.place === undefined) return;
    const to = Math.max(this.place, position, caughtUp ? read : 0);
    this.#advance(to); // what was passed by and not read is gone from the log
    this.#reach(Math.max(this.place, position));
    if (this.#ahead.length > 0) return;
    this.#unknownTo = -1;
    for (const [name, { last, isSkipped }] of this.#tenants) if (!isSkipped && last <= to) this.#tenants.delete(name);
  }

  /**
   * Says what the second reader is to do. `hasRoom`: returns true if the leader has few messages of a tenant in hand;
   * of one that waits for room half as many.
   */
  turn(
    hasRoom: (of: Pick<TenantMessage, "category" | "tenant">, isWaiting: boolean) => boolean,
  ): ReaderTurn {
    if (this.size === 0 || this.#isUnsure) return this.rest();
    const isAhead = this.place !== undefined && this.#ahead.length > 0;
    let [from, mayRead] = [Infinity, false];
    const isUnknown = this.#unknownTo >= 0;
    let isReading = isAhead && isUnknown;
    if (isUnknown && !isAhead) from = this.slowest(Infinity) + 1;
    else {
      for (const [tenant, { category, first, isSkipped }] of this.#tenants) {
        if (isAhead && !isSkipped) {
          mayRead = true;
          if (hasRoom({ category, tenant }, this.#waits)) isReading = true;
        } else if (hasRoom({ category, tenant }, true)) from = Math.min(from, first);
      }
    }
    this.isReading = isReading || from < Infinity;
    this.#waits = !this.isReading;
    if (isReading) return "read";
    if (from < Infinity) {
      this.#begin(from);
      return "begin";
    }
    return mayRead ? "wait" : this.rest();
  }

  /** Takes note that the second reader has ended. */
  rest(): "rest" {
    this.#behind = this.#behind.concat(this.#ahead.splice(0)); // a call takes 100,000 arguments at most
    this.#kept = undefined;
    this.place = undefined;
    this.#waits = this.isReading = false;
    return "rest";
  }

  /** Takes note that the log has lost messages, and that the first reader goes back in it. */
  lost(): void {
    this.rest();
    this.#open = undefined;
    this.#isUnsure = true;
  }

  /** Goes back in the log to a position: what is behind it is read again. */
  rewind(to: number): void {
    this.rest();
    this.#open = undefined;
    this.#behind = clipped(this.#behind, to);
    this.#forgetTenants();
  }

  /** Checks that the spans are in order and do not overlap: throws if not. For tests. */
  check(): void {
    let last = -1;
    for (const [from, to] of this.stored) {
      if (from <= last || to < from) throw new Error(`passed by: ${JSON.stringify(this.stored)}`);
      last = to;
    }
  }

  #begin(from: number): void {
    this.rest();
    this.isReading = true;
    const at = this.#behind.findIndex(([, to]) => to >= from);
    this.#ahead = at < 0 ? [] : this.#behind.splice(at);
    const first = this.#ahead[0];
    if (first !== undefined && first[0] < from) {
      this.#behind.push([first[0], from - 1]);
      first[0] = from;
    }
    // a stored message is read as a whole
    const sequence = sequenceOf(first?.[0] ?? from);
    this.place = sequence < 2 ? 0 : endOf(sequence - 1);
    for (const each of this.#tenants.values()) each.isSkipped = each.first < from;
  }

  #reach(place: number): void {
    this.place = place;
    if (place >= this.#unknownTo) this.#unknownTo = -1;
  }

  /** Forgets what was passed by up to a position, and is still ahead. */
  #advance(to: number): void {
    let gone = 0;
    while (gone < this.#ahead.length && this.#ahead[gone][1] <= to) gone++;
    if (gone > 0) this.#ahead.splice(0, gone);
    const first = this.#ahead[0];
    if (first !== undefined && first[0] <= to) first[0] = to + 1;
  }

  /** Takes note that messages may have other tenants now: all that was passed by is read once to know them. */
  renamed(): void {
    this.rest();
    this.#forgetTenants();
  }

  #forgetTenants(): void {
    this.#tenants.clear();
    this.#unknownTo = this.stored.at(-1)?.[1] ?? -1;
    this.isReading = this.#unknownTo >= 0;
  }
}

/** Returns copies of spans up to a position. */
function clipped(spans: readonly PassedSpan[], to: number): [from: number, to: number][] {
  return spans.filter(([from]) => from <= to).map(([from, end]) => [from, Math.min(end, to)]);
}

function isIn(spans: readonly PassedSpan[], position: number): boolean {
  let [low, high] = [0, spans.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (spans[middle][1] < position) low = middle + 1;
    else high = middle;
  }
  return low < spans.length && spans[low][0] <= position;
}

/** Maximum number of spans: each commit has all of them, with some four bytes each. */
const MAX_SPANS = 65_536;
