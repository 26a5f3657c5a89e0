/**
 * Figures in pages: what stands between `<!-- bench remote deno -->` and `<!-- /bench -->` is the table `remote` of a run
 * in Deno, and `setting` stands for what it was taken with.
 *
 * @module
 */
import { readFile, writeFile } from "node:fs/promises";
import { markdownOf } from "./report.ts";
import type { Run } from "./run.ts";

/** Puts a run's figures into a page. Rejects with a `TypeError` when it has no place for any of them. */
export async function writeDocs(file: string, run: Run): Promise<void> {
  const page = await readFile(file, "utf8");
  const filled = fill(page, run);
  if (filled === undefined) {
    throw new TypeError(`${file} has no place for figures of this run: <!-- bench <table> <runtime> -->`);
  }
  await writeFile(file, filled);
}

/** The page with the run's figures, other runtimes' and other tables' as they were; `undefined` without a place for any. */
export function fill(page: string, run: Run): string | undefined {
  const [runtime] = run.setting.runtime.toLowerCase().split(" ");
  let found = false;
  const filled = page.replace(/(<!-- bench (\S+) (\S+) -->\n)[^]*?(<!-- \/bench -->)/g, (whole, head, id, of, tail) => {
    const table = run.tables.find((table) => table.id === id);
    if (of !== runtime || (table === undefined && id !== "setting")) return whole;
    found = true;
    return `${head}\n${table === undefined ? settingOf(run) : markdownOf(table)}\n\n${tail}`;
  });
  return found ? filled : undefined;
}

function settingOf({ date, setting: { runtime, machine, natsServer, transports } }: Run): string {
  return `${runtime}, nats-server ${natsServer}, ${transports}; ${machine}; ${date.slice(0, 10)}.`;
}
