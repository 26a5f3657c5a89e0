/**
 * A program that publishes the events `Ticked` 0 to 499, each awaited, prints `{"ok":500}`, and ends.
 *
 *   deno run -A test/processes/publisher.ts URL HOW [node|deno]
 *
 * HOW: `exit`, by `process.exit` right after the last; `drain`, by itself after a drain; `drain-exit`, by
 * `process.exit` after one; `using`, by itself at the end of an `await using`; `turns`, one event a turn of the event
 * loop, then as `drain-exit`; `handlers`, published by handlers that run while it drains, then as `drain-exit`;
 * `given`, like `drain-exit` over a connection that it opened itself. The last word is the client of NATS; that of the
 * runtime.
 */
import { writeSync } from "node:fs";
import process from "node:process";
import { setImmediate } from "node:timers/promises";
import { catga, type CatgaOptions, command, event } from "../../mod.ts";
import { loadDriver } from "../../src/nats/connection/driver.ts";
import type { PublisherLine } from "./publisher_line.ts";

const [url, how, driver] = process.argv.slice(2);
// the type says which there are, and `catga` refuses others
const transport = driver as CatgaOptions["transport"];
const Ticked = event<number>("Ticked");
const Tick = command<number, boolean>("Tick");
const given = how === "given" ? await (await loadDriver(transport)).connect({ servers: url }) : undefined;
await using app = await catga({
  nats: given ?? url,
  id: "publisher",
  transport,
  handlers: Tick.handle(async (n, ctx) => {
    await setImmediate();
    return (await ctx.publish(Ticked, n)).ok;
  }),
});
let ok = 0;
let drained: Promise<void> | undefined;
if (how === "handlers") {
  const ticks = Array.from({ length: 500 }, (_, n) => app.send(Tick, n));
  drained = app.drain();
  for (const result of await Promise.all(ticks)) if (result.value === true) ok++;
} else {
  for (let n = 0; n < 500; n++) {
    if ((await app.publish(Ticked, n)).ok) ok++;
    if (how === "turns") await setImmediate();
  }
}
writeSync(1, `${JSON.stringify({ ok } satisfies PublisherLine)}\n`);
if (how === "exit") process.exit();
if (how !== "using") await (drained ?? app.drain());
if (how !== "using" && how !== "drain") process.exit();
