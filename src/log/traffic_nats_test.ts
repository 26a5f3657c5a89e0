/**
 * Measures the traffic of subscriptions on a nats-server: of many without messages, and of a busy one to a node that
 * does not handle it.
 */
import { connect } from "@nats-io/transport-node";
import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { catga, event } from "../../mod.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { eventually } from "../../test/support/eventually.ts";
import { PATIENT } from "../../test/support/patient.ts";
import { patientManager } from "../../test/support/patient_jetstream.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { SYSTEM_ACCOUNT } from "../../test/support/system_account.ts";

const Placed = event<{ n: number; key: string }>("Placed", { durable: true, key: ({ key }) => key });
/** Event that the bystander node handles and that nobody publishes: all traffic that reaches the node is needless. */
const Sent = event<void>("Sent", { durable: true });
const IDLE = 100;
/** Duration of one count of the traffic, in ms; the traffic is counted again until it is quiet. */
const COUNTED = 2_000;
/** Maximum number of messages that two nodes write on their own during a count. */
const MAX_WRITES = 10;
/** Number of messages that the busy subscription has open all the time. */
const HELD = 500;
/** Maximum traffic, in bytes per second. */
const MAX_BYTES_PER_SECOND = 40_000;

describe("the traffic of subscriptions", await requireNatsServer(), () => {
  it("is that of their nodes when 100 of them have nothing to do", async () => {
    await using server = await startNatsServer();
    const nats = { servers: server.url };
    let handled = 0;
    const handlers = Array.from({ length: IDLE }, (_, i) => Placed.on(() => void handled++, { name: `sub-${i}` }));
    await using app = await catga({ nats, id: "a", service: "shop", logger: QUIET, handlers });
    await using _b = await catga({ nats, id: "b", service: "shop", logger: QUIET, handlers });
    assertEquals((await app.publish(Placed, { n: 0, key: "k" })).ok, true);
    await eventually("all to have handled it", () => handled >= IDLE);
    const connection = await connect({ servers: server.url });
    try {
      const manager = await patientManager(connection);
      const written = async () => {
        let sum = 0;
        for await (const { config, state } of manager.streams.list()) {
          if (!/_nodes$/.test(config.name)) sum += state.last_seq;
        }
        return sum;
      };
      let least = Infinity;
      await eventually(`at most ${MAX_WRITES} writes`, async () => {
        const before = await written();
        await wait(COUNTED);
        return (least = Math.min(least, await written() - before)) <= MAX_WRITES;
      }).catch((error: Error) => {
        throw new Error(`${error.message}; ${least} at least`);
      });
    } finally {
      await connection.close();
    }
  });

  it("of a busy one with 500 messages in hand is little to a node that does not handle it", async () => {
    await using server = await startNatsServer({ config: SYSTEM_ACCOUNT });
    const nats = { servers: server.url, user: "app", pass: "app" };
    const gate = Promise.withResolvers<void>();
    let held = 0;
    let fast = 0;
    const handlers = Placed.on(({ key }) => {
      if (key === "fast") return void fast++;
      held++;
      return gate.promise;
    }, { name: "busy", timeout: 600_000, concurrency: 2 * HELD });
    await using app = await catga({ nats, id: "a", service: "shop", logger: QUIET, concurrency: 2 * HELD, handlers });
    const idle = Sent.on(() => {}, { name: "idle" });
    await using _bystander = await catga({
      nats: { ...nats, name: "bystander" },
      id: "b",
      service: "shop",
      logger: QUIET,
      handlers: idle,
    });
    const system = await connect({ servers: server.url, user: "sys", pass: "sys" });
    try {
      const sent = async () => {
        const subject = `$SYS.REQ.SERVER.${system.info!.server_id}.CONNZ`;
        const { data } = (await system.request(subject, JSON.stringify({ auth: true }), PATIENT)).json<
          { data: { connections: { name?: string; out_bytes: number }[] } }
        >();
        const all = data.connections.filter(({ name }) => name === "bystander");
        assertEquals(all.length, 1, JSON.stringify(data.connections));
        return all[0].out_bytes;
      };
      await Promise.all(Array.from({ length: HELD }, (_, n) => app.publish(Placed, { n, key: `held-${n}` })));
      await eventually("all to be held", () => held === HELD);
      const rates: number[] = [];
      // once in 10 s at most a node reads some message 16 times, to notice mirrors: that is in one of these rates
      while (!rates.some((rate) => rate < MAX_BYTES_PER_SECOND)) {
        assert(rates.length < 2, `${rates.map(Math.round)} bytes a second`);
        const [began, before] = [performance.now(), await sent()];
        for (let n = fast; performance.now() - began < COUNTED; n++) {
          assertEquals((await app.publish(Placed, { n, key: "fast" })).ok, true);
          await eventually("it to be handled", () => fast > n);
        }
        rates.push((await sent() - before) / (performance.now() - began) * 1_000);
      }
    } finally {
      gate.resolve();
      await system.close();
    }
  });
});
