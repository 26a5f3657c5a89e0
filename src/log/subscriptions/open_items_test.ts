import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { endOf, positionOf } from "../format/position.ts";
import { Category, OpenItem } from "./category.ts";
import { OpenItems } from "./open_items.ts";
import { DEFAULT_SETTINGS } from "./spec.ts";

const CATEGORY = new Category({ service: "shop", name: "billing" }, "Placed", DEFAULT_SETTINGS, {
  floor: 0,
  timeout: 1_000,
});

function item(sequence: number, index = 0): OpenItem {
  const position = positionOf(sequence, index);
  const message = {
    position,
    category: "Placed",
    id: `${position}`,
    key: undefined,
    payload: 0,
    tagged: false,
    meta: undefined,
    time: sequence,
  };
  return new OpenItem(message, CATEGORY, 1);
}

describe("OpenItems", () => {
  it("keep the order of positions, whatever the order in which items come and go", () => {
    const open = new OpenItems();
    const items = [5, 7, 6, 3, 9].map((sequence) => item(sequence));
    for (const each of items) open.push(each);
    open.remove(items[1]);
    open.remove(items[1]);
    const { open: listed } = open.upTo(endOf(9), 100);
    assertEquals(listed.map(([position]) => position), [3, 5, 6, 9].map((sequence) => positionOf(sequence, 0)));
    assertEquals(open.size, 4);
    assertEquals(open.first, items[3]);
    for (const each of items) open.remove(each);
    assertEquals(open.first, undefined);
  });

  it("list no more than asked for: the position is then the end of an earlier message, with its time", () => {
    const open = new OpenItems();
    for (const sequence of [2, 4]) for (let index = 0; index < 3; index++) open.push(item(sequence, index));
    open.push(item(8));
    const { read, time, open: listed } = open.upTo(endOf(10), 4);
    assertEquals(read, endOf(4));
    assertEquals(time, 4);
    assertEquals(listed.length, 6); // a message of the stream is listed as a whole
    assertEquals(open.upTo(endOf(10), 7), {
      read: endOf(10),
      time: undefined,
      open: [...listed, [positionOf(8, 0), 1, 0]],
    });
  });
});
