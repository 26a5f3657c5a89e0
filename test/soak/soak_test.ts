import { rm } from "node:fs/promises";
import { describe, it } from "node:test";
import { assert, assertEquals, assertGreater } from "@std/assert";
import { requireNatsServer } from "../../tools/nats_server.ts";
import { soak, type SoakOptions, type SoakReport } from "./run.ts";

const CALM: SoakOptions = { seconds: 1, seed: 1, rate: 1_000, every: Infinity, nodes: [2, 2], clients: 1 };

describe("soak", await requireNatsServer(), () => {
  it(
    "a small cluster keeps its promises under kills and restarts",
    { timeout: 300_000 },
    async () => {
      const storm = { ...CALM, seconds: 4, rate: 500, every: 400, nodes: [4, 5] } as const;
      const report = await soakUntil(
        storm,
        ({ operations, deeds }) => operations > 500 && deeds.kill * deeds.restart > 0,
      );
      assertEquals([report.violations, report.evidence], [[], []]);
      assertGreater(report.operations, 500);
      assertGreater(report.outcomes.get("Write")!.get("ok")!, 100);
      for (const deed of ["kill", "restart"] as const) assertGreater(report.deeds[deed], 0, deed);
    },
  );

  it("a soak fails when a command is acknowledged and did not run", { timeout: 300_000 }, async () => {
    await assertRed("lost", /^Write \d+: told ok, and ran 0 time\(s\)$/);
  });

  it("a soak fails when a command runs twice", { timeout: 300_000 }, async () => {
    await assertRed("twice", /^Write \d+: told ok, and ran 2 time\(s\)$/);
  });
});

/**
 * A soak that has come to what it is about, or found something: a busy machine gets to little in the time of the first.
 */
async function soakUntil(options: SoakOptions, enough: (report: SoakReport) => boolean): Promise<SoakReport> {
  for (let seconds = options.seconds;; seconds *= 2) {
    const report = await soak({ ...options, seconds });
    if (report.violations.length > 0 || enough(report) || seconds > 20) return report;
  }
}

async function assertRed(plant: "lost" | "twice", what: RegExp): Promise<void> {
  const { violations, evidence, log } = await soakUntil({ ...CALM, plant }, () => false);
  assertGreater(violations.length, 0);
  await rm(log!, { recursive: true });
  for (const violation of violations) assert(what.test(violation), violation);
  assertGreater(evidence.length, 0);
}
