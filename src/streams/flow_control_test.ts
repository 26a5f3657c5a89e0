import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import type { ItemWriter } from "../dispatch/item_ports.ts";
import { ItemSender } from "./flow_control.ts";

/** Makes a sender with a window of 8 items and 100 characters, and a function that returns the items it writes. */
function setUp() {
  const sender = new ItemSender({ items: 8, bytes: 100 }, { gather() {} });
  const written = () => {
    const all: string[] = [];
    const out: ItemWriter = { items: (_, list, first) => void all.push(...list.slice(first)), ask() {}, end() {} };
    sender.write(out);
    return all;
  };
  return { sender, written };
}

describe("ItemSender", () => {
  it("counts what its reader has not consumed, also when items that are no strings follow strings", () => {
    const { sender } = setUp();
    for (const item of ["a".repeat(60), "b".repeat(9), "c".repeat(9)]) sender.send(item);
    sender.onProgress(1, 3, false); // fewer than half are consumed: the first one is still in memory
    sender.text("7".repeat(60));
    assertEquals(sender.room, true); // 9 + 2, 9 + 2 and 60 characters of 100
    sender.text("7".repeat(20));
    assertEquals(sender.room, false);
  });

  it("ignores a report with wrong numbers", () => {
    const { sender, written } = setUp();
    for (let n = 0; n < 8; n++) sender.send(`${n}`);
    sender.end();
    assertEquals(written().length, 8);
    for (const [consumed, received] of [[9, 9], [0, 9], [8, 7]]) sender.onProgress(consumed, received, true);
    assertEquals([sender.room, sender.delivered, written()], [false, false, []]);
    sender.onProgress(2, 8, false);
    assertEquals([sender.room, sender.delivered], [true, true]);
  });
});
