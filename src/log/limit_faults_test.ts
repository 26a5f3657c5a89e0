/**
 * Tests of the table "Faults of limits" in docs/log.md, row by row: limits hold while nodes, the leader, the store and
 * clocks fail, with whole apps in memory, on virtual time. Leaders that are killed: `limits_test.ts`.
 */
import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { describe, it } from "node:test";
import type { Limit } from "../../mod.ts";
import { LogApps, type Order } from "../../test/support/log_apps.ts";
import { streamName } from "./format/stream_name.ts";

const RUNNING = 3;
/** One begins each 20 ms. */
const PER = [50, 1_000] as const;
const COUNT = 300;
/** How long a run takes, in ms. */
const RUN = 100;
const ORDERS: readonly Order[] = Array.from({ length: COUNT }, (_, n) => ({ n, key: `k${n}` }));
const NODES = ["a", "b", "c"];

/** A run of a handler. */
interface Run {
  readonly n: number;
  readonly node: string;
  readonly fence: number;
  readonly attempt: number;
  readonly from: number;
  to: number;
}

/** Three nodes with a limit, which handle 300 messages; what has run there, and when. */
class Scene implements AsyncDisposable {
  readonly runs: Run[] = [];
  readonly #apps: LogApps;

  private constructor(apps: LogApps) {
    this.#apps = apps;
  }

  /** `lasts`: how long a message runs, in ms, by its node's clock: a process that is paused goes on later. */
  static async open(
    limit: Limit<Order>,
    { lasts = () => RUN, timeout = 30_000 }: { lasts?: (n: number) => number; timeout?: number } = {},
  ): Promise<Scene> {
    const apps = await LogApps.open(async ({ n }, { node, fence = 0, attempt }) => {
      const run: Run = { n, node, fence, attempt, from: apps.clock.monotonic(), to: Infinity };
      scene.runs.push(run);
      const { promise, resolve } = Promise.withResolvers<void>();
      apps.cluster.network.clockOf(node).after(lasts(n), resolve);
      await promise;
      run.to = apps.clock.monotonic();
    });
    const scene = new Scene(apps);
    for (const id of NODES) await apps.start(id, { limit, timeout, retry: { attempts: 20, delay: [100, 100] } });
    await apps.publish(...ORDERS);
    await apps.until("some to be handled", () => scene.ended >= 40);
    return scene;
  }

  get apps(): LogApps {
    return this.#apps;
  }

  /** How many runs have ended. */
  get ended(): number {
    return this.runs.filter(({ to }) => to < Infinity).length;
  }

  async leader(): Promise<string> {
    return await this.#apps.leader();
  }

  /** One that does not lead. */
  async other(): Promise<string> {
    const leader = await this.leader();
    return NODES.find((id) => id !== leader)!;
  }

  /** Resolves when a node runs something. */
  async runsAt(id: string): Promise<void> {
    const isRunning = () => this.runs.some(({ node, to }) => node === id && to === Infinity);
    await this.#apps.until("it to run some", isRunning, 60_000, 1);
  }

  async finish(): Promise<void> {
    await this.#apps.until("all to be handled", () => ORDERS.every(({ n }) => this.#apps.handled(n)), 300_000, 20);
  }

  /** The most runs at once, but for those at this node. */
  mostAtOnce(without?: string): number {
    const runs = this.runs.filter(({ node }) => node !== without);
    return Math.max(...runs.map(({ from }) => runs.filter((run) => run.from <= from && run.to > from).length));
  }

  /** The most that have begun within a second. */
  mostInASecond(): number {
    return Math.max(
      ...this.runs.map(({ from }) => this.runs.filter((run) => run.from >= from && run.from < from + 1_000).length),
    );
  }

  /** True if of runs of one message at once the later one's leader has the greater fence. */
  isFenced(): boolean {
    return this.runs.every((run) =>
      this.runs.every((again) =>
        again === run || again.n !== run.n || again.from < run.from || again.from >= run.to || again.fence > run.fence
      )
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#apps[Symbol.asyncDispose]();
  }
}

/** Timers may be late by so many of a rate of 50 a second. */
const MOST_IN_A_SECOND = 54;

describe("a limit when a node crashes", () => {
  // docs/log.md, faults of limits, "a node crashes": running
  it("holds, and the slots of the dead node are used again within 5 s", async () => {
    await using scene = await Scene.open({ running: RUNNING });
    const { apps } = scene;
    const victim = await scene.other();
    await scene.runsAt(victim);
    const died = apps.clock.monotonic();
    apps.kill(victim);
    for (const run of scene.runs) if (run.node === victim) run.to = Math.min(run.to, died);
    const isFull = () => scene.runs.filter(({ to }) => to === Infinity).length === RUNNING;
    await apps.until("all slots to be used", isFull, 5_000, 1);
    await scene.finish();
    assertEquals(scene.mostAtOnce(), RUNNING);
  });

  // docs/log.md, faults of limits, "a node crashes": per
  it("begins no more in a second", async () => {
    await using scene = await Scene.open({ per: PER });
    scene.apps.kill(await scene.other());
    await scene.finish();
    assertLess(scene.mostInASecond(), MOST_IN_A_SECOND);
  });
});

describe("a limit while a node is paused", () => {
  // docs/log.md, faults of limits, "a node is paused": running, per
  for (const [what, limit] of [["running", { running: RUNNING }], ["per", { per: PER }]] as const) {
    it(`holds for 10 s, and when it goes on: ${what}`, async () => {
      await using scene = await Scene.open(limit);
      const { apps } = scene;
      const paused = await scene.other();
      await scene.runsAt(paused);
      apps.cluster.network.pause(paused);
      await apps.clock.advance(10_000);
      apps.cluster.network.resume(paused);
      await scene.finish();
      if (what === "running") assertEquals(scene.mostAtOnce(), RUNNING);
      else assertLess(scene.mostInASecond(), MOST_IN_A_SECOND);
    });
  }
});

describe("a limit while the leader is paused", () => {
  // docs/log.md, faults of limits, "the leader is paused for 3 s": running
  it("does not hold for what it runs itself; what runs again has a greater fence", async () => {
    await using scene = await Scene.open({ running: RUNNING }, { lasts: (n) => n % 5 === 0 ? 500 : RUN });
    const { apps } = scene;
    const leader = await scene.leader();
    await scene.runsAt(leader);
    apps.cluster.network.pause(leader);
    await apps.until("another one to lead", async () => await apps.leader() !== leader, 60_000, 50);
    await apps.clock.advance(20_000);
    apps.cluster.network.resume(leader);
    await scene.finish();
    assertGreater(scene.mostAtOnce(), RUNNING);
    assertEquals(scene.mostAtOnce(leader), RUNNING);
    assert(scene.isFenced());
  });

  // docs/log.md, faults of limits, "the leader is paused for 3 s": per
  it("begins no more in a second", async () => {
    await using scene = await Scene.open({ per: PER });
    const { apps } = scene;
    const leader = await scene.leader();
    apps.cluster.network.pause(leader);
    await apps.until("another one to lead", async () => await apps.leader() !== leader, 60_000, 50);
    await apps.clock.advance(8_000);
    apps.cluster.network.resume(leader);
    await scene.finish();
    assertLess(scene.mostInASecond(), MOST_IN_A_SECOND);
  });
});

describe("a limit while a node is cut off", () => {
  // docs/log.md, faults of limits, "a node is cut off": running
  it("does not hold for what it runs; what runs again there is the same message, with the same or a greater fence", async () => {
    await using scene = await Scene.open({ running: RUNNING }, { lasts: (n) => n % 5 === 0 ? 5_000 : RUN });
    const { apps } = scene;
    const cut = await scene.other();
    const isLong = ({ node, n, to }: Run) => node === cut && n % 5 === 0 && to === Infinity;
    await apps.until("it to run a long one", () => scene.runs.some(isLong), 60_000, 1);
    apps.cluster.network.cut(cut);
    await apps.clock.advance(10_000);
    apps.cluster.network.restore(cut);
    await scene.finish();
    assertGreater(scene.mostAtOnce(), RUNNING);
    assertEquals(scene.mostAtOnce(cut), RUNNING);
  });

  // docs/log.md, faults of limits, "a node is cut off": per
  it("begins no more in a second", async () => {
    await using scene = await Scene.open({ per: PER });
    const cut = await scene.other();
    scene.apps.cluster.network.cut(cut);
    await scene.apps.clock.advance(10_000);
    scene.apps.cluster.network.restore(cut);
    await scene.finish();
    assertLess(scene.mostInASecond(), MOST_IN_A_SECOND);
  });
});

describe("a limit when a handler exceeds its timeout", () => {
  // docs/log.md, faults of limits, "a handler exceeds its timeout": running, per
  for (const [what, limit] of [["running", { running: RUNNING }], ["per", { per: PER }]] as const) {
    it(`holds until it ends, whatever it is asked again: ${what}`, async () => {
      const lasts = (n: number) => n % 30 === 0 ? 4_000 : RUN;
      await using scene = await Scene.open(limit, { timeout: 300, lasts });
      await scene.finish();
      assert(scene.runs.some(({ from, to }) => to - from > 3_000));
      if (what === "running") assertEquals(scene.mostAtOnce(), RUNNING);
      else assertLess(scene.mostInASecond(), MOST_IN_A_SECOND);
    });
  }
});

describe("a limit when the store loses its end", () => {
  // docs/log.md, faults of limits, "the store loses its end": running, per
  for (const [what, limit] of [["running", { running: RUNNING }], ["per", { per: PER }]] as const) {
    it(`holds, but for what ran then: ${what}`, async () => {
      await using scene = await Scene.open(limit);
      const { apps } = scene;
      const stream = streamName("default", "subscriptions");
      for (let round = 0; round < 3; round++) {
        const { sequence } = apps.cluster.network.log.messages(stream, 0).at(-1)!;
        const at = apps.clock.monotonic();
        apps.cluster.network.log.truncate(stream, sequence - 2, { quietly: round === 1 });
        for (const run of scene.runs) if (run.to === Infinity) run.to = at; // what ran then does not count
        await apps.clock.advance(3_000);
      }
      await scene.finish();
      if (what === "running") assertEquals(scene.mostAtOnce(), RUNNING);
      else assertLess(scene.mostInASecond(), MOST_IN_A_SECOND);
    });
  }
});

describe("a limit when clocks jump", () => {
  // docs/log.md, faults of limits, "a clock jumps": running, per
  for (const [what, limit] of [["running", { running: RUNNING }], ["per", { per: PER }]] as const) {
    it(`holds: ${what}`, async () => {
      await using scene = await Scene.open(limit);
      const { apps } = scene;
      const began = apps.clock.monotonic();
      for (const ms of [3_600_000, -3_600_000, 60_000, 0]) {
        for (const id of NODES) apps.cluster.network.skew(id, id === "a" ? ms : -ms);
        await apps.clock.advance(700);
      }
      await scene.finish();
      if (what === "running") assertEquals(scene.mostAtOnce(), RUNNING);
      else assertLess(scene.mostInASecond(), MOST_IN_A_SECOND);
      assertLess(apps.clock.monotonic() - began, 20_000); // nothing waits for a clock that was put back
    });
  }
});

describe("a limit with over, while the leader is paused, and a node is cut off", () => {
  const accountOf = ({ n }: Order) => `${n % 3}`;

  // docs/log.md, one at a time, or not at all, "the leader is paused, a node cut off": "skip", "last", "cancel"
  for (const over of ["skip", "last", "cancel"] as const) {
    it(`runs two of a key at once only where the other node is not heard of, and handles the newest: ${over}`, async () => {
      const runs: { n: number; node: string; from: number; to: number }[] = [];
      await using apps = await LogApps.open(async ({ n }, { node }) => {
        const run = { n, node, from: apps.clock.monotonic(), to: Infinity };
        runs.push(run);
        const { promise, resolve } = Promise.withResolvers<void>();
        apps.cluster.network.clockOf(node).after(50, resolve);
        await promise;
        run.to = apps.clock.monotonic();
      });
      for (const id of NODES) await apps.start(id, { limit: { key: accountOf, running: 1, over } });
      const { network } = apps.cluster;
      const leader = await apps.leader();
      const cut = NODES.find((id) => id !== leader)!;
      let n = 0;
      const publish = async (until: number) => {
        for (; n < until; n += 3) {
          await apps.publish(...ORDERS.slice(n, n + 3));
          await apps.clock.advance(40);
        }
      };
      await publish(60);
      network.pause(leader);
      await apps.until("another one to lead", async () => await apps.leader() !== leader, 60_000, 50);
      await publish(120);
      await apps.clock.advance(15_000);
      network.resume(leader);
      await publish(180);
      network.cut(cut);
      await publish(240);
      await apps.clock.advance(5_000);
      network.restore(cut);
      await publish(300);
      await apps.until("all to be done", async () => {
        const { lag, open, retrying } = await apps.info();
        return lag + open + retrying === 0;
      }, 120_000);
      const unheard = new Set([leader, cut]);
      const beside = runs.filter((run) =>
        runs.some((other) =>
          other !== run && other.n % 3 === run.n % 3 && other.from <= run.from && other.to > run.from &&
          !unheard.has(other.node) && !unheard.has(run.node)
        )
      );
      assertEquals(beside, []);
      const { skipped = 0 } = await apps.info();
      assertGreater(skipped, 50);
      if (over !== "skip") assert([297, 298, 299].every((newest) => apps.handled(newest)));
    });
  }
});
