/**
 * Tests of `delay` with a longest wait: messages of one id that come one after the other are handled once, the newest
 * of them, when none has come for a while, and not later than the longest wait after the first.
 */
import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { command, event, unwrap } from "../../mod.ts";
import { MemoryCluster } from "../../test/support/memory_cluster.ts";

const Sync = command<{ n: number }>("Sync", { durable: true });
const Changed = event<{ n: number }>("Changed", { durable: true });

/** A cluster of one node, what it has handled, and when; times count from now on. */
async function opened() {
  const cluster = new MemoryCluster();
  const handled: [n: number, at: number][] = [];
  const handlers = [
    Sync.handle(({ n }) => void handled.push([n, cluster.clock.monotonic() - began])),
    Changed.on(({ n }) => void handled.push([n, cluster.clock.monotonic() - began])),
  ];
  const app = await cluster.start("a", { handlers });
  await cluster.clock.advance(2_000);
  const began = cluster.clock.monotonic();
  const sync = async (n: number, delay: number | readonly [number, number], id = "ann") =>
    unwrap(await cluster.clock.until(app.enqueue(Sync, { n }, { id, delay })));
  return { cluster, app, handled, sync, [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose]() };
}

describe("a delay with a longest wait", () => {
  it("has the newest handled when none has come for the delay", async () => {
    await using run = await opened();
    for (let n = 0; n < 30; n++) {
      await run.sync(n, [5_000, 60_000]);
      await run.cluster.clock.advance(150);
    }
    await run.cluster.clock.advance(60_000);
    assertEquals(run.handled.map(([n]) => n), [29]);
    const [[, at]] = run.handled;
    assert(at >= 29 * 150 + 5_000 && at < 29 * 150 + 6_000, `${at}`);
  });

  it("waits anew also for what comes just before the end of the delay, however short that is", async () => {
    for (const [delay, pause] of [[100, 60], [200, 20], [5_000, 4_900]] as const) {
      await using run = await opened();
      for (let n = 0; n < 10; n++) {
        await run.sync(n, [delay, 600_000]);
        await run.cluster.clock.advance(pause);
      }
      await run.cluster.clock.advance(10_000);
      assertEquals(run.handled.map(([n]) => n), [9], `${delay}`);
    }
  });

  it("has the newest handled after the longest wait if the delay is short, too", async () => {
    await using run = await opened();
    for (let n = 0; n < 100; n++) {
      await run.sync(n, [200, 1_000]);
      await run.cluster.clock.advance(50);
    }
    await run.cluster.clock.advance(10_000);
    const times = run.handled.map(([, at]) => at);
    assertEquals(run.handled.at(-1)![0], 99);
    assert(times.every((at, i) => at - (times[i - 1] ?? 0) < 2_500), JSON.stringify(run.handled));
    assert(times.length < 20, JSON.stringify(run.handled));
  });

  it("has the newest handled after the longest wait, however many come, and again after the next one", async () => {
    await using run = await opened();
    for (let n = 0; n < 200; n++) {
      await run.sync(n, [5_000, 60_000]);
      await run.cluster.clock.advance(1_000);
    }
    await run.cluster.clock.advance(60_000);
    const times = run.handled.map(([, at]) => at);
    assertEquals(run.handled.length, 4, JSON.stringify(run.handled));
    assertEquals(run.handled.at(-1)![0], 199);
    // of those that had come by then the newest, and not later than 60 s after the first since the last one
    for (const [i, [n, at]] of run.handled.slice(0, 3).entries()) {
      assert(at - (times[i - 1] ?? 0) < 62_500, JSON.stringify(run.handled));
      assert(at - n * 1_000 < 2_000, JSON.stringify(run.handled));
    }
  });

  it("counts the longest wait from the first message that waits, also when a later one gives a longer one", async () => {
    await using run = await opened();
    await run.sync(0, [5_000, 10_000]);
    for (let n = 1; n < 9; n++) {
      await run.cluster.clock.advance(1_500);
      await run.sync(n, [5_000, 600_000]);
    }
    await run.cluster.clock.advance(1_000);
    assertEquals(run.handled.length, 1);
    assert(run.handled[0][1] < 11_000, JSON.stringify(run.handled));
  });

  it("counts it from a plain delay's replacement on, each id for itself, of an event, too", async () => {
    await using run = await opened();
    await run.sync(0, 500_000);
    await run.sync(1, [1_000, 3_000]);
    const { app, cluster, handled } = run;
    for (let n = 0; n < 8; n++) {
      const options = { id: "bob", delay: [1_000, 3_000] } as const;
      unwrap(await cluster.clock.until(app.publish(Changed, { n: 10 + n }, options)));
      await cluster.clock.advance(500);
    }
    await cluster.clock.advance(5_000);
    assertEquals(handled.map(([n]) => n).slice(0, 1), [1]);
    assertEquals(handled.length, 3);
    assert(handled[1][1] < 4_500 && handled[2][0] === 17, JSON.stringify(handled));
  });

  it("is taken back as any schedule, and the next one begins anew", async () => {
    await using run = await opened();
    await run.sync(0, [5_000, 8_000]);
    await run.cluster.clock.advance(4_000);
    assertEquals(await run.cluster.clock.until(run.app.unschedule(Sync, "ann")), true);
    await run.sync(1, [5_000, 8_000]);
    await run.cluster.clock.advance(4_500);
    assertEquals(run.handled, []);
    await run.cluster.clock.advance(2_000);
    assertEquals(run.handled.map(([n]) => n), [1]);
  });

  it("needs an id, by which a message takes the place of the one before it; and says what is wrong", async () => {
    await using run = await opened();
    const { app } = run;
    for (
      const [options, text] of [
        [{ delay: [5_000, 60_000] }, "Sync: a delay with a longest wait needs an id, which its messages share"],
        [{ id: "ann", delay: [5_000, 4_000] }, "Sync: delay, its longest wait must be from 5000 to"],
        [{ id: "ann", delay: [0, 4_000] }, "Sync: delay, its first number must be from 1 to"],
        [{ id: "ann", delay: [1] }, "Sync: delay must be a number of ms, or [ms, longest ms]; got"],
        [{ id: "ann", delay: [1, 2], cron: "@hourly" }, "give one of delay, at and cron"],
      ] as const
    ) {
      // the option `delay` of a program in JavaScript
      const error = await app.enqueue(Sync, { n: 0 }, options as never).then(() => undefined, (error) => error);
      assert(String(error).includes(text), `${error}`);
    }
  });
});
