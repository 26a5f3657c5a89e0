import { catga } from "../../../mod.ts";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { QUIET } from "../../../test/support/quiet.ts";
import { timesSuite } from "./times_suite.ts";

timesSuite("over NATS", await requireNatsServer(), async (handlers) => {
  const server = await startNatsServer();
  const app = await catga({ nats: server.url, handlers, logger: QUIET });
  return {
    app,
    async [Symbol.asyncDispose]() {
      await app.drain();
      await server[Symbol.asyncDispose]();
    },
  };
});
