/**
 * Pictures of docs/dies.md and docs/state.md: each is what a fixed run of `explore` did, drawn as `error.picture` is.
 * `deno run -A tools/explored_pictures.ts` writes them; their test is red when the product does something else.
 *
 * @module
 */
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { command, event, query, unwrap, workflow } from "../mod.ts";
import { explore, ExploreError, type ExploreOptions } from "../src/testing/mod.ts";

const Pay = command<{ order: string }, string>("Pay");
const Price = query<{ sku: string }, number>("Price");
const Paid = event<{ order: string }>("Paid", { durable: true });
const Charge = command<{ order: string }, string>("Charge", { idempotent: true });
const Order = workflow<{ order: string }, string>("Order");

/** The runs: a title, a program, and a fault at a moment. */
const RUNS: Readonly<Record<string, { title: string; program: ExploreOptions }>> = {
  "dies-send": {
    title: "bank-1 dies while it handles a command and a query",
    program: {
      nodes: { bank: 2 },
      handlers: () => [
        Pay.handle(async ({ order }, ctx) => {
          await ctx.clock.sleep(100);
          return `receipt ${order}`;
        }),
        Price.handle(async (_, ctx) => {
          await ctx.clock.sleep(100);
          return 420;
        }),
      ],
      workload: async ({ app, clock }) => {
        const sent = [app.send(Pay, { order: "7" }), app.send(Price, { sku: "tea" })];
        await clock.sleep(20);
        sent.push(app.send(Pay, { order: "8" }), app.send(Price, { sku: "salt" }));
        await Promise.all(sent);
      },
      replay: "seed 1; kill bank-1 at 60 for 60000",
    },
  },
  "dies-event": {
    title: "mails-1 dies while it handles a durable event",
    program: {
      nodes: { mails: 2 },
      handlers: () =>
        Paid.on(async (_, ctx) => {
          await ctx.clock.sleep(100);
        }, { name: "mails" }),
      workload: async ({ app }) => {
        for (const order of ["7", "8"]) unwrap(await app.publish(Paid, { order }, { id: order }));
      },
      replay: "seed 1; kill mails-1 at 60 for 60000",
    },
  },
  "dies-id": {
    title: "bank-2 dies before the result of an id is recorded",
    program: {
      nodes: { bank: 2 },
      handlers: () =>
        Charge.handle(async ({ order }, ctx) => {
          await ctx.clock.sleep(100);
          return `receipt ${order}`;
        }),
      workload: async ({ app }) => {
        for (let time = 0; time < 2; time++) unwrap(await app.send(Charge, { order: "7" }, { id: "7" }));
      },
      replay: "seed 1; kill bank-2 at 60 for 60000",
    },
  },
  "dies-workflow": {
    title: "shop-2 dies while it drives a workflow",
    program: {
      nodes: { shop: 2 },
      handlers: () => [
        Order.handle(async (flow, { order }) => {
          await flow.step("reserve", () => `reserved ${order}`);
          return unwrap(await flow.send(Charge, { order }));
        }),
        Charge.handle(async ({ order }, ctx) => {
          await ctx.clock.sleep(200);
          return `receipt ${order}`;
        }),
      ],
      workload: async ({ app }) => {
        const run = unwrap(await app.start(Order, { order: "7" }, { id: "7" }));
        unwrap(await app.result(Order, run));
      },
      replay: "seed 1; kill shop-2 at 100 for 60000",
    },
  },
};

/** Draws the pictures, by their paths from the root of the repository. */
export async function exploredPictures(): Promise<Map<string, string>> {
  const pictures = new Map<string, string>();
  for (const [name, { title, program }] of Object.entries(RUNS)) {
    const check = () => {
      throw new Error(title);
    };
    const error = await explore({ ...program, check }).then(() => undefined, (error) => error);
    if (!(error instanceof ExploreError) || error.cause.message !== title) throw error;
    pictures.set(`docs/pictures/${name}.svg`, error.picture);
    if (import.meta.main) console.log(error.timeline);
  }
  return pictures;
}

if (import.meta.main) {
  for (const [path, picture] of await exploredPictures()) {
    await writeFile(fileURLToPath(new URL(`../${path}`, import.meta.url)), picture);
  }
}
