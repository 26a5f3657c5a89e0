/**
 * A node in a process of its own, for tests.
 *
 *   … scripts/test_node.ts <nats url> <id> ['<options as JSON>']
 *
 * Prints a line of JSON when it is ready, one for each change that it sees in the cluster, and one when it has stopped.
 * Appends every run to `<folder>/<id>.runs` before it answers, and what its load got acknowledged to `<folder>/<id>.acks`.
 *
 * @module
 */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { catga, type CatgaOptions, type NodeInfo } from "@catga/catga";
import { MixedLoad } from "./mixed_load.ts";
import { Add, Hang, Note, Record, type Runtime, Slow, StartLoad, StopLoad, Told, Who } from "./node_messages.ts";

/** The options of a test node. */
export interface NodeOptions extends Pick<CatgaOptions, "namespace" | "service" | "heartbeat" | "signals" | "timeout"> {
  /** Where it writes down what it ran; nowhere. */
  readonly folder?: string;
}

/** A node, and the process behind it. */
export type Seen = Pick<NodeInfo, "id" | "endpoint">;

/** A line that a test node prints; `at` is in ms since 1970. */
export type NodeLine =
  /** It is a node and sees these; `took` ms from the call of `catga` on. */
  | { readonly event: "ready"; readonly at: number; readonly took: number; readonly self: Seen; readonly nodes: Seen[] }
  | { readonly event: "join" | "update" | "leave"; readonly at: number; readonly node: Seen }
  | { readonly event: "closed"; readonly at: number; readonly error?: string };

const CRASHED = 70; // the exit code that a test takes for an error that nobody handled

process.on("unhandledRejection", (error) => crash("unhandled rejection", error));
process.on("uncaughtException", (error) => crash("uncaught exception", error));

const [url, id, text = "{}"] = process.argv.slice(2);
const { folder, ...options } = JSON.parse(text) as NodeOptions;
const runtime: Runtime = "Bun" in globalThis ? "bun" : "deno";

let load: MixedLoad | undefined;
const handlers = [
  Who.handle(() => ({ id, runtime })),
  Add.handle(({ a, b }) => a + b),
  Record.handle(({ entry }) => ran("Record", entry)),
  Slow.handle(async ({ entry, ms }, { signal }) => {
    ran("Slow", entry);
    await wait(ms, undefined, { signal });
    return id;
  }),
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
const app = await catga({ ...options, nats: url, id, handlers });
const took = performance.now() - began;
const changes = app.watchNodes();
tell({ event: "ready", at: Date.now(), took, self: seen(app.self), nodes: app.nodes().map(seen) });
app.closed.then(
  () => tell({ event: "closed", at: Date.now() }),
  (error) => tell({ event: "closed", at: Date.now(), error: `${error.code}: ${error.message}` }),
);
for await (const { type, node } of changes) tell({ event: type, at: Date.now(), node: seen(node) });

/** Writes down what runs, before anything is answered. */
function ran(name: string, entry: string): string {
  if (folder !== undefined) appendFileSync(join(folder, `${id}.runs`), `${name} ${entry} ${id}\n`);
  return id;
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
