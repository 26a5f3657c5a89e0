/** Tests of what travels with a request from node to node: its deadline, its cancellation, its ids and headers. */
import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import type { Context } from "../../contract/calls/context.ts";
import { command, query } from "../../contract/declaration/definition.ts";
import { MemoryCluster } from "../../../test/support/memory_cluster.ts";

const First = query<void, unknown>("First");
const Second = query<void, unknown>("Second");
const Third = command<void, unknown>("Third");

/** Starts four nodes, whose handlers send on: `client` → `a` → `b` → `c`. */
async function chain() {
  const cluster = new MemoryCluster();
  const seen: Record<string, Context> = {};
  const note = (ctx: Context) => void (seen[ctx.node] = ctx);
  const inner: Promise<unknown>[] = [];
  const pause = (ms: number) => new Promise<void>((resolve) => cluster.clock.after(ms, resolve));
  await cluster.start("a", {
    handlers: First.handle(async (_, ctx) => {
      note(ctx);
      await pause(100);
      const result = ctx.send(Second, undefined, { headers: { own: "2" } });
      inner.push(result);
      return (await result).error?.code;
    }),
  });
  await cluster.start("b", {
    handlers: Second.handle(async (_, ctx) => {
      note(ctx);
      await pause(100);
      const result = ctx.send(Third, undefined, { timeout: 60_000 });
      inner.push(result);
      return (await result).error?.code;
    }),
  });
  await cluster.start("c", {
    handlers: Third.handle((_, ctx) => {
      note(ctx);
      return new Promise((_, reject) => ctx.signal.addEventListener("abort", () => reject(ctx.signal.reason)));
    }),
  });
  return { cluster, seen, inner, client: await cluster.start("client", { handlers: [] }), clock: cluster.clock };
}

describe("a request from node to node", () => {
  it("stops at the last node when it is cancelled at the first", async () => {
    const { cluster, seen, client, clock } = await chain();
    await using _ = cluster;
    const stop = new AbortController();
    const sent = client.send(First, undefined, { signal: stop.signal });
    await clock.advance(300);
    assertEquals(Object.keys(seen), ["a", "b", "c"]);
    stop.abort();
    await clock.advance(0);
    assertEquals((await sent).error?.code, "CANCELLED");
    for (const ctx of Object.values(seen)) assertEquals((ctx.signal.reason as { code: string }).code, "CANCELLED");
    assertEquals([...cluster.apps.values()].map((app) => app.self.load), new Array(4).fill({ inFlight: 0, queued: 0 }));
  });

  it("has less and less time, whatever timeout a handler sets", async () => {
    const { cluster, seen, client, clock } = await chain();
    await using _ = cluster;
    const began = clock.now();
    const sent = client.send(First, undefined, { timeout: 1_000 });
    await clock.advance(300);
    const [a, b, c] = ["a", "b", "c"].map((id) => seen[id].deadline - began);
    assert(c <= b && b <= a && a <= 1_000 && c > 950, `${a} ${b} ${c}`);
    await clock.advance(1_000);
    await sent;
    assertEquals((seen.c.signal.reason as { code: string }).code, "TIMEOUT");
  });

  it("keeps correlation and trace, and has its cause; other headers are not passed on", async () => {
    const { cluster, seen, client, clock } = await chain();
    await using _ = cluster;
    const stop = new AbortController();
    const headers = { traceparent: "00-1", own: "1" };
    const sent = client.send(First, undefined, { id: "order-7", headers, signal: stop.signal });
    await clock.advance(300);
    const { a, b, c } = seen;
    assertEquals([a, b, c].map(({ correlationId }) => correlationId), ["order-7", "order-7", "order-7"]);
    assertEquals([a, b, c].map(({ causationId }) => causationId), [undefined, "order-7", b.id]);
    assertEquals([a, b, c].map(({ headers }) => ({ ...headers })), [
      { traceparent: "00-1", own: "1" },
      { traceparent: "00-1", own: "2" },
      { traceparent: "00-1" },
    ]);
    assertEquals(new Set([a.id, b.id, c.id]).size, 3);
    stop.abort();
    await sent;
    await clock.advance(0);
  });
});
