import { command } from "@catga/catga";
import { z } from "zod";

export const CreateOrder = command("CreateOrder", {
  input: z.object({ sku: z.string(), qty: z.number().int(), buyer: z.string() }),
  output: z.object({ orderId: z.string() }),
});

export const createOrder = CreateOrder.handle(({ sku, qty, buyer }) => ({ orderId: `${buyer}-${sku}-${qty}` }));
