import { noTopLevelUsing } from "./no_top_level_using.ts";
import { ruleSuite } from "./rule_suite.ts";

ruleSuite("no-top-level-using", noTopLevelUsing, {
  head: `import { catga } from "@catga/catga";
import * as orders from "./orders.ts";
import { Count, Started } from "./orders.ts";`,
  bad: {
    "a server at the top of its module": {
      source:
        `await using app = await catga({ handlers: orders, nats: "nats://localhost:4222" });\nconsole.log(app.self.id);`,
      at: [`await using app = await catga({ handlers: orders, nats: "nats://localhost:4222" });`],
      says: /^This app drains as soon as its module has run$/,
      fixed: `const app = await catga({ handlers: orders, nats: "nats://localhost:4222" });\nconsole.log(app.self.id);`,
    },
    "a gateway": {
      source:
        `const nats = "x";\nawait using app = await catga({ nats });\nDeno.serve(async () => { await app.send(Count); });`,
      at: ["await using app = await catga({ nats });"],
      says: /drains/,
      fixed:
        `const nats = "x";\nconst app = await catga({ nats });\nDeno.serve(async () => { await app.send(Count); });`,
    },
    "a server with signals that tells of its start": {
      source: `await  using app = await catga({ signals: true });\nawait app.publish(Started);`,
      at: ["await  using app = await catga({ signals: true });"],
      says: /drains/,
      fixed: `const app = await catga({ signals: true });\nawait app.publish(Started);`,
    },
  },
  good: {
    "a constant": `const app = await catga({ handlers: orders, signals: true });`,
    "a script that sends": `await using app = await catga({ nats: "x" }); const result = await app.send(Count);`,
    "a server that waits": `await using app = await catga({ nats: "x", signals: true }); await app.closed;`,
    "a server that listens":
      `await using app = await catga({ signals: true }); for await (const one of requests) serve(one);`,
    "an app in a function": `async function main() { await using app = await catga({ nats: "x", signals: true }); }`,
    "an app in a block": `{ await using app = await catga({ nats: "x" }); }`,
    "an app in memory": `await using app = await catga({ handlers: orders, signals: false });`,
    "options that cannot be told": `await using app = await catga(options);`,
  },
});
