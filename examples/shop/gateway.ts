/** The way into the shop: HTTP in, commands and queries out. It handles nothing but the news of orders, of which it makes a list. */
import type { CatgaError, Sender } from "@catga/catga";
import { type Context, Hono } from "hono";
import { FindOrder, OrderPlaced, type PaidOrder, PlaceOrder } from "./contracts.ts";

/** How many orders the gateway remembers. */
const LATEST = 20;
const KEY = /^[\x21-\x7e]{1,128}$/;

/** The routes and the handlers of one gateway. `app` is asked for at each request: it exists only after its handlers do. */
export function gateway(app: () => Sender) {
  const latest: PaidOrder[] = [];
  // a read model: every gateway reads all orders when it starts, and each new one after that
  const onOrder = OrderPlaced.on((order) => {
    latest.unshift(order);
    latest.length = Math.min(latest.length, LATEST);
  }, { each: "node", from: "start" });

  const routes = new Hono();
  routes.post("/orders", async (c) => {
    const key = c.req.header("Idempotency-Key") ?? crypto.randomUUID();
    if (!KEY.test(key)) {
      return refused(c, 400, "BAD_KEY", "Idempotency-Key must have 1 to 128 visible ASCII characters");
    }
    const body = await c.req.json().catch(() => undefined);
    if (body === undefined) return refused(c, 400, "BAD_BODY", "the body must be JSON");
    // who repeats a request with the same key gets the same order, whichever gateway and whichever node has it
    const placed = await app().send(PlaceOrder, { ...body, orderId: key }, { id: key, timeout: 20_000 });
    if (placed.ok) return c.json(placed.value, 201, { Location: `/orders/${placed.value.orderId}` });
    return failed(c, placed.error);
  });
  routes.get("/orders", (c) => c.json(latest));
  routes.get("/orders/:id", async (c) => {
    const found = await app().send(FindOrder, { orderId: c.req.param("id") }, { timeout: 5_000 });
    return found.ok ? c.json(found.value) : failed(c, found.error);
  });
  return { routes, onOrder };
}

type Refusal = 400 | 402 | 404 | 409 | 422 | 500 | 503 | 504;

/** The HTTP status of a failure. After 503 and 504 the request may be sent again, with the same key. */
const STATUS: Readonly<Record<string, Refusal>> = {
  INVALID_MESSAGE: 400,
  CARD_DECLINED: 402,
  NO_SUCH_ORDER: 404,
  ALREADY_PLACED: 409,
  CONFLICT: 503,
  ID_REUSED: 409,
  UNKNOWN_SKU: 422,
  NO_HANDLER: 503,
  UNAVAILABLE: 503,
  OVERLOADED: 503,
  CLOSED: 503,
  TIMEOUT: 504,
  OUTCOME_UNKNOWN: 504,
};

function failed(c: Context, { code, message, details }: CatgaError) {
  const status = STATUS[code] ?? 500;
  if (status === 503) c.header("Retry-After", "1");
  // what went wrong inside is for the log of the node that it went wrong on
  return status === 500 ? refused(c, 500, code, "the shop failed") : refused(c, status, code, message, details);
}

function refused(c: Context, status: Refusal, code: string, message: string, details?: unknown) {
  return c.json({ code, message, details }, status);
}
