/** Moleculer over NATS: no log, no validator, and neither metrics nor tracing, which are off by default. */
import moleculer from "moleculer";
import { type Order, type Receipt, work } from "../programs/load.ts";
import { type RemoteOptions, runRemote } from "../programs/remote.ts";

await runRemote({
  async node(options, heard) {
    const broker = brokerOf(options, "node");
    broker.createService({
      name: "orders",
      actions: { place: ({ params }: { params: Order }) => work(params) },
      events: { "orders.placed": heard },
    });
    await broker.start();
  },
  async client(options) {
    const broker = brokerOf(options, "client");
    await broker.start();
    await broker.waitForServices("orders");
    return {
      send: (order) => broker.call<Receipt, Order>("orders.place", order),
      publish: (order) => broker.emit("orders.placed", order),
    };
  },
});

function brokerOf({ url, group }: RemoteOptions, nodeID: string) {
  return new moleculer.ServiceBroker({
    namespace: group,
    nodeID,
    transporter: { type: "NATS", options: { url } },
    logger: false,
    validator: false,
  });
}
