import { type Catga, catga } from "../../mod.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { againSuite } from "./again_suite.ts";
import { mapSuite } from "./map_suite.ts";
import { type QuestionsHarness, questionsSuite } from "./questions_suite.ts";

const open = async (): Promise<QuestionsHarness> => {
  const server = await startNatsServer();
  let app: Catga | undefined;
  let count = 0;
  return {
    async start(handlers, warned) {
      await app?.drain();
      return app = await catga({
        nats: server.url,
        id: `n${count++}`,
        service: "s",
        handlers,
        logger: { ...QUIET, warn: warned ?? (() => {}) },
      });
    },
    async [Symbol.asyncDispose]() {
      await app?.drain();
      await server[Symbol.asyncDispose]();
    },
  };
};
const skip = await requireNatsServer();

questionsSuite("over NATS", skip, open);
againSuite("over NATS", skip, open);
mapSuite("over NATS", skip, open);
