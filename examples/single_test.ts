import { assertEquals } from "@std/assert";
import { execFile } from "node:child_process";
import process from "node:process";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const SINGLE = fileURLToPath(new URL("single.ts", import.meta.url));

it("single.ts: says what its handlers, its events and its behavior do, and ends", async () => {
  // without any permission: an app in memory needs none
  const command = process.versions.deno === undefined ? [SINGLE] : ["run", "--no-prompt", SINGLE];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, command, { timeout: 120_000 });
  const lines = stdout.trim().split("\n");
  const byEvents = lines.filter((line) => /packing|thanks|event/.test(line));
  assertEquals(lines.filter((line) => !byEvents.includes(line)), [
    "command CreateOrder: ok",
    "created tea-1",
    "command CreateOrder: BAD_QUANTITY",
    "refused: cannot order 0 of tea",
    "query CountOrders: ok",
    "orders: 1",
  ]);
  // when the handlers of an event run is their own affair
  assertEquals(byEvents.sort(), [
    "event OrderCreated: ok",
    "event OrderCreated: ok",
    "packing 2 for tea-1",
    "thanks for tea-1",
  ]);
  assertEquals(stderr, "");
});
