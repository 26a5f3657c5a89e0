import { assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { command, event, query, unwrap, workflow } from "../../mod.ts";
import { calledBy, explore, testCluster } from "./mod.ts";

const ada = { id: "ada", role: "admin" };

describe("calledBy", () => {
  it("names the caller to handlers of all kinds, over nodes, and to what they send", async () => {
    const seen: [string, unknown][] = [];
    const Who = query("Who");
    const Ask = query("Ask");
    const Told = event("Told");
    const Kept = event("Kept", { durable: true });
    const Queued = command("Queued", { durable: true });
    const Bill = workflow("Bill");
    const see = (what: string, caller: unknown) => void seen.push([what, caller]);
    const handlers = [
      Who.handle((_, { caller }) => see("Who", caller)),
      Ask.handle(async (_, ctx) => void unwrap(await ctx.send(Who))),
      Told.on((_, { caller }) => see("Told", caller)),
      Kept.on((_, { caller }) => see("Kept", caller)),
      Queued.handle((_, { caller }) => see("Queued", caller)),
      Bill.handle((flow) => see("Bill", flow.caller)),
    ];
    await using cluster = await testCluster(["client", "server"], {
      node: (id) => ({ handlers: id === "client" ? [] : handlers }),
    });
    const app = cluster.app("client");
    unwrap(await app.send(Ask, undefined, calledBy(ada)));
    for (const result of await app.sendAll(Who, [undefined], calledBy(ada))) unwrap(result);
    unwrap(await app.publish(Told, undefined, calledBy(ada)));
    unwrap(await app.publish(Kept, undefined, calledBy(ada)));
    unwrap(await app.enqueue(Queued, undefined, calledBy(ada)));
    unwrap(await app.result(Bill, unwrap(await app.start(Bill, undefined, calledBy(ada)))));
    while (new Set(seen.map(([what]) => what)).size < 5) await app.clock.sleep(100);
    assertEquals(seen.filter(([, caller]) => JSON.stringify(caller) !== JSON.stringify(ada)), []);
    assertThrows(() => calledBy(() => {}), Error);
  });

  it("names the caller in the workload of explore", async () => {
    const callers = new Set<string>();
    const Pay = command("Pay");
    await explore({
      handlers: Pay.handle((_, { caller }) => void callers.add(JSON.stringify(caller))),
      workload: async ({ app, step }) => void await step("pay", () => app.send(Pay, undefined, calledBy(ada))),
      seeds: 5,
      repeatable: false,
    });
    assertEquals([...callers], [JSON.stringify(ada)]);
  });
});
