import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { page } from "../../test/support/documented_users.ts";
import { ENTRY_TYPES } from "./stored/journal_entry.ts";

describe("entries of a timeline", () => {
  it("are each explained in docs/workflows.md", async () => {
    const rows = (await page("workflows.md")).split("\n").filter((line) => line.startsWith("| `"));
    const explained = rows.flatMap((row) => [...row.split("|")[1].matchAll(/`(\w+)`/g)].map(([, word]) => word));
    assertEquals(ENTRY_TYPES.filter((type) => !explained.includes(type)), []);
  });
});
