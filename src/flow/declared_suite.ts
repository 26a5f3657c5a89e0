/** Tests of schemas, failures and stages of workflows, which run in memory and over NATS. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { type Catga, fail, type Handler, type Schema, unwrap, workflow } from "../../mod.ts";
import { eventually } from "../../test/support/eventually.ts";
import { infoOf } from "./run_suite.ts";

/** Starts apps on one network; open runs continue on the next app. */
export interface DeclaredHarness extends AsyncDisposable {
  /** Starts a node with these handlers, after it has stopped the node before. */
  start(handlers: readonly Handler[]): Promise<Catga>;
}

/** Makes a schema that accepts numbers as text, and returns them as numbers; with `isAsync`, asynchronously. */
function numbers(isAsync = false): Schema<string, number> {
  const validate = (value: unknown) =>
    typeof value === "string" && /^\d+$/.test(value)
      ? { value: Number(value) }
      : { issues: [{ message: "not a number as text" }] };
  return {
    "~standard": {
      version: 1,
      vendor: "test",
      validate: (value) =>
        isAsync ? new Promise((resolve) => setTimeout(resolve, 5)).then(() => validate(value)) : validate(value),
    },
  };
}

export function declaredSuite(name: string, options: object, open: () => Promise<DeclaredHarness>): void {
  describe(`what a workflow declares: ${name}`, options, () => {
    it("input of a signal: refused where it is told, parsed where the run gets it, in order", async () => {
      for (const isAsync of [false, true]) {
        const Sum = workflow<void, number[]>("Sum");
        const Add = Sum.signal("add", { input: numbers(isAsync) });
        const Over = Sum.signal("over");
        const sum = Sum.handle(async (flow) => {
          const got: number[] = [];
          for (let n = 0; n < 3; n++) got.push(await flow.wait(Add) satisfies number);
          await flow.wait(Over);
          return got;
        });
        await using harness = await open();
        const app = await harness.start([sum]);
        const run = unwrap(await app.start(Sum, undefined, { id: "s" }));
        for (const text of ["1", "2"]) unwrap(await app.tell(Add, run, text));
        const refused = await app.tell(Add, run, "three");
        assertEquals(refused.error?.code, "INVALID_MESSAGE");
        assertMatch(refused.error!.message, /signal add.*not a number as text/);
        unwrap(await app.tell(Add, run, "3"));
        await eventually("its last wait", async () => (await infoOf(app, run)).pending[0]?.name === "over");
        // the next node replays the waits
        const next = await harness.start([sum]);
        unwrap(await next.tell(Over, run));
        assertEquals(unwrap(await next.result(Sum, run, { timeout: 60_000 })), [1, 2, 3]);
      }
    });

    it("output: what the schema makes of it is the result; with a value that it refuses the run is stuck", async () => {
      const Count = workflow("Count", { output: numbers() });
      let given: unknown = "many";
      const count = Count.handle(() => given as string);
      await using harness = await open();
      const app = await harness.start([count]);
      const run = unwrap(await app.start(Count, undefined, { id: "c" }));
      const stuck = await eventually("a stuck run", async () => {
        const info = await infoOf(app, run);
        return info.status === "stuck" && info;
      });
      assert(stuck);
      assertEquals(stuck.pending[0].error?.code, "INVALID_RESPONSE");
      assertMatch(stuck.pending[0].error!.message, /not a number as text/);
      given = "7";
      await stuck.retry();
      assertEquals(unwrap(await app.result(Count, run, { timeout: 60_000 })) satisfies number, 7);
    });

    it("failures: a declared code and Catga's own are as they are, another one is INVALID_RESPONSE", async () => {
      const Pay = workflow("Pay", { failures: ["DECLINED"] });
      const codes = ["DECLINED", "TIMEOUT", "OTHER"];
      // the cast is needed, because the types refuse the code "OTHER"
      const pay = Pay.handle((flow) => fail(codes[Number(flow.id)] as "DECLINED", "no"));
      await using harness = await open();
      const app = await harness.start([pay]);
      const seen: string[] = [];
      for (const id of ["0", "1", "2"]) {
        unwrap(await app.start(Pay, undefined, { id }));
        const { error } = await app.result(Pay, id, { timeout: 60_000 });
        seen.push(error!.code);
      }
      assertEquals(seen, ["DECLINED", "TIMEOUT", "INVALID_RESPONSE"]);
    });

    it("stage: the last one before each step is recorded once, seen by runs(), also after the run was taken over", async () => {
      const Order = workflow("Order");
      const Packed = Order.signal("packed");
      const order = Order.handle(async (flow) => {
        flow.stage("new");
        await flow.step("charge", () => "receipt");
        flow.stage("paid");
        await flow.wait(Packed);
        flow.stage("paid");
        flow.stage("sent");
        await flow.step("mail", () => {});
      });
      await using harness = await open();
      const app = await harness.start([order]);
      const run = unwrap(await app.start(Order, undefined, { id: "o" }));
      const stage = await eventually("its stage", async () => {
        const { stage, pending } = await infoOf(app, run);
        return pending[0]?.name === "packed" && stage;
      });
      assertEquals(stage, "paid");
      const next = await harness.start([order]);
      unwrap(await next.tell(Packed, run));
      unwrap(await next.result(Order, run, { timeout: 60_000 }));
      const info = await infoOf(next, run);
      const stages = info.timeline.filter(({ type }) => type === "staged").map(({ name }) => name);
      assertEquals([info.stage, info.status, stages], ["sent", "done", ["new", "paid", "sent"]]);
      const types = info.timeline.map(({ type, name }) => `${type} ${name}`.trim());
      assert(types.indexOf("staged new") < types.indexOf("done charge"));
      assert(types.lastIndexOf("staged sent") < types.indexOf("done mail"));
    });

    it("open: runs() gives those that have not ended, or those that have", async () => {
      const Wait = workflow("Wait");
      const Go = Wait.signal("go");
      await using harness = await open();
      const app = await harness.start([Wait.handle(async (flow) => void await flow.wait(Go))]);
      for (const id of ["a", "b", "c"]) unwrap(await app.start(Wait, undefined, { id }));
      unwrap(await app.tell(Go, "b"));
      unwrap(await app.result(Wait, "b", { timeout: 60_000 }));
      const ids = async (open?: boolean) => {
        const all: string[] = [];
        for await (const { id } of app.runs({ open })) all.push(id);
        return all.sort();
      };
      assertEquals([await ids(), await ids(true), await ids(false)], [["a", "b", "c"], ["a", "c"], ["b"]]);
    });
  });
}
