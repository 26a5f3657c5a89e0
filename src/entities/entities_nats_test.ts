import { after, before, describe } from "node:test";
import { catga } from "../../mod.ts";
import { type NatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { entitiesSuite } from "./entities_suite.ts";
import { definitionsSuite } from "./definitions_suite.ts";
import { forgottenLettersSuite } from "./forgotten_letters_suite.ts";
import { frozenStateSuite } from "./frozen_state_suite.ts";
import { waitingSuite } from "./waiting_suite.ts";

describe("entities on NATS", () => {
  let server: NatsServer;
  before(async () => {
    server = await startNatsServer();
  });
  after(async () => {
    await server.stop();
  });
  entitiesSuite({ start: (options) => catga({ nats: server.url, ...options }) });
  frozenStateSuite({ start: (options) => catga({ nats: server.url, ...options }) });
  forgottenLettersSuite({ start: (options) => catga({ nats: server.url, ...options }) });
  definitionsSuite({ start: (options) => catga({ nats: server.url, ...options }) });
  waitingSuite({ start: (options) => catga({ nats: server.url, ...options }) });
});
