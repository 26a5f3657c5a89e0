/** Tests of a handler's `concurrency`, and of the failures of messages that it refuses. */
import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { localApp } from "../../test/support/local_app.ts";
import { codeOf, type Job, job, JobHandler, serverAndClient } from "../../test/support/jobs.ts";
import { openStage } from "../../test/support/stage.ts";
import { command, event, query } from "../contract/declaration/definition.ts";
import type { Result } from "../contract/calls/result.ts";
import { type Outcome, Refusal } from "./outcome.ts";
import type { Schema } from "../contract/schemas/schema.ts";
import { CatgaError } from "../error.ts";
import { ConcurrencyLimit, KeyQueue } from "./concurrency_limit.ts";
import { MessageContext } from "./message_context.ts";
import { TurnBudget } from "./turn_budget.ts";

const Do = command<Job, string>("Do");

describe("a handler's concurrency", () => {
  it("counts runs for this process and for others together, and admits in order of arrival", async () => {
    const jobs = new JobHandler();
    await using stage = await serverAndClient(Do.handle(jobs.handle, { concurrency: 2 }));
    const { clock, server, client } = stage;
    const sent: Promise<Result<string>>[] = [];
    for (const [app, what] of [[server, "a1"], [client, "b2"], [server, "a3"], [client, "b4"]] as const) {
      sent.push(app.send(Do, job(what)));
      await clock.advance(0);
    }
    assertEquals(jobs.begun, ["a1", "b2"]);
    jobs.end("b2");
    await clock.advance(0);
    assertEquals(jobs.begun, ["a1", "b2", "a3"]);
    jobs.end("a1");
    await clock.advance(0);
    jobs.end("a3", "b4");
    assertEquals((await clock.until(Promise.all(sent))).map(codeOf), ["done a1", "done b2", "done a3", "done b4"]);
  });

  it("limits event handlers too", async () => {
    const Noted = event<Job>("Noted");
    const jobs = new JobHandler();
    const { app, clock } = localApp({ handlers: Noted.on(jobs.handle, { concurrency: 1 }) });
    for (const what of ["a1", "b2"]) await app.publish(Noted, job(what));
    await clock.advance(0);
    assertEquals(jobs.begun, ["a1"]);
    jobs.end("a1");
    await clock.advance(0);
    assertEquals(jobs.begun, ["a1", "b2"]);
    jobs.end("b2");
    await clock.until(app.drain());
  });

  it("an event waits for its turn until the app's timeout, however slow the runs before it seem (it was lost)", async () => {
    const Noted = event<Job>("Noted");
    const jobs = new JobHandler();
    await using stage = await serverAndClient(Noted.on(jobs.handle, { concurrency: 1 }));
    const { clock, client } = stage;
    const publish = async (what: string) => assert((await client.publish(Noted, job(what))).ok);
    for (let n = 0; n < 400; n++) await publish(`a${n}`);
    await clock.advance(200); // at the pace of the first run, which has not ended, the others take 80 s
    await publish("b1");
    await clock.advance(0);
    for (let n = 0; n < 400; n++) {
      jobs.end(`a${n}`);
      await clock.advance(1);
    }
    assertEquals([jobs.begun.length, jobs.begun.at(-1)], [401, "b1"]);
    await publish("c1");
    await clock.advance(30_000);
    jobs.end("b1");
    await clock.advance(10);
    assertEquals(jobs.begun.length, 401); // the last one had no turn by its deadline
  });

  it("a waiting message that is cancelled, or whose deadline passes, never runs, and its send fails", async () => {
    const jobs = new JobHandler();
    for (const far of [false, true]) {
      await using stage = await serverAndClient(Do.handle(jobs.handle, { concurrency: 1 }));
      const { clock, server, client } = stage;
      const app = far ? client : server;
      const stop = new AbortController();
      jobs.begun.length = 0;
      const sent = [
        app.send(Do, job("a1")),
        app.send(Do, job("a2"), { signal: stop.signal }),
        app.send(Do, job("a3"), { timeout: 1_099, retries: 0 }),
        app.send(Do, job("a4")),
      ];
      await clock.advance(10);
      stop.abort();
      await clock.advance(1_200);
      assertEquals((await Promise.all(sent.slice(1, 3))).map(codeOf), ["CANCELLED", "UNAVAILABLE"]);
      jobs.end("a1");
      await clock.advance(0);
      assertEquals(jobs.begun, ["a1", "a4"]);
      jobs.end("a4");
      assertEquals(codeOf(await clock.until(sent[3])), "done a4");
      assertEquals(server.self.load, { inFlight: 0, queued: 0 });
    }
  });

  it("waiting messages take no place of other contracts (1,024 of them blocked the node)", async () => {
    const Other = query<number, number>("Other");
    const jobs = new JobHandler();
    await using stage = await serverAndClient([Do.handle(jobs.handle, { concurrency: 1 }), Other.handle((n) => n)]);
    const { clock, server, client } = stage;
    for (let n = 0; n < 3_000; n++) client.send(Do, { key: "a", n });
    await clock.advance(0);
    assertEquals(server.self.load.queued, 2_999);
    assertEquals(codeOf(await clock.until(client.send(Other, 7, { timeout: 1_000 }), 0)), 7);
  });
});

describe("a message that was refused", () => {
  it("is a plain failed Result wherever user code sees it", async () => {
    const jobs = new JobHandler();
    const { app, clock } = localApp({ handlers: Do.handle(jobs.handle, { concurrency: 1 }), timeout: 100 });
    const first = app.send(Do, job("a1"), { timeout: 60_000 });
    for (let n = 0; n < 10; n++) app.send(Do, job("a2"), { timeout: 60_000 });
    await clock.advance(10_000);
    // no message has ended for ten seconds, so eleven messages cannot start within one second
    const sent = [
      app.send(Do, job("a3"), { timeout: 1_000 }),
      app.send(Do, job("a4")),
      app.broadcast(Do, job("a5"), { timeout: 1_000 }).then(([{ result }]) => result),
      app.sendAll(Do, [job("a6")]).then(([result]) => result),
    ];
    for (const result of await clock.until(Promise.all(sent), 0)) {
      assertEquals([result.ok, Object.keys(result).sort(), result.error?.code, result.error?.retryable], [
        ...[false, ["error", "ok"], "OVERLOADED", true],
      ]);
      assert(!((result as unknown) instanceof Refusal) && Object.getPrototypeOf(result) === Object.prototype);
    }
    jobs.end("a1");
    await clock.until(first);
    await clock.until(app.drain({ timeout: 0 }));
  });

  for (const options of [{ timeout: 1_000 }, undefined]) {
    it(`by the only node that handles it is tried again there, while there are retries: a send with${options ? "" : "out"} options`, async () => {
      const jobs = new JobHandler();
      const attempts: number[] = [];
      const Quick = command<Job, string>("Do", { timeout: 1_000 });
      const handler = Quick.handle((what, ctx) => {
        attempts.push(ctx.attempt);
        return jobs.handle(what);
      }, { concurrency: 1 });
      await using stage = await serverAndClient(handler);
      const { clock, server } = stage;
      const stop = new AbortController();
      server.send(Quick, job("a1"), { timeout: 60_000 });
      for (let n = 0; n < 10; n++) server.send(Quick, job("a2"), { timeout: 60_000, signal: stop.signal });
      await clock.advance(10_000);
      const once = server.send(Quick, job("b1"), { timeout: 1_000, retries: 0 });
      assertEquals(codeOf(await clock.until(once, 0)), "OVERLOADED");
      const again = server.send(Quick, job("b2"), options);
      await clock.advance(0);
      stop.abort();
      jobs.end("a1");
      await clock.advance(100);
      jobs.end("b2");
      assertEquals([codeOf(await clock.until(again)), attempts], ["done b2", [1, 2]]);
    });
  }

  it("a refusal that a handler returns is that handler's answer: it does not run again (its command ran twice)", async () => {
    const Outer = command<void, string>("Outer");
    const jobs = new JobHandler();
    let ran = 0;
    const handlers = [
      Do.handle(jobs.handle, { concurrency: 1 }),
      Outer.handle(async (_, ctx) => {
        ran++;
        return await ctx.send(Do, job("a9"), { timeout: 1_000 }) as unknown as string;
      }),
    ];
    await using stage = await openStage({ handlers });
    const { app, clock, other } = stage;
    for (let n = 0; n < 10; n++) app.send(Do, job(`a${n}`), { timeout: 60_000 });
    await clock.advance(10_000);
    other.send(app.self.endpoint, ["q", "Outer", 9_000]);
    await clock.advance(2_000);
    const [[kind, , , error]] = other.items("r", "e", "n") as [string, number, number, { code: string }][];
    assertEquals([kind, error.code, ran], ["e", "OVERLOADED", 1]);
    await clock.until(app.drain({ timeout: 0 }));
  });

  it("is refused on the wire, so that the sender tries another node", async () => {
    const jobs = new JobHandler();
    await using stage = await openStage({ handlers: Do.handle(jobs.handle, { concurrency: 1 }) });
    const { app, clock, other } = stage;
    for (let n = 0; n < 11; n++) other.send(app.self.endpoint, ["q", "Do", 60_000, job(`a${n}`)]);
    await clock.advance(10_000);
    const seq = other.send(app.self.endpoint, ["q", "Do", 1_000, job("b1")], ["q", "Do", 200_000, job("b2")]);
    await stage.settle();
    assertEquals(other.items("n", "e"), [["n", seq, 0, "OVERLOADED"]]);
    await clock.until(app.drain({ timeout: 0 }));
  });
});

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
