import { type Catga, catga } from "../../mod.ts";
import { MemoryNetwork } from "../testing/mod.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { declaredSuite } from "./declared_suite.ts";

declaredSuite("in memory", {}, () => {
  const network = new MemoryNetwork();
  const awake = setInterval(() => {}, 1_000); // timers of an app keep no process alive
  let app: Catga | undefined;
  let count = 0;
  return Promise.resolve({
    async start(handlers) {
      await app?.drain();
      return app = await catga({ network, id: `n${count++}`, service: "s", handlers, logger: QUIET });
    },
    async [Symbol.asyncDispose]() {
      clearInterval(awake);
      await app?.drain();
    },
  });
});
