/** Tests of `ahead`: messages that count as older, over whole apps in memory, on virtual time. */
import { assert, assertEquals, assertLess } from "@std/assert";
import { describe, it } from "node:test";
import { LogApps, type Order } from "../../test/support/log_apps.ts";
import { delay } from "../ports/clock.ts";

/** Events of a kind, each with a key of its own. */
function of(kind: string, count: number, from = 0): readonly Order[] {
  return Array.from({ length: count }, (_, i) => ({ n: from + i, key: `${kind}-${from + i}` }));
}

const isUrgent = ({ key }: Order) => key.startsWith("urgent");
/** More than one node's subscription has in hand. */
const MANY = of("normal", 1_500);
const URGENT = of("urgent", 5, 10_000);

async function publishMany(apps: LogApps): Promise<void> {
  for (let i = 0; i < MANY.length; i += 500) await apps.publish(...MANY.slice(i, i + 500));
}

describe("ahead", () => {
  it("has urgent ones begin before thousands that were stored before them, and handles each once", async () => {
    await using apps = await LogApps.open(() => delay(apps.clock, 50));
    await apps.start("a", { ahead: (order) => (isUrgent(order) ? 600_000 : 0), concurrency: 8 });
    await publishMany(apps);
    await apps.publish(...URGENT);
    await apps.until("the urgent ones", () => URGENT.every(({ n }) => apps.handled(n)), 1_000);
    assertLess(MANY.filter(({ n }) => apps.handled(n)).length, 500);
    await apps.until("the others", () => MANY.every(({ n }) => apps.handled(n)), 120_000, 50);
    assertEquals([apps.runs.length, (await apps.info()).lag], [MANY.length + URGENT.length, 0]);
  });

  it("lets none wait for younger ones longer than they count as older", async () => {
    const waited: number[] = [];
    await using apps = await LogApps.open(async ({ key }, { stored }) => {
      if (key.startsWith("normal")) waited.push(apps.clock.now() - stored!.getTime());
      await delay(apps.clock, 20);
    });
    await apps.start("a", { ahead: (order) => (isUrgent(order) ? 1_000 : 0), concurrency: 1 });
    await apps.clock.advance(1_000);
    for (let i = 0; i < 200; i++) { // the urgent ones would take all turns
      await apps.publish({ n: 1_000 + i, key: `urgent-${i}` });
      if (i % 40 === 0) await apps.publish({ n: i, key: `normal-${i}` });
      await apps.clock.advance(20);
    }
    await apps.until("the normal ones", () => waited.length === 5, 30_000);
    for (const ms of waited) assertLess(ms, 1_500);
    assert(waited.some((ms) => ms > 500), `${waited}`); // and they have waited
  });

  it("is within a tenant: an urgent one of a tenant does not come before another tenant's turn", async () => {
    await using apps = await LogApps.open(() => delay(apps.clock, 20));
    const tenantOf = ({ n }: Order) => n % 2 === 0 ? "even" : "odd";
    await apps.start("a", { ahead: (order) => (isUrgent(order) ? 600_000 : 0), fair: tenantOf, concurrency: 2 });
    await apps.publish(...of("normal", 100).filter(({ n }) => n % 2 > 0));
    await apps.publish(...of("urgent", 100, 1_000).filter(({ n }) => n % 2 === 0));
    await apps.until("half of them", () => apps.runs.length >= 50);
    const odd = apps.runs.slice(10, 50).filter(({ n }) => n % 2 > 0).length;
    assert(odd >= 15 && odd <= 25, `${odd} of 40`);
    await apps.until("all", () => apps.runs.filter(({ ended }) => ended).length === 100, 60_000);
  });

  // docs/log.md, priority, "the leader crashes": priority
  // docs/log.md, priority, "versions with other values, or none": priority
  it("loses nothing when the leader is killed and one of another version goes on", async () => {
    await using apps = await LogApps.open(() => delay(apps.clock, 20));
    const versions = [(order: Order) => (isUrgent(order) ? 600_000 : 0), undefined, ({ n }: Order) => (n % 3) * 1_000];
    for (const [i, ahead] of versions.entries()) await apps.start(`a${i}`, { ahead, concurrency: 4 });
    await publishMany(apps);
    await apps.publish(...URGENT);
    for (let round = 0; round < 2; round++) {
      await apps.until("some more", () => apps.runs.length > 300 * (round + 1), 60_000, 20);
      apps.kill(await apps.leader());
    }
    await apps.until("all", () => [...MANY, ...URGENT].every(({ n }) => apps.handled(n)), 120_000, 50);
  });

  it("of a payload for which it throws, or returns no valid time, counts as 0, and says so", async () => {
    await using apps = await LogApps.open();
    await apps.start("a", {
      ahead: ({ n }) => {
        if (n === 0) throw new Error("no such kind");
        return n === 1 ? -1 : NaN;
      },
    });
    await apps.publish(...of("normal", 3));
    await apps.until("all", () => of("normal", 3).every(({ n }) => apps.handled(n)));
    const lines = apps.cluster.log.filter((line) => line.includes("ahead"));
    assert(lines.some((line) => line.includes("no such kind")), apps.cluster.log.join("\n"));
  });
});
