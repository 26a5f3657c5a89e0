/** Nodes that fail to be there, do not hear, or may be on their way: breakers, silence, and clusters of NATS servers. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertLess } from "@std/assert";
import { command, query } from "../../contract/definition.ts";
import type { NodeInfo } from "../../contract/node_info.ts";
import type { Result } from "../../contract/result.ts";
import { MemoryCluster } from "../../../test/support/memory_cluster.ts";
import { openStage, openTrio, type Player, type Stage } from "../../../test/support/stage.ts";

const Ask = query<unknown, unknown>("Ask");
const Do = command<unknown, unknown>("Do");
const HANDLES = ["Ask", "Do"];
const code = ({ value, error }: Result<unknown>): unknown => error?.code ?? value;
/** Sends to one node by a strategy that others may take over from. */
const first = (id: string) => ({
  route: (nodes: readonly NodeInfo[]) => nodes.find((node) => node.id === id) ?? nodes[0],
});
const asked = (player: Player) => player.items("q", "m").length;

describe("a breaker", () => {
  const breaker = { failures: 3, cooldown: 20_000 };
  const moves = ({ log }: Stage) =>
    log.filter((line) => line.includes("the breaker for node other")).map((line) => line.split(" is ")[1]);
  /** Sends one by one to a node that is not there; its record stays, because nobody sees it but this test. */
  const knock = async (stage: Stage, times: number) => {
    const results: Result<unknown>[] = [];
    for (let i = 0; i < times; i++) {
      results.push(await stage.clock.until(stage.app.send(Do, i, { node: "other", retries: 0 })));
    }
    return results;
  };

  it("opens after so many frames in a row that bounced; then nothing leaves, and the caller is told why", async () => {
    await using stage = await openStage({ handles: HANDLES, breaker });
    stage.network.cut("other");
    assertEquals((await knock(stage, 2)).map(code), ["UNAVAILABLE", "UNAVAILABLE"]);
    assertEquals(moves(stage), []);
    await knock(stage, 1);
    assertEquals(moves(stage), ["open"]);
    const before = stage.published.length;
    const { error } = await stage.clock.until(stage.app.send(Do, 1));
    assertEquals([error?.code, error?.retryable, stage.published.length], ["UNAVAILABLE", true, before]);
    assert(error!.message.includes("failed too often lately"), error!.message);
  });

  it("others are preferred meanwhile", async () => {
    await using stage = await openTrio({ breaker });
    stage.second.answerWith(() => "second");
    stage.network.cut("other");
    await knock(stage, 3);
    const before = stage.published.filter((it) => it.includes("node.other")).length;
    const results = await stage.clock.until(stage.app.sendAll(Do, [1, 2, 3, 4], first("other")));
    assertEquals(results.map(code), new Array(4).fill("second"));
    assertEquals(stage.published.filter((it) => it.includes("node.other")).length, before);
  });

  it("after the cooldown one request is the trial, and the others wait for what becomes of it", async () => {
    await using stage = await openStage({ handles: HANDLES, breaker: { failures: 1, cooldown: 600 } });
    const { app, clock, other, network, settle } = stage;
    network.cut("other");
    await knock(stage, 1);
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

  it("a trial that bounces opens it for another cooldown", async () => {
    await using stage = await openStage({ handles: HANDLES, breaker: { failures: 1, cooldown: 600 } });
    stage.network.cut("other");
    await knock(stage, 1);
    await stage.clock.advance(600);
    await knock(stage, 1);
    assertEquals(moves(stage), ["open", "half-open", "open"]);
  });

  it("any sign of life closes it", async () => {
    await using stage = await openStage({ handles: HANDLES, breaker });
    const { app, clock, other, network, settle } = stage;
    network.cut("other");
    await knock(stage, 3);
    network.restore("other");
    other.send(app.self.endpoint, ["p", 1]);
    await settle();
    assertEquals(moves(stage), ["open", "closed"]);
    other.answerWith(() => "done");
    assertEquals(code(await clock.until(app.send(Do, 1))), "done");
  });

  it("leaves no timer behind when the app has drained, however long the cooldown is", async () => {
    const stage = await openStage({ handles: HANDLES, breaker: { failures: 1, cooldown: 86_400_000 } });
    const { clock, app, network } = stage;
    network.cut("other");
    await knock(stage, 1);
    assertEquals(moves(stage), ["open"]);
    await clock.until(app.drain());
    await clock.advance(60_000);
    assertLess(clock.timers, 2); // the record of the player
  });

  it("what a handler answers, and a refusal, do not open it", async () => {
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

  it("does not open within 3 s of this node's own way back: the others are on theirs", async () => {
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

describe("a process that does not hear", () => {
  /** `a` and `b` handle, `client` sends; `ends` lets a run end. */
  async function paused() {
    const cluster = new MemoryCluster();
    const runs: string[] = [];
    const ends: ((value: string) => void)[] = [];
    for (const id of ["a", "b"]) {
      const run = (kind: string) => (_: unknown) => {
        runs.push(`${kind} ${id}`);
        return id === "b" ? "b" : new Promise<string>((resolve) => ends.push(resolve));
      };
      await cluster.start(id, { handlers: [Ask.handle(run("ask")), Do.handle(run("do"))] });
    }
    const client = await cluster.start("client", { handlers: [] });
    return { cluster, runs, ends, client, clock: cluster.clock, network: cluster.network };
  }

  it("its queries move after some 500 ms, their first answers count no more; commands wait; new ones avoid it", async () => {
    const { cluster, runs, ends, client, clock, network } = await paused();
    await using _ = cluster;
    const sent = [client.send(Ask, 1, first("a")), client.send(Do, 2, first("a"))];
    await clock.advance(0);
    network.pause("a");
    const results: unknown[] = [];
    sent[0].then((result) => results.push(code(result)));
    await clock.advance(450);
    assertEquals(results, []);
    await clock.advance(300);
    assertEquals(results, ["b"]);
    assertEquals((await clock.until(client.sendAll(Do, [1, 2, 3, 4], first("a")))).map(code), ["b", "b", "b", "b"]);
    network.resume("a");
    await clock.advance(0);
    for (const end of ends) end("late");
    assertEquals(code(await clock.until(sent[1])), "late");
    assertEquals(runs.filter((it) => it.endsWith(" a")), ["ask a", "do a"]);
    assertEquals(client.self.load.inFlight, 0);
  });

  it("no other node: everything waits, and is answered when it goes on", async () => {
    const { cluster, ends, client, clock, network } = await paused();
    await using _ = cluster;
    cluster.kill("b");
    await clock.advance(4_000);
    const sent = [client.send(Ask, 1), client.send(Do, 2)];
    await clock.advance(0);
    network.pause("a");
    await clock.advance(3_000);
    network.resume("a");
    await clock.advance(0);
    for (const end of ends) end("late");
    assertEquals((await clock.until(Promise.all(sent))).map(code), ["late", "late"]);
  });

  it("two of them: a query does not go to and fro between them until its attempts are used up", async () => {
    const { cluster, runs, ends, client, clock, network } = await paused();
    await using _ = cluster;
    const sent = client.send(Ask, 1, first("a"));
    await clock.advance(0);
    network.pause("a");
    network.pause("b");
    await clock.advance(5_000);
    network.resume("b");
    network.resume("a");
    await clock.advance(0);
    for (const end of ends) end("a");
    assert(["a", "b"].includes(code(await clock.until(sent)) as string));
    assertLess(runs.length, 4);
  });

  it("retries used up: it waits, and does not fail", async () => {
    const { cluster, ends, client, clock, network } = await paused();
    await using _ = cluster;
    const sent = client.send(Ask, 1, { ...first("a"), retries: 0 });
    await clock.advance(0);
    network.pause("a");
    await clock.advance(2_000);
    network.resume("a");
    await clock.advance(0);
    ends[0]("late");
    assertEquals(code(await clock.until(sent)), "late");
  });

  it("this one, for a while: it does not take the others for silent", async () => {
    const { cluster, runs, ends, client, clock, network } = await paused();
    await using _ = cluster;
    const sent = client.send(Ask, 1, first("a"));
    for (let i = 0; i < 8; i++) { // by chance it hears its timers first, or its messages
      await clock.advance(120); // a ping is under way
      network.pause("client");
      await clock.advance(1_000);
      network.resume("client");
      await clock.advance(100);
    }
    assertEquals(runs, ["ask a"]);
    assert(
      !cluster.log.some((line) => line.startsWith("catga client") && line.endsWith("suspect")),
      cluster.log.join("\n"),
    );
    ends[0]("a");
    assertEquals(code(await clock.until(sent)), "a");
  });
});

describe("on several NATS servers", () => {
  async function spread() {
    const cluster = new MemoryCluster({ servers: 3 });
    const ends: ((value: string) => void)[] = [];
    const runs: string[] = [];
    const run = (id: string) => () => {
      runs.push(id);
      return id === "b" ? "b" : new Promise<string>((resolve) => ends.push(resolve));
    };
    for (const id of ["a", "b"]) await cluster.start(id, { handlers: [Ask.handle(run(id)), Do.handle(run(id))] });
    const client = await cluster.start("client", { handlers: [] });
    return { cluster, runs, ends, client, clock: cluster.clock, network: cluster.network };
  }

  it("a bounce moves the requests of its frame, and the queries in hand; a command's late answer counts", async () => {
    const { cluster, ends, runs, client, clock, network } = await spread();
    await using _ = cluster;
    const inHand = [client.send(Ask, 1, first("a")), client.send(Do, 2, first("a"))];
    await clock.advance(0);
    network.cut("a");
    const moved = client.send(Do, 3, first("a"));
    assertEquals([await clock.until(moved, 10), await clock.until(inHand[0], 10)].map(code), ["b", "b"]);
    await clock.advance(2_500);
    network.restore("a");
    await clock.advance(0);
    for (const end of ends) end("late");
    assertEquals(code(await clock.until(inHand[1])), "late");
    assertEquals(runs.filter((id) => id === "a").length, 2);
  });

  it("after 3 s its commands have OUTCOME_UNKNOWN", async () => {
    const { cluster, client, clock, network } = await spread();
    await using _ = cluster;
    const sent = client.send(Do, 2, first("a"));
    await clock.advance(0);
    network.cut("a");
    const began = clock.monotonic();
    const result = await clock.until(sent);
    const took = clock.monotonic() - began;
    assertEquals(code(result), "OUTCOME_UNKNOWN");
    assert(took >= 3_000 && took < 3_400, `${took}`);
    network.restore("a");
    await clock.advance(1_000);
  });

  it("a command that is sent to a node that is back is not lost with what left before (it had OUTCOME_UNKNOWN)", async () => {
    await using stage = await openStage({ handles: HANDLES, servers: 3 });
    const { app, clock, other, settle } = stage;
    other.pongs = false;
    stage.network.cut("other");
    assertEquals(code(await clock.until(app.send(Do, 1, { node: "other", retries: 0 }))), "UNAVAILABLE");
    await clock.advance(2_980); // pings of the ring bounce meanwhile
    stage.network.restore("other");
    const sent = app.send(Do, 2, { node: "other" });
    await clock.advance(45); // the ring's next ping has not left
    const before = asked(other);
    await clock.advance(40);
    other.send(app.self.endpoint, ["r", other.frames.at(-1)!.seq, 0, "done"]);
    await settle();
    assertEquals([before, code(await clock.until(sent))], [1, "done"]);
  });
});
