/**
 * A commit: the state of a subscription, which its leader stores as a message of the stream
 * `catga_<ns>_subscriptions`. A commit contains the whole state, except that it may list only those parked messages
 * that have changed since the commit before. Anybody with access can write one, so commits are validated.
 */
import { isContractName } from "../../contract/declaration/contract.ts";
import { isCount, isNotNegative, isRecord, isStringArray } from "../../data/checks.ts";
import { positionOf, sequenceOf } from "./group_text.ts";
import { readNumbers, readRecord, writeNumbers } from "./record_text.ts";

/**
 * Identity of a commit: its number `n` in a leader's term (time as the leader). No two commits of a term with different
 * contents have the same number.
 */
export type CommitId = readonly [term: string, n: number];

/**
 * State of a subscription, without its parked messages (messages that wait in the store for their next attempt, or
 * are dead).
 * @decides how far a subscription has come: in the commit; `subscriptions/ledger.ts` holds it,
 * `subscriptions/store.ts` writes it
 */
export interface Head {
  /** Endpoint of the node that leads the subscription; empty: no node leads, and any node may take the lead at once. */
  readonly leader: string;
  /** Token of the leader. Each new leader's token is greater, so that nodes recognize requests of earlier leaders. */
  readonly token: number;
  /** The log that the subscription reads, and the position reached. */
  readonly place: Place;
  /**
   * Messages up to the position `place.read` that are neither handled nor parked, each with its number of failed
   * attempts.
   */
  readonly open: readonly OpenEntry[];
  /** Start position by contract name: the subscription does not handle the contract's messages up to this position. */
  readonly began: Readonly<Record<string, number>>;
  /**
   * Sequence of the last request (message of the stream `catga_<ns>_subscriptions`) that the leader has carried out,
   * with all requests before it.
   */
  readonly requests: number;
  /**
   * Set while some messages are suspected of ending the process that runs them. While it is set, a message begins only
   * after a commit that names it ({@link Doubt.begun}) is stored.
   */
  readonly doubt: Doubt | undefined;
  /**
   * Token of the last leader that went back in the log: what was handed out by it, and by leaders before it, is to run
   * again. Absent: none has.
   */
  readonly wentBack?: number | undefined;
  /**
   * Keys whose messages behind a position are still to be read, although `place` is behind them. Absent: none. A commit
   * that has some is of version 2.
   */
  readonly left?: readonly LeftKey[] | undefined;
  /**
   * Spans of messages that were passed by and are still to be read, although `place` is behind them. Absent: none. A
   * commit that has some is of version 3.
   */
  readonly passed?: readonly PassedSpan[] | undefined;
  /** Number of messages that are done unhandled, because a limit has skipped them. Absent: 0. */
  readonly skipped?: number | undefined;
}

/** Positions of the first and the last of messages that were passed by: those between them were, too. */
export type PassedSpan = readonly [from: number, to: number];

/** A key that is left behind: its messages behind the position are still to be read. */
export type LeftKey = readonly [category: string, key: string, position: number];

/** How far a subscription has read a log. */
export interface Place {
  /** `LogState.created` of the log; empty: nothing was read yet. */
  readonly created: string;
  /** Position up to which the subscription has read messages. */
  readonly read: number;
  /** Time stamp of the message at `read`, in ms since 1970; 0: unknown. */
  readonly time: number;
  /**
   * Last server time at which the log was seen to have no message of this subscription behind the position `read`, in
   * ms since 1970; absent: unknown.
   */
  readonly at?: number | undefined;
  /**
   * Number of times that the subscription went back because the log had lost messages; positions are used again after
   * a loss.
   */
  readonly epoch: number;
  /**
   * True after a rewind until a leader has begun its next term. That leader first waits for runs that were begun before
   * the rewind, because it hands their messages out again.
   */
  readonly rewound?: boolean;
}

/** A message that was read and is neither handled nor parked: its position and its number of failed attempts. */
export type OpenEntry = readonly [position: number, attempts: number];

/** Messages that a leader may have begun before its process crashed: one of them may have caused the crash. */
export interface Doubt {
  /** Position up to which the crashed leader may have begun messages. */
  readonly upTo: number;
  /**
   * Groups of messages that ran when a leader's process ended, the newest group first. At most `size` messages of a
   * group run at once.
   */
  readonly groups: readonly { readonly size: number; readonly ids: readonly string[] }[];
  /** Ids of messages that have begun, or begin with this commit. */
  readonly begun: readonly string[];
}

/**
 * A parked message. Its id is made of its position in the log and its time, because positions are used again after a
 * loss.
 */
export interface ParkedState {
  readonly position: number;
  /** Time at which the message was stored in the log, in ms since 1970. */
  readonly time: number;
  readonly epoch: number;
  /** Number of failed attempts. */
  readonly attempts: number;
  /** Time of the next attempt, in ms since 1970; 0: as soon as the message is first of its key. */
  readonly due: number;
  /** Time at which the message became a dead letter, in ms since 1970; 0: it is no dead letter. */
  readonly dead: number;
}

/** A commit: the state of a subscription, as its leader stores it. */
export interface Commit {
  readonly id: CommitId;
  /** Identity of the commit before this one; `undefined`: this is the first. */
  readonly prev: CommitId | undefined;
  /** True if `parked` lists all parked messages; false: only the messages that have changed since the commit before. */
  readonly full: boolean;
  /**
   * Sequence behind which a reader must read the commits to get all parked messages: mostly that of the commit before
   * the last `full` one (which is this commit if it is full).
   */
  readonly base: number;
  readonly head: Head;
  readonly parked: readonly ParkedState[];
  /** Ids of messages that were parked in the commit before, and have been handled or discarded since. */
  readonly ended: readonly string[];
  /** Number of parked messages, dead letters included, and number of dead letters. */
  readonly counts: { readonly parked: number; readonly dead: number };
}

/** Makes the id of a message in its subscription from its position and its time. */
export function messageId({ position, time }: { readonly position: number; readonly time: number }): string {
  return `${position}-${time}`;
}

/** Parses an id made by {@link messageId}; `undefined`: invalid. */
export function readMessageId(id: string): { position: number; time: number } | undefined {
  const [, position, time] = /^(0|[1-9]\d{0,15})-(0|[1-9]\d{0,15})$/.exec(id) ?? [];
  return position === undefined ? undefined : { position: Number(position), time: Number(time) };
}

/** Encodes a commit (the state of a subscription, which its leader stores) as text. */
export function writeCommit({ id, prev, full, base, head, parked, ended, counts }: Commit): string {
  const { open, doubt, passed, ...rest } = head;
  return JSON.stringify({
    // a leader that ignores `left` or `passed` would pass messages over
    v: passed !== undefined ? 3 : head.left !== undefined ? 2 : 1,
    id,
    ...(prev === undefined ? {} : { prev }),
    full,
    base,
    ...rest,
    open: writeOpen(open),
    ...(doubt === undefined ? {} : { doubt }),
    ...(passed === undefined ? {} : { passed: writeSpans(passed) }),
    parked: writeParkedStates(parked),
    ended,
    counts: [counts.parked, counts.dead],
  });
}

/**
 * Parses the text of a commit (the stored state of a subscription). Returns a string that says what is wrong if it is
 * invalid.
 */
export function readCommit(text: string): Commit | string {
  const value = readRecord(text, 3);
  if (typeof value === "string") return value;
  const { full, base, leader, token, began, requests, counts, wentBack, skipped } = value;
  const id = readId(value.id);
  const prev = value.prev === undefined ? undefined : readId(value.prev);
  if (id === undefined || (prev === undefined && value.prev !== undefined) || !isCount(base)) return "no number";
  if (typeof full !== "boolean") return "`full` is no boolean";
  if (typeof leader !== "string" || !isCount(token) || token > MAX_TOKEN) return "no leader or token";
  if (!isRecord(began) || !Object.values(began).every(isCount)) {
    return "`began` does not hold the positions where its categories begin";
  }
  const categories = Object.entries(began) as [string, number][];
  if (categories.length > MAX_CATEGORIES) return `more than ${MAX_CATEGORIES} categories`;
  if (!isCount(requests)) return "no requests";
  if (wentBack !== undefined && !isCount(wentBack)) return "an invalid token of who went back";
  if (skipped !== undefined && !isCount(skipped)) return "an invalid number of skipped messages";
  const left = value.left === undefined ? undefined : readLeft(value.left);
  if (left === undefined && value.left !== undefined) return "an invalid list of what is left behind";
  const passed = value.passed === undefined ? undefined : readSpans(value.passed);
  if (passed === undefined && value.passed !== undefined) return "an invalid list of what was passed by";
  const place = readPlace(value.place);
  const open = readOpen(value.open);
  if (place === undefined || open === undefined) return "no place in the log";
  const doubt = value.doubt === undefined ? undefined : readDoubt(value.doubt);
  if (doubt === undefined && value.doubt !== undefined) return "an invalid doubt";
  const parked = readParkedStates(value.parked);
  if (parked === undefined || !isStringArray(value.ended)) return "an invalid list of what is parked";
  if (!Array.isArray(counts) || counts.length !== 2 || !counts.every(isCount)) return "no counts";
  return {
    id,
    prev,
    full,
    base,
    head: {
      leader,
      token,
      place,
      open,
      // `fromEntries`, because a category may be called __proto__
      began: Object.fromEntries(categories.filter(([name]) => isContractName(name))),
      requests,
      doubt,
      ...(wentBack === undefined ? {} : { wentBack }),
      ...(left === undefined ? {} : { left }),
      ...(passed === undefined ? {} : { passed }),
      ...(skipped === undefined ? {} : { skipped }),
    },
    parked,
    ended: value.ended,
    counts: { parked: counts[0], dead: counts[1] },
  };
}

/** State of a subscription as its commits have stored it. */
export interface StoredState {
  readonly id: CommitId;
  readonly head: Head;
  /** Endpoint of the last leader that wrote at least one commit after the commit with which it took the lead. */
  readonly writer: string;
  /** Parked messages (in the store until their next attempt, or dead), by id. */
  readonly parked: ReadonlyMap<string, ParkedState>;
}

/**
 * Computes a subscription's state from commits, given in the order in which they are stored. A commit is ignored if
 * its `prev` does not name the last valid commit before it: its leader did not know that commit. Returns `undefined`
 * if no valid commit is full: earlier commits are then needed.
 */
export function stateOf(commits: Iterable<Commit>): StoredState | undefined {
  let [last, writer]: [last: CommitId | undefined, writer: string] = [undefined, ""];
  let state: StoredState & { readonly parked: Map<string, ParkedState> } | undefined;
  for (const { id, prev, full, head, parked, ended } of commits) {
    if (last !== undefined && (prev === undefined || !isSame(prev, last))) continue;
    last = id;
    if (full || id[1] > 1) writer = head.leader;
    if (full) state = { id, head, writer, parked: new Map() };
    if (state === undefined) continue;
    state = { ...state, id, head, writer };
    for (const gone of ended) state.parked.delete(gone);
    for (const each of parked) state.parked.set(messageId(each), each);
  }
  return state;
}

/** Returns true if both arguments identify the same commit. */
export function isSame([term, n]: CommitId, [other, m]: CommitId): boolean {
  return term === other && n === m;
}

/**
 * Maximum number of contracts of a subscription: the leader's consumer has a filter for each. nats-server 2.15 takes
 * 0.2 s to create a consumer with 1,024 filters, and 3.6 s with four times as many (measured).
 */
export const MAX_CATEGORIES = 1_024;
/** Maximum number of keys that are left behind: each commit names them. */
export const MAX_LEFT = 1_000;
/** Greatest valid token of a leader; tokens beyond it would leave the safe integers. */
const MAX_TOKEN = 2 ** 52;
const MAX_EPOCH = 2 ** 32;

function readId(value: unknown): CommitId | undefined {
  const [term, n] = Array.isArray(value) && value.length === 2 ? value : [];
  return typeof term === "string" && isCount(n) ? [term, n] : undefined;
}

function readPlace(value: unknown): Place | undefined {
  if (!isRecord(value)) return undefined;
  const { created, read, time, at, epoch, rewound } = value;
  if (typeof created !== "string" || !isCount(read) || !isNotNegative(time)) return undefined;
  if (!isCount(epoch) || epoch > MAX_EPOCH) return undefined;
  return { created, read, time, epoch, ...(isNotNegative(at) ? { at } : {}), ...(rewound === true ? { rewound } : {}) };
}

function readLeft(value: unknown): LeftKey[] | undefined {
  if (!Array.isArray(value) || value.length > MAX_LEFT) return undefined;
  const left: LeftKey[] = [];
  for (const each of value) {
    const [category, key, position] = Array.isArray(each) && each.length === 3 ? each : [];
    if (typeof category !== "string" || !isContractName(category)) return undefined;
    if (typeof key !== "string" || !isCount(position)) return undefined;
    left.push([category, key, position]);
  }
  return left;
}

function readDoubt(value: unknown): Doubt | undefined {
  if (!isRecord(value) || !isCount(value.upTo) || !Array.isArray(value.groups) || !isStringArray(value.begun)) {
    return undefined;
  }
  const groups: { size: number; ids: string[] }[] = [];
  for (const group of value.groups) {
    if (!isRecord(group) || !isCount(group.size) || group.size === 0 || !isStringArray(group.ids)) return undefined;
    groups.push({ size: group.size, ids: group.ids });
  }
  return { upTo: value.upTo, groups, begun: value.begun };
}

/**
 * Encodes open messages, grouped by their number of attempts. Each position is written as its distance from the
 * position before, mostly one to three characters.
 */
function writeOpen(entries: readonly OpenEntry[]): (readonly [attempts: number, positions: string])[] {
  const groups = new Map<number, number[]>();
  for (const [position, attempts] of entries) {
    const group = groups.get(attempts);
    if (group === undefined) groups.set(attempts, [position]);
    else group.push(position);
  }
  return [...groups].map(([attempts, positions]) => {
    return [attempts, writeNumbers(positions.map((position, at) => position - (positions[at - 1] ?? 0)))] as const;
  });
}

function readOpen(value: unknown): OpenEntry[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const found = new Map<number, number>();
  for (const group of value) {
    if (!Array.isArray(group) || group.length !== 2 || !isCount(group[0])) return undefined;
    const distances = readNumbers(group[1]);
    if (distances === undefined) return undefined;
    let position = 0;
    for (const distance of distances) {
      position += distance;
      if (!isCount(position)) return undefined;
      found.set(position, group[0]);
    }
  }
  return [...found].sort(([a], [b]) => a - b);
}

/** Encodes spans by distances and lengths: mostly multiples of a stored message, which take one character each. */
function writeSpans(spans: readonly PassedSpan[]): string {
  const numbers: number[] = [];
  const add = (distance: number) => {
    const sequences = sequenceOf(distance);
    numbers.push(positionOf(sequences, 0) === distance ? 2 * sequences : 2 * distance + 1);
  };
  let last = 0;
  for (const [from, to] of spans) {
    add(from - last);
    add(to - from);
    last = to;
  }
  return writeNumbers(numbers);
}

function readSpans(text: unknown): PassedSpan[] | undefined {
  const numbers = readNumbers(text);
  if (numbers === undefined || numbers.length % 2 > 0 || numbers.some((each) => each < 0)) return undefined;
  const distances = numbers.map((each) => each % 2 === 0 ? positionOf(each / 2, 0) : (each - 1) / 2);
  const spans: PassedSpan[] = [];
  let last = 0;
  for (let i = 0; i < distances.length; i += 2) {
    const from = last + distances[i];
    last = from + distances[i + 1];
    if (!isCount(last) || (i > 0 && distances[i] === 0)) return undefined;
    spans.push([from, last]);
  }
  return spans;
}

/**
 * Encodes parked messages: position and time of storing as distances from the message before, times of the next attempt
 * and of the death as distances from the time of storing.
 */
function writeParkedStates(parked: readonly ParkedState[]): string {
  const numbers: number[] = [];
  let [lastPosition, lastTime] = [0, 0];
  for (const { position, time, epoch, attempts, due, dead } of parked) {
    const state = attempts * 4 + (due > 0 ? 1 : 0) + (dead > 0 ? 2 : 0);
    numbers.push(position - lastPosition, time - lastTime, epoch, state);
    if (due > 0) numbers.push(due - time);
    if (dead > 0) numbers.push(dead - time);
    [lastPosition, lastTime] = [position, time];
  }
  return writeNumbers(numbers);
}

function readParkedStates(text: unknown): ParkedState[] | undefined {
  const numbers = readNumbers(text);
  if (numbers === undefined) return undefined;
  const parked: ParkedState[] = [];
  let [position, time] = [0, 0];
  for (let i = 0; i < numbers.length;) {
    const [distance, later, epoch, state] = numbers.slice(i, i + 4);
    if (!isCount(epoch) || !isCount(state)) return undefined;
    i += 4;
    position += distance;
    time += later;
    const due = (state & 1) > 0 ? time + numbers[i++] : 0;
    const dead = (state & 2) > 0 ? time + numbers[i++] : 0;
    if (![position, time, due, dead].every(isCount)) return undefined;
    parked.push({ position, time, epoch, attempts: Math.floor(state / 4), due, dead });
  }
  return parked;
}
