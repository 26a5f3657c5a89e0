import { noBlockingHandler } from "./no_blocking_handler.ts";
import { ruleSuite } from "./rule_suite.ts";

ruleSuite("no-blocking-handler", noBlockingHandler, {
  head: `import { command, event } from "@catga/catga";
import { readFileSync, readFileSync as read } from "node:fs";
import * as cp from "node:child_process";
import crypto from "crypto";
const Create = command("Create");
const Created = event("Created");`,
  bad: {
    "Deno's and Bun's": {
      source: `export const a = Create.handle(() => { Deno.readTextFileSync("x"); Bun.spawnSync(["ls"]); });
export const b = Created.on(() => new Deno.Command("ls").outputSync());`,
      at: [`Deno.readTextFileSync("x")`, `Bun.spawnSync(["ls"])`, `new Deno.Command("ls").outputSync()`],
      says: /stops the event loop in a handler$/,
    },
    "Node's, however imported": {
      source:
        `export const a = Create.handle(() => { read("x"); cp.execSync("ls"); return crypto.scryptSync(a, b, 32); });`,
      at: [`read("x")`, `cp.execSync("ls")`, "crypto.scryptSync(a, b, 32)"],
      says: /Sync|read/,
    },
    "those in the handler of an entity of another file (they were passed over)": {
      source: `import { Cart } from "./contracts.ts";
export const a = Cart.handle(Create, () => { Deno.statSync("x"); });`,
      at: [`Deno.statSync("x")`],
      says: /stops/,
    },
    "Atomics.wait": {
      source: `export const a = Create.handle((x) => { Atomics.wait(x, 0, 0); });`,
      at: ["Atomics.wait(x, 0, 0)"],
      says: /Atomics\.wait/,
    },
    "those in functions inside": {
      source: `export const a = Create.handle((x) => x.map((file) => readFileSync(file)));`,
      at: ["readFileSync(file)"],
      says: /readFileSync/,
    },
    "those in a handler that is written elsewhere": {
      source: `export const a = Create.handle(create), b = Created.on(heard);
function create() { return Deno.statSync("x"); }
const heard = () => read("x");`,
      at: [`Deno.statSync("x")`, `read("x")`],
      says: /stops/,
    },
  },
  good: {
    "blocking outside of handlers": `const text = readFileSync("x"); const help = () => Deno.statSync("x");`,
    "what does not block":
      `export const a = Create.handle(async () => { await Deno.readTextFile("x"); Atomics.waitAsync(a, 0, 0); crypto.randomFillSync(b); });`,
    "names that are others": `const Deno = { xSync() {} };
export const a = Create.handle((Atomics) => { Deno.xSync(); Atomics.wait(); db.readSync(); });`,
  },
});
