/**
 * The log of a soak: a folder of text files that stand when the processes that write them are killed. One process
 * writes one file, a line for each run (`runs-*`) or for each result that a client was given (`told-*`).
 *
 * @module
 */
import { createReadStream, openSync, writeSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import type { LoopGap } from "../processes/loop_gaps.ts";
import type { Letter } from "./messages.ts";

/** A handler ran. */
export interface Ran {
  readonly letter: Letter;
  readonly n: number;
  /** When, in ms since 1970. */
  readonly at: number;
  readonly service: string;
}

/** A client was given a result. */
export interface ToldLine {
  readonly letter: Letter;
  readonly n: number;
  /** `ok`, the error's code, {@link UNSETTLED} or {@link WRONG}. */
  readonly told: string;
  /** When, in ms since 1970. */
  readonly at: number;
  /** How long that took, in ms. */
  readonly took: number;
  /** How long it was to take at most, in ms. */
  readonly timeout: number;
}

/** A send that had no result long after its deadline. */
export const UNSETTLED = "never settled";
/** A good answer, but not the right one. */
export const WRONG = "a wrong answer";

/**
 * What a file holds: runs of handlers, results as clients were told; as lines of JSON: of idempotent commands, of
 * locks, of sends whose user code never settles.
 */
export type Kind = "runs" | "told" | "once" | "locks" | "never";

/**
 * Appends to one file. What {@link LogFile.write} returned from is kept by the system, whatever becomes of the process.
 */
export class LogFile {
  readonly #file: number;

  constructor(folder: string, what: Kind, id: string) {
    this.#file = openSync(join(folder, `${what}-${id}.${process.pid}`), "a");
  }

  write(lines: string): void {
    writeSync(this.#file, lines);
  }
}

/** A run as a line. `id`: the message id, for people. */
export function ranLine({ letter, n, at, service }: Ran, id: string): string {
  return `${letter} ${n} ${at} ${service} ${id}\n`;
}

/** A result as a line. */
export function toldLine({ letter, n, told, at, took, timeout }: ToldLine): string {
  return `${letter} ${n} ${at} ${took.toFixed(1)} ${timeout} ${told}\n`;
}

/** A gap of a process's event loop, as a line. */
export function stallLine({ from, to, busy }: LoopGap): string {
  return `${STALL} ${from.toFixed(1)} ${to.toFixed(1)} ${busy.toFixed(0)}\n`;
}

/** Reads what {@link stallLine} wrote; `undefined` when it is another line. */
export function readStall(line: string): LoopGap | undefined {
  const [letter, from, to, busy] = line.split(" ", 4);
  return letter === STALL ? { from: Number(from), to: Number(to), busy: Number(busy) } : undefined;
}

/** Reads what {@link ranLine} wrote. */
export function readRan(line: string): Ran {
  const [letter, n, at, service] = line.split(" ");
  return { letter: letter as Letter, n: Number(n), at: Number(at), service }; // written by ranLine
}

/** Reads what {@link toldLine} wrote. */
export function readTold(line: string): ToldLine {
  const [letter, n, at, took, timeout, ...told] = line.split(" ");
  return {
    letter: letter as Letter, // written by toldLine
    n: Number(n),
    told: told.join(" "),
    at: Number(at),
    took: Number(took),
    timeout: Number(timeout),
  };
}

/** The files of a log of one kind. */
export async function logFiles(folder: string, what: Kind): Promise<string[]> {
  return (await readdir(folder)).filter((file) => file.startsWith(`${what}-`)).sort();
}

/** The lines of a file, one after the other. A last line that a kill cut short is left out. */
export async function eachLine(folder: string, file: string, take: (line: string) => void): Promise<void> {
  let rest = "";
  for await (const chunk of createReadStream(join(folder, file), { encoding: "utf8", highWaterMark: 1 << 20 })) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop()!;
    for (const line of lines) take(line);
  }
}

/** Lines of JSON, by the id of the process that wrote them. */
export async function readNotes<T>(folder: string, what: Kind): Promise<Map<string, T[]>> {
  const found = new Map<string, T[]>();
  for (const file of await logFiles(folder, what)) {
    const id = idOf(file);
    let notes = found.get(id);
    if (notes === undefined) found.set(id, notes = []);
    // whatever a process of a soak wrote into such a file is of this type
    await eachLine(folder, file, (line) => notes.push(JSON.parse(line) as T));
  }
  return found;
}

/** The gaps of the event loops of all processes. */
export async function readGaps(folder: string): Promise<LoopGap[]> {
  const gaps: LoopGap[] = [];
  for (const file of [...await logFiles(folder, "told"), ...await logFiles(folder, "runs")]) {
    await eachLine(folder, file, (line) => {
      const gap = readStall(line);
      if (gap !== undefined) gaps.push(gap);
    });
  }
  return gaps;
}

/** The id of the process that wrote a file. */
export function idOf(file: string): string {
  return file.slice(file.indexOf("-") + 1, file.lastIndexOf("."));
}

const STALL = "S";
