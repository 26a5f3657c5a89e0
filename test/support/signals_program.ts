/**
 * A program whose apps listen to signals, for `signals_test.ts`. Its argument: `one` app, `two` and more apps of which
 * only the last has something to do, `own` for one app beside a listener of the program's own, `late` for a second app
 * that starts while the first drains, `drained` for one that has drained, or `starting` for one that others know and
 * whose start does not end. The handler that is under way ends when something comes in on stdin.
 */
import process from "node:process";
import { catga } from "../../src/catga.ts";
import { event, query } from "../../src/contract/declaration/definition.ts";
import { MemoryNetwork } from "../../src/memory/network.ts";

const Work = query<void, string>("Work");
const mode = process.argv[2];

if (mode === "starting") await starting();
if (mode === "own") process.on("SIGTERM", () => console.log("own listener"));
if (mode === "two") { for (let n = 0; n < 12; n++) await catga({ signals: true }); }
if (process.listenerCount("SIGTERM") > 2) console.log("a listener for each app");
const app = await catga({
  signals: true,
  handlers: Work.handle(async () => {
    console.log("working");
    await new Promise<void>((resolve) => process.stdin.once("data", () => resolve()));
    return "done";
  }),
});
app.closed.then(() => {
  console.log("closed");
  process.stdin.destroy();
});
if (mode === "drained") {
  await app.drain();
  // Deno drops a signal that arrives while its last listener is removed
  while (process.listenerCount("SIGTERM") > 0) await new Promise<void>((resolve) => setTimeout(resolve, 1));
  console.log("drained");
  setTimeout(() => {}, 60_000);
} else {
  if (mode === "late") void startLate();
  console.log((await app.send(Work)).value);
}

async function startLate(): Promise<void> {
  while (app.health().status !== "draining") await new Promise<void>((resolve) => setTimeout(resolve, 1));
  const late = await catga({ signals: true });
  late.closed.then(() => console.log("late closed"));
  console.log("late");
}

/** Never resolves. */
async function starting(): Promise<never> {
  const network = new MemoryNetwork();
  const other = await catga({ network });
  const held = { open: () => new Promise<never>(() => {}) };
  const connect = (options: object) => Object.assign(network.connect(options), { log: held });
  const handlers = event("Stored", { durable: true }).on(() => {});
  const started = catga({ signals: true, network: { connect } as unknown as MemoryNetwork, handlers });
  started.then(() => console.log("started"), (error) => console.log(error.message));
  for await (const { type } of other.watchNodes()) console.log(type);
  return await new Promise<never>(() => {});
}
