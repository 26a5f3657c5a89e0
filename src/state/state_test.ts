import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { CatgaError } from "../error.ts";
import { MemoryNetwork } from "../memory/network.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { openOnce } from "../ports/open_once.ts";
import type { KeyValueStore } from "../ports/key_value_store.ts";
import { claimant, handler } from "../../test/support/claims.ts";
import { sharedState } from "./state.ts";

const loadState = openOnce(() => import("./open_state.ts"));

function setUp() {
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock });
  const connection = network.connect();
  const opened: string[] = [];
  const loads = { count: 0, failing: false, loading: loadState };
  const store: KeyValueStore = {
    open(bucket, options) {
      opened.push(bucket);
      return connection.store.open(bucket, options);
    },
  };
  const state = sharedState({
    store,
    namespace: "shop",
    replicas: 1,
    clock,
    random: network.random,
    node: "red",
    endpoint: "red.0",
    liveness: { gone: () => Promise.resolve(false) },
    observer: () => {},
    maxPayload: () => 1_048_576,
  }, () => {
    loads.count++;
    return loads.failing ? Promise.reject(new Error("the load failed")) : loads.loading();
  });
  return { clock, state, opened, loads };
}

const asker = { call: "run", ancestry: [] };

describe("sharedState", () => {
  it("opens a bucket when it is first used, and keeps it", async () => {
    const { clock, state, opened } = setUp();
    assertEquals(opened, []);
    await clock.until(state.cache.set("tea", 1));
    await clock.until(state.cache.set("tea", 2));
    const cache = opened.slice();
    assertEquals(cache.length, 1);
    await clock.until(state.claims.guard(claimant(clock, "a"), handler(1)));
    assertEquals(opened.length, 2);
    await clock.until(state.locks.lock("key", {}, asker));
    assertEquals(new Set(opened).size, 3);
    await clock.until(state.close());
  });

  it("has locks, leaderships and loads of the same name apart", async () => {
    const { clock, state } = setUp();
    const lock = await clock.until(state.locks.lock("tea", {}, asker));
    const term = state.lead("tea", (signal) => new Promise((resolve) => signal.addEventListener("abort", resolve)));
    await clock.advance(1_000);
    assertEquals(term.leading, true);
    assertEquals(await clock.until(state.cache.getOrSet("tea", () => 7, { once: true })), 7);
    assertEquals(lock.signal.aborted, false);
    await clock.until(state.close());
  });

  it("close: releases what the node holds; locks, leaderships and claims are CLOSED afterwards", async () => {
    const { clock, state } = setUp();
    const lock = await clock.until(state.locks.lock("key", {}, asker));
    await clock.until(state.close());
    assertEquals(lock.signal.aborted, true);
    const refused = await assertRejects(() => state.locks.lock("key", {}, asker), CatgaError);
    assertEquals(refused.code, "CLOSED");
    assertEquals(assertThrows(() => state.lead("tea", () => {}), CatgaError).code, "CLOSED");
    const { error } = await clock.until(state.claims.guard(claimant(clock, "a"), handler(1)));
    assertEquals(error?.code, "CLOSED");
  });

  it("close before the first use: loads nothing; locks, claims and the cache are CLOSED afterwards", async () => {
    const { clock, state, opened, loads } = setUp();
    await clock.until(state.close());
    assertEquals(loads.count, 0);
    const codes = await clock.until(Promise.all([
      state.locks.lock("key", {}, asker).catch(({ code }: CatgaError) => code),
      state.cache.get("tea").catch(({ code }: CatgaError) => code),
      state.claims.guard(claimant(clock, "a"), handler(1)).then(({ error }) => error?.code),
    ]));
    assertEquals(codes, ["CLOSED", "CLOSED", "CLOSED"]);
    assertEquals(opened, []);
  });

  it("close during the first use: the lock is refused as CLOSED, and none is held", async () => {
    const { clock, state } = setUp();
    const lock = assertRejects(() => state.locks.lock("key", {}, asker), CatgaError);
    await clock.until(state.close());
    assertEquals((await clock.until(lock)).code, "CLOSED");
    assertEquals(state.holdings.locks, 0);
  });

  for (let microtasks = 0; microtasks < 12; microtasks++) {
    it(`a lock requested ${microtasks} microtasks after the load gets the key behind those requested before`, async () => {
      const { clock, state, loads } = setUp();
      const { promise, resolve } = Promise.withResolvers<Awaited<ReturnType<typeof loadState>>>();
      loads.loading = () => promise;
      const order: number[] = [];
      const holdOnce = async (n: number) => {
        const lock = await state.locks.lock("key", {}, { call: `run ${n}`, ancestry: [] });
        order.push(n);
        await lock.release();
      };
      const held = [holdOnce(1), holdOnce(2)];
      resolve(await loadState());
      for (let n = 0; n < microtasks; n++) await undefined;
      held.push(holdOnce(3));
      await clock.until(Promise.all(held));
      assertEquals(order, [1, 2, 3]);
      await clock.until(state.close());
    });
  }

  it("loads its parts at the first use, and again after a load that failed", async () => {
    const { clock, state, loads } = setUp();
    assertEquals([loads.count, state.holdings], [0, { leads: [], locks: 0, cycles: 0 }]);
    loads.failing = true;
    await assertRejects(() => clock.until(state.cache.get("tea")), Error, "the load failed");
    loads.failing = false;
    const lock = await clock.until(state.locks.lock("key", {}, asker));
    assertEquals([loads.count, state.holdings.locks], [2, 1]);
    await lock.release();
    await clock.until(state.close());
  });
});
