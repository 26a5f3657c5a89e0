/**
 * A shop under faults: three nodes and a client, 100 orders in 20 s of virtual time, each an entity, a workflow of four
 * steps with an undo and a sleep, and a subscription, under drops, cuts and freezes; explored, and by hand with
 * `testCluster`. As a module it is a program for threads of `explore`.
 */
import process from "node:process";
import { isMainThread } from "node:worker_threads";
import { command, entity, fail, workflow } from "../../mod.ts";
import { explore, type ExploreOptions, testCluster } from "../../src/testing/mod.ts";
import { answer } from "./answer.ts";

const ORDERS = 100;
const EVERY = 200; // ms

const Place = command<{ id: string; qty: number }, number>("Place", { key: ({ id }) => id });
const Charge = command<{ id: string }, string>("Charge", { idempotent: true });
const Order = entity("Order", { initial: () => ({ qty: 0 }) });
const Placed = Order.event<{ qty: number }>("Placed", (_, { qty }) => ({ qty }));
const Aftercare = workflow<{ id: string }, string>("Aftercare", { id: ({ id }) => id });

const handlers = [
  Order.handle(Place, (order, { qty }) => {
    if (order.state.qty > 0) return fail("ALREADY_PLACED", "it is placed");
    order.emit(Placed, { qty });
    return qty;
  }),
  Charge.handle(({ id }) => `receipt ${id}`),
  Placed.on(async (_, ctx) => void await ctx.start(Aftercare, { id: ctx.key }), { name: "aftercare" }),
  Aftercare.handle(async (flow, { id }) => {
    await flow.step("reserve", () => id, { undo: () => {} });
    const charged = await flow.send(Charge, { id });
    if (!charged.ok) return charged;
    await flow.sleep("rest", 500);
    await flow.step("ship", () => `shipped ${id}`);
    return await flow.step("mail", () => `mailed ${id}`);
  }),
];

/** One seed by hand. */
async function byHand(seed: number): Promise<void> {
  await using cluster = await testCluster(["shop-1", "shop-2", "shop-3", "client"], {
    seed,
    faults: { drop: 0.01, delay: 5, cut: { every: 10_000, lasts: 500 }, pause: { every: 10_000, lasts: 1_000 } },
    logger: { debug() {}, info() {}, warn() {}, error() {} },
    node: (id) => (id === "client" ? { service: "client" } : { service: "shop", handlers }),
  });
  const app = cluster.app("client");
  const sends = Array.from({ length: ORDERS }, async (_, n) => {
    await new Promise<void>((resolve) => void cluster.clock.after(n * EVERY, resolve));
    return await app.send(Place, { id: `order-${n}`, qty: 1 });
  });
  await cluster.until(Promise.all(sends));
  cluster.heal();
  await cluster.handled(300_000);
  for await (const run of app.runs({ open: true })) throw new Error(`run ${run.id} is ${run.status}`);
}

const program: ExploreOptions = {
  nodes: { shop: 3, client: 1 },
  handlers,
  faults: ["drop", "cut", "freeze"],
  workload: async ({ app, clock }) => {
    await Promise.all(Array.from({ length: ORDERS }, async (_, n) => {
      await clock.sleep(n * EVERY);
      await app.send(Place, { id: `order-${n}`, qty: 1 });
    }));
  },
  check: ({ history }) => {
    const open = history.runs.find(({ status }) => status !== "done");
    if (open !== undefined) throw new Error(`run ${open.id} is ${open.status}`);
  },
};
export default program;

/** Seeds of a task. */
interface SeedRange {
  readonly seed: number;
  readonly seeds: number;
}

/** What a seed takes, in ms. */
interface SeedTimes {
  readonly wall: number;
  readonly processor: number;
}

async function timed({ seeds }: SeedRange, work: () => Promise<unknown>): Promise<SeedTimes> {
  const [began, before] = [performance.now(), process.cpuUsage()];
  await work();
  const { user, system } = process.cpuUsage(before);
  return { wall: (performance.now() - began) / seeds, processor: (user + system) / 1_000 / seeds };
}

if (isMainThread) {
  const { href } = new URL(import.meta.url);
  answer({
    byHand: (range: SeedRange) =>
      timed(range, async () => {
        for (let i = 0; i < range.seeds; i++) await byHand(range.seed + i);
      }),
    explored: (range: SeedRange) => timed(range, () => explore({ ...program, ...range, repeatable: false })),
    onThreads: ({ workers, ...range }: SeedRange & { workers: number }) =>
      timed(range, () => explore({ ...program, ...range, repeatable: false, program: new URL(href), workers })),
  });
}
