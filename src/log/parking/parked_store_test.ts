import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { CatgaError } from "../../error.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import { Lines } from "./lines.ts";
import { ParkedStore } from "./parked_store.ts";
import { type Harness, harness, message } from "./parking_suite.ts";

function storeOf(h: Harness, token = 10, bucket: Partial<Bucket> = {}) {
  const faults: unknown[] = [];
  const store = new ParkedStore({
    bucket: { ...h.bucket, get: (key) => h.bucket.get(key), ...methods(h), ...bucket },
    clock: h.clock,
    service: "shop",
    name: "billing",
    generation: 0,
    token,
    signal: new AbortController().signal,
    fault: (error) => void faults.push(error),
  });
  const item = new Lines(h.clock, () => {}).add({ position: 1, category: "Paid", key: undefined, time: 1 });
  const entry = { token, message: message(1), attempts: 1, error: undefined, due: 0, dead: 0 };
  return { store, item, entry, faults };
}

function methods({ bucket }: Harness): Pick<Bucket, "create" | "update" | "delete"> {
  return {
    create: (...args) => bucket.create(...args),
    update: (...args) => bucket.update(...args),
    delete: (...args) => bucket.delete(...args),
  };
}

describe("ParkedStore", () => {
  it("write: replaces what earlier leaders and others wrote, and no later leader's entry", async () => {
    const h = await harness();
    const [early, late] = [storeOf(h), storeOf(h, 20)];
    await h.until(h.bucket.put("shop.billing/0.1", "no entry"));
    await h.until(early.store.write(early.item, early.entry, 1));
    await h.until(late.store.write(late.item, late.entry, 1));
    assertEquals(
      (await assertRejects(() => h.until(early.store.write(early.item, early.entry, 1)), CatgaError)).code,
      "CLOSED",
    );
    assertEquals((await assertRejects(() => h.until(early.store.erase(early.item)), CatgaError)).code, "CLOSED");
    assertEquals((await h.entry(1))?.revision, late.item.revision);
  });

  it("write, exact: another entry is left as it is", async () => {
    const h = await harness();
    const { store, item, entry } = storeOf(h);
    await h.until(store.write(item, entry, 1));
    await h.until(h.bucket.put("shop.billing/0.1", "another"));
    assertEquals(await h.until(store.write(item, { ...entry, attempts: 2 }, 1, true)), undefined);
    assertEquals((await h.entry(1))?.value, "another");
  });

  it("an answer of a server that lags behind is asked for again", async () => {
    const h = await harness();
    let stale = 2;
    const real = methods(h);
    const { store, item, entry, faults } = storeOf(h, 10, {
      // the entry is there; the server that answers does not know yet
      get: (key) => stale-- > 0 ? Promise.resolve(undefined) : h.bucket.get(key),
      create: (...args) => real.create(...args),
    });
    await h.until(h.bucket.put("shop.billing/0.1", "no entry"));
    await h.until(store.write(item, entry, 5));
    assertEquals([(await h.entry(1))?.revision, faults.length], [item.revision, 1]);
  });

  it("what the user may not do rejects at once when the tries are limited", async () => {
    const h = await harness();
    const forbidden = new CatgaError("UNAVAILABLE", "may not", { details: { operation: "publish", subject: "x" } });
    const { store, item, entry } = storeOf(h, 10, { create: () => Promise.reject(forbidden) });
    assertEquals(await assertRejects(() => h.until(store.write(item, entry, 3))), forbidden);
    assertEquals(h.clock.timers, 0);
  });
});
