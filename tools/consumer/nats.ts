/**
 * Two nodes on one nats-server, run on the published package: one handles, the other sends.
 *
 *   … nats.ts nats://127.0.0.1:4222 [deno|node|official]
 */
import process from "node:process";
import { catga, command } from "@catga/catga";

const [url, transport] = process.argv.slice(2);
const named = transport === "deno" || transport === "node" || transport === "official" ? { transport } as const : {};
const options = { nats: url, ...named };

const Add = command<{ a: number; b: number }, number>("Add");

await using server = await catga({ ...options, service: "sums", handlers: Add.handle(({ a, b }) => a + b) });
await using client = await catga({ ...options, service: "client" });
const result = await client.send(Add, { a: 2, b: 3 });
if (!result.ok || result.value !== 5) throw new Error(`answered ${JSON.stringify(result)}`);
if (client.nodes().length !== 2) throw new Error(`sees ${client.nodes().length} nodes`);
console.log(`over NATS: ${server.self.id} answered ${client.self.id}`);
