/**
 * Two builds side by side: the sources of this tree and of another one, both below the bench of this tree, take turns,
 * one round each, so that each figure is of the same program, what the machine does meanwhile falls on both alike, and
 * each round of one has its counterpart.
 *
 * @module
 */
import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { copyFiles, sourceFiles } from "../tools/sources.ts";
import { FLOOR_TURNS, type Section, type Wanted } from "./arguments.ts";
import { comparedOn } from "./compared.ts";
import { writeCompared } from "./docs.ts";
import { fillFloors } from "./floors.ts";
import { alternate } from "./rounds.ts";
import { pairedChanges, readRun, type Run, writeRun } from "./run.ts";
import { resolvesToJsr } from "./surroundings.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** Parts of a tree that is measured. */
const MEASURED = ["mod.ts", "src", "jsr.json", "deno.json", "deno.lock", "package.json", "bun.lock", "tsconfig.json"];
/** Sections with a peer that an aim is measured against (docs/internals/measurements.md, Floors). */
const WITH_PEERS: readonly Section[] = ["workflows"];
/** Parts of this tree that measure. */
const MEASURING = ["bench", "tools", "test/support", "test/processes", "docs/internals/packages.md"];

/**
 * Runs the sections on this tree and on `tree`, prints what differs, and writes it into the docs. A section that fails
 * on one of them, as one that needs what an earlier tree does not have, is left out, with its error; gives 1 if one
 * failed on this tree, else 0.
 */
export async function compareTrees(tree: string, wanted: Wanted): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), "catga-bench-"));
  const failed: string[] = [];
  const leftOut: string[] = [];
  const tables: Run["tables"] = [];
  let latest: Run | undefined;
  try {
    const commits = { before: await commitOf(resolve(tree)), now: await commitOf(ROOT) };
    await layOut(resolve(tree), join(folder, "before"));
    await layOut(ROOT, join(folder, "now"));
    for (const section of wanted.sections) {
      const players = (trial: boolean) =>
        ["before", "now"].map((name) => {
          const play = () => oneRound(join(folder, name), section, { ...wanted, trial: wanted.trial || trial });
          const drop = (error: unknown) => {
            if (name === "now") failed.push(section);
            leftOut.push(`${section}, ${name}: ${briefly(error)}`);
          };
          const again = (error: unknown) => {
            console.log(`repeated: ${section}, ${name}: ${briefly(error)}\n`);
            return play();
          };
          // one failure must not cost the rounds of an hour
          return { name, play: () => trial ? play() : play().catch(again), drop };
        });
      const left = leftOut.length;
      // Deno compiles what it has not run before; and a section that cannot run on a tree ends here
      const first = await alternate(players(true), 1);
      if (leftOut.length > left) continue;
      const runs = wanted.trial ? first : await alternate(players(false), turnsOf(section, wanted));
      if (leftOut.length > left) continue;
      const [before, now] = ["before", "now"].map((name) => joined(runs.get(name)!));
      console.log(`${comparedOn(before, now, commits)}\n${pairedChanges(before, now)}\n`);
      // after each section: a run may be ended early
      if (wanted.docs !== undefined) {
        await writeCompared(wanted.docs, before, now, commits);
        await fillFloors(wanted.docs);
      }
      tables.push(...now.tables);
      latest = now;
    }
    for (const why of leftOut) console.log(`left out: ${why}\n`);
    if (wanted.json !== undefined && latest !== undefined) await writeRun(wanted.json, { ...latest, tables });
    return failed.length === 0 ? 0 : 1;
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** So many turns of each tree. */
function turnsOf(section: Section, { rounds, floors, quick }: Wanted): number {
  return rounds ?? (floors ? FLOOR_TURNS[section] : undefined) ?? (quick ? 3 : 7);
}

function briefly(error: unknown): string {
  return (error as Error).message.split("\n").slice(0, 4).join(" ");
}

/** Puts a tree's sources below this tree's bench, with the packages of the tree, and what this tree has fetched. */
async function layOut(tree: string, place: string): Promise<void> {
  for (const [from, parts] of [[tree, MEASURED], [ROOT, MEASURING]] as const) {
    const files = await sourceFiles(from, parts.filter((part) => existsSync(join(from, part))));
    await copyFiles(from, files, place);
  }
  const link = async (from: string, to: string) => {
    if (existsSync(from)) await symlink(from, join(place, to), "junction");
  };
  await link(join(tree, "node_modules"), "node_modules");
  await link(join(ROOT, "bench", "node_modules"), join("bench", "node_modules"));
  await mkdir(join(place, ".cache"));
  const fetched = await readdir(join(ROOT, ".cache")).catch(() => []);
  for (const name of fetched) await link(join(ROOT, ".cache", name), join(".cache", name));
}

/** The commit of a tree, for people. */
async function commitOf(tree: string): Promise<string> {
  const git = (...args: string[]) =>
    new Promise<string | undefined>((resolve) =>
      execFile("git", ["-C", tree, ...args], (error, stdout) => resolve(error ? undefined : stdout.trim()))
    );
  const commit = await git("rev-parse", "--short=8", "HEAD");
  if (commit === undefined) return "a tree without commits";
  return await git("status", "--porcelain", "--", ...MEASURED) === "" ? commit : `${commit} with changes`;
}

/**
 * Arguments of one round of a section. Peers do not differ between the trees, and would double the time: those alone
 * take part that an aim names.
 */
export function argumentsOfRound(
  section: Section,
  { floors, quick, trial, peers, published, transport }: Wanted,
): string[] {
  return [
    ...floors ? ["floors", section] : [section, "--rounds", "1"],
    ...(peers && WITH_PEERS.includes(section) ? [] : ["--no-peers"]),
    ...(trial ? ["--trial"] : quick ? ["--quick"] : []),
    ...(published ? [] : ["--no-published"]),
    ...(transport === undefined ? [] : ["--transport", transport]),
  ];
}

/** The figures of one round of a section, in a process of its own. */
async function oneRound(root: string, section: Section, wanted: Wanted): Promise<Run> {
  const file = join(root, "run.json");
  const options = [...argumentsOfRound(section, wanted), "--json", file];
  // as published, the registry that runs this comparison serves both trees, which keeps what Deno has compiled
  const config = resolvesToJsr() ? ["--config", join(root, "jsr.json"), "--no-lock"] : [];
  const runtime = process.versions.deno === undefined ? [] : ["run", "-A", "--no-check", ...config];
  const args = [...runtime, join(root, "bench", "bench.ts"), ...options];
  const env = { ...process.env, NO_COLOR: "1" };
  const child = spawn(process.execPath, args, { cwd: root, env, stdio: ["ignore", "ignore", "pipe"] });
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => errors = (errors + text).slice(-4_000));
  const code = await new Promise((ended, reject) => child.once("error", reject).once("close", ended));
  if (code !== 0) throw new Error(`the bench ended with ${code}\n${errors}`);
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
