/**
 * `@moleculer/channels` over JetStream. As it is, a node has one message in hand; the variant `many` has as many as two
 * nodes of Catga.
 */
import channels from "@moleculer/channels";
import moleculer, { type ServiceSchema } from "moleculer";
import { runLogged, type Stored } from "../programs/logged.ts";
import type { RemoteOptions } from "../programs/remote.ts";

await runLogged({
  async node(options, handle) {
    const broker = brokerOf(options, "node");
    const channel = {
      group: "billing",
      ...options.variant === "many" ? { maxInFlight: 2_048 } : {},
      handler: async (stored: Stored) => await handle(stored),
    };
    // `channels` is a member that the middleware adds
    broker.createService({ name: "billing", channels: { [`${options.group}.placed`]: channel } } as ServiceSchema);
    await broker.start();
  },
  async client(options) {
    const broker = brokerOf(options, "client");
    await broker.start();
    // added by the middleware, too
    const { sendToChannel } = broker as unknown as { sendToChannel(name: string, payload: unknown): Promise<void> };
    const publish = (stored: Stored) => sendToChannel.call(broker, `${options.group}.placed`, stored);
    return { publish, store: publish };
  },
});

function brokerOf({ url, group }: RemoteOptions, nodeID: string) {
  const adapter = { type: "NATS", options: { nats: { url } } };
  return new moleculer.ServiceBroker({
    namespace: group,
    nodeID,
    logger: false,
    validator: false,
    // its types want all options to be given
    middlewares: [channels.Middleware({ adapter } as unknown as Parameters<typeof channels.Middleware>[0])],
  });
}
