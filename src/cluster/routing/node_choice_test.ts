/** Tests of the choice of nodes: the cost of a change of the nodes, and what a user's routing strategy may do. */
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { command, query } from "../../contract/declaration/definition.ts";
import type { NodeInfo, RouteName, RouteRequest, Strategy } from "../../contract/nodes/node_info.ts";
import { fail, type Result, unwrap } from "../../contract/calls/result.ts";
import type { RemoteRequest } from "../../dispatch/remote.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { testCluster } from "../../testing/mod.ts";
import { openTrio, Player, type Stage } from "../../../test/support/stage.ts";
import { Router, type RouterOptions } from "./router.ts";
import { seededRandom } from "../../memory/seeded_random.ts";
import { type StrategyHost, strategyOf } from "./node_choice.ts";

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
    // cast: the only member that a broadcast to nobody reads
    const broadcast = { contract: Ask } as unknown as RemoteRequest;
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

const NAMES: readonly RouteName[] = ["round-robin", "local-first", "hash", "least-loaded", "random"];

class Host implements StrategyHost {
  readonly random = seededRandom(3);
  now = 0;
  sent = 0;
  readonly loads = new Map<string, number>();
  turn = (): number => this.now;
  underWay = (): number => this.sent;
  load = ({ id }: NodeInfo): number => this.loads.get(id) ?? 0;
}

const node = (id: string): NodeInfo => ({
  id,
  endpoint: `${id}.1`,
  service: "app",
  handles: [],
  startedAt: 0,
  lastSeen: 0,
  metadata: {},
  load: { inFlight: 0, queued: 0 },
  server: "",
  protocol: 1,
  version: "",
});
const nodes = (count: number): NodeInfo[] => Array.from({ length: count }, (_, i) => node(`n${i}`));
const request = (more: Partial<RouteRequest> = {}): RouteRequest => ({ self: "n1", attempt: 1, key: "k", ...more });
const picks = (strategy: Strategy, candidates: readonly NodeInfo[], count: number, more?: Partial<RouteRequest>) =>
  Array.from({ length: count }, () => strategy(candidates, request(more))!.id);
const counts = (ids: readonly string[]): number[] => {
  const count = new Map<string, number>();
  for (const id of ids) count.set(id, (count.get(id) ?? 0) + 1);
  return [...count.values()].sort((a, b) => a - b);
};

for (const name of NAMES) {
  describe(`strategy ${name}`, () => {
    it("picks one of the candidates, whatever their number, and changes none of them", () => {
      const strategy = strategyOf(name, new Host());
      for (const count of [1, 2, 3, 7, 50, 2, 1]) {
        const candidates = Object.freeze(nodes(count)) as NodeInfo[];
        for (let i = 0; i < 100; i++) assert(candidates.includes(strategy(candidates, request({ key: `k${i}` }))!));
      }
    });

    it("leaves no candidate without requests", () => {
      const host = new Host();
      const strategy = strategyOf(name, host);
      const candidates = nodes(4);
      const seen = new Set<string>();
      for (let i = 0; i < 2_000; i++) {
        host.now = i;
        seen.add(strategy(candidates, request({ key: `k${i}`, self: "elsewhere" }))!.id);
      }
      assertEquals(seen.size, 4);
    });

    it("has its own turns: another contract's picks do not change them", () => {
      const [one, two, host] = [new Host(), new Host(), new Host()];
      const alone = strategyOf(name, one);
      const beside = strategyOf(name, two);
      const other = strategyOf("round-robin", host);
      for (let i = 0; i < 100; i++) {
        one.now = two.now = host.now = i;
        picks(other, nodes(3), 2);
        assertEquals(alone(nodes(3), request({ key: `k${i}` })), beside(nodes(3), request({ key: `k${i}` })));
      }
    });
  });
}

describe("strategy round-robin", () => {
  it("is strict for one send a turn, and up to 32 in one turn", () => {
    const host = new Host();
    const strategy = strategyOf("round-robin", host);
    for (let i = 0, last = -1; i < 300; i++) {
      if (i % 32 === 0) host.now++;
      const at = Number(strategy(nodes(3), request())!.id.slice(1));
      if (last >= 0) assertEquals(at, (last + 1) % 3, `send ${i}`);
      last = at;
    }
  });

  it("continues in runs of 32 beyond 32 in one turn", () => {
    const host = new Host();
    const ids = picks(strategyOf("round-robin", host), nodes(3), 32 + 4 * 32);
    for (let run = 0; run < 4; run++) {
      const part = ids.slice(32 + run * 32, 64 + run * 32);
      assertEquals(new Set(part).size, 1, `run ${run}`);
      assert(part[0] !== ids[32 + run * 32 - 1], `run ${run} goes on with the node before it`);
    }
    host.now++;
    assertEquals(new Set(picks(strategyOf("round-robin", host), nodes(3), 3)).size, 3);
  });

  it("begins each turn with a run at the next node while more than 32 for each node are under way", () => {
    const host = new Host();
    const strategy = strategyOf("round-robin", host);
    const firsts = new Set<string>();
    host.sent = 97;
    for (host.now = 1; host.now <= 3; host.now++) {
      const picked = picks(strategy, nodes(3), 40);
      assertEquals([new Set(picked.slice(0, 32)).size, new Set(picked.slice(32)).size], [1, 1]);
      assert(picked[31] !== picked[32]);
      firsts.add(picked[0]);
    }
    assertEquals(firsts.size, 3);
    host.sent = 96;
    assertEquals(new Set(picks(strategy, nodes(3), 3)).size, 3);
  });

  it("does not begin with the same node in every process", () => {
    const firsts = Array.from({ length: 60 }, (_, i) => {
      const host: StrategyHost = { random: seededRandom(i), turn: () => 0, underWay: () => 0, load: () => 0 };
      return strategyOf("round-robin", host)(nodes(3), request())!.id;
    });
    assertEquals(new Set(firsts).size, 3);
  });
});

describe("strategy local-first", () => {
  it("picks this node while it is a candidate, else the others in turn", () => {
    const strategy = strategyOf("local-first", new Host());
    assertEquals(new Set(picks(strategy, nodes(3), 50)), new Set(["n1"]));
    const others = nodes(3).filter(({ id }) => id !== "n1");
    assertEquals(counts(picks(strategy, others, 30)), [15, 15]);
  });
});

describe("strategy hash", () => {
  const strategy = strategyOf("hash", new Host());

  it("picks one node for one key, in whatever order the candidates come", () => {
    for (let i = 0; i < 200; i++) {
      const key = `order:${i}`;
      assertEquals(strategy(nodes(5), request({ key }))!.id, strategy(nodes(5).reverse(), request({ key }))!.id);
    }
  });

  it("moves only the keys of a node that leaves", () => {
    for (let i = 0; i < 1_000; i++) {
      const key = `order:${i}`;
      const before = strategy(nodes(5), request({ key }))!.id;
      const after = strategy(nodes(5).filter(({ id }) => id !== "n2"), request({ key }))!.id;
      if (before !== "n2") assertEquals(after, before);
    }
  });

  it("throws a TypeError that says what to do without a key; an empty key is a key", () => {
    const error = assertThrows(() => strategy(nodes(2), { self: "n1", attempt: 1 }), TypeError);
    assert(error.message.includes("key"), error.message);
    assert(strategy(nodes(2), request({ key: "" })) !== undefined);
  });
});

describe("strategy least-loaded", () => {
  it("picks the less loaded of two: never the most loaded of all, an idle one most often", () => {
    const host = new Host();
    for (const [i, load] of [100, 10, 0, 10].entries()) host.loads.set(`n${i}`, load);
    const ids = picks(strategyOf("least-loaded", host), nodes(4), 1_000);
    assert(!ids.includes("n0"));
    assert(ids.filter((id) => id === "n2").length > 400);
  });

  it("spreads evenly over equally loaded nodes, also over two", () => {
    for (const count of [2, 5]) {
      for (const share of counts(picks(strategyOf("least-loaded", new Host()), nodes(count), 5_000))) {
        assert(Math.abs(share - 5_000 / count) < 250, String(share));
      }
    }
  });
});

describe("strategyOf", () => {
  it("returns a function as it is", () => {
    const own: Strategy = (candidates) => candidates[0];
    assertEquals(strategyOf(own, new Host()), own);
  });
});

describe("a strategy of the program", () => {
  it("may change the array of its candidates: the next request has them all (no node was left, for good)", async () => {
    const Where = query<void, string>("Where");
    const handlers = Where.handle((_, ctx) => ctx.node);
    await using cluster = await testCluster(["client", "a", "b"], {
      node: (id) => id === "client" ? {} : { handlers },
    });
    const client = cluster.app("client");
    const route: Strategy = (candidates) => (candidates as NodeInfo[]).splice(0).find(({ id }) => id === "b");
    for (let i = 0; i < 3; i++) assertEquals((await client.send(Where, undefined, { route })).value, "b");
    assertEquals((await client.broadcast(Where)).map(({ node }) => node).sort(), ["a", "b"]);
  });
});

describe("least-loaded, when a node fails at once", () => {
  it("a node whose database is down gets at most its share of the calls (it had 42 to 47 %)", async () => {
    for (const how of ["throws", "fails"]) {
      const Ask = query<void, string>("Ask", { route: "least-loaded" });
      const ran: Record<string, number> = {};
      await using cluster = await testCluster(["client", "sick", "b", "c", "d"], {
        node: (id) => ({
          handlers: id === "client" ? [] : Ask.handle(async (_, { clock }) => {
            ran[id] = (ran[id] ?? 0) + 1;
            if (id !== "sick") await clock.sleep(40);
            else if (how === "throws") throw new Error("its database is down");
            else return fail("UNAVAILABLE", "its database is down");
            return id;
          }),
        }),
      });
      const app = cluster.app("client");
      const until = app.clock.now() + 1_500;
      const ask = async () => {
        while (app.clock.now() < until) await app.send(Ask);
      };
      await Promise.all(Array.from({ length: 40 }, ask));
      const all = Object.values(ran).reduce((sum, count) => sum + count);
      assert(ran.sick <= all / 4, `${how}: ${ran.sick} of ${all}`);
      assert(ran.sick >= 5, `${how}: it is asked again, and would be found healthy: ${ran.sick}`);
    }
  });

  it("a node that says it is not ready gets nothing while another is ready, and all else as before", async () => {
    const Ask = query<void, string>("Ask");
    await using cluster = await testCluster(["client", "a", "b"], {
      node: (id) => ({ handlers: id === "client" ? [] : Ask.handle((_, { node }) => node) }),
    });
    const [client, a, b] = ["client", "a", "b"].map((id) => cluster.app(id));
    const asked = async (count = 20) => {
      const answers = new Set<string | undefined>();
      for (let n = 0; n < count; n++) answers.add((await client.send(Ask)).value);
      return [...answers].sort();
    };
    const seen = async (node: string, why: string | undefined) => {
      while (client.nodes().find(({ id }) => id === node)?.unready !== why) await client.clock.sleep(100);
    };
    assertEquals(await asked(), ["a", "b"]);
    a.ready(false, "no database");
    assertEquals([a.health().status, a.health().ready, a.health().why, a.health().live], [
      ...["unready", false, "no database", true],
    ]);
    await seen("a", "no database");
    assertEquals(await asked(), ["b"]);
    assertEquals((await a.send(Ask)).value, "b"); // nor does it choose itself
    b.ready(false, "no database either");
    await seen("b", "no database either");
    assertEquals(await asked(), ["a", "b"]); // better than nobody
    a.ready(true);
    await seen("a", undefined);
    assertEquals([a.health().status, a.health().why], ["ready", undefined]);
    assertEquals(await asked(), ["a"]);
  });

  it("ready refuses what is no reason, and says what it wants", async () => {
    await using app = await testCluster(1, {});
    const [node] = [app.app("node-1")];
    assertThrows(() => node.ready("no" as never), TypeError, "ready: the first argument must be true or false");
    assertThrows(() => node.ready(false), TypeError, "say why");
    assertThrows(() => node.ready(false, "x".repeat(201)), RangeError, "1 to 200 characters; got 201");
    assertThrows(() => node.ready(true, "why"), TypeError, 'ready(true) takes no reason; got "why"');
  });
});
