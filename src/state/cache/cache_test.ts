import { describe, it } from "node:test";
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { requireNatsServer } from "../../../tools/nats_server.ts";
import { SEALED } from "../../data/tags.ts";
import { CatgaError } from "../../error.ts";
import { MemoryNetwork } from "../../memory/network.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { SharedCache } from "./cache.ts";
import type { Lock } from "../../contract/calls/shared_state.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import { cacheSuite } from "./cache_suite.ts";
import { memoryHarness, natsHarness } from "../harness_suite.ts";

cacheSuite("memory", memoryHarness);
cacheSuite("NATS", natsHarness, (await requireNatsServer()).skip);

describe("SharedCache when a server lags behind", () => {
  /**
   * A cache whose bucket is read at a server that has nothing yet, unless the leader is asked. `answers`: what each of
   * these reads waits for, if given.
   */
  function lagging(answers: readonly Promise<void>[] = []) {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 3 });
    const { store } = network.connect();
    const open = async () => {
      const bucket = await store.open("cache", { direct: true });
      let reads = 0;
      const get: Bucket["get"] = async (key, { latest = false } = {}) => {
        if (latest) return await bucket.get(key);
        await answers[reads++];
        return undefined;
      };
      return Object.assign(Object.create(bucket) as Bucket, {
        get,
        create: bucket.create.bind(bucket),
        update: bucket.update.bind(bucket),
        put: bucket.put.bind(bucket),
      });
    };
    const cache = new SharedCache({
      bucket: open,
      locks: { lock: () => Promise.resolve({ release: () => Promise.resolve() } as unknown as Lock) },
      clock,
      random: network.random,
      maxPayload: () => 1_000_000,
    });
    return { clock, cache };
  }

  it("getOrSet with once: what another node has loaded is not loaded again (it was, while a server of three was full)", async () => {
    const { clock, cache } = lagging();
    await clock.until(cache.set("tea", "loaded"));
    assertEquals(await clock.until(cache.getOrSet("tea", () => "again", { once: true })), "loaded");
  });

  it("getOrSet: a miss read before a load has ended is no reason to load again (it was, once in some hundred)", async () => {
    const late = Promise.withResolvers<void>();
    const { clock, cache } = lagging([Promise.resolve(), late.promise]);
    let loads = 0;
    const load = () => `tea ${++loads}`;
    const asked = [1, 2].map(() => cache.getOrSet("tea", load));
    assertEquals(await clock.until(asked[0]), "tea 1");
    late.resolve();
    assertEquals([await clock.until(asked[1]), loads], ["tea 1", 1]);
  });

  it("set with a fence: compares with what the leader has (it was UNAVAILABLE)", async () => {
    const { clock, cache } = lagging();
    assertEquals(await clock.until(cache.set("tea", 1, { fence: 7 })), true);
    assertEquals(await clock.until(cache.set("tea", 2, { fence: 8 })), true);
    assertEquals(await clock.until(cache.set("tea", 3, { fence: 6 })), false);
  });
});

describe("SharedCache when the store fails", () => {
  function start() {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 3 });
    const connection = network.connect();
    const cache = new SharedCache({
      bucket: () => connection.store.open("cache", { direct: true }),
      locks: { lock: () => Promise.reject(new Error("no locks here")) },
      clock,
      random: network.random,
      maxPayload: () => connection.maxPayload,
    });
    return { clock, network, connection, cache };
  }

  it("UNAVAILABLE: the store cannot be reached; the next call opens it again", async () => {
    const { clock, connection, cache } = start();
    connection.cut();
    for (const call of [() => cache.get("tea"), () => cache.set("tea", 1), () => cache.delete("tea")]) {
      assertEquals((await assertRejects(() => clock.until(call()), CatgaError)).code, "UNAVAILABLE");
    }
    connection.restore();
    assertEquals(await clock.until(cache.set("tea", 1)), true);
  });

  it("set: a fenced write over an entry that this node's codec cannot decode fails at once (it took 5 s)", async () => {
    const { clock, network, cache } = start();
    const others = await network.store.open("cache", { direct: true });
    await clock.until(others.put("tea", `${SEALED}AAAA"`));
    const begun = clock.monotonic();
    const error = await assertRejects(() => clock.until(cache.set("tea", 1, { fence: 7 })), CatgaError);
    assertStringIncludes(error.message, "cannot decode the entry");
    assertEquals([error.code, clock.monotonic() - begun < 1_000], ["UNAVAILABLE", true]);
  });

  it("set: is retried while the store is away for a moment", async () => {
    const { clock, connection, cache } = start();
    await clock.until(cache.set("tea", 1));
    connection.cut();
    const written = cache.set("tea", 2);
    await clock.advance(1_000);
    connection.restore();
    assertEquals(await clock.until(written), true);
    assertEquals(await clock.until(cache.get("tea")), 2);
  });

  for (const fence of [undefined, 7]) {
    it(`set: ${fence === undefined ? "a write" : "a fenced write"} whose acknowledgement is lost does not lose to itself`, async () => {
      const { clock, network, connection, cache } = start();
      await clock.until(cache.set("tea", 1));
      const others = await network.store.open("cache", { direct: true });
      const { revision } = (await others.get("tea"))!;
      const written = cache.set("tea", 2, fence === undefined ? {} : { fence });
      // wait until the write is in the store, then cut the connection: the acknowledgement is lost
      let seen = revision;
      while (seen === revision) seen = (await others.get("tea"))!.revision;
      connection.cut();
      await clock.advance(100);
      connection.restore();
      assertEquals(await clock.until(written), true);
      assertEquals((await others.get("tea"))!.revision, seen);
    });
  }
});
