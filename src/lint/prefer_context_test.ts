import { preferContext } from "./prefer_context.ts";
import { ruleSuite } from "./rule_suite.ts";

ruleSuite("prefer-context", preferContext, {
  head: `import { type Catga, catga, command, event, workflow } from "@catga/catga";
import { Pay } from "./contracts.ts";
const Create = command("Create");
const Created = event("Created");
const Trip = workflow("Trip");`,
  bad: {
    "the app in the handler of a batch": {
      source: `const app = await catga(); export const all = Created.onBatch((list, ctx) => app.send(Pay, list));`,
      at: ["app.send(Pay, list)"],
      says: /in a handler loses/,
      fixed: `const app = await catga(); export const all = Created.onBatch((list, ctx) => ctx.send(Pay, list));`,
    },
    "the app in a handler": {
      source: `export const create = Create.handle(async (order, ctx) => {
  await using lock = await app.lock("a");
  await Promise.all(order.lines.map((line) => app.send(Pay, line)));
  return app.send(Pay, order);
});
let app: Catga;`,
      at: [`app.lock("a")`, "app.send(Pay, line)", "app.send(Pay, order)"],
      says: /^app\.\w+ in a handler loses its deadline and its trace$/,
      fixed: `export const create = Create.handle(async (order, ctx) => {
  await using lock = await ctx.lock("a");
  await Promise.all(order.lines.map((line) => ctx.send(Pay, line)));
  return ctx.send(Pay, order);
});
let app: Catga;`,
    },
    "the app where another thing has the context's name: not fixed": {
      source: `const app = await catga();
export const create = Create.handle((order, ctx) => order.lines.map((ctx) => app.send(Pay, ctx)));`,
      at: ["app.send(Pay, ctx)"],
      says: /app\.send/,
    },
    "the app in a handler that has not named its context: not fixed": {
      source: `const app = await catga();\nexport const announce = Created.on(() => app.publish(Created));`,
      at: ["app.publish(Created)"],
      says: /app\.publish/,
    },
  },
  good: {
    "the context": `export const create = Create.handle((order, ctx) => ctx.send(Pay, order));`,
    "the app outside of handlers": `const app = await catga(); export const f = () => app.send(Pay);`,
    "what runs when the handler has ended": `const app = await catga();
export const create = Create.handle((order, ctx) => {
  setTimeout(() => app.send(Pay, order), 1_000);
  emitter.on("paid", async () => { await app.publish(Created); });
});`,
    "a workflow, whose handler gets no context": `const app = await catga();
export const trip = Trip.handle((flow, input) => app.send(Pay, input));`,
    "what the context has not":
      `const app = await catga(); export const a = Create.handle((_, ctx) => app.nodes().length);`,
  },
});
