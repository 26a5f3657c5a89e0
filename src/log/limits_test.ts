/** Tests of `limit`: how many messages run at once and begin in a time, over whole apps in memory, on virtual time. */
import { assert, assertEquals, assertLess } from "@std/assert";
import { describe, it } from "node:test";
import { CatgaError, command, type Context, event, fail, unwrap } from "../../mod.ts";
import { MemoryCluster } from "../../test/support/memory_cluster.ts";
import { LogApps, type Order, Placed } from "../../test/support/log_apps.ts";
import { delay } from "../ports/clock.ts";

const own = (count: number, from = 0): readonly Order[] =>
  Array.from({ length: count }, (_, i) => ({ n: from + i, key: `k${from + i}` }));

/** Counts what runs, and what has run at once at most; what dead nodes began does not run. */
class Running {
  most = 0;
  readonly #now = new Map<string, Set<number>>();

  async count(node: string, n: number, run: () => Promise<unknown>): Promise<void> {
    const own = this.#now.get(node) ?? new Set();
    this.#now.set(node, own.add(n));
    this.most = Math.max(this.most, [...this.#now.values()].reduce((sum, { size }) => sum + size, 0));
    await run();
    own.delete(n);
  }

  killed(node: string): void {
    this.#now.delete(node);
  }
}

/** Publishes 300 messages, of three keys in turn; meanwhile two leaders die, one after the other. */
async function publishWhileLeadersDie(apps: LogApps, running: readonly Running[]): Promise<void> {
  for (let n = 0; n < 300; n += 3) {
    await apps.publish(...own(3, n));
    await apps.clock.advance(20);
    if (n !== 90 && n !== 210) continue;
    const id = await apps.leader();
    apps.kill(id);
    for (const each of running) each.killed(id);
  }
}

/** Greatest number of these times within any `ms`. */
function mostWithin(times: readonly number[], ms: number): number {
  return Math.max(...times.map((from) => times.filter((at) => at >= from && at < from + ms).length));
}

describe("limit: running", () => {
  // docs/log.md, faults of limits, "the leader crashes": running
  it("is never exceeded over three nodes, and is used again when the leader and another one are killed", async () => {
    const running = new Running();
    await using apps = await LogApps.open(({ n }, ctx) => running.count(ctx.node, n, () => delay(apps.clock, 50)));
    for (const id of ["a", "b", "c"]) await apps.start(id, { limit: { running: 5 } });
    await apps.publish(...own(300));
    const victims = [await apps.leader()];
    victims.push(["a", "b", "c"].find((id) => id !== victims[0])!);
    for (const [i, id] of victims.entries()) {
      await apps.until("some to be handled", () => apps.runs.filter(({ ended }) => ended).length > 60 * (i + 1));
      apps.kill(id);
      running.killed(id);
    }
    await apps.until("all to be handled", () => own(300).every(({ n }) => apps.handled(n)), 120_000);
    assertEquals(running.most, 5);
  });

  it("goes to those that wait longest, also after the death of a leader (the next of a key that ran came first)", async () => {
    const waited = new Map<number, number>();
    const stored = new Map<number, number>();
    await using apps = await LogApps.open(({ n }) => {
      waited.set(n, Math.max(waited.get(n) ?? 0, apps.clock.monotonic() - stored.get(n)!));
      return delay(apps.clock, 50);
    });
    for (const id of ["a", "b", "c"]) await apps.start(id, { limit: { running: 1 } });
    const publish = async (n: number) => {
      stored.set(n, apps.clock.monotonic());
      await apps.publish({ n, key: `k${n % 12}` });
    };
    let n = 0;
    for (; n < 60; n++) await publish(n); // 3 s of work
    apps.kill(await apps.leader());
    for (; n < 400; n++) {
      await publish(n);
      await apps.clock.advance(65); // 4 of 5 turns are taken
    }
    await apps.until("all to be handled", () => [...stored.keys()].every((n) => apps.handled(n)), 60_000);
    assertLess(Math.max(...waited.values()), 10_000);
  });

  it("is in the health of the leader, with what runs and waits, and how long a handler has paused it", async () => {
    const gate = Promise.withResolvers<void>();
    await using apps = await LogApps.open(async ({ n }) => {
      await gate.promise;
      return n === 0 ? fail("RATE_LIMITED", "429", { retryAfter: 60_000 }) : undefined;
    });
    const app = await apps.start("a", { limit: [{ name: "bank", running: 2 }, { per: [1_000, 1] }] });
    const limits = () => app.health().subscriptions[0].limits;
    await apps.publish(...own(10));
    await apps.until("two to run", () => apps.runs.length === 2);
    await apps.until("the others to wait", () => limits()?.[1].waiting === 8);
    assertEquals(limits(), [
      { name: "Placed/1", running: 2, waiting: 0 },
      { name: "bank", running: 2, waiting: 8 },
    ]);
    gate.resolve();
    await apps.until("the limit to be paused", () => limits()?.[1].pausedFor !== undefined);
    await apps.clock.advance(1_000);
    assertEquals(limits()?.map(({ running }) => running), [0, 0]);
    assert(limits()!.every(({ pausedFor = 0 }) => pausedFor > 50_000 && pausedFor < 60_000));
    await apps.until("all to be handled", () => own(10).every(({ n }) => n === 0 || apps.handled(n)), 90_000);
  });

  it("keeps a run that goes on past its timeout in its slot, also through its next attempts", async () => {
    const running = new Running();
    await using apps = await LogApps.open(({ n }, { node }) =>
      running.count(node, n, () => delay(apps.clock, n === 0 ? 3_500 : 10))
    );
    for (const id of ["a", "b"]) {
      await apps.start(id, { limit: { running: 1 }, timeout: 300, retry: { attempts: 3, delay: [1, 1] } });
    }
    await apps.publish(...own(20));
    await apps.until("the others to be handled", () => own(19, 1).every(({ n }) => apps.handled(n)), 60_000);
    assertEquals([running.most, apps.count(0)], [1, 1]); // a late success counts
    assertEquals(await apps.letters(), []);
  });

  it("is kept by a handler that does not end, which raises an alarm", async () => {
    await using apps = await LogApps.open(({ n }) => n === 0 ? new Promise<never>(() => {}) : undefined);
    const app = await apps.start("a", { limit: { running: 1 }, timeout: 1_000, retry: { attempts: 1_000 } });
    await apps.publish(...own(3));
    await apps.until(
      "the alarm",
      () => app.health().alarms.some(({ kind }) => kind === "handler-hanging"),
      60_000,
      500,
    );
    assertEquals([apps.runs.length, app.health().subscriptions[0].limits?.[0].running], [1, 1]);
    apps.kill("a"); // it would not end
  });

  it("is not used by a message that waits for its next attempt, nor by a dead letter", async () => {
    await using apps = await LogApps.open(({ n }) => n < 2 ? fail("NO", "no", { final: n === 1 }) : undefined);
    await apps.start("a", { limit: { running: 1 }, retry: { delay: [20_000, 20_000] } });
    await apps.publish(...own(20));
    await apps.until("the others to be handled", () => own(18, 2).every(({ n }) => apps.handled(n)), 5_000);
    await apps.until("the dead letter", async () => (await apps.letters()).length === 1, 5_000);
  });

  it("is the smallest of all versions that are there, whoever leads, from no limit to one and back", async () => {
    const running = new Running();
    await using apps = await LogApps.open(({ n }, ctx) => running.count(ctx.node, n, () => delay(apps.clock, 20)));
    await apps.start("old", {});
    await apps.publish(...own(50));
    await apps.until("more than two at once", () => running.most > 2);
    await apps.start("new", { limit: { running: 2 } });
    await apps.start("newer", { limit: { running: 4 } });
    await apps.clock.advance(1_000);
    running.most = 0;
    await apps.publish(...own(100, 50));
    await apps.until("all to be handled", () => own(150).every(({ n }) => apps.handled(n)), 60_000);
    assertEquals(running.most, 2);
    for (const [leaves, most] of [["new", 4], ["newer", 100]] as const) {
      await apps.clock.until(apps.cluster.apps.get(leaves)!.drain());
      apps.cluster.apps.delete(leaves);
      await apps.clock.advance(1_000);
      running.most = 0;
      const from = 150 + 100 * (leaves === "new" ? 0 : 1);
      await apps.publish(...own(100, from));
      await apps.until("all to be handled", () => own(100, from).every(({ n }) => apps.handled(n)), 60_000);
      if (most === 4) assertEquals(running.most, 4);
      else assert(running.most > 4, `${running.most} at once without a limit`);
    }
  });

  for (const [what, numbers] of [["running", { running: 2 }], ["per", { per: [2, 20_000] }]] as const) {
    it(`counts, with ${what}, what has begun of a contract of which a new leader has read nothing yet`, async () => {
      await using apps = await LogApps.open();
      const { cluster, clock, publisher } = apps;
      const [Paid, Refunded] = ["Paid", "Refunded"].map((name) => event<{ n: number }>(name, { durable: true }));
      const bank = { name: "bank", limit: { name: "bank", ...numbers }, timeout: 600_000 } as const;
      const begun: [at: number, node: string][] = [];
      const begin = (_: unknown, ctx: Context) => {
        begun.push([clock.monotonic(), ctx.node]);
        return delay(clock, 40_000);
      };
      const leader = async () =>
        (await clock.until(publisher.subscriptions())).find(({ name }) => name === "bank")?.leader;
      await cluster.start("runner", {
        service: "shop",
        handlers: [Paid, Refunded].map((each) => each.on(begin, bank)),
      });
      // those that handle the other contract alone, of which one leads
      for (const id of ["a", "b", "c", "d"]) {
        await cluster.start(id, { service: "shop", handlers: Paid.on(begin, bank) });
      }
      await apps.until("one of them to lead", async () => (await leader() ?? "runner") !== "runner");
      for (const n of [0, 1]) unwrap(await clock.until(publisher.publish(Refunded, { n })));
      await apps.until("both to run, or the first", () => begun.length === (what === "running" ? 2 : 1));
      const first = (await leader())!;
      apps.kill(first);
      for (const n of [2, 3, 4, 5]) unwrap(await clock.until(publisher.publish(Paid, { n })));
      await apps.until("another one to lead", async () => {
        const next = await leader();
        return next !== undefined && next !== first;
      });
      await clock.advance(what === "running" ? 20_000 : 5_000);
      assertEquals(begun.length, what === "running" ? 2 : 1, JSON.stringify(begun));
      assert(begun.every(([, node]) => node === "runner"));
      await apps.until("the others to begin", () => begun.length > 3, 300_000);
      const times = begun.map(([at]) => at);
      if (what === "per") assertLess(mostWithin(times, 9_500), 2);
    });
  }

  it("is shared by the contracts of a subscription whose limits have one name, and by a queued command's runs", async () => {
    await using apps = await LogApps.open();
    const running = new Running();
    const [Paid, Refunded] = ["Paid", "Refunded"].map((name) => event<{ n: number }>(name, { durable: true }));
    const Mail = command<{ n: number }>("Mail", { durable: true });
    const mails = new Running();
    const bank = { name: "bank", limit: { name: "bank", running: 3 } };
    for (const id of ["a", "b"]) {
      const handlers = [
        ...[Paid, Refunded].map((contract, i) =>
          contract.on(({ n }, ctx) => running.count(ctx.node, 2 * n + i, () => delay(apps.clock, 20)), bank)
        ),
        Mail.handle(async ({ n }, ctx) => void await mails.count(ctx.node, n, () => delay(apps.clock, 20)), {
          limit: { running: 2 },
        }),
      ];
      await apps.cluster.start(id, { service: "shop", handlers });
    }
    for (let n = 0; n < 40; n++) {
      await apps.clock.until(apps.publisher.publish(Paid, { n }));
      await apps.clock.until(apps.publisher.publish(Refunded, { n }));
      await apps.clock.until(apps.publisher.enqueue(Mail, { n }));
    }
    await apps.until("all to be handled", async () => {
      const infos = await apps.clock.until(apps.publisher.subscriptions());
      return infos.every(({ lag, open }) => lag + open === 0);
    }, 60_000);
    assertEquals([running.most, mails.most], [3, 2]);
  });
});

/** The account of an event of these tests, none of which has the key of another one. */
const accountOf = ({ n }: Order) => `account ${n % 3}`;

describe("limit: key", () => {
  it("gives each key its own slots over three nodes, also when the leader and another one are killed", async () => {
    const running = [new Running(), new Running(), new Running()];
    const all = new Running();
    await using apps = await LogApps.open(({ n }, ctx) =>
      all.count(ctx.node, n, () => running[n % 3].count(ctx.node, n, () => delay(apps.clock, 50)))
    );
    const limit = { key: accountOf, running: 5 };
    for (const id of ["a", "b", "c"]) await apps.start(id, { limit });
    await apps.publish(...own(600));
    const victims = [await apps.leader()];
    victims.push(["a", "b", "c"].find((id) => id !== victims[0])!);
    for (const [i, id] of victims.entries()) {
      await apps.until("some to be handled", () => apps.runs.filter(({ ended }) => ended).length > 120 * (i + 1));
      apps.kill(id);
      for (const each of [...running, all]) each.killed(id);
    }
    await apps.until("all to be handled", () => own(600).every(({ n }) => apps.handled(n)), 120_000);
    assertEquals([...running, all].map(({ most }) => most), [5, 5, 5, 15]);
  });

  it("has a key go on within 0.3 s behind 5,000 waiting messages of another one, whatever their own keys", async () => {
    await using apps = await LogApps.open(() => delay(apps.clock, 100));
    await apps.start("a", { limit: { key: ({ n }) => (n < 5_000 ? "A" : "B"), running: 2 } });
    await apps.publish(...own(5_000));
    await apps.publish(...own(2, 5_000));
    await apps.until("those of B to be handled", () => own(2, 5_000).every(({ n }) => apps.handled(n)), 300);
    assert(!apps.handled(4_999));
    apps.kill("a"); // the others would take minutes
  });

  it("has a rate of its own for each key, and its handler pauses its own key alone with retryAfter", async () => {
    const begun: [n: number, at: number][] = [];
    await using apps = await LogApps.open(({ n }) => {
      begun.push([n, apps.clock.monotonic()]);
      return n === 0 && begun.length < 4 ? fail("RATE_LIMITED", "429", { retryAfter: 5_000 }) : undefined;
    });
    const app = await apps.start("a", {
      limit: [{ running: 100 }, { name: "bank", key: accountOf, per: [10, 1_000] }],
    });
    await apps.clock.advance(2_000);
    await apps.publish(...own(30));
    await apps.until("those of two accounts to be handled", () => {
      return own(30).every(({ n }) => n % 3 === 0 || apps.handled(n));
    }, 2_000);
    const [all, bank] = app.health().subscriptions[0].limits!;
    assertEquals([all.name, all.pausedFor, bank.name, bank.waiting], ["Placed/0", undefined, "bank by key", 9]);
    await apps.until("the last ones", () => own(30).every(({ n }) => apps.handled(n)), 10_000);
    for (const account of [0, 1, 2]) {
      const times = begun.flatMap(([n, at]) => n % 3 === account ? [at] : []);
      assertLess(mostWithin(times, 1_000), 12);
      assertEquals(times[1] - times[0] >= 5_000, account === 0);
    }
    assertEquals(await apps.letters(), []);
  });

  it("counts all messages as of one key while a version without the function leads, and by key afterwards", async () => {
    const all = new Running();
    await using apps = await LogApps.open(({ n }, ctx) => all.count(ctx.node, n, () => delay(apps.clock, 20)));
    await apps.start("old", {});
    await apps.clock.advance(1_000);
    await apps.start("new", { limit: { key: accountOf, running: 2 } });
    await apps.clock.advance(1_000);
    await apps.publish(...own(100));
    await apps.until("all to be handled", () => own(100).every(({ n }) => apps.handled(n)), 60_000);
    assert([2, 6].includes(all.most), `${all.most} at once`); // whoever leads
    await apps.clock.until(apps.cluster.apps.get("old")!.drain());
    apps.cluster.apps.delete("old");
    await apps.clock.advance(1_000);
    all.most = 0;
    await apps.publish(...own(100, 100));
    await apps.until("the others to be handled", () => own(100, 100).every(({ n }) => apps.handled(n)), 60_000);
    assertEquals(all.most, 6);
  });

  it("counts a message for which the function throws under one key, says so, and handles it", async () => {
    const all = new Running();
    await using apps = await LogApps.open(({ n }, ctx) => all.count(ctx.node, n, () => delay(apps.clock, 20)));
    const key = ({ n }: Order): string => {
      if (n < 10) throw new RangeError("no account");
      return `${n}`;
    };
    await apps.start("a", { limit: { key, running: 1 } });
    await apps.publish(...own(10));
    await apps.until("all to be handled", () => own(10).every(({ n }) => apps.handled(n)));
    assertEquals(all.most, 1);
    assert(apps.cluster.log.some((line) => line.includes("no account")), apps.cluster.log.join("\n"));
  });
});

describe("limit: over, of messages whose key is not known", () => {
  for (const over of ["skip", "last", "cancel"] as const) {
    it(`handles each of them, as they may have nothing in common, one after the other: ${over}`, async () => {
      const all = new Running();
      await using apps = await LogApps.open(({ n }, ctx) => all.count(ctx.node, n, () => delay(apps.clock, 20)));
      const key = ({ n }: Order): string => {
        if (n < 10) throw new RangeError("no account");
        return "";
      };
      await apps.start("a", { limit: { key, running: 1, over } });
      await apps.publish(...own(14));
      await apps.until("those to be handled", () => own(10).every(({ n }) => apps.handled(n)), 5_000);
      const { skipped = 0 } = await apps.info();
      assertEquals([all.most, skipped > 0], [1, true]); // "" is a key like others
    });
  }
});

describe("limit and fair of onBatch", () => {
  /** A node whose batches are noted, and take a while. */
  const start = (apps: LogApps, id: string, options: object, note: (orders: readonly Order[]) => Promise<unknown>) =>
    apps.cluster.start(id, {
      service: "shop",
      handlers: Placed.onBatch(async (batch) => void await note(batch.map(({ payload }) => payload)), {
        ...{ name: "billing", within: 5 },
        ...options,
      }),
    });

  it("takes of each key at most what is free, over two nodes and the death of the leader", async () => {
    await using apps = await LogApps.open();
    const [running, most, handled] = [new Map<string, Order[]>(), new Map<string, number>(), new Set<number>()];
    let together = 0;
    const noteAt = (id: string) => async (orders: readonly Order[]) => {
      together = Math.max(together, orders.length);
      running.set(id, [...running.get(id) ?? [], ...orders]);
      const all = [...running.values()].flat();
      for (const [account, own] of Map.groupBy(all, accountOf)) {
        most.set(account, Math.max(most.get(account) ?? 0, own.length));
      }
      await delay(apps.clock, 20);
      running.set(id, running.get(id)?.filter((each) => !orders.includes(each)) ?? []);
      if (apps.cluster.apps.has(id)) { for (const { n } of orders) handled.add(n); }
    };
    for (const id of ["a", "b"]) {
      await start(apps, id, { max: 50, limit: { key: accountOf, running: 4 } }, noteAt(id));
    }
    // some follow another one of their key, within a batch or not
    const orders = own(300).map(({ n }) => ({ n, key: `k${n % 60}` }));
    await apps.publish(...orders);
    await apps.until("some to be handled", () => handled.size > 100);
    const leader = await apps.leader();
    apps.kill(leader);
    running.delete(leader);
    await apps.until("all to be handled", () => handled.size === 300, 120_000);
    assertEquals([[...most.values()], together], [[4, 4, 4], 12]);
  });

  it("has the rate count each member, and a limit that is full holds up no batch of others", async () => {
    await using apps = await LogApps.open();
    const times: number[] = [];
    const others = new Set<number>();
    await start(apps, "a", {
      ...{ max: 50 },
      limit: { key: ({ n }: Order) => (n < 1_000 ? "A" : "B"), per: [100, 1_000], burst: 10 },
    }, (orders) => {
      for (const { n } of orders) n < 1_000 ? times.push(apps.clock.monotonic()) : others.add(n);
      return Promise.resolve();
    });
    await apps.clock.advance(1_000);
    await apps.publish(...own(200));
    await apps.publish(...own(10, 1_000));
    await apps.until("those of B to be handled", () => others.size === 10, 300);
    assertLess(times.length, 60);
    await apps.until("all to be handled", () => times.length === 200, 5_000);
    assertLess(mostWithin(times, 1_000), 115);
  });

  it("has a tenant's ten events handled soon, in batches, behind 2,000 of another one, whose handler takes long", async () => {
    await using apps = await LogApps.open();
    const handled = new Map<string, number>();
    const batches: number[] = [];
    await start(apps, "a", {
      ...{ max: 10, concurrency: 1 },
      fair: ({ n }: Order) => (n < 2_000 ? "A" : "B"),
    }, async (orders) => {
      batches.push(orders.length);
      await delay(apps.clock, 50);
      for (const { n } of orders) {
        const tenant = n < 2_000 ? "A" : "B";
        handled.set(tenant, (handled.get(tenant) ?? 0) + 1);
      }
    });
    await apps.publish(...own(2_000));
    await apps.until("some to be handled", () => handled.has("A"));
    await apps.publish(...own(10, 2_000));
    await apps.until("those of B to be handled", () => handled.get("B") === 10, 1_000);
    assertLess(handled.get("A")!, 400);
    assert(batches.slice(1, -1).every((size) => size === 10), batches.join());
    await apps.until("all to be handled", () => handled.get("A") === 2_000, 60_000);
  });

  it("is paused for all its members' keys when a batch fails with RATE_LIMITED and retryAfter", async () => {
    await using apps = await LogApps.open();
    const begun: [at: number, count: number][] = [];
    const handlers = Placed.onBatch((batch) => {
      begun.push([apps.clock.monotonic(), batch.length]);
      if (begun.length === 1) return fail("RATE_LIMITED", "429", { retryAfter: 5_000 });
    }, { name: "billing", within: 5, limit: { running: 100 } });
    await apps.cluster.start("a", { service: "shop", handlers });
    await apps.publish(...own(10));
    await apps.until(
      "all to be handled",
      () => begun.slice(1).reduce((sum, [, count]) => sum + count, 0) === 10,
      60_000,
    );
    assert(begun.slice(1).every(([at]) => at - begun[0][0] >= 5_000), begun.join("; "));
  });
});

describe("a handler that fails with RATE_LIMITED and retryAfter", () => {
  for (const limited of [true, false]) {
    const whom = limited ? "all messages of its limit" : "its message alone, without a limit,";
    it(`has ${whom} wait for so long, on all nodes, and that is no attempt`, async () => {
      const begun: [n: number, at: number, attempt: number][] = [];
      await using apps = await LogApps.open(({ n }, { attempt }) => {
        begun.push([n, apps.clock.monotonic(), attempt]);
        if (begun.length <= 2) return fail("RATE_LIMITED", "the bank says 429", { retryAfter: 7_000 });
      });
      const limit = limited ? { limit: { running: 1 } } : {};
      for (const id of ["a", "b"]) await apps.start(id, { ...limit, retry: { attempts: 1 } });
      await apps.publish(...own(10));
      await apps.until(
        "all to be handled",
        () => own(10).every(({ n }) => apps.handled(n) && begun.length === 12),
        60_000,
      );
      assertEquals(begun.filter(([, , attempt]) => attempt > 1), []);
      const since = begun.map(([, at]) => at - begun[0][1]);
      if (limited) {
        assert(since[1] >= 7_000 && since[2] >= 14_000 && since[11] < 16_000, since.join());
      } else assertEquals([since[9] < 1_000, since[10] >= 7_000], [true, true]);
      assertEquals(await apps.letters(), []);
    });
  }
});

describe("limit: per", () => {
  // docs/log.md, faults of limits, "the leader crashes": per
  it("begins so many in any time, also when the leader is killed, and no burst follows the gap", async () => {
    const times: number[] = [];
    await using apps = await LogApps.open(() => void times.push(apps.clock.monotonic()));
    for (const id of ["a", "b", "c"]) await apps.start(id, { limit: { per: [50, 1_000] } });
    await apps.clock.advance(500);
    await apps.publish(...own(300));
    for (const count of [100, 200]) {
      await apps.until("some to be handled", () => times.length >= count);
      apps.kill(await apps.leader());
    }
    await apps.until("all to be handled", () => own(300).every(({ n }) => apps.handled(n)), 60_000);
    assertLess(mostWithin(times, 1_000), 54);
    assertLess(times.at(-1)! - times[0], 20_000); // and not much slower, but for the changes of the leader
  });

  it("has a burst after a pause, and then evenly", async () => {
    const times: number[] = [];
    await using apps = await LogApps.open(() => void times.push(apps.clock.monotonic()));
    await apps.start("a", { limit: { per: [10, 1_000], burst: 5 } });
    await apps.clock.advance(5_000);
    await apps.publish(...own(25));
    await apps.until("all to be handled", () => times.length === 25);
    assertEquals(times.filter((at) => at - times[0] < 90).length, 5);
    assertLess(mostWithin(times, 1_000), 16);
    assert(times.at(-1)! - times[0] > 1_900, "20 more take 2 s");
  });

  it("is no attempt, and takes no time of the timeout", async () => {
    const attempts: number[] = [];
    await using apps = await LogApps.open((_, { attempt }) => void attempts.push(attempt));
    await apps.start("a", { limit: { per: [1, 1_000] }, timeout: 500 });
    await apps.publish(...own(5));
    await apps.until("all to be handled", () => attempts.length === 5);
    assertEquals(attempts, [1, 1, 1, 1, 1]);
  });
});

describe("limit: key of a large message that waits in the store", () => {
  /** A message of some 1.3 kB: a parked one is in the store alone. */
  const large = (n: number): Order => ({ n, key: `${"x".repeat(600)} ${n}` });

  for (const over of ["wait", "skip"] as const) {
    it(`is known to the next leader, with over: "${over}"`, async () => {
      const running = new Running();
      await using apps = await LogApps.open(({ n }, ctx) =>
        running.count(ctx.node, n, async () => {
          if (n > 0) await delay(apps.clock, 40_000);
        }).then(() => n === 0 && ctx.attempt === 1 ? fail("NO", "no") : undefined)
      );
      const retry = { delay: [30_000, 30_000] } as const;
      const options = { limit: { key: ({ key }: Order) => key[0], running: 1, over }, retry, timeout: 120_000 };
      for (const id of ["a", "b"]) await apps.start(id, options);
      await apps.publish(large(0));
      await apps.until("it to wait in the store", async () => (await apps.info()).retrying === 1);
      apps.kill(await apps.leader());
      await apps.clock.advance(5_000);
      await apps.publish(large(1));
      await apps.until(
        "its second run",
        () => apps.runs.some(({ n, ended, attempt }) => n === 0 && attempt > 1 && ended),
        120_000,
      );
      assertEquals(
        [running.most, apps.count(1), (await apps.info()).skipped],
        over === "skip" ? [1, 0, 1] : [1, 1, undefined],
      );
      assertEquals(apps.cluster.log.filter((line) => line.includes("finding the key")), []);
    });
  }
});

describe("limit: over: skip", () => {
  it("skips what comes while an earlier one of its key is not done, counts it, and goes on with the next", async () => {
    const gate = Promise.withResolvers<void>();
    await using apps = await LogApps.open(({ n }) => n < 2 ? gate.promise : undefined);
    const app = await apps.start("a", { limit: { key: ({ n }) => `${n % 2}`, running: 1, over: "skip" } });
    await apps.publish(...own(20));
    await apps.until("the others to be skipped", () => app.health().subscriptions[0].limits?.[0].skipped === 18);
    assertEquals(apps.runs.map(({ n }) => n).sort(), [0, 1]);
    gate.resolve();
    await apps.until("both to be handled", () => own(2).every(({ n }) => apps.handled(n)));
    await apps.publish(...own(2, 20));
    await apps.until("those that come then to be handled", () => own(2, 20).every(({ n }) => apps.handled(n)));
    assertEquals(apps.runs.length, 4);
    await apps.until("all to be done", async () => {
      const { lag, open, skipped } = await apps.info();
      return lag + open === 0 && skipped === 18;
    });
  });

  it("skips beside a message before its next attempt, not beside a dead letter, and again beside a replayed one", async () => {
    let attempts = 0;
    await using apps = await LogApps.open(({ n }) =>
      n === 0 && attempts++ < 2 ? fail("NO", "no") : delay(apps.clock, 1_000)
    );
    await apps.start("a", {
      limit: { running: 1, over: "skip" },
      retry: { attempts: 2, delay: [20_000, 20_000] },
    });
    const skipped = async (count: number) => (await apps.info()).skipped === count;
    await apps.publish(...own(1));
    await apps.until("the first attempt to fail", () => attempts === 1);
    await apps.publish(...own(1, 1));
    await apps.until("the next to be skipped", () => skipped(1));
    await apps.until("the dead letter", async () => (await apps.letters()).length === 1);
    await apps.publish(...own(1, 2));
    await apps.until("the next to be handled", () => apps.handled(2));
    const [letter] = await apps.letters();
    await apps.clock.until(letter.replay());
    await apps.until("the replay", () => apps.count(0) === 3);
    await apps.publish(...own(1, 3));
    await apps.until("the last to be skipped", () => skipped(2));
    assertEquals([apps.count(1), apps.count(3)], [0, 0]);
  });

  // docs/log.md, one at a time, or not at all, "a node crashes": "skip"
  // docs/log.md, one at a time, or not at all, "the leader crashes": "skip"
  it("never has two of a key at once while the leader and another node are killed, and loses nothing else", async () => {
    const running = [new Running(), new Running(), new Running()];
    await using apps = await LogApps.open(({ n }, ctx) =>
      running[n % 3].count(ctx.node, n, () => delay(apps.clock, 50))
    );
    for (const id of ["a", "b", "c"]) await apps.start(id, { limit: { key: accountOf, running: 1, over: "skip" } });
    const victims = [await apps.leader()];
    victims.push(["a", "b", "c"].find((id) => id !== victims[0])!);
    for (let n = 0; n < 300; n += 3) {
      await apps.publish(...own(3, n));
      await apps.clock.advance(20);
      if (n !== 90 && n !== 210) continue;
      const id = victims.shift()!;
      apps.kill(id);
      for (const each of running) each.killed(id);
    }
    await apps.until("all to be done", async () => {
      const { lag, open, retrying } = await apps.info();
      return lag + open + retrying === 0;
    }, 120_000);
    assertEquals(running.map(({ most }) => most), [1, 1, 1]);
    await apps.publish(...own(3, 300));
    await apps.until("each account to go on", () => own(3, 300).every(({ n }) => apps.handled(n)));
    const { skipped = 0 } = await apps.info();
    const handled = own(303).filter(({ n }) => apps.handled(n)).length;
    // a leader that dies has skipped some that no commit counts
    assert(handled > 30 && skipped > 100 && handled + skipped <= 303, `${handled} handled, ${skipped} skipped`);
  });

  it("has a cron whose job still runs begin no second one", async () => {
    await using cluster = new MemoryCluster();
    const Sweep = command("Sweep", { durable: true, timeout: 3_600_000 });
    let [begun, running, most] = [0, 0, 0];
    const gate = Promise.withResolvers<void>();
    const handlers = Sweep.handle(async () => {
      begun++;
      most = Math.max(most, ++running);
      if (begun === 1) await gate.promise;
      running--;
    }, { limit: { running: 1, over: "skip" } });
    const app = await cluster.start("a", { handlers });
    unwrap(await cluster.clock.until(app.enqueue(Sweep, undefined, { id: "sweep", cron: "0 * * * * *" })));
    const until = async (what: string, holds: () => Promise<boolean> | boolean) => {
      for (let i = 0; !await holds(); i++) {
        if (i > 1_000) throw new Error(`${what}: not in time\n${cluster.log.join("\n")}`);
        await cluster.clock.advance(1_000);
      }
    };
    await until("three to be skipped", async () => (await cluster.clock.until(app.subscriptions()))[0].skipped === 3);
    assertEquals(begun, 1);
    gate.resolve();
    await until("the next one to begin", () => begun >= 2);
    assertEquals(most, 1);
  });
});

describe("limit: over: last", () => {
  it("has only the newest of a key wait, and begin when the one that runs has ended", async () => {
    const gate = Promise.withResolvers<void>();
    await using apps = await LogApps.open(({ n }) => n < 2 ? gate.promise : undefined);
    await apps.start("a", { limit: { key: ({ n }) => `${n % 2}`, running: 1, over: "last" } });
    await apps.publish(...own(2));
    await apps.until("two to run", () => apps.runs.length === 2);
    await apps.publish(...own(18, 2));
    await apps.until("the others to be skipped", async () => (await apps.info()).skipped === 16);
    gate.resolve();
    await apps.until("the newest to be handled", () => own(2, 18).every(({ n }) => apps.handled(n)));
    assertEquals(apps.runs.map(({ n }) => n).sort((a, b) => a - b), [0, 1, 18, 19]);
    await apps.until("all to be done", async () => {
      const { lag, open, retrying } = await apps.info();
      return lag + open + retrying === 0;
    });
  });

  it("begins one in each time, of which the last is the newest", async () => {
    const begun: [n: number, at: number][] = [];
    await using apps = await LogApps.open(({ n }) => void begun.push([n, apps.clock.monotonic()]));
    await apps.start("a", { limit: { key: () => "all", per: [1, 500], over: "last" } });
    await apps.clock.advance(2_000);
    for (let n = 0; n < 100; n++) {
      await apps.publish(...own(1, n));
      await apps.clock.advance(20);
    }
    await apps.until("the newest to be handled", () => apps.handled(99), 1_000);
    assert(begun.length >= 4 && begun.length <= 7, `${begun.length} runs`);
    begun.forEach(([, at], i) => assert(i === 0 || at - begun[i - 1][1] >= 480, JSON.stringify(begun)));
  });

  it("takes the place of one before its next attempt, which is skipped, but of no dead letter", async () => {
    await using apps = await LogApps.open(({ n }) => n < 2 ? fail("NO", "no", { final: n === 0 }) : undefined);
    await apps.start("a", { limit: { running: 1, over: "last" }, retry: { delay: [20_000, 20_000] } });
    await apps.publish(...own(1));
    await apps.until("the dead letter", async () => (await apps.letters()).length === 1);
    await apps.publish(...own(1, 1));
    await apps.until("a failure", () => apps.runs.some(({ n, ended }) => n === 1 && ended));
    await apps.clock.advance(1_000);
    await apps.publish(...own(1, 2));
    await apps.until("the newest to be handled", () => apps.handled(2), 5_000);
    await apps.clock.advance(60_000);
    const { skipped, retrying, dead } = await apps.info();
    assertEquals([apps.count(1), skipped, retrying, dead], [1, 1, 0, 1]);
  });

  it("keeps the place in line of what it takes the place of: a key of which many come is not put off for ever", async () => {
    await using apps = await LogApps.open(() => delay(apps.clock, 10));
    await apps.start("a", { limit: [{ running: 1 }, { key: ({ key }) => key, running: 1, over: "last" }] });
    await apps.publish(...own(50));
    for (let n = 0; n < 200; n++) {
      await apps.publish({ n: 1_000 + n, key: "hot" }, { n: 2_000 + n, key: `more ${n}` });
      await apps.clock.advance(5);
      if (apps.runs.some(({ key }) => key === "hot")) break;
    }
    const at = apps.runs.findIndex(({ key }) => key === "hot");
    assert(at >= 0 && at < 60, `${at} of ${apps.runs.length} before it`);
    apps.kill("a"); // the others take a while
  });

  // docs/log.md, one at a time, or not at all, "a node crashes": "last"
  // docs/log.md, one at a time, or not at all, "the leader crashes": "last"
  it("never has two of a key at once, and the newest of each handled, while leaders are killed", async () => {
    const running = [new Running(), new Running(), new Running()];
    await using apps = await LogApps.open(({ n }, ctx) =>
      running[n % 3].count(ctx.node, n, () => delay(apps.clock, 50))
    );
    for (const id of ["a", "b", "c"]) await apps.start(id, { limit: { key: accountOf, running: 1, over: "last" } });
    await publishWhileLeadersDie(apps, running);
    await apps.until("the newest to be handled", () => own(3, 297).every(({ n }) => apps.handled(n)), 120_000);
    assertEquals(running.map(({ most }) => most), [1, 1, 1]);
  });
});

/** Resolves when the run is aborted, `ms` later, with the reason: nothing else ends it. */
function aborted({ signal }: Pick<Context, "signal">, after: () => Promise<unknown>): Promise<unknown> {
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => void after().then(() => resolve(signal.reason)), { once: true });
  });
}

describe("limit: over: cancel", () => {
  const limit = { key: accountOf, running: 1, over: "cancel" } as const;

  it("aborts what runs for the newest of its key, which begins when that has ended, and is no attempt", async () => {
    const running = new Running();
    const reasons: unknown[] = [];
    await using apps = await LogApps.open(({ n }, ctx) =>
      running.count(ctx.node, n, async () => {
        if (n === 6) return;
        reasons.push(await aborted(ctx, () => delay(apps.clock, 1_000)));
      }).then(() => {
        if (n < 6) ctx.signal.throwIfAborted();
      })
    );
    const app = await apps.start("a", { limit, retry: { delay: [1, 1] } });
    await apps.publish({ n: 0, key: "k0" });
    await apps.until("the first to run", () => apps.runs.length === 1);
    await apps.publish({ n: 3, key: "k3" });
    await apps.until("the next to run", () => apps.runs.length === 2);
    await apps.publish({ n: 6, key: "k6" });
    await apps.until("the newest to be handled", () => apps.handled(6));
    await apps.clock.advance(5_000);
    assertEquals(apps.runs.map(({ n, attempt }) => [n, attempt]), [[0, 1], [3, 1], [6, 1]]);
    assertEquals(running.most, 1);
    assertEquals(
      reasons.map((reason) => reason instanceof CatgaError && [reason.code, reason.message.replace(/of [^ ]+$/, "")]),
      Array(2).fill(["CANCELLED", "a later event Placed of its key takes the place "]),
    );
    const { skipped, retrying, dead, open, lag } = await apps.info();
    assertEquals([skipped, retrying, dead, open, lag], [2, 0, 0, 0, 0]);
    const { alarms, subscriptions: [{ lastFailure }] } = app.health();
    assertEquals([alarms, lastFailure], [[], undefined]);
  });

  it("is handled, not skipped, if its handler returns in spite of it; others of other keys go on", async () => {
    await using apps = await LogApps.open((_, ctx) => aborted(ctx, () => delay(apps.clock, 10)));
    const app = await apps.start("a", { limit });
    await apps.publish(...own(3));
    await apps.until("three to run", () => apps.runs.length === 3);
    await apps.publish(...own(1, 3));
    await apps.until("the first to be handled", () => apps.handled(0));
    await apps.until("the newest to run", () => apps.count(3) === 1);
    const [{ limits, open }] = app.health().subscriptions;
    assertEquals([limits?.[0].skipped, open, apps.handled(1), apps.handled(2)], [0, 3, false, false]);
    apps.kill("a");
  });

  it("skips those between, and waits for a handler that does not heed its signal, also past its timeout", async () => {
    const running = new Running();
    await using apps = await LogApps.open(({ n }, ctx) =>
      running.count(ctx.node, n, () => delay(apps.clock, n === 0 ? 60_000 : 1))
        .then(() => n === 0 ? fail("NO", "no") : undefined)
    );
    for (const id of ["a", "b"]) await apps.start(id, { limit: { running: 1, over: "cancel" }, timeout: 5_000 });
    await apps.publish(...own(1));
    await apps.until("it to run", () => apps.runs.length === 1);
    await apps.publish(...own(9, 1));
    await apps.clock.advance(30_000);
    assertEquals(apps.runs.length, 1);
    await apps.until("the newest to be handled", () => apps.handled(9), 60_000);
    await apps.until("all to be done", async () => (await apps.info()).skipped === 9);
    assertEquals([apps.runs.length, running.most, (await apps.letters()).length], [2, 1, 0]);
  });

  it("has a run aborted at a node that its leader does not outlive, also by the next one, and never two", async () => {
    const running = [new Running(), new Running(), new Running()];
    await using apps = await LogApps.open(({ n }, ctx) =>
      running[n % 3].count(ctx.node, n, async () => {
        if (n < 300) await aborted(ctx, () => delay(apps.clock, 30));
      }).then(() => ctx.signal.throwIfAborted())
    );
    for (const id of ["a", "b", "c"]) await apps.start(id, { limit, retry: { attempts: 2, delay: [1, 1] } });
    await publishWhileLeadersDie(apps, running);
    await apps.publish(...own(3, 300));
    await apps.until("the newest to be handled", () => own(3, 300).every(({ n }) => apps.handled(n)), 120_000);
    await apps.until("all to be done", async () => {
      const { lag, open, retrying } = await apps.info();
      return lag + open + retrying === 0;
    });
    assertEquals([running.map(({ most }) => most), await apps.letters()], [[1, 1, 1], []]);
  });

  it("is of queued commands, too", async () => {
    await using cluster = new MemoryCluster();
    const Build = command<{ branch: string; commit: number }>("Build", { durable: true, timeout: 3_600_000 });
    const ended: [commit: number, aborted: boolean][] = [];
    const handlers = Build.handle(async ({ commit }, ctx) => {
      if (commit < 3) await aborted(ctx, () => Promise.resolve());
      ended.push([commit, ctx.signal.aborted]);
      ctx.signal.throwIfAborted();
    }, { limit: { key: ({ branch }) => branch, running: 1, over: "cancel" } });
    const app = await cluster.start("a", { handlers });
    for (let commit = 1; commit <= 3; commit++) {
      unwrap(await cluster.clock.until(app.enqueue(Build, { branch: "main", commit })));
      await cluster.clock.advance(1_000);
    }
    assertEquals(ended, [[1, true], [2, true], [3, false]]);
    const [{ skipped, dead, retrying }] = await cluster.clock.until(app.subscriptions());
    assertEquals([skipped, dead, retrying], [2, 0, 0]);
  });
});
