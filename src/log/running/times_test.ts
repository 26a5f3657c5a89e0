import { catga } from "../../../mod.ts";
import { QUIET } from "../../../test/support/quiet.ts";
import { timesSuite } from "./times_suite.ts";

timesSuite("in memory", {}, async (handlers) => {
  const app = await catga({ handlers, logger: QUIET });
  const awake = setInterval(() => {}, 1_000); // timers of an app keep no process alive
  return {
    app,
    async [Symbol.asyncDispose]() {
      clearInterval(awake);
      await app.drain();
    },
  };
});
