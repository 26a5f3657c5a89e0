/**
 * The history of a program over several lives, each of which SIGKILL ends: every beginning and end is written to a file
 * at once, so that `guarantees` can judge all lives together.
 */
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { RunInfo } from "../../mod.ts";
import type { HandlerAttempt, History, HistoryLetter, HistorySpan, WorkflowStep } from "../../src/testing/history.ts";
import { HistoryRecorder } from "../../src/testing/history_recorder.ts";
import { systemClock } from "../../src/ports/clock.ts";

/** The node of all lives. */
const NODE = "program-1";
/** Places, and numbers of operations, of one life: more than it can use. */
const PER_LIFE = 1_000_000;
const LISTS = ["operations", "attempts", "steps", "locks", "terms", "processes"] as const;
type List = (typeof LISTS)[number];

/** A line of the file: a beginning, an end, or a note of the program. */
type Line =
  | { readonly list: List; readonly span: HistorySpan & { readonly by?: number | undefined } }
  | { readonly began: number; readonly fields: Partial<HistorySpan> }
  | { readonly note: Note };

/** Something that the program has written down itself. */
export interface Note {
  readonly about: string;
  readonly [field: string]: unknown;
}

/** The process of one life, as the history names it. */
export interface Life {
  readonly node: string;
  readonly process: number;
}

/** Records one life. */
export class WrittenHistory extends HistoryRecorder {
  readonly life: Life;
  readonly #file: number;
  readonly #first: number;

  /** `life`: number of the life, from 0. */
  constructor(folder: string, life: number) {
    super({ ...systemClock, monotonic: () => systemClock.now() });
    this.life = { node: NODE, process: life + 1 };
    this.#first = life * PER_LIFE;
    // messages carry the numbers of their operations: those of two lives differ
    this.operations.length = this.#first;
    this.#file = openSync(pathOf(folder, life), "a");
    this.begin(this.processes, { ...this.life, deploy: 0, endedBy: undefined });
  }

  override begin<T extends HistorySpan>(list: T[], fields: Omit<T, keyof HistorySpan>) {
    const span = super.begin(list, fields);
    const { by, ...rest } = span as T & { by?: HistorySpan };
    const name = LISTS.find((each) => this[each] === list as unknown)!;
    const began = span.began + this.#first;
    this.#write({ list: name, span: { ...rest, began, by: by && by.began + this.#first } as never });
    return span;
  }

  override end<T extends HistorySpan>(span: T, fields: Partial<T> = {}): void {
    if (span.ended !== undefined) return;
    super.end(span, fields);
    const { began, end, ended } = span;
    this.#write({ began: began + this.#first, fields: { ...fields, end, ended: ended! + this.#first } });
  }

  note(note: Note): void {
    this.#write({ note });
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }

  #write(line: Line): void {
    writeSync(this.#file, `${JSON.stringify(line)}\n`);
  }
}

/** Reads the history of the lives before `lives`; all but the last one were killed. */
export function readHistory(
  folder: string,
  lives: number,
  state: { readonly runs: readonly RunInfo[]; readonly deadLetters: readonly HistoryLetter[] },
): { readonly history: History; readonly notes: readonly Note[] } {
  const lists: Record<List, HistorySpan[]> = {
    ...{ operations: [], attempts: [], steps: [], locks: [], terms: [], processes: [] },
  };
  const spans = new Map<number, HistorySpan>();
  const notes: Note[] = [];
  for (let life = 0; life < lives; life++) {
    let last = 0;
    for (const line of linesOf(folder, life)) {
      if ("note" in line) {
        notes.push(line.note);
        continue;
      }
      if ("list" in line) {
        const { by, ...span } = line.span;
        const cause = by === undefined ? undefined : spans.get(by) as HandlerAttempt | WorkflowStep | undefined;
        const whole = { ...span, by: cause };
        spans.set(span.began, whole);
        lists[line.list].push(whole);
        last = span.start;
      } else {
        Object.assign(spans.get(line.began)!, line.fields);
        last = line.fields.end!;
      }
    }
    if (life === lives - 1) continue;
    const process = { ended: (life + 1) * PER_LIFE - 1, end: last, endedBy: "kill" };
    Object.assign(spans.get(life * PER_LIFE)!, process);
  }
  // cast: each list has the entries that its recorder has written
  return { history: { seed: 0, faults: [], transactions: [], ...lists, ...state } as unknown as History, notes };
}

/** Reads a life's lines; the last one may have been cut off by the kill. */
function linesOf(folder: string, life: number): Line[] {
  const lines = readFileSync(pathOf(folder, life), "utf8").split("\n");
  lines.pop();
  return lines.map((line) => JSON.parse(line));
}

function pathOf(folder: string, life: number): string {
  return join(folder, `life-${life}.jsonl`);
}
