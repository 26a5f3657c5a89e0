/** Tests of lists that runs work through (`flow.map`), in memory, over NATS and on a file. */
import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { command, fail, query, unwrap, workflow } from "../../mod.ts";
import { eventually } from "../../test/support/eventually.ts";
import type { QuestionsHarness } from "./questions_suite.ts";
import { infoOf } from "./run_suite.ts";

const LONG = { timeout: 120_000 };
const numbers = (count: number) => Array.from({ length: count }, (_, n) => n);

export function mapSuite(name: string, options: object, open: () => Promise<QuestionsHarness>): void {
  describe(`a list that a run works through: ${name}`, options, () => {
    it("gives what its items gave, in the order of the list, with so many steps at once", async () => {
      const Sizes = workflow<number[], string[]>("Sizes");
      let [open_, most] = [0, 0];
      const ids: string[] = [];
      const sizes = Sizes.handle((flow, list) =>
        flow.map(list, async (item, { id, attempt }, place) => {
          ids.push(id);
          most = Math.max(most, ++open_);
          await new Promise((resolve) => setTimeout(resolve, 3 * item % 7));
          open_--;
          if (item === 5 && attempt === 1) throw new Error("once");
          return `${place}:${item}`;
        }, { name: "sizes", atOnce: 3, retry: { delay: [1, 1] } })
      );
      await using harness = await open();
      const app = await harness.start([sizes]);
      const run = unwrap(await app.start(Sizes, numbers(20), { id: "s" }));
      assertEquals(unwrap(await app.result(Sizes, run, LONG)), numbers(20).map((n) => `${n}:${n}`));
      assertEquals([most, ids.length, ids[0]], [3, 21, "Sizes:s:sizes[0]"]);
      const { timeline } = await infoOf(app, run);
      assertEquals(timeline.filter(({ type }) => type === "done").length, 20);
    });

    it("ends with the first failure, as Promise.all does, and begins no other item", async () => {
      const List = workflow<number[], string>("List");
      let begun = 0;
      const list = List.handle(async (flow, items) => {
        const all = await flow.map(items, (item) => (begun++, item === 2 ? fail("ODD", `item ${item}`) : item), {
          name: "one",
          atOnce: 1,
        });
        return Array.isArray(all) ? "all" : all.error.message;
      });
      await using harness = await open();
      const app = await harness.start([list]);
      const run = unwrap(await app.start(List, numbers(9)));
      assertEquals([unwrap(await app.result(List, run, LONG)), begun], ["item 2", 3]);
    });

    it("collects failures, too, as Promise.allSettled does, with `settled`", async () => {
      const List = workflow<number[], string[]>("List");
      const list = List.handle(async (flow, items) => {
        const all = await flow.map(items, (item) => item % 2 === 0 ? item : fail("ODD", `item ${item}`), {
          name: "one",
          settled: true,
        });
        return all.map((one) => typeof one === "number" ? `${one}` : one.error.code);
      });
      await using harness = await open();
      const app = await harness.start([list]);
      const run = unwrap(await app.start(List, numbers(4)));
      assertEquals(unwrap(await app.result(List, run, LONG)), ["0", "ODD", "2", "ODD"]);
    });

    it("sends each item, or starts a run with it; without items gives an empty list", async () => {
      const Double = query<number, number>("Double");
      const Refuse = command<number, void, "NO">("Refuse");
      const Kid = workflow<number, number>("Kid");
      const All = workflow<void, unknown>("All");
      const handlers = [
        Double.handle((n) => 2 * n),
        Refuse.handle(() => fail("NO", "never")),
        Kid.handle(async (flow, n) => (await flow.sleep("some", 1), n * n)),
        All.handle(async (flow) => [
          unwrap(await flow.map([1, 2, 3], Double)),
          (await flow.map([1, 2], Refuse)).error?.code,
          (await flow.map([1, 2], Refuse, { name: "all", settled: true })).map(({ error }) => error?.code),
          unwrap(await flow.map(numbers(12), Kid, { atOnce: 4 })),
          unwrap(await flow.map([], Kid, { name: "none" })),
        ]),
      ];
      await using harness = await open();
      const app = await harness.start(handlers);
      const run = unwrap(await app.start(All));
      const squares = numbers(12).map((n) => n * n);
      assertEquals(unwrap(await app.result(All, run, LONG)), [[2, 4, 6], "NO", ["NO", "NO"], squares, []]);
    });

    it("of a run that fails is undone, each item that was done", async () => {
      const List = workflow<number[], void, "LATE">("List");
      const undone: string[] = [];
      const list = List.handle(async (flow, items) => {
        await flow.map(items, (item) => item + 10, {
          name: "one",
          undo: (value, item) => void undone.push(`${item}:${value}`),
        });
        return fail("LATE", "too late");
      });
      await using harness = await open();
      const app = await harness.start([list]);
      const run = unwrap(await app.start(List, numbers(4)));
      assertEquals((await app.result(List, run, LONG)).error?.code, "LATE");
      assertEquals(undone.toSorted(), ["0:10", "1:11", "2:12", "3:13"]);
    });

    it("of 5,000 steps is far from the maximum of a run's entries, and is not repeated by the next node", async () => {
      const Big = workflow<void, number>("Big");
      const More = Big.signal("More");
      let calls = 0;
      const big = Big.handle(async (flow) => {
        const all = await flow.map(numbers(5_000), (item) => (calls++, item), { name: "rows", atOnce: 100 });
        await flow.wait(More);
        return all.reduce((sum, item) => sum + item, 0);
      });
      await using harness = await open();
      const warnings: string[] = [];
      const app = await harness.start([big], (text) => warnings.push(text));
      const run = unwrap(await app.start(Big));
      await eventually("the wait", async () => (await infoOf(app, run)).pending.some(({ name }) => name === "More"));
      const next = await harness.start([big]);
      unwrap(await next.tell(More, run));
      assertEquals(unwrap(await next.result(Big, run, LONG)), 5_000 * 4_999 / 2);
      assertEquals(calls, 5_000);
      assertEquals(warnings.filter((text) => text.includes("entries")), []); // from 1,000 on
    });

    it("goes on at the next node with what is not recorded", async () => {
      const List = workflow<number[], number[]>("List");
      const done: number[] = [];
      let holds = true;
      const list = List.handle((flow, items) =>
        flow.map(items, async (item, { signal }) => {
          while (holds && item >= 5 && !signal.aborted) await new Promise((resolve) => setTimeout(resolve, 5));
          if (!signal.aborted) done.push(item);
          return item;
        }, { name: "one", atOnce: 2 })
      );
      await using harness = await open();
      const app = await harness.start([list]);
      const run = unwrap(await app.start(List, numbers(8)));
      await eventually("five items", async () => {
        return (await infoOf(app, run)).timeline.filter(({ type }) => type === "done").length === 5;
      });
      const next = harness.start([list]);
      holds = false;
      assertEquals(unwrap(await (await next).result(List, run, LONG)), numbers(8));
      assertEquals(done.toSorted(), numbers(8));
    });

    it("of another form is a TypeError", async () => {
      const Bad = workflow<void, string[]>("Bad");
      const bad = Bad.handle(async (flow) => {
        const why = (call: () => Promise<unknown>) => call().then(() => "none", (error) => `${error.message}`);
        return [
          await why(() => flow.map("abc" as never, () => 1, { name: "a" })),
          await why(() => flow.map([1], () => 1, {} as never)),
          await why(() => flow.map([1], () => 1, { name: "b", atOnce: 0 })),
          await why(() => flow.map(numbers(5_001), () => 1, { name: "c" })),
          await why(() => flow.map([1], () => 1, { name: "d", many: 2 } as never)),
          await why(() => flow.map([1], undefined as never, { name: "e" })),
          await flow.step("f[0]", () => "taken"),
          await why(() => flow.map([1], () => 1, { name: "f" })),
        ];
      });
      await using harness = await open();
      const app = await harness.start([bad]);
      const texts = unwrap(await app.result(Bad, unwrap(await app.start(Bad)), LONG));
      for (const [n, expected] of [/a list of items/, /name/, /atOnce/, /5000 items/, /many/, /flow\.send/].entries()) {
        assertMatch(texts[n], expected);
      }
      assertMatch(texts[7], /has a step "f\[0\]" already/);
      assertLess(texts.length, 9);
      assert(texts[6] === "taken");
    });
  });
}
