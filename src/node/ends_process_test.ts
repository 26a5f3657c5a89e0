/**
 * Tests of code of a program that never ends, in processes on NATS: its sends end, its apps drain, and then the
 * processes end by themselves.
 */
import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { HungLine } from "../../test/processes/hung_code.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { OWN_RUNTIMES, startProgram } from "../../test/processes/node_process.ts";

describe("a process whose schemas, behaviors, handlers and loads never end", await requireNatsServer(), () => {
  for (const runtime of OWN_RUNTIMES) {
    it(`has a result of each send, drains, and ends by itself: ${runtime}`, { timeout: 300_000 }, async () => {
      await using server = await startNatsServer();
      await using program = await startProgram<HungLine>(runtime, "test/processes/hung_code.ts", [server.url]);
      await program.line(({ event }) => event === "drained");
      const ended = await program.end(20_000);
      assertEquals(ended.by, 0, program.output);
      const codes: Record<string, string | undefined> = {};
      for (const line of program.lines) {
        if (line.event !== "sent") continue;
        codes[line.where] = line.code;
        assert(line.took >= 490, `${line.where} ended after ${line.took} ms`);
      }
      // after a request has been sent, the client knows that the handler did not run only if it is told so in time
      const unsure = (where: string) => codes[where] === "UNAVAILABLE" ? "UNAVAILABLE" : "OUTCOME_UNKNOWN";
      assertEquals(codes, {
        CheckedBySender: "UNAVAILABLE",
        ParsedBySender: "OUTCOME_UNKNOWN",
        CheckedByHandler: unsure("CheckedByHandler"),
        ParsedByHandler: "OUTCOME_UNKNOWN",
        Before: unsure("Before"),
        Around: "UNAVAILABLE",
        Load: "OUTCOME_UNKNOWN",
        Hangs: "OUTCOME_UNKNOWN",
      });
      const drained = program.lines.find((line) => line.event === "drained");
      const ran = drained?.event === "drained" ? drained.ran : [];
      assertEquals([...new Set(ran)], ["ParsedBySender", "ParsedByHandler", "Load", "Hangs"]);
      // on a busy machine a request may have been sent again before it ran; each send may run once at most
      const sends = (where: string) => program.lines.filter((line) => line.event === "sent" && line.where === where);
      const runs = (where: string) => ran.filter((each) => each === where);
      assertEquals(ran.filter((where) => runs(where).length > sends(where).length), []);
    });
  }
});
