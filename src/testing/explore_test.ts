import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { command, entity, event, fail, unwrap, workflow } from "../../mod.ts";
import { explore, ExploreError, type History } from "./mod.ts";

const Add = command<{ n: number }, number>("Add", { key: ({ n }) => `${n}` });
const Counted = event<{ n: number }>("Counted", { durable: true, key: ({ n }: { n: number }) => `${n % 2}` });

describe("explore", () => {
  it("needs handlers and a workload alone", async () => {
    const { seeds } = await explore({
      handlers: Add.handle(({ n }) => n + 1),
      workload: async ({ app }) => void await app.send(Add, { n: 1 }),
      seeds: 10,
    });
    assertEquals(seeds, 10);
  });

  it("finds a counter in the memory of a process", async () => {
    const error = await assertRejects(() =>
      explore({
        handlers: () => {
          let sum = 0;
          return Add.handle(({ n }) => sum += n);
        },
        nodes: 1,
        workload: async ({ app, step }) => {
          for (let i = 0; i < 10; i++) await step("add", () => app.send(Add, { n: 1 }));
        },
        check: ({ history }) => {
          let least = 0;
          for (const { outcome } of history.operations) {
            if (outcome?.type !== "ok") continue;
            const value = outcome.value as number;
            if (value <= least) throw new Error(`the sum went from ${least} to ${value}`);
            least = value;
          }
        },
      }), ExploreError);
    assertMatch(error.message, /the sum went from \d+ to \d+/);
    const again = await assertRejects(() => Promise.reject(error), ExploreError);
    assertEquals(again.replay, error.replay);
  });

  it("records operations, attempts, steps, locks, runs and faults", async () => {
    const Pay = command<{ order: string }, string>("Pay", { idempotent: true });
    const Order = entity("Orders", { initial: () => 0 });
    const Placed = Order.event<{ at: number }>("Placed", (count) => count + 1);
    const Place = command<{ order: string }, number>("Place", { key: ({ order }) => order });
    const Ship = workflow<{ order: string }, string>("Ship");
    let last: History | undefined;
    await explore({
      nodes: { shop: 2, bank: { count: 1, handlers: Pay.handle(({ order }) => `paid ${order}`) } },
      handlers: [
        Order.handle(Place, (order) => {
          order.emit(Placed, { at: 1 });
          return order.version;
        }),
        Placed.on(async (_, ctx) => {
          await using _lock = await ctx.lock("mail");
          await ctx.clock.sleep(5);
        }),
        Counted.on(() => {}),
        Ship.handle(async (flow, { order }) => {
          const paid = await flow.step("pay", () => order, { undo: () => {} });
          await flow.sleep("night", 60_000);
          const answer = await flow.send(Pay, { order });
          return answer.ok && paid === order ? "done" : fail("UNPAID", "not paid");
        }),
      ],
      workload: async ({ app, step, random }) => {
        await step("place", () => app.send(Place, { order: "a" }));
        await app.publish(Counted, { n: random.int(1, 9) });
        unwrap(await app.start(Ship, { order: "a" }, { id: "a" }));
      },
      faults: "none",
      seeds: 1,
      check: ({ history }) => {
        last = history;
      },
    });
    const { operations, attempts, steps, locks, runs, faults, processes } = last!;
    const called = operations.map(({ method, contract, key, step, by }) => [method, contract, key, step, by?.type]);
    assertEquals(called.filter(([method]) => method !== "lock"), [
      ["send", "Place", "a", "place", undefined],
      [
        "publish",
        "Counted",
        `${(operations.find(({ method }) => method === "publish")!.input as { n: number }).n % 2}`,
        undefined,
        undefined,
      ],
      ["start", "Ship", "a", undefined, undefined],
    ]);
    assertEquals(called.filter(([method]) => method === "lock"), [["lock", "mail", "mail", undefined, "attempt"]]);
    const publish = operations.find(({ method }) => method === "publish")!.number;
    assert(attempts.some(({ contract, operation }) => contract === "Place" && operation === 0));
    assert(attempts.some(({ contract, subscription, key }) => contract === Placed.name && subscription && key === "a"));
    assert(
      attempts.some(({ contract, operation, position }) =>
        contract === "Counted" && operation === publish && position! > 0
      ),
    );
    assertEquals(steps.map(({ type, name, outcome }) => [type, name, outcome?.type]), [["step", "pay", "ok"]]);
    assertEquals(locks.map(({ keys, endedBy }) => [keys, endedBy]), [[["mail"], "release"]]);
    assertEquals(runs.map(({ id, status }) => [id, status]), [["a", "done"]]);
    assertEquals([faults.length, processes.length], [0, 4]);
  });
});
