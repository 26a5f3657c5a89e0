/** oRPC's handler of its own protocol, a procedure with schemas of zod. */
import { os } from "@orpc/server";
import { RPCHandler } from "@orpc/server/fetch";
import { z } from "zod";
import { BODY, post, runEdged } from "../programs/edged.ts";

const createOrder = os
  .input(z.object({ sku: z.string().min(1), qty: z.number().int().positive(), note: z.string().optional() }))
  .output(z.object({ orderId: z.string() }))
  .handler(({ input: { sku, qty } }) => ({ orderId: `${sku}-${qty}` }));
const handler = new RPCHandler({ createOrder });
const body = JSON.stringify({ json: JSON.parse(BODY) });

runEdged(async (request) => {
  const { response } = await handler.handle(request, { prefix: "/rpc", context: {} });
  return response ?? new Response(null, { status: 404 });
}, () => {
  const headers = { "content-type": "application/json", "content-length": `${body.length}`, "x-user": "ann" };
  return new Request(post("/rpc/createOrder").url, { method: "POST", body, headers });
});
