/**
 * Tests that a key whose messages take long holds up no other key, however many of them the log has; with whole apps
 * in memory.
 */
import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { fail } from "../../mod.ts";
import { LogApps, type Order } from "../../test/support/log_apps.ts";

/** Number of messages of the slow key: more than a leader keeps open. */
const COUNT = 1_500;
const ORDERS: readonly Order[] = Array.from({ length: COUNT }, (_, n) => ({ n, key: "slow" }));

describe("a slow key", () => {
  it("of 1,500 messages does not keep another key waiting, and its messages follow in order", async () => {
    const gate = Promise.withResolvers<void>();
    await using apps = await LogApps.open(({ key }) => key === "slow" ? gate.promise : undefined);
    await apps.start("a", { timeout: 3_600_000 });
    await apps.publish(...ORDERS);
    for (const n of [COUNT, COUNT + 1]) {
      await apps.publish({ n, key: `other-${n}` });
      await apps.until("another key to be handled", () => apps.handled(n), 10_000, 100);
    }
    assertEquals(apps.runs.filter(({ key }) => key === "slow").length, 1);
    gate.resolve();
    await apps.until("all to be handled", () => apps.handled(COUNT - 1), 120_000, 100);
    const slow = apps.runs.filter(({ key }) => key === "slow");
    assertEquals(slow.map(({ n }) => n), ORDERS.map(({ n }) => n));
    assert(slow.every(({ ended }) => ended));
  });

  it("whose first message fails again and again does not keep another key waiting either", async () => {
    let broken = true;
    await using apps = await LogApps.open(({ key }) => key === "slow" && broken ? fail("BROKEN", "no") : undefined);
    await apps.start("a", { retry: { attempts: 1_000, delay: [500, 500] } });
    await apps.publish(...ORDERS);
    await apps.publish({ n: COUNT, key: "other" });
    await apps.until("another key to be handled", () => apps.handled(COUNT), 10_000, 100);
    broken = false;
    await apps.until("all to be handled", () => apps.handled(COUNT - 1), 120_000, 100);
    const ended = apps.runs.filter((run) => run.key === "slow" && run.n > 0);
    assertEquals(ended.map(({ n }) => n), ORDERS.slice(1).map(({ n }) => n));
  });
});
