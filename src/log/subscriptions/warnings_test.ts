import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { Observation } from "../../contract/nodes/observer.ts";
import { CatgaError } from "../../error.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { Warnings } from "./warnings.ts";

const DAY = 86_400_000;

function setUp() {
  const clock = new VirtualClock();
  const seen: Observation[] = [];
  const warnings = new Warnings({ clock, observer: (observation) => void seen.push(observation) }, "shop/billing");
  const states = () => seen.flatMap((each) => each.type === "subscription" ? [[each.state, each.reason]] : []);
  return { clock, seen, warnings, states };
}

function message(time: number, keep?: number) {
  const meta = keep === undefined ? undefined : { k: keep };
  return { position: 1, category: "Placed", id: "m1", key: undefined, payload: 0, tagged: false, meta, time };
}

const noNode = (name: string) =>
  `no live node handles ${name}: start one, or pass its messages by with a rewind to now (catga rewind)`;

describe("Warnings", () => {
  it("a fault is reported at once and then once a minute, each kind and each message by itself", async () => {
    const { clock, seen, warnings } = setUp();
    const error = new Error("no answer");
    const faults = () => {
      for (const during of ["reading", "parking"]) warnings.fault(during, error);
      warnings.fault("reading", "full");
      return seen.splice(0).map((each) => each.type === "fault" && [each.during, each.error]);
    };
    const all = [
      ["reading of subscription shop/billing", error],
      ["parking of subscription shop/billing", error],
      ["reading of subscription shop/billing", "full"],
    ];
    assertEquals(faults(), all);
    await clock.advance(59_999);
    assertEquals(faults(), []);
    await clock.advance(1);
    assertEquals(faults(), all);
  });

  it("a fault is reported once a minute, however many messages of the store it names", () => {
    const { seen, warnings } = setUp();
    for (let sequence = 8; sequence < 1_008; sequence++) warnings.fault("reading", `${sequence}: another request`);
    assertEquals(seen.map((each) => each.type === "fault" && each.error), ["8: another request"]);
  });

  it("says that it is stopped, and that it goes on", () => {
    const { warnings, states } = setUp();
    warnings.stop(new CatgaError("OVERLOADED", "full"));
    assertEquals({ stopped: warnings.stopped, states: states() }, { stopped: true, states: [["stopped", "full"]] });
    warnings.stop(undefined);
    assertEquals([warnings.stopped, states().slice(1)], [false, [["going on", undefined]]]);
  });

  it("the oldest message is near its end in the last quarter of its time: 7 days, or its own", async () => {
    const { clock, seen, warnings } = setUp();
    const cases: [time: number, keep: number | undefined, now: number, left: number | undefined][] = [
      [0, undefined, 5.25 * DAY, undefined],
      [0, undefined, 5.25 * DAY + 1, 1.75 * DAY - 1],
      [1_000, 10_000, 8_500, undefined],
      [1_000, 10_000, 8_501, 2_499],
      [0, 0, 1_000 * DAY, undefined], // a `keep` of 0 means that the message is kept for ever
    ];
    for (const [time, keep, now, left] of cases) {
      await clock.advance(3_600_000);
      warnings.check(message(time, keep), now, () => []);
      const expected = { subscription: "shop/billing", contract: "Placed", id: "m1", left };
      assertEquals(seen.splice(0), left === undefined ? [] : [{ type: "near-expiry", ...expected } as Observation]);
    }
  });

  it("that a message is near its end is said every 10 minutes, so that its alarm stands", async () => {
    const { clock, seen, warnings } = setUp();
    const check = () => warnings.check(message(0, 10_000), 9_000, () => []);
    check();
    await clock.advance(599_999);
    check();
    assertEquals(seen.length, 1);
    await clock.advance(1_000);
    check();
    assertEquals(seen.length, 2);
  });

  it("messages that wait for a node are said once in 10 minutes for each category", async () => {
    const { clock, warnings, states } = setUp();
    const unhandled = ["Placed"];
    const check = () => warnings.check(message(0), 0, () => unhandled);
    check();
    unhandled.push("Paid");
    check(); // the state is not reported again: the last check was less than a second ago
    assertEquals(states(), [["waiting", noNode("Placed")]]);
    await clock.advance(1_000);
    check();
    assertEquals(states().slice(1), [["waiting", noNode("Paid")]]);
    await clock.advance(599_000);
    check();
    assertEquals(states().slice(2), [["waiting", noNode("Placed")]]);
  });

  it("reports losses, and names a few of the categories that begin behind the end", () => {
    const { seen, warnings } = setUp();
    warnings.loss({ reason: "truncated", after: 9, next: 4 });
    warnings.missing(3);
    const lost = { type: "log-lost", subscription: "shop/billing" } as const;
    assertEquals(seen.splice(0), [
      { ...lost, reason: "truncated", after: 9, next: 4 },
      { ...lost, reason: "expired", after: 0, next: 0, count: 3 },
    ]);
    warnings.beyond(["A", "B", "C", "D"]);
    const [fault] = seen;
    assertEquals(
      fault.type === "fault" &&
        String(fault.error).includes("4 categories that begin behind the end of the log (A, B, C);"),
      true,
    );
  });
});
