/**
 * A process that reads ten streams, for tests.
 *
 *   … test/processes/stream_reader.ts <nats url>
 *
 * Prints a line when it has an item of each.
 *
 * @module
 */
import process from "node:process";
import { catga } from "@catga/catga";
import { Numbers } from "./stream_node.ts";

const app = await catga({ nats: process.argv[2], id: "other" });
const all = Array.from({ length: 10 }, () => app.stream(Numbers, { from: 1, to: 1e9, ms: 1 }));
await Promise.all(all.map((items) => items.next()));
console.log(JSON.stringify({ ready: true }));
for (const items of all) {
  (async () => {
    for await (const _ of items);
  })();
}
