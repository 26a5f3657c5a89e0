import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { checkTestOptions, idsOf, type TestClusterOptions } from "./test_cluster_options.ts";

const check = (options: unknown) => checkTestOptions(options as TestClusterOptions);

describe("checkTestOptions", () => {
  it("accepts options of the cluster and of its nodes, also those that are undefined", () => {
    for (const time of ["virtual", "manual", "real", undefined]) check({ time });
    check({
      node: () => ({}),
      seed: 1,
      faults: {},
      handlers: [],
      service: "shop",
      nats: undefined,
      signals: undefined,
    });
  });

  it("names a kind of time that there is not", () => {
    for (const [time, shown] of [["fast", '"fast"'], ["", '""'], [null, "null"], [5, "5"]]) {
      assertThrows(() => check({ time }), TypeError, `time must be "virtual", "manual" or "real"; got ${shown}`);
    }
  });

  it("takes none of the options by which an app finds its cluster", () => {
    for (const name of ["nats", "network", "id", "transport", "signals"]) {
      const says = `testCluster takes no ${name}: its nodes run in memory, on a network of the cluster`;
      assertThrows(() => check({ [name]: "x", typo: 1 }), TypeError, says);
    }
  });

  it("names an unknown option and those that there are, also if its value is undefined", () => {
    const unknown = assertThrows(() => check({ handler: 1 }), TypeError);
    assertMatch(
      unknown.message,
      /^testCluster: unknown option handler; it takes node, time, file, seed, faults, servers, maxPayload, handlers, /,
    );
    assertEquals(/nats|network|signals/.test(unknown.message), false);
    assertThrows(() => check({ toString: undefined }), TypeError, "unknown option toString");
  });
});

describe("idsOf", () => {
  it("numbers the nodes from 1, and keeps ids that are given in their order", () => {
    assertEquals([idsOf(1), idsOf(3)], [["node-1"], ["node-1", "node-2", "node-3"]]);
    assertEquals(idsOf(1_000).at(-1), "node-1000");
    assertEquals([idsOf(["b", "a"]), idsOf([])], [["b", "a"], []]);
  });

  it("throws for a size that is not from 1 to 1,000, and for an id that is given twice", () => {
    for (const size of [0, -1, 1.5, 1_001, NaN, Infinity]) assertThrows(() => idsOf(size), RangeError, `got ${size}`);
    assertThrows(() => idsOf(["a", "b", "b"]), TypeError, 'every node needs an id of its own; got "b" twice');
  });
});
