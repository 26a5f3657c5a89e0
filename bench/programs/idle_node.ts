/** A program that becomes a node with one handler, and waits as `idle.ts` does. */
import process from "node:process";
import { catga, query } from "../../mod.ts";
import { MARK } from "./mark.ts";

const [url, transport] = process.argv.slice(2);
const Ping = query<void, boolean>("Ping");
const named = transport === "deno" ? "deno" : "node";
await catga({ nats: url, namespace: "idle", transport: named, handlers: Ping.handle(() => true) });
setTimeout(() => process.exit(0), 60_000);
console.log(`${MARK}{"value":"ready"}`);
