import { rm } from "node:fs/promises";
import { describe, it } from "node:test";
import { assert, assertEquals, assertGreater } from "@std/assert";
import { requireNatsServer } from "./nats_server.ts";
import { soak, type SoakOptions, type SoakReport } from "./soak/soak.ts";

const CALM: SoakOptions = { seconds: 1, seed: 1, rate: 1_000, every: Infinity, nodes: [2, 2], clients: 1 };

describe("soak", await requireNatsServer(), () => {
  it(
    "a small cluster keeps its promises under kills and restarts",
    { timeout: 60_000 },
    async () => {
      const report = await soak({ ...CALM, seconds: 4, rate: 500, every: 400, nodes: [4, 5] });
      assertEquals([report.violations, report.evidence], [[], []]);
      assertGreater(report.operations, 500);
      assertGreater(report.outcomes.get("Write")!.get("ok")!, 100);
      for (const deed of ["kill", "restart"] as const) assertGreater(report.deeds[deed], 0, deed);
    },
  );

  it("a command that is answered and not written down makes it red", { timeout: 60_000 }, async () => {
    await assertRed(await soak({ ...CALM, plant: "lost" }), /^Write \d+: told ok, and ran 0 time\(s\)$/);
  });

  it("a command that runs twice makes it red", { timeout: 60_000 }, async () => {
    await assertRed(await soak({ ...CALM, plant: "twice" }), /^Write \d+: told ok, and ran 2 time\(s\)$/);
  });
});

async function assertRed({ violations, evidence, log }: SoakReport, what: RegExp): Promise<void> {
  await rm(log!, { recursive: true });
  assertGreater(violations.length, 0);
  for (const violation of violations) assert(what.test(violation), violation);
  assertGreater(evidence.length, 0);
}
