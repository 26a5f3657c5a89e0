/** What becomes of requests: refusals, bounces, silence, cuts, deadlines, and callers who give up. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { AnyContract } from "../../contract/contract.ts";
import { command, query } from "../../contract/definition.ts";
import type { NodeInfo, Strategy } from "../../contract/node_info.ts";
import { seededRandom } from "../../memory/seeded_random.ts";
import { type Result, unwrap } from "../../contract/result.ts";
import type { Schema } from "../../contract/schema.ts";
import { openStage, openTrio, Player, type Stage } from "../../../test/support/stage.ts";
import { testCluster } from "../../testing/mod.ts";

const Ask = query<unknown, unknown>("Ask");
const Do = command<unknown, unknown>("Do");
const HANDLES = ["Ask", "Do"];

/** How many requests have arrived at a player. */
const asked = ({ frames }: Player): number =>
  frames.flatMap(({ items }) => items).reduce(
    (sum, [kind, ...rest]) => sum + (kind === "m" ? 1 : kind === "q" ? Math.max(1, rest.length - 2) : 0),
    0,
  );
const code = ({ value, error }: Result<unknown>): unknown => error?.code ?? value;
/** Sends to one node by a strategy that others may take over from. */
const first = (id: string) => ({
  route: (nodes: readonly NodeInfo[]) => nodes.find((node) => node.id === id) ?? nodes[0],
});
/** Nothing is owed and nothing waits: a drain has nothing to wait for but the last requests of others. */
async function assertQuiet({ app, clock }: Stage): Promise<void> {
  assertEquals(app.self.load.inFlight, 0);
  await clock.until(app.drain(), 50);
}

describe("a refusal", () => {
  for (const refusal of ["DRAINING", "NO_HANDLER", "OVERLOADED", "LATE", "SOMETHING_NEW"]) {
    it(`${refusal}: the request goes to another node, a command too, as attempt 2 with the id that it had`, async () => {
      await using stage = await openTrio();
      const { app, other, second, clock } = stage;
      other.onFrame = ({ from, seq, items }) => {
        if (items[0][0] !== "p") other.send(from, ["n", seq, 0, refusal], ["n", seq, 1, refusal]);
      };
      second.answerWith((name, payload) => `${name} ${payload}`);
      const sent = [app.send(Ask, 1, first("other")), app.send(Do, 2, first("other"))];
      assertEquals((await clock.until(Promise.all(sent))).map(unwrap), ["Ask 1", "Do 2"]);
      const nonce = other.endpoint.split(".")[1];
      assertEquals(
        second.items("m").map((item) => item[3]),
        [0, 1].map((index) => ({
          id: `${app.self.endpoint}.${nonce}.1.${index}`,
          attempt: 2,
        })),
      );
      await assertQuiet(stage);
    });
  }

  it("by the only node: it is asked again after a while, as often as retries say, and then it is the result", async () => {
    await using stage = await openStage({ handles: HANDLES });
    const { app, other, clock } = stage;
    const at: number[] = [];
    other.onFrame = ({ from, seq, items }) => {
      if (items[0][0] === "p") return;
      at.push(clock.monotonic());
      other.send(from, ["n", seq, 0, "DRAINING"]);
    };
    const { error } = await clock.until(app.send(Do, 1));
    assertEquals([error?.code, error?.retryable, error?.node, at.length], ["DRAINING", true, "other", 4]);
    for (const [i, most] of [10, 20, 40].entries()) assert(at[i + 1] - at[i] <= most, `${at}`);
    assertEquals((await clock.until(app.send(Do, 1, { retries: 0 }))).error?.code, "DRAINING");
    assertEquals(at.length, 5);
  });

  it("during backoff the deadline and the caller's signal still count", async () => {
    await using stage = await openStage({ handles: HANDLES });
    const { app, other, clock, settle } = stage;
    other.onFrame = ({ from, seq, items }) => {
      if (items[0][0] !== "p") other.send(from, ["n", seq, 0, "DRAINING"]);
    };
    const stop = new AbortController();
    const sent = [
      app.send(Do, 1, { retries: 1_000, timeout: 200 }),
      app.send(Ask, 1, { retries: 1_000, signal: stop.signal }),
    ];
    await clock.advance(100);
    stop.abort();
    await settle();
    await clock.advance(200);
    assertEquals((await Promise.all(sent)).map(code), ["UNAVAILABLE", "CANCELLED"]);
    await assertQuiet(stage);
  });
});

describe("a bounce", () => {
  it("moves what was in the frame to another node, whatever its kind, once", async () => {
    await using stage = await openTrio();
    const { app, other, second, clock, network } = stage;
    second.answerWith((name) => name);
    network.kill("other");
    const sent = [app.send(Ask, 1, first("other")), app.send(Do, 2, first("other"))];
    const start = clock.monotonic();
    assertEquals((await clock.until(Promise.all(sent))).map(unwrap), ["Ask", "Do"]);
    assertEquals([asked(other), asked(second), clock.monotonic() - start], [0, 2, 0]);
    // from now on it is avoided
    await clock.until(Promise.all([1, 2, 3, 4].map((n) => app.send(Do, n))));
    assertEquals(stage.log.filter((line) => line.includes("nobody there")).length, 1);
    await assertQuiet(stage);
  });

  it("proves the process gone: its queries move, its commands have OUTCOME_UNKNOWN, at once", async () => {
    await using stage = await openTrio();
    const { app, other, second, clock, network, settle } = stage;
    second.answerWith(() => "second");
    const before = [Ask, Do, Ask, Do].map((contract: typeof Ask | typeof Do) => app.send(contract, 1, first("other")));
    await settle();
    assertEquals(asked(other), 4);
    network.kill("other");
    const after = app.send(Do, 2, first("other"));
    const start = clock.monotonic();
    const results = await clock.until(Promise.all([...before, after]));
    assertEquals(results.map(code), ["second", "OUTCOME_UNKNOWN", "second", "OUTCOME_UNKNOWN", "second"]);
    assertEquals([results[1].error?.node, clock.monotonic() - start], ["other", 0]);
    assert(stage.log.some((line) => line.includes("gone with 4 request(s) in hand")), stage.log.join("\n"));
    await assertQuiet(stage);
  });

  it("of a ping proves the same, without any other traffic", async () => {
    await using stage = await openTrio();
    const { app, second, clock, network, settle } = stage;
    second.answerWith(() => "second");
    const sent = [app.send(Ask, 1, first("other")), app.send(Do, 2, first("other"))];
    await settle();
    network.kill("other");
    await clock.advance(150);
    assertEquals((await Promise.all(sent)).map(code), ["second", "OUTCOME_UNKNOWN"]);
  });

  it("with every node gone: UNAVAILABLE, certainly not run", async () => {
    await using stage = await openTrio();
    stage.network.kill("other");
    stage.network.kill("second");
    const { error } = await stage.clock.until(stage.app.send(Do, 1));
    assertEquals([error?.code, error?.retryable], ["UNAVAILABLE", true]);
    await assertQuiet(stage);
  });

  it("that is forged, by publishing where bounces go, has no effect", async () => {
    await using stage = await openTrio();
    const { app, other, second, settle } = stage;
    const sent = [app.send(Do, 1, first("other")), app.send(Ask, 2, first("other"))];
    await settle();
    const subject = `catga.default.bounce.${app.self.endpoint}`;
    for (let slot = 0; slot < 8; slot++) {
      for (const seq of ["1", "2", "999", "x", "-1", "1e9", "9007199254740993"]) {
        for (const data of ["", "anything", '[1,1,1,["p",1]]']) {
          second.transport.publish(`${subject}.${slot}.${seq}`, data, { headers: { Status: "503" } });
          second.transport.publish(`${subject}.${slot}.${seq}.more`, data);
        }
      }
      second.transport.publish(`${subject}.${slot}`, "");
    }
    await settle();
    other.send(other.frames[0].from, ["r", other.frames[0].seq, 0, "a", "b"]);
    await settle();
    assertEquals([(await Promise.all(sent)).map(unwrap), asked(second)], [["a", "b"], 0]);
    assert(!stage.log.some((line) => line.includes("nobody there")));
  });

  it("whoever is heard of afterwards is trusted again at once (it was avoided until its next record)", async () => {
    await using stage = await openTrio();
    const { app, other, second, clock, network, settle } = stage;
    second.answerWith(() => "second");
    other.answerWith(() => "other");
    network.cut("other");
    assertEquals(unwrap(await clock.until(app.send(Ask, 1, first("other")))), "second");
    network.restore("other");
    other.send(app.self.endpoint, ["c", 1, 0]);
    await settle();
    assert(stage.log.some((line) => line.endsWith("node other: alive")), stage.log.join("\n"));
    assertEquals(unwrap(await clock.until(app.send(Ask, 1, first("other")))), "other");
  });
});

describe("a pong", () => {
  it("that misses a frame moves its requests to another node, commands too", async () => {
    await using stage = await openTrio();
    const { app, other, second, clock } = stage;
    second.answerWith((name) => name);
    other.pongs = false;
    const sent = [app.send(Do, 1, first("other")), app.send(Ask, 2, first("other"))];
    await clock.advance(120);
    assertEquals(other.pings.length, 1);
    other.send(app.self.endpoint, ["o", 1, 2, [1, 1], [0, 0]]);
    assertEquals((await clock.until(Promise.all(sent))).map(unwrap), ["Do", "Ask"]);
    // its answer, should it come after all, is nobody's
    other.send(app.self.endpoint, ["r", 1, 0, "too late", "too late"]);
    await assertQuiet(stage);
  });

  it("that has it, or reports what is no gap before it, leaves it where it is", async () => {
    await using stage = await openTrio();
    const { app, other, second, clock, settle } = stage;
    other.pongs = false;
    const sent = app.send(Do, 1, first("other"));
    await settle();
    const to = app.self.endpoint;
    other.send(to, ["o", 1, 5, [], [0, 0]], ["o", 1, 5, [2, 4], [0, 0]], ["o", 1, 0, [1, 9], [0, 0]]);
    other.send(to, ["o", 1, 9, [3, 1], [0, 0]]);
    await clock.advance(400);
    assertEquals(asked(second), 0);
    other.send(to, ["r", 1, 0, "done"]);
    assertEquals(unwrap(await clock.until(sent)), "done");
  });

  it("with a hundred thousand gaps is gone through in no time", async () => {
    await using stage = await openTrio();
    const { app, other, clock, settle } = stage;
    const sent: Promise<Result<unknown>>[] = [];
    for (let i = 0; i < 100; i++) {
      sent.push(app.send(Ask, i, { ...first("other"), timeout: 1_000 }));
      await settle();
    }
    const gaps = Array.from({ length: 100_000 }, (_, i) => 1_000 + i);
    const start = performance.now();
    other.send(app.self.endpoint, ["o", 1, 500_000, gaps, [0, 0]]);
    await settle();
    const took = performance.now() - start;
    // some 10 ms for those in hand; for every number up to 500,000 it would be 50,000 times as much
    assert(took < 10_000, `took ${took} ms`);
    await clock.advance(1_100);
    await Promise.all(sent);
  });
});

describe("pings", () => {
  it("go out when an answer has been owed for 50 ms, then every 100 ms, and only then", async () => {
    await using stage = await openTrio();
    const { app, other, second, clock } = stage;
    other.pongs = false;
    const sent = app.send(Do, 1, first("other"));
    await clock.advance(45);
    assertEquals(other.pings.length, 0);
    await clock.advance(60);
    assertEquals(other.pings.length, 1);
    await clock.advance(500);
    assert(other.pings.length >= 5 && other.pings.length <= 6, String(other.pings.length));
    assertEquals(second.pings.length, 0);
    other.send(app.self.endpoint, ["r", 1, 0, "done"]);
    await clock.until(sent);
    const before = other.pings.length;
    await clock.advance(300); // the ring's own begin a second after the start
    assertEquals(other.pings.length, before);
  });

  it("what is answered in time causes none", async () => {
    await using stage = await openTrio();
    const { app, other, clock } = stage;
    other.answerWith(() => 1);
    for (let i = 0; i < 40; i++) {
      await clock.until(app.send(Do, 1, first("other")));
      await clock.advance(20);
    }
    assertEquals(other.pings, []);
  });

  it("that nobody answers for 500 ms make a node suspect: others are preferred", async () => {
    await using stage = await openTrio();
    const { app, other, second, clock } = stage;
    other.pongs = false;
    second.answerWith(() => "second");
    const sent = app.send(Do, 1, { ...first("other"), timeout: 5_000 });
    await clock.advance(700);
    assert(stage.log.some((line) => line.endsWith("node other: suspect")), stage.log.join("\n"));
    assertEquals(unwrap(await clock.until(app.send(Ask, 1, first("other")))), "second");
    await clock.advance(5_000);
    assertEquals((await sent).error?.code, "OUTCOME_UNKNOWN");
  });
});

describe("while disconnected", () => {
  it("nothing is published; requests wait and go out when the connection is there again", async () => {
    await using stage = await openStage({ handles: HANDLES });
    const { app, other, clock, network } = stage;
    other.answerWith((_, payload) => payload);
    network.cut("node");
    const before = stage.published.length;
    const sent = [1, 2, 3].map((n) => app.send(Do, n));
    await clock.advance(2_500);
    assertEquals([stage.published.length, other.frames.length], [before, 0]);
    network.restore("node");
    assertEquals((await clock.until(Promise.all(sent))).map(unwrap), [1, 2, 3]);
    await assertQuiet(stage);
  });

  it("a request whose deadline passes meanwhile is UNAVAILABLE; one that is given up CANCELLED", async () => {
    await using stage = await openStage({ handles: HANDLES });
    const { app, other, clock, network, settle } = stage;
    network.cut("node");
    const stop = new AbortController();
    const sent = [app.send(Do, 1, { timeout: 100 }), app.send(Ask, 1, { signal: stop.signal })];
    await clock.advance(200);
    stop.abort();
    await settle();
    assertEquals((await Promise.all(sent)).map(code), ["UNAVAILABLE", "CANCELLED"]);
    network.restore("node");
    await settle();
    assertEquals(asked(other), 0);
    await assertQuiet(stage);
  });

  it("cut in the turn of the send: it has not left, and waits", async () => {
    await using stage = await openStage({ handles: HANDLES });
    const { app, other, clock, network, settle } = stage;
    other.answerWith(() => "done");
    const sent = app.send(Do, 1);
    network.cut("node");
    await settle();
    assertEquals(other.frames.length, 0);
    network.restore("node");
    assertEquals(unwrap(await clock.until(sent)), "done");
    assertEquals(other.items("q").length, 1); // attempt 1: it had not left
  });

  it("answers that are made meanwhile arrive afterwards", async () => {
    let end = (_: unknown) => {};
    const Slow = query<unknown, unknown>("Slow");
    await using stage = await openStage({ handlers: Slow.handle(() => new Promise((resolve) => end = resolve)) });
    const { app, other, network, settle } = stage;
    const seq = other.send(app.self.endpoint, ["q", "Slow", 9_000, 1]);
    await settle();
    network.cut("node");
    end("made in the dark");
    await settle();
    assertEquals(other.frames, []);
    network.restore("node");
    await settle();
    assertEquals(other.items("r"), [["r", seq, 0, "made in the dark"]]);
  });

  it("what had left before is asked for at once afterwards, and a pong resolves it", async () => {
    await using stage = await openTrio();
    const { app, other, second, clock, network, settle } = stage;
    second.answerWith(() => "second");
    other.pongs = false;
    const sent = [app.send(Do, 1, first("other"))];
    await settle();
    sent.push(app.send(Do, 2, first("other")));
    await settle();
    network.cut("node");
    await clock.advance(3_000);
    const pings = other.pings.length;
    network.restore("node");
    await settle();
    assertEquals(other.pings.length, pings + 1);
    // it has heard the first frame, and not the second
    other.send(app.self.endpoint, ["o", 1, 3, [2, 2], [1, 0]], ["r", 1, 0, "first"]);
    assertEquals((await clock.until(Promise.all(sent))).map(unwrap), ["first", "second"]);
    assert(!stage.log.some((line) => line.endsWith("node other: suspect")), "it was not asked while disconnected");
  });

  it("this node's own handlers go on", async () => {
    await using stage = await openTrio({ handlers: Do.handle(() => "own") });
    stage.network.cut("node");
    const sent = Array.from({ length: 6 }, (_, i) => stage.app.send(Do, i, first("other")));
    assertEquals((await stage.clock.until(Promise.all(sent))).map(unwrap), new Array(6).fill("own"));
  });

  it("65,536 requests wait, and one more is UNAVAILABLE at once", { timeout: 120_000 }, async () => {
    await using stage = await openStage({ handles: HANDLES });
    const { app, clock, network, settle } = stage;
    network.cut("node");
    const settled: unknown[] = [];
    const sent = Array.from({ length: 65_537 }, () => app.send(Ask, 1, { timeout: 1_000 }));
    sent.at(-1)!.then((result) => settled.push(code(result)));
    await settle();
    assertEquals(settled, ["UNAVAILABLE"]);
    await clock.advance(1_100);
    assertEquals(new Set((await Promise.all(sent)).map(code)), new Set(["UNAVAILABLE"]));
    await assertQuiet(stage);
  });
});

describe("a deadline", () => {
  it("gives TIMEOUT for a query, OUTCOME_UNKNOWN for a command that left, and no sooner", async () => {
    await using stage = await openStage({ handles: HANDLES });
    const { app, clock } = stage;
    const results: unknown[] = [];
    for (const contract of [Ask, Do] as const) {
      app.send(contract as typeof Ask, 1, { timeout: 100 }).then((result) => results.push(code(result)));
    }
    await clock.advance(95);
    assertEquals(results, []);
    await clock.advance(20);
    assertEquals(results.sort(), ["OUTCOME_UNKNOWN", "TIMEOUT"]);
    await assertQuiet(stage);
  });

  it("of a query that was lost with its process, and waits for another chance, is a TIMEOUT: it may have run", async () => {
    await using stage = await openStage({ handles: HANDLES });
    const { app, clock, network, settle } = stage;
    const sent = app.send(Ask, 1, { timeout: 120, retries: 1_000 });
    await settle();
    network.kill("other");
    await clock.advance(300);
    assert(["TIMEOUT", "UNAVAILABLE"].includes(code(await sent) as string));
    await assertQuiet(stage);
  });
});

describe("a caller who gives up", () => {
  it('has CANCELLED at once, and the node is told with "c"', async () => {
    await using stage = await openStage({ handles: HANDLES });
    const { app, other, settle } = stage;
    const stop = new AbortController();
    const sent = [app.send(Do, 1), app.send(Do, 2, { signal: stop.signal }), app.send(Do, 3)];
    await settle();
    stop.abort();
    assertEquals(code(await sent[1]), "CANCELLED");
    await settle();
    assertEquals(other.items("c"), [["c", 1, 1]]);
    other.send(app.self.endpoint, ["r", 1, 0, "a", "b", "c"]);
    await settle();
    assertEquals([code(await sent[0]), code(await sent[2])], ["a", "c"]);
    await assertQuiet(stage);
  });

  it("before the request has left: it leaves, followed by its cancellation, and the places of the others hold", async () => {
    await using stage = await openStage({ handles: HANDLES });
    const { app, other, settle } = stage;
    const stop = new AbortController();
    const sent = [1, 2, 3].map((n) => app.send(Do, n, n === 2 ? { signal: stop.signal } : {}));
    stop.abort();
    await settle();
    assertEquals(other.frames.flatMap(({ items }) => items), [["q", "Do", 30_000, 1, 2, 3], ["c", 1, 1]]);
    other.send(app.self.endpoint, ["r", 1, 0, "a", "b", "c"]);
    await settle();
    assertEquals((await Promise.all(sent)).map(code), ["a", "CANCELLED", "c"]);
    await assertQuiet(stage);
  });

  it("after the answer: nothing happens; no listener stays on the signal", async () => {
    await using stage = await openTrio({
      handlers: query<unknown, unknown>("Own").handle(() => Promise.resolve("own")),
    });
    const { app, other, second, clock } = stage;
    const Own = query<unknown, unknown>("Own");
    second.answerWith(() => "second");
    other.onFrame = ({ from, seq, items }) => {
      if (items[0][0] !== "p") other.send(from, ["n", seq, 0, "DRAINING"]);
    };
    const stop = new AbortController();
    const { signal } = stop;
    let listeners = 0;
    const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
    Object.assign(signal, {
      addEventListener: (...args: Parameters<typeof add>) => (listeners++, add(...args)),
      removeEventListener: (...args: Parameters<typeof remove>) => (listeners--, remove(...args)),
    });
    const options = { signal };
    await clock.until(Promise.all([
      app.send(Ask, 1, { ...options, ...first("other") }),
      app.send(Ask, 1n, options),
      app.send(Own, 1, options),
      app.send(Ask, 1, { ...options, node: "nobody" }),
      app.broadcast(Ask, 1, { ...options, node: "second" }),
      assertRejects(() => app.send(Ask, 1, { ...options, route: () => ({}) as NodeInfo }), TypeError),
    ]));
    assertEquals(listeners, 0);
    const before = other.frames.length + second.frames.length;
    stop.abort();
    await stage.settle();
    assertEquals(other.frames.length + second.frames.length, before);
    await assertQuiet(stage);
  });
});

describe("a request that a handler sends", () => {
  const Outer = query<unknown, unknown>("Outer");
  const Inner = command<unknown, unknown>("Inner");

  it("is cancelled with it, there as well", async () => {
    let inner: Promise<Result<unknown>> | undefined;
    await using stage = await openStage({
      handles: HANDLES,
      handlers: Outer.handle((_, ctx) => inner = ctx.send(Ask, 1)),
    });
    const { app, other, settle } = stage;
    const seq = other.send(app.self.endpoint, ["q", "Outer", 9_000, 1]);
    await settle();
    other.send(app.self.endpoint, ["c", seq, 0]);
    await settle();
    assertEquals([code(await inner!), other.items("c").length], ["CANCELLED", 1]);
    const [, , , meta] = other.items("m")[0] as [string, string, number, Record<string, unknown>];
    const nonce = app.self.endpoint.split(".")[1];
    const cause = `other.1.${nonce}.1.0`;
    assertEquals(meta, { correlation: cause, causation: cause, ancestry: [cause] });
    await assertQuiet(stage);
  });

  it("to a handler of this node, when its own time is over: the command may have run (it said TIMEOUT)", async () => {
    const inner: Promise<Result<unknown>>[] = [];
    await using stage = await openStage({
      handles: ["Inner"],
      handlers: [
        Outer.handle((_, ctx) => {
          inner.push(ctx.send(Inner, 1, { route: "local-first" }), ctx.send(Inner, 2, { node: "other" }));
          return Promise.all(inner);
        }),
        Inner.handle(() => new Promise(() => {})),
      ],
    });
    const { app, other, clock } = stage;
    other.send(app.self.endpoint, ["q", "Outer", 100, 1]);
    await clock.advance(150);
    assertEquals((await Promise.all(inner)).map(code), ["OUTCOME_UNKNOWN", "OUTCOME_UNKNOWN"]);
    const drained = app.drain({ timeout: 0 });
    await clock.advance(1_000); // the inner handler never ends
    await drained;
  });

  it("keeps its id when it is refused elsewhere and then handled here", async () => {
    const ids: string[] = [];
    await using stage = await openStage({
      handles: ["Inner"],
      handlers: Inner.handle((_, ctx) => void ids.push(`${ctx.id} ${ctx.attempt}`)),
    });
    const { app, other, clock } = stage;
    other.onFrame = ({ from, seq, items }) => {
      if (items[0][0] !== "p") other.send(from, ["n", seq, 0, "DRAINING"]);
    };
    await clock.until(app.send(Inner, 1, first("other")));
    await clock.until(app.send(Inner, 1, { ...first("other"), id: "mine" }));
    assertEquals(ids, [`${app.self.endpoint}.1.1.0 2`, "mine 2"]);
  });
});

describe("an answer that is parsed", () => {
  /** A schema that takes its time. */
  const gates: (() => void)[] = [];
  const slowly: Schema<unknown, unknown> = {
    "~standard": {
      version: 1,
      vendor: "test",
      validate: (value) => new Promise((resolve) => gates.push(() => resolve({ value }))),
    },
  };
  const Get = query<unknown, unknown>("Ask", { output: slowly });
  const Set = command<unknown, unknown>("Do", { output: slowly });
  const open = () => gates.splice(0).forEach((gate) => gate());

  it("was given once: neither a second answer nor the node's death changes it (it was counted twice)", async () => {
    await using stage = await openTrio();
    const { app, other, second, clock, network, settle } = stage;
    const sent = [
      app.send(Set, 1, first("other")),
      app.send(Get, 2, first("other")),
      app.send(Do, 3, first("other")),
    ];
    await settle();
    const to = app.self.endpoint;
    other.send(to, ["r", 1, 0, "one", "two"], ["r", 1, 0, "again", "again"], ["n", 1, 1, "DRAINING"]);
    await settle();
    other.send(to, ["r", 1, 2, "three"]); // its frame was forgotten when the others had been counted twice
    await settle();
    assertEquals(unwrap(await sent[2]), "three");
    network.kill("other");
    second.answerWith(() => "second");
    assertEquals(unwrap(await clock.until(app.send(Do, 4, first("other")))), "second");
    open();
    assertEquals((await Promise.all(sent)).map(unwrap), ["one", "two", "three"]);
    await assertQuiet(stage);
  });

  it("past the deadline: a command may have run (it was said not to have), a query is out of time", async () => {
    await using stage = await openStage({ handles: HANDLES });
    const { app, other, clock } = stage;
    const stop = new AbortController();
    other.answerWith(() => 1);
    const sent = [
      app.send(Set, 1, { timeout: 100 }),
      app.send(Get, 2, { timeout: 100 }),
      app.send(Set, 3, { signal: stop.signal }),
    ];
    await clock.advance(150);
    stop.abort();
    await stage.settle();
    assertEquals((await Promise.all(sent)).map(code), ["OUTCOME_UNKNOWN", "TIMEOUT", "CANCELLED"]);
    open();
    await assertQuiet(stage);
  });
});

describe("a strategy of the user's", () => {
  it("that throws, or gives what is no candidate, makes the send reject; nothing is left behind", async () => {
    await using stage = await openTrio();
    const { app } = stage;
    const throwing = () => {
      throw new RangeError("my own");
    };
    await assertRejects(() => app.send(Ask, 1, { route: throwing }), RangeError, "my own");
    const foreign = { ...app.self, id: "foreign" };
    await assertRejects(() => app.send(Ask, 1, { route: () => foreign }), TypeError, "not one of its candidates");
    await assertQuiet(stage);
  });

  it("that gives nobody: the request waits for a node as if there were none, and a join asks again (it hung)", async () => {
    await using stage = await openTrio();
    const { app, network, clock } = stage;
    const wanted = (nodes: readonly NodeInfo[]) => nodes.find(({ id }) => id === "third");
    const sent = [app.send(Do, 1, { route: wanted }), app.send(Do, 2, { route: wanted })];
    await clock.advance(300);
    const unwanted = new Player(network, "unwanted");
    await unwanted.register(HANDLES);
    await clock.advance(300);
    const third = new Player(network, "third");
    third.answerWith(() => "third");
    await third.register(HANDLES);
    assertEquals((await clock.until(Promise.all(sent))).map(unwrap), ["third", "third"]);
    const vain = app.send(Do, 1, { route: () => undefined });
    await clock.advance(600);
    assertEquals(code(await vain), "NO_HANDLER");
    await assertQuiet(stage);
  });

  it("is asked, too, where this node alone handles the contract (a send without options ran past it)", async () => {
    const asked: string[] = [];
    const route: Strategy = ([only]) => (asked.push(only.id), undefined);
    const Own = query<void, string>("Own", { route });
    await using cluster = await testCluster(1, { handlers: Own.handle(() => "ran") });
    const app = cluster.app("node-1");
    for (const sent of [app.send(Own), app.send(Own, undefined, {})]) assertEquals(code(await sent), "NO_HANDLER");
    assertEquals(asked, ["node-1", "node-1"]);
  });

  it("is not asked where one node is named, nor in a broadcast", async () => {
    await using stage = await openTrio({ route: () => undefined });
    const { app, other, second, clock } = stage;
    other.answerWith(() => "other");
    second.answerWith(() => "second");
    assertEquals(unwrap(await clock.until(app.send(Do, 1, { node: "second" }), 10)), "second");
    const all = await clock.until(app.broadcast(Do, 1), 10);
    assertEquals(all.map(({ node, result }) => [node, code(result)]), [["other", "other"], ["second", "second"]]);
  });
});

describe("everything at once", () => {
  for (const seed of [1, 2, 3]) {
    it(`every call settles, runs at most once if it is a command, and nothing is left: seed ${seed}`, async () => {
      await using stage = await openTrio();
      const { app, other, second, clock, network } = stage;
      const random = seededRandom(seed);
      const ran = new Map<unknown, number>();
      for (const player of [other, second]) {
        player.onFrame = ({ from, seq, items }) => {
          let index = 0;
          for (const [kind, name, , ...rest] of items) {
            if (kind !== "q" && kind !== "m") continue;
            for (const payload of kind === "m" ? rest.slice(1) : rest) {
              const place = index++;
              const dice = random();
              if (dice < 0.1) player.send(from, ["n", seq, place, dice < 0.05 ? "DRAINING" : "OVERLOADED"]);
              if (dice < 0.1) continue;
              if (name === "Do") ran.set(payload, (ran.get(payload) ?? 0) + 1);
              if (dice < 0.2) continue; // it never answers
              const answer = () =>
                player.send(from, dice < 0.3 ? ["e", seq, place, { code: "NO" }] : ["r", seq, place, payload]);
              if (dice < 0.6) answer();
              else clock.after(random() * 300, answer);
              if (dice > 0.95) answer(); // twice
            }
          }
        };
      }
      const outcomes = new Map<number, unknown>();
      const sent: Promise<void>[] = [];
      for (let i = 0; i < 1_500; i++) {
        const contract: AnyContract = random() < 0.5 ? Ask : Do;
        const stop = random() < 0.1 ? new AbortController() : undefined;
        const options = { timeout: 50 + random() * 600, ...(stop === undefined ? {} : { signal: stop.signal }) };
        sent.push(app.send(contract as typeof Do, i, options).then((result) => void outcomes.set(i, code(result))));
        if (stop !== undefined) clock.after(random() * 100, () => stop.abort());
        const dice = random();
        if (dice < 0.004) {
          const victim = ["node", "other", "second"][Math.floor(random() * 3)];
          network.cut(victim);
          clock.after(random() * 300, () => network.restore(victim));
        }
        if (dice < 0.1) await clock.advance(random() * 20);
      }
      await clock.advance(3_000);
      assertEquals(outcomes.size, sent.length, "some never settled");
      for (const [payload, times] of ran) assertEquals(times, 1, `${payload} ran ${times} times`);
      const known = ["CANCELLED", "UNAVAILABLE", "OUTCOME_UNKNOWN", "TIMEOUT", "DRAINING", "OVERLOADED", "NO"];
      for (const [i, outcome] of outcomes) {
        assert(outcome === i || known.includes(outcome as string), `${i}: ${outcome}`);
      }
      for (const safe of ["UNAVAILABLE", "DRAINING", "OVERLOADED"]) {
        for (const [i, outcome] of outcomes) {
          assert(outcome !== safe || !ran.has(i), `${i} ran, and was said not to have`);
        }
      }
      assertEquals(stage.log.filter((line) => line.startsWith("error")), []);
      await assertQuiet(stage);
    });
  }
});
