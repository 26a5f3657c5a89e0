import { assert, assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { explore, ExploreError } from "@catga/catga/testing";
import { eachMistake, findWrong } from "./mistakes.ts";

/** Seeds within which each wrong program has to be found. */
const MOST_SEEDS = 300;
const RIGHT_SEEDS = 50;
/** Lines of a page. */
const PAGE = 60;

describe("explore finds twelve mistakes that people make", () => {
  const tests = eachMistake((mistake) => ({
    name: mistake.name,
    finds: async () => {
      const error = await findWrong(mistake, MOST_SEEDS);
      assert(error !== undefined, `${mistake.name} is not found within ${MOST_SEEDS} seeds`);
      assert(error.message.split("\n").length <= PAGE, `more than a page:\n${error.message}`);
      const again = await assertRejects(() => explore({ ...mistake.wrong, replay: error.replay }), ExploreError);
      assertEquals(again.cause.message, error.cause.message);
    },
    accepts: async () => {
      const { seeds } = await explore({ ...mistake.right, seeds: RIGHT_SEEDS });
      assertEquals(seeds, RIGHT_SEEDS);
    },
  }));

  it("has twelve of them", () => assertEquals(new Set(tests.map(({ name }) => name)).size, 12));

  for (const { name, finds, accepts } of tests) {
    it(`finds ${name}, and the same again`, finds);
    it(`accepts the right program beside ${name}`, accepts);
  }
});
