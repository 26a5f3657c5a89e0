import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { explore, ExploreError } from "./mod.ts";
import adding from "../../test/support/adding_program.ts";
import counting from "../../test/support/counting_program.ts";

const program = new URL("../../test/support/counting_program.ts", import.meta.url);

describe("explore on threads", () => {
  it("shares the seeds out, and adds up the situations", async () => {
    const { seeds, situations } = await explore({
      ...adding,
      program: new URL("../../test/support/adding_program.ts", import.meta.url),
      workers: 2,
      seeds: 9,
    });
    assertEquals(seeds, 9);
    assert(situations.length > 0);
  });

  it("rejects for a red seed of any thread", async () => {
    const error = await assertRejects(() => explore({ ...counting, program, workers: 2, seeds: 100 }), ExploreError);
    assertMatch(error.message, /counted \d+, \d+/);
    assertMatch(error.timeline, /kill begins/);
  });

  it("rejects for a red seed of a thread that is not red on this one (it resolved)", async () => {
    const run = () => explore({ ...adding, program, workers: 2, seeds: 100 });
    const { message } = await assertRejects(run, Error);
    assertMatch(message, /seed \d+ is red on its thread, and not when it runs again here: .*counting_program\.ts/);
    assertMatch(message, /replay: "seed \d+;/);
  });

  it("rejects if a thread ends without an answer", async () => {
    const ends = new URL("../../test/support/ending_program.ts", import.meta.url);
    const run = () => explore({ ...adding, program: ends, workers: 2, seeds: 2 });
    assertMatch((await assertRejects(run, Error)).message, /a thread cannot run .*ending_program\.ts: it has ended/);
  });

  it("rejects if the program cannot be imported", async () => {
    const none = new URL("none.ts", import.meta.url);
    const run = () => explore({ ...counting, program: none, workers: 2, seeds: 2 });
    assertMatch((await assertRejects(run, Error)).message, /a thread cannot run .*none\.ts/);
  });
});
