/** More subscriptions and read models than a stream of nats-server 2.15 has consumers by default: 1,000. */
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { assert } from "@std/assert";
import { describe, it } from "node:test";
import { type Catga, catga, event } from "../../mod.ts";
import { type NatsServer, requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { eventually } from "../support/eventually.ts";
import { PATIENT, patiently } from "../support/patient.ts";
import { QUIET } from "../support/quiet.ts";

const LONG = { timeout: 1_200_000 };

describe("more subscriptions than consumers", await requireNatsServer(), () => {
  it("1,500 subscriptions of one node all handle, with 26 consumers", LONG, async () => {
    await using server = await startNatsServer();
    const handled = new Set<number>();
    const events = Array.from({ length: 1_500 }, (_, i) => event<{ id: number }>(`Event${i}`, { durable: true }));
    const handlers = events.map((each) => each.on(({ id }) => void handled.add(id)));
    await using app = await patiently(() => catga({ nats: server.url, handlers, logger: QUIET }));
    const states = () => [...new Set(app.health().subscriptions.map(({ state }) => state))];
    await eventually("all to be led", () => `${states()}` === "leading");
    const published = await Promise.all(events.map((each, id) => app.publish(each, { id })));
    assert(published.every(({ ok }) => ok));
    await eventually("all to be handled", () => handled.size === events.length);
    await using admin = await administrator(server);
    await eventually("few consumers", async () => await admin.consumers("catga_default_log") === 24);
    for (const stream of ["catga_default_subscriptions", "KV_catga_default_nodes"]) {
      // a busy machine takes one for lost, and makes it anew
      await eventually(`one consumer of ${stream}`, async () => await admin.consumers(stream) === 1);
    }
  });

  it("60 read models on each of 30 nodes all handle, with a consumer for each node", LONG, async () => {
    await using server = await startNatsServer();
    const events = Array.from({ length: 60 }, (_, i) => event<{ id: number }>(`Event${i}`, { durable: true }));
    await using publisher = await catga({ nats: server.url, handlers: events[0].on(() => {}), logger: QUIET });
    const publish = async (id: number) => {
      const published = await Promise.all(events.map((each) => publisher.publish(each, { id })));
      assert(published.every(({ ok }) => ok));
    };
    await publish(1);
    const nodes: Catga[] = [];
    try {
      const seen: Map<string, number[]>[] = [];
      await Promise.all(Array.from({ length: 30 }, async () => {
        const own = new Map<string, number[]>();
        seen.push(own);
        const start = () => {
          const handlers = events.map((each) => {
            const ids: number[] = [];
            own.set(each.name, ids);
            return each.on(({ id }) => void ids.push(id), { each: "node", from: "start", name: `of-${each.name}` });
          });
          return catga({ nats: server.url, service: "models", handlers, logger: QUIET });
        };
        nodes.push(await patiently(start));
      }));
      // catga() resolves when they have caught up
      const known = () => seen.every((own) => [...own.values()].every((ids) => ids[0] === 1));
      assert(known());
      await publish(2);
      await eventually(
        "all to be handled",
        () => seen.every((own) => [...own.values()].every((ids) => ids[1] === 2)),
      );
      await using admin = await administrator(server);
      // and that of the publisher's own subscription
      await eventually("few consumers", async () => await admin.consumers("catga_default_log") === 31);
    } finally {
      await Promise.all(nodes.map((app) => app.drain()));
    }
  });
});

/** Asks how many consumers a stream has. */
async function administrator(
  server: NatsServer,
): Promise<AsyncDisposable & { consumers(stream: string): Promise<number> }> {
  const connection: NatsConnection = await connect({ servers: server.url });
  return {
    async consumers(stream) {
      const answer = await connection.request(`$JS.API.STREAM.INFO.${stream}`, "", PATIENT);
      return answer.json<{ state: { consumer_count: number } }>().state.consumer_count;
    },
    [Symbol.asyncDispose]: () => connection.close(),
  };
}
