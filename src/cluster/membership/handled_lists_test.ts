import { describe, it } from "node:test";
import { assertEquals, assertStrictEquals } from "@std/assert";
import { HandledLists } from "./handled_lists.ts";

describe("handled lists", () => {
  it("replicas share one list, whatever array theirs came in", () => {
    const lists = new HandledLists();
    const first = lists.take(["Add", "Get"]);
    assertStrictEquals(lists.take(["Add", "Get"]), first);
    assertEquals([first.names, first.has("Get"), first.has("Gone")], [["Add", "Get"], true, false]);
  });

  it("nodes that handle a contract are counted over all lists, until they give theirs back", () => {
    const lists = new HandledLists();
    const orders = [lists.take(["Add", "Get"]), lists.take(["Add", "Get"])];
    const stock = lists.take(["Get"]);
    assertEquals([lists.count("Add"), lists.count("Get"), lists.count("Gone")], [2, 3, 0]);
    lists.give(orders[0]);
    lists.give(stock);
    assertEquals([lists.count("Add"), lists.count("Get")], [1, 1]);
    lists.give(orders[1]);
    assertEquals([lists.count("Add"), lists.count("Get")], [0, 0]);
  });

  it("a list that nobody handled any more is made anew", () => {
    const lists = new HandledLists();
    lists.give(lists.take(["Add"]));
    lists.take(["Add"]);
    assertEquals(lists.count("Add"), 1);
  });
});
