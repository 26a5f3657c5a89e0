import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { runName } from "../../contract/nodes/announcement.ts";
import type { LoggedMessage } from "../format/logged_message.ts";
import { Category, Item, KeyLine } from "./category.ts";
import { OpenMessages } from "./open_messages.ts";
import { DEFAULT_SETTINGS } from "./spec.ts";

const SUBSCRIPTION = { service: "shop", name: "billing" };

function category({ timeout = 1_000, own }: { timeout?: number; own?: number } = {}) {
  return new Category(SUBSCRIPTION, "Placed", { ...DEFAULT_SETTINGS, timeout: own }, timeout);
}

function message(position: number, key?: string, more: Partial<LoggedMessage> = {}): LoggedMessage {
  const about = { position, category: "Placed", id: `m${position}`, payload: { n: 1 }, tagged: false, time: 77 };
  return { ...about, key, meta: undefined, ...more };
}

function options(given: LoggedMessage, placed: Category, node?: string) {
  const item = new Item(given, placed, 0, 0);
  item.node = node;
  return placed.optionsOf(item);
}

describe("Category", () => {
  it("gives a node the time of its handler, of the app without one, and some for its answer", () => {
    assertEquals(category({ timeout: 5_000 }).timeout, 7_000);
    assertEquals(category({ timeout: 5_000, own: 60_000 }).timeout, 62_000);
    // 2,147,483,647 ms is the longest time for which a runtime's timer can be set
    assertEquals(category({ own: 2_147_483_647 }).timeout, 2_147_483_647);
  });

  it("hands its messages out by the command of its subscription and name", () => {
    assertEquals(category().contract.name, runName("shop", "billing", "Placed"));
  });

  it("a message with a key goes where its key goes, another one to the least loaded node", () => {
    const placed = category();
    const { timeout } = placed;
    assertEquals(options(message(1, "a"), placed), { route: "hash", key: "a", timeout });
    assertEquals(options(message(1, ""), placed), { route: "hash", key: "", timeout });
    assertEquals(options(message(1), placed), { route: "least-loaded", timeout });
  });

  it("a message with a key that was refused goes to the least loaded node", () => {
    const placed = category();
    const item = new Item(message(1, "a"), placed, 0, 0);
    item.refusals = 1;
    assertEquals(placed.optionsOf(item), { route: "least-loaded", timeout: placed.timeout });
  });

  it("goes to the node where it may be running still, and the next one of its category does not", () => {
    const placed = category();
    const { timeout } = placed;
    for (const [key, rest] of [["a", { route: "hash", key: "a" }], [undefined, { route: "least-loaded" }]] as const) {
      assertEquals(options(message(1, key), placed, "n1"), { ...rest, timeout, node: "n1" });
      assertEquals(options(message(2, key), placed), { ...rest, timeout });
    }
  });

  it("its request has the token, what the message is, and the attempt", () => {
    const placed = category();
    const asked = (given: LoggedMessage, failed: number) => placed.request(new Item(given, placed, failed, 0), 9);
    const rich = message(5, "a", { tagged: true, meta: { c: "x" } });
    assertEquals(asked(rich, 2), [9, 5, 3, "m5", "a", { n: 1 }, 1, 77, { c: "x" }]);
    assertEquals(asked(message(5), 0), [9, 5, 1, "m5", null, { n: 1 }, 0, 77, null]);
  });
});

describe("OpenMessages", () => {
  it("has those that have not left, in order, with their sizes, whichever leave", () => {
    const open = new OpenMessages();
    const placed = category();
    const kept: number[] = [];
    for (let n = 1; n <= 1_000; n++) {
      const item = new Item(message(n), placed, 0, 0);
      item.size = n;
      open.add(item);
      kept.push(n);
      if (n % 5 === 0) continue;
      // four of five items leave the list, in another order than they came
      const [left] = kept.splice(kept.length - 1 - n % 3 % kept.length, 1);
      open.remove([...open].find(({ position }) => position === left)!);
    }
    assertEquals([...open].map(({ position }) => position), kept);
    assertEquals([open.size, open.bytes], [200, kept.reduce((sum, n) => sum + n, 0)]);
    for (const item of [...open].reverse()) open.remove(item);
    assertEquals([[...open], open.size, open.bytes], [[], 0, 0]);
  });

  it("goes on over those that were in hand when it began, although they leave meanwhile", () => {
    const open = new OpenMessages();
    const placed = category();
    for (let n = 1; n <= 300; n++) open.add(new Item(message(n), placed, 0, 0));
    const seen: number[] = [];
    for (const item of open) {
      seen.push(item.position);
      open.remove(item);
    }
    assertEquals(seen, Array.from({ length: 300 }, (_, n) => n + 1));
  });
});

describe("Line", () => {
  const placed = category();
  const at = (position: number, epoch = 0) => new Item(message(position, "a"), placed, 0, epoch);
  const positions = (line: KeyLine) => [...line].map(({ position }) => position);

  it("has its messages in the order of the log, in whichever order they come, those of a later epoch last", () => {
    const line = new KeyLine();
    const before = [at(5), at(2), at(9), at(1, 1), at(3)].map((item) => line.insert(item)?.position);
    assertEquals(before, [undefined, undefined, 5, 9, 2]);
    assertEquals(positions(line), [2, 3, 5, 9, 1]);
    assertEquals([line.first?.position, line.last?.position], [2, 1]);
  });

  it("one that leaves, wherever it stands, keeps no other in memory", () => {
    for (const left of [1, 2, 3]) {
      const line = new KeyLine();
      const items = [1, 2, 3].map((position) => at(position));
      for (const item of items) line.insert(item);
      const item = items[left - 1];
      line.remove(item);
      assertEquals([item.line, item.previous, item.next], [undefined, undefined, undefined]);
      assertEquals(positions(line), [1, 2, 3].filter((position) => position !== left));
      for (const other of line) line.remove(other);
      assertEquals([line.first, line.last], [undefined, undefined]);
    }
  });

  it("those that are open come first", () => {
    const line = new KeyLine();
    for (const position of [1, 2, 3, 4]) line.insert(at(position));
    assertEquals(line.open, 4);
    for (const item of [...line].slice(2)) item.place = "parked";
    assertEquals(line.open, 2);
  });
});
