import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { type Behavior, type Catga, unwrap } from "../../mod.ts";
import { MemoryCluster } from "../../test/support/memory_cluster.ts";
import { AddItem, Cart, codeOf, handlers, Look } from "./entities_suite.ts";

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
    // the second attempt of a command that emits nothing
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
