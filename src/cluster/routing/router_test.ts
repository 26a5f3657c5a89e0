/** Tests of the results of requests: refusals, bounces, cuts, deadlines, and callers who give up. */
import process from "node:process";
import { describe, it } from "node:test";
import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import type { AnyContract } from "../../contract/declaration/contract.ts";
import { command, query } from "../../contract/declaration/definition.ts";
import type { NodeInfo } from "../../contract/nodes/node_info.ts";
import type { MemoryNetwork } from "../../memory/network.ts";
import { seededRandom } from "../../memory/seeded_random.ts";
import { type Result, unwrap } from "../../contract/calls/result.ts";
import type { Schema } from "../../contract/schemas/schema.ts";
import { MemoryCluster } from "../../../test/support/memory_cluster.ts";
import { QUIET } from "../../../test/support/quiet.ts";
import { openStage, openTrio, Player, type Stage } from "../../../test/support/stage.ts";
import { testCluster } from "../../testing/mod.ts";
import { errorOf } from "../../../test/support/error_of.ts";
import { toText } from "../../data/encoding.ts";
import type { AppClock } from "../../ports/clock.ts";
import type { RemoteRequest } from "../../dispatch/remote.ts";
import { CatgaError } from "../../error.ts";
import { broadcast } from "./router.ts";

const Ask = query<unknown, unknown>("Ask");
const Do = command<unknown, unknown>("Do");
const Drop = command<void, void>("Drop", { route: ([node]) => node });
const HANDLES = ["Ask", "Do"];

/** Returns the number of requests that have arrived at a player (a simulated node). */
const asked = ({ frames }: Player): number =>
  frames.flatMap(({ items }) => items).reduce(
    (sum, [kind, ...rest]) => sum + (kind === "m" ? 1 : kind === "q" ? Math.max(1, rest.length - 2) : 0),
    0,
  );
const code = ({ value, error }: Result<unknown>): unknown => error?.code ?? value;
/** Options of a send to the node with this id; to the first candidate if the node with this id is not a candidate. */
const first = (id: string) => ({
  route: (nodes: readonly NodeInfo[]) => nodes.find((node) => node.id === id) ?? nodes[0],
});
/** Registers players (simulated nodes) with these ids, which handle both contracts. */
async function join(network: MemoryNetwork, ids: readonly string[]): Promise<Player[]> {
  const players = ids.map((id) => new Player(network, id));
  for (const player of players) await player.register(HANDLES);
  return players;
}
/** Makes a player (a simulated node) refuse every request. */
function refuseAll(player: Player, refusal: string): void {
  player.onFrame = ({ from, seq, items }) => {
    if (items.some(([kind]) => kind === "q" || kind === "m")) player.send(from, ["n", seq, 0, refusal]);
  };
}
/** Returns the number of the first frame with requests that a player has received. */
const firstFrame = (player: Player) => player.frames[0].seq;
/** Asserts that no call is under way or waits, so that a drain ends at once. */
async function assertIdle({ app, clock }: Stage): Promise<void> {
  assertEquals(app.self.load.inFlight, 0);
  await clock.until(app.drain(), 50);
}

describe("a query whose earlier attempt may have run", () => {
  it("was not answered, where its text said that it did not run: at its deadline, on one node, and when the sender stops", async () => {
    const ends = [
      [{ timeout: 4_000 }, "no node that handles it was there before its deadline, though one was before"],
      [{ node: "a", timeout: 4_000 }, "nobody was there (node a, the last of its attempts)"],
      [{ timeout: 60_000 }, "no node that handles it is there, and this one stops"],
    ] as const;
    for (const [options, why] of ends) {
      await using cluster = new MemoryCluster();
      const { clock } = cluster;
      let runs = 0;
      await cluster.start("a", { handlers: Ask.handle(() => (runs++, new Promise(() => {}))) });
      const client = await cluster.start("client", { handlers: [], logger: QUIET });
      const sent = client.send(Ask, 1, options);
      await clock.advance(100);
      assertEquals(runs, 1);
      cluster.kill("a");
      await clock.advance(30_000);
      const drained = options.timeout > 30_000 ? client.drain() : undefined;
      const { error } = await clock.until(sent);
      assertEquals([error?.code, error?.message], ["UNAVAILABLE", `query Ask was not answered: ${why}`]);
      if (drained !== undefined) await clock.until(drained);
    }
  });
});

describe("a refusal", () => {
  for (const refusal of ["DRAINING", "NO_HANDLER", "OVERLOADED", "LATE", "SOMETHING_NEW"]) {
    it(`${refusal}: the request moves to another node, a command too, as attempt 2 with the id that it had`, async () => {
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
          id: `${app.self.endpoint}.${nonce}.${firstFrame(other)}.${index}`,
          attempt: 2,
        })),
      );
      await assertIdle(stage);
    });
  }

  it("by the only node: the request is sent to it again after a pause, up to its retries, then the refusal is the result", async () => {
    await using stage = await openStage({ handles: HANDLES });
    const { app, other, clock } = stage;
    const at: number[] = [];
    other.onFrame = ({ from, seq, items }) => {
      if (items[0][0] === "p") return;
      at.push(clock.monotonic());
      other.send(from, ["n", seq, 0, "OVERLOADED"]);
    };
    const { error } = await clock.until(app.send(Do, 1));
    assertEquals([error?.code, error?.retryable, error?.node, at.length], ["OVERLOADED", true, "other", 4]);
    for (const [i, most] of [100, 200, 400].entries()) assert(at[i + 1] - at[i] <= most, `${at}`);
    assertEquals((await clock.until(app.send(Do, 1, { retries: 0 }))).error?.code, "OVERLOADED");
    assertEquals(at.length, 5);
  });

  it("by more nodes than there are retries: the request goes on to the one with room (it was OVERLOADED)", async () => {
    await using stage = await openTrio();
    const { app, clock, network } = stage;
    const full = [stage.other, stage.second, ...await join(network, ["third", "fourth"])];
    for (const each of full) refuseAll(each, "OVERLOADED");
    const [free] = await join(network, ["with-room"]);
    free.answerWith((name) => name);
    await stage.settle();
    const inOrder = (nodes: readonly NodeInfo[]) => nodes[0];
    for (const contract of [Ask, Do] as const) {
      const start = clock.monotonic();
      assertEquals(unwrap(await clock.until(app.send(contract as typeof Do, 1, { route: inOrder }))), contract.name);
      assertEquals(clock.monotonic() - start, 0);
    }
    assertEquals(full.map(asked), [2, 2, 2, 2]);
    assertEquals(free.items("m").map((item) => (item[3] as { attempt: number }).attempt), [5, 5]);
    assertEquals(code(await clock.until(app.send(Do, 1, { route: inOrder, retries: 0 }))), "OVERLOADED");
    await assertIdle(stage);
  });

  it("by all of many nodes: 20 requests are sent for a send with 3 retries, then the refusal is the result", async () => {
    await using stage = await openTrio();
    const { app, clock, network } = stage;
    const more = await join(network, Array.from({ length: 38 }, (_, n) => `more-${n}`));
    const all = [stage.other, stage.second, ...more];
    for (const each of all) refuseAll(each, "OVERLOADED");
    await stage.settle();
    assertEquals(code(await clock.until(app.send(Do, 1))), "OVERLOADED");
    assertEquals(all.map(asked).reduce((sum, each) => sum + each), 20);
    await assertIdle(stage);
  });

  it("OVERLOADED by all until the deadline is near: it is the result at once, not UNAVAILABLE at the deadline", async () => {
    await using stage = await openStage({ handles: HANDLES });
    const { app, other, clock } = stage;
    refuseAll(other, "OVERLOADED");
    const start = clock.monotonic();
    assertEquals(code(await clock.until(app.send(Do, 1, { timeout: 50, retries: 10 }))), "OVERLOADED");
    assertLess(clock.monotonic() - start, 50);
    await assertIdle(stage);
  });

  it("DRAINING by the only node: the request waits for it to be back; without retries it is the result", async () => {
    await using stage = await openStage({ handles: HANDLES });
    const { app, other, clock } = stage;
    let asked = 0;
    other.onFrame = ({ from, seq, items }) => {
      if (items[0][0] === "p") return;
      asked++;
      other.send(from, ["n", seq, 0, "DRAINING"]);
    };
    assertEquals(code(await clock.until(app.send(Do, 1, { retries: 0 }))), "DRAINING");
    assertEquals(asked, 1);
    const start = clock.monotonic();
    assertEquals(code(await clock.until(app.send(Do, 1, { timeout: 2_000 }))), "UNAVAILABLE");
    assertEquals(clock.monotonic() - start, 2_000);
    const sent = app.send(Do, 1);
    await clock.advance(5_000);
    other.answerWith((name) => name);
    assertEquals(unwrap(await clock.until(sent, 400)), "Do");
  });

  it("during the backoff, the deadline and the caller's signal still end the call", async () => {
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
    await assertIdle(stage);
  });
});

describe("a bounce", () => {
  it("moves the requests of its frame to another node, whatever their kind, once", async () => {
    await using stage = await openTrio();
    const { app, other, second, clock, network } = stage;
    second.answerWith((name) => name);
    network.kill("other");
    const sent = [app.send(Ask, 1, first("other")), app.send(Do, 2, first("other"))];
    const start = clock.monotonic();
    assertEquals((await clock.until(Promise.all(sent))).map(unwrap), ["Ask", "Do"]);
    assertEquals([asked(other), asked(second), clock.monotonic() - start], [0, 2, 0]);
    // from now on the node that bounced is avoided
    await clock.until(Promise.all([1, 2, 3, 4].map((n) => app.send(Do, n))));
    assertEquals(stage.log.filter((line) => line.includes("bounced: no process")).length, 1);
    await assertIdle(stage);
  });

  it("shows that the process is gone: queries sent before move, commands end with OUTCOME_UNKNOWN, at once", async () => {
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
    await assertIdle(stage);
  });

  it("of a ping shows the same, without any other traffic", async () => {
    await using stage = await openTrio();
    const { app, second, clock, network, settle } = stage;
    second.answerWith(() => "second");
    const sent = [app.send(Ask, 1, first("other")), app.send(Do, 2, first("other"))];
    await settle();
    network.kill("other");
    await clock.advance(150);
    assertEquals((await Promise.all(sent)).map(code), ["second", "OUTCOME_UNKNOWN"]);
  });

  it("with every node gone: the result is UNAVAILABLE, certainly not run", async () => {
    await using stage = await openTrio();
    stage.network.kill("other");
    stage.network.kill("second");
    const { error } = await stage.clock.until(stage.app.send(Do, 1));
    assertEquals([error?.code, error?.retryable], ["UNAVAILABLE", true]);
    await assertIdle(stage);
  });

  it("that is forged, by publishing on the bounce subject, has no effect", async () => {
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
    assert(!stage.log.some((line) => line.includes("bounced: no process")));
  });

  it("a frame from a suspect node makes it trusted again at once (it was avoided until its next record)", async () => {
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
  it("that reports a frame missing moves its requests to another node, commands too", async () => {
    await using stage = await openTrio();
    const { app, other, second, clock } = stage;
    second.answerWith((name) => name);
    other.pongs = false;
    const sent = [app.send(Do, 1, first("other")), app.send(Ask, 2, first("other"))];
    await clock.advance(120);
    assertEquals(other.pings.length, 1);
    const seq = firstFrame(other);
    other.send(app.self.endpoint, ["o", 1, seq + 1, [seq, seq], [0, 0]]);
    assertEquals((await clock.until(Promise.all(sent))).map(unwrap), ["Do", "Ask"]);
    // the first node answers late, after another node has answered: this answer is ignored
    other.send(app.self.endpoint, ["r", seq, 0, "too late", "too late"]);
    await assertIdle(stage);
  });

  it("that reports a frame received, or gaps beyond it, leaves its requests where they are", async () => {
    await using stage = await openTrio();
    const { app, other, second, clock, settle } = stage;
    other.pongs = false;
    const sent = app.send(Do, 1, first("other"));
    await settle();
    const to = app.self.endpoint;
    const seq = firstFrame(other);
    const later = [seq + 1, seq + 3];
    other.send(to, ["o", 1, seq + 4, [], [0, 0]], ["o", 1, seq + 4, later, [0, 0]], ["o", 1, seq - 1, [seq, seq], [
      0,
      0,
    ]]);
    other.send(to, ["o", 1, seq + 8, [seq + 2, seq], [0, 0]]);
    await clock.advance(400);
    assertEquals(asked(second), 0);
    other.send(to, ["r", seq, 0, "done"]);
    assertEquals(unwrap(await clock.until(sent)), "done");
  });

  it("with sixty thousand gaps costs little time", async () => {
    await using stage = await openTrio();
    const { app, other, clock, settle } = stage;
    const sent: Promise<Result<unknown>>[] = [];
    for (let i = 0; i < 100; i++) {
      sent.push(app.send(Ask, i, { ...first("other"), timeout: 1_000 }));
      await settle();
    }
    const after = other.frames.at(-1)!.seq;
    const gaps = Array.from({ length: 60_000 }, (_, i) => after + 1_000 + i);
    const before = process.threadCpuUsage();
    other.send(app.self.endpoint, ["o", 1, after + 500_000, gaps, [0, 0]]);
    await settle();
    const { user, system } = process.threadCpuUsage(before);
    const took = (user + system) / 1_000;
    // the limit is generous: this takes 10 ms, and a check of every number up to 500,000 would take 50,000 times as
    // long
    assert(took < 10_000, `took ${took} ms of processor time`);
    await clock.advance(1_100);
    await Promise.all(sent);
  });
});

describe("while disconnected", () => {
  it("nothing is published; requests wait, and are sent when the connection is back", async () => {
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
    await assertIdle(stage);
  });

  it("a request whose deadline passes ends with UNAVAILABLE, one that is given up with CANCELLED", async () => {
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
    await assertIdle(stage);
  });

  it("a request that no known node handles waits for the connection, then for a node (it ended with NO_HANDLER)", async () => {
    await using stage = await openStage({ handles: ["Ask"] });
    const { app, clock, network } = stage;
    const ends: unknown[] = [];
    const send = (n: number, options = {}) => void app.send(Do, n, options).then((result) => ends.push(code(result)));
    send(1); // waits for a node when the connection is lost
    network.cut("node");
    send(2);
    send(3, { node: "elsewhere" });
    send(4, { timeout: 1_000 });
    await clock.advance(900);
    assertEquals(ends, []);
    await clock.advance(200);
    assertEquals(ends, ["UNAVAILABLE"]);
    network.restore("node");
    await clock.advance(3_000);
    assertEquals(ends, ["UNAVAILABLE", "NO_HANDLER", "NO_HANDLER", "NO_HANDLER"]);
    await assertIdle(stage);
  });

  it("a request that no known node handles ends 500 ms after its node begins to drain, as with a connection", async () => {
    await using stage = await openStage({ handles: ["Ask"] });
    const { app, clock, network } = stage;
    const begun = clock.monotonic();
    const ends: number[] = [];
    const send = () => void app.send(Do, 1).then(() => ends.push(clock.monotonic() - begun));
    send();
    network.cut("node");
    send();
    await clock.advance(700);
    const drained = app.drain();
    await clock.advance(600);
    assertEquals(ends, [1_200, 1_200]);
    await clock.until(drained);
  });

  it("a request of the turn in which the connection is lost waits: it has not been sent", async () => {
    await using stage = await openStage({ handles: HANDLES });
    const { app, other, clock, network, settle } = stage;
    other.answerWith(() => "done");
    const sent = app.send(Do, 1);
    network.cut("node");
    await settle();
    assertEquals(other.frames.length, 0);
    network.restore("node");
    assertEquals(unwrap(await clock.until(sent)), "done");
    // the command is sent only once, because the first attempt had not left the node
    assertEquals(other.items("q").length, 1);
  });

  it("answers wait, and arrive when the connection is back", async () => {
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

  it("requests sent before are asked for as soon as the connection is back, and a pong resolves them", async () => {
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
    // the other process reports that it has the first frame, and not the second
    const seq = firstFrame(other);
    other.send(app.self.endpoint, ["o", 1, seq + 2, [seq + 1, seq + 1], [1, 0]], ["r", seq, 0, "first"]);
    assertEquals((await clock.until(Promise.all(sent))).map(unwrap), ["first", "second"]);
    assert(!stage.log.some((line) => line.endsWith("node other: suspect")), "it was not asked while disconnected");
  });

  it("this node's own handlers still run", async () => {
    await using stage = await openTrio({ handlers: Do.handle(() => "own") });
    stage.network.cut("node");
    const sent = Array.from({ length: 6 }, (_, i) => stage.app.send(Do, i, first("other")));
    assertEquals((await stage.clock.until(Promise.all(sent))).map(unwrap), new Array(6).fill("own"));
  });

  it("65,536 requests wait, and one more ends with UNAVAILABLE at once", { timeout: 300_000 }, async () => {
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
    await assertIdle(stage);
  });
});

describe("a deadline", () => {
  it("ends a query with TIMEOUT, a command that was sent with OUTCOME_UNKNOWN, and no sooner", async () => {
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
    await assertIdle(stage);
  });

  it("ends a query in its backoff, whose process was lost, with TIMEOUT: it may have run", async () => {
    await using stage = await openStage({ handles: HANDLES });
    const { app, clock, network, settle } = stage;
    const sent = app.send(Ask, 1, { timeout: 120, retries: 1_000 });
    await settle();
    network.kill("other");
    await clock.advance(300);
    assert(["TIMEOUT", "UNAVAILABLE"].includes(code(await sent) as string));
    await assertIdle(stage);
  });
});

describe("a retry", () => {
  it("is not made after the deadline, even when the failure is noticed before the deadline is", async () => {
    const codes = new Set<string | undefined>();
    for (let seed = 0; seed < 10; seed++) {
      await using cluster = await testCluster(["a", "b", "client"], {
        seed,
        time: "manual",
        node: (id) => (id === "client" ? {} : { handlers: Drop.handle(() => {}) }),
      });
      cluster.kill("a");
      const sent = cluster.app("client").send(Drop, undefined, { timeout: 100 });
      await Promise.resolve().then(() => process.nextTick(() => cluster.pause("client")));
      await cluster.advance(1_000);
      cluster.resume("client");
      codes.add((await cluster.until(sent)).error?.code);
      assertEquals(cluster.recorder.handled(Drop), []);
    }
    // the call fails with the error for its bounce, not for its deadline: bounce and deadline fall into one moment, and
    // deadlines expire after everything else of that moment
    assertEquals([...codes], ["UNAVAILABLE"]);
  });
});

describe("a query whose node stands still", () => {
  it("goes to another node, and ends with the answer that comes first, also that of the first node", async () => {
    const runs: string[] = [];
    await using cluster = await testCluster(["a", "b", "client"], {
      time: "manual",
      node: (id) => {
        const run = async (_: unknown, { clock }: { readonly clock: AppClock }) => {
          const isFirst = runs.push(id) === 1;
          if (isFirst) cluster.pause(id); // as a handler that computes does
          await clock.sleep(isFirst ? 1 : 20_000).catch(() => {});
          return id;
        };
        return id === "client" ? {} : { handlers: Ask.handle(run) };
      },
    });
    const sent = cluster.app("client").send(Ask, 1, { timeout: 25_000 });
    await cluster.advance(5_000);
    assertEquals(runs.toSorted(), ["a", "b"]);
    cluster.resume(runs[0]);
    assertEquals((await cluster.until(sent)).value, runs[0]);
    assertEquals(cluster.app("client").self.load.inFlight, 0);
  });
});

describe("a caller who gives up", () => {
  it('gets CANCELLED at once, and the node gets "c"', async () => {
    await using stage = await openStage({ handles: HANDLES });
    const { app, other, settle } = stage;
    const stop = new AbortController();
    const sent = [app.send(Do, 1), app.send(Do, 2, { signal: stop.signal }), app.send(Do, 3)];
    await settle();
    stop.abort();
    assertEquals(code(await sent[1]), "CANCELLED");
    await settle();
    const seq = firstFrame(other);
    assertEquals(other.items("c"), [["c", seq, 1]]);
    other.send(app.self.endpoint, ["r", seq, 0, "a", "b", "c"]);
    await settle();
    assertEquals([code(await sent[0]), code(await sent[2])], ["a", "c"]);
    await assertIdle(stage);
  });

  it("before the frame is sent: the request is sent with its cancellation, and the others keep their places", async () => {
    await using stage = await openStage({ handles: HANDLES });
    const { app, other, settle } = stage;
    const stop = new AbortController();
    const sent = [1, 2, 3].map((n) => app.send(Do, n, n === 2 ? { signal: stop.signal } : {}));
    stop.abort();
    await settle();
    const seq = firstFrame(other);
    assertEquals(other.frames.flatMap(({ items }) => items), [["q", "Do", 30_000, 1, 2, 3], ["c", seq, 1]]);
    other.send(app.self.endpoint, ["r", seq, 0, "a", "b", "c"]);
    await settle();
    assertEquals((await Promise.all(sent)).map(code), ["a", "CANCELLED", "c"]);
    await assertIdle(stage);
  });

  it("after the answer: has no effect; no listener stays on the signal", async () => {
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
    await assertIdle(stage);
  });
});

describe("a request that a handler sends", () => {
  const Outer = query<unknown, unknown>("Outer");
  const Inner = command<unknown, unknown>("Inner");

  it("is cancelled with it, on the other node as well", async () => {
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
    await assertIdle(stage);
  });

  it("to a handler of this node, past its own deadline: the command may have run (the error was TIMEOUT)", async () => {
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
    await clock.advance(1_000); // the inner handler never ends: the drain gives up
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
    assertEquals(ids, [`${app.self.endpoint}.1.${firstFrame(other)}.0 2`, "mine 2"]);
  });
});

describe("an answer that is parsed", () => {
  /** Functions each of which ends one pending check by this slow schema. */
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

  it("counts once: neither a second answer nor the node's death changes it (it was counted twice)", async () => {
    await using stage = await openTrio();
    const { app, other, second, clock, network, settle } = stage;
    const sent = [
      app.send(Set, 1, first("other")),
      app.send(Get, 2, first("other")),
      app.send(Do, 3, first("other")),
    ];
    await settle();
    const to = app.self.endpoint;
    const seq = firstFrame(other);
    other.send(to, ["r", seq, 0, "one", "two"], ["r", seq, 0, "again", "again"], ["n", seq, 1, "DRAINING"]);
    await settle();
    // regression: the frame was forgotten before this answer, because the repeated answers were counted twice
    other.send(to, ["r", seq, 2, "three"]);
    await settle();
    assertEquals(unwrap(await sent[2]), "three");
    network.kill("other");
    second.answerWith(() => "second");
    assertEquals(unwrap(await clock.until(app.send(Do, 4, first("other")))), "second");
    open();
    assertEquals((await Promise.all(sent)).map(unwrap), ["one", "two", "three"]);
    await assertIdle(stage);
  });

  it("past the deadline: a command may have run (the error denied it), a query ends with TIMEOUT", async () => {
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
    await assertIdle(stage);
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
              if (dice < 0.2) continue; // the process never answers this request
              const answer = () =>
                player.send(from, dice < 0.3 ? ["e", seq, place, { code: "NO" }] : ["r", seq, place, payload]);
              if (dice < 0.6) answer();
              else clock.after(random() * 300, answer);
              if (dice > 0.95) answer(); // the process answers a second time
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
      await assertIdle(stage);
    });
  }
});

const NODES = ["a", "b", "c"].map((id) => ({ id }) as NodeInfo); // cast: a broadcast reads only the ids of nodes

/** Makes a request with the members that a broadcast reads. */
function request(given: Partial<RemoteRequest>): RemoteRequest {
  return { contract: query("Ask"), payload: undefined, retries: 3, node: undefined, ...given } as RemoteRequest;
}

/** Makes a broadcast, and records the requests that it sends. */
async function run(given: Partial<RemoteRequest>, send?: (sent: RemoteRequest) => Promise<Result<unknown>>) {
  const sent: RemoteRequest[] = [];
  const results = await broadcast(request(given), NODES, (one) => {
    sent.push(one);
    return send?.(one) ?? Promise.resolve({ ok: true, value: one.node });
  });
  return { sent, results };
}

describe("broadcast", () => {
  it("sends one attempt to each node, or to the one that is named; a node that is not there gets none", async () => {
    const { sent } = await run({});
    assertEquals(sent.map(({ node, retries }) => [node, retries]), [["a", 0], ["b", 0], ["c", 0]]);
    assertEquals((await run({ node: "b" })).sent.map(({ node }) => node), ["b"]);
    assertEquals(await run({ node: "d" }), { sent: [], results: [] });
  });

  it("results are in the order of the nodes, whoever answers first; a failure of one does not touch the others", async () => {
    const failure: Result<unknown> = { ok: false, error: new CatgaError("NO", "no") };
    const waiting = new Map<string, (result: Result<unknown>) => void>();
    const running = run({}, ({ node }) => new Promise((resolve) => waiting.set(node!, resolve)));
    waiting.get("c")!({ ok: true, value: 3 });
    waiting.get("b")!(failure);
    waiting.get("a")!({ ok: true, value: 1 });
    assertEquals((await running).results, [
      { node: "a", result: { ok: true, value: 1 } },
      { node: "b", result: failure },
      { node: "c", result: { ok: true, value: 3 } },
    ]);
  });

  it("encodes the payload once for several nodes, and not for one, or where there is none", async () => {
    let read = 0;
    const payload = {
      get name() {
        read++;
        return "tea";
      },
    };
    toText(payload, "INVALID_MESSAGE", "the payload", "Ask");
    const once = read;
    const { sent } = await run({ payload });
    assertEquals(sent.map(({ text }) => text), Array(3).fill('{"name":"tea"}'));
    assertEquals(read, 2 * once);
    assertEquals((await run({ payload, node: "a" })).sent[0].text, undefined);
    assertEquals(read, 2 * once);
    assertEquals((await run({})).sent.map(({ text }) => text), [undefined, undefined, undefined]);
  });

  it("a payload that cannot be sent: each node's result is INVALID_MESSAGE, and nothing is sent", async () => {
    const { sent, results } = await run({ payload: () => {} });
    assertEquals(sent, []);
    assertEquals(results.map(({ node, result }) => [node, errorOf(result).code]), [
      ["a", "INVALID_MESSAGE"],
      ["b", "INVALID_MESSAGE"],
      ["c", "INVALID_MESSAGE"],
    ]);
  });

  it("an idempotent command has an id of its own on each node; another one keeps its id", async () => {
    const ids = async (idempotent: boolean) => {
      const { sent } = await run({ contract: command("Do", { idempotent }), meta: { id: "one" } });
      return sent.map(({ meta }) => meta?.id);
    };
    assertEquals(await ids(true), ["one@a", "one@b", "one@c"]);
    assertEquals(await ids(false), ["one", "one", "one"]);
  });
});
