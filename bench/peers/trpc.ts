/** tRPC's fetch adapter, a mutation with schemas of zod. */
import { initTRPC } from "@trpc/server";
import { fetchRequestHandler } from "@trpc/server/adapters/fetch";
import { z } from "zod";
import { post, runEdged } from "../programs/edged.ts";

const t = initTRPC.create();
const router = t.router({
  createOrder: t.procedure
    .input(z.object({ sku: z.string().min(1), qty: z.number().int().positive(), note: z.string().optional() }))
    .output(z.object({ orderId: z.string() }))
    .mutation(({ input: { sku, qty } }) => ({ orderId: `${sku}-${qty}` })),
});

runEdged(
  (req) => fetchRequestHandler({ endpoint: "/trpc", req, router, createContext: () => ({}) }),
  () => post("/trpc/createOrder"),
);
