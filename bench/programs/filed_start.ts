/** A program that starts on a file, the path of which is given, or in memory, and then waits: what the start takes. */
import { performance } from "node:perf_hooks";
import process from "node:process";
import { catga, event, query } from "../../mod.ts";
import { answer } from "./answer.ts";

const [path = ""] = process.argv.slice(2);
const Happened = event<number>("Happened", { durable: true });
const handlers = [Happened.on(() => {}), query<void, boolean>("Ping").handle(() => true)];
const start = performance.now();
const processor = process.cpuUsage();
await catga(path === "" ? { handlers } : { handlers, file: path });
const took = performance.now() - start;
const { user, system } = process.cpuUsage(processor);

answer({ start: () => ({ ms: took, processor: (user + system) / 1_000 }) });
