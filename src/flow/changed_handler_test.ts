/** Tests of a run that is cancelled, or fails, after its handler was changed since its steps were recorded. */
import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { type Catga, fail, type Flow, unwrap, workflow } from "@catga/catga";
import { testCluster } from "@catga/catga/testing";
import { QUIET } from "../../test/support/quiet.ts";
import { infoOf } from "./run_suite.ts";

const Order = workflow<void, void, "NO">("Order");
const Go = Order.signal("Go");
const Kick = Order.signal("Kick");
const Parcel = workflow<void, void>("Parcel");
const Sent = Parcel.signal("Sent");

/**
 * Runs a workflow with the first handler until it waits, and then with the second handler. Returns the steps that were
 * undone.
 */
async function changed(
  handlers: readonly ((flow: Flow, undo: () => void) => Promise<unknown>)[],
  goOn: (app: Catga, run: string, change: (version: number) => void) => Promise<unknown>,
): Promise<string[]> {
  let version = 0;
  const undone: string[] = [];
  const order = Order.handle(async (flow) => {
    const returned = await handlers[version](flow, () => void undone.push(`charge, version ${version}`));
    return returned as void;
  });
  const parcel = Parcel.handle(async (flow) => {
    await flow.step("pack", () => 1, { undo: () => void undone.push("pack") });
    await flow.wait(Sent);
  });
  await using cluster = await testCluster(1, { handlers: [order, parcel], logger: QUIET });
  const app = cluster.app("node-1");
  const run = unwrap(await app.start(Order));
  await cluster.advance(6_000);
  version = 1;
  await goOn(app, run, (to) => version = to);
  return undone;
}

const charge = (flow: Flow, undo: () => void) => flow.step("charge", () => 1, { undo });

describe("a step that was recorded with an undo, and that a changed handler does not get to", () => {
  const waiting = async (flow: Flow, undo: () => void) => {
    await charge(flow, undo);
    await flow.wait(Go);
  };
  const checking = async (flow: Flow, undo: () => void) => {
    await flow.step("check", () => 1);
    await charge(flow, undo);
    await flow.wait(Go);
  };
  const stuck = async (app: Catga, run: string) => {
    while ((await infoOf(app, run)).status !== "stuck") await app.clock.sleep(500);
    const [{ name, error }] = (await infoOf(app, run)).pending;
    assertEquals([name, error?.message.includes("the handler was changed")], ["@undo charge", true]);
  };
  /** Cancels a run, which becomes stuck, and retries with the first handler: the run ends. */
  const cancelAndRetry = async (app: Catga, run: string, change: (version: number) => void) => {
    unwrap(await app.cancel(Order, run, "enough"));
    await stuck(app, run);
    change(0);
    await (await infoOf(app, run)).retry();
    assertEquals((await app.result(Order, run)).error?.code, "CANCELLED");
  };

  it("has a cancelled run stuck until a handler calls it (the run ended, and the charge stayed)", async () => {
    const undone = await changed([waiting, checking], cancelAndRetry);
    assertEquals(undone, ["charge, version 0"]);
  });

  it("has a cancelled run stuck that waits without it, until an operator skips its undo", async () => {
    const undone = await changed([waiting, (flow) => flow.wait(Go)], async (app, run) => {
      unwrap(await app.cancel(Order, run, "enough"));
      await stuck(app, run);
      await (await infoOf(app, run)).skip("@undo charge", undefined, "by hand");
      assertEquals((await app.result(Order, run)).error?.code, "CANCELLED");
    });
    assertEquals(undone, []);
  });

  it("has a cancelled run stuck whose handler returns without it (the run ended, and the charge stayed)", async () => {
    const undone = await changed([waiting, () => Promise.resolve()], cancelAndRetry);
    assertEquals(undone, ["charge, version 0"]);
  });

  it("has a run stuck that was undoing when it was changed (it ended, and the charge stayed)", async () => {
    const closed = async (flow: Flow) => {
      await charge(flow, () => {
        throw new Error("closed");
      });
      return fail("NO", "no");
    };
    const undone = await changed([closed, checking], async (app, run) => {
      await stuck(app, run);
      await (await infoOf(app, run)).skip("@undo charge", undefined, "by hand");
      assertEquals((await app.result(Order, run)).error?.code, "NO");
    });
    assertEquals(undone, []);
  });

  it("does not have a run stuck that succeeds", async () => {
    await changed([waiting, (flow) => flow.wait(Go)], async (app, run) => {
      unwrap(await app.tell(Go, run));
      unwrap(await app.result(Order, run));
    });
  });
});

describe("a run that was started by a step, and that waits for a signal", () => {
  const later: [what: string, handler: (flow: Flow) => Promise<unknown>][] = [
    ["whose step sends another workflow now", (flow) => flow.send(workflow("Letter"), undefined, { name: "ship" })],
    ["whose step is no longer called", (flow) => flow.wait(Go)],
  ];
  for (const [what, handler] of later) {
    it(`${what}, is cancelled with its parent (it went on)`, async () => {
      const undone = await changed(
        [(flow) => flow.send(Parcel, undefined, { name: "ship" }), handler],
        async (app, run) => {
          unwrap(await app.cancel(Order, run, "enough"));
          assertEquals((await app.result(Order, run)).error?.code, "CANCELLED");
          assertEquals((await app.result(Parcel, `Order:${run}:ship`)).error?.code, "CANCELLED");
        },
      );
      assertEquals(undone, ["pack"]);
    });
  }

  it("and whose parent's handler has thrown meanwhile, is cancelled with it (the parent was stuck)", async () => {
    const throwing = async (flow: Flow) => {
      const shipped = flow.send(Parcel, undefined, { name: "ship" });
      await flow.step("check", () => 1);
      if (throws) throw new Error("not now");
      await shipped;
    };
    let throws = true;
    const undone = await changed([throwing, (flow) => flow.wait(Go)], async (app, run) => {
      throws = false;
      unwrap(await app.cancel(Order, run, "enough"));
      assertEquals((await app.result(Order, run)).error?.code, "CANCELLED");
      assertEquals((await app.result(Parcel, `Order:${run}:ship`)).error?.code, "CANCELLED");
    });
    assertEquals(undone, ["pack"]);
  });
});

describe("a name that an open run has recorded, and that a changed handler calls as something else", () => {
  type Call = (flow: Flow) => Promise<unknown>;
  /** By kind of a recorded name: a call that is pending, and one that has ended. */
  const KINDS: Readonly<Record<string, readonly [pending: Call, ended: Call | undefined]>> = {
    step: [
      (flow) => {
        const fails = () => Promise.reject(new Error("not now"));
        return flow.step("pay", fails, { retry: { delay: [3_600_000, 3_600_000] } });
      },
      (flow) => flow.step("pay", () => 1),
    ],
    sleep: [(flow) => flow.sleep("pay", 3_600_000), (flow) => flow.sleep("pay", 5)],
    wait: [
      (flow) => flow.wait(Go, { name: "pay" }),
      (flow) => flow.wait(Go, { name: "pay", timeout: 5 }),
    ],
    callback: [(flow) => flow.callback("pay").result, (flow) => flow.callback("pay", { timeout: 5 }).result],
  };
  for (const [before, calls] of Object.entries(KINDS)) {
    for (const [after, [call]] of Object.entries(KINDS)) {
      for (const [n, first] of calls.entries()) {
        if (before === after || first === undefined) continue;
        it(`a ${before} that ${n === 0 ? "is pending" : "has ended"}, called as a ${after}: the run can be cancelled, and undoes its steps`, async () => {
          const waiting = async (flow: Flow, undo: () => void) => {
            await charge(flow, undo);
            await first(flow);
            await flow.wait(Go, { name: "go on" });
          };
          const calling = async (flow: Flow, undo: () => void) => {
            await charge(flow, undo);
            await call(flow);
          };
          const undone = await changed([waiting, calling], async (app, run) => {
            unwrap(await app.cancel(Order, run, "enough"));
            assertEquals((await app.result(Order, run)).error?.code, "CANCELLED");
          });
          assertEquals(undone, ["charge, version 1"]);
        });

        it(`a ${before} that ${n === 0 ? "is pending" : "has ended"}, called as a ${after}: the run is stuck, and goes on with its own`, async () => {
          const waiting = async (flow: Flow) => {
            await first(flow);
            await flow.wait(Go, { name: "go on" });
          };
          await changed([waiting, async (flow) => void await call(flow)], async (app, run, change) => {
            unwrap(await app.tell(Kick, run)); // it is replayed
            while ((await infoOf(app, run)).status !== "stuck") await app.clock.sleep(500);
            const { pending } = await infoOf(app, run);
            const { error } = pending.find(({ name }) => name === "")!;
            const said = `has recorded "pay" as a ${before}, and the handler calls it as a ${after}`;
            assertEquals([error?.code, error?.message.includes(said)], ["HANDLER_FAILED", true], error?.message);
            change(0);
            await (await infoOf(app, run)).retry();
            while ((await infoOf(app, run)).status === "stuck") await app.clock.sleep(500);
            unwrap(await app.cancel(Order, run, "enough"));
          });
        });
      }
    }
  }
});
