import { assertEquals, assertGreater, assertStringIncludes } from "@std/assert";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { requireNatsServer } from "../tools/nats_server.ts";
import { findPostgres } from "../test/support/databases.ts";
import { THIS_RUNTIME } from "../test/support/of_this_runtime.ts";
import { readRun, type Run } from "./run.ts";
import { median } from "./statistics.ts";

const file = fileURLToPath(new URL("bench.ts", import.meta.url));
const command = "Bun" in globalThis ? ["run"] : ["run", "-A", "--no-check"];

/** A busy machine takes many times as long as an idle one. */
export const slow = { timeout: 1_200_000 };

/** Options of a run that is short; the file for its figures comes behind. */
export const TRIAL = ["--trial", "--no-peers", "--no-published", "--json"];

/** Runs the bench; resolves with its output, and rejects with that and its errors if it fails. */
export function bench(...args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [...command, file, ...args], slow, (error, stdout, stderr) => {
      if (error) reject(new Error(`${stdout}${stderr}`, { cause: error }));
      else resolve(stdout);
    });
  });
}

/** True if there is a PostgreSQL: without one its table is left out, and the bench says so. */
export const WITH_POSTGRES = "open" in findPostgres();

/** A section of the bench, and the tables that it makes. */
export interface Trial {
  /** The question of the section. */
  readonly what: string;
  readonly section: string;
  readonly tables: readonly string[];
  /**
   * The runtime in which it is tried: programs of the bench have one source for both. Sections with rows for each
   * transport need Deno, which has two. Absent: both.
   */
  readonly only?: "deno" | "bun";
  /** Declares further tests of its tables. */
  readonly more?: (run: () => Run) => void;
}

/** Runs those of these sections that this runtime tries, in one run, as the files of the bench do beside each other. */
export async function describeTrials(title: string, all: readonly Trial[]) {
  const trials = all.filter(({ only }) => only === undefined || only === THIS_RUNTIME);
  describe(title, await requireNatsServer(), () => {
    let folder: string;
    let printed: string;
    let run: Run;

    before(async () => {
      folder = await mkdtemp(join(tmpdir(), "catga-bench-"));
      const json = join(folder, "run.json");
      printed = await bench(...trials.map(({ section }) => section), ...TRIAL, json);
      run = await readRun(json);
    });
    after(() => rm(folder, { recursive: true, force: true }));

    it("prints the tables that it writes for a later run to be compared with", () => {
      assertStringIncludes(printed, run.setting.runtime);
      for (const { title } of run.tables) assertStringIncludes(printed, title);
      assertEquals(run.tables.map(({ id }) => id), trials.flatMap(({ tables }) => tables));
      const missing = !WITH_POSTGRES && trials.some(({ section }) => section === "log");
      if (missing) assertStringIncludes(printed, "left out: events into PostgreSQL: no PostgreSQL is in");
      assertEquals(printed.match(/^left out: /gm)?.length ?? 0, missing ? 1 : 0, printed);
    });

    for (const { what, tables, more } of trials) {
      it(`measures ${what}: each figure of each table`, () => {
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
      more?.(() => run);
    }
  });
}
