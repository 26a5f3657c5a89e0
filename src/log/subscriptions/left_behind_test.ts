import { assert, assertEquals, assertLess } from "@std/assert";
import { describe, it } from "node:test";
import { byteLength } from "../../data/utf8.ts";
import { MAX_LEFT } from "../format/commit.ts";
import { LeftBehind } from "./left_behind.ts";

describe("keys that are left behind", () => {
  it("are none any more when the second reader comes to what the first one has not read: a new leader's, too", () => {
    const left = new LeftBehind([["Placed", "k", 5]]);
    assertEquals([left.turn(() => true), left.place], ["begin", 0]);
    const take = (position: number) => left.takes({ category: "Placed", key: "k", position }, 20, () => false);
    assertEquals([take(4), take(8), take(17), take(30)], [false, true, true, false]);
    assertEquals([left.turn(() => true), left.size], ["rest", 0]); // it began again and again from 17 on
    assertEquals(left.passes("Placed", "k", 30), false);
  });

  it("are so many that their names fit into a commit, however long they are", () => {
    const left = new LeftBehind();
    for (let n = 0; n < MAX_LEFT && left.hasRoom; n++) left.leave("Placed", `${n} ${"ключ\n".repeat(400)}`, n, n + 1);
    const bytes = () => byteLength(JSON.stringify(left.stored));
    assertLess(bytes(), 300_000);
    assert(left.size > 50);
    const many = left.size;
    left.rewind(10, () => true);
    assertEquals([left.size, left.hasRoom], [10, true]);
    for (let n = 10; left.hasRoom; n++) left.leave("Placed", `${n} ${"ключ\n".repeat(400)}`, n, n + 1);
    assertEquals(left.size, many);
  });
});
