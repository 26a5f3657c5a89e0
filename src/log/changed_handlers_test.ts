/** Tests of a subscription whose handler has other settings in the next version of a program, while both run. */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { type Context, event, type Handlers } from "../../mod.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { type TestCluster, testCluster } from "../testing/mod.ts";

const Sold = event<{ seat: string; n: number }>("Sold", { durable: true, key: ({ seat }) => seat });

/** Records when runs of handlers begin and end, and which of them are out of order. */
class Runs {
  readonly begun: string[] = [];
  /** Runs that began while an earlier one of their key went on, or after a later one. */
  readonly wrong: string[] = [];
  readonly #going = new Map<string, string>();
  readonly #last = new Map<string, number>();

  begin({ seat, n }: { seat: string; n: number }, node: string): () => void {
    const run = `${seat} ${n} ${node}`;
    this.begun.push(`${seat} ${n}`);
    if (this.#going.has(seat)) this.wrong.push(`${run} beside ${this.#going.get(seat)}`);
    if ((this.#last.get(seat) ?? -1) >= n) this.wrong.push(`${run} after ${this.#last.get(seat)}`);
    this.#going.set(seat, run);
    this.#last.set(seat, n);
    return () => void this.#going.delete(seat);
  }
}

/** A leader of one version, and nodes of the other one, which handle most of it; `web` publishes. */
async function deploy(
  leads: Handlers,
  handles: Handlers,
  run: (cluster: TestCluster) => Promise<void>,
): Promise<void> {
  await using cluster = await testCluster(["first", "web"], {
    logger: QUIET,
    node: (id) => id === "web" ? { service: "web" } : { service: "shop", handlers: id === "first" ? leads : handles },
  });
  assertEquals(await cluster.leader("shop/sales"), "first");
  for (const id of ["second", "third"]) await cluster.start(id);
  await run(cluster);
  await cluster.handled();
}

describe("a subscription whose handler takes batches in one version, and single messages in the other", () => {
  for (const leads of ["batches", "single messages"]) {
    it(`led by the version of ${leads}: each runs once, those of a key in order, however long they take`, async () => {
      const runs = new Runs();
      const single = Sold.on(async (payload, ctx) => {
        const end = runs.begin(payload, ctx.node);
        await ctx.clock.sleep(1_000);
        end();
      }, { name: "sales", timeout: 5_000 });
      const batches = Sold.onBatch(async (batch, ctx) => {
        const ends = batch.map(({ payload }) => {
          const end = runs.begin(payload, ctx.node);
          end();
          return end;
        });
        await ctx.clock.sleep(1_000);
        for (const end of ends) end();
      }, { name: "sales", timeout: 5_000, max: 100, within: 1_000 });
      const [a, b] = leads === "batches" ? [batches, single] : [single, batches];
      await deploy(a, b, async (cluster) => {
        const web = cluster.app("web");
        await Promise.all(
          Array.from({ length: 300 }, (_, n) => web.publish(Sold, { seat: `${n % 20}`, n }, { id: `${n}` })),
        );
      });
      assertEquals([runs.begun.length, new Set(runs.begun).size, runs.wrong], [300, 300, []]);
    });
  }
});

describe("a subscription whose handler may take longer in one version than in the other", () => {
  const took = [["single messages", 0], ["single messages, and its leader dies", 1], ["batches", 0]] as const;
  for (const [what, deaths] of took) {
    it(`led by the version with the shorter timeout: no run that has time counts as failed: ${what}`, async () => {
      const runs = new Runs();
      const task = async (payloads: readonly { seat: string; n: number }[], ctx: Context) => {
        const ends = payloads.map((payload) => runs.begin(payload, ctx.node));
        await ctx.clock.sleep(ctx.node === "first" ? 10 : 8_000);
        for (const end of ends) end();
      };
      const options = (timeout: number) => ({ name: "sales", timeout, retry: { attempts: 2, delay: [1, 1] } } as const);
      const handler = (timeout: number) =>
        what === "batches"
          ? Sold.onBatch((batch, ctx) => task(batch.map(({ payload }) => payload), ctx), options(timeout))
          : Sold.on((payload, ctx) => task([payload], ctx), options(timeout));
      await deploy(handler(500), handler(10_000), async (cluster) => {
        const web = cluster.app("web");
        for (let n = 0; n < 30; n++) await web.publish(Sold, { seat: `${n}`, n });
        await web.clock.sleep(5_000);
        assertEquals(cluster.apps.flatMap((app) => app.health().alarms), []);
        if (deaths > 0) cluster.kill("first");
        await web.clock.sleep(20_000);
        assertEquals((await web.subscriptions()).map(({ dead, open }) => [dead, open]), [[0, 0]]);
      });
      assertEquals([runs.begun.length, runs.wrong], [30, []]);
    });
  }

  it("does not report a handler as hanging whose message runs again, in its time", async () => {
    const { promise: hangs, resolve: end } = Promise.withResolvers<void>();
    const handler = (timeout: number) =>
      Sold.on(async (_, { clock, attempt, node }) => {
        if (node !== "first") await (attempt === 1 ? hangs : clock.sleep(9_000));
      }, { name: "sales", timeout, retry: { attempts: 2, delay: [1, 1] } });
    await deploy(handler(500), handler(10_000), async (cluster) => {
      const web = cluster.app("web");
      const kinds = () => [...new Set(cluster.apps.flatMap((app) => app.health().alarms.map(({ kind }) => kind)))];
      for (let n = 0; n < 30; n++) await web.publish(Sold, { seat: `${n}`, n });
      await web.clock.sleep(14_000);
      const before = kinds();
      end();
      await web.clock.sleep(6_000);
      assertEquals([before, kinds()], [["handler-hanging"], []]);
      await web.clock.sleep(30_000);
    });
  });

  it("counts the attempt whose time is over there", async () => {
    let runs = 0;
    const handler = (timeout: number) =>
      Sold.on(async (_, { clock, signal, node }) => {
        if (node === "first") return;
        runs++;
        await clock.sleep(60_000, signal);
      }, { name: "sales", timeout, retry: { attempts: 2, delay: [1, 1] } });
    await deploy(handler(500), handler(10_000), async (cluster) => {
      const web = cluster.app("web");
      for (let n = 0; n < 30; n++) await web.publish(Sold, { seat: `${n}`, n });
      await web.clock.sleep(60_000);
      const [{ dead }] = await web.subscriptions();
      assertEquals([dead > 0, runs], [true, 2 * dead]);
    });
  });
});

describe("a subscription whose handler has more attempts in one version than in the other", () => {
  it("led by the version with fewer: a message has the attempts of the version that handles it", async () => {
    const attempts = new Map<string, number>();
    const handler = (attempt: number) =>
      Sold.on(({ seat }, ctx) => {
        attempts.set(seat, ctx.attempt);
        if (ctx.node !== "first" && ctx.attempt < 4) throw new Error("not yet");
      }, { name: "sales", retry: { attempts: attempt, delay: [1, 1] } });
    await deploy(handler(1), handler(5), async (cluster) => {
      const web = cluster.app("web");
      for (let n = 0; n < 30; n++) await web.publish(Sold, { seat: `${n}`, n });
      await web.clock.sleep(10_000);
      assertEquals((await web.subscriptions()).map(({ dead, open }) => [dead, open]), [[0, 0]]);
    });
    assertEquals([...new Set(attempts.values())].sort(), [1, 4]);
  });
});

describe("a subscription whose batches are smaller in one version than in the other", () => {
  it("led by the version with larger ones: none is larger than the version that handles it says", async () => {
    const sizes: Record<string, number[]> = {};
    const seen: string[] = [];
    const handler = (max: number) =>
      Sold.onBatch(async (batch, ctx) => {
        (sizes[ctx.node] ??= []).push(batch.length);
        seen.push(...batch.map(({ payload: { seat, n } }) => `${seat} ${n}`));
        await ctx.clock.sleep(10);
        const last = batch.at(-1)!;
        if (last.payload.n % 50 === 7 && last.attempt === 1) batch.fail(last, "NOT_YET", "not yet");
      }, { name: "sales", max, within: 100, retry: { attempts: 3, delay: [1, 1] } });
    await deploy(handler(100), handler(10), async (cluster) => {
      const web = cluster.app("web");
      await Promise.all(
        Array.from({ length: 1_000 }, (_, n) => web.publish(Sold, { seat: `${n % 20}`, n }, { id: `${n}` })),
      );
    });
    assertEquals(Math.max(...sizes.second, ...sizes.third), 10);
    assertEquals(new Set(seen).size, 1_000);
    for (let seat = 0; seat < 20; seat++) {
      const own = [...new Set(seen.filter((each) => each.startsWith(`${seat} `)))].map((each) =>
        Number(each.split(" ")[1])
      );
      assertEquals(own, own.toSorted((a, b) => a - b));
    }
  });
});
