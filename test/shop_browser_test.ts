/** News of the shop in a real browser, while the nodes that they come from are killed. */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import process from "node:process";
import { type ShopProcess, startShop } from "../examples/shop/stage.ts";
import { findChromium } from "../tools/chromium_binary.ts";
import { requireNatsServer, startNatsServer } from "../tools/nats_server.ts";
import { Browser } from "./support/browser.ts";
import { eventually } from "./support/eventually.ts";

const inBun = process.versions.bun !== undefined;
const chromium = inBun ? { missing: "tested in Deno" } : await findChromium();
const { skip: noServer } = await requireNatsServer();
const skip = "missing" in chromium ? chromium.missing : noServer;
const path = "path" in chromium ? chromium.path : "";

describe("news of the shop in a browser", { skip, timeout: 180_000 }, () => {
  it("a killed worker is a pause, not an error: each order comes once, in order, on one connection", async () => {
    const server = await startNatsServer();
    const env = { NATS_URL: server.url };
    const shops = new Map<string, ShopProcess>();
    const start = async (id: string, service: string) =>
      void shops.set(id, await startShop([service], { ...env, NODE_ID: id }));
    try {
      await Promise.all([start("gateway", "gateway"), start("payments", "payments"), start("orders-1", "orders")]);
      await start("orders-2", "orders");
      const { url } = shops.get("gateway")!;
      let placed = 0;
      const place = async (count: number) => {
        for (const until = placed + count; placed < until;) {
          const body = JSON.stringify({ sku: "mate", qty: 1, card: "4111111111111111" });
          const headers = { "Content-Type": "application/json", "Idempotency-Key": `b${placed}` };
          const { status } = await fetch(`${url}/orders`, { method: "POST", headers, body });
          if (status === 201) placed++;
        }
      };
      await using browser = await Browser.open(path);
      await browser.call("Page.navigate", { url: `${url}/healthz` });
      await eventually("the page", () => browser.evaluate<boolean>("document.readyState === 'complete'"));
      await browser.evaluate(`
        window.got = [];
        window.errors = window.opens = 0;
        const source = new EventSource("/orders/news");
        source.onopen = () => opens++;
        source.onerror = () => errors++;
        source.addEventListener("failure", () => errors++);
        source.onmessage = ({ data }) => got.push(JSON.parse(data).order.orderId);
        0`);
      const seen = (count: number) =>
        eventually(`${count} orders`, () => browser.evaluate<boolean>(`got.length >= ${count}`), 60_000);
      await place(3);
      await seen(3);
      for (const victim of ["orders-1", "orders-2"]) {
        await shops.get(victim)!.end("SIGKILL");
        await place(3);
        await seen(placed);
        await start(victim, "orders");
      }
      await place(3);
      await seen(placed);
      const [got, errors, opens] = await browser.evaluate<[string[], number, number]>("[got, errors, opens]");
      assertEquals([got, errors, opens], [Array.from({ length: placed }, (_, i) => `b${i}`), 0, 1]);
    } finally {
      for (const shop of shops.values()) await shop[Symbol.asyncDispose]();
      await server.stop();
    }
  });
});
