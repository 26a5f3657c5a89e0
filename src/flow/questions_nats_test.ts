import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { againSuite } from "./again_suite.ts";
import { callbacksSuite } from "./callbacks_suite.ts";
import { forgettingSuite } from "./forgetting_suite.ts";
import { mapSuite } from "./map_suite.ts";
import { questionsHarness, questionsSuite } from "./questions_suite.ts";

const open = async () => {
  const server = await startNatsServer();
  return questionsHarness({ nats: server.url }, () => server[Symbol.asyncDispose]());
};
const skip = await requireNatsServer();

questionsSuite("over NATS", skip, open);
againSuite("over NATS", skip, open);
callbacksSuite("over NATS", skip, open);
mapSuite("over NATS", skip, open);
forgettingSuite("over NATS", skip, open);
