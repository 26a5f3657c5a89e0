import { lockUsing } from "./lock_using.ts";
import { ruleSuite } from "./rule_suite.ts";

ruleSuite("lock-using", lockUsing, {
  head: `import { catga, command, type Catga } from "@catga/catga";
const Create = command("Create");
const app = await catga();`,
  bad: {
    "a lock that is dropped": {
      source: `export const create = Create.handle(async (_, ctx) => { await ctx.lock("a"); });\nawait app.lock("b");`,
      at: [`ctx.lock("a")`, `app.lock("b")`],
      says: /^This lock is dropped, and held until (the handler ends|the app stops)$/,
    },
    "a lock in a constant": {
      source:
        `export const create = Create.handle(async (_, ctx) => {\n  const lock = await ctx.lock("a");\n  await write(lock.token, lock.signal);\n});`,
      at: [`lock = await ctx.lock("a")`],
      says: /^Nothing releases the lock lock$/,
      fixed:
        `export const create = Create.handle(async (_, ctx) => {\n  await using lock = await ctx.lock("a");\n  await write(lock.token, lock.signal);\n});`,
    },
    "a lock in a block, or in a variable: not fixed": {
      source: `async function f(app: Catga) { if (x) { const a = await app.lock("a"); } let b = await app.lock("b"); }`,
      at: [`a = await app.lock("a")`, `b = await app.lock("b")`],
      says: /lock [ab]$/,
    },
  },
  good: {
    "using": `await using lock = await app.lock("a"); console.log(lock.token);`,
    "a release by hand": `const lock = await app.lock("a"); try { work(); } finally { await lock.release(); }`,
    "a lock that is passed on": `async function take() { const lock = await app.lock("a"); return lock; }
const other = await app.lock("b"); keep(other);
const late = await app.lock("c"); await using _late = late;`,
    "what returns the lock": `const take = () => app.lock("a"); async function f() { return await app.lock("a"); }`,
    "other locks": `await navigator.locks.request("a", f); await mutex.lock("a"); const held = await file.lock();`,
  },
});
