import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { eventually } from "../../test/support/eventually.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { catga } from "../catga.ts";
import { command, event } from "../contract/declaration/definition.ts";
import { MemoryCluster } from "../../test/support/memory_cluster.ts";
import { StoreOutage } from "../../test/support/store_outage.ts";

const Wait = command("Wait");

const required = await requireNatsServer();

describe("health", () => {
  it("an app in memory is ready until it drains, live until it has stopped, and counts what is in flight", async () => {
    const go = Promise.withResolvers<void>();
    const app = await catga({ id: "n", handlers: Wait.handle(() => go.promise) });
    const alone = { node: "n", connection: "none", queued: 0, subscriptions: [], alarms: [] } as const;
    const fine = { ...alone, status: "ready", ready: true, live: true, member: true, nodes: 1 } as const;
    assertEquals(app.health(), { ...fine, inFlight: 0 });
    const sent = app.send(Wait);
    assertEquals(app.health(), { ...fine, inFlight: 1 });
    const drained = app.drain();
    const leaving = { ...fine, status: "draining", ready: false, member: false, nodes: 0, inFlight: 1 } as const;
    assertEquals(app.health(), leaving);
    go.resolve();
    await Promise.all([sent, drained]);
    const gone = { ...alone, status: "stopped", ready: false, live: false, member: false, nodes: 0 } as const;
    assertEquals(app.health(), { ...gone, inFlight: 0 });
  });

  it("a node counts the other nodes, and their requests that wait", async () => {
    await using cluster = new MemoryCluster();
    const go = Promise.withResolvers<void>();
    const node = await cluster.start("n", { concurrency: 1, handlers: Wait.handle(() => go.promise) });
    const client = await cluster.start("client");
    const sent = client.sendAll(Wait, [undefined, undefined, undefined]);
    await cluster.clock.advance(10);
    const [here, there] = [node.health(), client.health()];
    await cluster.clock.advance(10_000);
    const alarms = [node, client].map((app) => app.health().alarms.map(({ kind, count }) => `${kind} ${count}`));
    assertEquals(alarms, [["node-overloaded 2"], []]);
    go.resolve();
    await cluster.clock.until(sent);
    assertEquals(node.health().alarms, []);
    assertEquals([here.connection, here.nodes, here.inFlight, here.queued], ["connected", 2, 1, 2]);
    assertEquals([there.connection, there.nodes, there.inFlight, there.queued], ["connected", 2, 3, 0]);
  });

  it("a node that has lost its connection is disconnected, live, and ready again when it is back", async () => {
    await using cluster = await MemoryCluster.of("a", "b");
    const a = cluster.apps.get("a")!;
    cluster.network.cut("a");
    const { status, ready, live, connection } = a.health();
    assertEquals([status, ready, live, connection], ["disconnected", false, true, "disconnected"]);
    cluster.network.restore("a");
    await cluster.clock.advance(1_000);
    assertEquals(a.health().status, "ready");
  });

  it("a node whose record is gone while the store is away is unlisted until the record is written again", async () => {
    await using cluster = new MemoryCluster();
    const outage = new StoreOutage(cluster.network);
    const a = await cluster.start("a");
    outage.begin();
    await cluster.clock.advance(40_000); // a node's record expires after 30 s
    assertEquals([a.health().status, a.health().member], ["unlisted", false]);
    outage.end();
    await cluster.clock.advance(10_000);
    assertEquals([a.health().status, a.health().member], ["ready", true]);
  });

  it(
    "a node is not ready while a reload denies it a subscription that it needs",
    { ...required, timeout: 300_000 },
    async () => {
      const config = (denied: string) =>
        `authorization { users: [ { user: me, password: p, permissions: { subscribe: { deny: [${denied}] } } } ] }`;
      for (const [subject, needed] of [["node", true], ["event", true], ["call", false]] as const) {
        await using server = await startNatsServer({ config: config("") });
        const warned: string[] = [];
        const logger = { ...QUIET, warn: (text: string) => void warned.push(text) };
        const handlers = [Wait.handle(() => {}), event("Rung").on(() => {})];
        await using app = await catga({ nats: `nats://me:p@127.0.0.1:${server.port}`, handlers, logger });
        await server.configure(config(`"catga.default.${subject}.>"`));
        await eventually("the violation", () => warned.some((text) => text.includes(`catga.default.${subject}.`)));
        const { status, ready, live } = app.health();
        const expected = needed ? ["forbidden", false, true] : ["ready", true, true];
        assertEquals([subject, status, ready, live], [subject, ...expected]);
        await server.configure(config(""));
        await eventually("it to be ready", () => app.health().ready);
      }
    },
  );

  it("subscriptions: one node leads, the others follow, and each has its read models", async () => {
    const Booked = event<{ room: string }>("Booked", { durable: true, key: ({ room }) => room });
    const go = Promise.withResolvers<void>();
    await using cluster = new MemoryCluster();
    const { clock } = cluster;
    const handlers = [
      Booked.on(() => go.promise, { name: "billing" }),
      Booked.on(() => {}, { name: "view", each: "node", from: "start" }),
    ];
    const nodes = [
      await cluster.start("a", { service: "shop", handlers }),
      await cluster.start("b", { service: "shop", handlers }),
    ];
    await clock.advance(5_000);
    const of = (name: string) =>
      nodes.map((app) => app.health().subscriptions.find((subscription) => subscription.name === name)!);
    assertEquals(of("billing").map(({ state }) => state).sort(), ["following", "leading"]);
    const view = {
      service: "shop",
      name: "view",
      state: "caught up",
      open: 0,
      lag: 0,
      oldest: 0,
      retrying: 0,
      dead: 0,
    };
    assertEquals(of("view"), [view, view] as unknown as ReturnType<typeof of>);
    for (const room of ["7", "7", "8"]) await clock.until(nodes[0].publish(Booked, { room }));
    await clock.advance(2_000);
    const [leading] = of("billing").filter(({ state }) => state === "leading");
    assertEquals([leading.open, leading.lag, leading.retrying], [3, 0, 0]);
    assertEquals(leading.oldest >= 2_000 && leading.oldest < 2_500, true);
    const following = of("billing").find(({ state }) => state === "following")!;
    assertEquals([following.open, following.oldest], [0, 0]);
    assertEquals(nodes.map((app) => app.health().status), ["ready", "ready"]);
    go.resolve();
    await clock.advance(1_000);
    const [done] = of("billing").filter(({ state }) => state === "leading");
    assertEquals([done.open, done.oldest], [0, 0]);
  });

  it("an app that has stopped has no alarms, and no read model that is stalled", async () => {
    const Booked = event<{ room: string }>("Booked", { durable: true, key: ({ room }) => room });
    await using cluster = new MemoryCluster();
    const { clock } = cluster;
    const app = await cluster.start("a", { handlers: Booked.on(() => {}, { name: "view", each: "node" }) });
    await cluster.start("b", { service: "shop", handlers: Wait.handle(() => {}) });
    await clock.advance(1_000);
    cluster.kill("b");
    await clock.advance(60_000);
    assertEquals(app.health().alarms.map(({ kind }) => kind), ["no-node", "node-gone"]);
    await clock.until(app.drain());
    const { status, subscriptions, alarms } = app.health();
    assertEquals([status, subscriptions[0].state, subscriptions[0].error], ["stopped", "caught up", undefined]);
    assertEquals(alarms, []);
  });

  describe("handlers that go on long after their timeout are an alarm", () => {
    const Booked = event<{ room: string }>("Booked", { durable: true, key: ({ room }) => room });

    /**
     * Starts nodes a, which leads the subscription, and b. Twenty messages hang in handlers, and have `attempts`
     * attempts.
     */
    async function hanging(attempts: number) {
      const cluster = new MemoryCluster();
      const { clock } = cluster;
      const ends = Promise.withResolvers<void>();
      const hung: Record<string, number> = { a: 0, b: 0 };
      const options = { name: "billing", timeout: 1_000, retry: { attempts, delay: [100, 100] } } as const;
      const handlers = Booked.on(async (_, { attempt, node }) => {
        if (attempt > 1) return;
        hung[node]++;
        await ends.promise;
      }, options);
      const leader = await cluster.start("a", { handlers });
      await cluster.start("b", { handlers });
      const alarms = () => leader.health().alarms.map(({ kind, count }) => [kind, count]);
      for (let room = 0; room < 20; room++) await clock.until(leader.publish(Booked, { room: `${room}` }));
      await clock.advance(1_000);
      assertEquals(alarms(), [["handler-failing", 1]]); // they have just run into their timeout
      await clock.advance(5_000);
      assert(hung.b > 0);
      assertEquals(alarms(), [["handler-hanging", 20]]);
      return { cluster, clock, leader, hung, alarms, end: () => ends.resolve() };
    }

    it("until they end, or their process does", async () => {
      const { cluster, clock, leader, hung, alarms, end } = await hanging(10);
      await using _ = cluster;
      // the messages that hung on b are then handled on a
      cluster.kill("b");
      await clock.advance(15_000);
      assertEquals(alarms(), [["node-gone", 1], ["handler-hanging", hung.a]]);
      end();
      await clock.advance(5_000);
      assertEquals(alarms(), [["node-gone", 1]]);
      assertEquals(leader.health().subscriptions[0].open, 0);
    });

    it("also one whose message is a dead letter: it has the turn that all others wait for", async () => {
      // regression: an hour after the messages hung, `health()` once did not say why they waited
      await using cluster = new MemoryCluster();
      const { clock } = cluster;
      const ends = Promise.withResolvers<void>();
      const options = { name: "billing", timeout: 1_000, retry: { attempts: 1 }, concurrency: 1 } as const;
      const app = await cluster.start("a", { handlers: Booked.on(() => ends.promise, options) });
      for (const room of ["7", "8"]) await clock.until(app.publish(Booked, { room }));
      const alarms = () => app.health().alarms.map(({ kind, count }) => [kind, count]);
      await clock.advance(1_900);
      assertEquals(alarms(), [["dead-letters", 1]]);
      await clock.advance(1_000);
      assertEquals(alarms(), [["dead-letters", 1], ["handler-hanging", 1]]);
      ends.resolve();
      await clock.advance(2_500);
      assertEquals(alarms(), [["dead-letters", 1]]);
      assertEquals(app.health().subscriptions[0].open, 0);
    });

    it("until their messages are handled elsewhere, because their node is frozen", async () => {
      const { cluster, clock, hung, alarms, end } = await hanging(2);
      await using _ = cluster;
      cluster.network.pause("b");
      await clock.advance(30_000);
      assertEquals(alarms(), [["node-gone", 1], ["handler-hanging", hung.a]]);
      cluster.network.resume("b");
      end();
    });
  });

  it("a lag that grows is an alarm, although nobody has asked before", async () => {
    const Booked = event<{ room: string }>("Booked", { durable: true });
    const go = Promise.withResolvers<void>();
    await using cluster = new MemoryCluster();
    const { clock } = cluster;
    const app = await cluster.start("a", {
      handlers: Booked.on(() => go.promise, { name: "billing", concurrency: 1 }),
    });
    for (let n = 0; n < 60; n++) {
      await clock.until(Promise.all(Array.from({ length: 50 }, () => app.publish(Booked, { room: "7" }))));
      await clock.advance(1_000);
    }
    assertEquals(app.health().alarms.map(({ kind }) => kind), ["subscription-lagging"]);
    go.resolve();
    await clock.advance(60_000);
    assertEquals(app.health().alarms, []);
  });
});
