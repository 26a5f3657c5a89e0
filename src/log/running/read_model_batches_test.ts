import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { event, unwrap } from "../../../mod.ts";
import { MemoryCluster } from "../../../test/support/memory_cluster.ts";

const Counted = event<{ n: number; key: string }>("Counted", { durable: true, key: ({ key }) => key });
const Reset = event<{ n: number; key: string }>("Reset", { durable: true, key: ({ key }) => key });
const EACH = { each: "node", from: "start", name: "view" } as const;

/** Asserts that all numbers below `count` were seen, and those of each of `keys` keys in ascending order. */
function inOrder(seen: readonly number[], count: number, keys: number) {
  assertEquals(seen.toSorted((a, b) => a - b), Array.from({ length: count }, (_, n) => n));
  for (let key = 0; key < keys; key++) {
    const own = seen.filter((n) => n % keys === key);
    assertEquals(own, own.toSorted((a, b) => a - b));
  }
}

describe("a read model that takes batches", () => {
  it("has handled all when catga() resolves, many at a time, and then what comes, in order by key", async () => {
    await using cluster = new MemoryCluster();
    const publisher = await cluster.start("p");
    const publish = async (from: number, to: number) => {
      const numbers = Array.from({ length: to - from }, (_, i) => from + i);
      const all = numbers.map((n) => publisher.publish(Counted, { n, key: `k${n % 3}` }));
      for (const result of await cluster.clock.until(Promise.all(all))) unwrap(result);
    };
    await publish(0, 900);
    const [seen, sizes]: number[][] = [[], []];
    const handlers = Counted.onBatch(async (batch, ctx) => {
      await ctx.clock.sleep(5);
      sizes.push(batch.length);
      seen.push(...batch.map(({ payload }) => payload.n));
    }, { ...EACH, max: 100 });
    const app = await cluster.start("a", { handlers });
    assertEquals(seen.length, 900);
    assertEquals(app.health().subscriptions.map(({ state, open }) => [state, open]), [["caught up", 0]]);
    await publish(900, 1_000);
    await cluster.clock.advance(200);
    inOrder(seen, 1_000, 3);
    assert(Math.max(...sizes) === 100 && sizes.length < 30, `${sizes}`);
  });

  it("gives each member alone when a batch throws, and holds up the key of the bad one alone", async () => {
    await using cluster = new MemoryCluster();
    const publisher = await cluster.start("p");
    let bad = true;
    const seen: number[] = [];
    const handlers = Counted.onBatch((batch) => {
      if (bad && batch.some(({ payload }) => payload.n === 4)) throw new Error("a bad row");
      seen.push(...batch.map(({ payload }) => payload.n));
    }, { ...EACH, retry: { delay: [100, 100] } });
    await cluster.start("a", { handlers });
    const all = Array.from({ length: 30 }, (_, n) => publisher.publish(Counted, { n, key: `k${n % 3}` }));
    await cluster.clock.until(Promise.all(all));
    await cluster.clock.advance(1_000);
    assertEquals(seen.filter((n) => n % 3 === 1), [1]);
    assertEquals(seen.length, 21);
    bad = false;
    await cluster.clock.advance(1_000);
    inOrder(seen, 30, 3);
  });

  it("batch.fail: that member is tried again, in front of those behind it, and not at all if it is final", async () => {
    await using cluster = new MemoryCluster();
    const publisher = await cluster.start("p");
    const attempts: number[] = [];
    const seen: number[] = [];
    const handlers = Counted.onBatch((batch) => {
      for (const member of batch) {
        const { payload: { n }, attempt, key } = member;
        if (n === 3) attempts.push(attempt);
        if (n === 3 && attempt < 3) batch.fail(member, "NOT_YET", "no");
        else if (n === 7) batch.fail(member, "NEVER", "no", { final: true });
        else if (!(key === "k0" && n > 3 && attempts.at(-1)! < 3) && !(key === "k1" && n > 7 && batch.length > 1)) {
          seen.push(n);
        }
      }
    }, { ...EACH, retry: { delay: [10, 10] } });
    await cluster.start("a", { handlers });
    const all = Array.from({ length: 9 }, (_, n) => publisher.publish(Counted, { n, key: `k${n % 3}` }));
    await cluster.clock.until(Promise.all(all));
    await cluster.clock.advance(1_000);
    assertEquals(attempts, [1, 2, 3]);
    assertEquals(seen.toSorted((a, b) => a - b), [0, 1, 2, 3, 4, 5, 6, 8]);
    assertEquals(seen.filter((n) => n % 3 === 0), [0, 3, 6]);
  });

  it("keeps the order of a key across contracts, whose other handler takes single messages", async () => {
    await using cluster = new MemoryCluster();
    const publisher = await cluster.start("p");
    const seen: number[] = [];
    const handlers = [
      Counted.onBatch(async (batch, ctx) => {
        await ctx.clock.sleep(30);
        seen.push(...batch.map(({ payload }) => payload.n));
      }, EACH),
      Reset.on(async ({ n }, ctx) => {
        await ctx.clock.sleep(3);
        seen.push(n);
      }, EACH),
    ];
    await cluster.start("a", { handlers });
    for (let n = 0; n < 40; n++) {
      const stored = publisher.publish(n % 7 < 5 ? Counted : Reset, { n, key: `k${n % 2}` });
      unwrap(await cluster.clock.until(stored));
    }
    await cluster.clock.advance(3_000);
    inOrder(seen, 40, 2);
  });
});
