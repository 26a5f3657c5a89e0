import { assertEquals } from "@std/assert";
import { appendFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { OrderBook } from "./order_book.ts";

const entry = (orderId: string) => ({ orderId, messageId: `m-${orderId}`, sku: "tea", qty: 1, node: "a" });

async function withFile(use: (file: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "catga-orders-"));
  try {
    await use(join(folder, "orders.jsonl"));
  } finally {
    await rm(folder, { recursive: true });
  }
}

describe("OrderBook", () => {
  it("entries: returns what every OrderBook of the file has appended", () =>
    withFile(async (file) => {
      await new OrderBook(file).append(entry("a"));
      await new OrderBook(file).append(entry("b"));
      assertEquals(await new OrderBook(file).entries(), [entry("a"), entry("b")]);
    }));

  it("entries: leaves out an entry that a killed writer left half written", () =>
    withFile(async (file) => {
      const book = new OrderBook(file);
      await book.append(entry("a"));
      await appendFile(file, `\n{"orderId":"b","mess`);
      await book.append(entry("c"));
      assertEquals((await book.entries()).map(({ orderId }) => orderId), ["a", "c"]);
    }));

  it("find: returns the order with the id, and undefined if there is none", () =>
    withFile(async (file) => {
      const book = new OrderBook(file);
      assertEquals(await book.find("a"), undefined);
      await book.append(entry("a"));
      assertEquals(await book.find("a"), entry("a"));
    }));
});
