import { noIgnoredResult } from "./no_ignored_result.ts";
import { ruleSuite } from "./rule_suite.ts";

ruleSuite("no-ignored-result", noIgnoredResult, {
  head: `import { catga, type Catga, command, fail, unwrap } from "@catga/catga";
import { Pay } from "./contracts.ts";
const Create = command("Create");
const app = await catga({ nats: "nats://localhost" });`,
  bad: {
    "results that nobody looks at": {
      source: `await app.send(Create);\nawait app?.sendAll(Create, []);`,
      at: ["await app.send(Create)", "await app?.sendAll(Create, [])"],
      says: /^The result of app\??\.send(All)? is dropped, and with it what went wrong$/,
    },
    "those of what is stored": {
      source:
        `await app.enqueue(Create, 1); await app.start(Trip); await app.tell(go, "7"); await app.cancel(Trip, "7", "");`,
      at: [
        "await app.enqueue(Create, 1)",
        "await app.start(Trip)",
        'await app.tell(go, "7")',
        'await app.cancel(Trip, "7", "")',
      ],
      says: /dropped/,
    },
    "those in handlers, by context": {
      source: `export const create = Create.handle(async (order, c) => { await c.send(Pay, order); });`,
      at: ["await c.send(Pay, order)"],
      says: /c\.send/,
    },
    "those of apps in parameters": {
      source: `async function f(one: Catga) { if (x) await one.send(unknownContract); }`,
      at: ["await one.send(unknownContract)"],
      says: /one\.send/,
    },
    "those of senders that a contract shows": {
      source: `class A { async f() { await this.bus.send(Create); await this.app.send(Pay); } }`,
      at: ["await this.bus.send(Create)", "await this.app.send(Pay)"],
      says: /dropped/,
    },
    "several at once": {
      source:
        `await Promise.all([app.send(Create), other()]);\nawait Promise.all(list.map((one) => app.send(Pay, one)));`,
      at: [
        "await Promise.all([app.send(Create), other()])",
        "await Promise.all(list.map((one) => app.send(Pay, one)))",
      ],
      says: /app\.send/,
    },
    "a fail that is not returned": {
      source: `export const create = Create.handle(({ n }) => { if (n > 9) fail("FULL", "9 at most"); return n; });`,
      at: [`fail("FULL", "9 at most")`],
      says: /^This fail is not returned/,
    },
  },
  good: {
    "results that are looked at":
      `const r = await app.send(Create); if (!(await app.send(Create)).ok) throw r; unwrap(await app.send(Create));`,
    "results that are passed on":
      `const f = () => app.send(Create); const all = await Promise.all([app.send(Create)]);`,
    "what says that it does not matter": `void await app.send(Create);`,
    "events, which may be heard or not": `await app.publish(Created, {}); await app.broadcast(Create);`,
    "a fail that is returned, thrown, or another one":
      `const f = () => fail("A", "a"); const g = () => { throw fail("B", "b"); }; function h(fail: Fail) { fail("C"); }`,
    "other senders":
      `await socket.send(data); await client.send(Pay); await channel.send(new Pay()); await app2.send("x");`,
    "a name that shadows the app": `async function f(app: Socket) { await app.send(data); }`,
  },
});
