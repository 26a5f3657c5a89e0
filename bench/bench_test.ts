import { assertEquals, assertGreater, assertStringIncludes } from "@std/assert";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { requireNatsServer } from "../tools/nats_server.ts";
import { readRun, type Run } from "./run.ts";
import { median } from "./statistics.ts";
import { findPostgres } from "../test/support/databases.ts";

const file = fileURLToPath(new URL("bench.ts", import.meta.url));
const command = "Bun" in globalThis ? ["run"] : ["run", "-A", "--no-check"];

/** A busy machine takes many times as long as an idle one. */
const slow = { timeout: 1_200_000 };

/** Options of a run that is short; the file for its figures comes behind. */
const TRIAL = ["--trial", "--no-peers", "--no-published", "--json"];

/** Runs the bench without peers; gives what it printed on both channels. */
function bench(...args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [...command, file, ...args], slow, (error, stdout, stderr) => {
      if (error) reject(new Error(`${stdout}${stderr}`, { cause: error }));
      else resolve(stdout);
    });
  });
}

/** Whether there is a PostgreSQL: without one its table is left out, and the bench says so. */
const WITH_POSTGRES = "open" in findPostgres();

/** The sections, with the tables that they make. */
const SECTIONS: readonly (readonly [what: string, sections: readonly string[], tables: readonly string[]])[] = [
  ["the edge: commands, readers of a tail, the client", ["edge"], [
    "edge",
    "edge-readers",
    "edge-reach",
    "edge-client",
  ]],
  ["events", ["events"], ["events"]],
  ["the log: publishing, handling, catching up, read models", ["log"], [
    "log-publish",
    "log-publish-ids",
    "log-publish-alone",
    "log-handled",
    "log-latency",
    "log-batches",
    ...WITH_POSTGRES ? ["log-postgres"] : [],
    "log-behind",
    "log-behind-memory",
    "log-model",
    "log-takeover",
    "log-cut",
    "log-cut-twice",
  ]],
  ["entities: commands and loading", ["entities"], [
    "entities",
    "entities-processor",
    "entities-steady",
    "entities-alone",
    "entities-together",
    "entities-load",
  ]],
  ["workflows: runs, resuming and waking", ["workflows"], [
    "workflows",
    "workflows-latency",
    "workflows-processor",
    "workflows-resume",
    "workflows-wake",
  ]],
  ["idle nodes and faults of a growing cluster", ["growth-nodes"], [
    "growth-nodes",
    "growth-nodes-traffic",
    "growth-nodes-bytes",
    "growth-nodes-processor",
    "growth-nodes-memory",
  ]],
  ["many runs that sleep", ["workflows-growth"], ["workflows-growth-memory"]],
  ["what catga check reads", ["check"], ["check", "check-runs", "check-memory"]],
  ["seeds of explore", ["explore"], ["explore", "explore-processor", "explore-memory"]],
];

describe("bench", await requireNatsServer(), () => {
  let folder: string;
  let printed: string;
  let run: Run;

  // all in one run: a section takes over the programs of the one before
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "catga-bench-"));
    const json = join(folder, "run.json");
    printed = await bench(...SECTIONS.flatMap(([, sections]) => sections), ...TRIAL, json);
    run = await readRun(json);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it("prints the tables that it writes for a later run to be compared with", () => {
    assertStringIncludes(printed, run.setting.runtime);
    for (const { title } of run.tables) assertStringIncludes(printed, title);
    if (!WITH_POSTGRES) assertStringIncludes(printed, "left out: events into PostgreSQL: no PostgreSQL is in");
    assertEquals(run.tables.map(({ id }) => id), SECTIONS.flatMap(([, , tables]) => tables));
  });

  for (const [what, , tables] of SECTIONS) {
    it(`measures ${what}: each figure of each table`, slow, () => {
      for (const { id, columns, rows, unit } of run.tables.filter(({ id }) => tables.includes(id))) {
        for (const { name, cells } of rows) {
          assertEquals(cells.length, columns.length, `${id}: ${name}`);
          for (const [at, rounds] of cells.entries()) {
            // a trial looks at real nodes for 50 ms, in which they may do nothing; none of them is frozen or deaf
            if (id.startsWith("growth-nodes") && !columns[at].endsWith("simulated")) continue;
            const none = unit === "count" ? -1 : 0; // a count may be 0
            assertGreater(median(rounds), none, `${id}: ${name}`);
          }
        }
      }
    });
  }

  it("adds up what an idle node hears and says", () => {
    const { rows } = run.tables.find(({ id }) => id === "growth-nodes-traffic")!;
    const [heard, said, both] = rows.map(({ cells }) => cells.at(-1)![0]);
    assertGreater(said, 0);
    assertEquals(both, heard + said);
  });

  const elsewhere = { ...slow, skip: "Deno" in globalThis ? "it measures them" : false };
  it("leaves out types in Bun, and says that its compilers do not depend on the runtime", elsewhere, async () => {
    assertStringIncludes(await bench("types", ...TRIAL, join(folder, "types.json")), "left out: types: its compilers");
    assertEquals((await readRun(join(folder, "types.json"))).tables, []);
  });

  it("takes turns with the sources of another tree, and puts the figures of both into the docs", slow, async () => {
    const tree = fileURLToPath(new URL("..", import.meta.url));
    const page = join(folder, `compared-${run.setting.runtime.split(" ")[0].toLowerCase()}.md`);
    await writeFile(page, "# Both\n");
    const text = await bench("local", ...TRIAL, join(folder, "turns.json"), "--compare", tree, "--docs", folder);
    assertStringIncludes(text, "figures are the same, as far as the rounds can tell");
    const { tables } = await readRun(join(folder, "turns.json"));
    assertEquals([tables[0].id, tables[0].rows[0].cells[0].length], ["local", 1]);
    const docs = await readFile(page, "utf8");
    for (const { name } of tables[0].rows) assertStringIncludes(docs, `| ${name} |`);
  });

  it("compares trees without a section that one of them cannot run, and says why", slow, async () => {
    const tree = await mkdtemp(join(folder, "tree-"));
    const [section, ...rest] = ["local", "--no-peers", "--trial", "--no-published"];
    const text = await bench(section, ...rest, "--compare", tree);
    assertStringIncludes(text, "left out: local, before: the bench ended with 1");
  });

  it("says what it was asked for in vain", async () => {
    const error = await bench("fast").then(() => "nothing", String);
    assertStringIncludes(error, "no section fast; there are local");
  });
});
