/**
 * Figures in pages: a run's tables go into `<folder>/deno.md` or `<folder>/bun.md`, each between
 * `<!-- bench remote -->` and `<!-- /bench -->`, with what it was measured on.
 *
 * @module
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { markdownOf } from "./report.ts";
import type { Run } from "./run.ts";
import type { Table } from "./table.ts";

/** Puts a run's figures into the page of its runtime. */
export async function writeDocs(folder: string, run: Run): Promise<void> {
  const [runtime] = run.setting.runtime.toLowerCase().split(" ");
  const file = join(folder, `${runtime}.md`);
  await writeFile(file, filled(await readFile(file, "utf8"), run));
}

/** A page with a run's tables: in place of earlier ones, or at its end. */
export function filled(page: string, run: Run): string {
  return run.tables.reduce((page, table) => {
    const mark = `<!-- bench ${table.id} -->`;
    const begin = page.indexOf(mark);
    if (begin < 0) return `${page.trimEnd()}\n\n${blockOf(mark, table, run)}\n`;
    const end = page.indexOf(END, begin) + END.length;
    return page.slice(0, begin) + blockOf(mark, table, run) + page.slice(end);
  }, page);
}

function blockOf(mark: string, table: Table, { date, setting }: Run): string {
  const { runtime, machine, natsServer, transports } = setting;
  const measured = `${runtime}, nats-server ${natsServer}, ${transports}; ${machine}; ${date.slice(0, 10)}.`;
  return [mark, markdownOf(table), measured, END].join("\n\n");
}

const END = "<!-- /bench -->";
