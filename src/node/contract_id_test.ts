/**
 * Tests of idempotent commands whose contract makes the message id from the payload, in one process and between nodes.
 */
import { describe, it } from "node:test";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { z } from "zod";
import { type Behavior, type Catga, catga, command, event, type Result } from "../../mod.ts";
import { MemoryCluster } from "../../test/support/memory_cluster.ts";
import { MemoryNetwork } from "../testing/mod.ts";

interface Cart {
  cart: string;
}

const Pay = command<Cart, number>("Pay", { idempotent: true, id: ({ cart }) => cart });
const Typed = command("Typed", {
  input: z.object({ cart: z.string().transform((cart) => cart.length) }),
  output: z.number(),
  idempotent: { ttl: 60_000 },
  id: ({ cart }) => cart,
});
/** The command `Pay` without its `id` function, as a sender declares it that knows only its name. */
const Known = command<Cart, number>("Pay");
const Paid = event<Cart>("Paid");

/** Makes handlers that record the ids of the messages that they get. */
function counting() {
  const ids: string[] = [];
  const run = (_: unknown, ctx: { readonly id: string }) => ids.push(ctx.id);
  return { ids, handlers: [Pay.handle(run), Typed.handle(run)] };
}

/** Runs a test with a sender in the handlers' process, then with a sender in another process. */
async function eachWay(test: (app: Catga, ids: string[]) => Promise<void>): Promise<void> {
  const local = counting();
  await using alone = await catga({ handlers: local.handlers });
  await test(alone, local.ids);
  const network = new MemoryNetwork();
  const remote = counting();
  await using _server = await catga({ network, handlers: remote.handlers });
  await using client = await catga({ network });
  await test(client, remote.ids);
}

describe("the id of a contract", () => {
  it("is the message id of sends without one, with a schema and without", async () => {
    await eachWay(async (app, ids) => {
      for (const contract of [Pay, Typed]) {
        assertEquals((await app.send(contract, { cart: "c1" })).value, ids.length);
        assertEquals((await app.send(contract, { cart: "c1" })).value, ids.length);
        assertEquals((await app.send(contract, { cart: "c2" })).value, ids.length);
      }
      assertEquals(ids, ["c1", "c2", "c1", "c2"]);
    });
  });

  it("an id of the send wins", async () => {
    await eachWay(async (app, ids) => {
      await app.send(Pay, { cart: "c1" }, { id: "mine" });
      await app.send(Typed, { cart: "c1" }, { id: "mine" });
      await app.send(Pay, { cart: "c1" }, { id: undefined });
      assertEquals(ids, ["mine", "mine", "c1"]);
    });
  });

  it("sendAll: of each payload its own", async () => {
    await eachWay(async (app, ids) => {
      const results = await app.sendAll(Pay, [{ cart: "a" }, { cart: "b" }, { cart: "a" }], { concurrency: 1 });
      assertEquals(results.map(({ value }) => value), [1, 2, 1]);
      assertEquals(ids, ["a", "b"]);
    });
  });

  it("what is no id is INVALID_MESSAGE, before anything ran", async () => {
    await eachWay(async (app, ids) => {
      // payloads as plain JavaScript may pass them
      const wrong = [{ cart: 7 }, { cart: "" }, { cart: "x".repeat(257) }, null] as unknown as Cart[];
      for (const payload of wrong) {
        const { error } = await app.send(Pay, payload);
        assertEquals(error?.code, "INVALID_MESSAGE");
        assertStringIncludes(error?.message ?? "", "the id of Pay cannot be made of this payload");
      }
      const { error } = await app.send(Typed, { cart: "" });
      assertEquals(error?.code, "INVALID_MESSAGE");
      assertStringIncludes(error?.message ?? "", "the id of Typed cannot be made of this payload");
      assertEquals(ids, []);
    });
  });

  it("a payload that does not fit the schema is not asked for an id", async () => {
    let asked = 0;
    const Strict = command("Strict", { input: z.string(), idempotent: true, id: (text) => `${text}${++asked}` });
    await using app = await catga({ handlers: Strict.handle(() => {}) });
    const refused = await app.send(Strict, 7 as unknown as string);
    assertEquals([refused.error?.code, asked], ["INVALID_MESSAGE", 0]);
  });

  it("a broadcast has it too, on each node with that node's name", async () => {
    const network = new MemoryNetwork();
    const seen: string[] = [];
    const run = (_: unknown, ctx: { readonly id: string }) => seen.push(ctx.id);
    const handlers = [Pay.handle(run), Typed.handle(run)];
    await using app = await catga({ network, id: "a", handlers });
    await using _b = await catga({ network, id: "b", handlers });
    assertEquals((await app.broadcast(Pay, { cart: "c1" })).map(({ result }) => result.ok), [true, true]);
    assertEquals((await app.broadcast(Typed, { cart: "c2" })).map(({ result }) => result.ok), [true, true]);
    assertEquals(seen.sort(), ["c1@a", "c1@b", "c2@a", "c2@b"]);
  });

  it("a sender that knows the name alone has it too: the node that handles the message makes it", async () => {
    await eachWay(async (app, ids) => {
      assertEquals((await app.send(Known, { cart: "c1" })).value, 1);
      assertEquals((await app.send(Known, { cart: "c1" })).value, 1);
      assertEquals((await app.send(Pay, { cart: "c1" })).value, 1);
      assertEquals((await app.send(Known, { cart: "c1" }, { id: "mine" })).value, 2);
      assertEquals((await app.send(Known, { cart: "" })).error?.code, "INVALID_MESSAGE");
      assertEquals(ids, ["c1", "mine"]);
    });
  });

  it("the messages that a handler sends are correlated with it", async () => {
    const told = Promise.withResolvers<string>();
    const handlers = [
      Pay.handle(async (cart, ctx) => (await ctx.publish(Paid, cart)).ok ? 1 : 0),
      Paid.on((_, ctx) => told.resolve(`${ctx.correlationId} ${ctx.causationId}`)),
    ];
    const network = new MemoryNetwork();
    await using _server = await catga({ network, handlers });
    await using client = await catga({ network });
    assertEquals((await client.send(Known, { cart: "c1" })).value, 1);
    assertEquals(await told.promise, "c1 c1");
  });

  it("is the same in every attempt, over nodes and through behaviors around sends", async () => {
    await using cluster = new MemoryCluster();
    const attempts: string[] = [];
    const hanging = Pay.handle((_, ctx) => {
      attempts.push(`${ctx.node} ${ctx.id}`);
      return new Promise<number>(() => {});
    });
    const answering = Pay.handle((_, ctx) => attempts.push(`${ctx.node} ${ctx.id}`));
    const twice: Behavior = Object.assign((_: unknown, next: () => Promise<Result<unknown>>) => next(), {
      send: async (_: unknown, next: () => Promise<Result<unknown>>) => {
        await next();
        return await next();
      },
    });
    const client = await cluster.start("client", { handlers: [], behaviors: [twice] });
    await cluster.start("a", { handlers: hanging });
    const sent = client.send(Pay, { cart: "c1" });
    await cluster.clock.advance(50);
    await cluster.start("b", { handlers: answering });
    cluster.kill("a");
    const result = await cluster.clock.until(sent);
    assert(result.ok, result.error?.message);
    assertEquals(attempts, ["a c1", "b c1"]);
  });
});
