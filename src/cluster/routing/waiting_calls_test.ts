import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { Call } from "../wire/call.ts";
import { MAX_OFFLINE, WaitingCalls } from "./waiting_calls.ts";

function make() {
  const clock = new VirtualClock();
  const retried: Call[] = [];
  const withoutNode: Call[] = [];
  const sendable = new Set<Call>();
  const waiting = new WaitingCalls({
    clock,
    sendable: (call) => sendable.has(call),
    retry: (call) => void retried.push(call),
    noNode: (call) => void withoutNode.push(call),
  });
  return { clock, retried, withoutNode, sendable, waiting };
}

const newCall = () => ({ done: false }) as Call; // all that is read of one

describe("WaitingCalls", () => {
  it("calls that wait for the connection are retried in their order, without those that ended meanwhile", () => {
    const { waiting, retried } = make();
    const [first, second, third] = [newCall(), newCall(), newCall()];
    for (const call of [first, second, third]) waiting.forConnection(call);
    waiting.delete(second);
    waiting.connected();
    waiting.connected();
    assertEquals(retried.length, 2);
    assertEquals(retried.map((call) => [first, second, third].indexOf(call)), [0, 2]);
  });

  it("one call more than may wait for the connection is refused", () => {
    const { waiting } = make();
    for (let i = 0; i < MAX_OFFLINE; i++) waiting.forConnection(newCall());
    assertEquals(waiting.forConnection(newCall()), false);
  });

  it("a call that waits for a node is retried when there is one, else given up after 500 ms", async () => {
    const { clock, waiting, retried, withoutNode, sendable } = make();
    const [handled, unhandled] = [newCall(), newCall()];
    waiting.forNode(handled);
    waiting.forNode(unhandled);
    sendable.add(handled);
    waiting.nodesChanged();
    await clock.advance(499);
    assertEquals({ retried: retried.indexOf(handled), withoutNode: withoutNode.length }, {
      retried: 0,
      withoutNode: 0,
    });
    await clock.advance(1);
    assertEquals(withoutNode.indexOf(unhandled), 0);
    assertEquals([retried.length, withoutNode.length], [1, 1]);
  });
});
