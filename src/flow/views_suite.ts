/** Tests of what runs show, which run in memory, in a file and over NATS. */
import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { CatgaError, type Result, type Step, unwrap, workflow } from "../../mod.ts";
import { eventually } from "../../test/support/eventually.ts";
import type { DeclaredHarness } from "./declared_suite.ts";
import { infoOf } from "./run_suite.ts";

interface Parcels {
  readonly state: "new" | "packing" | "sent";
  readonly parcels: number;
  readonly on?: Date;
}

/** Collects what a watch returns, until its end. */
async function watched<View>(
  watch: AsyncIterable<{ readonly view: View | undefined; readonly result: Result<unknown, string> | undefined }>,
): Promise<{ readonly views: (View | undefined)[]; readonly result: Result<unknown, string> | undefined }> {
  const views: (View | undefined)[] = [];
  let result: Result<unknown, string> | undefined;
  for await (const change of watch) {
    views.push(change.view);
    result = change.result;
  }
  return { views, result };
}

export function viewsSuite(name: string, options: object, open: () => Promise<DeclaredHarness>): void {
  describe(`what a run shows, ${name}`, options, () => {
    it("view: the last value shown, with its types, also by another node, after its end, and without a handler", async () => {
      const Order = workflow("Order").view<Parcels>();
      const Packed = Order.signal("packed");
      const order = Order.handle(async (flow) => {
        flow.show({ state: "new", parcels: 0 });
        flow.show({ state: "packing", parcels: 2, on: new Date(7) });
        await flow.wait(Packed);
        flow.show({ state: "sent", parcels: 2 });
      });
      await using harness = await open();
      const app = await harness.start([order]);
      unwrap(await app.start(Order, undefined, { id: "o" }));
      const view = await eventually("its view", async () => unwrap(await app.view(Order, "o")));
      assertEquals(view, { state: "packing", parcels: 2, on: new Date(7) });
      const { view: shown, stage, timeline } = await infoOf(app, "o");
      assertEquals([shown, stage], [view, undefined]);
      assertEquals(timeline.filter(({ type }) => type === "shown").map(({ value }) => value), [view]);

      const other = await harness.start([]);
      assertEquals(unwrap(await other.view(Order, "o")), view);
      unwrap(await other.tell(Packed, "o"));
      // the last message of the run is now the signal, which another process has stored
      assertEquals(unwrap(await other.view(Order, "o")), view);
      const next = await harness.start([order]);
      unwrap(await next.result(Order, "o", { timeout: 60_000 }));
      assertEquals(unwrap(await next.view(Order, "o")), { state: "sent", parcels: 2 });
      assertEquals((await next.view(Order, "none")).error?.code, "NO_RUN");
    });

    it("progress: an attempt goes on where the failed one was; what is pending says how far it is", async () => {
      const Copy = workflow<void, number[]>("Copy");
      const More = Copy.signal("more");
      const copy = Copy.handle(async (flow) => {
        const rows = await flow.step("rows", (step: Step<{ row: number }>) => {
          const { last = { row: 0 }, attempt, progress } = step;
          for (let row = last.row + 1; row <= last.row + 2_500; row++) progress({ row });
          if (attempt < 3) throw new Error("the connection is lost");
          return [last.row, attempt];
        }, { retry: { delay: [1, 1] } });
        const long = flow.step("long", async (step) => {
          step.progress("half");
          await new Promise((resolve) => step.signal.addEventListener("abort", resolve));
        });
        await Promise.race([long, flow.wait(More)]);
        return rows;
      });
      await using harness = await open();
      const app = await harness.start([copy]);
      unwrap(await app.start(Copy, undefined, { id: "c" }));
      const progress = async () => {
        const { pending } = await infoOf(app, "c");
        return pending.find(({ name }) => name === "long")?.progress;
      };
      assertEquals(await eventually("its progress", progress), "half");
      const { timeline } = await infoOf(app, "c");
      const stored = timeline.filter(({ type, name }) => type === "progress" && name === "rows");
      assertEquals(stored.map(({ value }) => value), [{ row: 2_500 }, { row: 5_000 }]);
      unwrap(await app.tell(More, "c"));
      assertEquals(unwrap(await app.result(Copy, "c", { timeout: 60_000 })), [5_000, 3]);
    });

    it("runs: where finds them by members of what they show", async () => {
      const Order = workflow<{ parcels: number }>("Order", { id: ({ parcels }) => `${parcels}` }).view<Parcels>();
      const Packed = Order.signal("packed");
      const order = Order.handle(async (flow, { parcels }) => {
        flow.show({ state: parcels > 1 ? "packing" : "new", parcels, on: new Date(parcels) });
        await flow.wait(Packed);
      });
      await using harness = await open();
      const app = await harness.start([order]);
      for (const parcels of [1, 2, 3]) unwrap(await app.start(Order, { parcels }));
      const found = async (where: Record<string, unknown>) => {
        const ids: string[] = [];
        for await (const { id } of app.runs({ where })) ids.push(id);
        return ids.sort();
      };
      await eventually("their views", async () => (await found({})).length === 3);
      assertEquals(await found({ state: "packing" }), ["2", "3"]);
      assertEquals(await found({ state: "packing", on: new Date(3) }), ["3"]);
      assertEquals(await found({ state: "sent" }), []);
      assertEquals(await found({ missing: undefined, state: "new" }), ["1"]);
      await assertRejects(() => app.runs({ where: "packing" as never }).next(), TypeError, "where");
    });

    it("watch: the present view, each change, and the end with the last view, on each node", async () => {
      const Order = workflow<void, string, "LOST">("Order").view<Parcels>();
      const More = Order.signal<number>("more");
      const order = Order.handle(async (flow) => {
        for (;;) {
          const parcels = await flow.wait(More);
          if (parcels === 0) return "done";
          flow.show({ state: "packing", parcels });
        }
      });
      await using harness = await open();
      const app = await harness.start([order]);
      unwrap(await app.start(Order, undefined, { id: "o" }));
      const first = app.watch(Order, "o");
      const seen = [];
      for (const parcels of [1, 2]) {
        unwrap(await app.tell(More, "o", parcels));
        const { value } = await first.next();
        seen.push(value.view?.parcels, value.result);
      }
      assertEquals(seen, [1, undefined, 2, undefined]);
      const second = watched(app.watch(Order, "o"));
      const { value: { number } } = await app.watch(Order, "o").next();
      const later = watched(app.watch(Order, "o", { after: number }));
      unwrap(await app.tell(More, "o", 0));
      const last = { state: "packing", parcels: 2 };
      for (const { views, result } of [await watched(first), await second, await later]) {
        assertEquals(views.at(-1), last);
        // a watch begins with what the store has, or later: this node had given out the second view before
        assertEquals(views.filter((view) => view?.parcels !== 2), []);
        assertEquals(result?.value, "done");
      }
      const { views, result } = await watched(app.watch(Order, "o"));
      assertEquals([views.at(-1), result?.value], [last, "done"]);
    });

    it("watch: a run that shows nothing has its end; NO_RUN and CLOSED are thrown; a signal ends it", async () => {
      const Order = workflow<void, void, "LOST">("Order");
      const End = Order.signal("end");
      const order = Order.handle((flow) => flow.wait(End));
      await using harness = await open();
      const app = await harness.start([order]);
      unwrap(await app.start(Order, undefined, { id: "o" }));
      const giveUp = new AbortController();
      const given = watched(app.watch(Order, "o", { signal: giveUp.signal }));
      giveUp.abort();
      assertEquals(await given, { views: [], result: undefined });
      await assertRejects(() => watched(app.watch(Order, "none")), CatgaError, "no run none");
      const ends = watched(app.watch(Order, "o"));
      unwrap(await app.tell(End, "o"));
      assertEquals((await ends).views, [undefined]);
      unwrap(await app.start(Order, undefined, { id: "p" }));
      const closes = assertRejects(() => watched(app.watch(Order, "p")), CatgaError, "stops");
      await eventually("it is read", async () => (await app.view(Order, "p")).ok);
      await harness.start([]);
      await closes;
    });
  });
}
