/**
 * Tests of deadlocks of admission: a message could get a place at its handler only after the end of a run that waits
 * for this message. It fails with DEADLOCK; other messages never do.
 */
import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import type { Context } from "../contract/calls/context.ts";
import { command, query } from "../contract/declaration/definition.ts";
import type { Result } from "../contract/calls/result.ts";
import { localApp } from "../../test/support/local_app.ts";
import { MemoryCluster } from "../../test/support/memory_cluster.ts";

const Self = command<number, string>("Self", { timeout: 10_000 });
const Other = command<number, string>("Other");
const Keyed = command<{ key: string; depth: number }, string>("Keyed", { ordered: true, key: ({ key }) => key });

/** Returns the value of the result of an inner send, or the code of its error. */
function said(result: Result<string>): string {
  return result.ok ? result.value : result.error.code;
}

describe("a send in one process to a handler that is waiting for it", () => {
  it("at concurrency 1 is DEADLOCK 100 ms later, does not run, and leaves nothing behind", async () => {
    let runs = 0;
    const handle = async (depth: number, ctx: Context) => {
      runs++;
      return depth === 0 ? "ran" : said(await ctx.send(Self, depth - 1));
    };
    const { app, clock, inside } = localApp({ handlers: Self.handle(handle, { concurrency: 1 }) });
    const sent = app.send(Self, 1);
    assertEquals(await clock.until(sent, 150), { ok: true, value: "DEADLOCK" });
    assertEquals([runs, inside.underWay.count, inside.wheel.size], [1, 0, 0]);
    assertEquals(await app.send(Self, 0), { ok: true, value: "ran" });
  });

  it("names the contract, says that it did not run, and is not retryable", async () => {
    let inner: Result<string> | undefined;
    const handle = async (depth: number, ctx: Context) => {
      inner = await ctx.send(Self, depth - 1);
      return "";
    };
    const { app, clock } = localApp({ handlers: Self.handle(handle, { concurrency: 1 }) });
    await clock.until(app.send(Self, 1), 150);
    const error = inner?.error;
    assertEquals([error?.code, error?.retryable, error?.node], ["DEADLOCK", false, "here"]);
    assert(error?.message.startsWith("command Self did not run on node here: "), error?.message);
  });

  it("through another handler is DEADLOCK, too", async () => {
    const handlers = [
      Self.handle(async (depth, ctx) => depth === 0 ? "ran" : said(await ctx.send(Other, depth)), { concurrency: 1 }),
      Other.handle(async (depth, ctx) => said(await ctx.send(Self, depth - 1))),
    ];
    const { app, clock } = localApp({ handlers });
    assertEquals((await clock.until(app.send(Self, 1), 150)).value, "DEADLOCK");
  });

  it("of the same ordered key is DEADLOCK; of another key it runs", async () => {
    const handlers = Keyed.handle(async ({ key, depth }, ctx) => {
      if (depth === 0) return "ran";
      const [same, next] = await Promise.all([
        ctx.send(Keyed, { key, depth: depth - 1 }),
        ctx.send(Keyed, { key: `${key}'`, depth: 0 }),
      ]);
      return `${said(same)} ${said(next)}`;
    });
    const { app, clock } = localApp({ handlers });
    assertEquals((await clock.until(app.send(Keyed, { key: "a", depth: 1 }), 150)).value, "DEADLOCK ran");
  });

  it("at concurrency 2 is DEADLOCK only if both runs wait for it", async () => {
    const handle = async (depth: number, ctx: Context) => depth === 0 ? "ran" : said(await ctx.send(Self, depth - 1));
    const { app, clock } = localApp({ handlers: Self.handle(handle, { concurrency: 2 }) });
    assertEquals((await clock.until(app.send(Self, 1), 150)).value, "ran");
    assertEquals((await clock.until(app.send(Self, 2), 150)).value, "DEADLOCK");
  });

  it("waits while a run that does not wait for it holds a place, however long that takes", async () => {
    const handle = async (depth: number, ctx: Context) => {
      if (depth === 0) await new Promise<void>((resolve) => clock.after(1_000, resolve));
      return depth === 0 ? "ran" : said(await ctx.send(Self, depth - 1));
    };
    const { app, clock } = localApp({ handlers: Self.handle(handle, { concurrency: 2 }) });
    const all = [app.send(Self, 0), app.send(Self, 1), app.send(Self, 0)];
    assertEquals((await clock.until(Promise.all(all), 4_000)).map(({ value }) => value), ["ran", "ran", "ran"]);
  });

  it("that is not awaited runs when the handler has ended", async () => {
    const ran: number[] = [];
    const handle = async (depth: number, ctx: Context) => {
      ran.push(depth);
      if (depth > 0) ctx.send(Self, depth - 1);
      await new Promise<void>((resolve) => clock.after(50, resolve));
      return "";
    };
    const { app, clock } = localApp({ handlers: Self.handle(handle, { concurrency: 1 }) });
    app.send(Self, 2);
    await clock.advance(1_000);
    assertEquals(ran, [2, 1, 0]);
  });
});

describe("a send over the wire to a node whose places are held by runs that wait for it", () => {
  /**
   * Starts a cluster in which the node `shop` handles Self, the node `mid` handles Other, and each handler sends to the
   * other.
   */
  async function chain(concurrency: number | undefined, app?: { concurrency?: number }) {
    const cluster = new MemoryCluster();
    let runs = 0;
    const self = Self.handle(async (depth, ctx) => {
      runs++;
      return depth === 0 ? "ran" : said(await ctx.send(Other, depth));
    }, concurrency === undefined ? {} : { concurrency });
    const other = Other.handle(async (depth, ctx) => said(await ctx.send(Self, depth - 1)));
    const start = (id: string) => cluster.start(id, { handlers: self, ...app });
    await start("shop");
    await cluster.start("mid", { handlers: other });
    const client = await cluster.start("client", { handlers: [] });
    return { cluster, client, start, runs: () => runs };
  }

  it("is DEADLOCK at the sender for the concurrency of a handler", async () => {
    const { cluster, client, runs } = await chain(1);
    assertEquals((await cluster.clock.until(client.send(Self, 1), 300)).value, "DEADLOCK");
    assertEquals(runs(), 1);
    await cluster[Symbol.asyncDispose]();
  });

  it("is DEADLOCK at the sender for the concurrency of the node", async () => {
    const { cluster, client, runs } = await chain(undefined, { concurrency: 1 });
    assertEquals((await cluster.clock.until(client.send(Self, 1), 300)).value, "DEADLOCK");
    assertEquals(runs(), 1);
    await cluster[Symbol.asyncDispose]();
  });

  it("goes to another node while one has a free place", async () => {
    const { cluster, client, start } = await chain(1);
    await start("second");
    for (let i = 0; i < 8; i++) {
      assertEquals((await cluster.clock.until(client.send(Self, 1), 300)).value, "ran");
    }
    await cluster[Symbol.asyncDispose]();
  });

  it("of an ordered key is DEADLOCK, and never runs on another node beside the run that holds the key", async () => {
    await using cluster = new MemoryCluster();
    const Relay = query<{ key: string }, string>("Relay");
    const keyed = Keyed.handle(async ({ key, depth }, ctx) =>
      depth === 0 ? "ran" : said(await ctx.send(Relay, { key }))
    );
    const relay = Relay.handle(async ({ key }, ctx) => said(await ctx.send(Keyed, { key, depth: 0 })));
    for (const id of ["a", "b"]) await cluster.start(id, { handlers: keyed });
    await cluster.start("mid", { handlers: relay });
    const client = await cluster.start("client", { handlers: [] });
    const sent = client.send(Keyed, { key: "k", depth: 1 });
    assertEquals((await cluster.clock.until(sent, 300)).value, "DEADLOCK");
  });
});
