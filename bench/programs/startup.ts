/** How long it takes to become a node, in a process in which others did before: ms for each step. */
import process from "node:process";
import { performance } from "node:perf_hooks";
import { catga, query } from "../../mod.ts";
import { answer } from "./answer.ts";

const [url, named, raw] = process.argv.slice(2);
const transport = named === "deno" ? "deno" : "node";
const { connect } = raw === "deno" ? await import("@nats-io/transport-deno") : await import("@nats-io/transport-node");
const Ping = query<void, boolean>("Ping");
const sender = await catga({ nats: url, namespace: "startup", service: "sender", transport });

answer({
  async connect() {
    const start = performance.now();
    const connection = await connect({ servers: url });
    const ms = performance.now() - start;
    await connection.close();
    return ms;
  },
  async join() {
    const start = performance.now();
    await using app = await catga({ nats: url, namespace: "startup", transport, handlers: Ping.handle(() => true) });
    const joined = performance.now();
    const { ok } = await sender.send(Ping, undefined, { node: app.self.id });
    if (!ok) throw new Error("the new node did not answer");
    return { joined: joined - start, answered: performance.now() - start };
  },
});
