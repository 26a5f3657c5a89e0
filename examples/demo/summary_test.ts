import { assert, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { audit } from "./audit.ts";
import { paintWith } from "./paint.ts";
import { faults, type Report, summary } from "./summary.ts";

const good: Report = {
  sent: 2,
  audit: audit(
    [{ messageId: "m1", code: "ok", orderId: "a" }, { messageId: "m2", code: "OUTCOME_UNKNOWN" }],
    [{ messageId: "m1", orderId: "a" }],
  ),
  latencies: [80],
  routable: [20, 30, 40],
  kill: { node: "node-2", inHand: 12, avoided: 3, told: [5], left: 2_000, back: true },
  heard: 1,
  unexpected: [],
};
const faultsWith = (change: Partial<Report>) => faults({ ...good, ...change }).join("\n");

describe("faults", () => {
  it("finds none in a good report", () => {
    assertEquals(faults(good), []);
  });

  it("finds what was lost, run twice, or run against the word", () => {
    assertMatch(faultsWith({ audit: { ...good.audit, lost: ["m1"] } }), /^1 acknowledged and never written down: m1$/);
    assertMatch(faultsWith({ audit: { ...good.audit, twice: ["m1"] } }), /^1 run more than once: m1$/);
    assertMatch(faultsWith({ audit: { ...good.audit, failedRan: ["m1"] } }), /^1 said not to have run, and had: m1$/);
  });

  it("finds a kill that put nothing to the proof", () => {
    assertMatch(faultsWith({ kill: { ...good.kill, inHand: 9 } }), /^node-2 was not killed with 10 or more/);
  });

  it("finds a node that never left, or never came back", () => {
    assertMatch(faultsWith({ kill: { ...good.kill, left: undefined } }), /^node-2 never left the view$/);
    assertMatch(faultsWith({ kill: { ...good.kill, back: false } }), /^node-2 never came back$/);
  });

  it("finds a demo in which nothing succeeded, and nodes that ended by themselves", () => {
    assertMatch(faultsWith({ latencies: [] }), /^no order succeeded$/);
    assertMatch(faultsWith({ unexpected: ["node-1: its process ended"] }), /^node-1: its process ended$/);
  });
});

describe("summary", () => {
  it("ends with the verdict", () => {
    assertMatch(summary(good, paintWith(false)).at(-1)!, /PASSED/);
    const bad = summary({ ...good, audit: { ...good.audit, lost: ["m1"] } }, paintWith(false));
    assertMatch(bad.at(-1)!, /FAILED .* never written down: m1/);
  });

  it("has no escape codes when nobody wants them, and no line longer than 80 columns", () => {
    for (const line of summary(good, paintWith(false))) {
      assert(!line.includes("\x1b"), JSON.stringify(line));
      assert(line.length <= 80, line);
    }
  });
});
