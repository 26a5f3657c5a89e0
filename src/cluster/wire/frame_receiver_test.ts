/** Tests of the frames that a node receives, byte by byte. */
import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import type { Context } from "../../contract/calls/context.ts";
import { command, query } from "../../contract/declaration/definition.ts";
import type { CatgaError } from "../../error.ts";
import { openStage, Player, type Stage } from "../../../test/support/stage.ts";

const Echo = query<unknown, unknown>("Echo");
const Slow = query<unknown, unknown>("Slow");
const Meet = command<unknown, unknown>("Meet");

/** Makes handlers, and records their calls. */
function recordedHandlers() {
  const contexts: Context[] = [];
  const payloads: unknown[] = [];
  const open: ((value: unknown) => void)[] = [];
  return {
    contexts,
    payloads,
    /** Functions that end the running slow handlers, in the order of their start. */
    open,
    handlers: [
      Echo.handle((payload) => {
        payloads.push(payload);
        return payload;
      }),
      Slow.handle((payload, ctx) => {
        payloads.push(payload);
        contexts.push(ctx);
        return new Promise((resolve) => open.push(resolve));
      }),
      Meet.handle((_, ctx) => void contexts.push(ctx)),
    ],
  };
}

/** Returns the answers, errors and refusals that the node has sent to the other process. */
const answers = ({ other }: Stage) => other.items("r", "e", "n");
const to = ({ app }: Stage) => app.self.endpoint;

describe("requests that arrive", () => {
  it("those of one frame are answered in one item of one frame", async () => {
    const { handlers } = recordedHandlers();
    await using stage = await openStage({ handlers });
    const seq = stage.other.send(to(stage), ["q", "Echo", 1_000, 1, null, "x"], ["q", "Echo", 500, { a: [] }]);
    await stage.settle();
    assertEquals(stage.other.frames.map(({ items }) => items), [[["r", seq, 0, 1, null, "x", { a: [] }]]]);
  });

  it("those of several frames of one turn are answered in one frame", async () => {
    const { handlers } = recordedHandlers();
    await using stage = await openStage({ handlers });
    stage.other.send(to(stage), ["q", "Echo", 1_000, 1, 2]);
    stage.other.send(to(stage), ["q", "Echo", 1_000, 3]);
    await stage.settle();
    assertEquals(stage.other.frames.map(({ items }) => items), [[["r", 1, 0, 1, 2], ["r", 2, 0, 3]]]);
  });

  it("places count over all requests of a frame, undefined and those with meta included", async () => {
    const { handlers, payloads } = recordedHandlers();
    await using stage = await openStage({ handlers });
    const items = [
      ["q", "Echo", 1_000],
      ["zz", 1, 2, 3],
      ["q", "Echo", 1_000, 1, 2],
      ["m", "Echo", 1_000, { id: "x" }, 3],
      ["m", "Echo", 1_000, {}],
      ["q", "Nobody", 1_000, 0, 0],
      ["q", "Echo", 1_000, 8],
    ];
    stage.other.send(to(stage), ...items);
    await stage.settle();
    assertEquals(payloads, [undefined, 1, 2, 3, undefined, 8]);
    assertEquals(answers(stage), [
      ["r", 1, 0],
      ["r", 1, 1, 1, 2, 3],
      ["r", 1, 4],
      ["n", 1, 5, "NO_HANDLER"],
      ["n", 1, 6, "NO_HANDLER"],
      ["r", 1, 7, 8],
    ]);
  });

  it("a slow handler delays no other answer, of its frame or another", async () => {
    const { handlers, open } = recordedHandlers();
    await using stage = await openStage({ handlers });
    stage.other.send(to(stage), ["q", "Echo", 9_000, 0], ["q", "Slow", 9_000, 1], ["q", "Echo", 9_000, 2]);
    stage.other.send(to(stage), ["q", "Echo", 9_000, 3]);
    await stage.settle();
    assertEquals(answers(stage), [["r", 1, 0, 0], ["r", 1, 2, 2], ["r", 2, 0, 3]]);
    open[0]("slow");
    await stage.settle();
    assertEquals(answers(stage).at(-1), ["r", 1, 1, "slow"]);
    assertEquals(stage.app.self.load.inFlight, 0);
  });

  it("meta reaches the handler, and defaults where there is none", async () => {
    const { handlers, contexts } = recordedHandlers();
    await using stage = await openStage({ handlers });
    const meta = { id: "x", attempt: 3, correlation: "r", causation: "c", ancestry: ["a"], headers: { h: "1" } };
    stage.other.send(to(stage), ["q", "Echo", 1_000, 1], ["m", "Meet", 1_000, meta], ["q", "Meet", 2_000, 1]);
    await stage.settle();
    const seen = contexts.map(({ id, attempt, correlationId, causationId, headers, node }) => ({
      ...{ id, attempt, correlationId, causationId, headers: { ...headers }, node },
    }));
    const more = { correlationId: "r", causationId: "c", headers: { h: "1" }, node: "node" };
    // made of the sender, the receiver's nonce, the frame's number and the place
    const own = `other.1.${to(stage).split(".")[1]}.1.2`;
    assertEquals(seen, [{ id: "x", attempt: 3, ...more }, {
      ...{ id: own, attempt: 1, correlationId: own, causationId: undefined, headers: {}, node: "node" },
    }]);
    assertEquals(contexts[1].deadline, stage.clock.now() + 2_000);
  });

  it("__proto__ among payloads and headers is a key like any other", async () => {
    const { handlers, contexts } = recordedHandlers();
    await using stage = await openStage({ handlers });
    const meta = '{"headers":{"__proto__":"x","constructor":"y"}}';
    stage.other.sendText(to(stage), `[1,1,0,["m","Meet",9,${meta}],["q","Echo",9,{"__proto__":{"a":1}}]]`);
    await stage.settle();
    assertEquals(Object.entries(contexts[0].headers), [["__proto__", "x"], ["constructor", "y"]]);
    assert(stage.other.frames[0].text.includes('{"__proto__":{"a":1}}'), stage.other.frames[0].text);
    assertEquals(({} as { a?: number }).a, undefined);
  });

  it("one without time left is refused, not run", async () => {
    const { handlers, payloads } = recordedHandlers();
    await using stage = await openStage({ handlers });
    stage.other.send(to(stage), ["q", "Echo", 0, 1], ["q", "Echo", -5, 2], ["q", "Echo", 1e300, 3]);
    await stage.settle();
    assertEquals(answers(stage), [["n", 1, 0, "LATE"], ["n", 1, 1, "LATE"], ["r", 1, 2, 3]]);
    assertEquals(payloads, [3]);
  });

  it("the deadline aborts the handler's signal; a later answer is sent, and the handler does not count as running", async () => {
    const { handlers, contexts, open } = recordedHandlers();
    await using stage = await openStage({ handlers });
    stage.other.send(to(stage), ["q", "Slow", 100, 1]);
    await stage.clock.advance(200);
    assertEquals((contexts[0].signal.reason as CatgaError).code, "TIMEOUT");
    assertEquals(stage.app.self.load.inFlight, 1);
    open[0](1);
    await stage.settle();
    assertEquals(stage.app.self.load.inFlight, 0);
  });

  it('"c" aborts the signal of that handler and no other, once; for an unknown request it has no effect', async () => {
    const { handlers, contexts, open } = recordedHandlers();
    await using stage = await openStage({ handlers });
    const seq = stage.other.send(to(stage), ["q", "Slow", 9_000, 1, 2]);
    await stage.settle();
    const thief = new Player(stage.network, "thief");
    thief.send(to(stage), ["c", seq, 1]);
    stage.other.send(to(stage), ["c", seq, 0], ["c", seq, 7], ["c", 99, 0], ["c", 2 ** 50, 2 ** 50], ["c", seq, 0]);
    await stage.settle();
    assertEquals(contexts.map(({ signal }) => (signal.reason as CatgaError | undefined)?.code), [
      "CANCELLED",
      undefined,
    ]);
    open.forEach((end) => end("done"));
    await stage.settle();
    stage.other.send(to(stage), ["c", seq, 1]);
    await stage.settle();
    assertEquals([contexts[1].signal.aborted, stage.app.self.load.inFlight], [false, 0]);
  });

  it("a frame that comes twice runs once", async () => {
    const { handlers, payloads } = recordedHandlers();
    await using stage = await openStage({ handlers });
    const text = JSON.stringify([1, 5, 0, ["q", "Echo", 1_000, "once"]]);
    stage.other.sendText(to(stage), text);
    stage.other.sendText(to(stage), text);
    await stage.settle();
    stage.other.sendText(to(stage), text);
    await stage.settle();
    assertEquals([payloads, answers(stage)], [["once"], [["r", 5, 0, "once"]]]);
  });

  it("are refused with DRAINING while the node drains; those that run go on", async () => {
    const { handlers, open, payloads } = recordedHandlers();
    await using stage = await openStage({ handlers });
    stage.other.send(to(stage), ["q", "Slow", 9_000, 1]);
    await stage.settle();
    const drained = stage.app.drain();
    await stage.settle();
    assertEquals(answers(stage), [["n", 0, 0, "DRAINING"]], "all others are told");
    stage.other.send(to(stage), ["q", "Echo", 9_000, 2], ["m", "Echo", 9_000, {}, 3]);
    await stage.settle();
    assertEquals(answers(stage).slice(1), [["n", 2, 0, "DRAINING"], ["n", 2, 1, "DRAINING"]]);
    open[0]("done");
    await stage.clock.until(drained, 1_000);
    await stage.settle();
    assertEquals([answers(stage).at(-1), payloads], [["r", 1, 0, "done"], [1]]);
  });
});

describe("pings and versions", () => {
  it("a ping is answered with the received frames, the missing ones, and the load", async () => {
    const { handlers, open } = recordedHandlers();
    await using stage = await openStage({ handlers });
    const { other } = stage;
    other.send(to(stage), ["q", "Slow", 9_000, 1, 2]);
    other.lose();
    other.lose();
    other.send(to(stage), ["q", "Echo", 9_000, 1]);
    other.lose();
    const seq = other.send(to(stage), ["p", 77]);
    await stage.settle();
    assertEquals(other.items("o"), [["o", 77, seq, [2, 3, 5, 5], [2, 0]]]);
    open.forEach((end) => end(0));
  });

  it("a frame that was reported missing is refused when it arrives late; another late one is accepted", async () => {
    const { handlers, payloads } = recordedHandlers();
    await using stage = await openStage({ handlers });
    const { other } = stage;
    const late = (seq: number) => other.sendText(to(stage), JSON.stringify([1, seq, 0, ["q", "Echo", 9_000, seq]]));
    late(3);
    late(2);
    other.sendText(to(stage), JSON.stringify([1, 4, 0, ["p", 1]]));
    await stage.settle();
    late(1);
    late(6);
    late(5);
    await stage.settle();
    assertEquals([other.items("o"), payloads], [[["o", 1, 4, [1, 1], [0, 0]]], [3, 2, 6, 5]]);
  });

  it("a frame full of pings is answered by one pong (a sender could multiply its traffic by a thousand)", async () => {
    await using stage = await openStage();
    stage.other.send(to(stage), ...Array.from({ length: 5_000 }, (_, i) => ["p", i]));
    await stage.settle();
    assertEquals(stage.other.items("o"), [["o", 4_999, 1, [], [0, 0]]]);
  });

  it("a frame of an unknown version is answered with the supported versions, once", async () => {
    await using stage = await openStage({ handlers: Echo.handle(() => 1) });
    const { other } = stage;
    for (let i = 0; i < 5; i++) other.sendText(to(stage), '[2,"from the future"]');
    await stage.settle();
    assertEquals(other.frames.map(({ items }) => items), [[["v", 1]]]);
    other.send(to(stage), ["q", "Echo", 100, 1]);
    await stage.settle();
    assertEquals(other.frames.at(-1)!.items, [["r", 1, 0, 1]]);
  });

  it("two nodes of different versions do not answer each other for ever", async () => {
    await using stage = await openStage();
    const { other } = stage;
    let answered = 0;
    other.onFrame = () => {
      answered++;
      other.sendText(to(stage), '[2,1,1,["v",2]]'); // the text is the answer of a node with protocol version 2
    };
    other.sendText(to(stage), "[2,1,1]");
    await stage.clock.advance(900);
    assertEquals(answered, 1);
  });

  it("a node of another version is logged, once a minute", async () => {
    await using stage = await openStage();
    for (let i = 0; i < 50; i++) stage.other.send(to(stage), ["v", 2, 3]);
    await stage.settle();
    const lines = stage.log.filter((line) => line.includes("protocol 2,3"));
    assertEquals(lines.length, 1);
    assert(lines[0].includes("one version of Catga"), lines[0]);
  });
});
