import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { assertEquals, assertLess } from "@std/assert";
import * as evidence from "./evidence_of_life.ts";

const { Bounces, CUT, HOLDER_BOUNCES_FOR, LEADER_BOUNCES_FOR, MOVING_BOUNCES_FOR, PROCESS_BOUNCES_FOR } = evidence;

describe("what is concluded of a process that does not answer", () => {
  it("stands in one table, with each constant", () => {
    const source = readFileSync(new URL("./evidence_of_life.ts", import.meta.url), "utf8");
    const named = new Set([...source.matchAll(/^ \* \|.*`([A-Z_]+)`/gm)].map(([, name]) => name));
    const used = ["LONGEST_SILENCE", "CUT"]; // parts of SILENT_FOR and HOLDER_BOUNCES_FOR
    assertEquals(named, new Set(Object.keys(evidence).filter((name) => name !== "Bounces" && !used.includes(name))));
  });

  it("takes longer, the more a mistake costs", () => {
    assertLess(250, LEADER_BOUNCES_FOR); // a redial
    assertLess(LEADER_BOUNCES_FOR, PROCESS_BOUNCES_FOR);
    assertLess(1_700, evidence.RECONNECT_GRACE); // the longest move to another server (docs/internals/measurements.md)
    assertLess(evidence.RECONNECT_GRACE, MOVING_BOUNCES_FOR);
    assertLess(MOVING_BOUNCES_FOR, CUT);
    assertLess(CUT + 1_250, HOLDER_BOUNCES_FOR);
  });
});

describe("Bounces", () => {
  it("last since the first one, until they are cleared", () => {
    const bounces = new Bounces();
    assertEquals(bounces.lastedFor(0, 5), false);
    assertEquals([bounces.add(5), bounces.add(7)], [true, false]);
    assertEquals([bounces.lastedFor(10, 14), bounces.lastedFor(10, 15)], [false, true]);
    bounces.clear();
    assertEquals([bounces.lastedFor(0, 20), bounces.add(20), bounces.lastedFor(1, 20)], [false, true, false]);
  });
});
