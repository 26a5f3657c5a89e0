/**
 * Entities of Catga. Without nodes the client decides itself; with one it sends. `load` passes by snapshots, which are
 * of another version of the entity; `load with snapshot` begins with them.
 */
import { catga, command, entity, unwrap } from "../../mod.ts";
import { runDecided } from "./decided.ts";
import type { Order } from "./load.ts";

interface Stock {
  readonly events: number;
  readonly qty: number;
}

const initial = (): Stock => ({ events: 0, qty: 0 });
const take = ({ events, qty }: Stock, order: Order): Stock => ({ events: events + 1, qty: qty + order.qty });
const Stocked = entity("Stock", { initial });
const Taken = Stocked.event<Order>("Taken", take);
const Anew = entity("Stock", { initial, version: 2 });
Anew.event<Order>("Taken", take);
const Take = command<Order & { stock: string }, number>("Take", { key: ({ stock }) => stock });
const handlers = Stocked.handle(Take, (stock, { sku, qty }) => {
  stock.emit(Taken, { sku, qty });
  return stock.state.events;
});

await runDecided({
  async node({ url, group, transport }) {
    await catga({ nats: url, namespace: group, transport, service: "stock", handlers });
  },
  async client({ url, group, transport, nodes = 0 }) {
    const own = nodes === 0 ? { handlers } : {};
    const app = await catga({ nats: url, namespace: group, transport, service: "client", ...own });
    const reader = await catga({ nats: url, namespace: group, transport, service: "reader" });
    return {
      change: async (stock, { sku, qty }) => unwrap(await app.send(Take, { stock, sku, qty })),
      reads: {
        "load": async (stock) => (await reader.load(Anew, stock)).state.events,
        "load with snapshot": async (stock) => (await reader.load(Stocked, stock)).state.events,
      },
    };
  },
});
