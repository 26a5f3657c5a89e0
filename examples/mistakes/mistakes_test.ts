import { assert, assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { explore, ExploreError } from "@catga/catga/testing";
import { exploredByThisRuntime, ofThisRuntime } from "../../test/support/of_this_runtime.ts";
import { lockWithoutFence } from "./lock_without_fence.ts";
import { eachMistake, findWrong } from "./mistakes.ts";

/** Seeds within which each wrong program has to be found. */
const MAX_SEEDS = 300;
const RIGHT_SEEDS = exploredByThisRuntime(12);
/** Lines of a page. */
const PAGE = 60;

describe("explore finds fifteen mistakes that people make", () => {
  const tests = eachMistake((mistake) => ({
    name: mistake.name,
    finds: async () => {
      const error = await findWrong(mistake, MAX_SEEDS);
      assert(error !== undefined, `${mistake.name} is not found within ${MAX_SEEDS} seeds`);
      assert(error.message.split("\n").length <= PAGE, `more than a page:\n${error.message}`);
      const again = await assertRejects(() => explore({ ...mistake.wrong, replay: error.replay }), ExploreError);
      assertEquals(again.cause.message, error.cause.message);
    },
    accepts: async () => {
      const { seeds } = await explore({ ...mistake.right, ...RIGHT_SEEDS });
      assertEquals(seeds, RIGHT_SEEDS.seeds);
    },
  }));

  it("has fifteen of them", () => assertEquals(new Set(tests.map(({ name }) => name)).size, 15));

  it("accepts a lock whose lease has ended before its holder had the answer", async () => {
    // seed 355 of 10,000: a node is frozen while it waits for the lock
    const replay = "seed 355; delay 2; freeze app-2 on 1 retry ends command Count after 0 for 9662; " +
      "cut app-2 at 366 for 1601; staleRead on 1 retry begins command Count after 0 for 3653 amount 0.03; " +
      "freeze here on 1 attempt begins command Count after 3 for 757";
    await explore({ ...lockWithoutFence.right, replay });
  });

  // the search is the same in both runtimes: a third of the programs in Deno, the others in Bun
  for (const { name, finds } of ofThisRuntime(tests)) it(`finds ${name}, and the same again`, finds);
  for (const { name, accepts } of tests) it(`accepts the right program beside ${name}`, accepts);
});
