/**
 * Sends one order to the nodes that `node.ts` has started, and reads it back.
 *
 *   deno run -A examples/orders/client.ts tea 2
 */
import process from "node:process";
import { catga } from "@catga/catga";
import { CreateOrder, FindOrder } from "./orders.ts";

const [sku = "tea", qty = "1"] = process.argv.slice(2);

await using app = await catga({ nats: process.env.NATS_URL ?? "nats://localhost:4222", service: "client" });

const created = await app.send(CreateOrder, { sku, qty: Number(qty) });
if (created.ok) {
  const found = await app.send(FindOrder, { orderId: created.value.orderId });
  console.log(found.ok ? found.value : found.error.message);
} else if (created.error.code === "OUTCOME_UNKNOWN") {
  // the node died while it handled the order: only the stored orders can tell if the order was accepted
  console.error(`perhaps ordered: ${created.error.message}`);
} else {
  console.error(`not ordered: ${created.error.code}: ${created.error.message}`);
}
