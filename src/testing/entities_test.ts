import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { type Behavior, command, entity, fail, unwrap } from "../../mod.ts";
import { testCluster } from "./mod.ts";

const Account = entity("Account", { initial: () => 0 });
const Paid = Account.event<{ cents: number }>("Paid", (sum, { cents }) => sum + cents);
const Pay = command<{ account: string; cents: number }, number, "NOTHING">("Pay", { key: ({ account }) => account });
const pay = Account.handle(Pay, (account, { cents }) => {
  if (cents === 0) return fail("NOTHING", "a payment needs an amount");
  account.emit(Paid, { cents });
  return account.state;
});
const payload = { account: "a-1", cents: 420 };
const logger = { debug() {}, info() {}, warn() {}, error() {} };

describe("entities in a test cluster", () => {
  it("take no virtual time, not even the first one", async () => {
    await using cluster = await testCluster(2, { handlers: pay });
    const [app] = cluster.apps;
    const began = cluster.clock.monotonic();
    assertEquals(unwrap(await app.send(Pay, payload, { node: "node-2" })), 420);
    assertEquals((await app.load(Account, "a-1")).version, 1);
    assertEquals(cluster.clock.monotonic(), began);
  });

  it("the node that decides is killed between the append and its answer: applied once, and its sender gets the result", async () => {
    const killed: string[] = [];
    const dies: Behavior = async ({ ctx }, next) => {
      const result = await next();
      if (killed.length > 0) return result;
      killed.push(ctx.node);
      cluster.kill(ctx.node);
      return await new Promise(() => {});
    };
    await using cluster = await testCluster(["a", "b", "c", "client"], {
      node: (id) => id === "client" ? {} : { handlers: pay, behaviors: [dies] },
    });
    const client = cluster.app("client");
    const began = cluster.clock.monotonic();
    assertEquals(unwrap(await client.send(Pay, payload)), 420);
    assertEquals(killed.length, 1);
    assert(cluster.clock.monotonic() - began < 30_000);
    assertEquals(await client.load(Account, "a-1", { latest: true }), { id: "a-1", version: 1, state: 420 });
    assertEquals(cluster.recorder.handled(Pay).filter(({ result }) => result?.ok).map(({ attempt }) => attempt), [2]);
  });

  it("a quorum that is lost: OUTCOME_UNKNOWN, and sent again the recorded result", async () => {
    await using cluster = await testCluster(["a", "b"], { handlers: pay, logger });
    const [app] = cluster.apps;
    unwrap(await app.send(Pay, payload));
    cluster.network.faults = { noQuorum: { every: 1, lasts: 20_000 } };
    await cluster.advance(100);
    const sent = { id: "second", firstSent: new Date(app.clock.now()) };
    const lost = await app.send(Pay, payload, { ...sent, timeout: 1_000 });
    assertEquals(lost.error?.code, "OUTCOME_UNKNOWN");
    cluster.network.faults = {};
    cluster.heal();
    assertEquals(unwrap(await app.send(Pay, payload, sent)), 840);
    assertEquals(unwrap(await app.send(Pay, payload, sent)), 840);
    assertEquals((await app.load(Account, "a-1", { latest: true })).version, 2);
  });
});
