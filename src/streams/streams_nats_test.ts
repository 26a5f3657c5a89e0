import { after, before, describe } from "node:test";
import { catga } from "../../mod.ts";
import { type NatsServer, requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { streamsSuite } from "./streams_suite.ts";

describe("streams on NATS", await requireNatsServer(), () => {
  let server: NatsServer;
  before(async () => {
    server = await startNatsServer();
  });
  after(async () => {
    await server.stop();
  });
  let namespaces = 0;
  streamsSuite({
    one: false,
    open: async ({ handlers, ...options }) => {
      const nats = { nats: server.url, namespace: `streams-${++namespaces}`, ...options };
      const worker = await catga({ ...nats, id: "worker", handlers });
      const reader = await catga({ ...nats, id: "reader" });
      return { reader, worker, close: () => Promise.all([reader.drain(), worker.drain()]).then(() => {}) };
    },
  });
});
