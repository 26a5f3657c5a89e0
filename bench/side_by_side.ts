/**
 * Two builds side by side: the bench of this tree and that of another one take turns, one round each, so that what the
 * machine does meanwhile falls on both alike, and each round of one has its counterpart.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { Wanted } from "./arguments.ts";
import { alternate } from "./rounds.ts";
import { pairedChanges, readRun, type Run, writeRun } from "./run.ts";

/** Runs the sections in this tree and in `tree`, and prints what differs. Rejects if one of the benches fails. */
export async function compareTrees(tree: string, wanted: Wanted): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "catga-bench-"));
  try {
    const trees = { now: fileURLToPath(new URL("..", import.meta.url)), before: resolve(tree) };
    const players = Object.entries(trees).map(([name, root]) => ({
      name,
      play: () => oneRound(root, join(folder, `${name}.json`), wanted),
    }));
    const runs = await alternate(players, wanted.rounds ?? (wanted.trial ? 1 : wanted.quick ? 3 : 7));
    const [now, before] = players.map(({ name }) => joined(runs.get(name)!));
    console.log(pairedChanges(before, now));
    if (wanted.json !== undefined) await writeRun(wanted.json, now);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The figures of one round, by the bench of that tree in a process of its own; peers are the same in both. */
async function oneRound(root: string, file: string, { sections, ...wanted }: Wanted): Promise<Run> {
  const { quick, trial, published, transport } = wanted;
  const options = [
    ...["--rounds", "1", "--no-peers", "--json", file],
    ...(trial ? ["--trial"] : quick ? ["--quick"] : []),
    ...(published ? [] : ["--no-published"]),
    ...(transport === undefined ? [] : ["--transport", transport]),
  ];
  const runtime = process.versions.deno === undefined ? [] : ["run", "-A"];
  const args = [...runtime, join(root, "bench", "bench.ts"), ...sections, ...options];
  const child = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "ignore", "pipe"] });
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => errors = (errors + text).slice(-4_000));
  const code = await new Promise((ended, reject) => child.once("error", reject).once("close", ended));
  if (code !== 0) throw new Error(`the bench of ${root} ended with ${code}\n${errors}`);
  return await readRun(file);
}

/** All rounds as one run, with the rows of the first one. */
function joined(runs: readonly Run[]): Run {
  const [first, ...others] = runs;
  const tables = first.tables.map((table) => ({
    ...table,
    rows: table.rows.map(({ name, cells }) => ({
      name,
      cells: cells.map((rounds, column) => [
        ...rounds,
        ...others.flatMap(({ tables }) =>
          tables.find(({ id }) => id === table.id)?.rows.find((row) => row.name === name)?.cells[column] ?? []
        ),
      ]),
    })),
  }));
  return { ...first, tables };
}
