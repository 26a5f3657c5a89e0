/** Tests of an older and a newer contract of one name, at both ends of the network, as docs/upgrading.md describes. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { describe, it } from "node:test";
import { z } from "zod";
import {
  type Catga,
  catga,
  type Command,
  command,
  event,
  fail,
  type Handlers,
  type NodeInfo,
  query,
} from "../../mod.ts";
import { eventually } from "../../test/support/eventually.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { MemoryNetwork, testCluster } from "../testing/mod.ts";

/** Starts a node with these handlers, and a node without handlers that sends to it. */
async function pair(handlers: Handlers): Promise<{ sender: Catga; close: () => Promise<void> }> {
  const network = new MemoryNetwork();
  const handler = await catga({ network, id: "handler", handlers });
  const sender = await catga({ network, id: "sender" });
  return {
    sender,
    close: async () => {
      await sender.drain();
      await handler.drain();
    },
  };
}

/**
 * Sends a payload by one contract to a handler of another, which returns what it gets. Returns that value, or the
 * error's code.
 */
async function sent(by: Command<never, unknown>, payload: unknown, to: Command<never, unknown>): Promise<unknown> {
  const echo = to.handle((seen: unknown) => seen);
  const { sender, close } = await pair(echo);
  const { value, error } = await sender.send(by, payload as never);
  await close();
  return error === undefined ? value : error.code;
}

const make = (input?: z.ZodType, output?: z.ZodType) => {
  const options = { ...(input === undefined ? {} : { input }), ...(output === undefined ? {} : { output }) };
  return command("Order", options) as unknown as Command<never, unknown>;
};

describe("an older and a newer contract of one name", () => {
  const old = make(z.object({ sku: z.string() }));
  const optional = make(z.object({ sku: z.string(), qty: z.number().default(1) }));
  const required = make(z.object({ sku: z.string(), qty: z.number() }));

  it("without schemas a payload with a field more or less arrives as it was sent", async () => {
    assertEquals(await sent(make(), { sku: "tea" }, make()), { sku: "tea" });
    assertEquals(await sent(make(), { sku: "tea", qty: 2 }, make()), { sku: "tea", qty: 2 });
  });

  it("a field that is added with a default works in both directions", async () => {
    assertEquals(await sent(old, { sku: "tea" }, optional), { sku: "tea", qty: 1 });
    // a default of the sender's schema is not sent, and the older handler drops a member that it does not know
    assertEquals(await sent(optional, { sku: "tea", qty: 2 }, old), { sku: "tea" });
  });

  it("a field that is added and required: older senders get INVALID_MESSAGE, with its path, and nothing runs", async () => {
    assertEquals(await sent(required, { sku: "tea", qty: 2 }, old), { sku: "tea" });
    const { sender, close } = await pair(required.handle(() => fail("RAN", "it ran")));
    const { error } = await sender.send(old, { sku: "tea" } as never);
    assertEquals([error?.code, (error?.details as { path: string[] }[])[0].path], ["INVALID_MESSAGE", ["qty"]]);
    assertStringIncludes(error!.message, "the payload of Order does not fit its schema at qty");
    await close();
  });

  it("a schema that refuses what it does not know refuses newer senders", async () => {
    const strict = make(z.strictObject({ sku: z.string() }));
    assertEquals(await sent(optional, { sku: "tea", qty: 2 }, strict), "INVALID_MESSAGE");
    assertEquals(await sent(optional, { sku: "tea" }, strict), { sku: "tea" });
  });

  it("an answer may have a field more; with a field less it is INVALID_RESPONSE where it arrives", async () => {
    const less = make(undefined, z.object({ id: z.string() }));
    const more = make(undefined, z.object({ id: z.string(), at: z.number() }));
    assertEquals(await sent(less, { id: "1", at: 2 }, more), { id: "1" });
    assertEquals(await sent(more, { id: "1" }, less), "INVALID_RESPONSE");
  });

  it("a node that does not have the contract yet is not asked: NO_HANDLER only when there is no other", async () => {
    const network = new MemoryNetwork();
    const New = query<void, string>("New");
    await using _older = await catga({ network, id: "older", handlers: old.handle(() => 1) });
    await using sender = await catga({ network, id: "sender" });
    assertEquals((await sender.send(New)).error?.code, "NO_HANDLER");
    await using _newer = await catga({ network, id: "newer", handlers: New.handle((_, ctx) => ctx.node) });
    const answers = await sender.sendAll(New, [undefined, undefined, undefined]);
    assertEquals(answers.map(({ value }) => value), ["newer", "newer", "newer"]);
  });

  it("an event with a field more reaches older handlers; one that does not fit is logged, and dropped there", async () => {
    const network = new MemoryNetwork();
    const Sold = (input: z.ZodType) => event("Sold", { input });
    const seen: unknown[] = [];
    const logged: string[] = [];
    const logger = { debug() {}, info() {}, warn() {}, error: (text: string) => void logged.push(text) };
    const on = (service: string, schema: z.ZodType) =>
      catga({
        network,
        id: service,
        service,
        logger,
        handlers: Sold(schema).on((sale) => void seen.push([service, sale])),
      });
    await using _a = await on("older", z.object({ sku: z.string() }));
    await using _b = await on("newer", z.object({ sku: z.string(), qty: z.number() }));
    await using sender = await catga({ network, id: "sender" });
    await sender.publish(Sold(z.looseObject({})), { sku: "tea", qty: 2 });
    await eventually("both", () => seen.length === 2);
    assertEquals(seen.sort(), [["newer", { sku: "tea", qty: 2 }], ["older", { sku: "tea" }]]);
    await sender.publish(Sold(z.looseObject({})), { sku: "cup" });
    await eventually("the older one, and the other's log", () => seen.length === 3 && logged.length === 1);
    assertEquals([seen[2], logged[0].includes("event Sold")], [["older", { sku: "cup" }], true]);
  });
});

describe("a key or an id that a version of a contract cannot make of the payload of another", () => {
  const ordered = { ordered: true, key: ({ to }: { to: string }) => to.toUpperCase() } as const;
  for (
    const [what, options] of [
      ["ordered", { version: 2, ...ordered }],
      ["ordered, with a schema", { input: z.object({ to: z.string() }), ...ordered }],
      ["id", { version: 2, idempotent: true, id: ({ to }: { to: string }) => to.toUpperCase() }],
    ] as const
  ) {
    it(`goes on to a node of that version, sent and queued: ${what} (queued, it was a dead letter)`, async () => {
      const Old = command<{ acct: string }, string>("Book", { durable: true });
      const New = command("Book", { durable: true, ...options } as never) as unknown as Command<never, string>;
      const queued: string[] = [];
      const old = Old.handle((_, { id, position }) => {
        if (position !== undefined) queued.push(id);
        return "old";
      });
      await using cluster = await testCluster(["old", "new", "sender"], {
        node: (id) => ({ handlers: id === "old" ? old : id === "new" ? New.handle(() => "new") : [] }),
        logger: QUIET,
      });
      const sender = cluster.app("sender");
      for (let n = 0; n < 4; n++) {
        const { value, error } = await sender.send(Old, { acct: "a" });
        assertEquals([value, error?.message], ["old", undefined]);
        await sender.enqueue(Old, { acct: "a" }, { id: `${n}` });
      }
      await cluster.handled();
      // what is queued has an id, so only a key may be missing
      if ("ordered" in options) assertEquals(queued.sort(), ["0", "1", "2", "3"]);
      assertEquals(await Array.fromAsync(sender.deadLetters()), []);
      // where no node takes it, it is INVALID_MESSAGE as before
      await cluster.app("old").drain();
      const { error } = await sender.send(Old, { acct: "a" });
      assertEquals(error?.code, "INVALID_MESSAGE");
    });
  }
});

describe("a command that is idempotent at its sender, and at some of its handlers or at none", () => {
  const Pay = {
    plain: command<void, string>("Pay"),
    idempotent: command<void, string>("Pay", { idempotent: true }),
  };
  for (const [first, next] of [["plain", "plain"], ["idempotent", "plain"], ["plain", "idempotent"]] as const) {
    for (const fault of ["kill", "freeze"] as const) {
      it(`runs again only where it is idempotent, after a ${fault}: ${first}, then ${next}`, async () => {
        const runs: string[] = [];
        const handlers = (version: keyof typeof Pay) =>
          Pay[version].handle(async (_, { clock, node }) => {
            runs.push(node);
            await clock.sleep(3_000);
            return node;
          });
        await using cluster = await testCluster(["first", "next", "sender"], {
          logger: QUIET,
          node: (id) => id === "sender" ? {} : { handlers: handlers(id === "first" ? first : next) },
        });
        const options = { id: "p-1", route: (nodes: readonly NodeInfo[]) => nodes[0] };
        const sent = cluster.app("sender").send(Pay.idempotent, undefined, options);
        await cluster.advance(500);
        assertEquals(runs, ["first"]);
        if (fault === "kill") cluster.kill("first");
        else cluster.pause("first");
        const { value, error } = await sent;
        assertEquals(
          [value ?? error?.code, runs],
          next === "idempotent" ? ["next", ["first", "next"]] : ["OUTCOME_UNKNOWN", ["first"]],
        );
        if (fault === "freeze") cluster.resume("first");
      });
    }
  }

  it("goes on to a node where it is idempotent; without one its error names the node where it may have run", async () => {
    const runs: string[] = [];
    await using cluster = await testCluster(["a", "b", "c", "sender"], {
      logger: QUIET,
      node: (id) => {
        if (id === "sender") return {};
        const contract = id === "c" ? Pay.idempotent : Pay.plain;
        const handlers = contract.handle(async (_, { clock, node }) => {
          runs.push(node);
          await clock.sleep(3_000);
          return node;
        });
        return { handlers };
      },
    });
    const sender = cluster.app("sender");
    const send = (id: string) =>
      sender.send(Pay.idempotent, undefined, { id, route: (nodes: readonly NodeInfo[]) => nodes[0] });
    const first = send("p-1");
    await cluster.advance(500);
    cluster.kill("a");
    assertEquals([(await first).value, runs], ["c", ["a", "c"]]);

    cluster.kill("c");
    await cluster.start("d");
    await eventually("the nodes to be known", async () => {
      await cluster.advance(500);
      return sender.nodes().length === 3;
    });
    runs.length = 0;
    const second = send("p-2");
    await cluster.advance(500);
    cluster.kill("b");
    const { error } = await second;
    assertEquals([error?.code, error?.node, runs], ["OUTCOME_UNKNOWN", "b", ["b"]]);
    assertStringIncludes(error!.message, "may have run on node b");
    assertStringIncludes(error!.message, "does not run on node d, where it is not idempotent");
  });
});
