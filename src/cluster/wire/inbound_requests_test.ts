/**
 * Tests of a node that gets more work than it can do: which requests and events wait, which are refused, and that
 * handlers give way to the event loop.
 */
import { describe, it } from "node:test";
import { assert, assertEquals, assertLess, assertStrictEquals } from "@std/assert";
import type { Catga } from "../../contract/nodes/running_node.ts";
import { catga } from "../../catga.ts";
import { command, event, query } from "../../contract/declaration/definition.ts";
import { MemoryNetwork } from "../../memory/network.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { Result } from "../../contract/calls/result.ts";
import { block } from "../../../test/support/block.ts";
import { openStage, type Stage } from "../../../test/support/stage.ts";
import type { Observation } from "../../contract/nodes/observer.ts";
import { type Outcome, Refusal } from "../../dispatch/outcome.ts";
import { CatgaError } from "../../error.ts";
import { InboundRequest } from "./inbound_requests.ts";
import type { Peer } from "./peer.ts";
import { RunningRequests } from "./request_ledger.ts";

const Slow = command<unknown, unknown>("Slow");
const Quick = command<unknown, unknown>("Quick");
const Noted = event<number>("Noted");

/** Makes a handler that ends when the test says so. */
function slow() {
  const begun: unknown[] = [];
  const ends: ((value: unknown) => void)[] = [];
  const signals: AbortSignal[] = [];
  const handler = Slow.handle((payload, { signal }) => {
    begun.push(payload);
    signals.push(signal);
    return new Promise((resolve) => ends.push(resolve));
  });
  return { handler, begun, ends, signals };
}

const to = (stage: Stage) => stage.app.self.endpoint;
const answers = ({ other }: Stage) => other.items("r", "e", "n");
const code = ({ value, error }: Result<unknown>): unknown => error?.code ?? value;

describe("concurrency", () => {
  it("limits the handlers that run at once for others; the rest run in the order of arrival", async () => {
    const { handler, begun, ends } = slow();
    await using stage = await openStage({ handlers: handler, concurrency: 2 });
    stage.other.send(to(stage), ["q", "Slow", 9_000, 1, 2, 3]);
    stage.other.send(to(stage), ["q", "Slow", 9_000, 4]);
    await stage.settle();
    assertEquals([begun, stage.app.self.load], [[1, 2], { inFlight: 2, queued: 2 }]);
    stage.other.send(to(stage), ["p", 1]);
    await stage.settle();
    assertEquals(stage.other.items("o").map(([, , , , load]) => load), [[2, 2]]);
    ends[1]("second");
    await stage.settle();
    assertEquals(begun, [1, 2, 3]);
    ends[0]("first");
    await stage.settle();
    ends[2]("third");
    ends[3]("fourth");
    await stage.settle();
    assertEquals(begun, [1, 2, 3, 4]);
    assertEquals(answers(stage), [["r", 1, 1, "second"], ["r", 1, 0, "first"], ["r", 1, 2, "third"], [
      "r",
      2,
      0,
      "fourth",
    ]]);
    assertEquals(stage.app.self.load, { inFlight: 0, queued: 0 });
  });

  it("a request that is cancelled while it waits never runs, and leaves nothing behind", async () => {
    const { handler, begun, ends } = slow();
    await using stage = await openStage({ handlers: handler, concurrency: 1 });
    const seq = stage.other.send(to(stage), ["q", "Slow", 9_000, 1, 2, 3]);
    stage.other.send(to(stage), ["c", seq, 1]);
    await stage.settle();
    assertEquals(stage.app.self.load.queued, 1);
    ends[0](0);
    await stage.settle();
    assertEquals(begun, [1, 3]);
    ends[1](0);
    await stage.settle();
    assertEquals(stage.app.self.load, { inFlight: 0, queued: 0 });
  });

  it("a request whose deadline passes while it waits is refused then, although no handler has ended", async () => {
    const { handler, begun, ends } = slow();
    await using stage = await openStage({ handlers: handler, concurrency: 1 });
    stage.other.send(to(stage), ["q", "Slow", 9_000, 1], ["q", "Slow", 300, 2], ["q", "Slow", 9_000, 3]);
    await stage.clock.advance(320);
    assertEquals([answers(stage), stage.app.self.load.queued], [[["n", 1, 1, "LATE"]], 1]);
    ends[0](0);
    await stage.settle();
    assertEquals(begun, [1, 3]);
    ends[1](0);
    await stage.settle();
  });

  it("a command that waited until its deadline has not run, and its error says so", async () => {
    const { handler, begun, ends } = slow();
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    const server = await clock.until(catga({ network, id: "server", concurrency: 1, handlers: handler }));
    const client = await clock.until(catga({ network, id: "client" }));
    const first = client.send(Slow, 1);
    await clock.advance(0.5); // half a ms makes the time to live be rounded down, as on a real clock
    const second = client.send(Slow, 2, { timeout: 1_999, retries: 0 });
    await clock.advance(2_100);
    assertEquals([code(await second), begun], ["UNAVAILABLE", [1]]);
    ends[0]("done");
    assertEquals(code(await clock.until(first)), "done");
    await clock.until(Promise.all([client.drain(), server.drain()]));
  });

  it("a request that cannot start before its deadline is refused at once, and moves to another node", async () => {
    const { handler, begun, ends } = slow();
    await using stage = await openStage({ handlers: handler, concurrency: 1 });
    const { clock, other } = stage;
    for (let i = 0; i < 30; i++) other.send(to(stage), ["q", "Slow", 60_000, i]);
    for (let i = 0; i < 10; i++) { // ten requests end per second
      await clock.advance(100);
      ends[i](0);
      await stage.settle();
    }
    other.send(to(stage), ["q", "Slow", 500, "too late"], ["q", "Slow", 5_000, "in time"]);
    await stage.settle();
    assertEquals(other.items("n").map(([, , index, why]) => [index, why]), [[0, "OVERLOADED"]]);
    for (let i = 10; i < 31; i++) {
      ends[i](0);
      await stage.settle();
    }
    assertEquals(begun.at(-1), "in time");
  });

  it("with every node overloaded the result is OVERLOADED, retryable; with room at one, the request runs there", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    const apps: Catga[] = [];
    const ran: string[] = [];
    const busy: (() => void)[] = [];
    const start = async (id: string) => {
      const handlers = [
        Slow.handle(() => new Promise<void>((resolve) => busy.push(resolve))),
        Quick.handle(() => void ran.push(id)),
      ];
      apps.push(await clock.until(catga({ network, id, concurrency: 1, handlers })));
    };
    await start("a");
    await start("b");
    const client = await clock.until(catga({ network, id: "client" }));
    for (const node of ["a", "b"]) for (let i = 0; i < 3; i++) client.send(Slow, i, { node, timeout: 3_600_000 });
    await clock.advance(60_000); // two requests wait at each node, and none has ended for a minute
    const { error } = await clock.until(client.send(Quick, 1, { timeout: 10_000 }));
    assertEquals([error?.code, error?.retryable, ran], ["OVERLOADED", true, []]);
    await start("c");
    const results = await clock.until(client.sendAll(Quick, [1, 2, 3, 4], { timeout: 10_000 }));
    assertEquals([results.map(({ ok }) => ok), ran], [[true, true, true, true], ["c", "c", "c", "c"]]);
    for (let i = 0; i < busy.length; i++) {
      busy[i]();
      await clock.advance(0);
    }
    await clock.until(Promise.all([client, ...apps].map((app) => app.drain())));
  });

  it(
    "ten thousand at once to an idle node all succeed, be its handlers sync or not",
    { timeout: 300_000 },
    async () => {
      const network = new MemoryNetwork();
      const Later = command<number, number>("Later");
      const handlers = [Quick.handle((n) => n), Later.handle((n) => new Promise((done) => setTimeout(done, 5, n)))];
      await using _server = await catga({ network, handlers });
      await using client = await catga({ network });
      for (const contract of [Quick, Later as typeof Quick]) {
        // nothing is refused, because a node that has ended no request yet cannot estimate the wait
        const results = await Promise.all(
          Array.from({ length: 10_000 }, (_, n) => client.send(contract, n, { timeout: 1_000_000 })),
        );
        assert(results.every(({ value }, n) => value === n), results.find(({ ok }) => !ok)?.error?.message);
      }
    },
  );
});

describe("a drain with a full queue", () => {
  /** Item that tells another process that this one leaves. */
  const LEAVES = ["n", 0, 0, "DRAINING"];

  it("refuses the requests that wait, and finishes those that run", async () => {
    const { handler, begun, ends } = slow();
    await using stage = await openStage({ handlers: handler, concurrency: 1 });
    stage.other.send(to(stage), ["q", "Slow", 9_000, 1, 2, 3]);
    await stage.settle();
    const drained = stage.app.drain();
    await stage.settle();
    assertEquals(answers(stage), [["n", 1, 1, "DRAINING"], ["n", 1, 2, "DRAINING"], LEAVES]);
    ends[0]("done");
    await stage.clock.until(drained, 1_000);
    assertEquals([answers(stage).at(-1), begun], [["r", 1, 0, "done"], [1]]);
  });

  it("runs the events that wait before the node stops (they were lost silently)", async () => {
    const { handler, ends } = slow();
    const noted: number[] = [];
    await using stage = await openStage({ handlers: [handler, Noted.on((n) => void noted.push(n))], concurrency: 1 });
    stage.other.send(to(stage), ["q", "Slow", 9_000, 1]);
    await stage.settle();
    for (const n of [1, 2]) {
      stage.other.transport.publish("catga.default.event.Noted", `[1,"other.1",0,{"seq":${n}},${n}]`);
    }
    await stage.settle();
    assertEquals([noted, stage.app.self.load.queued], [[], 2]);
    const drained = stage.app.drain();
    await stage.clock.advance(1_000);
    ends[0](0);
    await stage.clock.until(drained, 1_000);
    assertEquals(noted, [1, 2]);
  });

  it("refuses at its timeout the requests that wait for a handler's turn: they certainly did not run", async () => {
    const begun: unknown[] = [];
    const handlers = Slow.handle((payload) => (begun.push(payload), new Promise(() => {})), { concurrency: 1 });
    await using stage = await openStage({ handlers });
    stage.other.send(to(stage), ["q", "Slow", 60_000, 1, 2]);
    await stage.settle();
    const drained = stage.app.drain({ timeout: 1_000 });
    await stage.clock.until(drained, 3_000);
    assertEquals([answers(stage), begun], [[LEAVES, ["n", 1, 1, "DRAINING"]], [1]]);
  });
});

describe("events under load", () => {
  it(
    "wait for turns too, and those for which there is no room are dropped with a warning a minute",
    { timeout: 300_000 },
    async () => {
      const noted: number[] = [];
      const ends: (() => void)[] = [];
      const handlers = Noted.on((n) => {
        noted.push(n);
        return new Promise<void>((resolve) => ends.push(resolve));
      });
      await using stage = await openStage({ handlers, concurrency: 1 });
      const { transport } = stage.other;
      const events = 1 + 65_536 + 5;
      for (let n = 0; n < events; n += 64) {
        const batch = Array.from({ length: Math.min(64, events - n) }, (_, i) => n + i);
        transport.publish("catga.default.event.Noted", `[1,"other.1",0,{"seq":${n + 1}},${batch}]`);
      }
      await stage.settle();
      assertEquals([noted, stage.app.self.load.queued], [[0], 65_536]);
      const dropped = () => stage.log.filter((line) => line.includes("dropped"));
      const warning = (count: number) =>
        `warn catga node: dropped ${count} event(s) Noted: too many wait for their handlers`;
      assertEquals(dropped(), [warning(1)]);
      for (let i = 0; i < 10; i++) {
        ends[i]();
        await stage.settle();
      }
      assertEquals(noted, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
      await stage.clock.advance(60_000);
      assertEquals(dropped(), [warning(1), warning(4)]);
      await stage.clock.until(stage.app.drain({ timeout: 0 }), 1_000);
    },
  );

  it("a slow event handler with its own concurrency delays no request (waiting events took all places)", async () => {
    const handlers = [Noted.on(() => new Promise(() => {}), { concurrency: 1 }), Quick.handle((n) => n)];
    await using stage = await openStage({ handlers, concurrency: 4 });
    stage.other.transport.publish("catga.default.event.Noted", `[1,"other.1",0,{"seq":1},1,2,3,4,5,6,7,8]`);
    await stage.settle();
    stage.other.send(to(stage), ["q", "Quick", 9_000, "heard"]);
    await stage.settle();
    assertEquals([answers(stage), stage.app.self.load.queued], [[["r", 1, 0, "heard"]], 7]);
    await stage.clock.until(stage.app.drain({ timeout: 0 }), 1_000);
  });
});

describe("handlers that compute", () => {
  let ran = 0;
  /** Greatest number of handlers that ran between two turns of the event loop. */
  let most = 0;
  /** Computes for 2 ms, as a handler that hashes passwords would for longer. */
  const compute = (): void => {
    most = Math.max(most, ++ran);
    block(2);
  };
  const plain = Slow.handle(() => compute());
  const schema = {
    "~standard": { version: 1 as const, vendor: "test", validate: (value: unknown) => ({ value }) },
  };
  const Checked = command("Slow", { input: schema });
  const kinds = {
    "sync ones": plain,
    "async ones (they ran one after another in one turn)": Slow.handle(async () => {
      compute();
      await null;
    }),
    "async ones that take turns": Slow.handle(async () => {
      compute();
      await null;
    }, { concurrency: 1 }),
    "those of a contract with a schema (they ran in one turn)": Checked.handle(() => compute()),
    "events": Noted.on(() => compute()),
  };
  for (const [name, handler] of Object.entries(kinds)) {
    it(`give way to the event loop every few ms: ${name}`, async () => {
      const network = new MemoryNetwork();
      await using server = await catga({ network, handlers: [handler, Quick.handle((n) => n)] });
      await using client = await catga({ network });
      most = ran = 0;
      const turns = setInterval(() => ran = 0, 0);
      if (name === "events") { for (let n = 0; n < 200; n++) await client.publish(Noted, n); }
      else await client.sendAll(Slow, Array.from({ length: 200 }, (_, n) => n));
      await server.drain();
      clearInterval(turns);
      // expected are about three handlers in one turn, and the handlers that run between two readings of the clock
      assertLess(most, 30, `${most} of 200 handlers ran in one turn of the event loop`);
    });
  }
});

/** Makes a process that sends requests, and records the answers that it gets. */
function setUp() {
  const sent: string[] = [];
  const running = new RunningRequests();
  const peer = {
    node: "b",
    theirCalls: "b.2.1.",
    lastSeenAt: 70,
    running,
    outgoing: {
      answer: (seq: number, index: number, text: string | undefined) => sent.push(`answer ${seq}.${index} ${text}`),
      answerItem(text: string) {
        const [kind, seq, index, error] = JSON.parse(text);
        sent.push(`${kind === "e" ? "failure" : kind} ${seq}.${index} ${error.code}`);
      },
      refuse: (seq: number, index: number, code: string) => sent.push(`refusal ${seq}.${index} ${code}`),
    },
  } as unknown as Peer; // cast: the only members of a peer that a request uses
  const observed: Observation[] = [];
  const options = {
    payloadLimit: () => 1_000,
    observer: (observation: Observation) => void observed.push(observation),
  };
  const request = (seq: number, index: number) => new InboundRequest(peer, seq, index, "Ask", undefined);
  const answer = (outcome: Outcome) => request(7, 2).answer(outcome, options);
  return { peer, running, sent, observed, request, answer };
}

const run = () => ({ abort() {} });

describe("InboundRequest", () => {
  it("is in hand of its sender's process from its begin to its end", () => {
    const { running, request } = setUp();
    const [first, second] = [request(7, 0), request(7, 2)];
    const [one, two] = [run(), run()];
    first.begun(one);
    second.begun(two);
    assertStrictEquals(running.find(7, 2), two);
    first.ended();
    assertEquals(running.places, [7, 2]);
  });

  it("answers with the value as text, without text for undefined, with a failure or a refusal", () => {
    const { sent, observed, answer } = setUp();
    answer({ ok: true, value: { a: 1 } });
    answer({ ok: true, value: undefined });
    answer({ ok: true, value: null });
    answer({ ok: false, error: new CatgaError("NO_TEA", "none left") });
    answer(new Refusal("LATE", { contract: query("Ask"), node: "a", remaining: () => 0 }));
    assertEquals(sent, [
      'answer 7.2 {"a":1}',
      "answer 7.2 undefined",
      "answer 7.2 null",
      "failure 7.2 NO_TEA",
      "refusal 7.2 LATE",
    ]);
    assertEquals(observed, []);
  });

  it("an answer that cannot be sent becomes one failure, which the observer gets, too", () => {
    const { sent, observed, answer } = setUp();
    answer({ ok: true, value: () => {} });
    answer({ ok: true, value: "x".repeat(2_000) });
    assertEquals(sent, ["failure 7.2 INVALID_RESPONSE", "failure 7.2 TOO_LARGE"]);
    assertEquals(observed.map((one) => one.type === "fault" && `${one.during} ${(one.error as CatgaError).code}`), [
      "sending an answer INVALID_RESPONSE",
      "sending an answer TOO_LARGE",
    ]);
  });

  it("its name is that of the call at its sender; it arrived when the process was last seen", () => {
    const { peer, request } = setUp();
    const { call, id, at } = request(7, 2);
    assertEquals({ call, id, at }, { call: "b.2.1.7.2", id: "b.2.1.7.2", at: 70 });
    const named = new InboundRequest(peer, 7, 3, "Ask", { id: "own" });
    assertEquals({ call: named.call, id: named.id }, { call: "b.2.1.7.3", id: "own" });
  });
});
