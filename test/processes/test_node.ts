/**
 * A node in a process of its own, for tests.
 *
 *   … test/processes/test_node.ts <nats url>[,<nats url>…] <id> ['<options as JSON>']
 *
 * Of several servers it takes the first that is there.
 *
 * Prints a line of JSON when it is ready, one for each change that it sees in the cluster, and one when it has stopped.
 * Appends every run to `<folder>/<id>.runs` before it answers, and what its load got acknowledged to
 * `<folder>/<id>.acks`.
 *
 * @module
 */
import { getEventListeners } from "node:events";
import { openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { catga, type CatgaOptions, type NodeInfo } from "@catga/catga";
import { block } from "../support/block.ts";
import { collectGarbage } from "../support/garbage.ts";
import { MixedLoad } from "./mixed_load.ts";
import {
  Add,
  Burn,
  Flood,
  type FloodReport,
  Hang,
  Inspect,
  Note,
  Read,
  Record,
  type Runtime,
  Slow,
  Spoil,
  StartLoad,
  StopLoad,
  Told,
  Who,
} from "./node_messages.ts";
import { type Plant, PLANTED } from "./plants.ts";
import { type Skew, skewClock, trueNow } from "./skewed_clock.ts";

/** The options of a test node. */
export interface NodeOptions
  extends
    Pick<CatgaOptions, "namespace" | "service" | "heartbeat" | "signals" | "timeout" | "replicas" | "concurrency"> {
  /** Where it writes its runs; nowhere. */
  readonly folder?: string;
  /** A planted bug, which a test has to find; none. */
  readonly plant?: Plant;
  /** How wrong its wall clock is; not at all. What it prints has the right time. */
  readonly skew?: Skew;
}

/** A node, and the process behind it. */
export type Seen = Pick<NodeInfo, "id" | "endpoint">;

/** A line that a test node prints; `at` is in ms since 1970. */
export type NodeLine =
  /** It is a node and sees these; `took` ms from the call of `catga` on. */
  | { readonly event: "ready"; readonly at: number; readonly took: number; readonly self: Seen; readonly nodes: Seen[] }
  | { readonly event: "join" | "update" | "leave"; readonly at: number; readonly node: Seen }
  | { readonly event: "closed"; readonly at: number; readonly error?: string };

const CRASHED = 70; // the exit code for an unhandled error

process.on("unhandledRejection", (error) => crash("unhandled rejection", error));
process.on("uncaughtException", (error) => crash("uncaught exception", error));

const WARM_UP = 50_000; // messages that a flood does not count: what stays for ever is allocated then

const [urls, id, text = "{}"] = process.argv.slice(2);
const { folder, plant, skew = {}, ...options } = JSON.parse(text) as NodeOptions;
skewClock(skew);
const file = folder === undefined ? undefined : openSync(join(folder, `${id}.runs`), "a");
const runtime: Runtime = "Bun" in globalThis ? "bun" : "deno";

let load: MixedLoad | undefined;
let runs = 0;
const leaked: unknown[] = [];
let peak = 0;
setInterval(() => peak = Math.max(peak, process.memoryUsage.rss()), 50).unref();
const handlers = [
  Who.handle(() => ({ id, runtime })),
  Add.handle(({ a, b }) => a + b),
  Record.handle(({ entry }) => ran("Record", entry)),
  Slow.handle(async ({ entry, ms }, { signal }) => {
    ran("Slow", entry);
    await pause(ms, signal);
    return id;
  }),
  Read.handle(async ({ entry, ms = 0 }, { signal }) => {
    ran("Read", entry);
    if (ms > 0) await pause(ms, signal);
    return id;
  }),
  Burn.handle(({ entry, ms }) => {
    ran("Burn", entry);
    block(ms);
    return id;
  }),
  Spoil.handle(({ entry, how }) => {
    ran("Spoil", entry);
    if (how === "throw") throw new Error("as it was told to");
    if (how === "function") return () => 1;
    if (how === "too large") return "x".repeat(2_000_000);
    const answer: Record<string, unknown> = {};
    return answer.itself = answer;
  }),
  Inspect.handle(() => {
    const held = { heap: heap(), peak };
    peak = 0;
    return held;
  }),
  Flood.handle(({ to, count }) => flood(to, count)),
  Hang.handle(({ entry }, { signal }) => {
    ran("Hang", entry);
    return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  }),
  Note.handle(({ entry }) => ran("Note", entry)),
  Told.on(({ entry }) => ran("Told", entry)),
  StartLoad.handle(() => {
    load = new MixedLoad(app, { acknowledged: join(folder ?? ".", `${id}.acks`) });
    load.start();
    return id;
  }),
  StopLoad.handle(() => load!.stop()),
];

const began = performance.now();
const nats = urls.includes(",") ? { servers: urls.split(","), noRandomize: true } : urls;
const app = await catga({ ...options, nats, id, handlers });
const took = performance.now() - began;
const changes = app.watchNodes();
tell({ event: "ready", at: trueNow(), took, self: seen(app.self), nodes: app.nodes().map(seen) });
app.closed.then(
  () => tell({ event: "closed", at: trueNow() }),
  (error) => tell({ event: "closed", at: trueNow(), error: `${error.code}: ${error.message}` }),
);
for await (const { type, node } of changes) tell({ event: type, at: trueNow(), node: seen(node) });

/** Writes down what runs, before anything is answered. */
function ran(name: string, entry: string): string {
  const strikes = plant !== undefined && ++runs % PLANTED === 0;
  if (plant === "leak") leaked.push(new Array(128).fill(runs));
  if (file === undefined || (strikes && plant === "lost-acknowledgement")) return id;
  const line = `${name} ${entry} ${id}\n`;
  writeSync(file, strikes && plant === "double-run" ? line + line : line);
  return id;
}

/** Resolves after `ms`, or when the signal aborts. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return wait(ms, undefined, { signal }).catch((error) => {
    if (!signal.aborted) throw error;
  });
}

/** Bytes on the heap, after a garbage collection. */
function heap(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

async function flood(to: string, count: number): Promise<FloodReport> {
  const { signal } = new AbortController();
  const growth: number[] = [];
  let failures = 0;
  let sent = 0;
  let first = 0;
  for (let quarter = 0; quarter <= 4; quarter++) {
    const until = quarter * count / 4 + WARM_UP;
    const senders = Array.from({ length: 1_024 }, async () => {
      while (sent < until) {
        const { value } = await app.send(Add, { a: ++sent, b: 1 }, { node: to, signal, timeout: 60_000 });
        if (value === undefined) failures++;
        if (plant === "leak") leaked.push(new Array(4).fill(value));
      }
    });
    await Promise.all(senders);
    if (quarter === 0) first = heap();
    else growth.push(heap() - first);
  }
  return { failures, growth, listeners: getEventListeners(signal, "abort").length };
}

function seen({ id, endpoint }: NodeInfo): Seen {
  return { id, endpoint };
}

function tell(line: NodeLine): void {
  console.log(JSON.stringify(line));
}

function crash(what: string, error: unknown): void {
  console.error(what, error);
  process.exit(CRASHED);
}
