import { describe, it } from "node:test";
import { assertEquals, assertLess } from "@std/assert";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { connectNats } from "../../src/nats/connection/connection.ts";
import { NatsKeyValueStore } from "../../src/nats/bucket/key_value_store.ts";
import { NatsTransport } from "../../src/nats/connection/transport.ts";
import { chances } from "./chances.ts";
import { lastingViolations, OVERDUE, readStore, type StoredEntry, storeViolations } from "./store_check.ts";

describe("the check of the store", () => {
  const entry = (differs: Partial<StoredEntry> = {}): StoredEntry => ({
    stream: "KV_catga_x_locks",
    key: "h=2Fa",
    seq: 7,
    written: 100_000,
    ttl: 3_000,
    marker: false,
    ...differs,
  });

  it("accepts entries that outlived their ttl by little, and values of the cache without a ttl", () => {
    const entries = [
      entry(),
      entry({ marker: true }),
      entry({ stream: "KV_catga_x_cache", ttl: undefined, written: 0 }),
    ];
    assertEquals(storeViolations({ now: 103_000 + OVERDUE, replicated: false, entries }), []);
  });

  it("finds an entry that outlived its ttl, and a marker on a single server", () => {
    const entries = [entry(), entry({ marker: true })];
    const late = [
      "KV_catga_x_locks h=2Fa: 8001 ms old, its ttl 3000 ms",
      "KV_catga_x_locks marker of h=2Fa: 8001 ms old, its ttl 3000 ms",
    ];
    assertEquals(storeViolations({ now: 108_001, replicated: false, entries }), late);
    assertEquals(storeViolations({ now: 108_001, replicated: true, entries }), late.slice(0, 1));
  });

  it("after a fault: finds what is not removed in time, and only that", async () => {
    const stale = { now: 200_000, replicated: false, entries: [entry()] };
    const views = [stale, stale, { ...stale, entries: [] }];
    assertEquals(await lastingViolations(() => Promise.resolve(views.shift()!)), []);
    assertEquals(views, []);
    const limit = { alone: 300, replicated: 60_000 };
    assertEquals(await lastingViolations(() => Promise.resolve(stale), limit), [
      "KV_catga_x_locks h=2Fa: 100000 ms old, its ttl 3000 ms",
    ]);
  });

  it("finds an entry that has no ttl where each must have one", () => {
    const entries = [entry({ ttl: undefined })];
    assertEquals(storeViolations({ now: 100_001, replicated: true, entries }), [
      "KV_catga_x_locks h=2Fa: it has no ttl",
    ]);
  });
});

describe("reading the store", await requireNatsServer(), () => {
  it("returns every entry and marker of one namespace, with ttl and age", async () => {
    await using server = await startNatsServer();
    const transport = new NatsTransport(await connectNats(server.url, { name: "test" }), { onError: () => {} });
    try {
      const store = new NatsKeyValueStore(transport);
      const [bucket, others] = [await store.open("catga_x_locks"), await store.open("catga_y_locks")];
      await others.put("other", "5");
      const look = async () => {
        // all anew: some looks of a slow machine take longer than the ttl of the first
        await bucket.put("short", "1", { ttl: 20_000 });
        await bucket.put("day", "2", { ttl: 86_400_000 });
        await bucket.put("forever", "3");
        await bucket.put("deleted", "4");
        await bucket.delete("deleted");
        return await readStore(server.url, "x");
      };
      // a marker goes after 1 s
      const view = await chances(20, look, ({ entries }) => entries.some(({ marker }) => marker));
      const { now, entries } = view;
      const seen = entries.map(({ key, ttl, marker }) => ({ key, ttl, marker }));
      assertEquals(seen, [
        { key: "short", ttl: 20_000, marker: false },
        { key: "day", ttl: 86_400_000, marker: false },
        { key: "forever", ttl: undefined, marker: false },
        { key: "deleted", ttl: 1_000, marker: true },
      ]);
      assertEquals(storeViolations(view), ["KV_catga_x_locks forever: it has no ttl"]);
      const later = storeViolations({ ...view, now: now + 60_000 }).map((line) => line.replace(/: \d+ ms old.*/, ""));
      assertEquals(
        later,
        ["short", "forever: it has no ttl", "marker of deleted"].map((line) => `KV_catga_x_locks ${line}`),
      );
      for (const { written } of entries) assertLess(Math.abs(now - written), 10_000);
      assertEquals((await readStore(server.url, "nobody")).entries, []);
      assertLess(Math.abs(now - Date.now()), 10_000);
    } finally {
      await transport.close();
    }
  });
});
