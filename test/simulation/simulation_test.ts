import { describe, it } from "node:test";
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { seedsOfThisRuntime } from "../support/of_this_runtime.ts";
import { simulate } from "./simulation.ts";

const PLAYED = seedsOfThisRuntime(240);
const GROUP = 50;

/** The runs by their seeds: several tests look at the same. */
const runs = new Map<number, Run>();

const slow = { timeout: 600_000 };

describe("simulation", () => {
  for (let first = 0; first < PLAYED.length; first += GROUP) {
    const seeds = PLAYED.slice(first, first + GROUP);
    it(`${seeds.length} seeds from ${seeds[0]}: a cluster in a storm keeps its promises`, slow, async () => {
      for (const seed of seeds) {
        const { violations } = await run(seed);
        assertEquals(violations, [], `to see it again: deno run -A test/simulation/simulate.ts ${seed}`);
      }
    });
  }

  it(
    "the same seed gives the same run, down to the last line of every node's log",
    slow,
    async () => {
      for (const seed of [1, 2, 3, 4, 5]) {
        const [first, again] = [await traceOf(seed), await traceOf(seed)];
        assert(first.length > 50, String(first.length));
        assertEquals(again, first, `seed ${seed}`);
      }
    },
  );

  it("another seed gives another run", async () => {
    assertNotEquals(await traceOf(1), await traceOf(2));
  });

  it("the seeds together cover every kind of fault and outcome", slow, async () => {
    const seen = new Set<string>();
    for (const seed of PLAYED.slice(0, 2 * GROUP)) for (const kind of (await run(seed)).kinds) seen.add(kind);
    const wanted = [
      ...["send", "run", "event", "kill", "resume"],
      ...["ok", "OUTCOME_UNKNOWN", "UNAVAILABLE", "TIMEOUT", "CANCELLED"],
    ];
    for (const what of wanted) assert(seen.has(what), what);
  });
});

/** What a seed has shown. */
interface Run {
  readonly violations: readonly string[];
  /** The kinds of faults and outcomes that occurred. */
  readonly kinds: ReadonlySet<string>;
}

async function run(seed: number): Promise<Run> {
  const known = runs.get(seed);
  if (known !== undefined) return known;
  const { history, violations } = await simulate(seed);
  const kinds = history.map((it) =>
    it.type === "result" ? it.result.error?.code.split("_").slice(0, 2).join("_") ?? "ok" : it.type
  );
  const made = { violations, kinds: new Set(kinds) };
  runs.set(seed, made);
  return made;
}

async function traceOf(seed: number): Promise<readonly string[]> {
  return (await simulate(seed, { trace: true })).trace;
}
