/**
 * The way into the shop: HTTP in, commands and queries out. It handles nothing but the news of orders, of which it
 * makes a list.
 */
import { fail, type Sender } from "@catga/catga";
import { events, respond } from "@catga/catga/http";
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { DAY, FindOrder, OrderPlaced, type PaidOrder, PlaceOrder, WatchOrders } from "./contracts.ts";

/** How many orders the gateway remembers. */
const LATEST = 20;
/** Bytes of a request's body, which `Deno.serve` does not limit. */
const MOST = 65_536;
const KEY = /^[\x21-\x7e]{1,128}$/;

/**
 * The routes and the handlers of one gateway. `app` is asked for at each request: it exists only after its handlers do.
 * What would go on for ever ends with `stop`.
 */
export function gateway(app: () => Sender, stop: AbortSignal) {
  const latest: PaidOrder[] = [];
  // a read model: every gateway reads all orders when it starts, and each new one after that
  const onOrder = OrderPlaced.on((order) => {
    latest.unshift(order);
    latest.length = Math.min(latest.length, LATEST);
  }, { each: "node", from: "start" });

  const routes = new Hono();
  const tooLarge = () => refused("BODY_TOO_LARGE", `the body may have ${MOST} bytes`, 413);
  routes.use(bodyLimit({ maxSize: MOST, onError: tooLarge }));
  routes.post("/orders", async (c) => {
    const key = c.req.header("Idempotency-Key") ?? crypto.randomUUID();
    if (!KEY.test(key)) {
      return refused("BAD_KEY", "Idempotency-Key must have 1 to 128 visible ASCII characters");
    }
    const body = await c.req.json().catch(() => undefined);
    if (body === undefined) return refused("BAD_BODY", "the body must be JSON");
    // who repeats a request with the same key gets the same order, whichever gateway and whichever node has it
    const placed = await app().send(PlaceOrder, { ...body, orderId: key }, { id: key, timeout: 20_000 });
    return respond(placed, { status: 201, headers: { Location: `/orders/${encodeURIComponent(key)}` }, failures });
  });
  routes.get("/orders", (c) => c.json(latest));
  // a browser that comes again says what it has
  routes.get("/orders/news", (c) => {
    const after = Number(c.req.header("Last-Event-ID") ?? 0) || 0;
    const news = app().stream(WatchOrders, { after }, { idle: DAY });
    return events(news, { signal: stop, id: ({ place }) => place });
  });
  routes.get("/orders/:id", async (c) => {
    return respond(await app().send(FindOrder, { orderId: c.req.param("id") }, { timeout: 5_000 }), { failures });
  });
  return { routes, onOrder };
}

/** The statuses of the shop's own failures. */
const failures = { CARD_DECLINED: 402, NO_SUCH_ORDER: 404, ALREADY_PLACED: 409, UNKNOWN_SKU: 422 };

function refused(code: string, message: string, status = 400): Response {
  return respond(fail(code, message), { failures: { [code]: status } });
}
