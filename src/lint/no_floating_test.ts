import { noFloating } from "./no_floating.ts";
import { ruleSuite } from "./rule_suite.ts";

ruleSuite("no-floating", noFloating, {
  head: `import { catga, command, type Context, event } from "@catga/catga";
const Create = command("Create");
const Created = event("Created");
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
    "either way of a choice": {
      source: `if (x) y && app.send(Create);\ny ? app.send(Create) : app.publish(Created);`,
      at: ["app.send(Create)", "app.send(Create)", "app.publish(Created)"],
      says: /Nobody/,
    },
  },
  good: {
    "what is awaited, returned or kept":
      `await app.send(Create); const p = app.send(Create); list.push(app.send(Create)); const f = () => app.send(Create);`,
    "what says that it may be cut off": `void app.publish(Created);`,
    "what has an owner": `app.send(Create).then((result) => console.log(result.ok));`,
    "other senders": `socket.send(data); process.send(message); res.send("ok"); mutex.lock(); bus.publish("topic");`,
  },
});
