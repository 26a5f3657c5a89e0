import { assertEquals, assertGreater, assertStringIncludes } from "@std/assert";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { sourceFiles } from "../tools/sources.ts";
import { bench, describeTrials } from "./trial_suite.ts";

await describeTrials("bench", [
  { what: "local sends", section: "local", tables: ["local", ..."Deno" in globalThis ? ["local-heap"] : []] },
  {
    what: "the edge: commands, readers of a tail, the client",
    section: "edge",
    tables: ["edge", "edge-readers", "edge-reach", "edge-client"],
    only: "bun",
  },
  // bench_trees_test.ts runs it in Bun
  { what: "events", section: "events", tables: ["events"], only: "deno" },
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
    only: "bun",
    more: (run) => {
      it("adds up what an idle node hears and says", () => {
        const { rows } = run().tables.find(({ id }) => id === "growth-nodes-traffic")!;
        const [heard, said, both] = rows.map(({ cells }) => cells.at(-1)![0]);
        assertGreater(said, 0);
        assertEquals(both, heard + said);
      });
    },
  },
  {
    what: "seeds of explore",
    section: "explore",
    tables: ["explore", "explore-processor", "explore-memory"],
    only: "bun",
  },
  {
    what: "limits",
    section: "limits",
    tables: ["behind", "cost", "keys", "slot", "dead", "beside"].map((each) => `limits-${each}`),
    only: "deno",
  },
  {
    what: "large numbers",
    section: "masses",
    tables: [
      ...["masses-events", "masses-events-memory"],
      ...["masses-runs", "masses-runs-memory", "masses-runs-wake", "masses-runs-woken"],
    ],
    only: "deno",
  },
  { what: "weeks on virtual time", section: "weeks", tables: ["weeks-memory", "weeks-stored"], only: "bun" },
  {
    what: "many real nodes",
    section: "many-nodes",
    tables: ["many-nodes", "many-nodes-idle", "many-nodes-memory"],
    only: "bun",
  },
]);

describe("programs of the bench", () => {
  it("use nothing that one runtime alone has, as most are tried in one: but for the collector of Bun", async () => {
    const root = fileURLToPath(new URL("..", import.meta.url));
    const used: string[] = [];
    for (const file of await sourceFiles(root, ["bench/programs", "bench/sections"])) {
      const code = (await readFile(join(root, file), "utf8")).replace(/\/\*[^]*?\*\/|\/\/.*$/gm, "");
      for (const [use] of code.matchAll(/\b(?:Deno|Bun)\s*[?!]?\..*|["'](?:bun|deno):.*/g)) {
        used.push(`${file}: ${use}`);
      }
    }
    assertEquals(used, ["bench/programs/edge_readers.ts: Bun.gc(true);"]);
  });
});

describe("the bench's arguments", () => {
  it("an unknown section is an error that names the sections", async () => {
    const error = await bench("fast").then(() => "nothing", String);
    assertStringIncludes(error, "no section fast; there are local");
  });
});
