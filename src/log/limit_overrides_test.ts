/**
 * Tests of what operators set of limits (`catga limits`): pauses of a limit and of a key, and numbers, over whole apps
 * in memory, on virtual time; with deaths and deploys.
 */
import { assert, assertEquals, assertGreater, assertLess, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { command } from "../../mod.ts";
import { LogApps, type Order } from "../../test/support/log_apps.ts";
import { delay } from "../ports/clock.ts";
import { Administration } from "./administration/administration.ts";
import { clearedLimit, pausedLimit, resumedLimit, withLimit } from "./administration/limits.ts";
import { overridesSubject, subscriptionKey } from "./format/names.ts";
import type { Overrides } from "./format/overrides.ts";
import { type StreamKind, streamName } from "./format/stream_name.ts";
import { streamOptions } from "./format/streams.ts";

const BANK = { service: "shop", subscription: "billing", limit: "bank" };
const own = (count: number, from = 0): readonly Order[] =>
  Array.from({ length: count }, (_, i) => ({ n: from + i, key: `k${from + i}` }));
const account = ({ n }: Order) => `account ${n % 3}`;

/** The operators' view, from a process that is no node. */
function administrationOf({ cluster, publisher }: LogApps): Administration {
  const { log } = cluster.network.connect();
  const open = (kind: StreamKind) => log.open(streamName("default", kind), streamOptions("default", kind, 1));
  return new Administration({
    ...{ namespace: "default", clock: cluster.clock, network: { maxPayload: 1_048_576 } },
    stream: () => open("log"),
    kept: () => open("subscriptions"),
    nodes: () => publisher.nodes(),
  });
}

/** By key: the number of handlers that run now, and the most that have run at once. */
class Running {
  readonly now = new Map<string, number>();
  readonly most = new Map<string, number>();

  async count(key: string, run: () => Promise<unknown>): Promise<void> {
    const now = (this.now.get(key) ?? 0) + 1;
    this.now.set(key, now);
    this.most.set(key, Math.max(this.most.get(key) ?? 0, now));
    await run();
    this.now.set(key, this.now.get(key)! - 1);
  }
}

describe("what operators set of a limit", () => {
  it("numbers count in place of the program's, over a death and deploys, until they are cleared", async () => {
    const running = new Running();
    await using apps = await LogApps.open(() => running.count("all", () => delay(apps.clock, 50)));
    const limit = { name: "bank", running: 5 };
    for (const id of ["a", "b"]) await apps.start(id, { limit });
    const operator = administrationOf(apps);
    await apps.publish(...own(30));
    await apps.until("five to run", () => running.most.get("all") === 5);
    await apps.clock.until(operator.setLimit(BANK, { running: 2 }));
    await apps.clock.advance(1_000);
    running.most.clear();
    await apps.publish(...own(60, 30));
    await apps.until("more to be handled", () => own(60).every(({ n }) => apps.handled(n)));
    apps.kill(await apps.leader());
    await apps.start("c", { limit: { name: "bank", running: 9 } });
    await apps.start("d", { limit: { name: "bank", running: 9 } });
    await apps.until("all to be handled", () => own(90).every(({ n }) => apps.handled(n)), 60_000);
    assertLess(running.most.get("all")!, 5); // what died ran, too, by this count
    const [info] = await apps.clock.until(operator.limits());
    assertEquals([info.limit, info.program?.running, info.override?.set?.running], ["bank", 5, 2]);
    assertEquals((await apps.info()).overrides?.[0].set?.running, 2);
    for (const [id, app] of apps.cluster.apps) {
      if (id === "a" || id === "b") await apps.clock.until(app.drain());
    }
    running.now.clear();
    running.most.clear();
    await apps.clock.advance(20_000);
    await apps.publish(...own(30, 90));
    await apps.until("the next to be handled", () => own(30, 90).every(({ n }) => apps.handled(n)), 60_000);
    assertEquals(running.most.get("all"), 2);
    await apps.clock.until(operator.clearLimit(BANK));
    await apps.clock.advance(1_000);
    running.most.clear();
    await apps.publish(...own(60, 120));
    await apps.until("the last to be handled", () => own(60, 120).every(({ n }) => apps.handled(n)), 60_000);
    assertEquals([running.most.get("all"), (await apps.info()).overrides], [9, undefined]);
  });

  it("a pause of one key lets the others go on, over a death, until it is resumed; and is shown with what waits", async () => {
    await using apps = await LogApps.open(() => delay(apps.clock, 20));
    const limit = { name: "bank", key: account, running: 2 };
    for (const id of ["a", "b"]) await apps.start(id, { limit });
    const operator = administrationOf(apps);
    await apps.publish(...own(3));
    await apps.until("the first to be handled", () => own(3).every(({ n }) => apps.handled(n)));
    await apps.clock.until(operator.pauseLimit(BANK, { key: "account 1", reason: "their disk is full" }));
    await apps.clock.advance(500);
    await apps.publish(...own(60, 3));
    const others = () => own(60, 3).every(({ n }) => n % 3 === 1 || apps.handled(n));
    await apps.until("the others to be handled", others);
    apps.kill(await apps.leader());
    await apps.publish(...own(30, 63));
    await apps.until("the next ones", () => own(30, 63).every(({ n }) => n % 3 === 1 || apps.handled(n)), 60_000);
    assertEquals(apps.runs.filter(({ n }) => n > 3 && n % 3 === 1), []);
    const leader = apps.cluster.apps.get(await apps.leader())!;
    const [health] = leader.health().subscriptions;
    assertEquals(health.limits, [
      {
        ...{ name: "bank by key", running: 0, waiting: 30, keys: 1 },
        waits: [{ key: "account 1", running: 0, waiting: 30 }],
      },
    ]);
    assertEquals(health.overrides?.[0].keys?.[0].key, "account 1");
    const alarm = leader.health().alarms.find(({ kind }) => kind === "paused")!;
    assertEquals([alarm.about, alarm.count, alarm.severity], ["shop/billing bank", 30, "warning"]);
    assertEquals(
      alarm.message,
      'An operator has paused the limit bank of shop/billing for the key "account 1": their disk is full. ' +
        "30 messages wait for it.",
    );
    await apps.clock.until(operator.resumeLimit(BANK, "account 1"));
    await apps.until("all to be handled", () => own(93).every(({ n }) => apps.handled(n)));
    for (const { n } of own(93).filter(({ n }) => n % 3 === 1)) assertEquals(apps.count(n), 1);
  });

  it("a pause of the whole limit lets what runs end, ends by itself after `for`, and holds no other limit", async () => {
    await using apps = await LogApps.open(() => delay(apps.clock, 50));
    await apps.start("a", { limit: [{ name: "bank", running: 2 }, { name: "mails", per: [1_000, 1_000] }] });
    const operator = administrationOf(apps);
    await apps.publish(...own(40));
    await apps.until("some to run", () => apps.runs.length >= 4);
    await apps.clock.until(operator.pauseLimit(BANK, { for: 60_000 }));
    await apps.clock.advance(1_000);
    const begun = apps.runs.length;
    assertLess(begun, 10);
    assert(apps.runs.every(({ ended }) => ended));
    await apps.clock.advance(50_000);
    assertEquals(apps.runs.length, begun);
    await apps.clock.advance(15_000);
    assertGreater(apps.runs.length, begun);
    await apps.until("all to be handled", () => own(40).every(({ n }) => apps.handled(n)));
    assertEquals((await apps.info()).overrides, undefined);
  });

  it("a rate that is set counts at once, a faster and a slower one", async () => {
    const times: number[] = [];
    await using apps = await LogApps.open(() => void times.push(apps.clock.monotonic()));
    await apps.start("a", { limit: { name: "bank", per: [1, 60_000] } });
    const operator = administrationOf(apps);
    await apps.publish(...own(200));
    await apps.until("the first to be handled", () => times.length > 0, 20_000);
    await apps.clock.until(operator.setLimit(BANK, { per: [100, 1_000] }));
    await apps.until("a hundred", () => times.length >= 100, 5_000);
    await apps.clock.until(operator.setLimit(BANK, { per: [1, 1_000] }));
    await apps.clock.advance(1_000);
    const begun = times.length;
    await apps.clock.advance(10_000);
    assert(times.length - begun >= 9 && times.length - begun <= 11, `${times.length - begun} in 10 s`);
    await apps.clock.until(operator.setLimit(BANK, { per: [1_000, 1_000] }));
    await apps.until("all to be handled", () => times.length === 200);
  });

  it("at any moment of a load with deaths: no override is lost or doubled, and none lets more run", {
    timeout: 120_000,
  }, async () => {
    for (let seed = 1; seed <= 4; seed++) {
      const running = new Running();
      await using apps = await LogApps.open((order) =>
        running.count(account(order), () => delay(apps.clock, 5 + seed))
      );
      const limit = { name: "bank", key: account, running: 2 };
      for (const id of ["a", "b", "c"]) await apps.start(id, { limit });
      const operators = [administrationOf(apps), administrationOf(apps)];
      let random = seed;
      const next = (most: number) => (random = random * 48_271 % 2_147_483_647) % most;
      for (let step = 0; step < 10; step++) {
        await apps.publish(...own(12, step * 12));
        await apps.clock.advance(next(60));
        const key = `account ${step % 3}`;
        // two operators at once
        await apps.clock.until(Promise.all([
          operators[0].pauseLimit(BANK, { key }),
          operators[1].setLimit(BANK, { running: 1 + step % 2 }),
        ]));
        const [info] = await apps.clock.until(operators[0].limits());
        const { keys = [], set } = info.override!;
        assertEquals([keys.map(({ key }) => key), set?.running], [[key], 1 + step % 2], `${seed} ${step}`);
        if (seed % 2 === 0 && step % 4 === next(4)) {
          const leader = await apps.leader();
          apps.kill(leader);
          await apps.start(`${leader}${step}`, { limit });
        }
        await apps.clock.advance(next(200));
        await apps.clock.until(operators[1].resumeLimit(BANK, key));
      }
      await apps.clock.until(operators[0].clearLimit(BANK));
      await apps.until(`all to be handled, seed ${seed}`, () => own(120).every(({ n }) => apps.handled(n)), 120_000);
      if (seed % 2 === 1) {
        assertEquals([...running.most.values()].every((most) => most <= 2), true, `${seed}`);
        for (const { n } of own(120)) assertEquals(apps.count(n), 1);
      }
      assertEquals((await apps.info()).overrides, undefined);
    }
  });

  it("what does not exist, or is invalid, is refused", async () => {
    await using apps = await LogApps.open();
    await apps.start("a", { limit: [{ name: "bank", running: 1 }, { key: account, running: 1 }] });
    const operator = administrationOf(apps);
    const rejects = (change: () => Promise<void>, of: typeof TypeError | typeof RangeError, text: string) =>
      assertRejects(() => apps.clock.until(change()), of, text);
    const all = await apps.clock.until(operator.limits());
    assertEquals(all.map(({ limit, isByKey }) => [limit, isByKey]), [["Placed/1", true], ["bank", false]]);
    await rejects(() => operator.setLimit({ ...BANK, subscription: "x" }, { running: 1 }), TypeError, "shop/x");
    await rejects(
      () => operator.setLimit({ ...BANK, limit: "x" }, { running: 1 }),
      TypeError,
      "shop/billing has no limit x at a live node; it has Placed/1, bank",
    );
    await rejects(() => operator.pauseLimit(BANK, { key: "a" }), TypeError, "has no keys");
    await rejects(() => operator.pauseLimit(BANK, { for: 0 }), RangeError, "for");
    await rejects(() => operator.pauseLimit(BANK, { key: "x".repeat(1_025) }), RangeError, "1024");
    await rejects(() => operator.setLimit(BANK, {}), TypeError, "give running, per or burst");
    await rejects(() => operator.setLimit(BANK, { running: 0 }), RangeError, "running");
    await rejects(() => operator.setLimit(BANK, { per: [1, 0] }), RangeError, "ms");
    await rejects(() => operator.setLimit(BANK, { burst: 1.5 }), RangeError, "burst");
    // cast: an unknown number, as a program without types may give
    await rejects(() => operator.setLimit(BANK, { runs: 1 } as never), TypeError, "runs");
  });

  it("that somebody forges counts as nothing or as what it says; all goes on once it is cleared", async () => {
    await using apps = await LogApps.open();
    const app = await apps.start("a", { limit: { ...{ name: "bank", key: account }, running: 2, over: "last" } });
    const operator = administrationOf(apps);
    await apps.publish(...own(3));
    await apps.until("the first to be handled", () => own(3).every(({ n }) => apps.handled(n)));
    const { log } = apps.cluster.network.connect();
    const kept = await apps.clock.until(
      log.open(streamName("default", "subscriptions"), streamOptions("default", "subscriptions", 1)),
    );
    const subject = overridesSubject("default", subscriptionKey("shop", "billing"));
    const set = (numbers: string) => `{"v":1,"limits":[{"limit":"bank","set":{"since":1,${numbers}}}]}`;
    const most = Number.MAX_SAFE_INTEGER;
    const nothing = [
      ...["null", "-1", "0", "1.5", "1e300", '"3"', "[]"].map((value) => set(`"running":${value}`)),
      ...["null", "[1]", "[0,1]", "[1,-1]", "[1,1e300]", "[1,2,3]"].map((value) => set(`"per":${value}`)),
      ...["null", "0", "{}"].map((value) => set(`"burst":${value}`)),
      ...['{"v":1,"limits":[{"limit":"bank","paused":null}]}', '{"v":1,"limits":[null]}', "[", ""],
      '{"v":1,"limits":[{"limit":"__proto__","paused":{"since":1}},{"limit":"","keys":[{"key":"","since":1e300}]}]}',
    ];
    const something = [
      ...[set(`"running":${most}`), set(`"per":[${most},1],"burst":${most}`), set(`"per":[1,${most}]`)],
      ...[set(`"per":[1,${most}],"burst":${most}`), '{"v":1,"limits":[{"limit":"bank","paused":{"since":1e300}}]}'],
      '{"v":1,"limits":[{"limit":"bank","keys":[{"key":"account 1","since":1,"until":1e300,"reason":"\\u0000"}]}]}',
    ];
    for (const [i, text] of [...nothing, ...something].entries()) {
      const stored = await apps.clock.until(kept.append(subject, text, { timeout: 1_000 }));
      assertEquals(stored.type, "stored");
      await apps.clock.advance(1_000);
      const orders = own(3, 3 * (i + 1));
      await apps.publish(...orders);
      await apps.clock.advance(1_000);
      await apps.info();
      await apps.clock.until(operator.limits());
      app.health();
      if (i >= nothing.length) await apps.clock.until(operator.clearLimit(BANK));
      await apps.until(`all to be handled beside ${text}`, () => orders.every(({ n }) => apps.handled(n)), 20_000);
    }
  });

  it("is what a program says by app.limit: pause, resume, set and clear, of a queued command's, too", async () => {
    await using apps = await LogApps.open();
    const app = await apps.start("a", { limit: { name: "bank", key: account, running: 2 } });
    const { limit } = app; // a program may take it out
    const bank = limit("billing", "bank");
    await apps.publish(...own(1));
    await apps.until("the first to be handled", () => apps.handled(0));
    await apps.clock.until(bank.pause({ key: "account 1", reason: "they move" }));
    await apps.clock.until(bank.set({ running: 1 }));
    await apps.publish(...own(5, 1));
    await apps.until("the others to be handled", () => [2, 3, 5].every((n) => apps.handled(n)));
    const [{ set, keys }] = (await apps.info()).overrides!;
    assertEquals([set?.running, keys?.[0].key, keys?.[0].reason], [1, "account 1", "they move"]);
    assertEquals(apps.handled(1), false);
    await apps.clock.until(bank.resume({ key: "account 1" }));
    await apps.until("all to be handled", () => own(6).every(({ n }) => apps.handled(n)));
    await apps.clock.until(bank.clear());
    assertEquals((await apps.info()).overrides, undefined);
    for (
      const [changed, text] of [
        [() => limit("billing", "banks").clear(), "shop/billing has no limit banks at a live node; it has bank"],
        [() => limit("bills", "bank").clear(), "there is no subscription shop/bills"],
        [() => bank.set({}), "limit: give running, per or burst"],
        [() => bank.set({ running: 0 }), "limit: running"],
        [() => bank.pause({ for: 0 }), "pause: for"],
        [() => bank.resume({ keys: "a" } as never), "resume: unknown option keys; it takes key"],
      ] as const
    ) await assertRejects(async () => await apps.clock.until(changed()), Error, text);
    const Pay = command<void>("Pay", { durable: true });
    const handlers = Pay.handle(() => {}, { limit: { running: 5 } });
    const payer = await apps.cluster.start("payer", { service: "bank", handlers });
    await apps.clock.until(payer.enqueue(Pay));
    await apps.clock.until(payer.limit("Pay", "Pay/0").pause());
    const infos = await apps.clock.until(app.subscriptions());
    assert(infos.find(({ name }) => name === "Pay")?.overrides?.[0].paused !== undefined);
  });

  it("holds beside what is invalid of another limit, which raises an alarm until it is cleared", async () => {
    await using apps = await LogApps.open();
    const app = await apps.start("a", { limit: [{ name: "bank", running: 2 }, { name: "mail", running: 2 }] });
    const operator = administrationOf(apps);
    const { log } = apps.cluster.network.connect();
    const kept = await apps.clock.until(
      log.open(streamName("default", "subscriptions"), streamOptions("default", "subscriptions", 1)),
    );
    const subject = overridesSubject("default", subscriptionKey("shop", "billing"));
    await apps.publish(...own(1));
    await apps.until("the first to be handled", () => apps.handled(0));
    const limits = [{ limit: "mail", weights: { acme: 3 } }, { limit: "bank", paused: { since: 1 } }];
    await apps.clock.until(kept.append(subject, JSON.stringify({ v: 1, limits }), { timeout: 1_000 }));
    const alarms = () => app.health().alarms.filter(({ kind }) => kind === "limit-invalid");
    await apps.until("the alarm", () => alarms().length === 1);
    assertEquals(alarms()[0].about, "shop/billing mail");
    await apps.publish(...own(5, 1));
    await apps.clock.advance(5_000);
    assertEquals(apps.runs.length, 1); // the pause of the other limit holds
    await apps.clock.until(operator.resumeLimit(BANK));
    await apps.until("all to be handled", () => own(6).every(({ n }) => apps.handled(n)));
    assertEquals(alarms().length, 1); // the tool has kept what it could not read
    await apps.clock.until(operator.clearLimit({ ...BANK, limit: "mail" }));
    await apps.until("the end of the alarm", () => alarms().length === 0);
  });

  it("takes so many keys as a message holds, and forgets those whose pause is over", () => {
    let set: Overrides = { paused: { since: 1 } };
    const pause = (key: string, lasts?: number) =>
      set = withLimit(set, "bank", pausedLimit({ key: key.padEnd(1_000, "x"), for: lasts }), 1_000);
    for (let n = 0; n < 200; n++) pause(`${n}`, 3_600_000);
    assertThrows(
      () => {
        for (let n = 200; n < 300; n++) pause(`${n}`);
      },
      RangeError,
      "resume some, or pause the limit",
    );
    const later = withLimit(set, "mails", pausedLimit({ reason: "r" }), 3_700_000);
    assertLess(later.limits![0].keys!.length, 100);
    assertEquals(withLimit(later, "bank", clearedLimit, 3_700_000), {
      paused: { since: 1 },
      limits: [{ limit: "mails", paused: { since: 3_700_000, reason: "r" } }],
    });
    assertEquals(withLimit({ limits: [{ limit: "a", paused: { since: 1 } }] }, "a", resumedLimit(), 1), {});
  });
});
