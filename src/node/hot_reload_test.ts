/**
 * Tests of what happens to apps when modules are evaluated again in the same process. `reload_process_test.ts` tests it
 * with real processes.
 */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { Evaluations, hotEvaluation, type Reloadable } from "./hot_reload.ts";

class FakeApp implements Reloadable {
  drains: number[] = [];
  readonly #closed = Promise.withResolvers<void>();
  readonly closed = this.#closed.promise;

  drain({ timeout }: { timeout: number }): Promise<void> {
    this.drains.push(timeout);
    this.#closed.resolve();
    return this.closed;
  }
}

describe("evaluations of modules", () => {
  it("a later evaluation drains the apps of earlier ones, and none of its own", async () => {
    const evaluations = new Evaluations();
    const [one, two, three] = [new FakeApp(), new FakeApp(), new FakeApp()];
    const first = evaluations.begin();
    await first.drainEarlier();
    first.add(one);
    await first.drainEarlier();
    first.add(two);
    assertEquals([one.drains, two.drains], [[], []]);
    const second = evaluations.begin();
    await second.drainEarlier();
    second.add(three);
    await second.drainEarlier();
    assertEquals([one.drains, two.drains, three.drains], [[1_000], [1_000], []]);
  });

  it("an app that has stopped is not drained again", async () => {
    const evaluations = new Evaluations();
    const app = new FakeApp();
    evaluations.begin().add(app);
    await app.drain({ timeout: 5 });
    await evaluations.begin().drainEarlier();
    assertEquals(app.drains, [5]);
  });

  it("an app that starts after a later evaluation has begun is drained at once", () => {
    const evaluations = new Evaluations();
    const [first, second] = [evaluations.begin(), evaluations.begin()];
    const [late, current] = [new FakeApp(), new FakeApp()];
    first.add(late);
    second.add(current);
    assertEquals([late.drains, current.drains], [[1_000], []]);
  });

  it("a drain that fails does not keep the next evaluation from starting", async () => {
    const evaluations = new Evaluations();
    const closed = Promise.withResolvers<void>();
    let drains = 0;
    const drain = () => {
      drains++;
      closed.reject(new Error("no way"));
      return closed.promise;
    };
    evaluations.begin().add({ closed: closed.promise, drain });
    await evaluations.begin().drainEarlier();
    await evaluations.begin().drainEarlier();
    assertEquals(drains, 1, "it is not drained again");
  });

  it("modules that are evaluated once have none", () => {
    assertEquals(hotEvaluation(), undefined);
  });
});
