import { assertEquals, assertLess } from "@std/assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { type Catga, catga, type Step, unwrap, workflow } from "../../mod.ts";
import { testCluster } from "@catga/catga/testing";
import { seededRandom } from "../memory/seeded_random.ts";
import { MemoryNetwork } from "../testing/mod.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { ofThisRuntime } from "../../test/support/of_this_runtime.ts";
import { infoOf } from "./run_suite.ts";
import { viewsSuite } from "./views_suite.ts";

viewsSuite("in memory", {}, () => {
  const network = new MemoryNetwork();
  const awake = setInterval(() => {}, 1_000); // keeps the process alive, because timers of an app do not
  let app: Catga | undefined;
  let count = 0;
  return Promise.resolve({
    async start(handlers) {
      await app?.drain();
      return app = await catga({ network, id: `n${count++}`, service: "s", handlers, logger: QUIET });
    },
    async [Symbol.asyncDispose]() {
      clearInterval(awake);
      await app?.drain();
    },
  });
});

viewsSuite("in a file", {}, async () => {
  const folder = await mkdtemp(join(tmpdir(), "views-"));
  const awake = setInterval(() => {}, 1_000);
  let app: Catga | undefined;
  return {
    async start(handlers) {
      await app?.drain();
      return app = await catga({ file: join(folder, "catga.db"), id: "one", service: "s", handlers, logger: QUIET });
    },
    async [Symbol.asyncDispose]() {
      clearInterval(awake);
      await app?.drain();
      await rm(folder, { recursive: true });
    },
  };
});

/** A run of six steps of 0.3 to 2.1 s, which shows where it is before each and at its end. */
function countingRun(sleep: (ms: number) => Promise<void>) {
  const Count = workflow("Count").view<{ n: number }>();
  const count = Count.handle(async (flow) => {
    for (let n = 0; n < STEPS; n++) {
      flow.show({ n });
      await flow.step(`step ${n}`, () => sleep(300 + n % 3 * 900));
    }
    flow.show({ n: STEPS });
  });
  return { Count, count };
}

const STEPS = 6;

describe("a long step whose node dies at any moment, on virtual time", () => {
  it("goes on at most 1.2 s before where it was, and stores an entry a second", { timeout: 300_000 }, async () => {
    const random = seededRandom(7);
    for (const at of [100, 900, 1_100, ...Array.from({ length: 3 }, () => random() * 18_000)]) {
      const Copy = workflow<void, number>("Copy");
      let reached = 0;
      let lost = 0;
      const copy = (id: string) =>
        Copy.handle((flow) =>
          flow.step("rows", async (step: Step<number>) => {
            const { last = 0 } = step;
            if (id === "b") lost = Math.max(lost, reached - last);
            for (let row = last; row < ROWS; step.progress(++row)) {
              if (id === "a" && !isDead) reached = row;
              await cluster.app("watcher").clock.sleep(10);
            }
            return ROWS - last;
          }, { timeout: 1_000_000 })
        );
      await using cluster = await testCluster(["a", "b", "watcher"], {
        ...{ logger: QUIET, seed: 7 },
        node: (id) => id === "watcher" ? { service: "other" } : { handlers: copy(id) },
      });
      let isDead = false;
      const app = cluster.app("watcher");
      unwrap(await cluster.app("a").start(Copy, undefined, { id: "c" }));
      const ended = app.result(Copy, "c", { timeout: 1_000_000 });
      await cluster.advance(at);
      isDead = true;
      cluster.kill("a");
      await cluster.advance(40_000);
      assertEquals(unwrap(await ended), ROWS - reached + lost, `killed after ${at} ms`);
      assertLess(lost, 120, `killed after ${at} ms`);
      const { timeline } = await infoOf(app, "c");
      assertLess(timeline.filter(({ type }) => type === "progress").length, 25);
    }
  });
});

/** Rows that a step copies in 20 s. */
const ROWS = 2_000;

describe("progress that is due while the end of its run is being stored, on virtual time", () => {
  it("is dropped: nothing is stored behind the end (the run counted as open, and its result never came)", async () => {
    const Race = workflow<void, string>("Race");
    const Late = Race.signal("Late");
    const race = Race.handle((flow) => {
      const { clock } = cluster.app("a");
      const long = flow.step("long", async (step) => {
        step.progress(1); // due after a second
        await clock.sleep(60_000);
        return "long";
      });
      return Promise.race([long, flow.step("short", () => clock.sleep(900).then(() => "short"))]);
    });
    await using cluster = await testCluster(["a", "client"], {
      logger: QUIET,
      node: (id) => id === "client" ? {} : { handlers: race },
    });
    const [app, client] = [cluster.app("a"), cluster.app("client")];
    unwrap(await app.start(Race, undefined, { id: "r" }));
    await cluster.advance(800);
    cluster.cut("a"); // the append of the end takes until the node is back
    await cluster.advance(700);
    cluster.restore("a");
    await cluster.advance(3_000);
    const { timeline } = await infoOf(client, "r");
    assertEquals(timeline.at(-1)?.type, "ended");
    assertEquals(unwrap(await client.result(Race, "r", { timeout: 10_000 })), "short");
    assertEquals((await client.tell(Late, "r")).error?.code, "NO_RUN");
  });
});

/** A run whose one step writes a word each 100 ms, between two views of its handler. */
function writingRun(sleep: (ms: number) => Promise<void>) {
  const Write = workflow<void, string>("Write").view<string>();
  const write = Write.handle(async (flow) => {
    flow.show("begins");
    const text = await flow.step("words", async ({ show }) => {
      let text = "";
      for (let word = 0; word < WORDS; word++) {
        await sleep(100);
        show(text += `${word} `);
      }
      return text;
    }, { timeout: 60_000 });
    flow.show("ends");
    await flow.step("after", () => sleep(3_000));
    return text;
  });
  return { Write, write };
}

const WORDS = 50;

describe("what a step shows while it runs, on virtual time", () => {
  it("is seen by another node at most 1.1 s later; dies the node at any moment, it is still there, and goes on", {
    timeout: 300_000,
  }, async () => {
    const random = seededRandom(11);
    for (const at of [50, 1_050, ...Array.from({ length: 6 }, () => random() * 7_000), 20_000]) {
      const { Write, write } = writingRun((ms) => cluster.app("watcher").clock.sleep(ms));
      await using cluster = await testCluster(["a", "b", "watcher"], {
        ...{ logger: QUIET, seed: 7, faults: { delay: 5 } },
        node: (id) => id === "watcher" ? { service: "other" } : { handlers: write },
      });
      const app = cluster.app("watcher");
      unwrap(await cluster.app("a").start(Write, undefined, { id: "w" }));
      const seen: { view: string; at: number }[] = [];
      const numbers: number[] = [];
      const began = app.clock.now();
      const watching = (async () => {
        for await (const { view, number, result } of app.watch(Write, "w")) {
          numbers.push(number);
          if (result === undefined) seen.push({ view, at: app.clock.now() - began });
        }
      })();
      await cluster.advance(at);
      const before = unwrap(await app.view(Write, "w"));
      if (at < 20_000) cluster.kill("a");
      assertEquals(unwrap(await app.view(Write, "w")), before);
      await cluster.advance(60_000);
      await watching;
      const words = seen.filter(({ view }) => /^0 /.test(view));
      assertEquals([numbers.every((n, i) => i === 0 || numbers[i - 1] <= n), seen.at(-1)?.view], [true, "ends"]);
      assertEquals(unwrap(await app.view(Write, "w")), "ends");
      if (at < 20_000) continue;
      // unkilled: each view is a part of the text, longer than the one before, and not older than a second
      assertEquals(words.map(({ view }) => view.length), words.map(({ view }) => view.length).sort((a, b) => a - b));
      assertLess(3, words.length);
      const late = words.map(({ view, at }) => at - 100 * view.trim().split(" ").length);
      assertLess(Math.max(...late), 1_100);
    }
  });

  it("goes on to be shown after the handler has begun anew; nothing is shown once its run is cancelled", async () => {
    const Long = workflow("Long").view<string>();
    const Note = Long.signal<string>("Note");
    let runs = 0;
    let show: ((view: string) => void) | undefined;
    const long = Long.handle(async (flow) => {
      runs++;
      const step = flow.step("long", (step) => {
        show = step.show;
        return cluster.app("b").clock.sleep(600_000);
      }, { timeout: 1_000_000 });
      for (let n = 0; n < 3; n++) flow.show(`noted ${await flow.wait(Note)}`);
      await step;
    });
    await using cluster = await testCluster(["a", "b"], {
      logger: QUIET,
      node: (id) => id === "a" ? { handlers: long } : {},
    });
    const [app, client] = [cluster.app("a"), cluster.app("b")];
    unwrap(await app.start(Long, undefined, { id: "l" }));
    await cluster.advance(2_000);
    const view = async () => unwrap(await client.view(Long, "l"));
    for (const note of ["one", "two"]) {
      unwrap(await client.tell(Note, "l", note));
      await cluster.advance(2_000);
      assertEquals(await view(), `noted ${note}`);
      show!(`words after ${note}`);
      await cluster.advance(2_000);
      assertEquals(await view(), `words after ${note}`);
    }
    assertLess(0, runs);
    unwrap(await client.cancel(Long, "l", "enough"));
    await cluster.advance(2_000);
    show!("late");
    await cluster.advance(2_000);
    assertEquals(await view(), "words after two");
  });
});

describe("a value that is shown, or reported, where messages are small", () => {
  for (const what of ["show", "progress", "show of a step"]) {
    it(`${what}: one that does not fit into a message is refused, and its run is stuck (it was tried again for ever)`, async () => {
      const Small = workflow("Small").view<string>();
      const small = Small.handle(async (flow) => {
        if (what === "show") flow.show("x".repeat(40_000));
        await flow.step("s", (step) => {
          if (what === "progress") step.progress("x".repeat(40_000));
          if (what === "show of a step") step.show("x".repeat(40_000));
          throw new Error("it fails");
        }, { retry: { attempts: 1 } });
      });
      await using cluster = await testCluster(["a"], { handlers: small, logger: QUIET, maxPayload: 32_768 });
      const app = cluster.app("a");
      unwrap(await app.start(Small, undefined, { id: "r" }));
      await cluster.advance(10_000);
      const { status, pending } = await infoOf(app, "r");
      assertEquals([status, /has up to \d+ bytes/.test(pending[0].error!.message)], ["stuck", true]);
    });
  }
});

describe("a watch while nodes die and are cut off, on virtual time", () => {
  for (const what of ofThisRuntime(["the run's node dies", "the watching node is cut off"])) {
    it(
      `${what} at any moment: no view is older than one before, and the last one comes`,
      { timeout: 300_000 },
      async () => {
        const random = seededRandom(83);
        for (let at = 0; at < 7_000; at += 200 + random() * 200) {
          const { Count, count } = countingRun((ms) => cluster.app("watcher").clock.sleep(ms));
          await using cluster = await testCluster(["a", "b", "watcher"], {
            ...{ logger: QUIET, seed: Math.floor(at), faults: { delay: 8 } },
            node: (id) => id === "watcher" ? { service: "other" } : { handlers: count },
          });
          unwrap(await cluster.app("a").start(Count, undefined, { id: "c" }));
          const numbers: number[] = [];
          const seen: number[] = [];
          let end: string | undefined;
          const watching = (async () => {
            for await (const { view, number, result } of cluster.app("watcher").watch(Count, "c")) {
              numbers.push(number);
              seen.push(view!.n);
              end = result && (result.ok ? "ok" : result.error.code);
            }
          })();
          await cluster.advance(at);
          if (what === "the run's node dies") cluster.kill("a");
          else cluster.cut("watcher");
          await cluster.advance(3_000);
          if (what === "the watching node is cut off") cluster.heal();
          await cluster.advance(60_000);
          await watching;
          const isSorted = (list: readonly number[]) => list.every((n, i) => i === 0 || list[i - 1] <= n);
          assertEquals(
            [isSorted(numbers), isSorted(seen), seen.at(-1), end],
            [true, true, STEPS, "ok"],
            `after ${at} ms`,
          );
        }
      },
    );
  }

  it("a number from an earlier run, whose id was forgotten, hides nothing of the next run", async () => {
    const Count = workflow<number>("Count", { keep: 60_000 }).view<string>();
    const End = Count.signal("end");
    const count = Count.handle(async (flow, input) => {
      for (let n = 0; n < input; n++) {
        flow.show(`${input}: ${n}`);
        await flow.step(`step ${n}`, () => n);
      }
      await flow.wait(End);
    });
    await using cluster = await testCluster(["a"], { handlers: count, logger: QUIET });
    const app = cluster.app("a");
    unwrap(await app.start(Count, 5, { id: "c" }));
    await cluster.advance(2_000);
    unwrap(await app.tell(End, "c"));
    const { value: last } = await app.watch(Count, "c", { after: 0 }).next();
    unwrap(await app.result(Count, "c"));
    await cluster.advance(10 * 60_000);
    assertEquals((await app.view(Count, "c")).error?.code, "NO_RUN");
    unwrap(await app.start(Count, 1, { id: "c" }));
    await cluster.advance(2_000);
    const { value: { view, number } } = await app.watch(Count, "c", { after: last.number }).next();
    assertEquals([view, number < last.number], ["1: 0", true]);
  });

  it("1,000 watchers of a run on another node learn of a change within 50 ms", async () => {
    const Count = workflow("Count").view<number>();
    const Next = Count.signal("next");
    const count = Count.handle(async (flow) => {
      flow.show(1);
      await flow.wait(Next);
      flow.show(2);
      await flow.step("long", () => cluster.app("b").clock.sleep(60_000));
    });
    await using cluster = await testCluster(["a", "b"], {
      ...{ logger: QUIET, faults: { delay: 5 } },
      node: (id) => id === "a" ? { handlers: count } : {},
    });
    const { clock } = cluster.app("b");
    unwrap(await cluster.app("a").start(Count, undefined, { id: "c" }));
    await cluster.advance(2_000);
    const watches = Array.from({ length: 1_000 }, () => cluster.app("b").watch(Count, "c"));
    const first = Promise.all(watches.map(async (watch) => (await watch.next()).value.view));
    await cluster.advance(1_000);
    assertEquals(new Set(await first), new Set([1]));
    const second = Promise.all(watches.map(async (watch) => {
      assertEquals((await watch.next()).value.view, 2);
      return clock.monotonic() - told;
    }));
    const told = clock.monotonic();
    void cluster.app("a").tell(Next, "c");
    await cluster.advance(5_000);
    const times = await second;
    assertLess(Math.max(...times), SHOWN_ALONE + 50);
  });
});

/** The view waits so long for another entry: the step that follows goes on, in ms. */
const SHOWN_ALONE = 1_000;
