/**
 * Tests of processes that do not answer: pings, and what silence and bounces prove, with one NATS server and with
 * several.
 */
import { describe, it } from "node:test";
import { assert, assertEquals, assertGreater, assertLess, assertLessOrEqual } from "@std/assert";
import { command, query } from "../../contract/declaration/definition.ts";
import { type Result, unwrap } from "../../contract/calls/result.ts";
import { MemoryCluster } from "../../../test/support/memory_cluster.ts";
import { asked, first, openStage, openTrio } from "../../../test/support/stage.ts";
import { RECONNECT_GRACE } from "../../ports/evidence_of_life.ts";
import { ReconnectGrace } from "./watchdog.ts";
import { QUIET } from "../../../test/support/quiet.ts";
import { catga } from "../../catga.ts";
import { CatgaError } from "../../error.ts";
import type { Faults } from "../../memory/faults.ts";
import { MemoryNetwork } from "../../memory/network.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";

const Ask = query<unknown, unknown>("Ask");
const Do = command<unknown, unknown>("Do");
const HANDLES = ["Ask", "Do"];
const code = ({ value, error }: Result<unknown>): unknown => error?.code ?? value;

describe("pings", () => {
  it("are sent when a request has waited for 50 ms, then every 100 ms, and not without one", async () => {
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
    // 300 ms are too short for the failure detector, whose pings begin a second after the start
    await clock.advance(300);
    assertEquals(other.pings.length, before);
  });

  it("are not sent for requests that are answered in time", async () => {
    await using stage = await openTrio();
    const { app, other, clock } = stage;
    other.answerWith(() => 1);
    for (let i = 0; i < 40; i++) {
      await clock.until(app.send(Do, 1, first("other")));
      await clock.advance(20);
    }
    assertEquals(other.pings, []);
  });

  it("unanswered for 500 ms, make a node suspect: requests go to other nodes", async () => {
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

describe("a process that answers late", () => {
  /**
   * Makes the process `other` answer requests and pings after `ms`. The function `suspected` returns how often the
   * process became suspect since the last call of `suspected`.
   */
  async function late(ms: number) {
    const stage = await openTrio();
    const { other, clock, log } = stage;
    const slow = (after: number) => {
      other.pongsAfter = after;
      other.onFrame = ({ from, seq, items }) => {
        if (items.some(([kind]) => kind === "q")) clock.after(after, () => other.send(from, ["r", seq, 0, "far"]));
      };
    };
    slow(ms);
    const suspected = () => log.splice(0).filter((line) => line.endsWith("node other: suspect")).length;
    return { stage, slow, suspected };
  }

  it("because it is far is suspect once at most, its queries stay with it, and it is suspect when it falls silent", async () => {
    const { stage, suspected } = await late(600);
    await using _ = stage;
    const { app, other, second, clock } = stage;
    await clock.advance(5_000);
    assertLessOrEqual(suspected(), 1);
    for (let i = 0; i < 20; i++) assertEquals(unwrap(await clock.until(app.send(Ask, i, first("other")))), "far");
    await clock.advance(60_000);
    assertEquals([suspected(), second.items("q")], [0, []]);
    other.pongs = false;
    await clock.advance(3_000);
    assertEquals(suspected(), 1);
  });

  it("because it is busy now is suspect, however long that lasts", async () => {
    const { stage, slow, suspected } = await late(0);
    await using _ = stage;
    await stage.clock.advance(5_000);
    assertEquals(suspected(), 0);
    slow(600);
    for (let minute = 0; minute < 2; minute++) {
      await stage.clock.advance(60_000);
      assertGreater(suspected(), 20);
    }
  });
});

describe("a process that does not respond", () => {
  /**
   * Starts nodes `a` and `b`, which have handlers, and `client`, which sends. `ends`: functions each of which ends one
   * running handler.
   */
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

  it("loses its queries after 500 ms, and their late answers are ignored; commands wait, new ones avoid it", async () => {
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

  it("without another node: requests wait, and are answered when it goes on", async () => {
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

  it("twice: a query does not move to and fro between two such processes until its attempts are used up", async () => {
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

  it("with no retries left: the query waits, and does not fail", async () => {
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

  it("itself, does not count the others as silent when it goes on", async () => {
    const { cluster, runs, ends, client, clock, network } = await paused();
    await using _ = cluster;
    const sent = client.send(Ask, 1, first("a"));
    // eight rounds: chance decides if timers or messages of the resumed process come first
    for (let i = 0; i < 8; i++) {
      await clock.advance(120); // a ping is under way at this moment
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

describe("a process that leaves", () => {
  /** Sends a command to `other`, which has announced that it leaves; then a frame to it bounces. */
  async function leaving() {
    const stage = await openStage({ handles: HANDLES });
    const { app, clock, network, other, settle } = stage;
    other.pongs = false;
    const sent = app.send(Do, 1, { node: "other" });
    await settle();
    const { seq } = other.frames.at(-1)!;
    other.send(app.self.endpoint, ["n", 0, 0, "DRAINING"]);
    await settle();
    network.kill("other");
    assertEquals(code(await clock.until(app.send(Do, 2, { node: "other", retries: 0 }))), "UNAVAILABLE");
    return { stage, sent, seq };
  }

  it("answers and refuses what it has in hand although later frames have bounced (it was OUTCOME_UNKNOWN)", async () => {
    for (const item of ["r", "n"]) {
      const { stage, sent, seq } = await leaving();
      await using _ = stage;
      const { app, network, other, clock } = stage;
      const last = JSON.stringify([1, 3, clock.now(), [item, seq, 0, item === "n" ? "DRAINING" : "done"]]);
      network.connect().publish(`catga.default.node.${app.self.endpoint}.${other.endpoint}`, last);
      assertEquals(code(await clock.until(sent)), item === "n" ? "UNAVAILABLE" : "done");
    }
  });

  it("and is killed: its commands are OUTCOME_UNKNOWN 3 s after the first bounce", async () => {
    const { stage, sent } = await leaving();
    await using _ = stage;
    const began = stage.clock.monotonic();
    assertEquals(code(await stage.clock.until(sent)), "OUTCOME_UNKNOWN");
    const took = stage.clock.monotonic() - began;
    assert(took >= 2_500 && took < 3_400, `${took}`);
  });
});

describe("on several NATS servers", () => {
  async function spread(delay = 0) {
    const cluster = new MemoryCluster({ servers: 3, faults: { delay } });
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

  it("a bounce moves the requests of its frame, and the queries sent before; a command's late answer counts", async () => {
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

  it("commands at a process that bounces for 3 s end with OUTCOME_UNKNOWN", async () => {
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

  it("a bounce from before this node's own cut does not end commands: the process may be back since", async () => {
    const { cluster, ends, client, clock, network } = await spread(100);
    await using _ = cluster;
    const sent = client.send(Do, 2, first("a"));
    await clock.advance(400);
    assertEquals(ends.length, 1);
    network.cut("a");
    await clock.advance(400); // a ping to a bounces in this time
    network.cut("client");
    network.restore("a");
    await clock.advance(3_200);
    network.restore("client");
    await clock.advance(300);
    for (const end of ends) end("late");
    assertEquals(code(await clock.until(sent)), "late");
  });

  it("a command sent to a node that is back is not lost with the frames before (it had OUTCOME_UNKNOWN)", async () => {
    await using stage = await openStage({ handles: HANDLES, servers: 3 });
    const { app, clock, other, settle } = stage;
    other.pongs = false;
    stage.network.cut("other");
    assertEquals(code(await clock.until(app.send(Do, 1, { node: "other", retries: 0 }))), "UNAVAILABLE");
    await clock.advance(2_980); // pings of the failure detector bounce in this time
    stage.network.restore("other");
    const sent = app.send(Do, 2, { node: "other" });
    await clock.advance(45); // 45 ms are too short for the failure detector's next ping
    const before = asked(other);
    await clock.advance(40);
    other.send(app.self.endpoint, ["r", other.frames.at(-1)!.seq, 0, "done"]);
    await settle();
    assertEquals([before, code(await clock.until(sent))], [1, "done"]);
  });
});

describe("ReconnectGrace", () => {
  const clock = { now: 0, monotonic: () => clock.now };

  it("does not run before the first reconnect", () => {
    assertEquals(new ReconnectGrace(clock).running, false);
  });

  it("runs for 2.5 s from a reconnect, and 2.5 s from the next one", () => {
    const grace = new ReconnectGrace(clock);
    grace.begin();
    clock.now += RECONNECT_GRACE - 1;
    const beforeTheEnd = grace.running;
    grace.begin();
    clock.now += RECONNECT_GRACE - 1;
    const afterTheSecond = grace.running;
    clock.now += 1;
    assertEquals({ beforeTheEnd, afterTheSecond, atTheEnd: grace.running }, {
      beforeTheEnd: true,
      afterTheSecond: true,
      atTheEnd: false,
    });
  });
});

/** Starts an app on a network. Returns the number of its warnings after some seconds. */
async function warnings(
  options: { tap?: boolean; faults?: Faults; disturb?: (network: MemoryNetwork, clock: VirtualClock) => void },
) {
  const clock = new VirtualClock();
  const network = new MemoryNetwork({
    clock,
    seed: 3,
    ...(options.faults === undefined ? {} : { faults: options.faults }),
  });
  const tap = network.connect({ name: "tap" });
  if (options.tap) tap.subscribe("catga.>", {}, () => {});
  let warned = 0;
  const warn = (line: string) => {
    if (line.includes("a message to nobody does not come back")) warned++;
  };
  const logger = { debug() {}, info() {}, warn, error() {} };
  const app = await clock.until(catga({ network, id: "app", logger }));
  options.disturb?.(network, clock);
  await clock.advance(20_000);
  network.heal();
  await clock.until(app.drain());
  return warned;
}

describe("messages to nobody", () => {
  it("do not bounce when a foreign client subscribes to catga.>: the app warns once", async () => {
    assertEquals(await warnings({ tap: true }), 1);
  });

  it("bounce without one: the app never warns", async () => {
    assertEquals(await warnings({}), 0);
  });

  it("that bounce late cause no warning (they did, after one second)", async () => {
    assertEquals(await warnings({ faults: { delay: 4_000 } }), 0);
  });

  it("that are lost with the connection cause no warning", async () => {
    const cut = (ms: number) => (network: MemoryNetwork, clock: VirtualClock) => {
      network.cut("app");
      clock.after(ms, () => network.restore("app"));
    };
    for (const ms of [0, 100, 5_000]) assertEquals(await warnings({ tap: true, disturb: cut(ms) }), 0);
  });

  it("that a connection of the user's refuses as it drains throw nothing into the process", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 3 });
    network.connect({ name: "tap" }).subscribe("catga.>", {}, () => {});
    const connect = network.connect.bind(network);
    let sent = 0;
    network.connect = (options) => {
      const transport = connect(options);
      const publish = transport.publish.bind(transport);
      // `publish` throws CLOSED while the status is still "connected", as with NATS during a drain; only the first test
      // message, sent at the start, is published
      transport.publish = (subject, data, more) => {
        if (data === "" && ++sent > 1) throw new CatgaError("CLOSED", "the connection to NATS is closed");
        publish(subject, data, more);
      };
      return transport;
    };
    const app = await clock.until(catga({ network, id: "app", logger: QUIET }));
    await clock.advance(20_000);
    assertGreater(sent, 1);
    await clock.until(app.drain());
  });

  it("are not sent after the app has stopped", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 3 });
    const app = await clock.until(catga({ network, id: "app" }));
    await clock.until(app.drain());
    await clock.advance(0);
    const { timers } = clock;
    await clock.advance(60_000);
    assertEquals(clock.timers <= timers, true);
  });
});
