/** Tests of `fair`: tenants that share the handlers of a subscription, over whole apps in memory, on virtual time. */
import { assert, assertEquals, assertLess } from "@std/assert";
import { describe, it } from "node:test";
import { command, fail } from "../../mod.ts";
import { LogApps, type Order } from "../../test/support/log_apps.ts";
import { delay } from "../ports/clock.ts";

/** Events of a tenant, each with a key of its own. */
function of(tenant: string, count: number, from = 0): readonly Order[] {
  return Array.from({ length: count }, (_, i) => ({ n: from + i, key: `${tenant}-${from + i}` }));
}

const tenantOf = ({ key }: Order) => key.split("-")[0];
const BEHIND = 10_000;
/** More than one node's subscription has in hand. */
const A = of("A", 1_500);
const B = of("B", 10, BEHIND);

/** Publishes events of A and then B's; returns how long those of B took from the last event's publication on, in ms. */
async function timeOfB(apps: LogApps, handled: (n: number) => boolean): Promise<number> {
  for (let i = 0; i < A.length; i += 500) await apps.publish(...A.slice(i, i + 500));
  await apps.publish(...B);
  const published = apps.clock.monotonic();
  await apps.until("B to be handled", () => B.every(({ n }) => handled(n)), 120_000);
  return apps.clock.monotonic() - published;
}

describe("fair: a tenant with thousands of stored events", () => {
  it("does not hold up another's ten, and every event is handled once", async () => {
    await using apps = await LogApps.open(() => delay(apps.clock, 50));
    await apps.start("a", { fair: tenantOf, concurrency: 8 });
    assertLess(await timeOfB(apps, (n) => apps.handled(n)), 1_000);
    assertLess(A.filter(({ n }) => apps.handled(n)).length, 500);
    await apps.until("A to be handled", () => A.every(({ n }) => apps.handled(n)), 120_000, 50);
    assertEquals(apps.runs.length, A.length + B.length);
    assertEquals((await apps.info()).lag, 0);
  });

  it("without fair, the ten wait until all before them have begun", async () => {
    await using apps = await LogApps.open(() => delay(apps.clock, 50));
    await apps.start("a", { concurrency: 8 });
    const ms = await timeOfB(apps, (n) => apps.handled(n));
    assert(ms > 5_000, `${ms} ms`);
  });

  it("that all fail leaves the others their attempts, and room for what they park", async () => {
    await using apps = await LogApps.open(({ key }) => key.startsWith("A") ? fail("NO", "no") : undefined);
    for (const id of ["a", "b"]) {
      await apps.start(id, { fair: tenantOf, concurrency: 4, retry: { attempts: 2, delay: [200, 1_000] } });
    }
    assertLess(await timeOfB(apps, (n) => apps.handled(n)), 3_000);
    const { dead, retrying } = await apps.info();
    assertLess(dead + retrying, 1_300); // an eighth of the room
    await apps.publish(...of("C", 10, 2 * BEHIND));
    await apps.until("C", () => of("C", 10, 2 * BEHIND).every(({ n }) => apps.handled(n)), 3_000);
  });

  // docs/log.md, fairness, "versions with other tenants, or none": fairness
  it("loses nothing, and doubles only what no commit records, when versions with other tenants, or none, lead", async () => {
    const begun = new Map<number, number[]>();
    const kills: number[] = [];
    await using apps = await LogApps.open(({ n }) => {
      begun.set(n, [...begun.get(n) ?? [], apps.clock.monotonic()]);
      return delay(apps.clock, 20);
    });
    const versions = [tenantOf, undefined, ({ key }: Order) => key.slice(-1)];
    for (const [i, fair] of versions.entries()) await apps.start(`a${i}`, { fair, concurrency: 4 });
    const parts = [0, 500, 1_000];
    for (const i of parts) await apps.publish(...A.slice(i, i + 500), ...of("B", 20, BEHIND + i));
    for (let round = 0; round < 2; round++) {
      await apps.until("some more", () => apps.runs.length > 300 * (round + 1), 60_000, 20);
      const leader = await apps.leader();
      kills.push(apps.clock.monotonic());
      apps.kill(leader);
      await apps.start(`b${round}`, { fair: versions[round], concurrency: 4 });
    }
    const all = [...A, ...parts.flatMap((i) => of("B", 20, BEHIND + i))];
    await apps.until("all to be handled", () => all.every(({ n }) => apps.handled(n)), 300_000, 50);
    // commits are some 100 ms apart, and what was handed out before the death goes on after it
    const isDue = (at: number) => kills.some((kill) => at > kill - 250 && at < kill + 1_000);
    const twice = [...begun].filter(([, [first, ...more]]) => more.length > 0 && !isDue(first));
    assertEquals(twice, []);
    await apps.until("nothing to be left", async () => (await apps.info()).lag === 0);
  });

  it("has the share that its weight gives it", async () => {
    await using apps = await LogApps.open(() => delay(apps.clock, 100));
    const weight = (tenant: string) => tenant === "A" ? 3 : 1;
    await apps.start("a", { fair: { by: tenantOf, weight }, concurrency: 20 });
    await apps.publish(...of("A", 400), ...of("B", 400, BEHIND));
    await apps.until("half", () => apps.runs.filter(({ ended }) => ended).length >= 300);
    const ended = apps.runs.filter((run) => run.ended);
    const a = ended.filter(({ key }) => key.startsWith("A")).length;
    assert(a > 0.65 * ended.length && a < 0.85 * ended.length, `${a} of ${ended.length}`);
  });

  it("shares a limit of all with the others", async () => {
    await using apps = await LogApps.open(() => delay(apps.clock, 100));
    await apps.start("a", { fair: tenantOf, limit: { running: 2 } });
    await apps.publish(...of("A", 200), ...B);
    const published = apps.clock.monotonic();
    await apps.until("B to be handled", () => B.every(({ n }) => apps.handled(n)));
    assertLess(apps.clock.monotonic() - published, 3_000);
  });
});

describe("fair: messages", () => {
  it("of a key are handled in order, although others overtake them", async () => {
    await using apps = await LogApps.open(() => delay(apps.clock, 5));
    for (const id of ["a", "b"]) await apps.start(id, { fair: ({ key }) => key, concurrency: 4 });
    const orders = Array.from({ length: 1_200 }, (_, n) => ({ n, key: n % 10 < 8 ? "A" : `k${n % 3}` }));
    for (let i = 0; i < orders.length; i += 500) await apps.publish(...orders.slice(i, i + 500));
    await apps.until("all to be handled", () => orders.every(({ n }) => apps.handled(n)), 120_000, 50);
    for (const key of ["A", "k0", "k1", "k2"]) {
      const own = apps.runs.filter((run) => run.key === key).map(({ n }) => n);
      assertEquals(own, own.toSorted((x, y) => x - y), key);
    }
  });

  it("whose function throws count as of one tenant, and are handled", async () => {
    await using apps = await LogApps.open();
    await apps.start("a", {
      fair: ({ n }) => {
        if (n % 2 > 0) throw new Error("no tenant");
        return `${n}`;
      },
    });
    await apps.publish(...of("A", 20));
    await apps.until("all to be handled", () => of("A", 20).every(({ n }) => apps.handled(n)));
    assert(apps.cluster.log.some((line) => line.includes("finding the fair of Placed") || line.includes("no tenant")));
  });
});

describe("fair: options", () => {
  it("are refused if they are invalid, or have no meaning", () => {
    const Durable = command("Durable", { durable: true });
    const options = (fair: unknown) => () => Durable.handle(() => {}, { fair } as never);
    const message = (run: () => unknown) => {
      try {
        run();
      } catch (error) {
        return (error as Error).message;
      }
      return "";
    };
    assert(message(options(1)).includes("fair"), message(options(1)));
    assert(message(options({ by: 1 })).includes("fair.by"));
    assert(message(options({ by: () => "", weight: 3 })).includes("fair.weight"));
    assert(message(options({ by: () => "", wait: 3 })).includes("wait"));
    assert(message(() => command("Plain").handle(() => {}, { fair: () => "" } as never)).includes("fair"));
  });
});
