/**
 * A program that becomes a node, and waits as `idle.ts` does. Told so, it has so many contracts instead of one, and a
 * namespace of its own.
 */
import process from "node:process";
import { catga, query } from "../../mod.ts";
import { MARK } from "./mark.ts";

const [url, transport, contracts = "1", namespace = "idle"] = process.argv.slice(2);
const handlers = Array.from(
  { length: Number(contracts) },
  (_, at) => query<void, boolean>(`Ping${at}`).handle(() => true),
);
await catga({ nats: url, namespace, transport: transport === "deno" ? "deno" : "node", handlers });
setTimeout(() => process.exit(0), 180_000);
console.log(`${MARK}{"value":"ready"}`);
