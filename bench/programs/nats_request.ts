/**
 * nats.js by itself: `nc.request` and `nc.publish` of JSON, with its default settings; the variant `noAsyncTraces` has
 * that setting, without which each request makes an `Error` for its stack.
 */
import { type Order, type Receipt, work } from "./load.ts";
import { type RemoteOptions, runRemote } from "./remote.ts";

await runRemote({
  async node(options, heard) {
    const nc = await open(options);
    nc.subscribe(`${options.group}.order`, {
      callback: (_error, message) => void message.respond(JSON.stringify(work(message.json<Order>()))),
    });
    nc.subscribe(`${options.group}.placed`, {
      callback(_error, message) {
        message.json<Order>();
        heard();
      },
    });
    await nc.flush();
  },
  async client(options) {
    const nc = await open(options);
    const [orders, placed] = [`${options.group}.order`, `${options.group}.placed`];
    return {
      async send(order) {
        const reply = await nc.request(orders, JSON.stringify(order), { timeout: 30_000 });
        return reply.json<Receipt>();
      },
      publish: (order) => nc.publish(placed, JSON.stringify(order)),
    };
  },
});

async function open({ url, transport, variant }: RemoteOptions) {
  const { connect } = transport === "deno"
    ? await import("@nats-io/transport-deno")
    : await import("@nats-io/transport-node");
  return await connect({ servers: url, noAsyncTraces: variant === "noAsyncTraces" });
}
