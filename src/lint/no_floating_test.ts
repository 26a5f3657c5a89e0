import { noFloating } from "./no_floating.ts";
import { ruleSuite } from "./rule_suite.ts";

ruleSuite("no-floating", noFloating, {
  head: `import { catga, command, type Context, event, type Flow, workflow } from "@catga/catga";
const Create = command("Create");
const Created = event("Created");
const Order = workflow("Order");
const app = await catga();`,
  bad: {
    "sends that nobody waits for": {
      source: `app.send(Create);\napp?.sendAll(Create, []);\napp.broadcast(Create);`,
      at: ["app.send(Create)", "app?.sendAll(Create, [])", "app.broadcast(Create)"],
      says: /^Nobody waits for this app\??\.\w+$/,
    },
    "an event: the fix waits for it": {
      source: `export const create = Create.handle(async (_, ctx) => {\n  ctx.publish(Created);\n});`,
      at: ["ctx.publish(Created)"],
      says: /ctx\.publish/,
      fixed: `export const create = Create.handle(async (_, ctx) => {\n  await ctx.publish(Created);\n});`,
    },
    "an event in a function that cannot wait": {
      source: `function f(ctx: Context) { ctx.publish(Created); }`,
      at: ["ctx.publish(Created)"],
      says: /ctx\.publish/,
    },
    "a lock": { source: `app.lock("a");`, at: [`app.lock("a")`], says: /app\.lock/ },
    "what an app does for runs and the log": {
      source:
        `app.start(Order);\napp.tell(Paid, "7");\napp.cancel(Order, "7", "late");\napp.result(Order, "7");\napp.enqueue(Create);`,
      at: [
        "app.start(Order)",
        `app.tell(Paid, "7")`,
        `app.cancel(Order, "7", "late")`,
        `app.result(Order, "7")`,
        "app.enqueue(Create)",
      ],
      says: /^Nobody waits for this app\.\w+$/,
    },
    "a command that a handler enqueues": {
      source: `export const create = Create.handle((_, ctx) => { ctx.enqueue(Create); });`,
      at: ["ctx.enqueue(Create)"],
      says: /ctx\.enqueue/,
    },
    "a step, a send and a wait of a workflow": {
      source: `export const order = Order.handle((flow) => {
  flow.step("charge", () => 1);
  flow.send(Create);
  flow.wait(Paid);
});`,
      at: [`flow.step("charge", () => 1)`, "flow.send(Create)", "flow.wait(Paid)"],
      says: /^Nobody waits for this flow\.\w+$/,
    },
    "a sleep: the fix waits for it": {
      source: `export const order = Order.handle(async (run) => {\n  run.sleep("an hour", 3_600_000);\n});`,
      at: [`run.sleep("an hour", 3_600_000)`],
      says: /run\.sleep/,
      fixed: `export const order = Order.handle(async (run) => {\n  await run.sleep("an hour", 3_600_000);\n});`,
    },
    "a sleep of a context's clock: the fix waits for it": {
      source: `export const create = Create.handle(async (_, ctx) => {\n  ctx.clock.sleep(5);\n});`,
      at: ["ctx.clock.sleep(5)"],
      says: /ctx\.clock\.sleep/,
      fixed: `export const create = Create.handle(async (_, ctx) => {\n  await ctx.clock.sleep(5);\n});`,
    },
    "a write into the cache": {
      source: `export const create = Create.handle((_, ctx) => { ctx.cache.set("a", 1); ctx.cache.delete("b"); });`,
      at: [`ctx.cache.set("a", 1)`, `ctx.cache.delete("b")`],
      says: /ctx\.cache/,
    },
    "a sleep of a workflow of another file, or in a function that takes the flow": {
      source: `import { Trip } from "./contracts.ts";
export const trip = Trip.handle((flow) => { flow.sleep("b", 1); });
function pause(one: Flow) { one.sleep("a", 1); }`,
      at: [`flow.sleep("b", 1)`, `one.sleep("a", 1)`],
      says: /\.sleep/,
    },
    "either way of a choice": {
      source: `if (x) y && app.send(Create);\ny ? app.send(Create) : app.publish(Created);`,
      at: ["app.send(Create)", "app.send(Create)", "app.publish(Created)"],
      says: /Nobody/,
    },
  },
  good: {
    "what a transaction of a database collects": `store.transaction((tx, out) => { out.publish(Created); });
store.handler(async (created, ctx, tx, out) => { out.publish(Created); });
const out = store.out();
out.publish(Created);
function collect(out: Out) { out.publish(Created); }`,
    "what is awaited, returned or kept":
      `await app.send(Create); const p = app.send(Create); list.push(app.send(Create)); const f = () => app.send(Create);`,
    "what says that it may be cut off": `void app.publish(Created);`,
    "what has an owner": `app.send(Create).then((result) => console.log(result.ok));`,
    "steps that are awaited, returned or kept": `export const order = Order.handle(async (flow, input) => {
  const all = [flow.step("a", () => 1), flow.send(Create)];
  await Promise.all(all);
  void flow.sleep("c", 1);
  input.send(1);
  return flow.step("b", () => 2);
});`,
    "other starts, waits and sleeps":
      `server.start(); flow.wait(); timer.cancel(); Create.handle((body) => { body.wait(); body.sleep(1); });`,
    "other senders":
      `socket.send(data); process.send(message); res.send("ok"); mutex.lock(); bus.publish("topic"); own.clock.sleep(1);`,
  },
});
