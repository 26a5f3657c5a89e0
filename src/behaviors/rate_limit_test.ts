import { assert, assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { query } from "../../mod.ts";
import { MemoryCluster } from "../../test/support/memory_cluster.ts";
import { localApp } from "../../test/support/local_app.ts";
import { rateLimit, type RateLimitOptions } from "./rate_limit.ts";

const Ask = query<void, string>("Ask");
const Tell = query<void, string>("Tell");

describe("rateLimit", () => {
  it("lets a burst pass, then messages at the rate; refuses the others at once, with the time after which one would pass", async () => {
    let runs = 0;
    const behaviors = [rateLimit({ rate: 10, per: 1_000, burst: 3 })];
    const { app, clock } = localApp({ handlers: Ask.handle(() => `${++runs}`, { behaviors }) });
    const send = async (times: number) => {
      const results = await app.sendAll(Ask, Array.from({ length: times }, () => undefined));
      return results.map(({ value, error }) => value ?? `${error?.code} ${JSON.stringify(error?.details)}`);
    };
    const refused = 'RATE_LIMITED {"retryAfter":100}';
    assertEquals(await send(5), ["1", "2", "3", refused, refused]);
    await clock.advance(40);
    assertEquals(await send(1), ['RATE_LIMITED {"retryAfter":60}']);
    await clock.advance(60);
    assertEquals(await send(2), ["4", refused]);
    await clock.advance(60_000);
    assertEquals(await send(4), ["5", "6", "7", refused]); // only as many tokens as `burst` gather
  });

  it("a message passes after exactly retryAfter ms, however the clock's times are rounded", async () => {
    for (const rate of [0.3, 1, 3, 7]) {
      const { app, clock } = localApp({
        handlers: Ask.handle(() => "", { behaviors: [rateLimit({ rate, burst: 1 })] }),
      });
      await clock.advance(0.1);
      for (let i = 0; i < 50; i++) {
        assertEquals((await app.send(Ask)).ok, true, `rate ${rate}, message ${i}`);
        const { error } = await app.send(Ask);
        await clock.advance((error?.details as { retryAfter: number }).retryAfter);
      }
    }
  });

  it("one message passes at first, without a burst, at a rate below one", async () => {
    const { app } = localApp({ handlers: Ask.handle(() => "", { behaviors: [rateLimit({ rate: 0.5 })] }) });
    assertEquals([(await app.send(Ask)).ok, (await app.send(Ask)).error?.details], [true, { retryAfter: 2_000 }]);
  });

  it("the failure is retryable, and its message has contract, node and limit", async () => {
    const { app } = localApp({ handlers: Ask.handle(() => "", { behaviors: [rateLimit({ rate: 1, per: 60_000 })] }) });
    await app.send(Ask);
    const { error } = await app.send(Ask);
    assertEquals([error?.retryable, error?.message], [
      true,
      "query Ask did not run on node here: the limit is 1 in 60000 ms",
    ]);
  });

  it("an app's handlers share one bucket, a handler's own limit has its own", async () => {
    const handlers = (own?: RateLimitOptions) =>
      [Ask, Tell].map((contract) =>
        contract.handle(() => "ok", { behaviors: own === undefined ? [] : [rateLimit(own)] })
      );
    const shared = localApp({ handlers: handlers(), behaviors: [rateLimit({ rate: 1 })] }).app;
    const apart = localApp({ handlers: handlers({ rate: 1 }) }).app;
    const outcomes = async (app: typeof shared) =>
      [await app.send(Ask), await app.send(Tell)].map(({ value, error }) => value ?? error?.code);
    assertEquals([await outcomes(shared), await outcomes(apart)], [["ok", "RATE_LIMITED"], ["ok", "ok"]]);
  });

  describe("with share", () => {
    const shared = async (ids: readonly string[], options: RateLimitOptions) => {
      const cluster = new MemoryCluster();
      const ran = new Map<string, number>();
      const handlers = () =>
        Ask.handle((_, { node }) => {
          ran.set(node, (ran.get(node) ?? 0) + 1);
          return node;
        }, { behaviors: [rateLimit({ share: true, ...options })] });
      const start = (id: string) => cluster.start(id, { service: "shop", handlers: handlers() });
      for (const id of ids) await start(id);
      const sender = await cluster.start("web", { handlers: Tell.handle(() => "") });
      /** Sends `count` calls in each of `seconds` seconds; resolves with how many ran. */
      const load = async (seconds: number, count: number) => {
        ran.clear();
        for (let step = 0; step < 10 * seconds; step++) {
          await cluster.clock.until(sender.sendAll(Ask, Array.from({ length: count / 10 }, () => undefined)));
          await cluster.clock.advance(100);
        }
        return [...ran.values()].reduce((sum, each) => sum + each, 0);
      };
      return { cluster, start, load, ran };
    };

    it("the nodes that are there let the rate pass together, also when one joins, dies or is not ready", async () => {
      const { cluster, start, load, ran } = await shared(["a", "b"], { rate: 100, burst: 20 });
      await using _ = cluster;
      await load(1, 400);
      const within = async (nodes: number) => {
        const passed = await load(5, 400);
        assert(passed >= 470 && passed <= 530, `${passed} of 500 with ${nodes} nodes`);
        assertEquals(ran.size, nodes);
      };
      await within(2);
      for (const id of ["c", "d"]) await start(id);
      await cluster.clock.advance(1_000);
      await within(4);
      cluster.kill("a");
      await cluster.clock.advance(20_000);
      await within(3);
      cluster.apps.get("b")!.ready(false, "its database is down");
      await cluster.clock.advance(1_000);
      await within(2);
    });

    it("a node alone has all of it, and the error says how many nodes share it", async () => {
      const { cluster, load } = await shared(["a"], { rate: 10 });
      await using _ = cluster;
      assertEquals(await load(1, 100), 19); // the burst of 10, and 9 in the following 0.9 s
      const [, { error }] = await cluster.clock.until(cluster.apps.get("web")!.sendAll(Ask, [undefined, undefined]));
      assertEquals(error?.message, "query Ask did not run on node a: the limit is 10 in 1000 ms");
      const other = await shared(["a", "b"], { rate: 2 });
      await using __ = other.cluster;
      await other.load(1, 100);
      const all = Array.from({ length: 6 }, () => undefined);
      const last = (await other.cluster.clock.until(other.cluster.apps.get("web")!.sendAll(Ask, all))).at(-1)!;
      assert(last.error?.message.endsWith("the limit is 2 in 1000 ms, for 2 nodes together"), last.error?.message);
    });

    it("apps of one process that have one behavior share it like nodes of their own", async () => {
      const cluster = new MemoryCluster();
      await using _ = cluster;
      const behaviors = [rateLimit({ rate: 4, per: 60_000, share: true })];
      for (const id of ["a", "b"]) await cluster.start(id, { handlers: Ask.handle(() => ""), behaviors });
      const web = await cluster.start("web", { handlers: Tell.handle(() => "") });
      const results = await cluster.clock.until(web.sendAll(Ask, Array.from({ length: 40 }, () => undefined)));
      assertEquals(results.filter(({ ok }) => ok).length, 4);
    });
  });

  describe("with a key", () => {
    const Job = query<string, string>("Job");
    const limited = (options: Partial<RateLimitOptions> = {}) => {
      const behaviors = [rateLimit({ rate: 1, per: 1_000, key: ({ payload }) => payload as string, ...options })];
      const { app, clock } = localApp({ handlers: Job.handle(() => "ok", { behaviors }) });
      const send = async (...keys: string[]) =>
        (await app.sendAll(Job, keys)).map(({ value, error }) => value ?? error!.code);
      return { app, clock, send };
    };

    it("each key has a limit of its own, and its error says so", async () => {
      const { app, clock, send } = limited();
      assertEquals(await send("a", "b", "a", "b", "c"), ["ok", "ok", "RATE_LIMITED", "RATE_LIMITED", "ok"]);
      assertEquals(
        (await app.send(Job, "a")).error?.message,
        "query Job did not run on node here: the limit of its key is 1 in 1000 ms",
      );
      await clock.advance(1_000);
      assertEquals(await send("a", "a", "b"), ["ok", "RATE_LIMITED", "ok"]);
    });

    it("messages without a key share a limit; a key may be empty", async () => {
      const { send } = limited({ key: ({ payload }) => payload === "none" ? undefined : "" });
      assertEquals(await send("none", "none", "", ""), ["ok", "RATE_LIMITED", "ok", "RATE_LIMITED"]);
    });

    it("may be a header, the caller, or the contract of a message", async () => {
      const behaviors = [rateLimit({ rate: 1, key: ({ ctx, contract }) => `${contract.name} ${ctx.headers.tenant}` })];
      const handlers = [Job.handle(() => "ok"), Ask.handle(() => "ok")];
      const { app } = localApp({ handlers, behaviors });
      const send = async (tenant: string) => (await app.send(Job, "", { headers: { tenant } })).error?.code ?? "ok";
      assertEquals([await send("a"), await send("a"), await send("b")], ["ok", "RATE_LIMITED", "ok"]);
      assertEquals((await app.send(Ask, undefined, { headers: { tenant: "a" } })).ok, true);
    });

    it("a key that is used stays limited while 250,000 others come; the memory for keys is bounded", () => {
      const limit = rateLimit({ rate: 1, per: 60_000, key: ({ payload }) => payload as string });
      const message = { contract: Job, ctx: { node: "here" }, clock: { monotonic: () => 0 } };
      // of a message the behavior reads these members alone
      const passes = (payload: string) => limit({ ...message, payload } as never, () => ({ ok: true } as never));
      const isLimited = (key: string) => !(passes(key) as { ok: boolean }).ok;
      assertEquals(isLimited("busy"), false);
      for (let n = 0; n < 250_000; n++) {
        if (n % 50_000 === 0) assertEquals(isLimited("busy"), true, `after ${n} keys`);
        passes(`key ${n}`);
      }
      const kept = ["key 249999", "key 210000"].map(isLimited);
      const forgotten = ["key 149000", "key 10"].map(isLimited);
      assertEquals([kept, forgotten], [[true, true], [false, false]]);
    });

    it("long keys are forgotten earlier", async () => {
      const { send } = limited({ per: 60_000 });
      const long = (n: number) => `${n}`.padEnd(1_048_576);
      for (let n = 0; n < 17; n++) assertEquals(await send(long(n)), ["ok"]);
      assertEquals(await send(long(16), long(10), long(0)), ["RATE_LIMITED", "RATE_LIMITED", "ok"]);
    });

    it("is kept until its bucket is full: 10 messages at once need 10 s", async () => {
      const { clock, send } = limited({ burst: 10 });
      const ten = Array<string>(10).fill("a");
      assertEquals((await send(...ten)).every((outcome) => outcome === "ok"), true);
      for (let n = 0; n < 9; n++) {
        await clock.advance(1_000);
        assertEquals(await send("b", "a", "a"), ["ok", "ok", "RATE_LIMITED"], `after ${n} s`);
      }
    });

    it("a key that is no string, or cannot be made, is HANDLER_FAILED", async () => {
      for (const key of [() => 5 as never, () => JSON.parse("{") as string]) {
        assertEquals(await limited({ key }).send("a"), ["HANDLER_FAILED"]);
      }
    });
  });

  it("throws for invalid options", () => {
    assertThrows(
      () => rateLimit({ rate: 1, key: "tenant" as never }),
      TypeError,
      'rateLimit: key must be a function of the message that returns its key; got "tenant"',
    );
    assertThrows(
      () => rateLimit({ rate: 0 }),
      RangeError,
      "rateLimit: rate must be more than 0, at most 1000000000; got 0",
    );
    assertThrows(() => rateLimit({ rate: 1, per: 0 }), RangeError, "rateLimit: per must be more than 0 ms; got 0");
    assertThrows(
      () => rateLimit({ rate: 5e-324 }),
      RangeError,
      "rateLimit: per / rate must be from 0 to 316224000000 ms",
    );
    assertThrows(() => rateLimit({ rate: 1, burst: 0.5 }), RangeError, "rateLimit: burst must be from 1");
    assertThrows(() => rateLimit({} as never), TypeError, "rateLimit: rate must be a number; got undefined");
    assertThrows(() => rateLimit({ rate: 1, wait: true } as never), TypeError, "rateLimit: unknown option wait");
  });
});
