import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import type { NodeInfo } from "../../contract/nodes/node_info.ts";
import { CatgaError } from "../../error.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { Call } from "../wire/call.ts";
import { MAX_WAITING, WaitingCalls } from "./waiting_calls.ts";

const NODE = {} as NodeInfo; // cast: nodes are only counted

function make({ connected = true } = {}) {
  const clock = new VirtualClock();
  const retried: Call[] = [];
  const failed: { call: Call; error: CatgaError }[] = [];
  const asked: string[] = [];
  /** Names of contracts that a node handles; `trusted`: whose nodes are trusted; `known`: that were handled lately. */
  const handled = new Set<string>();
  const trusted = new Set<string>();
  const known = new Set<string>();
  const of = (name: string) => handled.has(name) ? [NODE] : [];
  const waiting = new WaitingCalls({
    clock,
    candidates: {
      of: (call) => of(call.request.contract.name),
      handling: of,
      reachable: (name) => trusted.has(name),
    },
    gaps: { knows: (name) => known.has(name), ask: (name) => void asked.push(name) },
    connected: () => connected,
    retry: (call) => void retried.push(call),
    fail: (call, error) => void failed.push({ call, error }),
  });
  return { clock, retried, failed, asked, handled, trusted, known, waiting };
}

/** Makes a call with the members that waiting calls read. */
function newCall(name = "Ask", request: { node?: string; retries?: number } = {}): Call {
  return {
    done: false,
    fate: "did not run",
    retriesLeft: 0,
    request: { contract: { kind: "query", name, options: {} }, retries: 3, ...request },
  } as unknown as Call;
}

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

  it("one call more than may wait, for the connection or for a node, fails with UNAVAILABLE", () => {
    const { waiting, known, failed } = make();
    known.add("Ask");
    for (let i = 0; i < MAX_WAITING / 2; i++) {
      waiting.forConnection(newCall());
      waiting.forNode(newCall());
    }
    assertEquals(failed.length, 0);
    waiting.forConnection(newCall());
    waiting.forNode(newCall());
    waiting.forReturn(newCall(), new CatgaError("DRAINING", "it leaves"));
    assertEquals(failed.map(({ error }) => error.code), ["UNAVAILABLE", "UNAVAILABLE", "DRAINING"]);
  });

  it("a call that waits for a node is retried when there is one, else fails after 500 ms", async () => {
    const { clock, waiting, retried, failed, handled } = make();
    const [call, unhandled] = [newCall("Handled"), newCall("Unhandled")];
    waiting.forNode(call);
    waiting.forNode(unhandled);
    handled.add("Handled");
    waiting.nodesChanged();
    await clock.advance(499);
    assertEquals({ retried: retried.indexOf(call), failed: failed.length }, { retried: 0, failed: 0 });
    await clock.advance(1);
    assertEquals(failed.map(({ error }) => error.code), ["NO_HANDLER"]);
    assert(failed[0].call === unhandled);
    assertEquals(retried.length, 1);
  });

  it("a call in a gap waits for longer, and calls go in the order in which they came", async () => {
    const { clock, waiting, retried, failed, asked, handled, known } = make();
    known.add("Ask");
    const calls = [newCall(), newCall(), newCall()];
    for (const call of calls) waiting.forNode(call);
    await clock.advance(60_000);
    assertEquals({ failed: failed.length, asked, inGap: waiting.inGap(calls[0]) }, {
      failed: 0,
      asked: [],
      inGap: true,
    });
    handled.add("Ask");
    waiting.nodesChanged();
    await clock.advance(0);
    assertEquals(retried.map((call) => calls.indexOf(call)), [0, 1, 2]);
  });

  it("a gap that another node reports within the 500 ms lengthens the wait, but not that for one node", async () => {
    const { clock, waiting, failed, asked } = make();
    const [any, one, other] = [newCall(), newCall("Ask", { node: "a" }), newCall("Other")];
    for (const call of [any, one, other]) waiting.forNode(call);
    assertEquals(asked, ["Ask", "Other"]);
    await clock.advance(400);
    waiting.gapFound("Ask");
    await clock.advance(1_000);
    assertEquals(failed.map(({ error }) => error.code), ["NO_HANDLER", "NO_HANDLER"]);
    assertEquals(failed.map(({ call }) => [any, one, other].indexOf(call)), [1, 2]);
  });

  it("a call that found nobody there is retried when a node is trusted, with one retry left", async () => {
    const { clock, waiting, retried, failed, handled, trusted } = make();
    handled.add("Ask");
    const call = newCall();
    waiting.forReturn(call, new CatgaError("DRAINING", "it leaves"));
    waiting.nodesChanged();
    await clock.advance(10_000);
    assertEquals({ retried: retried.length, failed: failed.length }, { retried: 0, failed: 0 });
    trusted.add("Ask"); // no change is reported, because a node that refuses requests stays trusted
    await clock.advance(250);
    assertEquals(retried.length, 1);
    assertEquals(retried[0].retriesLeft, 1);
    await clock.advance(1_000);
    assertEquals(retried.length, 1);
  });

  it("a call without retries, or for one node, fails at once when nobody was there", () => {
    const { waiting, failed } = make();
    const error = new CatgaError("DRAINING", "it leaves");
    waiting.forReturn(newCall("Ask", { retries: 0 }), error);
    waiting.forReturn(newCall("Ask", { node: "a" }), error);
    assertEquals(failed.map((each) => each.error === error), [true, true]);
  });

  it("when the node stops, calls wait for a node no longer than 500 ms, and end with UNAVAILABLE", async () => {
    const { clock, waiting, failed, known } = make();
    known.add("Ask");
    waiting.forNode(newCall());
    waiting.forReturn(newCall(), new CatgaError("DRAINING", "it leaves"));
    waiting.stop();
    waiting.forNode(newCall());
    waiting.gapFound("Ask");
    await clock.advance(499);
    assertEquals(failed.length, 0);
    await clock.advance(1);
    assertEquals(failed.map(({ error }) => error.code), ["UNAVAILABLE", "UNAVAILABLE", "UNAVAILABLE"]);
  });

  it("when the node stops without a connection, a call that no node is known for ends with UNAVAILABLE", async () => {
    const { clock, waiting, failed } = make({ connected: false });
    for (const call of [newCall(), newCall("Ask", { node: "a" })]) waiting.forNode(call);
    waiting.stop();
    waiting.forNode(newCall());
    await clock.advance(499);
    assertEquals(failed.length, 0);
    await clock.advance(1);
    assertEquals(failed.map(({ error }) => error.code), ["UNAVAILABLE", "UNAVAILABLE", "UNAVAILABLE"]);
    assertEquals(
      failed[0].error.message,
      "query Ask did not run: the network is not connected, and this node stops",
    );
  });
});
