/** Catga over NATS. The variant `strict` takes nodes strictly in turn instead of in runs. */
import { catga, command, event, type Strategy, unwrap } from "../../mod.ts";
import { type Order, type Receipt, work } from "./load.ts";
import { runRemote } from "./remote.ts";

const PlaceOrder = command<Order, Receipt>("PlaceOrder");
const OrderPlaced = event<Order>("OrderPlaced");

await runRemote({
  async node({ url, group, transport }, heard) {
    const handlers = [PlaceOrder.handle(work), OrderPlaced.on(heard)];
    await catga({ nats: url, namespace: group, transport, handlers });
  },
  async client({ url, group, transport, variant }) {
    const route = variant === "strict" ? inTurn() : undefined;
    const app = await catga({ nats: url, namespace: group, transport, service: "client", route });
    return {
      send: async (order) => unwrap(await app.send(PlaceOrder, order)),
      publish: (order) => app.publish(OrderPlaced, order),
    };
  },
});

function inTurn(): Strategy {
  let turn = 0;
  return (candidates) => candidates[turn++ % candidates.length];
}
