/**
 * Tests of what `catga schedules` reads from its command line, before it connects. `log_commands_test.ts` tests the
 * rest on a real server.
 */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { wrongUsage } from "../../../test/support/wrong_usage.ts";

const schedules = (...args: string[]) => wrongUsage("schedules", ...args);

describe("schedules: its command line", () => {
  it("lists without words, and cancels with a name and an id", async () => {
    for (
      const args of [[], ["--contract", "Paid"], ["cancel", "Paid", "m-1"], ["pause", "Paid", "m-1", "--reason", "x"]]
    ) {
      assertEquals(await schedules(...args), undefined, args.join(" "));
    }
  });

  it("other words are wrong usage: nothing is listed in place of what was to be cancelled", async () => {
    for (const args of [["cancel"], ["cancel", "Paid"], ["list"], ["Paid"], ["Paid", "m-1", "cancel"], [""]]) {
      assertEquals(await schedules(...args), "usage: catga schedules [cancel|pause|resume NAME ID]", args.join(" "));
    }
  });
});
