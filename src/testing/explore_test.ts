import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { command, entity, event, fail, unwrap, workflow } from "../../mod.ts";
import {
  type BrokenPromise,
  checkLinearizable,
  explore,
  ExploreError,
  type ExploreOutcome,
  guarantees,
  type History,
  register,
  type Workload,
} from "./mod.ts";
import { recordingOf } from "./timeline.ts";

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
    assertMatch(error.message, /explore_test\.ts:\d+:\d+/); // the message names the line of the check
    assertMatch(error.timeline, /kill begins/);
    assert(error.timeline.split("\n").length < 20, error.timeline); // few lines are left: two additions and a kill
    assert(error.history.operations.length <= 3, `${error.history.operations.length} operations`);
  });

  it("is red for a check that returns false, or what a checker has found (both were green)", async () => {
    const error = (check: () => unknown) =>
      assertRejects(() => explore({ workload: () => {}, seeds: 1, check }), ExploreError);
    const message = async (check: () => unknown) => ((await error(check)).cause as Error).message;
    assertEquals(await message(() => false), "the check returned false: it throws if a promise is broken");
    const wrong = checkLinearizable([
      { key: "price", by: "a", input: { type: "write", value: 2 }, from: 0, to: 10 },
      { key: "price", by: "b", input: { type: "read" }, output: 1, from: 20, to: 30 },
    ], register(1));
    assertEquals(wrong.length, 1);
    const found = (await error(() => Promise.resolve(wrong))).cause as BrokenPromise;
    assertEquals([found.name, found.promise], ["BrokenPromise", wrong[0].promise]);
    assertEquals(found.message, `price ${wrong[0].text}`);
    for (const kept of [undefined, true, 0, [], ["a text"]]) {
      await explore({ workload: () => {}, seeds: 1, check: () => kept });
    }
  });

  it("runs a red seed again from its text, and is green without the fault", async () => {
    const counting = {
      nodes: 1,
      handlers: () => {
        let sum = 0;
        return Add.handle(({ n }) => sum += n);
      },
      workload: async ({ app }: Workload) => {
        for (let i = 0; i < 3; i++) await app.send(Add, { n: 1 });
      },
      check: ({ history }: ExploreOutcome) => {
        const values = history.operations.flatMap(({ outcome }) => outcome?.type === "ok" ? [outcome.value] : []);
        assertEquals(values, values.map((_, i) => i + 1));
      },
    };
    const { replay } = await assertRejects(() => explore({ ...counting, faults: ["kill"] }), ExploreError);
    const again = await assertRejects(() => explore({ ...counting, replay }), ExploreError);
    assertEquals(again.replay, replay);
    await explore({ ...counting, replay: "seed 1" });
  });

  it("block: a handler or a step blocks its process, and what Catga promises holds", async () => {
    const Job = workflow<number, number>("Job");
    const blocked: string[] = [];
    const { seeds } = await explore({
      handlers: [
        Add.handle(async ({ n }, ctx) => {
          await ctx.clock.sleep(20);
          return n + 1;
        }),
        Job.handle(async (flow, n) => await flow.step("compute", () => n + 1)),
      ],
      nodes: 2,
      workload: async ({ app, step }) => {
        await step("add", () => app.send(Add, { n: 1 }));
        await step("start", () => app.start(Job, 1, { id: "1" }));
        await step("result", () => app.result(Job, "1"));
      },
      faults: ["block"],
      seeds: 24,
      check: [guarantees(), ({ history: { faults, attempts, steps } }: ExploreOutcome) => {
        for (const { node, began } of faults) {
          const code = [...attempts, ...steps].find((each) =>
            each.node === node && each.began <= began && (each.ended ?? Infinity) > began
          );
          assert(code !== undefined, `nothing of the program runs at ${node} when it is blocked`);
          blocked.push("contract" in code ? "handler" : "step");
        }
      }],
    });
    assertEquals(seeds, 24);
    assertEquals([...new Set(blocked)].sort(), ["handler", "step"]);
  });

  it("refuses seeds that are no safe integers (it ran 2 ** 53 again and again)", async () => {
    const seeds: number[] = [];
    const run = (seed: number) =>
      explore({
        handlers: Add.handle(({ n }) => n),
        workload: ({ seed }) => {
          if (seed > 1e15 && seeds.push(seed) > 9) throw new Error("it does not end");
        },
        ...{ seed, seeds: 3, repeatable: false },
      });
    await assertRejects(() => run(Number.MAX_SAFE_INTEGER - 1), RangeError, "the last seed must be a safe integer");
    assertEquals(seeds, []);
    await run(Number.MAX_SAFE_INTEGER - 2);
    assertEquals(seeds.length, 3);
  });

  it("rejects for a program that differs when it is run again, and names what it uses", async () => {
    const refused = await assertRejects(
      () =>
        explore({
          handlers: Add.handle(async ({ n }, ctx) => {
            await ctx.clock.sleep(Math.floor(Math.random() * 1_000));
            return n;
          }),
          workload: async ({ app }) => void await app.send(Add, { n: 1 }),
        }),
      TypeError,
    );
    assertMatch(refused.message, /differs when it is run again.*Math\.random at .*explore_test\.ts:\d+:\d+/);
  });

  it("gives the same history for the same seed", async () => {
    const histories: string[] = [];
    for (let i = 0; i < 2; i++) {
      await explore({
        nodes: 3,
        handlers: [Add.handle(({ n }) => n), Counted.on(async (_, ctx) => void await ctx.send(Add, { n: 2 }))],
        workload: async ({ app, random, clock }) => {
          for (let n = 0; n < 5; n++) {
            await app.publish(Counted, { n });
            await clock.sleep(random.int(1, 500));
          }
        },
        check: ({ history }) => void histories.push(recordingOf(history, { values: true }).join("\n")),
        seeds: 20,
      });
    }
    assert(histories.some((history) => history.includes("kill begins")), "no kill");
    assertEquals(histories.slice(histories.length / 2), histories.slice(0, histories.length / 2));
  });

  it("leaves out calls of a workload without steps", async () => {
    const { history } = await assertRejects(
      () =>
        explore({
          handlers: Add.handle(({ n }) => n),
          faults: "none",
          seeds: 1,
          workload: async ({ app }) => {
            for (let n = 0; n < 8; n++) await app.send(Add, { n });
          },
          check: ({ history }) => {
            if (history.attempts.some(({ input }) => (input as { n: number }).n === 5)) throw new Error("it is 5");
          },
        }),
      ExploreError,
    );
    assertEquals(history.operations.map(({ input }) => input), [{ n: 5 }]);
  });

  it("deploys other handlers, and takes them back", async () => {
    const seen = new Set<string>();
    await explore({
      nodes: 2,
      handlers: Add.handle(() => 1),
      deploys: [{ handlers: Add.handle(() => 2) }],
      faults: "none",
      seeds: 20,
      workload: async ({ app, clock }) => {
        for (let n = 0; n < 20; n++) {
          await app.send(Add, { n });
          await clock.sleep(500);
        }
      },
      check: ({ history }) => {
        for (const { deploy } of history.processes) seen.add(`process ${deploy}`);
        for (const { outcome } of history.operations) seen.add(`${outcome?.type} ${(outcome as { value: 1 }).value}`);
        const versions = history.processes.map(({ deploy }) => deploy);
        if (versions.lastIndexOf(0) > versions.lastIndexOf(1)) seen.add("back");
      },
    });
    assertEquals([...seen].sort(), ["back", "ok 1", "ok 2", "process 0", "process 1"]);
  });

  it("aims deploys, and what takes them back, at moments that no seed has met", async () => {
    const versions = (version: number) => [
      Add.handle(({ n }) => n + version),
      Counted.on(async ({ n }, ctx) => {
        unwrap(await ctx.send(Add, { n }));
        await ctx.clock.sleep(2);
      }),
    ];
    const deployed = async (steer: boolean) => {
      const { situations } = await explore({
        handlers: versions(0),
        deploys: [{ handlers: versions(1) }],
        faults: "none",
        seeds: 40,
        steer,
        workload: async ({ app, clock }) => {
          for (let n = 0; n < 3; n++) {
            await app.publish(Counted, { n });
            await clock.sleep(100);
          }
        },
      });
      return situations.flatMap(({ fault, operation, phase }) => fault === "deploy" ? `${operation} ${phase}` : []);
    };
    const aimed = await deployed(true);
    const atRandom = await deployed(false);
    assert(aimed.length >= 2 * atRandom.length, `${aimed.length} situations, at random ${atRandom.length}`);
    assert(aimed.includes("event Counted begun"), aimed.join(", "));
  });

  it("runs a deploy at a moment again from the text of a red seed", async () => {
    const options = {
      handlers: Add.handle(() => 1),
      deploys: [{ handlers: Add.handle(() => 2), forGood: true }],
      faults: "none",
      workload: async ({ app, clock }: Workload) => {
        for (let n = 0; n < 4; n++) {
          await app.send(Add, { n });
          await clock.sleep(1_000);
        }
      },
      check: ({ history }: ExploreOutcome) => {
        const values = history.operations.flatMap(({ outcome }) => outcome?.type === "ok" ? [outcome.value] : []);
        if (values.slice(0, 3).join() === "1,1,2") throw new Error("the third is another version's");
      },
    } as const;
    const replay = "seed 7; deploy 1 here on 2 attempt ends command Add after 0 pause 0";
    const error = await assertRejects(() => explore({ ...options, replay }), ExploreError);
    assertEquals([error.replay, error.cause.message], [replay, "the third is another version's"]);
  });

  it("a red seed is the same run alone and in a row of seeds (it was green alone), steered or not", async () => {
    const Pay = command<{ order: string }, string>("Pay", { timeout: 1_000 });
    const options = {
      world: () => new Map<string, string>(),
      handlers: ({ world }: { world: Map<string, string> }) =>
        Pay.handle(({ order }, { id }) => (world.set(id, order), "paid")),
      workload: async ({ app, step }: Workload<Map<string, string>>) => {
        for (let n = 0; n < 5; n++) {
          await step("pay", async () => {
            for (let left = 3; left > 0 && !(await app.send(Pay, { order: `${n}` })).ok;) left--;
          });
        }
      },
      check: ({ world }: { world: Map<string, string> }) => {
        if (new Set(world.values()).size < world.size) throw new Error("an order was paid twice");
      },
      shrink: 0,
      repeatable: false,
    };
    for (const steer of [true, false]) {
      const red = await assertRejects(() => explore({ ...options, seeds: 100, steer }), ExploreError);
      assert(red.seed > 1, "the first seed is red: it shows nothing");
      const alone = await assertRejects(() => explore({ ...options, seed: red.seed, seeds: 1, steer }), ExploreError);
      assertEquals([alone.seed, alone.replay], [red.seed, red.replay]);
    }
  });

  it("disposes of each world at the end of its run, also of a red one", async () => {
    for (const how of [Symbol.asyncDispose, Symbol.dispose]) {
      let [made, ended] = [0, 0];
      const run = explore({
        world: () => ({ number: ++made, [how]: () => void ended++ }),
        handlers: Add.handle(({ n }) => n),
        workload: async ({ app, step }) => void await step("add", () => app.send(Add, { n: 1 })),
        check: ({ world }) => {
          if (world.number > 8) throw new Error("red");
        },
        ...{ shrink: 0, repeatable: false },
      });
      await assertRejects(() => run, ExploreError);
      assert(made > 8);
      assertEquals(ended, made);
    }
  });

  it("aims at the moments of some contracts alone, and says which there are if none is theirs", async () => {
    const Other = command("Other");
    const options = {
      handlers: [Add.handle(({ n }) => n), Other.handle(() => {})],
      workload: async ({ app, step }: Workload) => {
        await step("add", () => app.send(Add, { n: 1 }));
        await step("other", () => app.send(Other));
      },
      ...{ seeds: 40, repeatable: false },
    };
    const met = async (steer: readonly { readonly name: string }[]) => {
      const { situations } = await explore({ ...options, steer });
      const count = (operation: string) =>
        situations.filter((each) => each.operation === operation).reduce((sum, { count }) => sum + count, 0);
      return count("command Add") - count("command Other");
    };
    assert(await met([Add]) > 0);
    assert(await met([Other]) < 0);
    const gone = command("Gone");
    const refused = await assertRejects(() => explore({ ...options, steer: [gone] }), TypeError);
    assertMatch(refused.message, /no scout run has a moment of Gone: .* there are operation begins command Add/);
    await assertRejects(() => explore({ ...options, steer: ["Add"] as never }), TypeError, 'got "Add" in it');
  });

  it("steers seeds to situations that no seed has met", async () => {
    const situations = async (steer: boolean) =>
      await explore({
        handlers: [Add.handle(({ n }) => n), Counted.on(() => {})],
        steer,
        seeds: 60,
        workload: async ({ app, clock }) => {
          await app.send(Add, { n: 1 });
          await clock.sleep(300);
          await app.publish(Counted, { n: 1 });
        },
      });
    const [random, steered] = [await situations(false), await situations(true)];
    assert(
      steered.situations.length >= 2 * random.situations.length,
      `${steered.situations.length} and ${random.situations.length}`,
    );
    assertMatch(steered.report, /command Add +handling +\S+ \d+/);
  });

  it("waits for real input and output of handlers", async () => {
    const Read = command<void, string>("Read", { timeout: 200 });
    await explore({
      handlers: ({ io }) =>
        Read.handle(async () => {
          await io(new Promise<void>((resolve) => setTimeout(resolve, 40)));
          return "read";
        }),
      faults: "none",
      seeds: 2,
      workload: async ({ app }) => void unwrap(await app.send(Read)),
    });
  });

  it("names the handler that never ends", async () => {
    const Read = event<void>("Read", { durable: true });
    const { message } = await assertRejects(
      () =>
        explore({
          handlers: Read.on(() => new Promise<void>(() => {})),
          faults: "none",
          seeds: 1,
          shrink: 0,
          limit: 20_000,
          repeatable: false,
          workload: async ({ app }) => void unwrap(await app.publish(Read)),
        }),
      ExploreError,
    );
    assertMatch(message, /the handler of event Read on app-\d waits for something outside of virtual time/);
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

  it("a lock that a handler does not release is held until its handler ends, as it is for other nodes (was red)", async () => {
    const Take = command<{ fails: boolean }, number>("Take", { timeout: 30_000 });
    let last: History | undefined;
    await explore({
      nodes: 2,
      handlers: Take.handle(async ({ fails }, ctx) => {
        const { token } = await ctx.lock("till");
        await ctx.clock.sleep(50);
        return fails ? fail("EMPTY", "no change") : token;
      }),
      workload: async ({ app }) => {
        await Promise.all([false, true, false].map((fails) => app.send(Take, { fails })));
      },
      faults: "none",
      seeds: 1,
      shrink: 0,
      check: [guarantees(Take), ({ history }) => {
        last = history;
      }],
    });
    assertEquals(last!.locks.map(({ endedBy, start, end }) => [endedBy, end! - start]), [
      ["release", 50],
      ["release", 50],
      ["release", 50],
    ]);
  });
});
