/**
 * The processor of a process to `connect()` done, and of one that has loaded `@nats-io/jetstream` as well. The import
 * is computed, so that Deno does not read the package's files when the program starts.
 */
import process from "node:process";
import { connect } from "@nats-io/transport-node";
import { answer } from "./answer.ts";
import { processor } from "./processor.ts";

await connect({ servers: process.argv[2] });
const connected = processor();
const name = "@nats-io/jetstream";
await import(name);
const loaded = processor();
answer({ load: () => ({ package: loaded, own: connected }) });
