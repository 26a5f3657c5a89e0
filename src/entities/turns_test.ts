import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { Turns } from "./turns.ts";

describe("turns", () => {
  it("one at a time for each entity, in the order in which they came", async () => {
    const turns = new Turns();
    const had: string[] = [];
    const run = async (entity: string, name: string) => {
      await turns.take(entity);
      had.push(name);
      await Promise.resolve();
      had.push(`${name} ends`);
      turns.pass(entity);
    };
    await Promise.all([run("a", "1"), run("a", "2"), run("b", "3"), run("a", "4")]);
    assertEquals(had.filter((name) => !name.startsWith("3")), ["1", "1 ends", "2", "2 ends", "4", "4 ends"]);
    assertEquals(had.indexOf("3") < had.indexOf("1 ends") + 1, true);
    assertEquals(turns.take("a"), undefined);
  });
});
