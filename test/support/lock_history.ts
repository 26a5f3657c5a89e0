/** Checks what processes did with locks against what they and the resource wrote down, and the faults. */
import { type LockLine, STALL } from "../processes/lock_node.ts";
import { gapWithin, type Span } from "../processes/loop_gaps.ts";
import { checkLocks, type FencedWrite } from "../../src/testing/checkers/locks.ts";

/** A fault of a lock holder; `from` and `to` in ms since 1970. */
export interface LockFault {
  readonly kind: "frozen" | "killed" | "cut off" | "cable dead";
  readonly id: string;
  readonly key: string;
  readonly from: number;
  readonly to: number;
}

/** The records of a run. */
export interface LockHistory {
  /** Of each process, by its id, in the order of writing. */
  readonly lines: ReadonlyMap<string, readonly LockLine[]>;
  readonly writes: readonly FencedWrite[];
  readonly faults: readonly LockFault[];
  /** When the server gave no answer, though no fault was against it; in ms since 1970. */
  readonly unanswered?: readonly Span[];
  /** Of every lock, in ms. */
  readonly ttl: number;
  /** How long after a holder's death the next one has the lock, in ms. */
  readonly limit: number;
  /** How long anybody waits for a lock, in ms. */
  readonly timeout: number;
  /** What did not work again after the last fault, or outlived its ttl; unknown when the processes were not ended. */
  readonly aftermath?: readonly string[];
}

/** The next acquisition after a fault. */
export interface Handover {
  readonly fault: LockFault;
  /** From the fault to the next holder's `enter`, in ms; `undefined` when there was none. */
  readonly took: number | undefined;
  /** Of it, how long the next holder's process was not allowed to run, or the server did not answer, in ms. */
  readonly stalled: number;
}

/** Broken promises, a line each. */
export function lockViolations(history: LockHistory): string[] {
  const { aftermath = [] } = history;
  return [
    ...checkLocks({ holds: held(history.lines), writes: history.writes }).map(({ subject, text }) =>
      `${subject}: ${text}`
    ),
    ...delays(history),
    ...aftermath,
  ];
}

/**
 * How long after each fault the lock was with the next one; only of faults after which somebody alive waited for it.
 */
export function handovers({ lines, faults, unanswered, ttl, limit }: LockHistory): Handover[] {
  const entries = enters(lines);
  return faults.flatMap((fault) => {
    const next = entries.find(({ key, at, id }) => key === fault.key && at > fault.from && id !== fault.id);
    const end = Math.min(next?.at ?? Infinity, fault.from + ttl + limit);
    const sound = (id: string) => !faults.some((other) => other.id === id && other.from < end && other.to > fault.from);
    const waits = [...lines].some(([id, own]) => id !== fault.id && sound(id) && awaited(own, fault, end));
    if (!waits) return [];
    const stalled = next === undefined ? 0 : stalls(lines.get(next.id)!, fault.from, next.at, unanswered);
    return [{ fault, took: next && next.at - fault.from, stalled }];
  });
}

/** How many times a lock was taken. */
export function acquisitions({ lines }: LockHistory): number {
  return enters(lines).length;
}

/** When a process, whose lines these are, worked under a lock: from each look at its signal to the next one. */
export function workUnder(key: string, own: readonly LockLine[]): { from: number; to: number }[] {
  const works: { from: number; to: number }[] = [];
  let from: number | undefined;
  for (const line of own) {
    if (line.event === "stall") continue;
    const holds = line.event === "enter" || line.event === "hold" || line.event === "leave";
    if (!holds || line.key !== key) {
      from = undefined;
      continue;
    }
    if (from !== undefined && line.event !== "enter") works.push({ from, to: line.at });
    from = line.at;
  }
  return works;
}

function enters(lines: LockHistory["lines"]) {
  const all = [...lines].flatMap(([id, own]) =>
    own.flatMap((line) => line.event === "enter" ? [{ id, key: line.key, token: line.token, at: line.at }] : [])
  );
  return all.sort((a, b) => a.at - b.at || a.token - b.token);
}

/** Returns true if a process asked for the lock before it was lost, and still waited at that time. */
function awaited(own: readonly LockLine[], { key, from }: LockFault, until: number): boolean {
  const asked = own.findLastIndex((line) => line.event !== "stall" && line.at <= from);
  const line = own[asked];
  if (line?.event !== "want" || line.key !== key) return false;
  const after = own.slice(asked + 1).find(({ event }) => event !== "stall");
  return after === undefined || after.at >= until;
}

function stalls(own: readonly LockLine[], from: number, to: number, others: readonly Span[] = []): number {
  const spans = own.flatMap((line) => line.event === "stall" ? [{ from: line.from, to: line.at }] : []);
  return gapWithin([...spans, ...others], from, to);
}

/** Stretches of time through which a process ran and held a lock. */
function held(lines: LockHistory["lines"]) {
  const spans: { by: string; key: string; token: number; from: number; to: number }[] = [];
  for (const [id, own] of lines) {
    for (const line of own) {
      if (line.event !== "enter" && line.event !== "hold" && line.event !== "leave") continue;
      const { key, token, at } = line;
      const last = spans.at(-1);
      const goesOn = line.event !== "enter" && last?.by === id && last.token === token && at - last.to <= STALL;
      if (goesOn) last.to = at;
      else spans.push({ by: id, key, token, from: at, to: at });
    }
  }
  return spans.sort((a, b) => a.from - b.from);
}

function delays(history: LockHistory): string[] {
  const { lines, ttl, limit, timeout } = history;
  const slow = handovers(history).filter(({ took, stalled }) => took === undefined || took - stalled > ttl + limit)
    .map(({ fault: { key, id, kind }, took }) =>
      `${key}: ${id} was ${kind}, and the next had it ${took === undefined ? "never" : `${took} ms later`}`
    );
  const late = [...lines].flatMap(([id, own]) =>
    own.flatMap((line) => {
      if (line.event !== "failed") return [];
      const { key, code, took, at } = line;
      const clear = ["LOCK_TIMEOUT", "UNAVAILABLE", "CLOSED", "LOCK_LOST"].includes(code);
      const stalled = stalls(own, at - took, at);
      return clear && took - stalled <= timeout + 1_500 ? [] : [`${key}: ${id} got ${code} after ${took} ms`];
    })
  );
  return [...slow, ...late];
}
