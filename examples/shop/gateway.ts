/** The shop's HTTP gateway: its page, and its API for browsers. The gateway handles no messages. */
import type { Catga } from "@catga/catga";
import { deny } from "@catga/catga/http";
import { Hono } from "hono";
import { api } from "./api.ts";
import html from "./page/page.html" with { type: "text" };
import script from "./page/page.js" with { type: "text" };
import style from "./page/page.css" with { type: "text" };

/** The caller. */
interface Customer {
  readonly id: string;
}

/** Makes the routes of a gateway. */
export function gateway(app: Catga): Hono {
  const handler = api.handler<Customer>(app, {
    base: "/api",
    // runs are started by events of the log, never by a browser
    authorize: (request, { action }) => action === "start" ? deny(403) : customerOf(request) ?? deny(401),
    identify: ({ id }) => id,
    limit: { rate: 20, burst: 40 },
    maxBody: 65_536,
  });
  const routes = new Hono();
  routes.all("/api/*", (c) => handler(c.req.raw));
  routes.get("/openapi.json", (c) => c.json(api.openapi({ title: "The shop", version: "1", base: "/api" })));
  for (const [path, [type, text]] of Object.entries(PAGE)) {
    routes.get(path, (c) => c.body(text, 200, { ...HEADERS, "Content-Type": `${type}; charset=utf-8` }));
  }
  return routes;
}

/**
 * Returns the customer: the page makes a random token once, which identifies it; a request without a token is the
 * guest's. A shop with accounts looks its session up here.
 */
function customerOf(request: Request): Customer | undefined {
  const header = request.headers.get("authorization");
  if (header === null) return { id: "guest" };
  const token = /^Bearer ([\w-]{1,64})$/.exec(header)?.[1];
  return token === undefined ? undefined : { id: token };
}

const PAGE: Readonly<Record<string, readonly [type: string, text: string]>> = {
  "/": ["text/html", html],
  "/page.js": ["text/javascript", script],
  "/page.css": ["text/css", style],
};

const HEADERS = {
  "Cache-Control": "no-cache",
  "Content-Security-Policy":
    "default-src 'self'; img-src data:; frame-ancestors 'none'; form-action 'none'; base-uri 'none'",
  "X-Content-Type-Options": "nosniff",
};
