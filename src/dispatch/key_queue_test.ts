/** Tests of contracts that are `ordered`: messages of one key run one at a time. */
import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { codeOf, type Job, job, JobHandler, serverAndClient } from "../../test/support/jobs.ts";
import { localApp } from "../../test/support/local_app.ts";
import { openStage } from "../../test/support/stage.ts";
import { command } from "../contract/definition.ts";
import type { Schema } from "../contract/schema.ts";
import { CatgaError } from "../error.ts";
import { ConcurrencyLimit } from "./concurrency_limit.ts";
import { KeyQueue } from "./key_queue.ts";
import { MessageContext } from "./message_context.ts";
import type { Outcome } from "./outcome.ts";
import { TurnBudget } from "./turn_budget.ts";

const Ordered = command<Job, string>("Ordered", { ordered: true, key: ({ key }) => key });

describe("an ordered contract", () => {
  it("runs one message of a key at a time, in order of arrival, and other keys beside it; local and remote", async () => {
    for (const far of [false, true]) {
      const jobs = new JobHandler();
      await using stage = await serverAndClient(Ordered.handle(jobs.handle));
      const { clock, server, client } = stage;
      const sent = (far ? client : server).sendAll(Ordered, ["a1", "a2", "b1", "a3", "b2"].map(job));
      await clock.advance(0);
      assertEquals(jobs.begun, ["a1", "b1"]);
      jobs.end("b1");
      await clock.advance(0);
      jobs.end("a1");
      await clock.advance(0);
      assertEquals(jobs.begun, ["a1", "b1", "b2", "a2"]);
      jobs.end("a2", "b2");
      await clock.advance(0);
      jobs.end("a3");
      assertEquals((await clock.until(sent)).map(codeOf), ["a1", "a2", "b1", "a3", "b2"].map((it) => `done ${it}`));
    }
  });

  it("the key in the options of a send comes before that of the payload, over the wire too", async () => {
    const jobs = new JobHandler();
    await using stage = await serverAndClient(Ordered.handle(jobs.handle));
    const { clock, client } = stage;
    const sent = [client.send(Ordered, job("a1"), { key: "x" }), client.send(Ordered, job("a2"))];
    sent.push(client.send(Ordered, job("b3"), { key: "x" }));
    await clock.advance(0);
    assertEquals(jobs.begun, ["a1", "a2"]);
    jobs.end("a1");
    await clock.advance(0);
    jobs.end("a2", "b3");
    assertEquals((await clock.until(Promise.all(sent))).map(codeOf), ["done a1", "done a2", "done b3"]);
  });

  it("with a schema that transforms, every node makes the key of the payload as it was sent", async () => {
    const keys: unknown[] = [];
    const input: Schema<{ id: string }, { id: number }> = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: (value) => ({ value: { id: Number((value as { id: string }).id) } }),
      },
    };
    const Typed = command("Typed", {
      input,
      ordered: true,
      key: (payload) => {
        keys.push(payload);
        return payload.id;
      },
    });
    const seen: unknown[] = [];
    await using stage = await serverAndClient(Typed.handle((payload) => void seen.push(payload)));
    for (const app of [stage.client, stage.server]) await stage.clock.until(app.send(Typed, { id: "7" }));
    assertEquals(seen, [{ id: 7 }, { id: 7 }]);
    assertEquals(keys, new Array(keys.length).fill({ id: "7" }));
  });

  it("a payload for which the key function throws or returns no string is INVALID_MESSAGE, and does not run", async () => {
    let ran = 0;
    await using stage = await openStage({ handlers: Ordered.handle(() => `${++ran}`) });
    const { other, app } = stage;
    other.send(app.self.endpoint, ["q", "Ordered", 9_000, null, {}, { key: 7 }, { key: "a" }]);
    await stage.settle();
    const seen = other.items("e", "r").map(([kind, , index, what]) => [
      ...[kind, index, kind === "e" ? (what as { code: string }).code : what],
    ]);
    assertEquals(seen, [["e", 0, "INVALID_MESSAGE"], ["e", 1, "INVALID_MESSAGE"], ["e", 2, "INVALID_MESSAGE"], [
      ...["r", 3, "1"],
    ]]);
  });

  it("a send without a key, or with a route other than hash, throws", async () => {
    const Keyless = command<number, void>("Keyless", { ordered: true } as never);
    const { app, clock } = localApp({ handlers: Keyless.handle(() => {}) });
    const message = (run: () => unknown): string => {
      try {
        run();
      } catch (error) {
        return (error as Error).message;
      }
      return "";
    };
    assert(message(() => app.send(Keyless, 1)).includes("needs a key"));
    assert(message(() => app.send(Keyless, 1, { key: "a", route: "random" })).includes('has the route "hash"'));
    assertEquals((await app.send(Keyless, 1, { key: "a" })).ok, true);
    await clock.until(app.drain());
  });

  it("a key is forgotten when none of its messages runs or waits", async () => {
    const { inside, clock } = localApp();
    const budget = new TurnBudget(clock);
    const keys = new KeyQueue(clock, budget);
    const limit = new ConcurrencyLimit(clock, budget, 2);
    const ends: (() => void)[] = [];
    const take = (key: string): MessageContext => {
      const ctx = new MessageContext(inside, Ordered, 1_000, undefined);
      ctx.execution.key = key;
      const handle = () => new Promise<Outcome>((resolve) => ends.push(() => resolve({ ok: true, value: 1 })));
      const done = keys.admit(ctx, () => limit.admit(ctx, handle));
      if (done instanceof Promise) ctx.run(done, () => {});
      return ctx;
    };
    const [, , cancelled] = ["a", "b", "b", "c", "d"].map(take);
    assertEquals(keys.size, 4);
    cancelled.abort(new CatgaError("CANCELLED", "enough"));
    ends[0]();
    await clock.advance(0);
    assertEquals(keys.size, 3);
    await clock.advance(2_000); // the deadline of the message d passes while it waits
    for (let i = 1; i < ends.length; i++) {
      ends[i]();
      await clock.advance(0);
    }
    assertEquals([keys.size, ends.length], [0, 3]);
  });

  it("its messages wait for the handler's concurrency as well, and can be cancelled in either queue", async () => {
    const jobs = new JobHandler();
    await using stage = await serverAndClient(Ordered.handle(jobs.handle, { concurrency: 1 }));
    const { clock, server, client } = stage;
    const stop = new AbortController();
    const sent = [
      client.send(Ordered, job("a1")),
      client.send(Ordered, job("b1"), { signal: stop.signal }), // waits for the handler
      client.send(Ordered, job("b2")), // waits for its key
      client.send(Ordered, job("c1")),
    ];
    await clock.advance(0);
    stop.abort();
    await clock.advance(0);
    jobs.end("a1");
    await clock.advance(0);
    assertEquals(jobs.begun, ["a1", "c1"]); // b2 entered the handler's queue when b1 left that of the key
    jobs.end("c1");
    await clock.advance(0);
    jobs.end("b2");
    assertEquals((await clock.until(Promise.all(sent))).map(codeOf), ["done a1", "CANCELLED", "done b2", "done c1"]);
    assertEquals(server.self.load, { inFlight: 0, queued: 0 });
  });
});
