/**
 * The five paths of `walks.ts`, which copies this file into a tree whose functions tell that they are called.
 *
 * @module
 */
import process from "node:process";
import { catga, command, event, workflow } from "../mod.ts";
import { edge } from "../src/http/mod.ts";
import { MemoryNetwork } from "../src/testing/mod.ts";

/** Rooms that a path leaves out: the ports and what implements them, and functions of values. */
const LEFT_OUT = /^(memory|nats|data|ports|contract)\//;
const QUIET = { debug() {}, info() {}, warn() {}, error() {} };
/** Number of times that a path is taken before it is counted: what is loaded or made once is not its own. */
const BEFORE = 3;

const Add = command<{ a: number; b: number }, number>("Add");
const Placed = event<{ n: number }>("Placed", { durable: true, key: ({ n }) => `${n}` });
const Counting = workflow<{ x: number }, number>("Counting");

let entered: string[] | undefined;
(globalThis as { __entered?: (file: string) => void }).__entered = (file) => void entered?.push(file);

/** Returns the files that were entered since the recording began. */
function recorded(): readonly string[] {
  const files = entered ?? [];
  entered = undefined;
  return files;
}

function print(title: string, all: readonly string[]): void {
  const shown = all.filter((file) => !LEFT_OUT.test(file)).filter((file, i, files) => file !== files[i - 1]);
  const counts = new Map<string, number>();
  for (const file of shown) counts.set(file, (counts.get(file) ?? 0) + 1);
  const most = [...counts].sort(([, a], [, b]) => b - a).slice(0, 6).map(([file, count]) => `${file} ${count}`);
  console.log(`${title}: ${counts.size} files, ${shown.length} entries, ${shown.length - counts.size} returns`);
  console.log(`  ${most.join(", ")}`);
  if (process.argv.includes("-v")) console.log(`  ${shown.join(" > ")}`);
}

/** Counts what `path` enters, when it has been taken some times before. */
async function count(title: string, path: (n: number) => Promise<unknown>, quiet = 0): Promise<void> {
  for (let n = 0; n < BEFORE; n++) {
    await path(n);
    await pause(quiet);
  }
  entered = [];
  await path(BEFORE);
  print(title, recorded());
}

const pause = (ms: number) => new Promise<void>((resolve) => void setTimeout(resolve, ms));
const added = Add.handle(({ a, b }) => a + b);

{
  await using app = await catga({ handlers: [added], logger: QUIET });
  await count("a local send", (n) => app.send(Add, { a: 1, b: n }));
  await count("a local send with a header", (n) => app.send(Add, { a: 1, b: n }, { headers: { x: "1" } }));
}
{
  const network = new MemoryNetwork();
  await using _worker = await catga({ network, handlers: [added], logger: QUIET, service: "worker" });
  await using app = await catga({ network, logger: QUIET, service: "client" });
  await count("a send to another node", (n) => app.send(Add, { a: 1, b: n }));
}
{
  let handled = Promise.withResolvers<void>();
  const handlers = [Placed.on(() => handled.resolve())];
  await using app = await catga({ network: new MemoryNetwork(), handlers, logger: QUIET, service: "shop" });
  const publish = async (n: number) => {
    handled = Promise.withResolvers();
    const published = app.publish(Placed, { n });
    await handled.promise;
    await published;
  };
  await count("a durable event, until it is handled", publish, 1_500);
}
{
  let step: readonly string[] = [];
  const counting = Counting.handle(async (flow, { x }) => {
    await flow.step("first", () => 1);
    entered = [];
    const value = await flow.step("second", () => x + 1);
    step = recorded();
    return value;
  });
  await using app = await catga({ network: new MemoryNetwork(), handlers: [counting], logger: QUIET, service: "shop" });
  for (let n = 0; n <= BEFORE; n++) {
    await app.start(Counting, { x: n }, { id: `run-${n}` });
    await app.result(Counting, `run-${n}`);
    await pause(500);
  }
  print("a step of a workflow", step);
}
{
  await using app = await catga({ handlers: [added], logger: QUIET });
  const handler = edge({ add: Add }).handler(app, { authorize: () => "ann", identify: (user: string) => user });
  const body = JSON.stringify({ a: 1, b: 2 });
  const headers = { "content-type": "application/json" };
  await count(
    "a call over HTTP",
    () => handler(new Request("http://localhost/add", { method: "POST", body, headers })),
  );
}
