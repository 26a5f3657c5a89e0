import { assert, assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { type Batch, CatgaError, event, unwrap } from "../../mod.ts";
import { testCluster } from "./mod.ts";

const MINUTE = 60_000;
interface Row {
  readonly key: string;
  readonly n: number;
}
const Placed = event<Row>("Placed", { durable: true, key: ({ key }) => key });
const Loose = event<{ n: number }>("Loose", { durable: true });
const Told = event<{ n: number }>("Told");
const logger = { debug() {}, info() {}, warn() {}, error() {} };
const retry = { attempts: 2, delay: [10, 10] } as const;

/** Returns the numbers of a batch's events. */
const numbers = (batch: Batch<Row>) => batch.map(({ payload }) => payload.n);

describe("a handler of batches", () => {
  it("gets up to max events at once, in order by key within and between batches", async () => {
    const batches: number[][] = [];
    const handlers = Placed.onBatch(async (batch, ctx) => {
      await ctx.clock.sleep(5);
      batches.push(numbers(batch));
    }, { name: "rows", max: 50, within: 20 });
    await using cluster = await testCluster(3, { handlers, service: "shop" });
    const [app] = cluster.apps;
    const all = Array.from({ length: 600 }, (_, n) => ({ key: `k${n % 7}`, n }));
    await Promise.all(all.map((row) => app.publish(Placed, row)));
    await cluster.handled();
    assert(batches.length < 60, `${batches.length} batches`);
    assertEquals(Math.max(...batches.map(({ length }) => length)), 50);
    const handled = batches.flat();
    assertEquals(handled.length, 600);
    for (let key = 0; key < 7; key++) {
      assertEquals(handled.filter((n) => n % 7 === key), all.map(({ n }) => n).filter((n) => n % 7 === key));
    }
  });

  it("hands over id, key, position and attempt of each member, whose types are those of the event", async () => {
    const seen: Batch<Row>[number][] = [];
    const handlers = Placed.onBatch((batch) => void seen.push(...batch), { name: "rows" });
    await using cluster = await testCluster(1, { handlers, service: "shop" });
    const [app] = cluster.apps;
    for (let n = 0; n < 3; n++) unwrap(await app.publish(Placed, { key: "a", n }, { id: `m${n}` }));
    await cluster.handled();
    assertEquals(seen.map(({ id, key, attempt }) => [id, key, attempt]), [["m0", "a", 1], ["m1", "a", 1], [
      "m2",
      "a",
      1,
    ]]);
    const positions = seen.map(({ position }) => position);
    assertEquals(positions, [...new Set(positions)].toSorted((a, b) => a - b));
  });

  it("waits within ms for more, and not when max are there", async () => {
    const at: [number, number][] = [];
    const handlers = Loose.onBatch((batch, ctx) => void at.push([batch.length, ctx.clock.monotonic()]), {
      name: "rows",
      max: 3,
      within: 5_000,
    });
    await using cluster = await testCluster(1, { handlers, service: "shop" });
    const [app] = cluster.apps;
    const start = app.clock.monotonic();
    for (let n = 0; n < 4; n++) unwrap(await app.publish(Loose, { n }));
    await cluster.advance(1_000);
    assertEquals(at.map(([size]) => size), [3]);
    await cluster.handled();
    assertEquals(at.map(([size]) => size), [3, 1]);
    assert(at[1][1] - start >= 4_000, `after ${at[1][1] - start} ms`);
  });

  it("that throws is given each member alone: a bad one costs the others neither a place nor an attempt", async () => {
    const rows = new Set<number>();
    const runs: [size: number, attempts: number[]][] = [];
    const handlers = Placed.onBatch((batch) => {
      runs.push([batch.length, batch.map(({ attempt }) => attempt)]);
      if (batch.some(({ payload }) => payload.n === 13)) throw new Error("a bad row");
      for (const n of numbers(batch)) rows.add(n);
    }, { name: "rows", max: 100, within: 200, retry: { ...retry, attempts: 1 } });
    await using cluster = await testCluster(2, { handlers, service: "shop", logger });
    const [app] = cluster.apps;
    await Promise.all(Array.from({ length: 40 }, (_, n) => app.publish(Placed, { key: `k${n}`, n })));
    await cluster.advance(MINUTE);
    assertEquals([...rows].toSorted((a, b) => a - b), Array.from({ length: 40 }, (_, n) => n).filter((n) => n !== 13));
    assertEquals(runs.every(([, attempts]) => attempts.every((attempt) => attempt === 1)), true);
    assert(runs[0][0] > 1, "the first is no batch");
    const letters = await Array.fromAsync(app.deadLetters());
    assertEquals(letters.map(({ payload, attempts }) => [payload, attempts]), [[{ key: "k13", n: 13 }, 1]]);
  });

  it("fails one member with batch.fail: those behind it of its key wait for it, all others are done", async () => {
    const done: number[] = [];
    const failed: [n: number, attempt: number][] = [];
    const handlers = Placed.onBatch((batch) => {
      const bad = batch.find(({ payload, attempt }) => payload.n === 4 && attempt < 3);
      if (bad !== undefined) {
        failed.push([bad.payload.n, bad.attempt]);
        batch.fail(bad, "NO_ROOM", "full");
        assertThrows(() => batch.fail({ ...bad }, "NO_ROOM", "full"), TypeError, "batch.fail takes a member");
      }
      const from = bad?.payload.n ?? Infinity;
      done.push(
        ...batch.filter(({ key, payload: { n } }) => key !== bad?.key || n < from).map(({ payload }) => payload.n),
      );
    }, { name: "rows", max: 100, within: 200, retry: { attempts: 5, delay: [10, 10] } });
    await using cluster = await testCluster(1, { handlers, service: "shop", logger });
    const [app] = cluster.apps;
    await Promise.all(Array.from({ length: 12 }, (_, n) => app.publish(Placed, { key: `k${n % 2}`, n })));
    await cluster.handled();
    assertEquals(failed, [[4, 1], [4, 2]]);
    assertEquals(done.toSorted((a, b) => a - b), Array.from({ length: 12 }, (_, n) => n));
    assertEquals(done.filter((n) => n % 2 === 0), [0, 2, 4, 6, 8, 10]);
  });

  it("that finds a service away waits with the first of each key, and those behind it have not run", async () => {
    const handlers = Placed.onBatch(() => {
      throw new CatgaError("UNAVAILABLE", "the bank is away");
    }, { name: "rows", max: 100, within: 200, retry: { ...retry, outage: MINUTE } });
    await using cluster = await testCluster(1, { handlers, service: "shop", logger });
    const [app] = cluster.apps;
    for (let n = 0; n < 3; n++) unwrap(await app.publish(Placed, { key: "k", n }, { id: `m${n}` }));
    await cluster.advance(1_000);
    assertEquals(app.health().subscriptions[0].lastFailure?.id, "m0");
  });

  it("throws in a batch.fail that comes when the handler has returned: what it fails is done by then", async () => {
    const late: string[] = [];
    const bill = Loose.onBatch((batch, ctx) => {
      // not awaited: the handler returns before `batch.fail` is called
      void ctx.clock.sleep(50).then(() => batch.fail(batch[0], "LATE", "too late"))
        .catch((error) => late.push(`${error}`));
    }, { name: "bills" });
    await using cluster = await testCluster(1, { handlers: bill });
    unwrap(await cluster.apps[0].publish(Loose, { n: 1 }));
    await cluster.advance(1_000);
    assertEquals(late, [
      "TypeError: batch.fail comes too late: its handler has returned, and the message is done; await what calls it",
    ]);
  });

  it("that does not end in its time is waited for, then each member is given to it alone, without having cost an attempt", async () => {
    const runs: [size: number, attempt: number][] = [];
    const handlers = Placed.onBatch(async (batch, ctx) => {
      runs.push([batch.length, batch[0].attempt]);
      if (batch.length > 1) await app.clock.sleep(3_000);
      assertEquals(ctx.signal.aborted, batch.length > 1);
    }, { name: "rows", max: 5, within: 500, timeout: 1_000, retry: { attempts: 1 } });
    await using cluster = await testCluster(1, { handlers, service: "shop", logger });
    const [app] = cluster.apps;
    await Promise.all(Array.from({ length: 5 }, (_, n) => app.publish(Placed, { key: "k", n })));
    await cluster.handled(MINUTE);
    assertEquals(runs, [[5, 1], ...Array.from({ length: 5 }, () => [1, 1] as [number, number])]);
    assertEquals((await app.subscriptions())[0].dead, 0);
  });

  for (const victim of ["the node that handles it", "the leader"]) {
    it(`a batch is handled again, in order, when ${victim} dies`, async () => {
      const done: number[] = [];
      const begun = new Map<string, number>();
      const handlers = Placed.onBatch(async (batch, ctx) => {
        begun.set(ctx.node, (begun.get(ctx.node) ?? 0) + batch.length);
        await ctx.clock.sleep(500);
        done.push(...numbers(batch));
      }, { name: "rows", max: 30, within: 50 });
      await using cluster = await testCluster(3, { handlers, service: "shop", logger });
      const [app] = cluster.apps;
      const all = Array.from({ length: 300 }, (_, n) => n);
      await Promise.all(all.map((n) => app.publish(Placed, { key: `k${n % 5}`, n })));
      while (begun.size === 0) await cluster.advance(20);
      const leader = cluster.apps.find((node) => node.health().subscriptions[0].state === "leading")!.self.id;
      const [other] = [...begun.keys()].filter((id) => id !== leader);
      cluster.kill(victim === "the leader" ? leader : other ?? leader);
      await cluster.handled(5 * MINUTE);
      assertEquals([...new Set(done)].toSorted((a, b) => a - b), all);
      for (let key = 0; key < 5; key++) {
        let next = key;
        for (const n of done.filter((n) => n % 5 === key)) {
          assert(n <= next, `${n} came where ${next} was due`);
          next = Math.max(next, n + 5);
        }
      }
    });
  }

  it("waits as a batch for what it calls, in order by key, which is no attempt", async () => {
    let away = true;
    const done: number[] = [];
    const sizes: number[] = [];
    const handlers = Placed.onBatch((batch) => {
      if (away) throw new CatgaError("UNAVAILABLE", "the database is away");
      sizes.push(batch.length);
      assertEquals(batch.every(({ attempt }) => attempt === 1), true);
      done.push(...numbers(batch));
    }, { name: "rows", max: 200, within: 100, retry: { attempts: 1, delay: [1_000, 8_000] } });
    await using cluster = await testCluster(1, { handlers, service: "shop", logger });
    const [app] = cluster.apps;
    const all = Array.from({ length: 120 }, (_, n) => n);
    for (const from of [0, 60]) {
      await Promise.all(all.slice(from, from + 60).map((n) => app.publish(Placed, { key: `k${n % 4}`, n })));
      await cluster.advance(2 * MINUTE);
    }
    const [{ open, retrying, dead }] = app.health().subscriptions;
    assertEquals([open + retrying, dead], [120, 0]);
    away = false;
    await cluster.handled(MINUTE);
    assertEquals(done.toSorted((a, b) => a - b), all);
    for (let key = 0; key < 4; key++) {
      assertEquals(done.filter((n) => n % 4 === key), all.filter((n) => n % 4 === key));
    }
    assert(sizes.length < 30, `${sizes.length} batches`);
  });

  it("takes single messages of a subscription whose other handler takes them", async () => {
    const sizes: number[] = [];
    let single = 0;
    const handlers = [
      Placed.onBatch((batch) => void sizes.push(batch.length), { name: "rows" }),
      Placed.on(() => void single++, { name: "rows" }),
    ];
    await using cluster = await testCluster(1, { handlers, service: "shop" });
    await Promise.all(Array.from({ length: 9 }, (_, n) => cluster.apps[0].publish(Placed, { key: "k", n })));
    await cluster.handled();
    assertEquals([sizes, single], [Array.from({ length: 9 }, () => 1), 9]);
  });

  it("is of a durable event, with a max of 1 to 1,000 and a time within a minute", () => {
    const on = (options: object) => () => Placed.onBatch(() => {}, options);
    assertThrows(on({ max: 0 }), RangeError, "Placed.onBatch: max");
    assertThrows(on({ max: 1_001 }), RangeError, "Placed.onBatch: max");
    assertThrows(on({ within: 60_001 }), RangeError, "Placed.onBatch: within");
    // @ts-expect-error it is not durable
    assertThrows(() => Told.onBatch(() => {}), TypeError, "Told.onBatch is of a durable event");
  });
});
