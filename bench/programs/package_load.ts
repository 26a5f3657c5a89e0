/**
 * The processor of a process to `connect()` done, and of one that has loaded `@nats-io/jetstream` as well. The import
 * is computed, so that Deno does not read the package's files when the program starts.
 */
import process from "node:process";
import { connect } from "@nats-io/transport-node";
import { answer } from "./answer.ts";

await connect({ servers: process.argv[2] });
const connected = processor();
const name = "@nats-io/jetstream";
await import(name);
const loaded = processor();
answer({ load: () => ({ package: loaded, own: connected }) });

/** Processor of all threads since the start of the process, in ms. */
function processor(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}
