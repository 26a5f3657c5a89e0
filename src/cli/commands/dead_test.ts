/**
 * Tests of what `catga dead` reads from its command line, before it connects. `log_commands_test.ts` tests the rest
 * on a real server.
 */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { wrongUsage } from "../../../test/support/wrong_usage.ts";

const dead = (...args: string[]) => wrongUsage("dead", ...args);

describe("dead: its command line", () => {
  it("list, which may be left out, replay and discard take IDs or none", async () => {
    for (const args of [[], ["list"], ["list", "m-1"], ["replay"], ["discard", "m-1", "m-2"], ["discard", "--yes"]]) {
      assertEquals(await dead(...args), undefined, args.join(" "));
    }
  });

  it("anything else in place of the verb is wrong usage, the id of a dead letter too", async () => {
    for (const verb of ["m-1", "List", "remove", ""]) {
      assertEquals(await dead(verb), `dead takes list, show, replay, discard; got ${JSON.stringify(verb)}`);
    }
  });

  it("list and show refuse --yes, which says that something may be done (it was ignored)", async () => {
    const wanted = "--yes is for catga dead replay and catga dead discard";
    for (const args of [[], ["list"], ["list", "m-1"], ["show", "m-1"]]) {
      assertEquals(await dead(...args, "--yes"), wanted, args.join(" "));
    }
    for (const verb of ["replay", "discard"]) assertEquals(await dead(verb, "--yes"), undefined);
  });

  it("show takes an ID, or one of the filters", async () => {
    const wanted = "dead show takes IDs, or one of --service, --subscription, --contract, --code, --cause";
    for (const args of [[], ["--json"]]) assertEquals(await dead("show", ...args), wanted);
    assertEquals(await dead("show", "m-1"), undefined);
    for (const filter of ["--service", "--subscription", "--contract", "--code", "--cause"]) {
      assertEquals(await dead("show", filter, "x"), undefined, filter);
    }
  });

  it("a cause that is empty, as of a variable that is not set, chooses nothing: each letter would fit", async () => {
    const wanted = "--cause needs a text that is not empty: every one contains that";
    for (const verb of ["list", "replay", "discard"]) assertEquals(await dead(verb, "--cause", ""), wanted);
  });
});
