/**
 * A program that only opens a NATS connection, or, told to `catga`, becomes a node with one handler; and then waits. It
 * does not listen to the bench, for that would take memory, too: it ends after a minute.
 */
import process from "node:process";
import { MARK } from "./mark.ts";

const [what, url, transport] = process.argv.slice(2);
if (what === "catga") {
  const { catga, query } = await import("../../mod.ts");
  const Ping = query<void, boolean>("Ping");
  const named = transport === "deno" ? "deno" : "node";
  await catga({ nats: url, namespace: "idle", transport: named, handlers: Ping.handle(() => true) });
} else if (what === "nats") {
  const { connect } = transport === "deno"
    ? await import("@nats-io/transport-deno")
    : await import("@nats-io/transport-node");
  await connect({ servers: url });
}
setTimeout(() => process.exit(0), 60_000);
console.log(`${MARK}{"value":"ready"}`);
