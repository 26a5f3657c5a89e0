/**
 * The log of Catga: durable events with a key, and a subscription of a service. The variant `start` is a service of its
 * own, which begins at the oldest event.
 */
import { catga, event, unwrap } from "../../mod.ts";
import { runLogged, type Stored } from "./logged.ts";

/** 900 keys. */
const key = ({ qty }: Stored) => String(qty);
const OrderPlaced = event<Stored>("OrderPlaced", { durable: true, key });
const OrderNoted = event<Stored>("OrderNoted", { durable: true, key });

await runLogged({
  async node({ url, group, transport, nodes = 1, variant }, handle) {
    const [service, from] = variant === "start" ? ["late", "start"] as const : ["workers", "now"] as const;
    const handlers = [OrderPlaced.on(handle, { name: "billing", from })];
    const app = await catga({ nats: url, namespace: group, transport, service, handlers });
    while (app.nodes().filter((node) => node.service === service).length < nodes) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  },
  async client({ url, group, transport }) {
    const app = await catga({ nats: url, namespace: group, transport, service: "client" });
    return {
      publish: async (stored) => unwrap(await app.publish(OrderPlaced, stored)),
      store: async (stored, id) => unwrap(await app.publish(OrderNoted, stored, { id })),
    };
  },
});
