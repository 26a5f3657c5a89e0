import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { assertEquals, assertLess } from "@std/assert";
import { catga, unwrap, workflow } from "../../mod.ts";
import { MemoryNetwork, testCluster } from "../testing/mod.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { againSuite } from "./again_suite.ts";
import { mapSuite } from "./map_suite.ts";
import { questionsHarness, questionsSuite } from "./questions_suite.ts";
import { infoOf } from "./run_suite.ts";

const inMemory = () => Promise.resolve(questionsHarness({ network: new MemoryNetwork() }, async () => {}));
const onFile = async () => {
  const folder = await mkdtemp(join(tmpdir(), "catga-questions-"));
  return questionsHarness({ file: join(folder, "app.catga") }, () => rm(folder, { recursive: true }));
};

questionsSuite("in memory", {}, inMemory);
questionsSuite("on a file", {}, onFile);
againSuite("in memory", {}, inMemory);
mapSuite("in memory", {}, inMemory);
againSuite("on a file", {}, onFile);
mapSuite("on a file", {}, onFile);

describe("an answer, on another node than the asker's", () => {
  const Trip = workflow<void, void>("Trip");
  const Count = Trip.question<void, number>("Count");
  const trip = Trip.handle(async (flow) => {
    for (let count = 1;; count++) {
      const asked = await flow.wait(Count);
      await flow.sleep(`think ${count}`, 300);
      asked.answer(count);
    }
  });
  const options = { logger: QUIET, node: (id: string) => id === "client" ? {} : { handlers: trip } };

  it("is announced: the asker has it within some ms", async () => {
    await using cluster = await testCluster(["node", "client"], options);
    const app = cluster.app("client");
    const { clock } = app;
    const run = unwrap(await app.start(Trip));
    for (let count = 1; count <= 3; count++) {
      const since = clock.monotonic();
      assertEquals(unwrap(await app.ask(Count, run)), count);
      assertLess(clock.monotonic() - since, 700);
    }
  });

  it("is waited for until the timeout, or an abort, also while nothing can be stored (it was the app's timeout)", async () => {
    await using cluster = await testCluster(["node", "client"], options);
    const app = cluster.app("client");
    const run = unwrap(await app.start(Trip));
    cluster.cut("client");
    const since = app.clock.monotonic();
    const giveUp = new AbortController();
    const asking = [{ timeout: 500 }, { timeout: 20_000, signal: giveUp.signal }].map((how) =>
      app.ask(Count, run, undefined, how).then(({ error }) => [error?.code, app.clock.monotonic() - since < 2_000])
    );
    await cluster.advance(1_000);
    giveUp.abort();
    await cluster.advance(60_000);
    assertEquals(await Promise.all(asking), [["NOT_ENDED", true], ["NOT_ENDED", true]]);
  });

  it("is asked for again and again under an id, which makes the run no longer (it was stuck after some days)", async () => {
    const Slow = workflow<void, void>("Slow");
    const When = Slow.question<void, string>("When");
    const slow = Slow.handle(async (flow) => {
      await flow.sleep("days", 60_000);
      (await flow.wait(When)).answer("now");
    });
    const node = (id: string) => id === "client" ? {} : { handlers: slow };
    await using cluster = await testCluster(["node", "client"], { logger: QUIET, node });
    const app = cluster.app("client");
    const run = unwrap(await app.start(Slow));
    for (let n = 0; n < 5; n++) {
      assertEquals((await app.ask(When, run, undefined, { id: "q", timeout: 1_000 })).error?.code, "NOT_ENDED");
    }
    for (let n = 0; n < 2; n++) {
      assertEquals(unwrap(await app.ask(When, run, undefined, { id: "q", timeout: 120_000 })), "now");
    }
    const { timeline } = await infoOf(app, run);
    assertEquals(timeline.filter(({ type }) => type === "asked").length, 1);
  });

  it("whose announcement is lost is found within 2 s", async () => {
    await using cluster = await testCluster(["node", "client"], options);
    const app = cluster.app("client");
    const { clock } = app;
    const run = unwrap(await app.start(Trip));
    assertEquals(unwrap(await app.ask(Count, run)), 1);
    const asking = app.ask(Count, run);
    await cluster.advance(100);
    cluster.cut("client");
    await cluster.advance(500);
    cluster.restore("client");
    const since = clock.monotonic();
    assertEquals(unwrap(await asking), 2);
    assertLess(clock.monotonic() - since, 2_100);
  });
});

describe("a question whose asker is out of reach for longer than the run keeps its answer", () => {
  it("is handled once: NOT_ANSWERED (it was asked again, and handled twice)", async () => {
    const Trip = workflow<number, void>("Trip");
    const Count = Trip.question<void, number>("Count", { keep: 1_000 });
    let handled = 0;
    const trip = Trip.handle(async (flow, round) => {
      const asked = await flow.wait(Count, { timeout: 10_000 });
      await flow.sleep("think", 300);
      if (asked !== undefined) asked.answer(++handled);
      await flow.sleep("rest", 2_000);
      return flow.again(round + 1);
    });
    await using cluster = await testCluster(["node", "client"], {
      logger: QUIET,
      node: (id: string) => id === "client" ? {} : { handlers: trip },
    });
    const app = cluster.app("client");
    const run = unwrap(await app.start(Trip, 1));
    const asking = app.ask(Count, run, undefined, { timeout: 60_000 });
    await cluster.advance(100);
    cluster.cut("client");
    await cluster.advance(5_000);
    cluster.restore("client");
    const { error } = await asking;
    assertEquals([error?.code, handled], ["NOT_ANSWERED", 1]);
  });
});

describe("a run that has 10,000 entries when it gets a question", () => {
  it("gives its answer, and shows its last view (both were dropped, although it ended well)", async () => {
    const Long = workflow<void, string>("Long").view<string>();
    const Ask = Long.question<void, string>("Ask");
    const { promise: isThere, resolve } = Promise.withResolvers<void>();
    const long = Long.handle(async (flow) => {
      const asking = flow.wait(Ask);
      for (let n = 0; n < 9_996; n += 476) {
        await Promise.all(Array.from({ length: 476 }, (_, i) => flow.step(`${n + i}`, () => i)));
      }
      resolve();
      const asked = await asking;
      asked.answer("an answer");
      flow.show("the end");
      return "done";
    });
    await using app = await catga({ handlers: long, logger: QUIET });
    const run = unwrap(await app.start(Long));
    await isThere;
    assertEquals((await app.ask(Ask, run)).value, "an answer");
    assertEquals(unwrap(await app.result(Long, run)), "done");
    assertEquals(unwrap(await app.view(Long, run)), "the end");
  });
});

describe("flow.ask of a question whose answer is a failure", () => {
  it("has it, also one after which a send is tried again: the answer stays (the step was tried for ever)", async () => {
    const Desk = workflow<void, void>("Desk");
    const Seat = Desk.question<void, number>("Seat");
    const codes = [["BUSY", { retryable: true }], ["UNAVAILABLE", {}], ["NOT_ENDED", {}]] as const;
    const desk = Desk.handle(async (flow) => {
      for (const [code, options] of codes) (await flow.wait(Seat)).fail(code, "come later", options);
    });
    const Guest = workflow<string, unknown[]>("Guest");
    const guest = Guest.handle(async (flow, run) => {
      const got: unknown[] = [];
      for (const [name] of codes) got.push((await flow.ask(Seat, run, undefined, { name })).error?.code);
      return got;
    });
    await using cluster = await testCluster(["a"], { handlers: [desk, guest], logger: QUIET });
    const app = cluster.app("a");
    const run = unwrap(await app.start(Desk));
    const asking = unwrap(await app.start(Guest, run));
    const result = await app.result(Guest, asking, { timeout: 20_000 });
    assertEquals(result.value, codes.map(([code]) => code));
  });
});
