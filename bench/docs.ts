/**
 * Figures in pages: a run's tables go into `<folder>/deno.md` or `<folder>/bun.md`, those of two builds side by side
 * into `<folder>/compared-deno.md` or `<folder>/compared-bun.md`, each between `<!-- bench remote -->` and
 * `<!-- /bench -->`, with what it was measured on.
 *
 * @module
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Commits, comparedOn, comparedTables } from "./compared.ts";
import { markdownOf } from "./report.ts";
import type { Run } from "./run.ts";

/** A table between two marks, with the machine, the packages and the date of its figures. */
interface Block {
  readonly id: string;
  readonly text: string;
  readonly measured: string;
}

/** Puts a run's figures into the page of its runtime. */
export async function writeDocs(folder: string, run: Run): Promise<void> {
  await fill(join(folder, `${runtimeOf(run)}.md`), blocksOf(run));
}

/** Puts the figures of two builds side by side into the page of their runtime. */
export async function writeCompared(folder: string, before: Run, now: Run, commits: Commits): Promise<void> {
  await fill(join(folder, `compared-${runtimeOf(now)}.md`), comparedBlocks(before, now, commits));
}

function runtimeOf({ setting: { runtime } }: Run): string {
  return runtime.toLowerCase().split(" ")[0];
}

async function fill(file: string, blocks: readonly Block[]): Promise<void> {
  await writeFile(file, filled(await readFile(file, "utf8"), blocks));
}

/** A page with these blocks: in place of earlier ones, or at its end. */
export function filled(page: string, blocks: readonly Block[]): string {
  return blocks.reduce((page, { id, text, measured }) => {
    const mark = `<!-- bench ${id} -->`;
    const block = [mark, text, measured, END].join("\n\n");
    const begin = page.indexOf(mark);
    if (begin < 0) return `${page.trimEnd()}\n\n${block}\n`;
    const end = page.indexOf(END, begin) + END.length;
    return page.slice(0, begin) + block + page.slice(end);
  }, page);
}

/** A run's tables. */
export function blocksOf({ date, setting, tables }: Run): Block[] {
  const { runtime, machine, natsServer, transports } = setting;
  const measured = `${runtime}, nats-server ${natsServer}, ${transports}; ${machine}; ${date.slice(0, 10)}.`;
  return tables.map((table) => ({ id: table.id, text: markdownOf(table), measured }));
}

/** The tables of two builds side by side. */
export function comparedBlocks(before: Run, now: Run, commits: Commits): Block[] {
  const measured = comparedOn(before, now, commits);
  return comparedTables(before, now).map(({ id, text }) => ({ id, text, measured }));
}

const END = "<!-- /bench -->";
