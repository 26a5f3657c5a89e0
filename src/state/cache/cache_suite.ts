/** Tests of {@link SharedCache}, the cache that all nodes share, for every implementation of a key-value store. */
import { after, before, describe, it } from "node:test";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { CatgaError } from "../../error.ts";
import type { Lock } from "../../contract/calls/shared_state.ts";
import type { Locks } from "../../dispatch/context_host.ts";
import { SharedCache } from "./cache.ts";
import type { StateHarness, StateNode } from "../harness_suite.ts";

/** Declares the tests of the cache. All tests use one store; each test has its own bucket. */
export function cacheSuite(name: string, start: () => Promise<StateHarness>, skip: string | false = false): void {
  describe(`SharedCache on ${name}`, { skip }, () => {
    let harness: StateHarness;
    let nodes: StateNode[];
    let buckets = 0;

    before(async () => {
      harness = await start();
      nodes = await Promise.all([harness.node(), harness.node()]);
    });
    after(() => harness[Symbol.asyncDispose]());

    /** Returns two caches, one for each of two nodes, on one new bucket. */
    function caches(): SharedCache[] {
      const bucket = `cache_${++buckets}`;
      const locks = oneLock();
      return nodes.map(({ clock, random, open }) =>
        new SharedCache({
          bucket: () => open(bucket, { direct: true }),
          locks,
          clock,
          random,
          maxPayload: () => 1_048_576,
        })
      );
    }

    it("get: returns what another node has set, and undefined for a key without an entry", async () => {
      const [mine, yours] = caches();
      assertEquals(await harness.until(yours.get("tea")), undefined);
      assertEquals(await harness.until(mine.set("tea", { price: 5 })), true);
      assertEquals(await harness.until(yours.get("tea")), { price: 5 });
    });

    it("set: values are read as they were written, null, false and empty ones and Dates too", async () => {
      const [mine, yours] = caches();
      const date = new Date(0);
      const values = [null, false, 0, "", [], {}, "a\nb 👋", { a: [1, { b: null }] }];
      for (const [i, value] of values.entries()) {
        await harness.until(mine.set(`key ${i}`, value));
        assertEquals(await harness.until(yours.get(`key ${i}`)), value);
      }
      await harness.until(mine.set("date", { date }));
      assertEquals(await harness.until(yours.get("date")), { date });
    });

    it("set: undefined, and what cannot be sent, is a TypeError that names the key; nothing is written", async () => {
      const [mine] = caches();
      for (const bad of [undefined, () => {}, Symbol("s"), new WeakSet()]) {
        const error = await assertRejects(() => harness.until(mine.set("tea", bad)), TypeError);
        assertStringIncludes(error.message, '"tea"');
      }
      assertEquals(await harness.until(mine.get("tea")), undefined);
    });

    it("TOO_LARGE: a value over the store's limit, with key, size and limit; the old value stays", async () => {
      const [mine] = caches();
      await harness.until(mine.set("tea", 1));
      const error = await assertRejects(() => harness.until(mine.set("tea", "x".repeat(2_000_000))), CatgaError);
      assertEquals(error.code, "TOO_LARGE");
      assertStringIncludes(error.message, 'the value for "tea" has 2000002 bytes; at most 1046528 fit into a message');
      assertEquals(error.details, { key: "tea", size: 2_000_002, limit: 1_046_528 });
      assertEquals(await harness.until(mine.get("tea")), 1);
    });

    it("TOO_LARGE: a value of the limit fits, one byte more does not; a long key makes the limit smaller", async () => {
      const [mine, yours] = caches();
      for (
        const [key, limit] of [
          ["tea", 1_046_528],
          ["k".repeat(1_500), 1_046_528],
          ["€".repeat(4_096), 1_048_576 - 512 - (3 * 4_096 + 2)],
          ["\x01".repeat(4_096), 1_048_576 - 512 - (6 * 4_096 + 2)],
        ] as const
      ) {
        const value = "x".repeat(limit - 2);
        for (const options of [{}, { ttl: Number.MAX_SAFE_INTEGER, fence: Number.MAX_SAFE_INTEGER }]) {
          assertEquals(await harness.until(mine.set(key, value, options)), true);
          assertEquals((await harness.until(yours.get<string>(key)))?.length, limit - 2);
          const larger = () => harness.until(mine.set(key, value + "x", options));
          const { code, details } = await assertRejects(larger, CatgaError);
          assertEquals([code, details], ["TOO_LARGE", { key, size: limit + 1, limit }]);
        }
        await harness.until(mine.delete(key));
        const loading = () => harness.until(mine.getOrSet(key, () => value + "x"));
        assertEquals((await assertRejects(loading, CatgaError)).code, "TOO_LARGE");
      }
    });

    it("delete: removes a value for every node; a key without an entry is no error", async () => {
      const [mine, yours] = caches();
      await harness.until(mine.set("tea", 1));
      await harness.until(yours.delete("tea"));
      await harness.until(yours.delete("tea"));
      assertEquals(await harness.until(mine.get("tea")), undefined);
    });

    it("ttl: a value expires after its ttl, not before; less than 1,000 ms is a RangeError", async () => {
      const [mine, yours] = caches();
      await harness.until(mine.set("tea", 1, { ttl: 2_000 }));
      assertEquals(await harness.until(yours.get("tea")), 1);
      for (let waits = 0; await harness.until(yours.get("tea")) !== undefined; waits++) {
        assert(waits < 300, "it is there for ever");
        await harness.pass(100);
      }
      await assertRejects(() => harness.until(mine.set("tea", 1, { ttl: 999 })), RangeError);
    });

    it("fence: a write with a smaller token than the last is refused; the same and a greater one are accepted", async () => {
      const [mine, yours] = caches();
      assertEquals(await harness.until(mine.set("tea", "first", { fence: 7 })), true);
      assertEquals(await harness.until(yours.set("tea", "old", { fence: 6 })), false);
      assertEquals(await harness.until(mine.get("tea")), "first");
      assertEquals(await harness.until(yours.set("tea", "again", { fence: 7 })), true);
      assertEquals(await harness.until(mine.set("tea", "new", { fence: 8 })), true);
      assertEquals(await harness.until(yours.get("tea")), "new");
      await assertRejects(() => harness.until(mine.set("tea", 1, { fence: NaN })), TypeError, "fence");
    });

    it("misuse rejects before anything is loaded, unknown options too", async () => {
      const [mine] = caches();
      let loads = 0;
      const load = () => ++loads;
      // @ts-expect-error: an unknown option
      await assertRejects(() => mine.set("tea", 1, { tll: 5_000 }), TypeError, "cache.set: unknown option tll");
      // @ts-expect-error: an unknown option
      await assertRejects(() => mine.getOrSet("tea", load, { onec: true }), TypeError, "unknown option onec");
      // @ts-expect-error: a value in place of the load function
      await assertRejects(() => mine.getOrSet("tea", 5), TypeError, "load must be a function; got 5");
      await assertRejects(
        () => mine.getOrSet("tea", load, { ttl: 5 }),
        RangeError,
        "cache.getOrSet: ttl must be from 1",
      );
      // cast: a program without types may pass such a value
      await assertRejects(() => mine.set("tea", 1, { ttl: "5000" as never }), TypeError, "cache.set: ttl must be");
      assertEquals(loads, 0);
    });

    it("fence: of 20 writes at once by two nodes the one with the greatest token wins", async () => {
      const [mine, yours] = caches();
      const fences = Array.from({ length: 20 }, (_, i) => (i * 7) % 20);
      await harness.until(
        Promise.all(fences.map((fence) => (fence % 2 ? mine : yours).set("tea", fence, { fence }))),
      );
      assertEquals(await harness.until(mine.get("tea")), 19);
    });

    it("fence: what another writer stored as one, that is no token, is none", async () => {
      const [mine] = caches();
      const bucket = await harness.until(nodes[0].open(`cache_${buckets}`, { direct: true }));
      for (const fence of ["1e308", '{"toString":2}', '"x"', "1.5"]) {
        await harness.until(bucket.put("tea", `{"nonce":"x","fence":${fence}}\n1`));
        assertEquals(await harness.until(mine.set("tea", fence, { fence: 1 })), true, fence);
      }
    });

    it("fence: lasts until its entry is removed, or written without a fence", async () => {
      const [mine] = caches();
      await harness.until(mine.set("tea", 1, { fence: 7 }));
      await harness.until(mine.delete("tea"));
      assertEquals(await harness.until(mine.set("tea", 2, { fence: 1 })), true);
      await harness.until(mine.set("tea", 3));
      assertEquals(await harness.until(mine.set("tea", 4, { fence: 0 })), true);
    });

    it("getOrSet: loads a missing value once for all callers of this node, and keeps it", async () => {
      const [mine, yours] = caches();
      let loads = 0;
      const load = () => Promise.resolve({ price: ++loads });
      const asked = await harness.until(Promise.all([1, 2, 3].map(() => mine.getOrSet("tea", load))));
      assertEquals(asked, [{ price: 1 }, { price: 1 }, { price: 1 }]);
      assert(asked[0] !== asked[1], "each has a copy of its own");
      assertEquals(await harness.until(yours.getOrSet("tea", load)), { price: 1 });
      assertEquals(loads, 1);
    });

    it("getOrSet: a load that fails rejects for all its callers and keeps nothing; the next call loads again", async () => {
      const [mine] = caches();
      const failing = () => Promise.reject(new Error("no tea"));
      const asked = [1, 2].map(() => assertRejects(() => mine.getOrSet("tea", failing), Error, "no tea"));
      await harness.until(Promise.all(asked));
      assertEquals(await harness.until(mine.getOrSet("tea", () => 5)), 5);
      await assertRejects(() => harness.until(mine.getOrSet("none", () => undefined)), TypeError, '"none"');
    });

    it("getOrSet with once: of several nodes one loads, and the others get its value", async () => {
      const [mine, yours] = caches();
      let loads = 0;
      const load = () => ++loads;
      const asked = [mine, yours, yours, mine].map((cache) => cache.getOrSet("tea", load, { once: true }));
      assertEquals(await harness.until(Promise.all(asked)), [1, 1, 1, 1]);
    });

    it("getOrSet: its value does not replace one that was written while it loaded", async () => {
      const [mine, yours] = caches();
      const [begun, load] = [Promise.withResolvers<void>(), Promise.withResolvers<string>()];
      const loading = mine.getOrSet("tea", () => (begun.resolve(), load.promise));
      await harness.until(begun.promise);
      await harness.until(yours.set("tea", "new"));
      load.resolve("old");
      assertEquals(await harness.until(loading), "old");
      assertEquals(await harness.until(mine.get("tea")), "new");
    });

    it("getOrSet: null is a value, and is not loaded again", async () => {
      const [mine, yours] = caches();
      await harness.until(mine.getOrSet("tea", () => null));
      assertEquals(await harness.until(yours.getOrSet("tea", () => 1 as unknown)), null);
    });

    it("CLOSED: every method after close()", async () => {
      const [mine, yours] = caches();
      await harness.until(mine.set("tea", 1));
      mine.close();
      for (
        const call of [
          () => mine.get("tea"),
          () => mine.set("tea", 2),
          () => mine.set("tea", 2, { fence: 1 }),
          () => mine.delete("tea"),
          () => mine.getOrSet("tea", () => 3),
          () => mine.getOrSet("tea", () => 3, { once: true }),
        ]
      ) {
        assertEquals((await assertRejects(() => harness.until(call()), CatgaError)).code, "CLOSED");
      }
      assertEquals(await harness.until(yours.get("tea")), 1);
    });

    it("keys: of any characters are different keys", async () => {
      const [mine, yours] = caches();
      const keys = ["", " ", "/", "a/b", "a.b", "*", "👋", "你好", "k".repeat(1_000)];
      await harness.until(Promise.all(keys.map((key) => mine.set(key, key))));
      assertEquals(await harness.until(Promise.all(keys.map((key) => yours.get(key)))), keys);
      await assertRejects(() => harness.until(mine.set("k".repeat(5_000), 1)), RangeError);
    });

    it("keys: an invalid one is refused with the call, the key and what is expected, before anything is loaded", async () => {
      const [mine] = caches();
      const load = () => assert(false, "it loads");
      const refusal = (call: (key: string) => Promise<unknown>, key: unknown) =>
        // cast: the test passes keys of a wrong type, which the cache must refuse
        call(key as string).then(() => "taken", (error) => `${error.name}: ${error.message}`);
      const calls = {
        "cache.get": (key: string) => mine.get(key),
        "cache.set": (key: string) => mine.set(key, 1),
        "cache.delete": (key: string) => mine.delete(key),
        "cache.getOrSet": (key: string) => mine.getOrSet(key, load),
      };
      for (const [name, call] of Object.entries(calls)) {
        const text = (got: string) =>
          `${name}: a key must be well-formed Unicode of at most 4096 characters; got ${got}`;
        assertEquals(await refusal(call, undefined), `TypeError: ${text("undefined")}`);
        assertEquals(await refusal(call, "\ud800"), `TypeError: ${text('"\\ud800"')}`);
        assertEquals(await refusal(call, "k".repeat(4_097)), `RangeError: ${text(`"${"k".repeat(80)}…"`)}`);
      }
      const once = await refusal((key) => mine.getOrSet(key, load, { once: true }), "k".repeat(4_021));
      assertStringIncludes(
        once,
        "RangeError: cache.getOrSet: a key must be well-formed Unicode of at most 4020 characters",
      );
    });
  });
}

/** Makes a lock for one key, which all nodes of a test share: it has one holder at a time. */
function oneLock(): Locks {
  let free: Promise<void> = Promise.resolve();
  return {
    async lock(): Promise<Lock> {
      const { promise, resolve } = Promise.withResolvers<void>();
      const turn = free;
      free = promise;
      await turn;
      const release = () => Promise.resolve(resolve());
      return { token: 1, signal: new AbortController().signal, release, [Symbol.asyncDispose]: release };
    },
  };
}
