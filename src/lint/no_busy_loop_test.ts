import { noBusyLoop } from "./no_busy_loop.ts";
import { ruleSuite } from "./rule_suite.ts";

ruleSuite("no-busy-loop", noBusyLoop, {
  head: `import { command } from "@catga/catga";
const Create = command("Create");`,
  bad: {
    "loops without an end": {
      source: `export const a = Create.handle((x) => { while (true) { x(); } });
export const b = Create.handle((x) => { for (;;) x(); });
export const c = Create.handle((x) => { do { x(async () => { await 1; return 2; }); } while (1); });`,
      at: ["while (true) { x(); }", "for (;;) x();", "do { x(async () => { await 1; return 2; }); } while (1);"],
      says: /^This loop stops the event loop in a handler: there is no await in it$/,
    },
    "loops until the clock says so": {
      source: `export const a = Create.handle(() => { const end = Date.now() + 100; while (Date.now() < end); });
export const b = Create.handle((end) => { for (;;) { if (performance.now() > end) { return; } } });`,
      at: ["while (Date.now() < end);", "for (;;) { if (performance.now() > end) { return; } }"],
      says: /await/,
    },
  },
  good: {
    "loops that wait": `export const a = Create.handle(async (x, ctx) => {
  while (true) { await x(); }
  for (;;) { for await (const y of x) {} }
  while (Date.now() < ctx.deadline) { await using y = x(); }
});`,
    "loops that end": `export const a = Create.handle((x) => {
  while (true) { if (x()) break; }
  for (;;) return 1;
  while (x.more()) x.next();
  while (true) { const one = x.shift(); if (one === undefined) return; one.at = Date.now(); if (one.at > Date.now()) x.late++; }
});`,
    "loops outside of handlers": `function spin() { while (true) {} }`,
  },
});
