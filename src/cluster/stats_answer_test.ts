/** Tests of a node's answer to a question for its statistics, and that nobody gets statistics without asking. */
import { assert, assertEquals, assertLess } from "@std/assert";
import { describe, it } from "node:test";
import { command, event, query } from "../contract/declaration/definition.ts";
import { fail } from "../contract/calls/result.ts";
import { quantile } from "../data/latency_buckets.ts";
import type { Context } from "../contract/calls/context.ts";
import { openStage, type Stage } from "../../test/support/stage.ts";

const Price = query<string, number>("Price");
const Buy = command<unknown, unknown>("Buy");
const Sold = event<string>("Sold");
const Ask = query<unknown, unknown>("Ask");

type Answer = Record<string, unknown> & { contracts: Record<string, unknown>[]; peers: Record<string, unknown>[] };
let asked = 0;

/** Asks the node for its statistics. Returns the answer as sent. */
async function ask({ app, other, settle, clock }: Stage): Promise<Answer> {
  await clock.advance(100); // a computed answer is returned again for 100 ms
  const n = ++asked;
  other.send(app.self.endpoint, ["s", n]);
  await settle();
  return other.items("t").find(([, answered]) => answered === n)![2] as Answer;
}

const of = ({ contracts }: Answer, name: string) => contracts.find((each) => each.name === name);

describe("the answer", () => {
  it("has handlers that ran into their deadline when they do, for they may never end, and once each", async () => {
    // regression: handlers that ran past their deadline were only counted as running, so no alarm explained the
    // OUTCOME_UNKNOWN of their senders
    const late = Price.handle(async (_, ctx) => {
      await ctx.clock.sleep(2_000); // rejects at the message's deadline, with the error of the abort
      return 3;
    });
    const heard = Sold.on(() => new Promise<void>(() => {}));
    const handlers = [late, heard, Buy.handle(() => new Promise<void>(() => {}))];
    await using stage = await openStage({ handlers, timeout: 1_000 });
    stage.other.send(stage.app.self.endpoint, ["q", "Price", 1_000, "tea"], ["q", "Buy", 1_000, 1]);
    void stage.app.send(Buy, 2);
    await stage.app.publish(Sold, "tea");
    await stage.settle();
    await stage.clock.advance(1_100);
    await stage.settle();
    const answer = await ask(stage);
    const failed = [Price, Buy, Sold].map(({ name }) => of(answer, name)!.failed);
    assertEquals(failed, [{ TIMEOUT: 1 }, { TIMEOUT: 2 }, { TIMEOUT: 1 }]);
    assertEquals(of(answer, "Buy")!.inHand, 2);
  });

  it("has requests of other nodes, failures by code, what runs, and what waits", async () => {
    const ends: (() => void)[] = [];
    const handlers = [
      Price.handle((what) => what === "tea" ? 3 : fail("UNKNOWN", "no such thing")),
      Buy.handle(() => new Promise<void>((resolve) => ends.push(resolve))),
    ];
    await using stage = await openStage({ handlers, concurrency: 2 });
    const to = stage.app.self.endpoint;
    stage.other.send(to, ["q", "Price", 9_000, "tea", "tea", "salt"], ["q", "Buy", 9_000, 1, 2, 3]);
    await stage.settle();
    const answer = await ask(stage);
    assertEquals({ id: answer.id, endpoint: answer.endpoint, service: answer.service, queued: answer.queued }, {
      id: "node",
      endpoint: to,
      service: "app",
      queued: 1,
    });
    const price = of(answer, "Price")!;
    assertEquals({ ...price, latency: 0 }, {
      ...{ name: "Price", kind: "query", handled: 3, failed: { UNKNOWN: 1 }, latency: 0 },
    });
    assertEquals((price.latency as number[]).reduce((sum, count) => sum + count), 3);
    assertEquals(of(answer, "Buy"), { name: "Buy", kind: "command", inHand: 2, queued: 1 });
    await stage.clock.advance(50);
    for (let n = 0; n < 3; n++) {
      ends[n]();
      await stage.settle();
    }
    const { latency, ...buy } = of(await ask(stage), "Buy")!;
    assertEquals(buy, { name: "Buy", kind: "command", handled: 3 });
    assertEquals((latency as number[]).reduce((sum, count) => sum + count), 3);
  });

  it("has sends to this node's own handlers and to others, events heard and published, and the peers", async () => {
    const handlers = [Price.handle(() => 3), Sold.on(() => {})];
    await using stage = await openStage({ handlers, handles: ["Ask"] });
    stage.other.answerWith((_, payload) => payload);
    await stage.app.send(Price, "tea");
    await stage.app.send(Price, "tea", { timeout: 1_000 });
    await stage.clock.until(stage.app.send(Ask, 1));
    await stage.clock.until(stage.app.publish(Sold, "tea"));
    await stage.clock.advance(10);
    const answer = await ask(stage);
    assertEquals(of(answer, "Price"), { name: "Price", kind: "query", handled: 2, sent: 2, latency: [2] });
    assertEquals(of(answer, "Ask"), { name: "Ask", kind: "query", sent: 1 });
    assertEquals(of(answer, "Sold"), {
      ...{ name: "Sold", kind: "event", handled: 1, heard: 1, published: 1, latency: [1] },
    });
    const { endpoint } = stage.other;
    assertEquals(answer.peers, [{ id: "other", endpoint, sent: 1, answered: 1, failed: 0 }]);
  });

  it("has how long runs took that no other node asked for: sends of this node, with behaviors and without; events", async () => {
    const slow = (ms: number) => (_: unknown, ctx: Context) => ctx.clock.sleep(ms);
    const handlers = [
      Price.handle(async (_, ctx) => (await ctx.clock.sleep(50), 3)),
      Buy.handle(slow(100), { behaviors: [(_, next) => next()] }),
      Sold.on(slow(200)),
    ];
    await using stage = await openStage({ handlers });
    const { app, clock } = stage;
    await clock.until(app.send(Price, "tea"));
    await clock.until(app.send(Price, "tea", { timeout: 1_000 }));
    await clock.until(app.send(Buy, 1));
    app.publish(Sold, "tea");
    stage.other.transport.publish("catga.default.event.Sold", `[1,"other.1",0,{"seq":1},"tea"]`);
    await clock.advance(300);
    const answer = await ask(stage);
    const took = (name: string) => of(answer, name)!.latency as number[];
    const runs = ["Price", "Buy", "Sold"].map((name) => took(name).reduce((sum, count) => sum + count));
    assertEquals(runs, [2, 1, 2]);
    const p50 = ["Price", "Buy", "Sold"].map((name) => quantile(took(name), 0.5)!);
    for (const [i, ms] of [50, 100, 200].entries()) {
      assertLess(Math.abs(p50[i] - ms), ms / 3);
    }
  });

  it("has requests that were refused before a handler saw them, which are not handled", async () => {
    await using stage = await openStage({ handlers: Price.handle(() => 3) });
    stage.other.send(stage.app.self.endpoint, ["q", "Price", 0, "tea", "salt"], ["q", "Price", 9_000, "tea"]);
    await stage.settle();
    const { latency: _, ...price } = of(await ask(stage), "Price")!;
    assertEquals(price, { name: "Price", kind: "query", handled: 1, failed: { LATE: 2 } });
  });

  it("has what the node leads, its locks, and how long it has run", async () => {
    await using stage = await openStage();
    const { app, clock } = stage;
    await using _lock = await clock.until(app.lock("tea"));
    await using _term = app.lead(
      "billing",
      (signal) => new Promise((resolve) => signal.addEventListener("abort", resolve)),
    );
    await clock.advance(2_000);
    const { leads, locks, cycles, up } = await ask(stage);
    assertEquals({ leads, locks, cycles }, { leads: ["billing"], locks: 1, cycles: 0 });
    assert((up as number) >= 2_000);
  });

  it("leaves the least used contracts out if they have no room, and says how many", async () => {
    const names = Array.from({ length: 3_000 }, (_, n) => `Contract.${"x".repeat(100)}.${n}`);
    await using stage = await openStage({
      handlers: [...names.map((name) => query(name).handle(() => {})), Price.handle(() => 1)],
    });
    stage.other.send(stage.app.self.endpoint, ["q", "Price", 9_000, "tea"]);
    await stage.settle();
    const answer = await ask(stage);
    assertEquals(answer.contracts[0].name, "Price");
    assertEquals(answer.contracts.length + (answer.moreContracts as number), 3_001);
    assertLess(JSON.stringify(answer).length, 262_144);
  });

  it("fits into a message, however small the server's limit", async () => {
    const handlers = Array.from({ length: 200 }, (_, n) => query(`Q${n}`).handle(() => {}));
    await using stage = await openStage({ handlers, maxPayload: 8_192 });
    const answer = await ask(stage);
    assert(answer.contracts.length > 20 && answer.contracts.length < 200);
  });

  it("is made anew after 100 ms only, however often it is asked for", async () => {
    await using stage = await openStage({ handlers: Price.handle(() => 3) });
    const before = await ask(stage);
    await stage.app.send(Price, "tea");
    stage.other.send(stage.app.self.endpoint, ["s", 1_000]);
    await stage.settle();
    assertEquals(stage.other.items("t").at(-1)![2], before);
    assertEquals(of(await ask(stage), "Price")!.handled, 1);
  });

  it("is sent to those who ask alone", async () => {
    await using stage = await openStage({ handlers: Price.handle(() => 3) });
    stage.other.send(stage.app.self.endpoint, ["q", "Price", 9_000, "tea"], ["t", 1, { forged: true }], ["p", 1]);
    await stage.clock.advance(60_000);
    assertEquals(stage.other.items("t"), []);
  });
});
