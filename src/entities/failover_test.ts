import { describe, it } from "node:test";
import { assert, assertEquals, assertGreater, assertLess, assertNotEquals } from "@std/assert";
import { type Behavior, type Catga, CatgaError, command, entity, fail, unwrap } from "../../mod.ts";
import { MemoryCluster } from "../../test/support/memory_cluster.ts";
import { delay } from "../ports/clock.ts";
import { AddItem, Cart, codeOf, handlers, Look } from "./entities_suite.ts";

const Bin = entity("Bin", { initial: () => 0 });
const Filled = Bin.event("Filled", (count) => count + 1);

describe("commands of entities when a node dies", () => {
  it("nodes say which commands are those of entities, and senders route them by their keys", async () => {
    await using cluster = new MemoryCluster();
    const ran: string[] = [];
    const note = (id: string): Behavior => (_, next) => {
      ran.push(id);
      return next();
    };
    for (const id of ["a", "b", "c"]) await cluster.start(id, { handlers, behaviors: [note(id)] });
    const client = await cluster.start("client");
    assertEquals(client.nodes().map(({ entities }) => entities), [
      ["AddItem", "Look", "Pay"],
      ["AddItem", "Look", "Pay"],
      ["AddItem", "Look", "Pay"],
      undefined,
    ]);
    for (let n = 0; n < 12; n++) unwrap(await sent(cluster, client, `c-${n % 3}`));
    for (let n = 0; n < 3; n++) {
      const own = new Set(ran.filter((_, at) => at % 3 === n));
      assertEquals(own.size, 1, `cart c-${n} ran on ${[...own]}`);
    }
  });

  for (const when of ["before it was stored", "after it was stored"] as const) {
    it(`a command whose node dies ${when} is applied once, and its sender gets its result`, async () => {
      await using cluster = new MemoryCluster();
      const held: string[] = [];
      const hold = (id: string): Behavior => async (_, next) => {
        if (held.length > 0) return await next();
        held.push(id);
        if (when === "after it was stored") await next();
        stored.resolve();
        return await new Promise(() => {});
      };
      const stored = Promise.withResolvers<void>();
      for (const id of ["a", "b", "c"]) await cluster.start(id, { handlers, behaviors: [hold(id)] });
      const client = await cluster.start("client");
      const sending = client.send(AddItem, { cartId: "c", sku: "tea" }, { timeout: 20_000 });
      await cluster.clock.until(stored.promise);
      cluster.kill(held[0]);
      assertEquals(unwrap(await cluster.clock.until(sending)), 1);
      const { version, state } = await cluster.clock.until(client.load(Cart, "c", { latest: true }));
      assertEquals([version, state.items], [1, ["tea"]]);
    });
  }

  it("a command whose node dies is applied once, and gets its result, however much was applied since", async () => {
    await using cluster = new MemoryCluster();
    const Fill = command<{ id: string; size: number }, string>("Fill", { key: ({ id }) => id });
    const fill = Bin.handle(Fill, (bin, { size }) => {
      bin.emit(Filled);
      return "x".repeat(size);
    });
    const stored = Promise.withResolvers<string>();
    const hold = (id: string): Behavior => async ({ ctx }, next) => {
      const result = await next();
      if (ctx.id !== "held" || ctx.attempt > 1) return result;
      stored.resolve(id);
      return await new Promise(() => {});
    };
    for (const id of ["a", "b"]) await cluster.start(id, { handlers: fill, behaviors: [hold(id)] });
    const client = await cluster.start("client");
    const sending = client.send(Fill, { id: "b", size: 1 }, { timeout: 20_000, id: "held", retries: 1 });
    const dying = await cluster.clock.until(stored.promise);
    const other = dying === "a" ? "b" : "a";
    for (let n = 0; n < 4; n++) {
      unwrap(await cluster.clock.until(client.send(Fill, { id: "b", size: 100_000 }, { node: other })));
    }
    cluster.kill(dying);
    assertEquals(unwrap(await cluster.clock.until(sending)), "x");
    assertEquals((await cluster.clock.until(client.load(Bin, "b", { latest: true }))).version, 5);
  });

  it("a command that comes again within 2 min, to a node that began with the snapshot, gets its recorded result", async () => {
    await using cluster = new MemoryCluster();
    const { clock } = cluster;
    await cluster.start("a", { handlers });
    const client = await cluster.start("client");
    const send = (n: number, node: string) =>
      clock.until(client.send(AddItem, { cartId: "c", sku: `${n}`, times: 10 }, { id: `a-${n}`, node }));
    for (let n = 0; n < 25; n++) unwrap(await send(n, "a"));
    await clock.advance(110_000);
    await cluster.start("b", { handlers });
    assertEquals(unwrap(await send(3, "b")), 40);
    assertEquals((await clock.until(client.load(Cart, "c", { latest: true }))).version, 250);
  });

  it("commands, loads and forgets wait for the election of the stream's leader within their timeouts, not 5 s", async () => {
    await using cluster = new MemoryCluster();
    const app = await cluster.start("a", { handlers });
    const { clock, network } = cluster;
    const add = (cartId: string, id?: string) => app.send(AddItem, { cartId, sku: "tea" }, { timeout: 30_000, id });
    for (const id of ["warm", "gone", "named"]) unwrap(await clock.until(add(id, `${id}-1`)));
    await clock.advance(2_000);
    network.log.begin("noLeader");
    const sent = [add("warm"), add("cold"), add("named", "named-1")].map(async (sending) => unwrap(await sending));
    const loaded = app.load(Cart, "warm", { latest: true });
    const forgotten = app.forget(Cart, "gone");
    await clock.advance(9_000);
    network.log.end("noLeader");
    assertEquals(await clock.until(Promise.all(sent)), [2, 1, 1]);
    assertEquals((await clock.until(loaded)).state.items[0], "tea");
    await clock.until(forgotten);
  });

  it("a forget waits within its timeout while the snapshots' bucket does not answer, too (it rejected after 5 s)", async () => {
    await using cluster = new MemoryCluster();
    const { clock, network } = cluster;
    const connect = network.connect.bind(network);
    let leads = 0;
    network.connect = (...options) => {
      const connection = connect(...options);
      const { store } = connection;
      const open = async (...of: Parameters<typeof store.open>) => {
        const bucket = await store.open(...of);
        const remove = bucket.delete.bind(bucket);
        bucket.delete = async (...key) => {
          if (of[0] !== "catga_default_snapshots" || clock.monotonic() >= leads) return await remove(...key);
          await delay(clock, 5_000);
          throw new CatgaError("UNAVAILABLE", "the bucket does not answer", { retryable: true });
        };
        return bucket;
      };
      return Object.assign(connection, { store: { open } });
    };
    const outcome = (promise: Promise<unknown>) => promise.then(() => "ok", ({ code }) => code);
    const app = await cluster.start("a", { handlers });
    unwrap(await clock.until(app.send(AddItem, { cartId: "gone", sku: "tea" })));
    leads = clock.monotonic() + 9_000;
    assertEquals(await clock.until(outcome(app.forget(Cart, "gone"))), "ok");
    assertEquals(await clock.until(outcome(app.load(Cart, "gone"))), "FORGOTTEN");

    leads = Infinity;
    const begun = clock.monotonic();
    assertEquals(await clock.until(outcome(app.forget(Cart, "other"))), "UNAVAILABLE");
    assertGreater(clock.monotonic() - begun, 29_000);
    assertLess(clock.monotonic() - begun, 30_001);
  });

  it("a command whose stream has no leader until its deadline is UNAVAILABLE then, not OUTCOME_UNKNOWN", async () => {
    await using cluster = new MemoryCluster();
    const app = await cluster.start("a", { handlers });
    const { clock, network } = cluster;
    unwrap(await clock.until(app.send(AddItem, { cartId: "c", sku: "tea" })));
    await clock.advance(2_000);
    network.log.begin("noLeader");
    const begun = clock.monotonic();
    const sending = app.send(AddItem, { cartId: "c", sku: "tea" }, { timeout: 12_000 });
    const { error } = await clock.until(sending);
    assertEquals(error?.code, "UNAVAILABLE");
    assertGreater(clock.monotonic() - begun, 11_000);
    network.log.end("noLeader");
  });

  it("at 2,000 commands a second on one entity each is applied once, whichever node dies with some in hand", async () => {
    await using cluster = new MemoryCluster();
    const Fill = command<{ id: string }, number>("Fill", { key: ({ id }) => id });
    const decided: string[] = [];
    let again = 0;
    const fill = Bin.handle(Fill, (bin, _, ctx) => {
      decided.push(ctx.node);
      if (ctx.attempt > 1) again++;
      bin.emit(Filled);
      return bin.version + 1;
    });
    for (const id of ["a", "b", "c"]) await cluster.start(id, { handlers: fill });
    const client = await cluster.start("client");
    unwrap(await cluster.clock.until(client.send(Fill, { id: "hot" })));
    const results: Promise<number>[] = [];
    // every second command has an id that its sender chose
    const send = async (n: number) =>
      unwrap(await client.send(Fill, { id: "hot" }, { timeout: 20_000, ...n % 2 === 0 ? { id: `f-${n}` } : {} }));
    for (let n = 0; n < 3_000; n++) cluster.clock.after(n / 2, () => void results.push(send(n)));
    await cluster.clock.advance(700);
    const deciding = decided.at(-1)!;
    // the answers of the stream are lost, so that the node does not know which commands were stored
    cluster.network.faults = { lostAck: 0.3, delay: 20 };
    await cluster.clock.advance(20);
    cluster.kill(deciding);
    cluster.network.faults = {};
    await cluster.clock.advance(2_000);
    const versions = await cluster.clock.until(Promise.all(results));
    assertEquals(versions.toSorted((a, b) => a - b), Array.from({ length: 3_000 }, (_, n) => n + 2));
    assertEquals((await cluster.clock.until(client.load(Bin, "hot", { latest: true }))).version, 3_001);
    assertNotEquals(decided.at(-1), deciding);
    assert(again > 10, `${again} were decided again`);
  });

  it("a node that was cut off does not apply what another one has refused meanwhile", async () => {
    await using cluster = new MemoryCluster();
    const [held, gate] = [Promise.withResolvers<string>(), Promise.withResolvers<void>()];
    let began = 0;
    const Fill = command<{ id: string }, number, "EMPTY">("Fill", { key: ({ id }) => id });
    const fill = Bin.handle(Fill, async (bin, _, ctx) => {
      if (++began === 1) {
        held.resolve(ctx.node);
        await gate.promise;
      }
      if (bin.state === 0) return fail("EMPTY", "open it first");
      bin.emit(Filled);
      return bin.version;
    });
    const Open = command<{ id: string }>("Open", { key: ({ id }) => id });
    const open = Bin.handle(Open, (bin) => bin.emit(Filled));
    for (const id of ["a", "b"]) await cluster.start(id, { handlers: [fill, open] });
    const client = await cluster.start("client");
    const sending = client.send(Fill, { id: "b" }, { timeout: 60_000, id: "fill" });
    const cut = await cluster.clock.until(held.promise);
    const other = cut === "a" ? "b" : "a";
    cluster.network.cut(cut);
    assertEquals(codeOf(await cluster.clock.until(sending)), "EMPTY");
    unwrap(await cluster.clock.until(client.send(Open, { id: "b" }, { node: other })));
    cluster.network.restore(cut);
    await cluster.clock.advance(1_000);
    gate.resolve();
    await cluster.clock.advance(5_000);
    const load = () => cluster.clock.until(client.load(Bin, "b", { latest: true }));
    assertEquals((await load()).version, 1);
    // another send uses the same id: the handler runs on the present state
    const again = client.send(Fill, { id: "b" }, { id: "fill", node: cut });
    assertEquals(unwrap(await cluster.clock.until(again)), 1);
    assertEquals((await load()).version, 2);
  });

  it("a failure after a death keeps an earlier append from being stored", async () => {
    await using cluster = new MemoryCluster();
    const app = await cluster.start("a", { handlers });
    const client = await cluster.start("client");
    unwrap(await sent(cluster, client, "c"));
    const log = await cluster.clock.until(
      cluster.network.connect().log.open("catga_default_entities", {
        subjects: ["catga.default.entity.>"],
        replicas: 1,
        schedules: false,
      }),
    );
    const { last } = (await cluster.clock.until(log.state()))!;
    // the second attempt of a command that emits no events is held up
    const held = Promise.withResolvers<string>();
    await cluster.clock.until(app.drain());
    let first = true;
    const hold = (id: string): Behavior => async (_, next) => {
      if (!first) return await next();
      first = false;
      held.resolve(id);
      return await new Promise(() => {});
    };
    for (const id of ["b", "c"]) await cluster.start(id, { handlers, behaviors: [hold(id)] });
    const looking = client.send(Look, { cartId: "c" }, { timeout: 20_000, id: "look" });
    cluster.kill(await cluster.clock.until(held.promise));
    assertEquals(unwrap(await cluster.clock.until(looking)), 1);
    const late = log.append("catga.default.entity.Cart.c", "late", { timeout: 1_000, expect: last });
    assertEquals((await cluster.clock.until(late)).type, "conflict");
    assertEquals(unwrap(await sent(cluster, client, "c")), 2);
  });
});

async function sent(cluster: MemoryCluster, client: Catga, cartId: string) {
  const result = await cluster.clock.until(client.send(AddItem, { cartId, sku: "tea" }));
  assertEquals(codeOf(result), undefined);
  return result;
}
