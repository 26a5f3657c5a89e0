/** The shop's page in a real browser, while what it depends on is killed. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { type ShopProcess, startShop } from "../examples/shop/stage.ts";
import { findAxe } from "../tools/axe.ts";
import { findChromium } from "../tools/chromium_binary.ts";
import { freePorts, type NatsServer, requireNatsServer, startNatsServer } from "../tools/nats_server.ts";
import { Browser } from "./support/browser.ts";

/** Where pictures go that people look at; absent: none are kept. */
const PICTURES = process.env.CATGA_PICTURES;
/** How long to wait for what happens by itself, in ms: a busy machine takes long. */
const LIMIT = 90_000;

const inBun = process.versions.bun !== undefined;
const chromium = inBun ? { missing: "tested in Deno" } : await findChromium();
const { skip: noServer } = await requireNatsServer();
const skip = "missing" in chromium ? chromium.missing : noServer;
const path = "path" in chromium ? chromium.path : "";
const axe = skip === false || skip === undefined ? await findAxe() : { missing: skip };
const noAxe = "missing" in axe ? axe.missing : false;

const text = (selector: string) => `(document.querySelector(${JSON.stringify(selector)})?.innerText ?? "")`;

/** Fills the form in and submits it, as a user does. */
async function submit(browser: Browser, fields: Readonly<Record<string, string>>): Promise<void> {
  await browser.evaluate(`{
    const form = document.querySelector("#order");
    for (const [name, value] of Object.entries(${JSON.stringify(fields)})) form.elements[name].value = value;
    form.querySelector("button").click();
  }`);
}

/** The orders that the page shows, the oldest first. */
async function shown(browser: Browser): Promise<{ position: number; order: string }[]> {
  return await browser.evaluate(`[...document.querySelectorAll("#feed tr")].reverse().map((row) =>
    ({ position: Number(row.dataset.position), order: row.cells[3].innerText }))`);
}

describe("the shop's page in a browser", { skip, timeout: 400_000 }, () => {
  it("orders, and shows each order once, in order, while its gateway, its nodes and NATS are killed in turn", async () => {
    const storeDir = await mkdtemp(join(tmpdir(), "catga-shop-store-"));
    const [natsPort, httpPort] = await freePorts(2);
    let server: NatsServer = await startNatsServer({ port: natsPort, storeDir });
    const shops = new Map<string, ShopProcess>();
    const start = async (service: string) => {
      const env = { NATS_URL: server.url, NODE_ID: service };
      shops.set(service, await startShop([service], service === "gateway" ? { ...env, PORT: `${httpPort}` } : env));
    };
    try {
      await Promise.all(["gateway", "payments", "orders"].map(start));
      await using browser = await Browser.open(path);
      await browser.goto(shops.get("gateway")!.url);
      await browser.until("the feed", `${text("#state")} === "connected"`, LIMIT);
      // all that the page ever shows, whatever becomes of its rows
      await browser.evaluate(`{
        window.fed = [];
        new MutationObserver((changes) => changes.forEach(({ addedNodes }) =>
          addedNodes.forEach((row) => fed.push([Number(row.dataset.position), row.cells[3].innerText])))
        ).observe(document.querySelector("#feed"), { childList: true });
      }`);
      const orders: string[] = [];
      const submitOne = () => submit(browser, { sku: "mate", qty: "2" });
      const placed = async () => {
        const said = await browser.until<string>(
          "an answer",
          `!document.querySelector("#order button").disabled && ${text("#said")}`,
          LIMIT,
        );
        assertMatch(said, /^ordered for €7\.80: \S+$/);
        const [order] = said.split(" ").slice(-1);
        await browser.until(`order ${orders.length + 1} in the feed`, `fed.some(([, id]) => id === "${order}")`, LIMIT);
        orders.push(order);
      };
      const place = async (count: number) => {
        for (let n = 0; n < count; n++) {
          await submitOne();
          await placed();
        }
      };
      await place(3);
      for (const victim of ["gateway", "orders"]) {
        const ended = shops.get(victim)!.end("SIGKILL");
        // ordered of a shop that is not whole
        await submitOne();
        await ended;
        await start(victim);
        await placed();
        await place(2);
      }
      await server.kill("SIGKILL");
      await submitOne();
      await server.stop();
      server = await startNatsServer({ port: natsPort, storeDir });
      await placed();
      await place(2);

      const fed = await browser.evaluate<[number, string][]>("fed");
      assertEquals(fed.map(([, order]) => order), orders);
      assertEquals(orders.length, 12);
      const positions = fed.map(([position]) => position);
      assertEquals(positions, [...new Set(positions)].sort((a, b) => a - b));
      // what another reader, that was never disturbed, gets of the log
      await browser.call("Page.reload");
      await browser.until(
        "the orders again",
        `document.querySelectorAll("#feed tr").length === ${orders.length}`,
        LIMIT,
      );
      assertEquals(await shown(browser), fed.map(([position, order]) => ({ position, order })));
      const charged = [...shops.get("payments")!.output.matchAll(/^charged \d+ for charge-\S+?\/(\S+)$/gm)];
      assertEquals(charged.map(([, order]) => order).sort(), [...orders].sort());
      assertEquals(browser.complaints, []);
    } finally {
      for (const shop of shops.values()) await shop[Symbol.asyncDispose]();
      await server.stop();
      await rm(storeDir, { recursive: true, force: true });
    }
  });

  it("says why an order was not placed, and shows markup as text; light, dark and narrow", async () => {
    await using shop = await startShop([]);
    await using browser = await Browser.open(path);
    await browser.show(1100, 700, "light");
    await browser.goto(shop.url);
    await browser.until("the feed", `${text("#state")} === "connected"`, LIMIT);
    const said = (words: RegExp) => browser.until(`${words}`, `${words}.test(${text("#said")})`, LIMIT);
    await submit(browser, { card: "4000000000000002" });
    await said(/^Your card was declined\.$/);
    await submit(browser, { card: "12" });
    await said(/^card: must have 16 digits$/);
    const markup = "<img src=x onerror='window.hacked = 1'>";
    const placed = await fetch(`${shop.url}/api/placeOrder`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ orderId: markup, sku: "sencha", qty: 1, card: "4111111111111111" }),
    });
    await placed.body?.cancel();
    assertEquals(placed.status, 200);
    await submit(browser, { sku: "assam", qty: "100", card: "4111111111111111" });
    await said(/^ordered for €420\.00/);
    await browser.until("two orders", `document.querySelectorAll("#feed tr").length === 2`, LIMIT);
    assertEquals((await shown(browser))[0].order, markup);
    assertEquals(await browser.evaluate("[typeof window.hacked, document.images.length]"), ["undefined", 0]);
    for (const [width, colors] of [[1100, "light"], [1100, "dark"], [360, "light"], [320, "dark"]] as const) {
      await browser.show(width, 700, colors);
      assert(
        await browser.evaluate(`document.documentElement.scrollWidth <= innerWidth &&
          [...document.querySelectorAll("table, form")].every((part) =>
            part.offsetWidth <= part.parentElement.querySelector("h2").offsetWidth)`),
        `${width} px are too narrow`,
      );
      if (PICTURES === undefined) continue;
      await writeFile(join(PICTURES, `shop-${width}-${colors}.webp`), await browser.picture());
    }
    assertEquals(browser.complaints, []);
  });

  it("axe-core finds no fault of accessibility, in light and in dark", { skip: noAxe }, async () => {
    await using shop = await startShop([]);
    await using browser = await Browser.open(path);
    await browser.call("Page.setBypassCSP", { enabled: true });
    await browser.goto(shop.url);
    await browser.until("the feed", `${text("#state")} === "connected"`, LIMIT);
    await submit(browser, { sku: "assam", qty: "3" });
    await browser.until("an order", `document.querySelectorAll("#feed tr").length === 1`, LIMIT);
    await browser.evaluate("script" in axe ? axe.script : "");
    for (const colors of ["light", "dark"] as const) {
      await browser.show(390, 844, colors);
      const run = "axe.run(document).then(({ violations }) => violations.map(({ id, nodes }) => " +
        "`${id}: ${nodes.map(({ html }) => html).join(' ')}`))";
      assertEquals(await browser.evaluate(run), []);
    }
  });
});
