import { assert, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { CatgaError, command, event, fail, unwrap } from "../../mod.ts";
import type { LogFields } from "../contract/nodes/observer.ts";
import { testCluster } from "./mod.ts";

const MINUTE = 60_000;
const DAY = 86_400_000;
const Booked = event<{ room: string; guest: number }>("Booked", { durable: true, key: ({ room }) => room });
const Pay = command<{ guest: number }>("Pay");
const logger = { debug() {}, info() {}, warn() {}, error() {} };
const retry = { attempts: 3, delay: [100, MINUTE] } as const;

describe("a subscription whose handler calls something that is out of reach", () => {
  it("waits for a bank that is away for 8 minutes: no dead letter, all is handled after it, in the order of each key", async () => {
    const paid: number[] = [];
    const seen: LogFields[] = [];
    const note = (_: string, fields: LogFields) => void seen.push(fields);
    const bank = Pay.handle(({ guest }) => void paid.push(guest));
    await using cluster = await testCluster(["x"], { logger });
    const bill = Booked.on(async ({ guest }, ctx) => void unwrap(await ctx.send(Pay, { guest })), {
      name: "bills",
      retry,
    });
    const told = { debug() {}, info: note, warn: note, error: note };
    const shop = await cluster.start("a", { handlers: bill, service: "shop", logger: told });
    for (let guest = 0; guest < 50; guest++) unwrap(await shop.publish(Booked, { room: `${guest % 5}`, guest }));
    await cluster.advance(8 * MINUTE);
    const [info] = await shop.subscriptions();
    assertEquals([info.dead, paid.length], [0, 0]);
    const [{ outage }] = shop.health().subscriptions;
    assertEquals([outage?.contract, outage?.code], ["Booked", "NO_HANDLER"]);
    const states = (state: string) => seen.filter((each) => each.type === "subscription" && each.state === state);
    const [waits, ...more] = states("waiting");
    assertEquals(more.length, 0);
    assertMatch(`${waits.reason}`, /^Booked failed \(NO_HANDLER: .*\); attempts do not count meanwhile$/);

    await cluster.start("bank", { handlers: bank, service: "bank" });
    await cluster.handled(3 * MINUTE);
    assertEquals(paid.length, 50);
    for (let room = 0; room < 5; room++) {
      const own = paid.filter((guest) => guest % 5 === room);
      assertEquals(own, own.toSorted((a, b) => a - b));
    }
    assertEquals(states("going on").length, 1);
    assertEquals(shop.health().subscriptions[0].outage, undefined);
  });

  it("is told once, when one message alone waits", async () => {
    const seen: string[] = [];
    const note = (_: string, fields: LogFields) => {
      if (fields.type === "subscription") seen.push(`${fields.state}`);
    };
    const bill = Booked.on(async ({ guest }, ctx) => void unwrap(await ctx.send(Pay, { guest })), {
      name: "bills",
      retry,
    });
    await using cluster = await testCluster(1, {
      handlers: bill,
      logger: { debug() {}, info: note, warn: note, error: note },
    });
    unwrap(await cluster.apps[0].publish(Booked, { room: "7", guest: 1 }));
    await cluster.advance(8 * MINUTE);
    assertEquals(seen.filter((state) => state === "waiting" || state === "going on"), ["waiting"]);
  });

  it("counts each failure with outage: 0, and what the handler returns or makes with fail", async () => {
    const handlers = [
      Booked.on(async (_, ctx) => void unwrap(await ctx.send(Pay, { guest: 1 })), {
        name: "none",
        retry: { ...retry, outage: 0 },
      }),
      Booked.on(async (_, ctx) => await ctx.send(Pay, { guest: 1 }), { name: "returned", retry }),
      Booked.on(() => {
        throw fail("UNAVAILABLE", "says the handler");
      }, { name: "own", retry }),
      Booked.on(() => Promise.reject(new CatgaError("OUTCOME_UNKNOWN", "paid?")), { name: "unknown", retry }),
    ];
    await using cluster = await testCluster(1, { handlers, service: "shop", logger });
    const [app] = cluster.apps;
    unwrap(await app.publish(Booked, { room: "7", guest: 1 }));
    await cluster.advance(5 * MINUTE);
    const dead = (await app.subscriptions()).map(({ name, dead }) => [name, dead]).toSorted();
    assertEquals(dead, [["none", 1], ["own", 1], ["returned", 1], ["unknown", 1]]);
  });

  it("does not take the time limit of its own run for an outage", async () => {
    const handlers = Booked.on(async (_, ctx) => {
      await ctx.clock.sleep(DAY);
    }, { name: "slow", timeout: 1_000, retry: { attempts: 2, delay: [100, 100] } });
    await using cluster = await testCluster(1, { handlers, service: "shop", logger });
    const [app] = cluster.apps;
    unwrap(await app.publish(Booked, { room: "7", guest: 1 }));
    await cluster.advance(MINUTE);
    assertEquals((await app.subscriptions())[0].dead, 1);
  });

  it("counts attempts once its outage is over; a change of leaders does not begin it anew", async () => {
    const runs: number[] = [];
    const handlers = Booked.on((_, ctx) => {
      runs.push(ctx.attempt);
      throw new CatgaError("UNAVAILABLE", "the bank is away");
    }, { name: "bills", retry: { attempts: 3, delay: [1_000, 10_000], outage: 10 * MINUTE } });
    await using cluster = await testCluster(2, { handlers, service: "shop", logger });
    unwrap(await cluster.apps[0].publish(Booked, { room: "7", guest: 1 }));
    await cluster.advance(7 * MINUTE);
    const leader = cluster.apps.find((app) => app.health().subscriptions[0].state === "leading")!;
    cluster.kill(leader.self.id);
    const [other] = cluster.apps.filter((app) => app !== leader);
    assertEquals(new Set(runs), new Set([1]));
    await cluster.advance(2 * MINUTE);
    assertEquals((await other.subscriptions())[0].dead, 0);
    await cluster.advance(2 * MINUTE);
    assertEquals((await other.subscriptions())[0].dead, 1);
    assertEquals(runs.slice(-2), [2, 3]);
    assert(runs.length < 150, `${runs.length} runs: the pauses have not grown`);
  });
});
