/**
 * One node of the orders service. Start as many as you like: they find each other, and share the work.
 *
 *   deno run -A examples/orders/node.ts --nats nats://localhost:4222 --id orders-1
 *
 * | option      | environment   | default                 |                                |
 * | ----------- | ------------- | ----------------------- | ------------------------------ |
 * | `--nats`    | `NATS_URL`    | `nats://localhost:4222` | where NATS is, with JetStream  |
 * | `--id`      | `NODE_ID`     | random                  | this node's id                 |
 * | `--file`    | `ORDERS_FILE` | `orders.jsonl`          | where the orders are kept      |
 * | `--work-ms` | `WORK_MS`     | `80`                    | how long an order takes, in ms |
 *
 * Ctrl-C and SIGTERM drain the node: it leaves the cluster, finishes its open messages, and the process ends.
 */
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { catga } from "@catga/catga";
import { OrderBook } from "./order_book.ts";
import { orders } from "./orders.ts";

const { env } = process;
const { values: options } = parseArgs({
  options: {
    nats: { type: "string", default: env.NATS_URL ?? "nats://localhost:4222" },
    id: { type: "string", default: env.NODE_ID },
    file: { type: "string", default: env.ORDERS_FILE ?? "orders.jsonl" },
    "work-ms": { type: "string", default: env.WORK_MS ?? "80" },
  },
});

const book = new OrderBook(options.file);
// stands for the payment provider and the warehouse
const work = () => delay(Number(options["work-ms"]) / 2);

const started = performance.now();
const app = await catga({
  handlers: orders({ book, charge: work, pack: work }),
  nats: options.nats,
  service: "orders",
  id: options.id,
  signals: true,
});
console.log(`node ${app.self.id} takes orders: routable ${(performance.now() - started).toFixed(1)} ms after catga()`);
