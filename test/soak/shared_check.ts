/**
 * Checks what a soak did with shared state against what its processes wrote down, and the faults that they had.
 *
 * @module
 */
import { gapWithin, type Span } from "../processes/loop_gaps.ts";
import { UNSETTLED } from "./log.ts";
import type { NeverNote, OnceNote } from "./shared.ts";

/** A fault of one process, or of all; `from` and `to` in ms since 1970. */
export interface Trouble extends Span {
  readonly kind: "death" | "freeze" | "cut" | "outage" | "wipe";
  /** The process with the fault; all of them when left out. */
  readonly endpoint?: string;
}

/** A claim outlives a cut, or a pause, of this length, in ms. */
export const HELD_OUT = 4_000;
/** How long after its deadline a send may settle, in ms. */
export const MARGIN = 1_000;
/** Results that a send of an idempotent command may have. */
const ONCE_TOLD = ["ok", "OUTCOME_UNKNOWN", "UNAVAILABLE", "OVERLOADED", "DRAINING", "CANCELLED"];
/** Results that a send whose user code never settles may have. */
const NEVER_TOLD = ["TIMEOUT", "OUTCOME_UNKNOWN", "UNAVAILABLE", "OVERLOADED", "DRAINING", "NO_HANDLER"];

/** A run of an idempotent handler. */
interface Run extends Span {
  readonly run: string;
  readonly endpoint: string;
}

/**
 * Broken promises, a line each: two runs of an id at once although no fault of the first one's process frees its claim,
 * two results of an id, a run of an id after its result. The loss of the store excuses all of them: results are kept
 * there.
 */
export function onceViolations(notes: readonly OnceNote[], troubles: readonly Trouble[]): string[] {
  const found: string[] = [];
  const wipes = troubles.filter(({ kind }) => kind === "wipe");
  const wiped = (from: number, to: number) => wipes.some((wipe) => wipe.from <= to && wipe.to >= from);
  for (const [id, of] of byId(notes)) {
    const runs = runsOf(of, troubles);
    runs.forEach((first, i) => {
      for (const second of runs.slice(i + 1)) {
        if (second.from >= first.to || wiped(first.from, second.from)) continue;
        const away = longestAway(troubles, first.endpoint, first.from, second.from);
        if (away > HELD_OUT) continue;
        found.push(
          `id ${id}: ${second.run} began ${second.from - first.from} ms after ${first.run}, which still ran; ` +
            `its process was away for ${Math.round(away)} ms at most`,
        );
      }
    });
    const told = of.filter((note) => note.event === "told").sort((a, b) => a.at - b.at);
    const oks = told.filter((note) => note.told === "ok");
    for (const [i, note] of oks.entries()) {
      const before = oks[i - 1];
      if (before !== undefined && before.run !== note.run && !wiped(before.at - before.took, note.at)) {
        found.push(`id ${id}: told ${before.run}, and ${note.run} ${note.at - before.at} ms later`);
      }
    }
    const first = oks[0];
    const again = first && runs.find(({ from }) => from > first.at);
    if (again !== undefined && !wiped(first.at - first.took, again.from)) {
      found.push(`id ${id}: ${again.run} began ${again.from - first.at} ms after its result ${first.run} was told`);
    }
    for (const { told: code } of told) {
      if (!ONCE_TOLD.includes(code)) found.push(`id ${id}: told ${code}`);
    }
  }
  return found;
}

/** Ids that were sent or began to run, and have no result that a sender got. */
export function unfinished(notes: readonly OnceNote[]): string[] {
  return [...byId(notes)].filter(([, of]) => !of.some((note) => note.event === "told" && note.told === "ok"))
    .map(([id]) => id);
}

/** Sends that did not end by their deadline, by client; beyond what lies in the gaps of its loop. */
export function lateViolations(
  client: string,
  notes: readonly (NeverNote | OnceNote)[],
  gaps: readonly Span[],
): string[] {
  return notes.flatMap((note) => {
    if ("event" in note && note.event !== "told") return [];
    const { told, at, took, timeout } = note;
    const what = "place" in note ? `never-settling ${note.place}` : `id ${note.id}`;
    if (told === UNSETTLED) return [`${client}: ${what}: ${told}`];
    if ("place" in note && !NEVER_TOLD.includes(told)) return [`${client}: ${what}: told ${told}`];
    if (took - gapWithin(gaps, at - took, at) <= timeout + MARGIN) return [];
    return [`${client}: ${what}: ${told} after ${Math.round(took)} ms, its timeout ${timeout}`];
  });
}

function byId(notes: readonly OnceNote[]): Map<string, OnceNote[]> {
  const found = new Map<string, OnceNote[]>();
  for (const note of notes) {
    const of = found.get(note.id);
    if (of === undefined) found.set(note.id, [note]);
    else of.push(note);
  }
  return found;
}

/** Runs in the order in which they began; a run that did not end, ended with its process. */
function runsOf(notes: readonly OnceNote[], troubles: readonly Trouble[]): Run[] {
  const ends = new Map(notes.flatMap((note) => note.event === "ended" ? [[note.run, note.at]] : []));
  return notes.flatMap((note): Run[] => {
    if (note.event !== "begun") return [];
    const { run, at: from } = note;
    const endpoint = run.split(" ")[0];
    const died = troubles.find((it) => it.kind === "death" && it.endpoint === endpoint)?.from ?? Infinity;
    return [{ run, endpoint, from, to: ends.get(run) ?? died }];
  }).sort((a, b) => a.from - b.from);
}

/** The longest stretch within a time in which a process could not reach the store, in ms. */
function longestAway(troubles: readonly Trouble[], endpoint: string, from: number, to: number): number {
  const spans = troubles.filter((it) => it.kind !== "death" && it.kind !== "wipe")
    .filter((it) => it.endpoint === undefined || it.endpoint === endpoint)
    .map((it) => ({ from: it.from, to: Math.min(it.to, to) }))
    .filter((it) => it.to >= from && it.from <= to)
    .sort((a, b) => a.from - b.from);
  let longest = 0;
  let begun = -Infinity;
  let end = -Infinity;
  for (const span of spans) {
    // a connection that has just come back and goes again is one absence
    if (span.from > end + BETWEEN) begun = span.from;
    end = Math.max(end, span.to);
    longest = Math.max(longest, end - begun);
  }
  return longest;
}

const BETWEEN = 1_000; // ms: what a connection takes to come back, on a busy machine
