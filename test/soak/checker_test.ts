import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import type { Span } from "../processes/loop_gaps.ts";
import { check, type Findings } from "./checker.ts";
import { ranLine, stallLine, toldLine, UNSETTLED, WRONG } from "./log.ts";
import type { Letter } from "./messages.ts";
import type { Trouble } from "./shared_check.ts";

describe("the checker of soaks", () => {
  it("accepts a log of kept promises, and counts its messages", async () => {
    const { operations, outcomes, delivered, latencies, violations } = await checked([
      told("W", 0, "ok"),
      ran("W", 0),
      told("W", 1, "ODD"),
      ran("W", 1),
      told("W", 2, "OUTCOME_UNKNOWN"),
      told("W", 3, "UNAVAILABLE"),
      told("Q", 4, "ok", { took: 30 }),
      ran("Q", 4),
      ran("Q", 4),
      told("Q", 5, "TIMEOUT"),
      told("I", 6, "OUTCOME_UNKNOWN"),
      told("R", 6, "ok"),
      ran("R", 6),
      ran("I", 6),
      told("E", 7, "ok"),
      ran("E", 7, "left"),
      ran("E", 7, "right"),
      told("E", 8, "ok"),
      told("E", 9, "UNAVAILABLE"),
    ]);
    assertEquals(violations, []);
    assertEquals(operations, 10);
    assertEquals([...outcomes.get("Write")!], [["ok", 1], ["ODD", 1], ["OUTCOME_UNKNOWN", 1], ["UNAVAILABLE", 1]]);
    assertEquals([...outcomes.get("Inner")!], [["OUTCOME_UNKNOWN", 1]]);
    assertEquals(delivered, 0.5);
    assertEquals([latencies.queries.percentile(50), latencies.requests.percentile(100)], [1, 30]);
  });

  it("finds an acknowledged command that did not run, and one that ran twice whatever its result", async () => {
    assertEquals(await wrongs(told("W", 0, "ok")), ["Write 0: told ok, and ran 0 time(s)"]);
    assertEquals(await wrongs(told("W", 0, "ODD")), ["Write 0: told ODD, and ran 0 time(s)"]);
    for (const code of ["ok", "OUTCOME_UNKNOWN", "CANCELLED", "UNAVAILABLE"]) {
      assertEquals(await wrongs(told("W", 0, code), ran("W", 0), ran("W", 0)), [
        `Write 0: told ${code}, and ran 2 time(s)`,
      ]);
    }
  });

  it("finds a run of what certainly did not run", async () => {
    for (const code of ["UNAVAILABLE", "OVERLOADED", "DRAINING", "NO_HANDLER"]) {
      assertEquals(await wrongs(told("R", 3, code), ran("R", 3)), [`Relay 3: told ${code}, and ran 1 time(s)`]);
    }
  });

  it("checks the result that a relay got against the runs; without one, none is assumed", async () => {
    const relay = [told("R", 0, "ok"), ran("R", 0)];
    assertEquals(await wrongs(...relay, told("I", 0, "ok")), ["Inner 0: told ok, and ran 0 time(s)"]);
    assertEquals(await wrongs(...relay, told("I", 0, "UNAVAILABLE"), ran("I", 0)), [
      "Inner 0: told UNAVAILABLE, and ran 1 time(s)",
    ]);
    const unknown = [told("R", 0, "OUTCOME_UNKNOWN"), ran("I", 0)];
    assertEquals(await wrongs(...unknown), []);
    assertEquals(await wrongs(...unknown, ran("I", 0)), ["Inner 0: told OUTCOME_UNKNOWN, and ran 2 time(s)"]);
  });

  it("finds wrong values, sends that settled twice, late or never, and runs without a send", async () => {
    assertEquals(await wrongs(told("Q", 0, WRONG), ran("Q", 0)), [`Read 0: ${WRONG}`]);
    assertEquals(await wrongs(told("Q", 0, UNSETTLED)), [`Read 0: ${UNSETTLED}`]);
    assertEquals(await wrongs(told("W", 0, "ok"), told("W", 0, "ok"), ran("W", 0)), [
      "Write 0: settled more than once",
    ]);
    assertEquals(await wrongs(told("Q", 0, "TIMEOUT", { took: 2_900 })), []);
    assertEquals(await wrongs(told("Q", 0, "TIMEOUT", { took: 3_100 })), [
      "Read 0: TIMEOUT after 3100 ms, its timeout 2000",
    ]);
    assertEquals(await wrongs(ran("W", 1)), ["Inner 1: ran, and nobody sent it"]);
  });

  it("excuses a late result by as much as its client was stalled", async () => {
    const late = told("Q", 0, "TIMEOUT", { took: 3_100 }); // from 96,900 to 100,000
    const stalled = (from: number, to: number) => wrongs(late, stallLine({ from, to, busy: 0 }));
    assertEquals(await stalled(98_000, 98_150), []);
    assertEquals((await stalled(98_000, 98_050)).length, 1);
    assertEquals((await stalled(90_000, 96_950)).length, 1);
  });

  it("counts runs that began long after their deadline", async () => {
    const soon = told("W", 0, "OUTCOME_UNKNOWN", { took: 100 });
    assertEquals((await checked([soon, ran("W", 0, "left", 102_800)])).late, 0);
    assertEquals((await checked([soon, ran("W", 0, "left", 103_000)])).late, 1);
  });

  it("counts latencies apart that met no outage", async () => {
    const lines = [told("Q", 0, "TIMEOUT", { took: 2_000 }), told("Q", 1, "TIMEOUT", { took: 500 })];
    const { latencies } = await checked(lines, [{ from: 98_500, to: 99_000 }]);
    assertEquals([latencies.requests.percentile(100), latencies.served.percentile(100)], [2_000, 500]);
  });

  it("finds an event that a service got twice, or got although publishing it failed", async () => {
    assertEquals(await wrongs(told("E", 0, "ok"), ran("E", 0, "left"), ran("E", 0, "left")), [
      "Told 0: ok, and came to service left 2 time(s)",
    ]);
    assertEquals(await wrongs(told("E", 0, "UNAVAILABLE"), ran("E", 0, "right")), [
      "Told 0: UNAVAILABLE, and came to service right 1 time(s)",
    ]);
  });

  it("counts losses to a cut and losses to a death apart", async () => {
    const unknown = (n: number, at: number) =>
      toldLine({ letter: "W", n, told: "OUTCOME_UNKNOWN", at, took: 100, timeout: 2_000 });
    const lines = [unknown(0, 10_000), unknown(1, 20_000), unknown(2, 30_000), unknown(3, 40_000)];
    const { lost } = await checked([...lines, told("E", 4, "ok"), ran("E", 4, "left")], [], [
      { kind: "death", endpoint: "a.x", from: 9_950, to: 9_950 },
      { kind: "cut", endpoint: "b.x", from: 19_800, to: 19_950 },
      { kind: "outage", from: 29_000, to: 29_990 },
      { kind: "death", endpoint: "a.y", from: 29_920, to: 29_920 },
      { kind: "cut", endpoint: "b.x", from: 99_000, to: 100_100 },
    ]);
    assertEquals(lost.commands, { death: 1, cut: 1, both: 1, neither: 1 });
    assertEquals(lost.events, { death: 0, cut: 1, both: 0, neither: 0 });
  });

  it("ignores a line that a kill cut short", async () => {
    assertEquals((await checked([told("W", 12, "UNAVAILABLE"), ran("W", 12).slice(0, -5)])).violations, []);
  });
});

async function wrongs(...lines: string[]): Promise<string[]> {
  return (await checked(lines)).violations.map(({ text }) => text);
}

/** Lines without a service were told to a client. */
async function checked(
  lines: readonly string[],
  outages: readonly Span[] = [],
  troubles: readonly Trouble[] = [],
): Promise<Findings> {
  const folder = await mkdtemp(join(tmpdir(), "catga-checker-"));
  try {
    await writeFile(join(folder, "told-client-0.1"), lines.filter(isTold).join(""));
    await writeFile(join(folder, "runs-node-0.2"), lines.filter((line) => !isTold(line)).join(""));
    return await check(folder, outages, troubles);
  } finally {
    await rm(folder, { recursive: true });
  }
}

function isTold(line: string): boolean {
  return !/ (left|right)\b/.test(line);
}

function told(letter: Letter, n: number, told: string, { took = 1 } = {}): string {
  return toldLine({ letter, n, told, at: 100_000, took, timeout: 2_000 });
}

function ran(letter: Letter, n: number, service = "left", at = 100_000): string {
  return ranLine({ letter, n, at, service }, "client-0.x.y.1.0");
}
