/**
 * A node of the agent, and its page.
 *
 *   deno task agent                                      one process, durable in the file agent.db, a scripted model
 *   NATS_URL=nats://localhost:4222 deno task agent       a node of a cluster: start as many as you like
 *
 * | environment       | default     |                                                                    |
 * | ----------------- | ----------- | ------------------------------------------------------------------ |
 * | `NATS_URL`        | none        | where NATS is, with JetStream                                      |
 * | `FILE`            | `agent.db`  | without NATS: where everything is kept                             |
 * | `OPENAI_API_KEY`  | none        | of a model; without it and the URL the model is scripted           |
 * | `OPENAI_BASE_URL` | OpenAI's    | of another server with OpenAI's API, such as one on your machine   |
 * | `MODEL`           | `gpt-5-mini` | the model                                                         |
 * | `PRICE`           | `100`       | what 1,000 tokens of it cost, in cents                             |
 * | `SHOP_URL`        | scripted    | where the tools find the shop                                      |
 * | `HOST`, `PORT`    | `127.0.0.1`, `8080` | where the page is                                          |
 */
import process from "node:process";
import { catga } from "@catga/catga";
import { serve } from "../shop/http_server.ts";
import { agent } from "./agent.ts";
import { api } from "./api.ts";
import { openai } from "./model.ts";
import { World } from "./scripted.ts";
import { shopAt } from "./tools.ts";
import html from "./page/page.html" with { type: "text" };
import script from "./page/page.js" with { type: "text" };
import style from "./page/page.css" with { type: "text" };

const { NATS_URL, FILE = "agent.db", OPENAI_API_KEY, OPENAI_BASE_URL, SHOP_URL } = process.env;
const { MODEL = "gpt-5-mini", PRICE = "100", HOST = "127.0.0.1", PORT = "8080" } = process.env;

const world = new World();
const isScripted = OPENAI_API_KEY === undefined && OPENAI_BASE_URL === undefined;
const model = openai({
  url: OPENAI_BASE_URL ?? (isScripted ? "http://scripted/v1" : "https://api.openai.com/v1"),
  key: OPENAI_API_KEY ?? "none",
  ...{ model: MODEL, price: Number(PRICE), fetch: isScripted ? world.fetch : fetch },
});
const shop = SHOP_URL === undefined ? shopAt("http://scripted", world.fetch) : shopAt(SHOP_URL);

const app = await catga({
  handlers: agent(model, shop),
  service: "agent",
  ...(NATS_URL === undefined ? { file: FILE } : { nats: NATS_URL }),
});

const PAGE: Readonly<Record<string, readonly [type: string, text: string]>> = {
  "/": ["text/html", html],
  "/page.js": ["text/javascript", script],
  "/page.css": ["text/css", style],
};
// for one person on this machine: a service for others looks its session up here
const calls = api.handler(app, { base: "/api", authorize: () => undefined });
const server = serve(
  (request) => {
    const page = PAGE[new URL(request.url).pathname];
    if (page === undefined) return calls(request);
    const [type, text] = page;
    return new Response(text, {
      headers: {
        "Content-Type": `${type}; charset=utf-8`,
        "Cache-Control": "no-cache",
        "Content-Security-Policy": "default-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'",
      },
    });
  },
  HOST,
  Number(PORT),
);
console.log(`node ${app.self.id} serves the agent on http://${HOST}:${server.port}`);

let isStopping = false;
const stop = async () => {
  if (isStopping) return;
  isStopping = true;
  await Promise.all([server.close(10_000), app.drain({ timeout: 20_000 })]);
  process.exit(0);
};
for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, stop);
