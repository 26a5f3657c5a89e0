/**
 * A node that answers what `test/support/payload_ways.ts` sends, prints `{"event":"up"}`, and ends on SIGTERM.
 *
 *   deno run -A test/processes/payload_node.ts URL
 */
import process from "node:process";
import { catga } from "../../mod.ts";
import { answering } from "../support/payload_ways.ts";

const app = await catga({ nats: process.argv[2], id: "other", service: "other", handlers: answering(), signals: true });
console.log(JSON.stringify({ event: "up", endpoint: app.self.endpoint }));
