/** Pages of two origins in a real browser, which call one edge. */
import { assertEquals } from "@std/assert";
import process from "node:process";
import { describe, it } from "node:test";
import { catga, query } from "../mod.ts";
import { edge } from "../src/http/mod.ts";
import { serve } from "../examples/shop/http_server.ts";
import { findChromium } from "../tools/chromium_binary.ts";
import { Browser } from "./support/browser.ts";

const inBun = process.versions.bun !== undefined;
const chromium = inBun ? { missing: "tested in Deno" } : await findChromium();
const skip = "missing" in chromium ? chromium.missing : false;
const path = "path" in chromium ? chromium.path : "";

const Tea = query<void, string>("Tea");
const api = edge({ tea: [Tea, { cache: "private, max-age=60" }] });

describe("an edge that pages of another origin call", { skip, timeout: 120_000 }, () => {
  it("answers them also what the browser's cache has of its own page, and whatever headers they send", async () => {
    await using app = await catga({ handlers: Tea.handle(() => "assam") });
    const page = () =>
      new Response("<!doctype html><title>page</title>", { headers: { "content-type": "text/html; charset=utf-8" } });
    const other = serve(page, "127.0.0.1", 0);
    const origins = [`http://127.0.0.1:${other.port}`];
    const handle = api.handler(app, { base: "/api", authorize: () => undefined, origins });
    const asked: string[] = [];
    const gateway = serve(
      (request) => {
        const { method, url } = request;
        asked.push(`${method} ${new URL(url).pathname}`);
        return url.includes("/api/") ? handle(request) : page();
      },
      "127.0.0.1",
      0,
    );
    try {
      await using browser = await Browser.open(path);
      const ask = (headers = {}) =>
        browser.evaluate(
          `fetch("http://127.0.0.1:${gateway.port}/api/tea", { headers: ${JSON.stringify(headers)} })
            .then((response) => response.json(), String)`,
        );
      const open = async (port: number) => {
        await browser.goto(`http://127.0.0.1:${port}/`);
        await browser.until("the page", `location.port === "${port}" && document.title === "page"`);
      };
      await open(gateway.port);
      assertEquals([await ask(), await ask()], ["assam", "assam"]);
      assertEquals(asked.filter((request) => request === "GET /api/tea").length, 1); // the cache answers
      await open(other.port);
      assertEquals(await ask(), "assam");
      assertEquals(await ask({ "x-tenant": "7" }), "assam");
    } finally {
      await Promise.all([gateway.close(5_000), other.close(5_000)]);
    }
  });
});
