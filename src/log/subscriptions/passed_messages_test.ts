import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { positionOf } from "../format/group_text.ts";
import { PassedMessages } from "./passed_messages.ts";

const at = (sequence: number, tenant = "A") => ({ position: positionOf(sequence, 0), category: "Placed", tenant });
const yes = () => true;
const no = () => false;

/** Has the first reader read messages: each is a sequence and whether it is passed by. */
function read(passed: PassedMessages, ...messages: readonly (readonly [sequence: number, passes: boolean])[]): void {
  for (const [sequence, passes] of messages) {
    passed.reads(positionOf(sequence, 0));
    if (passes) passed.pass(at(sequence));
  }
}

describe("messages that were passed by", () => {
  it("are one span, however many follow one another, and end where one was taken", () => {
    const passed = new PassedMessages();
    read(passed, [1, false]);
    for (let sequence = 2; sequence < 50_000; sequence++) read(passed, [sequence, true]);
    assertEquals(passed.stored, [[positionOf(2, 0), positionOf(49_999, 0)]]);
    read(passed, [50_000, false], [50_001, true], [50_003, true]);
    assertEquals(passed.stored.slice(1), [[positionOf(50_001, 0), positionOf(50_003, 0)]]);
    assertEquals([passed.has(positionOf(50_000, 0)), passed.has(positionOf(50_001, 0))], [false, true]);
    assertEquals(passed.slowest(positionOf(60_000, 0)), positionOf(2, 0) - 1);
  });

  it("are brought in order, and those of a tenant without room are kept, with all behind them", () => {
    const passed = new PassedMessages();
    read(passed, [1, true], [2, true], [3, true]);
    assertEquals([passed.turn(yes), passed.place], ["begin", 0]);
    assertEquals(passed.takes(at(1), yes, false), true);
    assertEquals([passed.takes(at(2), no, false), passed.takes(at(3), yes, false)], [false, false]);
    assertEquals(passed.stored, [[positionOf(2, 0), positionOf(3, 0)]]);
    assertEquals(passed.turn(no), "rest");
    assertEquals(passed.turn(yes), "begin");
    assertEquals([passed.takes(at(2), yes, false), passed.takes(at(3), yes, false)], [true, true]);
    assertEquals([passed.size, passed.turn(yes), passed.passes(at(4))], [0, "rest", false]);
  });

  it("of an earlier leader have no tenant known: all that follows is passed by until they were read once", () => {
    const passed = new PassedMessages([[positionOf(1, 0), positionOf(2, 0)]]);
    assertEquals([passed.isReading, passed.passes(at(10, "B"))], [true, true]);
    read(passed, [10, true]);
    assertEquals(passed.turn(no), "begin");
    assertEquals([passed.takes(at(1, "A"), no, false), passed.turn(no)], [false, "read"]);
    assertEquals(passed.takes(at(2, "C"), yes, false), true);
    assertEquals([passed.passes(at(11, "A")), passed.passes(at(11, "C"))], [true, false]);
  });

  it("that the log no longer has are forgotten when the second reader has come by", () => {
    const passed = new PassedMessages();
    read(passed, [1, true], [2, true], [3, false], [4, true]);
    passed.turn(yes);
    assertEquals(passed.takes(at(4), yes, false), true);
    passed.readTo(positionOf(4, 0), true, positionOf(4, 0));
    assertEquals([passed.size, passed.passes(at(5))], [0, false]);
  });

  it("behind a place to which the log or an operator goes back are read again, once", () => {
    const passed = new PassedMessages();
    read(passed, [1, true], [2, false], [3, true], [5, true]);
    passed.rewind(positionOf(3, 0));
    assertEquals(passed.stored, [[positionOf(1, 0), positionOf(1, 0)], [positionOf(3, 0), positionOf(3, 0)]]);
    passed.lost();
    assertEquals(passed.turn(yes), "rest"); // positions may be those of other messages
    read(passed, [3, false]);
    assertEquals([passed.stored.length, passed.has(positionOf(3, 0))], [1, false]);
  });

  it("are read again when the log that has lost messages has no further one", () => {
    const passed = new PassedMessages();
    read(passed, [1, true], [2, false], [3, true], [5, true]);
    passed.lost();
    assertEquals(passed.turn(yes), "rest");
    passed.caughtUp(positionOf(3, 0));
    assertEquals([passed.turn(yes), passed.has(positionOf(3, 0)), passed.has(positionOf(5, 0))], [
      "begin",
      true,
      false,
    ]);
  });

  it("are not those behind the place to which an earlier leader went back, when the log had lost messages", () => {
    const spans = [[positionOf(1, 0), positionOf(3, 0)], [positionOf(5, 0), positionOf(6, 0)]] as const;
    assertEquals(new PassedMessages(spans, positionOf(2, 0)).stored, [[positionOf(1, 0), positionOf(2, 0)]]);
  });

  it("that run already are taken, whatever their tenant may", () => {
    const passed = new PassedMessages();
    read(passed, [1, true], [2, true]);
    passed.turn(yes);
    assertEquals([passed.takes(at(1), no, false), passed.takes(at(2), no, true)], [false, true]);
  });

  it("are 65,536 spans at most; then no further tenant is passed by, and the order of others is kept", () => {
    const passed = new PassedMessages();
    for (let sequence = 1; passed.hasRoom; sequence++) read(passed, [sequence, sequence % 2 > 0]);
    assertEquals(passed.size, 65_536);
    assertEquals(passed.passes(at(200_000)), true); // its order is kept
    passed.check();
    assert(passed.has(positionOf(1, 0)));
  });

  it("are no more spans than a commit takes, also where the second reader takes every other one; and all are brought", () => {
    const passed = new PassedMessages();
    const COUNT = 150_000;
    const tenantOf = (sequence: number) => sequence % 2 === 0 ? "A" : "B";
    for (let sequence = 1; sequence <= COUNT; sequence++) {
      passed.reads(positionOf(sequence, 0));
      passed.pass(at(sequence, tenantOf(sequence)));
    }
    const taken = new Set<number>();
    const round = (mayTake: (tenant: string) => boolean) => {
      const before = taken.size;
      assertEquals(passed.turn(({ tenant }) => mayTake(tenant)), "begin");
      for (let sequence = 1; sequence <= COUNT; sequence++) {
        const tenant = tenantOf(sequence);
        if (passed.takes(at(sequence, tenant), () => mayTake(tenant), false)) taken.add(sequence);
      }
      passed.readTo(positionOf(COUNT, 0), true, positionOf(COUNT, 0));
      passed.rest();
      assert(passed.size <= 65_537, `${passed.size} spans`);
      return taken.size - before;
    };
    assert(round((tenant) => tenant === "B") > 60_000);
    assertEquals(round((tenant) => tenant === "A") > 0, true);
    while (passed.size > 0) assert(round(yes) > 0, "nothing is brought any more");
    assertEquals(taken.size, COUNT);
  });
});
