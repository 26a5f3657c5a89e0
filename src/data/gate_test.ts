import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { Gate } from "./gate.ts";

describe("Gate", () => {
  it("lets as many in as it may, and the next in their order when one leaves", async () => {
    const gate = new Gate(2);
    const { signal } = new AbortController();
    const inside: number[] = [];
    const leave = [0, 1, 2, 3].map(async (i) => {
      const left = await gate.enter(signal);
      inside.push(i);
      return left;
    });
    (await leave[0])();
    (await leave[2])();
    await leave[3];
    assertEquals(inside, [0, 1, 2, 3]);
    (await leave[1])();
    (await leave[3])();
    await Promise.all([gate.enter(signal), gate.enter(signal)]);
  });

  it("lets in at once while there is room, and of thousands that leave as they come each in its turn", () => {
    const gate = new Gate(1);
    const came: number[] = [];
    const ways: (() => void)[] = [];
    gate.pass((leave) => ways.push(leave));
    for (let i = 0; i < 20_000; i++) {
      gate.pass((leave) => {
        came.push(i);
        leave();
      });
    }
    assertEquals([ways.length, came.length], [1, 0]);
    ways[0]();
    assertEquals(came, Array.from({ length: 20_000 }, (_, i) => i));
  });

  it("one that need not wait takes its place at once; those that wait come when it leaves", async () => {
    const gate = new Gate(1);
    assertEquals(gate.isFull, false);
    const leave = gate.take();
    assertEquals(gate.isFull, true);
    const next = gate.enter();
    leave();
    (await next)();
    assertEquals(gate.isFull, false);
  });

  it("one that gives up while it waits takes no place", async () => {
    const gate = new Gate(1);
    const stop = new AbortController();
    const leave = await gate.enter(stop.signal);
    const waiting = gate.enter(stop.signal);
    const last = gate.enter(new AbortController().signal);
    stop.abort(new Error("given up"));
    await assertRejects(() => waiting, Error, "given up");
    await assertRejects(() => gate.enter(stop.signal), Error, "given up");
    leave();
    (await last)();
  });
});
