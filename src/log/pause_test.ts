/** Tests of `app.pause` and `app.resume`, over whole apps in memory, on virtual time: also with deaths and deploys. */
import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { fail } from "../../mod.ts";
import { LogApps, type Order } from "../../test/support/log_apps.ts";
import { delay } from "../ports/clock.ts";

const orders = (count: number, from = 0, keys = 7): readonly Order[] =>
  Array.from({ length: count }, (_, i) => ({ n: from + i, key: `k${(from + i) % keys}` }));

/** Asserts that each event was begun once, in the order of its key. */
function assertOnceInOrder(apps: LogApps, expected: readonly Order[]): void {
  for (const [key, own] of Map.groupBy(expected, ({ key }) => key)) {
    const begun = apps.runs.filter((run) => run.key === key).map(({ n }) => n);
    assertEquals(begun, own.map(({ n }) => n), key);
  }
}

const all = (apps: LogApps, count: number) => () => orders(count).every(({ n }) => apps.handled(n));

describe("pause", () => {
  it("lets what runs end, begins nothing, shows what waits, and resume goes on in order, each message once", async () => {
    await using apps = await LogApps.open(() => delay(apps.clock, 100));
    const [a, b] = [await apps.start("a"), await apps.start("b")];
    await apps.publish(...orders(20));
    await apps.until("some to run", () => apps.runs.length > 0);
    await apps.clock.until(a.pause("billing", { reason: "the bank is closed" }));
    const paused = () => [a, b].find((app) => app.health().subscriptions[0].paused)?.health();
    await apps.until("the leader to know", () => paused() !== undefined);
    const begun = apps.runs.length;
    await apps.publish(...orders(30, 20));
    await apps.clock.advance(60_000);
    assertEquals([apps.runs.length, apps.runs.every(({ ended }) => ended)], [begun, true]);
    const info = await apps.info();
    assertEquals([info.paused?.reason, info.paused?.until, info.open + info.lag > 0], [
      ...["the bank is closed", undefined],
      true,
    ]);
    assertGreater(info.oldest, 59_000);
    const [health] = paused()!.subscriptions;
    assertEquals([health.state, health.paused], ["leading", info.paused]);
    const [alarm, ...others] = paused()!.alarms;
    assertEquals([others, alarm.kind, alarm.severity, alarm.since], [[], "paused", "warning", info.paused!.since]);
    await apps.clock.until(b.resume("billing"));
    await apps.until("all to be handled", all(apps, 50));
    assertOnceInOrder(apps, orders(50));
    assertEquals((await apps.info()).paused, undefined);
    assertEquals([...a.health().alarms, ...b.health().alarms], []);
  });

  it("is kept when the leader is killed, over a deploy of other handlers, and while no node runs", async () => {
    await using apps = await LogApps.open();
    const [a] = [await apps.start("a"), await apps.start("b")];
    await apps.clock.until(a.pause("billing"));
    await apps.publish(...orders(10));
    apps.kill(await apps.leader());
    await apps.clock.advance(20_000);
    const versions = [{ limit: { running: 2 } }, { retry: { attempts: 3 } }, { timeout: 1_000 }];
    for (const [i, options] of versions.entries()) {
      const next = await apps.start(`c${i}`, options);
      for (const [id, app] of apps.cluster.apps) {
        if (id !== `c${i}` && id !== "publisher") await apps.clock.until(app.drain());
      }
      await apps.clock.advance(20_000);
      assertEquals([apps.runs, (await apps.info()).leader], [[], `c${i}`]);
      if (i === versions.length - 1) await apps.clock.until(next.drain());
    }
    await apps.clock.advance(60_000);
    assert((await apps.info()).paused !== undefined);
    const last = await apps.start("d");
    await apps.clock.advance(10_000);
    assertEquals(apps.runs, []);
    await apps.clock.until(last.resume("billing"));
    await apps.until("all to be handled", all(apps, 10));
    assertOnceInOrder(apps, orders(10));
  });

  it("joins what runs when the leader is killed: nothing runs twice when it is resumed long after", async () => {
    const gate = Promise.withResolvers<void>();
    await using apps = await LogApps.open(() => gate.promise);
    for (const id of ["a", "b", "c"]) await apps.start(id);
    await apps.publish(...orders(30, 0, 30));
    await apps.until("all to run", () => apps.runs.length === 30);
    const leader = await apps.leader();
    const other = [...apps.cluster.apps].find(([id]) => id !== leader && id !== "publisher")![1];
    await apps.clock.until(other.pause("billing"));
    apps.kill(leader);
    await apps.clock.advance(15_000);
    gate.resolve();
    await apps.clock.advance(900_000);
    const elsewhere = apps.runs.filter(({ node }) => node !== leader);
    assertEquals([apps.runs.length, elsewhere.every(({ ended }) => ended)], [30, true]);
    await apps.clock.until(other.resume("billing"));
    await apps.until("all to be handled", all(apps, 30));
    for (const { n } of elsewhere) assertEquals(apps.count(n), 1, `${n}`);
  });

  it("holds retries, and messages that wait to fill a batch or for a limit", async () => {
    for (const options of [{ limit: { running: 1 } }, { limit: { per: [1, 100] as const } }, {}]) {
      let fails = true;
      await using apps = await LogApps.open(async () => {
        await delay(apps.clock, 20);
        return fails ? fail("TEMPORARY", "x") : undefined;
      });
      const app = await apps.start("a", { ...options, retry: { attempts: 1_000, delay: [50, 50] } });
      await apps.publish(...orders(12));
      await apps.until("some to fail", () => apps.runs.length > 5);
      await apps.clock.until(app.pause("billing"));
      await apps.clock.advance(1_000);
      const begun = apps.runs.length;
      await apps.clock.advance(120_000);
      assertEquals(apps.runs.length, begun);
      fails = false;
      await apps.clock.until(app.resume("billing"));
      await apps.until(
        "all to be handled",
        () =>
          orders(12).every(({ n }) =>
            apps.runs.findLast((run) => run.n === n)?.ended && apps.runs.filter(({ ended }) => !ended).length === 0
          ),
        600_000,
      );
      await apps.until(
        "nothing to be left",
        async () => (await apps.info()).open === 0 && (await apps.info()).retrying === 0,
      );
    }
  });

  it("with a backlog of thousands: it has not stopped, leaves no key behind, and loses and doubles nothing", async () => {
    await using apps = await LogApps.open();
    const app = await apps.start("a", {}, { concurrency: 64 });
    await apps.clock.until(app.pause("billing"));
    for (let from = 0; from < 6_000; from += 500) await apps.publish(...orders(500, from));
    await apps.clock.advance(60_000);
    const [health] = app.health().subscriptions;
    assertEquals([health.state, health.paused !== undefined, (await apps.info()).behind], ["leading", true, undefined]);
    assertEquals(app.health().alarms.map(({ kind }) => kind), ["paused"]);
    assertEquals(apps.runs, []);
    await apps.clock.until(app.resume("billing"));
    await apps.until("all to be handled", () => apps.runs.length >= 6_000);
    assertOnceInOrder(apps, orders(6_000));
  });

  it("ends by itself after `for`, also while nothing else happens", async () => {
    await using apps = await LogApps.open();
    const app = await apps.start("a");
    await apps.clock.until(app.pause("billing", { for: 60_000 }));
    await apps.publish(...orders(3));
    await apps.clock.advance(55_000);
    assertEquals(apps.runs, []);
    await apps.clock.advance(10_000);
    assertEquals(apps.runs.length, 3);
    assertEquals([(await apps.info()).paused, app.health().subscriptions[0].paused], [undefined, undefined]);
  });

  it("pauses and resumes at any moment of a load with deaths: lost 0, out of order 0, doubled only by a death", async () => {
    for (let seed = 1; seed <= 12; seed++) {
      await using apps = await LogApps.open(() => delay(apps.clock, 10 + seed));
      for (const id of ["a", "b", "c"]) await apps.start(id);
      let random = seed;
      const next = (most: number) => (random = random * 48_271 % 2_147_483_647) % most;
      for (let step = 0; step < 10; step++) {
        await apps.publish(...orders(20, step * 20));
        await apps.clock.advance(next(60));
        const [, app] = [...apps.cluster.apps].filter(([id]) => id !== "publisher")[0];
        await apps.clock.until(step % 2 === 0 ? app.pause("billing") : app.resume("billing"));
        await apps.clock.advance(next(200));
        if (seed % 2 === 0 && step % 4 === next(4)) {
          const leader = await apps.leader();
          apps.kill(leader);
          await apps.start(`${leader}${step}`);
        }
      }
      await apps.clock.until([...apps.cluster.apps].find(([id]) => id !== "publisher")![1].resume("billing"));
      await apps.until(`all to be handled, seed ${seed}`, all(apps, 200), 120_000);
      for (const [key, own] of Map.groupBy(apps.runs, ({ key }) => key)) {
        assertEquals(
          [...new Set(own.map(({ n }) => n))].length,
          orders(200).filter((order) => order.key === key).length,
        );
        const first = own.filter(({ n }, i) => own.findIndex((run) => run.n === n) === i).map(({ n }) => n);
        assertEquals(first, [...first].sort((a, b) => a - b), `${key} of seed ${seed}`);
      }
      // a death repeats what its process ran, and what it had not committed yet
      if (seed % 2 === 1) assertOnceInOrder(apps, orders(200));
    }
  });

  it("an unknown subscription and invalid options are refused", async () => {
    await using apps = await LogApps.open();
    const app = await apps.start("a");
    await assertRejects(
      () => apps.clock.until(app.pause("nothing")),
      TypeError,
      "there is no subscription shop/nothing",
    );
    await assertRejects(() => app.pause("billing", { for: 0 }), RangeError, "for");
    await assertRejects(() => app.pause("billing", { reason: " " }), RangeError, "reason");
    // cast: an unknown option, as a program without types may give
    await assertRejects(() => app.pause("billing", { until: 1 } as never), TypeError, "until");
  });
});
