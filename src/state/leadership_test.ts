import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { requireNatsServer } from "../../tools/nats_server.ts";
import { leaderSuite, leadNode, untilAborted } from "./leadership_suite.ts";
import type { Clock } from "../ports/clock.ts";
import { seededRandom } from "../memory/seeded_random.ts";
import { Leadership } from "./leadership.ts";
import { BUCKET, lockNode, memoryLockHarness, natsLockHarness } from "./locks/lock_harness_suite.ts";

leaderSuite("memory", () => Promise.resolve(memoryLockHarness()));
if (!(await requireNatsServer()).skip) leaderSuite("NATS", natsLockHarness);

describe("leadership of a node that dies", () => {
  // docs/state.md, crash semantics, "one leader": crashed, cut off
  it("lead: another node leads within the ttl", async () => {
    await using h = memoryLockHarness();
    const [dying, living] = [await leadNode(h, "dying"), await leadNode(h, "living")];
    const first = dying.leadership.lead("billing", untilAborted, { ttl: 5_000 });
    await h.until("it to lead", () => first.leading);
    const second = living.leadership.lead("billing", untilAborted, { ttl: 5_000 });
    await h.pass(20_000);
    assertEquals([first.leading, second.leading], [true, false]);
    h.network.cut("dying");
    const died = h.clock.now();
    await h.until("the other to lead", () => second.leading);
    assert(h.clock.now() - died < 6_500, `${h.clock.now() - died} ms`);
    assertEquals(first.leading, false);
    h.network.restore("dying");
    await h.run(Promise.all([first, second].map((term) => term.resign())));
  });

  // docs/state.md, crash semantics, "one leader": paused
  it("lead: a paused leader finds its signal aborted when it goes on; by then another leads", async () => {
    await using h = memoryLockHarness();
    const [paused, other] = [await leadNode(h, "paused"), await leadNode(h, "other")];
    const reasons: unknown[] = [];
    const first = paused.leadership.lead("billing", (signal) => {
      return untilAborted(signal).finally(() => reasons.push(signal.reason.code));
    }, { ttl: 5_000 });
    await h.until("it to lead", () => first.leading);
    const second = other.leadership.lead("billing", untilAborted, { ttl: 5_000 });
    await h.pass(20_000);
    h.network.pause("paused");
    await h.until("the other to lead", () => second.leading, 6_500);
    h.network.resume("paused");
    await h.until("the signal to abort", () => reasons.length > 0, 1_000);
    assertEquals([reasons, first.leading, second.leading], [["LOCK_LOST"], false, true]);
    await h.run(Promise.all([first, second].map((term) => term.resign())));
  });

  // docs/state.md, crash semantics, "one leader": own clock
  it("lead: the signal aborts when the leader's wall clock jumps past the ttl; none leads beside it", async () => {
    await using h = memoryLockHarness();
    let ahead = 0;
    const jumping: Clock = {
      now: () => h.clock.now() + ahead,
      monotonic: () => h.clock.monotonic(),
      after: (ms, callback) => h.clock.after(ms, callback),
      soon: (callback) => h.clock.soon(callback),
    };
    const { locks } = lockNode("jumping", h.network.connect().store, jumping, seededRandom(1), BUCKET, "leader-");
    const leadership = new Leadership({ locks, clock: jumping, endpoint: "jumping.0", observer: () => {} });
    const other = await leadNode(h, "other");
    const order: string[] = [];
    const first = leadership.lead("billing", (signal) => {
      return untilAborted(signal).finally(() => order.push(signal.reason.code));
    }, { ttl: 10_000 });
    await h.until("it to lead", () => first.leading);
    const second = other.leadership.lead("billing", (signal) => {
      order.push("the other leads");
      return untilAborted(signal);
    }, { ttl: 10_000 });
    await h.pass(1_000);
    ahead = 20_000;
    await h.until("the other to lead", () => second.leading, 11_500);
    assertEquals(order, ["LOCK_LOST", "the other leads"]);
    await h.run(Promise.all([first, second].map((term) => term.resign())));
    await h.run(locks.close());
  });
});
