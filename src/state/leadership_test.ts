import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { requireNatsServer } from "../../tools/nats_server.ts";
import { leaderSuite, leadNode, untilAborted } from "./leadership_suite.ts";
import { memoryLockHarness, natsLockHarness } from "./locks/lock_harness_suite.ts";

leaderSuite("memory", () => Promise.resolve(memoryLockHarness()));
if (!(await requireNatsServer()).skip) leaderSuite("NATS", natsLockHarness);

describe("leadership of a node that dies", () => {
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
});
