/**
 * A commit of a subscription: its whole state, but for what is parked, of which a commit may say only what has changed
 * since the one before. It is one message of the stream `catga_<ns>_subscriptions`. Anybody with access can write one,
 * so it is validated.
 */
import { isContractName } from "../../contract/contract.ts";
import { isCount, isNotNegative, isRecord, isStringArray } from "../../data/checks.ts";
import { readNumbers, readRecord, writeNumbers } from "./record_text.ts";

/** Identity of a commit: the n-th of the term of one leader. A number is used for one content. */
export type CommitId = readonly [term: string, n: number];

/** State of a subscription, without its parked messages. */
export interface Head {
  /** The endpoint of the node that leads; empty: nobody does, and anybody may at once. */
  readonly leader: string;
  /** By which nodes know the leader from earlier ones; it grows. */
  readonly token: number;
  /** The log that is read, and how far. */
  readonly place: Place;
  /** Positions up to `place.read` that are neither done nor parked, and how often each has failed. */
  readonly open: readonly OpenEntry[];
  /** Start of each category: positions up to this one are not for it. */
  readonly began: Readonly<Record<string, number>>;
  /** Requests up to this sequence of the stream are carried out. */
  readonly requests: number;
  /** A message may end the process that runs it: until that is settled, what is begun is committed first. */
  readonly doubt: Doubt | undefined;
}

/** How far a log is read. */
export interface Place {
  /** `LogState.created` of the log; empty: it was not read yet. */
  readonly created: string;
  /** Positions up to this one were read. */
  readonly read: number;
  /** The time stamp of the message there, in ms; 0: unknown. */
  readonly time: number;
  /**
   * When the log had nothing behind `read` that is for this subscription, by the server's clock, in ms; none: unknown.
   */
  readonly at?: number | undefined;
  /** How often reading went back, because the log had lost messages: positions begin again then. */
  readonly epoch: number;
  /** True after a rewind until the next leader has begun: what runs was handed out before it. */
  readonly rewound?: boolean;
}

/** A message that is not done. */
export type OpenEntry = readonly [position: number, attempts: number];

/** Messages that a leader may have begun before it ended without a hand-over. */
export interface Doubt {
  /** Positions up to this one. */
  readonly upTo: number;
  /** Messages that ran when leaders ended, the last leader's first: `size` of the first group may run at once. */
  readonly groups: readonly { readonly size: number; readonly ids: readonly string[] }[];
  /** Messages that have begun, or are about to. */
  readonly begun: readonly string[];
}

/** A message that is put aside. Its place in the log is its identity, with its time, because positions come again. */
export interface ParkedState {
  readonly position: number;
  /** When it was stored in the log, in ms since 1970. */
  readonly time: number;
  readonly epoch: number;
  /** Attempts that failed. */
  readonly attempts: number;
  /** When it is to be tried, in ms since 1970; 0: when it is the first of its key. */
  readonly due: number;
  /** When it became a dead letter, in ms since 1970; 0: it is none. */
  readonly dead: number;
}

/** One message of the stream. */
export interface Commit {
  readonly id: CommitId;
  /** The commit that this one goes on from; `undefined`: none. */
  readonly prev: CommitId | undefined;
  /** True if it says all that is parked, or only what has changed. */
  readonly full: boolean;
  /** The sequence of the commit before the last full one: from there on commits say what is parked. */
  readonly base: number;
  readonly head: Head;
  readonly parked: readonly ParkedState[];
  /** Ids of those that are parked no longer. */
  readonly ended: readonly string[];
  /** How many are parked, and how many of them are dead letters. */
  readonly counts: { readonly parked: number; readonly dead: number };
}

/** The identity of a message in its subscription. */
export function messageId({ position, time }: { readonly position: number; readonly time: number }): string {
  return `${position}-${time}`;
}

/** Parses an identity; `undefined` if it is none. */
export function readMessageId(id: string): { position: number; time: number } | undefined {
  const [, position, time] = /^(0|[1-9]\d{0,15})-(0|[1-9]\d{0,15})$/.exec(id) ?? [];
  return position === undefined ? undefined : { position: Number(position), time: Number(time) };
}

/** The text of a commit. */
export function writeCommit({ id, prev, full, base, head, parked, ended, counts }: Commit): string {
  const { open, doubt, ...rest } = head;
  return JSON.stringify({
    v: 1,
    id,
    ...(prev === undefined ? {} : { prev }),
    full,
    base,
    ...rest,
    open: writeOpen(open),
    ...(doubt === undefined ? {} : { doubt }),
    parked: writeParked(parked),
    ended,
    counts: [counts.parked, counts.dead],
  });
}

/** Parses a commit. Returns a string that says what is wrong with it if it is invalid. */
export function readCommit(text: string): Commit | string {
  const value = readRecord(text);
  if (typeof value === "string") return value;
  const { full, base, leader, token, began, requests, counts } = value;
  const id = readId(value.id);
  const prev = value.prev === undefined ? undefined : readId(value.prev);
  if (id === undefined || (prev === undefined && value.prev !== undefined) || !isCount(base)) return "no number";
  if (typeof full !== "boolean") return "nothing that says whether it is full";
  if (typeof leader !== "string" || !isCount(token) || token > MOST_TOKEN) return "no leader or token";
  if (!isRecord(began) || !Object.values(began).every(isCount)) return "no places where its categories begin";
  const categories = Object.entries(began) as [string, number][];
  if (categories.length > MOST_CATEGORIES) return `more than ${MOST_CATEGORIES} categories`;
  if (!isCount(requests)) return "no requests";
  const place = readPlace(value.place);
  const open = readOpen(value.open);
  if (place === undefined || open === undefined) return "no place in the log";
  const doubt = value.doubt === undefined ? undefined : readDoubt(value.doubt);
  if (doubt === undefined && value.doubt !== undefined) return "an invalid doubt";
  const parked = readParked(value.parked);
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
      // entries, because a category may be called __proto__
      began: Object.fromEntries(categories.filter(([name]) => isContractName(name))),
      requests,
      doubt,
    },
    parked,
    ended: value.ended,
    counts: { parked: counts[0], dead: counts[1] },
  };
}

/** A subscription as it is stored. */
export interface StoredState {
  readonly id: CommitId;
  readonly head: Head;
  /** The leader that wrote last; one that has only taken the lead knows no more than the one before. */
  readonly writer: string;
  /** By their ids. */
  readonly parked: ReadonlyMap<string, ParkedState>;
}

/**
 * State after these commits, in the order in which they are stored. One that goes on from another than the one before
 * it does not count: its leader did not know of that one. `undefined`: none of those that count says all that is
 * parked; earlier ones are needed.
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

/** Returns true if these are of the same commit. */
export function isSame([term, n]: CommitId, [other, m]: CommitId): boolean {
  return term === other && n === m;
}

/**
 * Most categories of a subscription: the leader's consumer has a filter for each. nats-server 2.15 takes 0.2 s to make
 * one with so many filters, and 3.6 s with four times as many (measured).
 */
export const MOST_CATEGORIES = 1_024;
/** Greatest token: beyond the safe integers every node would refuse the commit. */
const MOST_TOKEN = 2 ** 52;
const MOST_EPOCHS = 2 ** 32;

function readId(value: unknown): CommitId | undefined {
  const [term, n] = Array.isArray(value) && value.length === 2 ? value : [];
  return typeof term === "string" && isCount(n) ? [term, n] : undefined;
}

function readPlace(value: unknown): Place | undefined {
  if (!isRecord(value)) return undefined;
  const { created, read, time, at, epoch, rewound } = value;
  if (typeof created !== "string" || !isCount(read) || !isNotNegative(time)) return undefined;
  if (!isCount(epoch) || epoch > MOST_EPOCHS) return undefined;
  return { created, read, time, epoch, ...(isNotNegative(at) ? { at } : {}), ...(rewound === true ? { rewound } : {}) };
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

/** By attempts, each position as its distance from the one before: mostly a character or three. */
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

/** Distances from the one before; times as distances from when the message was stored. */
function writeParked(parked: readonly ParkedState[]): string {
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

function readParked(text: unknown): ParkedState[] | undefined {
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
