/** What a node makes of what others send it, and what it answers, to the byte. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertLess } from "@std/assert";
import type { Context } from "../../contract/context.ts";
import { command, query } from "../../contract/definition.ts";
import { CatgaError } from "../../error.ts";
import { fail } from "../../contract/result.ts";
import { catga } from "../../catga.ts";
import { MemoryNetwork } from "../../memory/network.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { leastTime } from "../../../test/support/least_time.ts";
import { openStage, Player, type Stage } from "../../../test/support/stage.ts";

const Echo = query<unknown, unknown>("Echo");
const Slow = query<unknown, unknown>("Slow");
const Meet = command<unknown, unknown>("Meet");

/** Handlers, and what they were called with. */
function cast() {
  const contexts: Context[] = [];
  const payloads: unknown[] = [];
  const open: ((value: unknown) => void)[] = [];
  return {
    contexts,
    payloads,
    /** Ends the slow handlers that run, in their order. */
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

/** The items that the node has sent to the player. */
const answers = ({ other }: Stage) => other.items("r", "e", "n");
const to = ({ app }: Stage) => app.self.endpoint;

describe("requests that arrive", () => {
  it("those of one frame are answered in one item of one frame", async () => {
    const { handlers } = cast();
    await using stage = await openStage({ handlers });
    const seq = stage.other.send(to(stage), ["q", "Echo", 1_000, 1, null, "x"], ["q", "Echo", 500, { a: [] }]);
    await stage.settle();
    assertEquals(stage.other.frames.map(({ items }) => items), [[["r", seq, 0, 1, null, "x", { a: [] }]]]);
  });

  it("those of several frames of one turn are answered in one frame", async () => {
    const { handlers } = cast();
    await using stage = await openStage({ handlers });
    stage.other.send(to(stage), ["q", "Echo", 1_000, 1, 2]);
    stage.other.send(to(stage), ["q", "Echo", 1_000, 3]);
    await stage.settle();
    assertEquals(stage.other.frames.map(({ items }) => items), [[["r", 1, 0, 1, 2], ["r", 2, 0, 3]]]);
  });

  it("places count over all requests of a frame, undefined and those with meta included", async () => {
    const { handlers, payloads } = cast();
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

  it("a slow handler holds back nobody's answer, in its frame or another", async () => {
    const { handlers, open } = cast();
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

  it("meta reaches the handler, and the defaults where there is none", async () => {
    const { handlers, contexts } = cast();
    await using stage = await openStage({ handlers });
    const meta = { id: "x", attempt: 3, correlation: "r", causation: "c", ancestry: ["a"], headers: { h: "1" } };
    stage.other.send(to(stage), ["q", "Echo", 1_000, 1], ["m", "Meet", 1_000, meta], ["q", "Meet", 2_000, 1]);
    await stage.settle();
    const seen = contexts.map(({ id, attempt, correlationId, causationId, headers, node }) => ({
      ...{ id, attempt, correlationId, causationId, headers: { ...headers }, node },
    }));
    const more = { correlationId: "r", causationId: "c", headers: { h: "1" }, node: "node" };
    const own = `other.1.${to(stage).split(".")[1]}.1.2`; // the sender, for whom, the frame, the place
    assertEquals(seen, [{ id: "x", attempt: 3, ...more }, {
      ...{ id: own, attempt: 1, correlationId: own, causationId: undefined, headers: {}, node: "node" },
    }]);
    assertEquals(contexts[1].deadline, stage.clock.now() + 2_000);
  });

  it("__proto__ among payloads and headers is a key like any other", async () => {
    const { handlers, contexts } = cast();
    await using stage = await openStage({ handlers });
    const meta = '{"headers":{"__proto__":"x","constructor":"y"}}';
    stage.other.sendText(to(stage), `[1,1,0,["m","Meet",9,${meta}],["q","Echo",9,{"__proto__":{"a":1}}]]`);
    await stage.settle();
    assertEquals(Object.entries(contexts[0].headers), [["__proto__", "x"], ["constructor", "y"]]);
    assert(stage.other.frames[0].text.includes('{"__proto__":{"a":1}}'), stage.other.frames[0].text);
    assertEquals(({} as { a?: number }).a, undefined);
  });

  it("one without time left is refused, not run", async () => {
    const { handlers, payloads } = cast();
    await using stage = await openStage({ handlers });
    stage.other.send(to(stage), ["q", "Echo", 0, 1], ["q", "Echo", -5, 2], ["q", "Echo", 1e300, 3]);
    await stage.settle();
    assertEquals(answers(stage), [["n", 1, 0, "LATE"], ["n", 1, 1, "LATE"], ["r", 1, 2, 3]]);
    assertEquals(payloads, [3]);
  });

  it("its deadline aborts the handler's signal; what it gives afterwards is sent, and counts no longer", async () => {
    const { handlers, contexts, open } = cast();
    await using stage = await openStage({ handlers });
    stage.other.send(to(stage), ["q", "Slow", 100, 1]);
    await stage.clock.advance(200);
    assertEquals((contexts[0].signal.reason as CatgaError).code, "TIMEOUT");
    assertEquals(stage.app.self.load.inFlight, 1);
    open[0](1);
    await stage.settle();
    assertEquals(stage.app.self.load.inFlight, 0);
  });

  it('"c" aborts the signal of that handler and no other, once, and what is not there has no effect', async () => {
    const { handlers, contexts, open } = cast();
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
    const { handlers, payloads } = cast();
    await using stage = await openStage({ handlers });
    const text = JSON.stringify([1, 5, 0, ["q", "Echo", 1_000, "once"]]);
    stage.other.sendText(to(stage), text);
    stage.other.sendText(to(stage), text);
    await stage.settle();
    stage.other.sendText(to(stage), text);
    await stage.settle();
    assertEquals([payloads, answers(stage)], [["once"], [["r", 5, 0, "once"]]]);
  });

  it("while the node drains they are refused with DRAINING, and those that run go on", async () => {
    const { handlers, open, payloads } = cast();
    await using stage = await openStage({ handlers });
    stage.other.send(to(stage), ["q", "Slow", 9_000, 1]);
    await stage.settle();
    const drained = stage.app.drain();
    await stage.settle();
    stage.other.send(to(stage), ["q", "Echo", 9_000, 2], ["m", "Echo", 9_000, {}, 3]);
    await stage.settle();
    assertEquals(answers(stage), [["n", 2, 0, "DRAINING"], ["n", 2, 1, "DRAINING"]]);
    open[0]("done");
    await stage.clock.until(drained, 1_000);
    await stage.settle();
    assertEquals([answers(stage).at(-1), payloads], [["r", 1, 0, "done"], [1]]);
  });
});

describe("a server that changes subjects", () => {
  it("cannot make a sender of another part of a subject: what is not on the node's own subjects is dropped", async () => {
    const { handlers, payloads } = cast();
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    const connect = network.connect.bind(network);
    network.connect = (options) => {
      const transport = connect(options);
      const subscribe = transport.subscribe.bind(transport);
      // a mapping: what comes on any subject below `m` is delivered to the subscriptions of the node as well
      transport.subscribe = (subject, options, onMessage) => {
        if (/\.(node|bounce)\./.test(subject)) subscribe("m.>", {}, onMessage);
        return subscribe(subject, options, onMessage);
      };
      return transport;
    };
    const warnings: string[] = [];
    const logger = { debug() {}, info() {}, warn: (line: string) => void warnings.push(line), error() {} };
    const app = await catga({ network, id: "node", handlers, logger });
    const inbox = `catga.default.node.${app.self.endpoint}.`;
    const mapped = `m.${"x".repeat(inbox.length - 2)}other.1`;
    network.connect({ name: "other" }).publish(mapped, `[1,1,${clock.now()},["q","Echo",1000,"forged"]]`);
    await clock.advance(0);
    assertEquals(payloads, []);
    assert(warnings[0]?.includes("malformed") && warnings[0].includes("it came on a subject"), warnings.join());
    await clock.until(app.drain());
  });
});

describe("answers that leave", () => {
  const Give = query<string, unknown>("Give");
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  const gifts: Record<string, () => unknown> = {
    big: () => "x".repeat(20_000),
    cycle: () => cycle,
    bigint: () => 1n,
    fn: () => () => {},
    fail: () => fail("NO_TEA", "none", { details: { left: 0 }, retryable: true }),
    throw: () => {
      throw new Error("secret");
    },
    "throw a CatgaError": () => {
      throw new CatgaError("MINE", "mine");
    },
    bigDetails: () => fail("NO_TEA", "none", { details: "x".repeat(20_000) }),
    bigMessage: () => fail("NO_TEA", "é".repeat(20_000)),
    wrongDetails: () => fail("NO_TEA", "none", { details: 1n }),
    good: () => "good",
    later: () => Promise.resolve("later"),
  };
  const handlers = Give.handle((name) => gifts[name]() as string);

  it("one that cannot be encoded or is too large is an error of its own, and takes no other along", async () => {
    await using stage = await openStage({ handlers, maxPayload: 8_192 });
    stage.other.send(to(stage), ["q", "Give", 1_000, "good", "cycle", "bigint", "fn", "big", "good"]);
    await stage.settle();
    const seen = answers(stage).map((
      [kind, , index, what],
    ) => [kind, index, kind === "e" ? (what as CatgaError).code : what]);
    assertEquals(seen, [
      ["r", 0, "good"],
      ["e", 1, "INVALID_RESPONSE"],
      ["e", 2, "INVALID_RESPONSE"],
      ["e", 3, "INVALID_RESPONSE"],
      ["e", 4, "TOO_LARGE"],
      ["r", 5, "good"],
    ]);
  });

  it("a failure carries code, message, retryable and details; a throw only that it happened", async () => {
    await using stage = await openStage({ handlers });
    stage.other.send(to(stage), ["q", "Give", 1_000, "fail", "throw", "throw a CatgaError", "wrongDetails"]);
    await stage.settle();
    const [failed, threw, own, wrong] = answers(stage).map((item) => item[3] as Record<string, unknown>);
    assertEquals(failed, { code: "NO_TEA", message: "none", retryable: true, details: { left: 0 } });
    assertEquals([threw.code, own.code, wrong.code], ["HANDLER_FAILED", "MINE", "NO_TEA"]);
    assert(!stage.other.frames[0].text.includes("secret"));
    assert(stage.log.some((line) => line.includes("secret")));
  });

  it("a failure that is too large for the server is shortened (it took the answers beside it along)", async () => {
    await using stage = await openStage({ handlers, maxPayload: 8_192 });
    stage.other.send(to(stage), ["q", "Give", 1_000, "good", "bigDetails", "bigMessage", "later"]);
    await stage.settle();
    const seen = answers(stage).map((
      [kind, , index, what],
    ) => [kind, index, kind === "e" ? (what as CatgaError).code : what]);
    assertEquals(seen, [["r", 0, "good"], ["e", 1, "NO_TEA"], ["e", 2, "NO_TEA"], ["r", 3, "later"]]);
    assertEquals(stage.log.filter((line) => line.startsWith("error")), []);
  });

  it("many large ones are split over frames that the server takes", async () => {
    await using stage = await openStage({ handlers: Echo.handle((payload) => payload) });
    const texts = Array.from({ length: 20 }, (_, i) => String.fromCharCode(97 + i).repeat(20_000));
    stage.other.send(to(stage), ["q", "Echo", 1_000, ...texts]);
    await stage.settle();
    assertEquals(answers(stage).flatMap(([, , , ...values]) => values), texts);
    for (const { text } of stage.other.frames) assert(text.length < 66_000, String(text.length));
  });
});

describe("pings and versions", () => {
  it("a ping is answered with what was heard, what was not, and the load", async () => {
    const { handlers, open } = cast();
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

  it("a frame that was reported missing is refused when it comes after all; one that was not is taken", async () => {
    const { handlers, payloads } = cast();
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

  it("a frame full of pings is answered by one pong (it could be made to send a thousand times what it got)", async () => {
    await using stage = await openStage();
    stage.other.send(to(stage), ...Array.from({ length: 5_000 }, (_, i) => ["p", i]));
    await stage.settle();
    assertEquals(stage.other.items("o"), [["o", 4_999, 1, [], [0, 0]]]);
  });

  it("a frame of an unknown version is answered with the versions that are spoken, once", async () => {
    await using stage = await openStage({ handlers: Echo.handle(() => 1) });
    const { other } = stage;
    for (let i = 0; i < 5; i++) other.sendText(to(stage), '[2,"from the future"]');
    await stage.settle();
    assertEquals(other.frames.map(({ items }) => items), [[["v", 1]]]);
    other.send(to(stage), ["q", "Echo", 100, 1]);
    await stage.settle();
    assertEquals(other.frames.at(-1)!.items, [["r", 1, 0, 1]]);
  });

  it("two nodes that cannot read each other do not tell each other so for ever", async () => {
    await using stage = await openStage();
    const { other } = stage;
    let answered = 0;
    other.onFrame = () => {
      answered++;
      other.sendText(to(stage), '[2,1,1,["v",2]]'); // what a node of version 2 would say
    };
    other.sendText(to(stage), "[2,1,1]");
    await stage.clock.advance(900);
    assertEquals(answered, 1);
  });

  it("a node that speaks another version is told of in the log, once a minute", async () => {
    await using stage = await openStage();
    for (let i = 0; i < 50; i++) stage.other.send(to(stage), ["v", 2, 3]);
    await stage.settle();
    const lines = stage.log.filter((line) => line.includes("protocol 2,3"));
    assertEquals(lines.length, 1);
    assert(lines[0].includes("one version of Catga"), lines[0]);
  });
});

describe("many peers", () => {
  it("forged senders do not fill the memory, and a node that was forgotten for them is served as before", async () => {
    const { handlers, payloads } = cast();
    await using stage = await openStage({ handlers, handles: ["There"] });
    const { other, network, clock, app } = stage;
    other.pongs = false;
    const There = query<unknown, unknown>("There");
    other.answerWith((_, payload) => payload);
    for (let i = 0; i < 3; i++) assert((await clock.until(app.send(There, i))).ok);
    other.send(to(stage), ["q", "Echo", 9_000, "before"]);
    await stage.settle();
    const forger = network.connect();
    for (let i = 0; i < 9_000; i++) {
      forger.publish(`catga.default.node.${to(stage)}.forged.${i}`, "[1,1,0]");
      if (i % 500 === 0) await stage.settle();
    }
    await stage.settle();
    // numbers that it had used were used again: the other side took new requests for old ones, and never answered
    const seqs = other.frames.map(({ seq }) => seq);
    const answer = await clock.until(app.send(There, "after", { timeout: 5_000 }));
    assertEquals(answer.value, "after");
    assert(other.frames.at(-1)!.seq > Math.max(...seqs), `${other.frames.at(-1)!.seq} after ${seqs}`);
    other.send(to(stage), ["q", "Echo", 9_000, "after"]);
    await stage.settle();
    assertEquals(payloads, ["before", "after"]);
  });

  it("as many at once as want do not slow each other down", async () => {
    const of = (count: number) =>
      leastTime(async () => {
        await using stage = await openStage();
        const forger = stage.network.connect();
        // all of one turn: each is owed an answer until it ends, and none can be forgotten
        for (let i = 0; i < count; i++) {
          forger.publish(`catga.default.node.${to(stage)}.forged.${i}`, '[1,1,0,["p",1]]');
        }
        await stage.settle();
      });
    const [few, many] = [await of(3_000), await of(9_000)];
    // three times as many take three times as long; looked through by each beyond 4,096, thirty times
    assertLess(many / few, 10, `${few} ms, ${many} ms: every message looked through all peers`);
  });
});
