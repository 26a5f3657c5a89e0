/**
 * Messages of the log in the nodes that handle them, over NATS: subscriptions over two nodes, queued commands, and read
 * models.
 */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { catga, command, event } from "../../../mod.ts";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { eventually } from "../../../test/support/eventually.ts";

const Placed = event<{ n: number; key: string }>("Placed", { durable: true, key: ({ key }) => key });
const Mail = command<{ to: string }, string>("Mail", { durable: true, idempotent: true });
const EVENTS = 2_000;

describe("nodes on nats-server", await requireNatsServer(), () => {
  it("handle each event of a subscription in order of its key; a read model that starts later knows all of them", async () => {
    await using server = await startNatsServer();
    const nats = { servers: server.url };
    const seen: { node: string; n: number; key: string }[] = [];
    const handlers = Placed.on(({ n, key }, ctx) => void seen.push({ node: ctx.node, n, key }));
    await using _a = await catga({ nats, id: "a", service: "shop", handlers });
    await using _b = await catga({ nats, id: "b", service: "shop", handlers });
    await using publisher = await catga({ nats, id: "p", service: "web" });
    const all = Array.from({ length: EVENTS }, (_, n) => publisher.publish(Placed, { n, key: `k${n % 50}` }));
    assertEquals((await Promise.all(all)).every(({ ok }) => ok), true);
    await eventually("all events to be handled", () => seen.length >= EVENTS);
    assertEquals(seen.length, EVENTS);
    for (let key = 0; key < 50; key++) {
      const numbers = seen.filter((run) => run.key === `k${key}`).map(({ n }) => n);
      assertEquals(numbers, Array.from({ length: EVENTS / 50 }, (_, i) => 50 * i + key));
    }
    const model = new Map<string, number>();
    const counts = Placed.on(({ key }) => void model.set(key, (model.get(key) ?? 0) + 1), {
      each: "node",
      from: "start",
    });
    await using reader = await catga({ nats, id: "r", service: "report", handlers: counts });
    assertEquals([model.size, [...model.values()].every((count) => count === EVENTS / 50)], [50, true]);
    assertEquals(reader.health().status, "ready");
  });

  it("run a queued command once, whose recorded result a send with its id gets", async () => {
    await using server = await startNatsServer();
    const nats = { servers: server.url };
    let runs = 0;
    const mail = Mail.handle(({ to }) => `mail ${++runs} to ${to}`);
    await using publisher = await catga({ nats, id: "p", service: "web" });
    assertEquals((await publisher.enqueue(Mail, { to: "ann" }, { id: "m1" })).ok, true);
    await using _a = await catga({ nats, id: "a", service: "mail", handlers: mail });
    await eventually("the run of the command", () => runs === 1);
    assertEquals((await publisher.send(Mail, { to: "ann" }, { id: "m1" })).value, "mail 1 to ann");
    assertEquals(runs, 1);
  });
});
