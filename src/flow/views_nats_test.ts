import { type Catga, catga } from "../../mod.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { viewsSuite } from "./views_suite.ts";

viewsSuite("over NATS", await requireNatsServer(), async () => {
  const server = await startNatsServer();
  let app: Catga | undefined;
  let count = 0;
  return {
    async start(handlers) {
      await app?.drain();
      return app = await catga({ nats: server.url, id: `n${count++}`, service: "s", handlers, logger: QUIET });
    },
    async [Symbol.asyncDispose]() {
      await app?.drain();
      await server[Symbol.asyncDispose]();
    },
  };
});
