/** Tests of which statistics of a node the tool accepts, and what it says about all others. */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { readNodeStats } from "./node_stats.ts";

const LEAST = { endpoint: "a.1", service: "s", now: 1, up: 2, process: { rss: 3, cpu: 4 } };
const contract = { name: "Price", kind: "query" };
const peer = { endpoint: "b.1", sent: 3 };

describe("readNodeStats", () => {
  it("what is left out is 0 or empty", () => {
    assertEquals<unknown>(readNodeStats("a.1", { ...LEAST, contracts: [contract], peers: [peer] }), {
      id: "a",
      endpoint: "a.1",
      service: "s",
      now: 1,
      up: 2,
      inFlight: 0,
      queued: 0,
      locks: 0,
      cycles: 0,
      moreContracts: 0,
      contracts: [{
        name: "Price",
        kind: "query",
        handled: 0,
        inHand: 0,
        queued: 0,
        sent: 0,
        heard: 0,
        published: 0,
        failed: {},
        sendFailed: {},
        latency: [],
      }],
      peers: [{ id: "b", endpoint: "b.1", sent: 3, answered: 0, failed: 0 }],
      leads: [],
      process: { rss: 3, cpu: 4 },
    });
  });

  it("nothing else is kept, and a code may be __proto__", () => {
    const failed = JSON.parse('{"__proto__":2}');
    const read = readNodeStats("a.1", {
      ...LEAST,
      id: "other",
      more: 1,
      contracts: [{ ...contract, failed, failure: "A: b".repeat(200), more: 1 }],
    });
    if (typeof read === "string") throw new Error(read);
    assertEquals([read.id, "more" in read, "more" in read.contracts[0]], ["a", false, false]);
    assertEquals(Object.entries(read.contracts[0].failed), [["__proto__", 2]]);
    assertEquals(read.contracts[0].failure, "A: b".repeat(100));
  });

  it("each field that is malformed is an error", () => {
    const many = (n: number) => Array.from({ length: n }, (_, i) => [`C${i}`, 1]);
    const wrong: unknown[] = [
      ...[undefined, null, 1, "text", [], {}],
      { ...LEAST, endpoint: "b.1" },
      ...["now", "up", "service", "process"].map((name) => ({ ...LEAST, [name]: undefined })),
      ...[-1, NaN, Infinity, "1", null].map((up) => ({ ...LEAST, up })),
      { ...LEAST, service: 1 },
      ...[{}, { rss: -1, cpu: 1 }, { rss: 1, cpu: "1" }, []].map((process) => ({ ...LEAST, process })),
      ...["inFlight", "queued", "locks", "cycles", "moreContracts"].flatMap((name) =>
        [-1, 1.5, "1", {}, true].map((count) => ({ ...LEAST, [name]: count }))
      ),
      ...[1, {}, [1], [null], ["Price"]].map((contracts) => ({ ...LEAST, contracts })),
      ...[
        { name: "no name!" },
        { name: 1 },
        { kind: "thing" },
        { handled: -1 },
        { failed: [] },
        { failed: { A: "1" } },
        { sendFailed: { A: -1 } },
        { failure: 1 },
        { failed: Object.fromEntries(many(66)) },
        { latency: {} },
        { latency: [1, -1] },
        { latency: new Array(64).fill(0) },
      ].map((more) => ({ ...LEAST, contracts: [{ ...contract, ...more }] })),
      ...[{ endpoint: "b" }, { endpoint: "b.1.>" }, { endpoint: 1 }, { sent: -1 }].map((more) => ({
        ...LEAST,
        peers: [{ ...peer, ...more }],
      })),
      ...[1, [1], new Array(20_000).fill("x")].map((leads) => ({ ...LEAST, leads })),
      { ...LEAST, contracts: new Array(20_000).fill(contract) },
    ];
    for (const answer of wrong) {
      assertEquals(typeof readNodeStats("a.1", answer), "string", JSON.stringify(answer)?.slice(0, 200));
    }
  });
});
