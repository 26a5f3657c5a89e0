/** A test cluster of one node on a file: a restart at any moment, after which everything goes on at once. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type Catga, command, entity, event, unwrap, workflow } from "../../mod.ts";
import { explore } from "./explore.ts";
import { testCluster } from "./test_cluster.ts";

const Paid = event<{ i: number }>("Paid", { durable: true });
const Charge = command<number, number>("Charge", { idempotent: true });
const Trip = workflow<string, string>("Trip", { id: (id) => id });

/** A program whose handlers hang until its process was killed once. */
function program() {
  const done: string[] = [];
  const state = { hangs: true };
  const hang = () => state.hangs ? new Promise<never>(() => {}) : undefined;
  const handlers = [
    Paid.on(async ({ i }) => {
      await hang();
      done.push(`paid ${i}`);
    }, { name: "billing" }),
    Charge.handle(async (cents) => {
      await hang();
      done.push("charged");
      return cents;
    }),
    Trip.handle(async (flow, id) => {
      await flow.step("book", () => void done.push("booked"));
      await flow.step("fly", async () => {
        await hang();
        done.push("flown");
      });
      return id;
    }),
  ];
  return { done, state, handlers };
}

describe("testCluster({ file: true })", () => {
  it("a restart on the file: events, runs, locks and the same id go on within half a second of its time", async () => {
    const { done, state, handlers } = program();
    await using cluster = await testCluster(1, { file: true, handlers });
    const begin = async (app: Catga) => {
      unwrap(await app.publish(Paid, { i: 1 }));
      unwrap(await app.start(Trip, "t"));
      await app.lock("order");
    };
    const app = cluster.app("node-1");
    await begin(app);
    void app.send(Charge, 5, { id: "c-1" });
    await cluster.advance(1_000);
    assertEquals(done, ["booked"]);
    cluster.kill("node-1");
    state.hangs = false;
    const next = await cluster.start("node-1");
    const started = cluster.clock.monotonic();
    const lock = await next.lock("order", { timeout: 60_000 });
    assertEquals(unwrap(await next.send(Charge, 5, { id: "c-1" })), 5);
    assertEquals(unwrap(await next.result(Trip, "t", { timeout: 60_000 })), "t");
    await cluster.handled();
    assertEquals([...done].sort(), ["booked", "charged", "flown", "paid 1"]);
    const took = cluster.clock.monotonic() - started;
    assert(took <= 500, `${took} ms`);
    await lock.release();
  });

  it("a kill at each of many moments loses nothing that was acknowledged", async () => {
    for (let moment = 0; moment < 40; moment++) {
      const handled: number[] = [];
      const handlers = Paid.on(({ i }) => void handled.push(i), { name: "billing" });
      await using cluster = await testCluster(1, { file: true, handlers, time: "manual" });
      const acknowledged: number[] = [];
      const app = cluster.app("node-1");
      for (let i = 0; i < 5; i++) {
        void app.publish(Paid, { i }).then(({ ok }) => ok && acknowledged.push(i));
        await cluster.advance(1);
        // a moment is some microtasks after a publication
        for (let turn = 0; i * 8 + turn === moment; turn++) await Promise.resolve();
        if (i === Math.floor(moment / 8)) break;
      }
      cluster.kill("node-1");
      const before = [...acknowledged];
      await cluster.until(cluster.start("node-1"));
      await cluster.handled();
      assertEquals(before.filter((i) => !handled.includes(i)), [], `moment ${moment}`);
    }
  });

  it("has one process at a time", async () => {
    await assertRejects(() => testCluster(2, { file: true }), RangeError);
    await using cluster = await testCluster(1, { file: true });
    await assertRejects(() => cluster.start("node-2"), TypeError);
    assertThrows(() => cluster.app("node-2"), TypeError);
  });
});

describe("explore({ file: true })", () => {
  const Put = command<{ id: string; cents: number }, number>("Put", { key: ({ id }) => id });
  const Account = entity("Account", { initial: () => ({ cents: 0 }) });
  const PutIn = Account.event<{ cents: number }>("PutIn", (account, { cents }) => ({ cents: account.cents + cents }));
  const Order = workflow<{ id: string }, number>("Order", { id: ({ id }) => id });
  const kept = (world: { mails: number }) => [
    Account.handle(Put, (account, { cents }) => {
      account.emit(PutIn, { cents });
      return account.state.cents;
    }),
    Order.handle(async (flow, { id }) => {
      const put = await flow.send(Put, { id, cents: 5 });
      if (!put.ok) return put;
      await flow.sleep("pause", 200);
      await flow.step("mail", () => void world.mails++);
      return put.value;
    }),
  ];

  it(
    "a program that keeps what it needs passes; each kill is a restart of its one process",
    { timeout: 240_000 },
    async () => {
      const kills: number[] = [];
      await explore({
        file: true,
        seeds: 30,
        handlers: ({ world }) => kept(world),
        world: () => ({ mails: 0 }),
        workload: async ({ app, step, random }) => {
          for (let n = 0; n < 3; n++) {
            await step(`order ${n}`, () => app.start(Order, { id: `o-${n}` }));
            if (random() < 0.5) await step(`put ${n}`, () => app.send(Put, { id: "own", cents: 1 }, { id: `p-${n}` }));
          }
        },
        check: async ({ history, state, world }) => {
          kills.push(history.processes.filter(({ endedBy }) => endedBy === "kill").length);
          const started = history.operations.flatMap(({ contract, outcome }) =>
            contract === "Order" && outcome?.type === "ok" ? [String(outcome.value)] : []
          );
          for (const id of started) {
            assertEquals(history.runs.find((run) => run.id === id)?.status, "done");
            assertEquals((await state.load(Account, id)).state.cents, 5);
          }
          assert(world.mails >= started.length);
        },
      });
      assert(kills.some((count) => count > 0));
    },
  );

  it("a program that keeps it in the memory of its process is red", async () => {
    const Count = command<void, number>("Count");
    await assertRejects(
      () =>
        explore({
          file: true,
          seeds: 60,
          faults: ["kill"],
          handlers: () => {
            let count = 0;
            return Count.handle(() => ++count);
          },
          workload: async ({ app, step }) => {
            for (let n = 0; n < 5; n++) await step("count", () => app.send(Count));
          },
          check: ({ history }) => {
            const counts = history.operations.flatMap(({ outcome }) =>
              outcome?.type === "ok" ? [Number(outcome.value)] : []
            );
            assertEquals(counts, counts.toSorted((a, b) => a - b));
          },
          shrink: 0,
        }),
      Error,
      "kill app-1",
    );
  });

  it("has one process, and the faults of one", async () => {
    const workload = () => {};
    await assertRejects(() => explore({ file: true, nodes: 2, workload }), TypeError);
    await assertRejects(() => explore({ file: true, faults: ["cut"], workload }), TypeError);
  });
});
