/**
 * A node of the shop: one of its services, or several in one process.
 *
 *   deno task shop                                        all of it in one process, durable in the file shop.db
 *   deno run -A examples/shop/shop.ts                     all of it in one process, in memory
 *   deno run -A examples/shop/shop.ts orders payments     two of its services, in a cluster if NATS_URL is set
 *   deno run -A examples/shop/shop.ts health              ends with 0 if the node on PORT is well, else with 1
 *
 * | environment | default     |                                                               |
 * | ----------- | ----------- | ------------------------------------------------------------- |
 * | `NATS_URL`  | none        | where NATS is, with JetStream; none: one process              |
 * | `FILE`      | none        | without NATS: where everything is kept; none: in memory       |
 * | `NODE_ID`   | random      | this node's id                                                |
 * | `HOST`      | `127.0.0.1` | where HTTP listens                                            |
 * | `PORT`      | `8080`      | the shop's page if the gateway is here; `/healthz` in any case |
 */
import process from "node:process";
import { type Catga, catga, type Handlers } from "@catga/catga";
import { tracing } from "@catga/catga/behaviors";
import { Hono } from "hono";
import { gateway } from "./gateway.ts";
import { serve } from "./http_server.ts";
import * as mails from "./mails.ts";
import * as orders from "./orders.ts";
import * as payments from "./payments.ts";

const SERVICES = ["gateway", "orders", "payments", "mails"] as const;
type Service = (typeof SERVICES)[number];

const { NATS_URL, FILE, NODE_ID, HOST = "127.0.0.1", PORT = "8080" } = process.env;
const words = process.argv.slice(2);

if (words.length === 1 && words[0] === "health") await probe();
else await start(services());

/** Returns the services that the command line names; all of them if it names none. */
function services(): readonly Service[] {
  const unknown = words.filter((word) => !(SERVICES as readonly string[]).includes(word));
  if (unknown.length > 0) {
    console.error(`unknown: ${unknown.join(" ")}; the shop has the services ${SERVICES.join(", ")}, and "health"`);
    process.exit(2);
  }
  return words.length === 0 ? SERVICES : words as Service[];
}

async function start(services: readonly Service[]): Promise<void> {
  const handlers: Record<Service, Handlers> = { gateway: [], orders, payments, mails };
  const app: Catga = await catga({
    handlers: services.map((service) => handlers[service]),
    service: services.length === 1 ? services[0] : "shop",
    behaviors: [tracing()],
    ...(NATS_URL !== undefined ? { nats: NATS_URL } : FILE !== undefined ? { file: FILE } : {}),
    ...(NODE_ID === undefined ? {} : { id: NODE_ID }),
  });

  let stopping = false;
  const http = new Hono();
  http.use(async (c, next) => {
    await next();
    if (stopping) c.header("Connection", "close"); // a connection that is kept alive would hold the server up
  });
  http.get("/healthz", (c) => {
    const health = app.health();
    return c.json(health, health.ready ? 200 : 503);
  });
  if (services.includes("gateway")) http.route("/", gateway(app));
  const server = serve((request) => http.fetch(request), HOST, Number(PORT));
  console.log(`node ${app.self.id} serves ${services.join(", ")} on http://${HOST}:${server.port}`);

  // not `signals: true`, which ends the process after the drain: the responses of HTTP are to be sent, too
  const stop = async () => {
    stopping = true;
    // the drain ends the feeds, which would hold the server up. Within the 35 s that compose.yaml gives a container
    await Promise.all([server.close(10_000), app.drain({ timeout: 20_000 })]);
    process.exit(0);
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => stopping || stop());
}

/** Runs a container's health check, so that the image needs no other program for it. */
async function probe(): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${PORT}/healthz`, { signal: AbortSignal.timeout(2_000) })
    .catch((error: Error) => error);
  console.log(response instanceof Error ? response.message : await response.text());
  process.exit(response instanceof Error || !response.ok ? 1 : 0);
}
