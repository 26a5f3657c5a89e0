/** Tests of the choice of nodes: the cost of a change of the nodes, and what a user's routing strategy may do. */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { command, query } from "../../contract/definition.ts";
import type { NodeInfo, Strategy } from "../../contract/node_info.ts";
import { type Result, unwrap } from "../../contract/result.ts";
import type { RemoteRequest } from "../../dispatch/remote.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { testCluster } from "../../testing/mod.ts";
import { openTrio, Player, type Stage } from "../../../test/support/stage.ts";
import { Router, type RouterOptions } from "./router.ts";

const Ask = query<unknown, unknown>("Ask");
const Do = command<unknown, unknown>("Do");
const code = ({ value, error }: Result<unknown>): unknown => error?.code ?? value;
/** Asserts that no call is under way or waits, so that a drain ends at once. */
async function assertIdle({ app, clock }: Stage): Promise<void> {
  assertEquals(app.self.load.inFlight, 0);
  await clock.until(app.drain(), 50);
}

describe("candidates", () => {
  it("are determined at the next send, once for any number of changes of the nodes", async () => {
    let looks = 0;
    const router = new Router({
      app: { node: "a" },
      endpoint: { find: () => undefined },
      clock: new VirtualClock(),
      random: () => 0,
      observer: () => {},
      breaker: { failures: 1, cooldown: 1_000 },
      members: () => {
        looks++;
        return [];
      },
    } as unknown as RouterOptions); // cast: a request for which no node has a handler needs no other members
    const broadcast = { contract: Ask } as unknown as RemoteRequest; // cast: the only member that a broadcast to nobody reads
    router.joined();
    for (let n = 0; n < 10_000; n++) router.refresh();
    assertEquals(looks, 0);
    await router.broadcast(broadcast);
    const first = looks;
    for (let n = 0; n < 10_000; n++) router.refresh();
    await router.broadcast(broadcast);
    assertEquals({ first, second: looks - first }, { first: 2, second: 2 });
  });
});

describe("a strategy of the user's", () => {
  it("that throws, or picks a node that is not a candidate, makes the send reject; nothing is left behind", async () => {
    await using stage = await openTrio();
    const { app } = stage;
    const throwing = () => {
      throw new RangeError("my own");
    };
    await assertRejects(() => app.send(Ask, 1, { route: throwing }), RangeError, "my own");
    const foreign = { ...app.self, id: "foreign" };
    await assertRejects(() => app.send(Ask, 1, { route: () => foreign }), TypeError, "not one of its candidates");
    await assertIdle(stage);
  });

  it("that picks none makes the request wait for a node, and is called again at a join (the send hung)", async () => {
    await using stage = await openTrio();
    const { app, network, clock } = stage;
    const wanted = (nodes: readonly NodeInfo[]) => nodes.find(({ id }) => id === "third");
    const sent = [app.send(Do, 1, { route: wanted }), app.send(Do, 2, { route: wanted })];
    await clock.advance(300);
    const unwanted = new Player(network, "unwanted");
    await unwanted.register(["Ask", "Do"]);
    await clock.advance(300);
    const third = new Player(network, "third");
    third.answerWith(() => "third");
    await third.register(["Ask", "Do"]);
    assertEquals((await clock.until(Promise.all(sent))).map(unwrap), ["third", "third"]);
    const vain = app.send(Do, 1, { route: () => undefined });
    await clock.advance(600);
    const { error } = await vain;
    assertEquals(error?.code, "NO_HANDLER");
    assertMatch(error?.message ?? "", /^command Do was not sent: the strategy of its route chose none/);
    await assertIdle(stage);
  });

  it("is called, too, where this node alone handles the contract (a send without options bypassed it)", async () => {
    const asked: string[] = [];
    const route: Strategy = ([only]) => (asked.push(only.id), undefined);
    const Own = query<void, string>("Own", { route });
    await using cluster = await testCluster(1, { handlers: Own.handle(() => "ran") });
    const app = cluster.app("node-1");
    for (const sent of [app.send(Own), app.send(Own, undefined, {})]) assertEquals(code(await sent), "NO_HANDLER");
    assertEquals(asked, ["node-1", "node-1"]);
  });

  it("is not called when the send names a node, nor in a broadcast", async () => {
    await using stage = await openTrio({ route: () => undefined });
    const { app, other, second, clock } = stage;
    other.answerWith(() => "other");
    second.answerWith(() => "second");
    assertEquals(unwrap(await clock.until(app.send(Do, 1, { node: "second" }), 10)), "second");
    const all = await clock.until(app.broadcast(Do, 1), 10);
    assertEquals(all.map(({ node, result }) => [node, code(result)]), [["other", "other"], ["second", "second"]]);
  });
});
