import { assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { type Catga, catga, type PayloadCodec, workflow } from "../../mod.ts";
import { MemoryNetwork } from "../testing/mod.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { declaredSuite } from "./declared_suite.ts";

declaredSuite("in memory", {}, () => {
  const network = new MemoryNetwork();
  const awake = setInterval(() => {}, 1_000); // keeps the process alive, because timers of an app do not
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

describe("what a workflow declares", () => {
  it("misuse throws at once: of output, failures, the schema of a signal, stages and runs", async () => {
    assertThrows(() => workflow("W", { output: 5 } as never), TypeError, "output");
    assertThrows(() => workflow("W", { failures: "DECLINED" } as never), TypeError, "failures");
    const W = workflow("W");
    assertThrows(() => W.signal("s", { input: {} } as never), TypeError, "input");
    assertThrows(() => W.signal("s", { output: {} } as never), TypeError, "unknown option output");
    const limited = "limit is of durable messages: a durable command that has it may start the runs";
    const limit = { running: 5 };
    assertThrows(() => workflow("W", { limit } as never), TypeError, `workflow W: ${limited}`);
    // as a program in JavaScript calls it
    const handle = W.handle as (fn: () => void, options?: unknown) => unknown;
    assertThrows(() => handle(() => {}, { limit }), TypeError, limited);
    assertThrows(() => handle(() => {}, { fair: () => "" }), TypeError, "fair is of durable messages");
    assertThrows(() => handle(() => {}, 5), TypeError, "workflow W: handle has no options; got 5");
    const thrown = Promise.withResolvers<unknown>();
    const handlers = W.handle((flow) => {
      for (const stage of ["", "x".repeat(65), 5, "\ud800"]) assertThrows(() => flow.stage(stage as string), TypeError);
      thrown.resolve(undefined);
    });
    await using app = await catga({ handlers, logger: QUIET });
    await app.start(W);
    await thrown.promise;
    const delayed = () => app.start(W, undefined, { delay: 5 } as never);
    await assertRejects(
      delayed,
      TypeError,
      "start W: delay is of a message: give at, the Date at which the run starts",
    );
    await assertRejects(() => app.runs({ open: "yes" } as never).next(), TypeError, "open");
  });

  it("a codec that is none is a TypeError of catga", async () => {
    for (const codec of [5, {}, { encode: (bytes: Uint8Array) => bytes }]) {
      await assertRejects(() => catga({ codec: codec as unknown as PayloadCodec }), TypeError, "codec");
    }
  });
});
