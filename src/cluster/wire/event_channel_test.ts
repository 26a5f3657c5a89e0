/** Tests of events on the wire: how they are batched, and which nodes get them. */
import { describe, it } from "node:test";
import { setImmediate } from "node:timers";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { catga } from "../../catga.ts";
import type { Context } from "../../contract/calls/context.ts";
import { event, query } from "../../contract/declaration/definition.ts";
import { openStage, type Stage, type StageOptions } from "../../../test/support/stage.ts";
import { QUIET } from "../../../test/support/quiet.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { Observation } from "../../contract/nodes/observer.ts";
import { DroppedEvents } from "./event_channel.ts";

const Seen = event<unknown>("orders.Seen");
const Moved = event<unknown>("Moved");

/** Opens a stage (a node and a simulated process) whose simulated process also receives events. */
async function listening(options: StageOptions = {}): Promise<Stage & { batches: unknown[][]; texts: string[] }> {
  const stage = await openStage(options);
  const batches: unknown[][] = [];
  const texts: string[] = [];
  stage.other.transport.subscribe("catga.default.event.>", { queue: "player" }, ({ data }) => {
    texts.push(new TextDecoder().decode(data));
    batches.push(JSON.parse(texts.at(-1)!));
  });
  return Object.assign(stage, { batches, texts });
}

describe("events that are published", () => {
  it("those of one name and turn are one message", async () => {
    await using stage = await listening();
    const { app, batches, settle } = stage;
    const results = [app.publish(Seen, 1), app.publish(Moved, "m"), app.publish(Seen, null), app.publish(Seen, [2])];
    assertEquals((await Promise.all(results)).map(({ ok }) => ok), [true, true, true, true]);
    await settle();
    await app.publish(Seen, 3);
    await settle();
    const head = [1, app.self.endpoint, stage.clock.now()];
    assertEquals(batches, [
      [...head, { seq: 1 }, 1, null, [2]],
      [...head, { seq: 2 }, "m"],
      [...head, { seq: 3 }, 3],
    ]);
  });

  it("those of two turns with one each are one message", async () => {
    await using stage = await listening();
    const { app, batches, clock, published, settle } = stage;
    const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
    const left = () => published.filter((subject) => subject.includes(".event.")).length;
    app.publish(Seen, 1);
    await turn();
    assertEquals(left(), 1);
    app.publish(Seen, 2);
    await turn();
    assertEquals(left(), 1);
    app.publish(Seen, 3);
    await settle();
    assertEquals(batches.map((batch) => batch.slice(4)), [[1], [2, 3]]);
    await clock.advance(2);
    app.publish(Seen, 4);
    await turn();
    assertEquals(left(), 3);
    for (let i = 0; i < 33; i++) app.publish(Seen, i); // these events fill more than half a message
    await turn();
    assertEquals(left(), 4);
  });

  it("those that wait for the next turn are sent before the node stops", async () => {
    await using stage = await listening();
    const { app, batches, clock } = stage;
    for (let i = 0; i < 3; i++) {
      app.publish(Seen, i);
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    await clock.until(app.drain());
    await stage.settle();
    assertEquals(batches.flatMap((batch) => batch.slice(4)), [0, 1, 2]);
  });

  it("64 at most in a message, and 64,000 characters", async () => {
    await using stage = await listening();
    const { app, batches, settle } = stage;
    for (let i = 0; i < 150; i++) app.publish(Seen, i);
    await settle();
    assertEquals(batches.map((batch) => batch.length - 4), [64, 64, 22]);
    assertEquals(batches.flatMap((batch) => batch.slice(4)), Array.from({ length: 150 }, (_, i) => i));
    batches.length = 0;
    for (const size of [30_000, 30_000, 30_000, 500_000, 10]) app.publish(Seen, "x".repeat(size));
    await settle();
    assertEquals(batches.map((batch) => batch.slice(4).map((text) => (text as string).length)), [
      [30_000, 30_000],
      [30_000],
      [500_000],
      [10],
    ]);
  });

  it("one with another meta is in another message; one with an id of its own, or no payload, in a message alone", async () => {
    await using stage = await listening();
    const { app, batches, settle } = stage;
    app.publish(Seen, 1, { headers: { a: "1" } });
    app.publish(Seen, 2, { headers: { a: "1" } });
    app.publish(Seen, 3, { headers: { a: "2" } });
    app.publish(Seen, 4);
    app.publish(Seen, undefined);
    app.publish(Seen, undefined);
    app.publish(Seen, 5, { id: "x" });
    app.publish(Seen, 6, { id: "x" });
    app.publish(Seen, 7);
    await settle();
    assertEquals(batches.map(([, , , meta, ...payloads]) => [{ ...(meta as object), seq: 0 } as object, payloads]), [
      [{ headers: { a: "1" }, seq: 0 }, [1, 2]],
      [{ headers: { a: "2" }, seq: 0 }, [3]],
      [{ seq: 0 }, [4, 7]],
      [{ seq: 0 }, []],
      [{ seq: 0 }, []],
      [{ id: "x", seq: 0 }, [5]],
      [{ id: "x", seq: 0 }, [6]],
    ]);
  });

  it("large headers count: no message exceeds what the server takes (a whole batch was lost, and ok)", async () => {
    await using stage = await listening({ maxPayload: 65_536 });
    const { app, batches, texts, settle } = stage;
    const headers = { large: "x".repeat(55_000) };
    for (let i = 0; i < 10; i++) assert((await app.publish(Seen, "y".repeat(5_000), { headers })).ok);
    for (let i = 0; i < 10; i++) app.publish(Seen, "y".repeat(5_000), { headers });
    await settle();
    assertEquals(batches.flatMap((batch) => batch.slice(4)).length, 20);
    for (const text of texts) assert(text.length <= 65_536);
    assertEquals(stage.log.filter((line) => line.startsWith("error")), []);
  });

  it("one that is too large or cannot be sent fails alone", async () => {
    await using stage = await listening({ maxPayload: 8_192 });
    const { app, batches, settle } = stage;
    const payloads = [1, "x".repeat(7_000), new WeakSet(), () => {}, "é".repeat(3_100), 2];
    const results = await Promise.all(payloads.map((payload) => app.publish(Seen, payload)));
    await settle();
    const { error } = await app.publish(Seen, 3, { headers: { large: "x".repeat(7_000) } });
    assertMatch(
      `${error?.message}`,
      /^the payload of orders\.Seen, with its headers, has \d+ bytes; at most 6144 fit into a message: store what is large/,
    );
    const codes = results.map(({ error }) => error?.code);
    assertEquals(codes, [undefined, "TOO_LARGE", "INVALID_MESSAGE", "INVALID_MESSAGE", "TOO_LARGE", undefined]);
    assertEquals(batches.flatMap((batch) => batch.slice(4)), [1, 2]);
  });

  it("while disconnected: the result is UNAVAILABLE, and nothing is published, now or later", async () => {
    await using stage = await listening();
    const { app, batches, network, settle, published } = stage;
    network.cut("node");
    const before = published.length;
    const { error } = await app.publish(Seen, 1);
    assertEquals([error?.code, error?.retryable], ["UNAVAILABLE", true]);
    await settle();
    assertEquals(published.length, before);
    network.restore("node");
    await settle();
    assertEquals(batches, []);
  });

  it("those of the turn in which the connection is lost are sent when it is back (they vanished)", async () => {
    await using stage = await listening();
    const { app, batches, network, settle, published } = stage;
    const result = app.publish(Seen, 1);
    network.cut("node");
    const before = published.length;
    await settle();
    assertEquals([(await result).ok, published.length], [true, before]);
    network.restore("node");
    await app.publish(Seen, 2);
    await settle();
    await app.publish(Seen, 3);
    await settle();
    assertEquals(batches.flatMap((batch) => batch.slice(4)), [1, 2, 3]);
  });

  it("those that a last handler publishes while the node drains are sent", async () => {
    let end = () => {};
    const Slow = query<void, void>("Slow");
    const slow = Slow.handle(async (_, ctx) => {
      await new Promise<void>((resolve) => end = resolve);
      await ctx.publish(Seen, "last");
    });
    await using stage = await listening({ handlers: slow });
    stage.app.send(Slow);
    await stage.settle();
    const drained = stage.app.drain();
    await stage.settle();
    end();
    await stage.clock.until(drained, 100);
    await stage.settle();
    assertEquals(stage.batches.map((batch) => batch[4]), ["last"]);
    assertEquals((await stage.app.publish(Seen, 1)).error?.code, "CLOSED");
  });
});

describe("events that arrive", () => {
  const sent = (stage: Stage, name: string, ...rest: unknown[]) =>
    stage.other.transport.publish(`catga.default.event.${name}`, JSON.stringify([1, "x.9", 5, ...rest]));

  it("every handler of the node gets each of a batch, with an id of its own, in order", async () => {
    const got: [string, unknown, Context][] = [];
    const on = (who: string) => Seen.on((payload, ctx) => got.push([who, payload, ctx]));
    await using stage = await openStage({ handlers: [on("a"), on("b")] });
    sent(stage, "orders.Seen", { seq: 7, correlation: "r", causation: "c", headers: { h: "1" } }, 1, null);
    sent(stage, "orders.Seen", { seq: 8, id: "mine" });
    await stage.settle();
    assertEquals(got.map(([who, payload, { id }]) => [who, payload, id]), [
      ["a", 1, "x.9.e7.0"],
      ["b", 1, "x.9.e7.0"],
      ["a", null, "x.9.e7.1"],
      ["b", null, "x.9.e7.1"],
      ["a", undefined, "mine"],
      ["b", undefined, "mine"],
    ]);
    const [, , { correlationId, causationId, headers, attempt }] = got[0];
    assertEquals({ correlationId, causationId, headers: { ...headers }, attempt }, {
      ...{ correlationId: "r", causationId: "c", headers: { h: "1" }, attempt: 1 },
    });
    assertEquals(stage.app.self.load.inFlight, 0);
  });

  it("a handler that throws is logged, and the others still run", async () => {
    const got: unknown[] = [];
    const handlers = [
      Seen.on(() => {
        throw new Error("my own");
      }),
      Seen.on((payload) => got.push(payload)),
    ];
    await using stage = await openStage({ handlers });
    sent(stage, "orders.Seen", { seq: 1 }, 1, 2);
    await stage.settle();
    assertEquals(got, [1, 2]);
    assertEquals(stage.log.filter((line) => line.includes("my own")).length, 2);
  });

  it("each service gets each event once, each node of a service its share", async () => {
    const got: string[] = [];
    const stage = await openStage({ service: "shop" });
    const { clock, network, app } = stage;
    const nodes = ["shop", "shop", "mail"].map((service, i) =>
      catga({ network, service, id: `n${i}`, handlers: Moved.on((payload) => got.push(`${i} ${payload}`)) })
    );
    const apps = await clock.until(Promise.all(nodes));
    for (let i = 0; i < 100; i++) {
      await app.publish(Moved, i);
      await stage.settle();
    }
    const by = (who: string) => got.filter((line) => line.startsWith(who)).map((line) => Number(line.slice(2)));
    assertEquals(by("2"), Array.from({ length: 100 }, (_, i) => i));
    assertEquals([...by("0"), ...by("1")].sort((a, b) => a - b), by("2"));
    assert(by("0").length > 20 && by("1").length > 20, `${by("0").length}`);
    await clock.until(Promise.all([...apps, app].map((each) => each.drain())));
  });

  it("a broadcast of an event reaches every node, and has a result for each", async () => {
    const got: string[] = [];
    const stage = await openStage({ handlers: Moved.on(() => got.push("node")) });
    const { clock, network, app } = stage;
    const failing = Moved.on(() => {
      throw new Error("no");
    });
    const peer = await clock.until(catga({ network, id: "a", handlers: failing, logger: QUIET }));
    const all = await clock.until(app.broadcast(Moved, 1));
    assertEquals(all.map(({ node, result }) => [node, result.error?.code]), [
      ["a", "HANDLER_FAILED"],
      ["node", undefined],
    ]);
    assertEquals(got, ["node"]);
    await clock.until(Promise.all([app.drain(), peer.drain()]));
  });
});

/**
 * Makes a counter of dropped events. `told`: the reports that it made, each with the ms since the start, the contract
 * and the number of events.
 */
function counting() {
  const clock = new VirtualClock();
  const start = clock.monotonic();
  const told: [ms: number, contract: string, count: number][] = [];
  const dropped = new DroppedEvents(clock, (seen: Observation) => {
    if (seen.type === "event-dropped") told.push([clock.monotonic() - start, seen.contract, seen.count]);
  });
  const add = (contract: string, times: number) => {
    for (let i = 0; i < times; i++) dropped.add(contract);
  };
  return { clock, told, dropped, add };
}

describe("DroppedEvents", () => {
  it("reports the first at once, and the others of that minute at its end (a line for each filled the log)", async () => {
    const { clock, told, add } = counting();
    add("Moved", 1_000);
    assertEquals(told, [[0, "Moved", 1]]);
    await clock.advance(59_999);
    add("Moved", 1);
    assertEquals(told.length, 1);
    await clock.advance(1);
    assertEquals(told, [[0, "Moved", 1], [60_000, "Moved", 1_000]]);
  });

  it("reports minute by minute, and the next at once after a minute without any", async () => {
    const { clock, told, add } = counting();
    for (let minute = 0; minute < 3; minute++) {
      add("Moved", 5);
      await clock.advance(60_000);
    }
    assertEquals(told, [[0, "Moved", 1], [60_000, "Moved", 4], [120_000, "Moved", 5], [180_000, "Moved", 5]]);
    await clock.advance(90_000);
    add("Moved", 2);
    await clock.advance(600_000);
    assertEquals(told.slice(4), [[270_000, "Moved", 1], [330_000, "Moved", 1]]);
  });

  it("counts the minute of each contract by itself", async () => {
    const { clock, told, add } = counting();
    add("Moved", 2);
    await clock.advance(30_000);
    add("Seen", 3);
    await clock.advance(60_000);
    assertEquals(told, [[0, "Moved", 1], [30_000, "Seen", 1], [60_000, "Moved", 1], [90_000, "Seen", 2]]);
  });

  it("report() reports the rest, once", async () => {
    const { clock, told, dropped, add } = counting();
    add("Moved", 3);
    add("Seen", 1);
    dropped.report();
    dropped.report();
    await clock.advance(120_000);
    assertEquals(told, [[0, "Moved", 1], [0, "Seen", 1], [0, "Moved", 2]]);
  });
});
