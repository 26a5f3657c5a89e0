/**
 * A program that only opens a NATS connection, or, `by-hand`, does over the modules of nats.js what a node cannot do
 * without, or, `import`, only imports Catga from the address in place of a server's; and then waits. It does not listen
 * to the bench, for that would take memory, too: it ends after three minutes.
 *
 * Its imports are computed: Deno reads the files behind a literal `import()` when a program starts, so that each of
 * these programs would pay for all of them.
 */
import process from "node:process";
import type { connect as Connect } from "@nats-io/transport-node";
import type { Kvm as Kv, KvOptions } from "@nats-io/kv";
import { MARK } from "./mark.ts";

const [what, url, transport] = process.argv.slice(2);
if (what === "nats") {
  const { connect } = await load<{ connect: typeof Connect }>(`transport-${transport}`);
  await connect({ servers: url });
} else if (what === "import") {
  await import(url);
} else if (what === "by-hand") {
  const [{ connect }, { Kvm }] = await Promise.all([
    load<{ connect: typeof Connect }>(`transport-${transport}`),
    load<{ Kvm: typeof Kv }>("kv"),
  ]);
  const connection = await connect({ servers: url });
  const options: Partial<KvOptions> = { markerTTL: 1_000 };
  const bucket = await new Kvm(connection).create("by-hand-nodes", options);
  connection.subscribe(`by-hand.node.${process.pid}`, { callback: () => {} });
  const [records] = await Promise.all([
    bucket.watch(),
    bucket.create(`node-${process.pid}`, "x".repeat(400), "3s"),
  ]);
  // the first change ends the listing of what others wrote
  for await (const _ of records) break;
}
setTimeout(() => process.exit(0), 180_000);
console.log(`${MARK}{"value":"ready"}`);

/** A package of nats.js by its name. */
async function load<Module>(name: string): Promise<Module> {
  return await import(`@nats-io/${name}`) as Module;
}
