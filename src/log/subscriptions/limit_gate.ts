/**
 * The limits of a subscription in its leader's memory: how many messages run at once, and when the next one may begin,
 * for all messages or for those of each key. The slots of a limit are those of messages that run by the ledger, so that
 * none is lost with a leader: the next one counts them anew from what runs. A key is kept only while a message of it
 * runs or waits, or the rate counts what has begun. What is skipped, or cancelled, at a full limit: `ledger.ts`.
 */
import type { LimitNumbers } from "../../contract/nodes/announcement.ts";
import type { LimitHealth, LimitOverride, LimitSetting, WaitingKey } from "../../contract/nodes/node_info.ts";
import { Fifo } from "../../data/fifo.ts";
import { forgetGone, hasManyGone, RankedLine, type RankedMessage, type WaitingLine } from "./ranked_line.ts";

/** A message that may wait for a limit. `T`: the type of all messages of the limit. */
export interface LimitedMessage<T extends LimitedMessage<T>> extends RankedMessage {
  /** Whose turn it is with this message: contracts take turns, or tenants. */
  readonly sharer: object;
  /** The limit for which the message waits; `undefined`: for none. */
  waitsAt: LimitGate<T> | undefined;
}

/** A limit of the runs of messages, over all nodes together: one gate for all of them, or one for each key. */
export class RunLimit<T extends LimitedMessage<T>> {
  /** Name of the limit in its subscription. */
  readonly id: string;
  /** True if each key has the limit for itself. */
  readonly isByKey: boolean;
  /** True if messages of the limit are counted until they are done: some limit of this name may skip others. */
  isCounted = false;
  /** True if messages wait by rank, not in the order in which they came. */
  isRanked = false;
  /** Number of messages that this limit has skipped. */
  skipped = 0;
  readonly #inHand = new Map<string, KeyInHand<T>>();
  readonly #gates = new Map<string, LimitGate<T>>();
  /** Where messages of further keys wait while {@link MAX_KEYS} keys are in use. */
  readonly #others: LimitGate<T>;
  /** The numbers of the program. */
  #own: LimitNumbers;
  /** Settings by operators, in place of what the program says; `undefined`: none. */
  #override: LimitOverride | undefined;
  /** By key that an operator has paused: until when, in ms since 1970. */
  #pausedKeys: ReadonlyMap<string, number> = new Map();
  readonly #tookOver: number | undefined;
  /** Number of keys at which those that are not in use are forgotten. */
  #sweepAt = FEW_KEYS;

  /** `tookOver`: time until which another leader may have begun messages, in ms since 1970; `undefined`: none has. */
  constructor(id: string, numbers: LimitNumbers, tookOver: number | undefined, isByKey = false) {
    this.id = id;
    this.isByKey = isByKey;
    this.#own = numbers;
    this.#tookOver = tookOver;
    this.#others = new LimitGate(this, NOTHING, undefined);
  }

  /** Sets the numbers of the program that count now. */
  set numbers(numbers: LimitNumbers) {
    this.#own = numbers;
    for (const gate of this.#gates.values()) gate.numbers = this.#numbers;
  }

  /** Sets what operators have set; `undefined`: nothing. */
  set override(override: LimitOverride | undefined) {
    this.#override = override;
    this.#pausedKeys = new Map(override?.keys?.map(({ key, until = Infinity }) => [key, until]));
    for (const [key, gate] of this.#gates) {
      gate.numbers = this.#numbers;
      gate.heldUntil = this.#heldUntil(key);
    }
  }

  get #numbers(): LimitNumbers {
    return this.#override?.set === undefined ? this.#own : numbersWith(this.#own, this.#override.set);
  }

  /** Time until which an operator has paused the limit, or this key, in ms since 1970. */
  #heldUntil(key: string): number {
    const paused = this.#override?.paused;
    const all = paused === undefined ? -Infinity : paused.until ?? Infinity;
    return this.isByKey ? Math.max(all, this.#pausedKeys.get(key) ?? -Infinity) : all;
  }

  /** Maximum number of messages of a key that run at once. */
  get running(): number {
    return this.#numbers.running;
  }

  /** The messages of each key that are not done, if they are counted. */
  get inHand(): ReadonlyMap<string, KeyInHand<T>> {
    return this.#inHand;
  }

  /** Counts a message of a key as one that is not done, until {@link KeyInHand.remove}. */
  count(key: string, item: T): KeyInHand<T> {
    let own = this.#inHand.get(key);
    if (own === undefined) this.#inHand.set(key, own = new KeyInHand(() => this.#inHand.delete(key)));
    own.items.add(item);
    return own;
  }

  /** The gates in use: of each key, or the only one. */
  get gates(): Iterable<LimitGate<T>> {
    return this.#gates.values();
  }

  /**
   * Returns the gate that messages of a key pass ("" for a limit of all). If too many keys are in use, it is one that
   * is closed for a second, unless the message `runs` already.
   */
  gateOf(key: string, now: number, runs = false): LimitGate<T> {
    const known = this.#gates.get(key);
    if (known !== undefined) return known;
    // while `#others` is closed, the last look at all of them has found no room a moment ago
    if (this.#gates.size >= this.#sweepAt && this.#others.due <= now) this.#sweep(now);
    if (this.#gates.size >= MAX_KEYS && !runs) {
      if (this.#others.due <= now) this.#others.pause(now + AGAIN);
      return this.#others;
    }
    const gate = new LimitGate(this, this.#numbers, this.#tookOver);
    if (this.#override !== undefined) gate.heldUntil = this.#heldUntil(key);
    this.#gates.set(key, gate);
    return gate;
  }

  /** Forgets the keys that are as if no message of them had run. */
  #sweep(now: number): void {
    for (const [key, gate] of this.#gates) if (gate.isFresh(now)) this.#gates.delete(key);
    // half of all are new at the next sweep, so that a key costs the same however many there are
    this.#sweepAt = Math.min(MAX_KEYS, Math.max(FEW_KEYS, 2 * this.#gates.size));
  }

  /** Returns what runs, and waits, for the health of the subscription. */
  state(now: number): LimitHealth {
    let [running, waiting, pausedFor, keys] = [0, this.#others.waiting, 0, 0];
    const waits: WaitingKey[] = [];
    for (const [key, gate] of this.#gates) {
      running += gate.running;
      waiting += gate.waiting;
      pausedFor = Math.max(pausedFor, gate.pausedFor(now));
      if (!gate.isFresh(now)) keys++;
      if (!this.isByKey || gate.waiting <= (waits[MAX_SHOWN - 1]?.waiting ?? 0)) continue;
      const at = waits.findIndex((other) => other.waiting < gate.waiting);
      waits.splice(at < 0 ? waits.length : at, 0, { key, running: gate.running, waiting: gate.waiting });
      waits.length = Math.min(waits.length, MAX_SHOWN);
    }
    return {
      ...{ name: this.id, running, waiting },
      ...(this.isCounted && { skipped: this.skipped }),
      ...(pausedFor > 0 && { pausedFor }),
      ...(this.isByKey && { keys }),
      ...(waits.length > 0 && { waits: waits.map((each) => ({ ...each, key: each.key.slice(0, MAX_SHOWN_KEY) })) }),
    };
  }
}

/** Returns the numbers of the program with those that an operator has set. */
function numbersWith(own: LimitNumbers, { running = own.running, per, burst }: LimitSetting): LimitNumbers {
  const [count, ms] = per ?? [own.count, own.ms];
  return { running, count, ms, burst: burst ?? (per === undefined ? own.burst : 1) };
}

/** The messages of a key of a limit that are not done: they run, wait, or are to be tried again. */
export class KeyInHand<T> {
  readonly items: Set<T> = new Set();
  readonly #onEmpty: () => void;

  constructor(onEmpty: () => void) {
    this.#onEmpty = onEmpty;
  }

  /** Takes note that a message is done, a dead letter, or left in the log. */
  remove(item: T): void {
    this.items.delete(item);
    if (this.items.size === 0) this.#onEmpty();
  }
}

/** A limit of the runs of messages that have the same key in it, or of all. */
export class LimitGate<T extends LimitedMessage<T>> {
  readonly limit: RunLimit<T>;
  /** Number of messages that have a slot: those that run. */
  running = 0;
  /** Number of messages that wait here. */
  waiting = 0;
  /** Time at which the ledger is to look at this gate again, in ms since 1970; `undefined`: it is not waited for. */
  looksAt: number | undefined = undefined;
  /** Messages that wait, by contract or tenant, of each in order; also some that have left. */
  readonly #lines = new Map<object, WaitingLine<T>>();
  /** Number of messages in these lines. */
  #listed = 0;
  #numbers: LimitNumbers;
  /** Time at which all that has begun is paid off, at the rate of the limit, in ms since 1970. */
  #paid: number;
  /** Time at which the last message has taken a slot, as far as this leader knows, in ms since 1970. */
  #taken: number;
  /** Time before which no message begins, as a handler has said, in ms since 1970. */
  #pausedUntil = -Infinity;
  /** Time before which no message begins, as an operator has said, in ms since 1970. */
  heldUntil = -Infinity;

  /** `tookOver`: time until which another leader may have begun messages, in ms since 1970; `undefined`: none has. */
  constructor(limit: RunLimit<T>, numbers: LimitNumbers, tookOver: number | undefined) {
    this.limit = limit;
    this.#numbers = numbers;
    this.#taken = tookOver ?? -Infinity;
    // as many as may begin at once have just begun, as far as this leader knows
    this.#paid = tookOver === undefined ? -Infinity : tookOver + this.#ahead + Math.min(this.#each, LONGEST_WAIT);
  }

  /** Sets the numbers that count now. */
  set numbers(numbers: LimitNumbers) {
    this.#numbers = numbers;
    // at a higher rate nothing waits for the pauses of the lower one
    this.#paid = Math.min(this.#paid, this.#taken + this.#ahead + this.#each);
  }

  /** Number of messages in the lines, also of those that have left. */
  get listed(): number {
    return this.#listed;
  }

  /** True if the number of messages that run at once is limited, and reached. */
  get isFull(): boolean {
    return this.running >= this.#numbers.running;
  }

  /**
   * Time from which on one more message may begin, in ms since 1970, as far as the rate and pauses go; `Infinity`: not
   * before an operator says so.
   */
  get due(): number {
    const paused = Math.max(this.#pausedUntil, this.heldUntil);
    return this.#each === 0 ? paused : Math.max(paused, this.#paid - this.#ahead);
  }

  /** Time for which a handler has paused the limit, in ms; 0: it is not paused. */
  pausedFor(now: number): number {
    return Math.max(0, this.#pausedUntil - now);
  }

  /** Lets no message begin before this time, in ms since 1970. */
  pause(until: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, until);
  }

  /** Takes a slot for a message that begins. */
  take(now: number): void {
    this.running++;
    this.#taken = Math.max(this.#taken, now);
    if (this.#each > 0) this.#paid = Math.max(this.#paid, now) + this.#each;
  }

  /** Takes a slot for a message that runs already. */
  join(): void {
    this.running++;
  }

  /** Gives a slot back. `ran`: false if the message certainly did not run: it does not count for the rate either. */
  giveBack(ran: boolean): void {
    this.running--;
    if (!ran) this.#paid -= this.#each;
  }

  /** Returns true if a new gate would be the same: nothing runs, waits, is paused, or is to be paid off. */
  isFresh(now: number): boolean {
    return this.running === 0 && this.waiting === 0 && this.#pausedUntil <= now && this.#paid <= now;
  }

  /** Has a message wait here. */
  push(item: T): void {
    item.waitsAt = this;
    this.waiting++;
    this.#listed++;
    let line = this.#lines.get(item.sharer);
    if (line === undefined) {
      line = this.limit.isRanked ? new RankedLine<T>() : new Fifo<T>();
      this.#lines.set(item.sharer, line);
    }
    line.push(item);
    if (hasManyGone(this.#listed, this.waiting)) this.#forgetGone();
  }

  /** Removes messages that have left from the lines. */
  #forgetGone(): void {
    forgetGone(this.#lines.values(), ({ waitsAt }) => waitsAt === this);
    this.#listed = 0;
    for (const [sharer, line] of this.#lines) {
      this.#listed += line.size;
      if (line.size === 0) this.#lines.delete(sharer);
    }
  }

  /** Takes the next message that waits here out of its line: of each contract, or tenant, in turn; else `undefined`. */
  shift(): T | undefined {
    for (const [sharer, line] of this.#lines) {
      this.#lines.delete(sharer);
      const { size } = line;
      let item = line.shift();
      while (item !== undefined && item.waitsAt !== this) item = line.shift();
      this.#listed -= size - line.size;
      if (line.size > 0) this.#lines.set(sharer, line);
      if (item === undefined) continue;
      this.leave(item);
      return item;
    }
    return undefined;
  }

  /** Takes note that a message that waits here does not any more. */
  leave(item: T): void {
    item.waitsAt = undefined;
    this.waiting--;
  }

  /** Time between the begins of two messages at the rate of the limit, in ms; 0: there is no rate. */
  get #each(): number {
    return this.#numbers.count === Infinity ? 0 : this.#numbers.ms / this.#numbers.count;
  }

  /** Time by which messages may begin ahead of the rate, in ms. */
  get #ahead(): number {
    return Math.max((this.#numbers.burst - 1) * this.#each, Math.min(LATE_TIMERS, this.#each));
  }
}

/** Numbers of a gate that only pauses close. */
const NOTHING: LimitNumbers = Object.freeze({ running: Infinity, count: Infinity, ms: Infinity, burst: 1 });
/** Number of keys that are shown of a limit, and how much of each, in characters. */
const [MAX_SHOWN, MAX_SHOWN_KEY] = [10, 200];
/** Number of keys of a limit that are kept without a look whether they are in use. */
const FEW_KEYS = 1_024;
/** Maximum number of keys of a limit that run, wait, or are not paid off: one that waits takes 600 bytes (measured). */
const MAX_KEYS = 100_000;
/** Time after which a message of one key too many looks for room again, in ms. */
const AGAIN = 1_000;
/** Time by which timers may be late, in ms: so much may be made up for. */
const LATE_TIMERS = 20;
/** Longest time that a new leader waits before the first message begins, in ms. */
const LONGEST_WAIT = 10_000;
