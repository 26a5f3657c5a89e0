import { assertEquals, assertGreater, assertStringIncludes } from "@std/assert";
import { describe, it } from "node:test";
import { bench, describeTrials } from "./trial_suite.ts";

const TRIALS = [
  { what: "local sends", section: "local", tables: ["local", ..."Deno" in globalThis ? ["local-heap"] : []] },
  {
    what: "the edge: commands, readers of a tail, the client",
    section: "edge",
    tables: ["edge", "edge-readers", "edge-reach", "edge-client"],
  },
  { what: "events", section: "events", tables: ["events"] },
  {
    what: "idle nodes and faults of a growing cluster",
    section: "growth-nodes",
    tables: [
      "growth-nodes",
      "growth-nodes-traffic",
      "growth-nodes-bytes",
      "growth-nodes-processor",
      "growth-nodes-memory",
    ],
  },
  { what: "many runs that sleep", section: "workflows-growth", tables: ["workflows-growth-memory"] },
  { what: "what catga check reads", section: "check", tables: ["check", "check-runs", "check-memory"] },
  { what: "seeds of explore", section: "explore", tables: ["explore", "explore-processor", "explore-memory"] },
];

await describeTrials("bench", TRIALS, (run) => {
  it("adds up what an idle node hears and says", () => {
    const { rows } = run().tables.find(({ id }) => id === "growth-nodes-traffic")!;
    const [heard, said, both] = rows.map(({ cells }) => cells.at(-1)![0]);
    assertGreater(said, 0);
    assertEquals(both, heard + said);
  });
});

describe("the bench's arguments", () => {
  it("an unknown section is an error that names the sections", async () => {
    const error = await bench("fast").then(() => "nothing", String);
    assertStringIncludes(error, "no section fast; there are local");
  });
});
