/** `@nats-io/services`: an endpoint that a callback answers, asked with `nc.request`, both with default settings. */
import { Svcm } from "@nats-io/services";
import { connect } from "@nats-io/transport-node";
import { type Order, type Receipt, work } from "../programs/load.ts";
import { runRemote } from "../programs/remote.ts";

await runRemote({
  async node({ url, group }) {
    const nc = await connect({ servers: url });
    // built for an earlier nats-core, the types of which differ; it runs on this one
    const service = await new Svcm(
      nc as unknown as ConstructorParameters<typeof Svcm>[0],
    ).add({
      name: "orders",
      version: "1.0.0",
    });
    service.addEndpoint("place", {
      subject: `${group}.order`,
      handler: (_error, message) => void message.respond(JSON.stringify(work(message.json<Order>()))),
    });
    await nc.flush();
  },
  async client({ url, group }) {
    const nc = await connect({ servers: url });
    return {
      async send(order) {
        const reply = await nc.request(
          `${group}.order`,
          JSON.stringify(order),
          { timeout: 30_000 },
        );
        return reply.json<Receipt>();
      },
    };
  },
});
