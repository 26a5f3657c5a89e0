import { after, before, describe } from "node:test";
import { catga } from "../../mod.ts";
import { type NatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { entitiesSuite } from "./entities_suite.ts";

describe("entities on NATS", () => {
  let server: NatsServer;
  before(async () => {
    server = await startNatsServer();
  });
  after(async () => {
    await server.stop();
  });
  entitiesSuite({ start: (options) => catga({ nats: server.url, ...options }) });
});
