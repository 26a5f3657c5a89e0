/**
 * A read model in memory: how often each quantity was ordered, of all orders in the log, built when the node starts.
 */
import { performance } from "node:perf_hooks";
import process from "node:process";
import { catga, event } from "../../mod.ts";
import { answer } from "./answer.ts";
import type { Order } from "./load.ts";
import type { RemoteOptions } from "./remote.ts";

const OrderPlaced = event<Order>("OrderPlaced", { durable: true, key: ({ qty }) => String(qty) });
const { url, group, transport } = JSON.parse(process.argv[2]) as RemoteOptions;

answer({
  /** Gives how long `catga()` took, in ms, and how many orders it had read when it resolved. */
  async build(): Promise<{ ms: number; orders: number }> {
    const model = new Map<number, number>();
    let orders = 0;
    const counted = OrderPlaced.on(({ qty }) => {
      model.set(qty, (model.get(qty) ?? 0) + 1);
      orders++;
    }, { name: "model", each: "node", from: "start" });
    const start = performance.now();
    await catga({ nats: url, namespace: group, transport, service: "views", handlers: counted });
    return { ms: performance.now() - start, orders };
  },
});
