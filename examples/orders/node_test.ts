import { assertEquals, assertMatch } from "@std/assert";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { catga, unwrap } from "@catga/catga";
import { eventually } from "../../test/support/eventually.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { OrderBook } from "./order_book.ts";
import { CreateOrder, FindOrder } from "./orders.ts";

const NODE = fileURLToPath(new URL("node.ts", import.meta.url));
const command = [...(process.versions.deno === undefined ? [] : ["run", "--quiet", "-A"]), NODE, "--work-ms", "2"];

/** Its output line by line, and how it ended. */
function start(args: readonly string[]): { child: ChildProcess; line: Promise<string>; ended: Promise<string> } {
  const child = spawn(process.execPath, [...command, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  child.stderr!.setEncoding("utf8").on("data", (text: string) => said += text);
  const ended = new Promise<string>((resolve) => {
    child.once("close", (code, signal) => resolve(`${signal ?? code} ${said}`));
  });
  const line = Promise.race([
    new Promise<string>((resolve) => createInterface({ input: child.stdout! }).once("line", resolve)),
    ended,
  ]);
  return { child, line, ended };
}

describe("node.ts", await requireNatsServer(), () => {
  it("takes orders, finds them again, and drains on SIGTERM", async () => {
    const folder = await mkdtemp(join(tmpdir(), "catga-orders-"));
    const file = join(folder, "orders.jsonl");
    await using server = await startNatsServer();
    const { child, line, ended } = start(["--nats", server.url, "--id", "orders-1", "--file", file]);
    try {
      assertMatch(await line, /^node orders-1 takes orders: routable [\d.]+ ms after catga\(\)$/);
      await using client = await catga({ nats: server.url });
      const { orderId } = unwrap(await client.send(CreateOrder, { sku: "tea", qty: 2 }, { id: "m1" }));
      assertEquals(await new OrderBook(file).entries(), [
        { orderId, sku: "tea", qty: 2, messageId: "m1", node: "orders-1" },
      ]);
      assertEquals(unwrap(await client.send(FindOrder, { orderId })), { orderId, sku: "tea", qty: 2 });
      assertEquals((await client.send(FindOrder, { orderId: "none" })).error?.code, "NO_SUCH_ORDER");
      // as Number("x") makes of what a user types
      for (const qty of [0, 1.5, NaN]) {
        assertEquals((await client.send(CreateOrder, { sku: "tea", qty })).error?.code, "BAD_QUANTITY");
      }
      child.kill("SIGTERM");
      assertMatch(await ended, /^SIGTERM $/);
      await eventually("it to have left the view", () => client.nodes().every(({ id }) => id !== "orders-1"));
    } finally {
      child.kill("SIGKILL");
      await rm(folder, { recursive: true });
    }
  });

  it("says so when there is no NATS at its address, and ends", async () => {
    const { ended } = start(["--nats", "nats://127.0.0.1:1"]);
    assertMatch(await ended, /^1 [^]*127\.0\.0\.1:1/);
  });
});
