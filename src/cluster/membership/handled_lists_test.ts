import { describe, it } from "node:test";
import { assertEquals, assertStrictEquals } from "@std/assert";
import { HandledLists } from "./handled_lists.ts";

describe("handled lists", () => {
  it("replicas share one list, whatever array theirs came in", () => {
    const lists = new HandledLists();
    const first = lists.retain({ handles: ["Add", "Get"] });
    assertStrictEquals(lists.retain({ handles: ["Add", "Get"] }), first);
    assertEquals([first.names, first.kinds.has("Get"), first.kinds.has("Gone")], [["Add", "Get"], true, false]);
  });

  it("nodes that handle a contract are counted over all lists, until they release theirs", () => {
    const lists = new HandledLists();
    const orders = [lists.retain({ handles: ["Add", "Get"] }), lists.retain({ handles: ["Add", "Get"] })];
    const stock = lists.retain({ handles: ["Get"] });
    assertEquals([lists.count("Add"), lists.count("Get"), lists.count("Gone")], [2, 3, 0]);
    lists.release(orders[0]);
    lists.release(stock);
    assertEquals([lists.count("Add"), lists.count("Get")], [1, 1]);
    lists.release(orders[1]);
    assertEquals([lists.count("Add"), lists.count("Get")], [0, 0]);
  });

  it("a list that no node handled any more is made anew", () => {
    const lists = new HandledLists();
    lists.release(lists.retain({ handles: ["Add"] }));
    lists.retain({ handles: ["Add"] });
    assertEquals(lists.count("Add"), 1);
  });

  it("a contract is of an entity when all nodes that handle it say so, or the last one that did", () => {
    const lists = new HandledLists();
    const own = lists.retain({ handles: ["Add", "Look"], entities: ["Add"] });
    assertEquals(["Add", "Look", "None"].map((name) => lists.ofEntity(name)), [true, false, false]);
    const older = lists.retain({ handles: ["Add"] });
    assertEquals(lists.ofEntity("Add"), false);
    lists.release(older);
    assertEquals(lists.ofEntity("Add"), true);
    lists.release(own);
    assertEquals(["Add", "Look"].map((name) => lists.ofEntity(name)), [true, false]);
    lists.release(lists.retain({ handles: ["Add"] }));
    assertEquals(lists.ofEntity("Add"), false);
  });

  it("of contracts that nobody handles any more, the last 4,096 are known as those of entities", () => {
    const lists = new HandledLists();
    const serve = (name: string) => lists.release(lists.retain({ handles: [name], entities: [name] }));
    for (let i = 0; i < 4_096; i++) serve(`C${i}`);
    serve("C0"); // C0 is served a second time, so that it is the latest
    serve("new");
    assertEquals(["C0", "C1", "C2", "new"].map((name) => lists.ofEntity(name)), [true, false, true, true]);
  });
});
