/** Tests of a cluster's rates, which are the differences between two answers of each node. */
import { assertEquals, assertLess } from "@std/assert";
import { describe, it } from "node:test";
import type { NodeInfo } from "../../contract/nodes/node_info.ts";
import type { ContractStats, NodeStats } from "../../contract/nodes/node_stats.ts";
import { latencyBucket } from "../../data/latency_buckets.ts";
import { Answers } from "../commands/top.ts";
import { clusterRates } from "./cluster_rates.ts";

function contract(name: string, more: Partial<ContractStats> = {}): ContractStats {
  const zero = { handled: 0, inHand: 0, queued: 0, sent: 0, heard: 0, published: 0 };
  return { name, kind: "query", ...zero, failed: {}, sendFailed: {}, latency: [], ...more };
}

function stats(id: string, up: number, contracts: readonly ContractStats[], more: Partial<NodeStats> = {}): NodeStats {
  return {
    ...{ id, endpoint: `${id}.1`, service: "s", now: up, up, inFlight: 0, queued: 0, locks: 0, cycles: 0 },
    ...{ moreContracts: 0, contracts, peers: [], leads: [], process: { rss: 1e6, cpu: up / 10 } },
    ...more,
  };
}

const info: NodeInfo = {
  ...{ id: "", endpoint: "", service: "s", handles: [], subscriptions: [], startedAt: 1, lastSeen: 1, metadata: {} },
  ...{ load: { inFlight: 0, queued: 0 }, server: "", protocol: 1, version: "0.0.0" },
};

/** Returns the counts of a node's latency buckets for so many requests of each duration. */
function latency(...times: readonly [ms: number, count: number][]): number[] {
  const counts: number[] = [];
  for (const [ms, count] of times) {
    const bucket = latencyBucket(ms);
    while (counts.length <= bucket) counts.push(0);
    counts[bucket] += count;
  }
  return counts;
}

describe("Answers", () => {
  it("a node that was asked for alarms since the last time is not asked again (it was asked twice a second)", async () => {
    const asked: string[] = [];
    const node = { ...info, id: "a", endpoint: "a.1" };
    const answers = new Answers({
      silence: "no answer",
      ping: () => Promise.resolve({ type: "silence" }),
      stats: (endpoint, limit) => {
        asked.push(`${endpoint} within ${limit} ms`);
        return Promise.resolve({ type: "stats", stats: stats("a", 1_000 * asked.length, []) });
      },
      [Symbol.dispose]: () => {},
    }, 900);
    const told = await answers.stats("a.1", 950);
    const [first] = await answers.ask([node]);
    assertEquals([told, asked], [{ type: "stats", stats: first.now! }, ["a.1 within 950 ms"]]);
    const [second] = await answers.ask([node]);
    assertEquals([second.before, second.now?.up, asked.slice(1)], [first.now, 2_000, ["a.1 within 900 ms"]]);
  });
});

describe("clusterRates", () => {
  it("adds up what all nodes did since their earlier answers, each by its own time", () => {
    const before = [contract("Price", { handled: 10, failed: { A: 1 }, latency: latency([1, 10]) })];
    const now = [
      contract("Price", { handled: 30, failed: { A: 3, B: 4 }, latency: latency([1, 10], [8, 20]), queued: 2 }),
    ];
    const { nodes, contracts } = clusterRates([
      {
        id: "b",
        service: "s",
        before: stats("b", 1_000, []),
        now: stats("b", 3_000, [contract("Price", { handled: 10 })]),
      },
      { id: "a", service: "s", before: stats("a", 1_000, before), now: stats("a", 2_000, now) },
    ]);
    assertEquals(nodes.map(({ node }) => node), ["a", "b"]);
    assertEquals(nodes.map(({ rates }) => rates?.handled), [20, 5]);
    assertEquals(nodes[0].rates, { handled: 20, sent: 0, failed: 6, cpu: 0.1 });
    const [{ handled, failed, queued, nodes: many, p50 }] = contracts;
    assertEquals({ handled, failed: { ...failed }, queued, many }, {
      handled: 25,
      failed: { A: 2, B: 4 },
      queued: 2,
      many: 2,
    });
    assertLess(Math.abs(p50! - 8), 3); // requests before the first answer are not in the percentile
  });

  it("adds up codes of failures and durations over all nodes", () => {
    const sample = (id: string, failed: Record<string, number>, ms: number, count: number) => ({
      ...{ id, service: "s", before: stats(id, 0, []) },
      now: stats(id, 1_000, [contract("Price", { handled: count, sent: 1, failed, latency: latency([ms, count]) })]),
    });
    const { nodes, contracts } = clusterRates([
      sample("a", { X: 1 }, 1, 60),
      sample("b", { X: 2 }, 100, 40),
      sample("c", {}, 1, 40),
    ]);
    const [{ failed, sent, p50, p99 }] = contracts;
    assertEquals([{ ...failed }, sent, nodes[1].rates?.sent], [{ X: 3 }, 3, 1]);
    assertLess(Math.abs(p50! - 1), 0.5);
    assertLess(Math.abs(p99! - 100), 30);
  });

  it("the busiest contract is first, then by name; nodes are by their ids", () => {
    const now = [contract("C", { handled: 1 }), contract("A", { published: 1 }), contract("D", { sent: 1 })];
    const sample = (id: string) => ({
      ...{ id, service: "s", before: stats(id, 0, []) },
      now: stats(id, 1_000, [...now, contract("B", { sent: 5 })]),
    });
    const { nodes, contracts } = clusterRates(["b", "a", "c"].map(sample));
    assertEquals(contracts.map((each) => each.contract), ["B", "A", "C", "D"]);
    assertEquals(nodes.map(({ node }) => node), ["a", "b", "c"]);
  });

  it("of answers 10 ms apart there are rates, and of nodes that do not answer nothing is left out", () => {
    const now = stats("a", 1_010, [contract("A", { handled: 7 })]);
    const { nodes } = clusterRates([{ id: "a", service: "s", before: stats("a", 1_000, [contract("A")]), now }]);
    assertEquals(Math.round(nodes[0].rates!.handled), 700);
    assertEquals(clusterRates([{ id: "a", service: "s" }]), {
      nodes: [{ node: "a", service: "s" }],
      contracts: [],
      moreContracts: 0,
    });
  });

  it("of one answer, of another process, or of answers at the same time there are no rates", () => {
    const now = stats("a", 1_000, [contract("A", { handled: 7, inHand: 1 })]);
    const other = { ...now, endpoint: "a.2", up: 5 };
    for (const before of [undefined, other, { ...now, up: 999 }, { ...now, up: 2_000 }]) {
      const { nodes, contracts } = clusterRates([{ id: "a", service: "s", before, now }]);
      assertEquals([nodes[0].rates, contracts[0].handled, contracts[0].inHand], [undefined, 0, 1]);
    }
  });

  it("a contract that the earlier answer had no room for has no rates yet", () => {
    const now = stats("a", 1_000, [contract("A", { handled: 1e6 })]);
    const before = stats("a", 0, [], { moreContracts: 1 });
    assertEquals(clusterRates([{ id: "a", service: "s", before, now }]).contracts[0].handled, 0);
  });

  it("counts that shrink are no rates below 0", () => {
    const before = stats("a", 0, [contract("A", { handled: 9, latency: [9], failed: { X: 3 } })]);
    const now = stats("a", 1_000, [contract("A", { handled: 1, latency: [1], failed: { X: 1 } })]);
    const [{ handled, failed, p50 }] = clusterRates([{ id: "a", service: "s", before, now }]).contracts;
    assertEquals([handled, Object.keys(failed), p50], [0, [], undefined]);
  });

  it("a node that does not answer has its note", () => {
    const { nodes } = clusterRates([{ id: "a", service: "s", note: "no answer" }]);
    assertEquals(nodes, [{ node: "a", service: "s", note: "no answer" }]);
  });

  it("a node that is not ready has the reason, whether it answers or not", () => {
    const unready = "the database is down";
    const { nodes } = clusterRates([
      { id: "a", service: "s", unready, now: stats("a", 1_000, []) },
      { id: "b", service: "s", unready, note: "no answer" },
    ]);
    assertEquals(nodes.map((node) => node.unready), [unready, unready]);
  });

  it('has failures with the most frequent code first, whatever it is called (those of "constructor" were missing), and the most contracts left out of an answer', () => {
    const failed = JSON.parse('{ "A": 1, "__proto__": 9, "constructor": 6, "B": 4 }');
    const { contracts, moreContracts } = clusterRates([
      {
        id: "a",
        service: "s",
        before: stats("a", 1_000, [contract("Price")]),
        now: stats("a", 2_000, [contract("Price", { handled: 14, failed })], { moreContracts: 2 }),
      },
      { id: "b", service: "s", now: stats("b", 2_000, [], { moreContracts: 3 }) },
      { id: "c", service: "s" },
    ]);
    assertEquals(Object.entries(contracts[0].failed), [["__proto__", 9], ["constructor", 6], ["B", 4], ["A", 1]]);
    assertEquals(moreContracts, 3);
  });
});
