/**
 * Measures a start on a large file: one with events, waiting runs and recorded results of ids is made by a process,
 * which is killed; others are started on it, on an empty file, and in memory: how long `catga()` takes, how long the
 * event loop stands in the first 3 s, and the memory then.
 * `deno run -A bench/file_size.ts [events] [runs] [ids]`, or with `bun`; by default 1,000,000, 100,000 and 100,000,
 * which takes minutes.
 */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";
import { catga, command, event, unwrap, workflow } from "../mod.ts";

const Stored = event<{ key: string; text: string }>("Stored", { durable: true, key: ({ key }) => key });
const Waiting = workflow<number, number>("Waiting", { id: (n) => `${n}` });
const Once = command<number, number>("Once", { idempotent: true });

let handled = 0;
const handlers = [
  Stored.on(() => void handled++, { name: "reader" }),
  Waiting.handle(async (flow, n) => {
    await flow.step("step", () => n);
    await flow.sleep("a day", 86_400_000);
    return n;
  }),
  Once.handle((n) => n),
];

/** Calls `work` for each number below `count`, at most 256 at once. */
async function many(count: number, work: (i: number) => Promise<unknown>): Promise<number> {
  const began = performance.now();
  let next = 0;
  await Promise.all(Array.from({ length: 256 }, async () => {
    while (next < count) await work(next++);
  }));
  return count / (performance.now() - began);
}

async function make(path: string, [events, runs, ids]: readonly number[]): Promise<void> {
  const app = await catga({ file: path, handlers });
  const rate = (per: number) => `${per.toFixed(1)} k/s`;
  const text = "y".repeat(150);
  const eventRate = await many(events, async (i) => unwrap(await app.publish(Stored, { key: `k${i % 900}`, text })));
  const runRate = await many(runs, async (i) => unwrap(await app.start(Waiting, i)));
  const idRate = await many(ids, async (i) => unwrap(await app.send(Once, i, { id: `id-${i}` })));
  while (handled < events) await wait(100);
  console.log(`made: events ${rate(eventRate)}, runs ${rate(runRate)}, ids ${rate(idRate)}`);
  process.kill(process.pid, "SIGKILL");
}

async function measure(path: string | undefined): Promise<void> {
  let [stood, last] = [0, performance.now()];
  setInterval(() => {
    const now = performance.now();
    stood = Math.max(stood, now - last - 5);
    last = now;
  }, 5);
  const began = performance.now();
  const app = await catga(path === undefined ? { handlers } : { file: path, handlers });
  const took = performance.now() - began;
  await wait(3_000);
  (globalThis as { readonly gc?: () => void }).gc?.();
  const { rss, heapUsed } = process.memoryUsage();
  console.log(JSON.stringify({ took, stood, rss, heapUsed, handled }));
  await app.drain({ timeout: 0 });
  process.exit();
}

interface Measured {
  readonly took: number;
  readonly stood: number;
  readonly rss: number;
  readonly heapUsed: number;
  readonly handled: number;
}

const isDeno = "Deno" in globalThis;
const own = (args: readonly string[]) => [
  ...(isDeno ? ["run", "-A", "--no-check", "--v8-flags=--expose-gc"] : []),
  ...[fileURLToPath(import.meta.url), ...args],
];

/** Starts three processes, and returns the middle of each figure. */
async function measured(path?: string): Promise<Measured> {
  const found: Measured[] = [];
  for (let round = 0; round < 3; round++) {
    const { stdout } = await promisify(execFile)(process.execPath, own(["measure", path ?? ""]));
    found.push(JSON.parse(stdout.trim().split("\n").at(-1)!));
  }
  const middle = (name: keyof Measured) => found.map((one) => one[name]).sort((a, b) => a - b)[1];
  return {
    ...{ took: middle("took"), stood: middle("stood"), rss: middle("rss") },
    ...{ heapUsed: middle("heapUsed"), handled: middle("handled") },
  };
}

async function main(counts: readonly number[]): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "catga-size-"));
  try {
    const path = join(folder, "big.db");
    const maker = spawn(process.execPath, own(["make", path, ...counts.map(String)]), { stdio: "inherit" });
    await once(maker, "exit");
    const { size } = await stat(path);
    const mb = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
    console.log(`file: ${mb(size)}; ${counts.join(", ")} events, waiting runs and ids`);
    const rows = [
      ["in memory", await measured()],
      ["empty file", await measured(join(folder, "empty.db"))],
      ["this file", await measured(path)],
    ] as const;
    const [[, base]] = rows;
    for (const [name, { took, stood, rss, heapUsed, handled }] of rows) {
      console.log(
        `${name.padEnd(11)} catga() ${took.toFixed(0)} ms, the loop stood ${stood.toFixed(0)} ms, memory ${mb(rss)} ` +
          `(${mb(rss - base.rss)} more), heap ${mb(heapUsed)}, handled again ${handled}`,
      );
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const [role = "", path = "", ...counts] = process.argv.slice(2);
if (role === "make") await make(path, counts.map(Number));
else if (role === "measure") await measure(path === "" ? undefined : path);
else {
  const given = process.argv.slice(2).map(Number);
  await main([1_000_000, 100_000, 100_000].map((count, i) => given[i] ?? count));
}
