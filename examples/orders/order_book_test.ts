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
  it("entries: everything that was appended, by whichever book of that file", () =>
    withFile(async (file) => {
      await new OrderBook(file).append(entry("a"));
      await new OrderBook(file).append(entry("b"));
      assertEquals(await new OrderBook(file).entries(), [entry("a"), entry("b")]);
    }));

  it("entries: what a killed writer left half written spoils no other entry", () =>
    withFile(async (file) => {
      const book = new OrderBook(file);
      await book.append(entry("a"));
      await appendFile(file, `\n{"orderId":"b","mess`);
      await book.append(entry("c"));
      assertEquals((await book.entries()).map(({ orderId }) => orderId), ["a", "c"]);
    }));

  it("find: the order of that id, and nothing before there is any", () =>
    withFile(async (file) => {
      const book = new OrderBook(file);
      assertEquals(await book.find("a"), undefined);
      await book.append(entry("a"));
      assertEquals(await book.find("a"), entry("a"));
    }));
});
