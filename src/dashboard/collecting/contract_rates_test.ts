import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { ContractStats, NodeStats } from "../../contract/nodes/node_stats.ts";
import { latencyBucket } from "../../data/latency_buckets.ts";
import { ContractRates } from "./contract_rates.ts";

function stats(name: string, more: Partial<ContractStats>): ContractStats {
  const counts = { handled: 0, inHand: 0, queued: 0, sent: 0, heard: 0, published: 0 };
  return { name, kind: "query", ...counts, failed: {}, sendFailed: {}, latency: [], ...more };
}

/** Makes rates; `take` gives them a process's answer together with its answer before. */
function answered() {
  const rates = new ContractRates();
  const before = new Map<string, Pick<NodeStats, "contracts" | "moreContracts">>();
  const take = (endpoint: string, contracts: readonly ContractStats[], moreContracts = 0) => {
    rates.take({ endpoint, contracts }, before.get(endpoint));
    before.set(endpoint, { contracts, moreContracts });
  };
  return { rates, take };
}

describe("ContractRates", () => {
  it("what was counted before the first answer is no rate; then differences are, over all nodes", () => {
    const { rates, take } = answered();
    for (const endpoint of ["a.1", "b.1"]) take(endpoint, [stats("Q", { handled: 1_000 })]);
    assertEquals(rates.view(9).shown.map(({ rate }) => rate), [0]);
    rates.tick();
    for (const endpoint of ["a.1", "b.1"]) {
      take(endpoint, [stats("Q", { handled: 1_010, failed: { BUSY: 4 }, inHand: 2 })]);
    }
    const [{ rate, failing, codes, inHand }] = rates.view(9).shown;
    assertEquals([rate, failing, codes, inHand], [10, 4, [["BUSY", 8]], 4]); // rates per second, over 2 s
  });

  it("a process that begins again does not count backwards", () => {
    const { rates, take } = answered();
    take("a.1", [stats("Q", { handled: 50 })]);
    take("a.1", [stats("Q", { handled: 40, failed: { X: 0 } })]);
    take("a.2", [stats("Q", { handled: 7 })]);
    assertEquals(rates.view(9).shown[0].rate, 0);
  });

  it("a contract that the answer before had no room for begins with the next one", () => {
    const { rates, take } = answered();
    take("a.1", [stats("P", {})], 1);
    take("a.1", [stats("Q", { handled: 1_000_000, failed: { HANDLER_FAILED: 5_000 } })], 1);
    const [{ rate, failing }] = rates.view(9).shown.filter(({ name }) => name === "Q");
    assertEquals([rate, failing, rates.observed.get("Q")?.failures], [0, 0, {}]);
    take("a.1", [stats("Q", { handled: 1_000_010, failed: { HANDLER_FAILED: 5_000 } })], 1);
    assertEquals(rates.view(9).shown[0].rate, 10);
  });

  it("latencies are those of the last seconds, and a point comes every 10 s", () => {
    const { rates, take } = answered();
    const latency = (ms: number) => {
      const counts = new Array(latencyBucket(ms) + 1).fill(0);
      counts[latencyBucket(ms)] = 100;
      return counts;
    };
    take("a.1", [stats("Q", {})]);
    take("a.1", [stats("Q", { handled: 100, latency: latency(20) })]);
    const made = Array.from({ length: 10 }, () => rates.tick());
    assertEquals(made.map((point) => point !== undefined), [...new Array(9).fill(false), true]);
    const [rate, failing, p50, p99] = made[9]!.Q;
    assertEquals([rate, failing], [10, 0]);
    assert(p50 !== null && p99 !== null && p50 > 13 && p99 < 30, `${p50} ${p99}`);
    assertEquals(rates.history(["Q", "none"]), { Q: [made[9]!.Q], none: [] } as never);
    for (let n = 0; n < 10; n++) rates.tick();
    assertEquals(rates.view(9).shown[0].p99, null);
  });

  it("the list is cut, the busiest first, and codes of one contract are bounded", () => {
    const { rates, take } = answered();
    const many = (handled: number) =>
      Array.from({ length: 300 }, (_, n) =>
        stats(`Q${n}`, {
          handled: handled * n,
          failed: Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`C${i}`, handled])),
        }));
    take("a.1", many(0));
    take("a.1", many(1));
    const { shown, total } = rates.view(10);
    assertEquals([shown.length, total, shown[0].name, shown[0].codes.length], [10, 300, "Q299", 5]);
    assertEquals(shown[0].codes[0], ["_OTHER", 36]);
  });
});
