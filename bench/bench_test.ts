import { assertEquals, assertGreater, assertStringIncludes } from "@std/assert";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { requireNatsServer } from "../tools/nats_server.ts";
import { readRun } from "./run.ts";
import { median } from "./statistics.ts";

const file = fileURLToPath(new URL("bench.ts", import.meta.url));
const command = "Bun" in globalThis ? ["run"] : ["run", "-A", "--no-check"];

/** Options of a run that is short; the file for its figures comes behind. */
const trial = ["--trial", "--no-peers", "--no-published", "--json"];

/** Runs the bench without peers; gives what it printed on both channels. */
function bench(...args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [...command, file, ...args], { timeout: 300_000 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${stdout}${stderr}`, { cause: error }));
      else resolve(stdout);
    });
  });
}

describe("bench", await requireNatsServer(), () => {
  it("measures, prints, and writes figures that a later run can be compared with", async () => {
    const folder = await mkdtemp(join(tmpdir(), "catga-bench-"));
    try {
      const json = join(folder, "run.json");
      const printed = await bench("events", ...trial, json);
      assertStringIncludes(printed, "Catga ÷ nc.publish");
      const { tables: [events], setting } = await readRun(json);
      assertStringIncludes(printed, setting.runtime);
      assertEquals(events.id, "events");
      for (const { cells } of events.rows) {
        assertEquals(cells.length, events.columns.length);
        for (const rounds of cells) assertGreater(median(rounds), 0);
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it("measures the log: publishing, handling, catching up, read models", async () => {
    const folder = await mkdtemp(join(tmpdir(), "catga-bench-"));
    try {
      const json = join(folder, "run.json");
      await bench("log", ...trial, json);
      const { tables } = await readRun(json);
      assertEquals(tables.map(({ id }) => id), [
        "log-publish",
        "log-publish-ids",
        "log-publish-alone",
        "log-handled",
        "log-latency",
        "log-batches",
        "log-behind",
        "log-behind-memory",
        "log-model",
      ]);
      for (const { id, rows } of tables) {
        for (const { name, cells } of rows) {
          for (const rounds of cells) assertGreater(median(rounds), 0, `${id}: ${name}`);
        }
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it("measures entities: commands, loading, and a growing number of them", async () => {
    const folder = await mkdtemp(join(tmpdir(), "catga-bench-"));
    try {
      const json = join(folder, "run.json");
      await bench("entities", "entities-growth", "entities-endurance", ...trial, json);
      const { tables } = await readRun(json);
      assertEquals(tables.map(({ id }) => id), [
        "entities",
        "entities-processor",
        "entities-steady",
        "entities-alone",
        "entities-together",
        "entities-load",
        "entities-growth",
        "entities-growth-memory",
        "entities-growth-load",
        "entities-growth-loads",
        "entities-endurance",
        "entities-endurance-processor",
        "entities-endurance-memory",
      ]);
      for (const { id, rows } of tables) {
        for (const { name, cells } of rows) {
          // a trial of endurance has windows so short that nothing may end in one
          if (id === "entities-endurance") continue;
          for (const rounds of cells) assertGreater(median(rounds), 0, `${id}: ${name}`);
        }
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it("measures workflows: runs, resuming and waking", async () => {
    const folder = await mkdtemp(join(tmpdir(), "catga-bench-"));
    try {
      const json = join(folder, "run.json");
      await bench("workflows", ...trial, json);
      const { tables } = await readRun(json);
      assertEquals(tables.map(({ id }) => id), [
        "workflows",
        "workflows-latency",
        "workflows-processor",
        "workflows-resume",
        "workflows-wake",
      ]);
      for (const { id, rows } of tables) {
        for (const { name, cells } of rows) {
          for (const rounds of cells) assertGreater(median(rounds), 0, `${id}: ${name}`);
        }
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it("says what it was asked for in vain", async () => {
    const error = await bench("fast").then(() => "nothing", String);
    assertStringIncludes(error, "no section fast; there are local");
  });
});
