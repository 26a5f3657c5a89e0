/**
 * Where the time of a start goes, in a fresh process: ms for each step that `catga()` consists of, one after the other;
 * or, told `whole`, for the import of Catga and for `catga()`.
 */
import process from "node:process";
import { performance } from "node:perf_hooks";

const [what, url, transport] = process.argv.slice(2);
const named = transport === "deno" ? "deno" : "node";
const steps: Record<string, number> = {};
let begun = performance.now();

/** Notes that a step has ended. */
function done(step: string): void {
  const now = performance.now();
  steps[step] = now - begun;
  begun = performance.now();
}

const { catga, query } = await import("../../mod.ts");
const Ping = query<void, boolean>("Ping");
done("mod");

if (what === "whole") {
  await catga({ nats: url, namespace: "startup-steps", transport: named, handlers: Ping.handle(() => true) });
  done("catga");
} else {
  const { loadDriver } = await import("../../src/nats/connection/driver.ts");
  await loadDriver(named);
  done("nats");
  const { openNats } = await import("../../src/nats/open.ts");
  await Promise.all([
    import("../../src/nats/connection/connection.ts"),
    import("../../src/nats/connection/transport.ts"),
    import("../../src/nats/bucket/key_value_store.ts"),
    import("../../src/cluster/cluster.ts"),
  ]);
  done("ours");
  const silent = () => {};
  const { store } = await openNats(url, {
    name: "steps",
    transport: named,
    onError: silent,
    onForbidden: silent,
    onNotice: silent,
  });
  done("connect");
  const bucket = await store.open("catga_startup-steps_nodes", { replicas: 1 });
  done("bucket");
  const id = `steps-${process.pid}`;
  await Promise.all([
    bucket.create(id, "x".repeat(400), { ttl: 3_000 }),
    bucket.watch("", silent, { signal: new AbortController().signal }),
  ]);
  done("join");
}

// not before: what it loads would be missing above
const { answer } = await import("./answer.ts");
answer({ steps: () => steps });
