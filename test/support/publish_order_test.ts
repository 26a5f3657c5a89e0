import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { PublishOrder, type StoredPublish } from "./publish_order.ts";

const withId = (key: string, position: number): StoredPublish => ({ key, ownId: true, position });
const without = (key: string, position: number): StoredPublish => ({ key, ownId: false, position });

describe("PublishOrder", () => {
  const cases: readonly [name: string, published: readonly StoredPublish[], kept: readonly boolean[]][] = [
    ["messages in order", [without("a", 1), withId("a", 2), withId("b", 3), without("b", 4)], [true, true, true, true]],
    ["a message without an id before another one", [without("a", 2), without("b", 1)], [true, false]],
    ["a message with an id before one without", [without("a", 2), withId("b", 1)], [true, false]],
    ["a message without an id before one that has one", [withId("a", 2), without("b", 1)], [true, false]],
    ["messages with ids and one key", [withId("a", 2), withId("b", 3), withId("a", 1)], [true, true, false]],
    ["messages with ids and different keys may overtake", [withId("a", 2), withId("b", 1)], [true, true]],
    ["one without an id behind both", [withId("a", 3), withId("b", 1), without("c", 2)], [true, true, false]],
    ["one without an id between them", [withId("a", 2), without("c", 3), withId("b", 1)], [true, true, false]],
    ["two messages at one position", [without("a", 1), without("b", 1)], [true, false]],
  ];
  for (const [name, published, kept] of cases) {
    it(name, () => {
      const order = new PublishOrder();
      assertEquals(published.map((message) => order.add(message)), kept);
    });
  }
});
