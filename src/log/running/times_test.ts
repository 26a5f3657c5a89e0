import { catga } from "../../../mod.ts";
import { QUIET } from "../../../test/support/quiet.ts";
import { timesSuite } from "./times_suite.ts";

timesSuite("in memory", {}, async (handlers) => {
  const app = await catga({ handlers, logger: QUIET });
  const awake = setInterval(() => {}, 1_000); // this timer keeps the process alive, because an app's timers do not
  return {
    app,
    async [Symbol.asyncDispose]() {
      clearInterval(awake);
      await app.drain();
    },
  };
});
