/** An idle node wakes seldom: timers of Catga and of nats.js, over NATS. */
import { describe, it } from "node:test";
import { requireNatsServer, startNatsServer } from "../tools/nats_server.ts";
import type { IdleLine } from "./processes/idle_timers.ts";
import { OWN_RUNTIMES, startProgram } from "./processes/node_process.ts";

/** A node that has just started, and a busy machine, may take long to have nothing to do: in ms. */
const LIMIT = 240_000;

describe("two nodes that have nothing to do", await requireNatsServer(), () => {
  for (const [what, ...kind] of [["that handle queries"], ["one of which leads a subscription", "durable"]]) {
    for (const runtime of OWN_RUNTIMES) {
      it(`${what}: no timer fires more than twice a second: ${runtime}`, { timeout: LIMIT }, async () => {
        await using server = await startNatsServer();
        const path = "test/processes/idle_timers.ts";
        await using program = await startProgram<IdleLine>(runtime, path, [server.url, ...kind]);
        const isQuiet = ({ rates }: IdleLine) => rates.length > 0 && rates.every(({ rate }) => rate <= 2);
        await program.line(isQuiet, LIMIT / 2);
      });
    }
  }
});
