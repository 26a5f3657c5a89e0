/**
 * Tests of {@link IdempotencyStore}, which keeps one result for each idempotency id, for every implementation of a
 * key-value store.
 */
import { after, afterEach, before, describe, it } from "node:test";
import { assert, assertEquals, assertGreater, assertStringIncludes } from "@std/assert";
import type { Bucket } from "../../ports/key_value_store.ts";
import { CatgaError } from "../../error.ts";
import type { Result } from "../../contract/calls/result.ts";
import type { Claimant } from "../../dispatch/context_host.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { interceptedBucket } from "../../../test/support/intercepted_bucket.ts";
import { claimant, Failing, handler, slowHandler } from "../../../test/support/claims.ts";
import type { StateHarness, StateNode } from "../harness_suite.ts";
import { IdempotencyStore } from "./idempotency_store.ts";

/** Declares the tests of idempotency. All tests use one store; each test has its own bucket. */
export function idempotencySuite(name: string, start: () => Promise<StateHarness>, skip: string | false = false): void {
  describe(`IdempotencyStore on ${name}`, { skip }, () => {
    let harness: StateHarness;
    let nodes: StateNode[];
    let buckets = 0;
    let made: IdempotencyStore[] = [];
    /** Endpoints whose processes the liveness check reports as gone. */
    let gone: string[] = [];

    before(async () => {
      harness = await start();
      nodes = await Promise.all([harness.node(), harness.node(), harness.node()]);
    });
    afterEach(async () => {
      await Promise.all(made.map((store) => store.close()));
      made = [];
      gone = [];
    });
    after(() => harness[Symbol.asyncDispose]());

    /** Returns the claim stores of three nodes, on one new bucket. */
    function stores(around: (bucket: Bucket) => Bucket = (bucket) => bucket): IdempotencyStore[] {
      const bucket = `claims_${++buckets}`;
      const three = nodes.map(({ clock, random, open }, i) =>
        new IdempotencyStore({
          bucket: async () => around(await open(bucket)),
          clock,
          random,
          endpoint: `n${i}.nonce`,
          liveness: { gone: (endpoint) => Promise.resolve(gone.includes(endpoint)) },
          maxPayload: () => 1_048_576,
          observer: () => {},
        })
      );
      made.push(...three);
      return three;
    }

    function guard(
      store: IdempotencyStore,
      id: string,
      run: (fence: number) => Result<unknown> | Promise<Result<unknown>>,
      differs?: Partial<Claimant>,
    ): Promise<Result<unknown>> {
      return store.guard(claimant(nodes[0].clock, id, differs), run);
    }

    /** Starts a handler under an id at a node, and resolves when the handler runs. */
    async function begin(store: IdempotencyStore, id: string) {
      const run = slowHandler();
      const began = Promise.withResolvers<void>();
      const result = guard(store, id, (fence) => {
        began.resolve();
        return run(fence);
      });
      await harness.until(Promise.race([began.promise, result]));
      return { run, result };
    }

    it("guard: runs an id once; later attempts on any node get the recorded result", async () => {
      const [first, second] = stores();
      const run = handler({ orderId: "o1" });
      assertEquals(await harness.until(guard(first, "a", run)), { ok: true, value: { orderId: "o1" } });
      assertEquals(await harness.until(guard(first, "a", run)), { ok: true, value: { orderId: "o1" } });
      assertEquals(await harness.until(guard(second, "a", run)), { ok: true, value: { orderId: "o1" } });
      assertEquals(run.fences.length, 1);
    });

    it("guard: a new id costs two writes and no read; a known one costs a write that is refused and a read", async () => {
      const calls: string[] = [];
      const counted = (bucket: Bucket): Bucket => intercepted(bucket, (method) => calls.push(method));
      const [first, second] = stores(counted);
      await harness.until(guard(first, "a", handler(1)));
      assertEquals(calls, ["create", "update"]);
      calls.length = 0;
      await harness.until(guard(second, "a", handler()));
      assertEquals(calls, ["create", "get"]);
    });

    it("guard: results are returned as they were recorded, undefined and null too, also to the attempt that ran the handler", async () => {
      const [first, second] = stores();
      const date = new Date(0);
      const results: [unknown, unknown][] = [
        [undefined, undefined],
        [null, null],
        [0, 0],
        ["", ""],
        [false, false],
        [[], []],
        ["👋 \u2028 \ud800", "👋 \u2028 \ud800"],
        [{ a: { b: [null] }, c: undefined }, { a: { b: [null] }, c: undefined }],
        [date, new Date(date)],
        [new Map([["a", 1n]]), new Map([["a", 1n]])],
        [NaN, NaN],
      ];
      for (const [i, [given, kept]] of results.entries()) {
        const run = handler(given);
        for (const store of [first, first, second]) {
          assertEquals(await harness.until(guard(store, `id ${i}`, run)), { ok: true, value: kept });
        }
        assertEquals(run.fences.length, 1);
      }
    });

    it("guard: a duplicate waits for the handler under way, on this node or another", async () => {
      const [first, second] = stores();
      const { run, result } = await begin(first, "a");
      const duplicates = [first, second, second].map((store) => guard(store, "a", handler()));
      run.end("once");
      for (const each of [result, ...duplicates]) {
        assertEquals(await harness.until(each), { ok: true, value: "once" });
      }
      assertEquals(run.fences.length, 1);
    });

    it("guard: all attempts of a node that wait for one id share a watch, which ends with them", async () => {
      const signals: AbortSignal[] = [];
      let reads = 0;
      const [first, second] = stores((bucket) =>
        intercepted(bucket, (method, args) => {
          // cast: the last argument of `watch` are its options, with the signal
          if (method === "watch") signals.push((args[2] as { signal: AbortSignal }).signal);
          if (method === "get") reads++;
        })
      );
      const { run, result } = await begin(first, "a");
      const duplicates = Array.from({ length: 50 }, () => guard(second, "a", handler()));
      // each waiting attempt reads the claim twice: before its watch begins, and after the watch has begun
      await harness.until(eventually("50 who wait", () => reads === 100));
      run.end(1);
      await harness.until(Promise.all([result, ...duplicates]));
      assertEquals(signals.map((signal) => signal.aborted), [true]);
    });

    it("guard: a failure frees the id, and the next attempt runs with a greater fence", async () => {
      const [first, second] = stores();
      const run = handler(new Failing("NO_TEA"), new Failing("NO_TEA"), "tea");
      assertEquals((await harness.until(guard(first, "a", run))).error?.code, "NO_TEA");
      assertEquals((await harness.until(guard(second, "a", run))).error?.code, "NO_TEA");
      assertEquals(await harness.until(guard(second, "a", run)), { ok: true, value: "tea" });
      assertGreater(run.fences[1], run.fences[0]);
      assertGreater(run.fences[2], run.fences[1]);
    });

    it("guard: a handler that throws is HANDLER_FAILED, and frees the id", async () => {
      const [first] = stores();
      const failed = guard(first, "a", () => {
        throw new Error("a secret");
      });
      assertEquals((await harness.until(failed)).error?.code, "HANDLER_FAILED");
      assertEquals((await harness.until(guard(first, "a", handler(1)))).value, 1);
    });

    it("guard: a duplicate runs when the handler that it waits for fails", async () => {
      const [first, second] = stores();
      const { promise, resolve } = Promise.withResolvers<Result<unknown>>();
      const failing = guard(first, "a", () => promise);
      const run = handler("tea");
      const waiting = guard(second, "a", run);
      resolve(handler(new Failing("NO_TEA"))(0));
      const results = await harness.until(Promise.all([failing, waiting]));
      assert(results.some((result) => result.ok && result.value === "tea"), JSON.stringify(results));
      assertEquals(run.fences.length, 1);
    });

    it("guard: a final failure is recorded: code, message, details and the node that it came from", async () => {
      const [first, second] = stores();
      const run = handler(new Failing("SOLD_OUT", { final: true, details: { left: 0 } }));
      for (const store of [first, first, second]) {
        const { error } = await harness.until(guard(store, "a", run));
        assertEquals(error?.code, "SOLD_OUT");
        assertEquals(error?.message, "as the handler says");
        assertEquals(error?.details, { left: 0 });
        assertEquals(error?.final, true);
        assertEquals(error?.node, "n0");
      }
      assertEquals(run.fences.length, 1);
    });

    it("ID_REUSED: an id with another payload, while its handler runs and after it", async () => {
      const [first, second] = stores();
      const { run, result } = await begin(first, "a");
      const other = { payload: { sku: "tea", qty: 3 } };
      const early = await harness.until(guard(second, "a", handler(), other));
      assertEquals(early.error?.code, "ID_REUSED");
      run.end(1);
      await harness.until(result);
      const late = await harness.until(guard(first, "a", handler(), other));
      assertEquals(late.error?.code, "ID_REUSED");
      assertStringIncludes(late.error!.message, '"a"');
    });

    it("guard: the order of a payload's keys does not matter; ids of different contracts are different", async () => {
      const [first, second] = stores();
      await harness.until(guard(first, "a", handler(1)));
      const swapped = { payload: { qty: 2, sku: "tea" } };
      assertEquals(await harness.until(guard(second, "a", handler(), swapped)), { ok: true, value: 1 });
      assertEquals((await harness.until(guard(first, "a", handler(2), { contract: "Create" }))).value, 2);
    });

    it("OUTCOME_UNKNOWN: a waiting attempt's deadline passes; the handler goes on", async () => {
      let reads = 0;
      const [first, second] = stores((bucket) => intercepted(bucket, (method) => method === "get" && reads++));
      const { run, result } = await begin(first, "a");
      const waitFor = (ms: number) => {
        reads = 0;
        return harness.until(guard(second, "a", handler(), { due: nodes[0].clock.monotonic() + ms }));
      };
      let waited = await waitFor(200);
      // on a busy machine the deadline may pass before the claim is read; then the attempt has not waited, and the
      // test tries a longer deadline
      for (let ms = 400; reads < 2 && ms < 30_000; ms *= 2) waited = await waitFor(ms);
      assertEquals([waited.error?.code, waited.error?.retryable], ["OUTCOME_UNKNOWN", true]);
      run.end("late");
      assertEquals((await harness.until(result)).value, "late");
      assertEquals((await harness.until(guard(second, "a", handler()))).value, "late");
    });

    it("CANCELLED: a waiting attempt's sender gives up", async () => {
      const [first, second] = stores();
      const { run, result } = await begin(first, "a");
      let giveUp = (_: CatgaError) => {};
      const waiting = guard(second, "a", handler(), { adopt: (attempt) => giveUp = (reason) => attempt.abort(reason) });
      giveUp(new CatgaError("CANCELLED", "the sender gave up"));
      assertEquals((await harness.until(waiting)).error?.code, "CANCELLED");
      run.end(1);
      await harness.until(result);
    });

    it("CLOSED: after close; an attempt that waited gets OUTCOME_UNKNOWN, a handler under way keeps its result", async () => {
      let reads = 0;
      const [first, second] = stores((bucket) => intercepted(bucket, (method) => method === "get" && reads++));
      const { run, result } = await begin(first, "a");
      const waiting = guard(second, "a", handler());
      // the second read is made by the waiting attempt
      await harness.until(eventually("one who waits", () => reads === 2));
      await harness.until(Promise.all([first.close(), second.close()]));
      assertEquals((await harness.until(waiting)).error?.code, "OUTCOME_UNKNOWN");
      assertEquals((await harness.until(guard(second, "b", handler()))).error?.code, "CLOSED");
      run.end(1);
      assertEquals((await harness.until(result)).value, 1);
    });

    it("INVALID_RESPONSE: recorded in place of a result that cannot be sent; nothing runs twice", async () => {
      const [first, second] = stores();
      const cycle: Record<string, unknown> = {};
      cycle.self = cycle;
      for (const [i, bad] of [new WeakSet(), cycle, () => {}, Symbol("s")].entries()) {
        const run = handler(bad);
        for (const store of [first, second]) {
          const { error } = await harness.until(guard(store, `id ${i}`, run));
          assertEquals([error?.code, error?.final], ["INVALID_RESPONSE", true]);
          assertStringIncludes(error!.message, `id ${i}`);
        }
        assertEquals(run.fences.length, 1);
      }
    });

    it("TOO_LARGE: recorded with the size in place of a result over the store's limit; nothing runs twice", async () => {
      const [first, second] = stores();
      const run = handler("x".repeat(2_000_000));
      for (const store of [first, second]) {
        const { error } = await harness.until(guard(store, "a", run));
        assertEquals([error?.code, error?.final], ["TOO_LARGE", true]);
        assert(/2000\d\d\d/.test(error!.message), error!.message);
      }
      const failing = handler(new Failing("SOLD_OUT", { final: true, details: "x".repeat(2_000_000) }));
      for (const store of [first, second]) {
        const { error } = await harness.until(guard(store, "b", failing));
        assertEquals([error?.code, error?.details], ["SOLD_OUT", "(the details are too large for the server)"]);
      }
      assertEquals(run.fences.length, 1);
      assertEquals(failing.fences.length, 1);
    });

    it("INVALID_MESSAGE: an id that is no valid key, a payload that cannot be sent; nothing runs", async () => {
      const [first] = stores();
      const run = handler();
      for (const id of ["x".repeat(5_000), "\ud800"]) {
        assertEquals((await harness.until(guard(first, id, run))).error?.code, "INVALID_MESSAGE");
      }
      const bad = await harness.until(guard(first, "a", run, { payload: { a: () => 1 } }));
      assertEquals(bad.error?.code, "INVALID_MESSAGE");
      assertStringIncludes(bad.error!.message, "payload.a is a function");
      assertEquals(run.fences, []);
    });

    it("guard: ids of any characters are different ids", async () => {
      const [first, second] = stores();
      const long = "i".repeat(999);
      const ids = [
        "",
        " ",
        "/",
        "//",
        "a/b",
        "a//b",
        "a.b",
        "*",
        ">",
        "👋",
        "👋🏽",
        "你好",
        "\0",
        "=2F",
        `${long}x`,
        `${long}y`,
      ];
      await harness.until(Promise.all(ids.map((id) => guard(first, id, handler(id)))));
      const again = await harness.until(Promise.all(ids.map((id) => guard(second, id, handler()))));
      assertEquals(again.map((result) => result.value), ids);
    });

    it("guard: a result is kept for its ttl; then the id is new", async () => {
      const [first, second] = stores();
      const run = handler(1, 2);
      await harness.until(guard(first, "a", run, { ttl: 2_000 }));
      assertEquals((await harness.until(guard(second, "a", run))).value, 1);
      for (let waits = 0; (await harness.until(guard(second, "a", run))).value === 1; waits++) {
        assert(waits < 300, "it is kept for ever");
        await harness.pass(100);
      }
      assertEquals((await harness.until(guard(second, "a", run))).value, 2);
    });

    it("guard: a result is kept for ten years, if its contract says so", async () => {
      const [first, second] = stores();
      const [run, ttl] = [handler(1, 2), 10 * 366 * 86_400_000];
      await harness.until(guard(first, "a", run, { ttl }));
      assertEquals((await harness.until(guard(second, "a", run, { ttl }))).value, 1);
    });

    it("guard: the id of a holder that is gone is free at once, and that holder cannot keep its result", async () => {
      const [first, second] = stores();
      const { run, result } = await begin(first, "a");
      gone.push("n0.nonce");
      const next = handler("second");
      assertEquals((await harness.until(guard(second, "a", next))).value, "second");
      assertGreater(next.fences[0], run.fences[0]);
      run.end("first");
      assertEquals((await harness.until(result)).value, "second");
    });

    it("guard: a waiting attempt runs when the holder dies", async () => {
      const [first, second] = stores();
      const { run, result } = await begin(first, "a");
      const waiting = guard(second, "a", handler("second"));
      await harness.pass(100);
      gone.push("n0.nonce");
      assertEquals((await harness.until(waiting)).value, "second");
      run.end("first");
      await harness.until(result);
    });

    it("INVALID_RESPONSE: the entry under an id's key is not a claim; it is not overwritten", async () => {
      const [first] = stores();
      await harness.until(guard(first, "a", handler(1)));
      const bucket = await harness.until(nodes[0].open(`claims_${buckets}`));
      const [{ key }] = await harness.until(bucket.entries(""));
      for (const foreign of ["", "{", "7", "null", '{"state":"done"}']) {
        await harness.until(bucket.put(key, foreign));
        const { error } = await harness.until(guard(first, "a", handler()));
        assertEquals(error?.code, "INVALID_RESPONSE");
        assertStringIncludes(error!.message, key);
      }
    });

    it("guard: 100 ids, ten attempts each at once on three nodes: each runs once, and all its results are the same", async () => {
      const three = stores();
      const ids = Array.from({ length: 100 }, (_, i) => `order ${i}`);
      const runs = new Map<string, number>();
      const attempt = (id: string, i: number) =>
        guard(three[i % 3], id, async (fence) => {
          runs.set(id, (runs.get(id) ?? 0) + 1);
          await Promise.resolve();
          return { ok: true, value: `${id} by ${i} at ${fence}` };
        });
      const sends = ids.flatMap((id) =>
        Array.from({ length: 10 }, async (_, i) => {
          // a store on a busy machine may answer late: the test sends the command again, as every caller does
          while (true) {
            const result = await attempt(id, i);
            if (result.ok || !["UNAVAILABLE", "OUTCOME_UNKNOWN", "TIMEOUT"].includes(result.error.code)) {
              return { id, result };
            }
          }
        })
      );
      const results = await harness.until(Promise.all(sends));
      for (const id of ids) {
        const own = new Set(results.filter((each) => each.id === id).map(({ result }) => result.value));
        assertEquals(own.size, 1);
        assertEquals(runs.get(id), 1);
      }
    });
  });
}

/** Wraps a bucket: `heard` is called with the method and the arguments of every call. */
function intercepted(bucket: Bucket, heard: (method: keyof Bucket, args: readonly unknown[]) => unknown): Bucket {
  return interceptedBucket(bucket, (method, args, make) => {
    heard(method, args);
    return make();
  });
}
