/** Tests of the circuit breakers of a node, in a cluster: which requests they let through. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertLess } from "@std/assert";
import { command } from "../../contract/declaration/definition.ts";
import type { Result } from "../../contract/calls/result.ts";
import { asked, first, openStage, openTrio, Player, type Stage } from "../../../test/support/stage.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { Breaker, type BreakerState } from "./breakers.ts";

const Do = command<unknown, unknown>("Do");
const HANDLES = ["Ask", "Do"];
const code = ({ value, error }: Result<unknown>): unknown => error?.code ?? value;

describe("the breaker of a node", () => {
  const breaker = { failures: 3, cooldown: 20_000 };
  const moves = ({ log }: Stage) =>
    log.filter((line) => line.includes("the breaker for node other")).map((line) => line.split(" is ")[1]);
  /**
   * Sends `times` requests, one by one, to a node that is gone. (Its record stays, because no other node watches it.)
   */
  const sendInVain = async (stage: Stage, times: number) => {
    const results: Result<unknown>[] = [];
    for (let i = 0; i < times; i++) {
      results.push(await stage.clock.until(stage.app.send(Do, i, { node: "other", retries: 0 })));
    }
    return results;
  };

  it("opens after so many frames in a row that bounced: nothing is sent any more, and the error says why", async () => {
    await using stage = await openStage({ handles: HANDLES, breaker });
    stage.network.cut("other");
    assertEquals((await sendInVain(stage, 2)).map(code), ["UNAVAILABLE", "UNAVAILABLE"]);
    assertEquals(moves(stage), []);
    await sendInVain(stage, 1);
    assertEquals(moves(stage), ["open"]);
    const before = stage.published.length;
    const { error } = await stage.clock.until(stage.app.send(Do, 1, { retries: 0 }));
    assertEquals({ code: error?.code, retryable: error?.retryable }, { code: "UNAVAILABLE", retryable: true });
    assertEquals(stage.published.length, before);
    assert(error!.message.includes("failed too often lately"), error!.message);
  });

  it("while it is open and there is no other node, a send with retries waits until the node is back", async () => {
    await using stage = await openStage({ handles: HANDLES, breaker });
    const { app, clock, network, other } = stage;
    other.answerWith(() => "back");
    network.cut("other");
    await sendInVain(stage, 3);
    const sent = app.send(Do, 1);
    const late = app.send(Do, 1, { timeout: 300 });
    await clock.advance(500);
    assertEquals(asked(other), 0);
    network.restore("other");
    assertEquals((await clock.until(Promise.all([sent, late]))).map(code), ["back", "UNAVAILABLE"]);
    assertEquals(asked(other), 1);
  });

  it("while it is open, requests go to other nodes", async () => {
    await using stage = await openTrio({ breaker });
    stage.second.answerWith(() => "second");
    stage.network.cut("other");
    await sendInVain(stage, 3);
    const before = stage.published.filter((it) => it.includes("node.other")).length;
    const results = await stage.clock.until(stage.app.sendAll(Do, [1, 2, 3, 4], first("other")));
    assertEquals(results.map(code), new Array(4).fill("second"));
    assertEquals(stage.published.filter((it) => it.includes("node.other")).length, before);
  });

  it("is half-open after the cooldown: one request is the trial, and others are refused until it is answered", async () => {
    await using stage = await openStage({ handles: HANDLES, breaker: { failures: 1, cooldown: 600 } });
    const { app, clock, other, network, settle } = stage;
    network.cut("other");
    await sendInVain(stage, 1);
    network.restore("other");
    await clock.advance(600);
    assertEquals(moves(stage), ["open", "half-open"]);
    const sent = [1, 2, 3].map((n) => app.send(Do, n, { retries: 0 }));
    await settle();
    assertEquals(asked(other), 1);
    assertEquals((await Promise.all(sent.slice(1))).map(code), ["UNAVAILABLE", "UNAVAILABLE"]);
    other.send(app.self.endpoint, ["r", other.frames[0].seq, 0, "done"]);
    assertEquals(code(await clock.until(sent[0])), "done");
    assertEquals(moves(stage), ["open", "half-open", "closed"]);
    other.answerWith(() => "done");
    assertEquals((await clock.until(app.sendAll(Do, [1, 2, 3]))).map(code), ["done", "done", "done"]);
  });

  it("opens for another cooldown when the trial bounces", async () => {
    await using stage = await openStage({ handles: HANDLES, breaker: { failures: 1, cooldown: 600 } });
    stage.network.cut("other");
    await sendInVain(stage, 1);
    await stage.clock.advance(600);
    await sendInVain(stage, 1);
    assertEquals(moves(stage), ["open", "half-open", "open"]);
  });

  it("closes at any frame from the node", async () => {
    await using stage = await openStage({ handles: HANDLES, breaker });
    const { app, clock, other, network, settle } = stage;
    network.cut("other");
    await sendInVain(stage, 3);
    network.restore("other");
    other.send(app.self.endpoint, ["p", 1]);
    await settle();
    assertEquals(moves(stage), ["open", "closed"]);
    other.answerWith(() => "done");
    assertEquals(code(await clock.until(app.send(Do, 1))), "done");
  });

  it("is no alarm any more when the node has left, though its cooldown ends later", async () => {
    await using stage = await openStage({ handles: HANDLES, breaker: { failures: 3, cooldown: 10_000 } });
    const { app, clock, network, other } = stage;
    const alarms = () => app.health().alarms.filter(({ kind }) => kind === "breaker-open").map(({ about }) => about);
    network.cut("other");
    await sendInVain(stage, 3);
    assertEquals(alarms(), ["app/other"]);
    await (await network.store.open("catga_default_nodes")).delete("other");
    while (app.nodes().some(({ id }) => id === other.id)) await clock.advance(100);
    assertEquals(alarms(), []);
    await clock.advance(10_000);
    assertEquals({ alarms: alarms(), moves: moves(stage) }, { alarms: [], moves: ["open"] });
  });

  it("is no alarm any more when another process has taken the node's id", async () => {
    await using stage = await openStage({ handles: HANDLES, breaker: { failures: 3, cooldown: 10_000 } });
    const { app, clock, network } = stage;
    network.cut("other");
    await sendInVain(stage, 3);
    await new Player(network, "other", "2").register(HANDLES);
    await clock.advance(10_000);
    assertEquals(app.nodes().map(({ endpoint }) => endpoint).includes("other.2"), true);
    assertEquals(app.health().alarms.filter(({ kind }) => kind === "breaker-open"), []);
  });

  it("leaves no timer behind after a drain, however long the cooldown is", async () => {
    const stage = await openStage({ handles: HANDLES, breaker: { failures: 1, cooldown: 86_400_000 } });
    const { clock, app, network } = stage;
    network.cut("other");
    await sendInVain(stage, 1);
    assertEquals(moves(stage), ["open"]);
    await clock.until(app.drain());
    await clock.advance(60_000);
    assertLess(clock.timers, 2); // one timer is the expiry of the other node's record
  });

  it("is not opened by failures of a handler, nor by refusals", async () => {
    await using stage = await openStage({ handles: HANDLES, breaker: { failures: 1, cooldown: 600 } });
    const { app, clock, other } = stage;
    const said = [["e", { code: "NO_TEA" }], ["e", { code: "UNAVAILABLE" }], ["n", "OVERLOADED"], ["n", "DRAINING"]];
    for (const [kind, what] of said) {
      other.onFrame = ({ from, seq, items }) => {
        if (items[0][0] !== "p") other.send(from, [kind, seq, 0, what]);
      };
      await clock.until(app.send(Do, 1, { retries: 0 }));
    }
    assertEquals(moves(stage), []);
  });

  it("does not open within 2.5 s after this node's own reconnect: the others may be reconnecting, too", async () => {
    await using stage = await openStage({ handles: HANDLES, breaker: { failures: 1, cooldown: 600 } });
    const { clock, network, other, app } = stage;
    network.cut("node");
    network.cut("other");
    await clock.advance(500);
    network.restore("node");
    const sent = app.send(Do, 1);
    await clock.advance(1_500);
    assertEquals(moves(stage), []);
    other.answerWith(() => "done");
    network.restore("other");
    assertEquals(code(await clock.until(sent)), "done");
  });
});

function make(failures = 3, cooldown = 1_000) {
  const clock = new VirtualClock();
  const moves: BreakerState[] = [];
  return { clock, moves, breaker: new Breaker({ failures, cooldown }, clock, (state) => moves.push(state)) };
}

describe("Breaker", () => {
  it("opens after so many failures in a row, not before", () => {
    const { breaker, moves } = make(3);
    breaker.failed();
    breaker.failed();
    assertEquals(breaker.allows, true);
    breaker.failed();
    assertEquals([breaker.allows, moves], [false, ["open"]]);
  });

  it("an answer in between resets the count", () => {
    const { breaker } = make(2);
    breaker.failed();
    breaker.succeeded();
    breaker.failed();
    assertEquals(breaker.state, "closed");
  });

  it("is half-open after the cooldown: allows one trial, and closes when it succeeds", async () => {
    const { breaker, clock, moves } = make(1, 1_000);
    breaker.failed();
    await clock.advance(999);
    assertEquals(breaker.allows, false);
    await clock.advance(1);
    assertEquals(breaker.allows, true);
    breaker.sent();
    assertEquals(breaker.allows, false);
    breaker.succeeded();
    assertEquals([breaker.allows, moves], [true, ["open", "half-open", "closed"]]);
  });

  it("opens for another cooldown when the trial fails", async () => {
    const { breaker, clock } = make(1, 1_000);
    breaker.failed();
    await clock.advance(1_000);
    assertEquals(breaker.allows, true);
    breaker.sent();
    breaker.failed();
    assertEquals(breaker.state, "open");
    await clock.advance(999);
    assertEquals(breaker.allows, false);
    await clock.advance(1);
    assertEquals(breaker.allows, true);
  });

  it("does not stay open longer for a failure while it is open", async () => {
    const { breaker, clock, moves } = make(1, 1_000);
    breaker.failed();
    await clock.advance(600);
    breaker.failed();
    await clock.advance(400);
    assertEquals([breaker.allows, moves], [true, ["open", "half-open"]]);
  });

  it("allows another trial when the end of the first is never reported", async () => {
    const { breaker, clock } = make(1, 1_000);
    breaker.failed();
    await clock.advance(1_000);
    assertEquals(breaker.allows, true);
    breaker.sent();
    await clock.advance(1_000);
    assertEquals(breaker.allows, true);
  });
});
