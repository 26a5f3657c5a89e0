/** A command over HTTP: by hand over `app.send` and `respond`, by an edge, and by an edge that counts its callers. */
import process from "node:process";
import { z } from "zod";
import { catga, command } from "../../mod.ts";
import { edge, respond } from "../../src/http/mod.ts";
import { post, runEdged } from "./edged.ts";

const Order = z.object({ sku: z.string().min(1), qty: z.number().int().positive(), note: z.string().optional() });
const CreateOrder = command("CreateOrder", { input: Order, output: z.object({ orderId: z.string() }) });
const app = await catga({ handlers: CreateOrder.handle(({ sku, qty }) => ({ orderId: `${sku}-${qty}` })) });
const api = edge({ createOrder: CreateOrder });

const handlers: Record<string, (request: Request) => Promise<Response>> = {
  hand: async (request) => {
    if (new URL(request.url).pathname !== "/api/createOrder" || request.method !== "POST") {
      return new Response(null, { status: 404 });
    }
    return respond(await app.send(CreateOrder, await request.json() as z.input<typeof Order>));
  },
  edge: api.handler(app, { base: "/api", authorize: () => undefined }),
  limited: api.handler(app, {
    base: "/api",
    authorize: (request) => request.headers.get("x-user") ?? "nobody",
    identify: (caller) => caller,
    limit: { rate: 1e9 },
  }),
};

runEdged(handlers[process.argv[2]], () => post("/api/createOrder"));
