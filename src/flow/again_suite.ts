/** Tests of runs that begin anew (`flow.again`), in memory, over NATS and on a file. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { command, fail, type Schema, unwrap, workflow } from "../../mod.ts";
import { eventually } from "../../test/support/eventually.ts";
import type { QuestionsHarness } from "./questions_suite.ts";
import { infoOf } from "./run_suite.ts";

const LONG = { timeout: 60_000 };

export function againSuite(name: string, options: object, open: () => Promise<QuestionsHarness>): void {
  describe(`a run that begins anew: ${name}`, options, () => {
    it("goes on under its id with the new input, takes each signal once, and ends once", async () => {
      const Sum = workflow<{ round: number; sum: number }, { round: number; sum: number }>("Sum");
      const Add = Sum.signal<number>("Add");
      const Over = Sum.signal("Over");
      const ids: string[] = [];
      const sum = Sum.handle(async (flow, { round, sum }) => {
        ids.push(await flow.step("note", ({ id }) => id));
        for (let n = 0; n < 3; n++) {
          const [add, over] = await flow.wait([Add, Over]);
          if (over !== undefined) return { round, sum };
          sum += add.value;
        }
        return flow.again({ round: round + 1, sum });
      });
      await using harness = await open();
      const app = await harness.start([sum]);
      const first = { round: 1, sum: 0 };
      const run = unwrap(await app.start(Sum, first, { id: "s" }));
      for (let n = 1; n <= 10; n++) unwrap(await app.tell(Add, run, n, { id: `${n}` }));
      unwrap(await app.tell(Add, run, 10, { id: "10" })); // counts once, whatever the life
      assertEquals(unwrap(await app.start(Sum, first, { id: "s" })), run);
      assertEquals((await app.start(Sum, { round: 4, sum: 45 }, { id: "s" })).error?.code, "ID_REUSED");
      await eventually("the fourth life", async () => {
        const { timeline } = await infoOf(app, run);
        return timeline.filter(({ type }) => type === "again").length === 3;
      });
      const next = await harness.start([sum]);
      assertEquals(unwrap(await next.start(Sum, first, { id: "s" })), run);
      unwrap(await next.tell(Over, run));
      assertEquals(unwrap(await next.result(Sum, run, LONG)), { round: 4, sum: 55 });
      // the id of a step names the life
      assertEquals([...new Set(ids)], ["Sum:s:note", "Sum:s:@2%3Anote", "Sum:s:@3%3Anote", "Sum:s:@4%3Anote"]);
    });

    it("hands over what a wait took and the handler has not seen, questions, and answers under their ids", async () => {
      const Loop = workflow<{ round: number; seen: string[] }, string[]>("Loop");
      const X = Loop.signal<string>("X");
      const Y = Loop.signal<string>("Y");
      const Ask = Loop.question<string, string>("Ask");
      const Over = Loop.signal("Over");
      const loop = Loop.handle(async (flow, { round, seen }) => {
        // three waits of a race: those that lose it may take something, which the next life gets
        const got = await Promise.race([
          flow.wait(X),
          flow.wait(Y),
          flow.wait(Ask).then((asked) => {
            asked.answer(`${asked.input} in life ${round}`);
            return asked.input;
          }),
          flow.wait(Over).then(() => undefined),
        ]);
        if (got === undefined) return seen;
        return flow.again({ round: round + 1, seen: [...seen, got] });
      });
      await using harness = await open();
      const app = await harness.start([loop]);
      const run = unwrap(await app.start(Loop, { round: 1, seen: [] }, { id: "l" }));
      const asking: Promise<unknown>[] = [];
      for (let n = 0; n < 6; n++) {
        for (const signal of [X, Y]) asking.push(app.tell(signal, run, `${signal.name}${n}`, { id: `${n}` }));
        asking.push(app.ask(Ask, run, `a${n}`, { id: `${n}`, ...LONG }));
      }
      const answers = (await Promise.all(asking)).filter((_, i) => i % 3 === 2) as { value: string }[];
      const again = await Promise.all(answers.map((_, n) => app.ask(Ask, run, "other", { id: `${n}`, ...LONG })));
      assertEquals(again.map(unwrap), answers.map(({ value }) => value));
      unwrap(await app.tell(Over, run));
      const seen = unwrap(await app.result(Loop, run, LONG));
      assertEquals(seen.toSorted(), ["X", "Y", "a"].flatMap((kind) => [0, 1, 2, 3, 4, 5].map((n) => `${kind}${n}`)));
      for (const kind of ["X", "Y"]) {
        const own = seen.filter((one) => one.startsWith(kind));
        assertEquals(own, own.toSorted());
      }
    });

    it("does not answer what it has taken any more: NOT_ANSWERED, also under the id", async () => {
      const Loop = workflow<number, number>("Loop");
      const Ask = Loop.question("Ask");
      const Over = Loop.signal("Over");
      const loop = Loop.handle(async (flow, round) => {
        const [asked] = await flow.wait([Ask, Over]);
        return asked === undefined ? round : flow.again(round + 1);
      });
      await using harness = await open();
      const app = await harness.start([loop]);
      const run = unwrap(await app.start(Loop, 1));
      for (let n = 0; n < 2; n++) {
        const { error } = await app.ask(Ask, run, undefined, { id: "q", ...LONG });
        assertEquals(error?.code, "NOT_ANSWERED");
        assertMatch(error!.message, /began anew/);
      }
      unwrap(await app.tell(Over, run));
      assertEquals(unwrap(await app.result(Loop, run, LONG)), 2);
    });

    it("undoes the steps of its last life alone, and ends by a cancel of any life", async () => {
      const Loop = workflow<number, void, "NO">("Loop");
      const undone: string[] = [];
      const loop = Loop.handle(async (flow, round) => {
        await flow.step("do", () => round, { undo: (value) => void undone.push(`${value}`) });
        if (round < 4) return flow.again(round + 1);
        await flow.sleep("long", 600_000);
      });
      await using harness = await open();
      const app = await harness.start([loop]);
      const run = unwrap(await app.start(Loop, 1));
      await eventually("its sleep", async () => (await infoOf(app, run)).pending[0]?.name === "long");
      unwrap(await app.cancel(Loop, run, "enough"));
      assertEquals((await app.result(Loop, run, LONG)).error?.code, "CANCELLED");
      assertEquals(undone, ["4"]);
      assertEquals((await app.cancel(Loop, run, "again")).error?.code, "NO_RUN");
    });

    it("counts its timeout from the first start", async () => {
      const Loop = workflow<number, void>("Loop", { timeout: 1_500 });
      const loop = Loop.handle(async (flow, round) => {
        await flow.sleep("some", 100);
        return flow.again(round + 1);
      });
      await using harness = await open();
      const app = await harness.start([loop]);
      const run = unwrap(await app.start(Loop, 1));
      const { error } = await app.result(Loop, run, LONG);
      assertEquals([error?.code, error?.message.includes("longer than 1500 ms")], ["TIMEOUT", true]);
    });

    it("cancels the children that it waits for, or leaves them; its parent waits for its last life", async () => {
      const Child = workflow<string, string>("Child");
      const Go = Child.signal("Go");
      const child = Child.handle(async (flow, name) => {
        await flow.wait(Go);
        return name;
      });
      const Loop = workflow<number, number>("Loop");
      const loop = Loop.handle(async (flow, round) => {
        if (round > 2) return round;
        void flow.send(Child, `of ${round}`);
        await flow.step("meanwhile", () => {});
        await flow.sleep("until it is started", 100);
        return flow.again(round + 1, { children: round === 1 ? "cancel" : "leave" });
      });
      const Parent = workflow<void, number>("Parent");
      const parent = Parent.handle(async (flow) => {
        const ended = await flow.send(Loop, 1, { name: "loop" });
        return ended.ok ? ended.value : -1;
      });
      await using harness = await open();
      const app = await harness.start([child, loop, parent]);
      const run = unwrap(await app.start(Parent, undefined, { id: "p" }));
      assertEquals(unwrap(await app.result(Parent, run, LONG)), 3);
      const [first, second] = ["Loop:Parent:p:loop:Child", "Loop:Parent:p:loop:@2%3AChild"];
      const { error } = await app.result(Child, first, LONG);
      assertEquals(error?.code, "CANCELLED");
      assertMatch(error!.message, /has begun anew/);
      unwrap(await app.tell(Go, second));
      assertEquals(unwrap(await app.result(Child, second, LONG)), "of 2");
    });

    it("sends its idempotent commands in each life", async () => {
      const Charge = command<number, number>("Charge", { idempotent: true });
      let charged = 0;
      const Loop = workflow<number, number>("Loop");
      const handlers = [
        Charge.handle((cents) => charged += cents),
        Loop.handle(async (flow, round) => {
          const { value } = await flow.send(Charge, 5);
          return round === 3 ? value! : flow.again(round + 1);
        }),
      ];
      await using harness = await open();
      const app = await harness.start(handlers);
      assertEquals(unwrap(await app.result(Loop, unwrap(await app.start(Loop, 1)), LONG)), 15);
    });

    it("hands over what does not fit into a message in parts: 2 MB of signals and answers", async () => {
      const Loop = workflow<number, number>("Loop");
      const Big = Loop.signal<string>("Big");
      const Ask = Loop.question<number, string>("Ask");
      const Over = Loop.signal("Over");
      const loop = Loop.handle(async (flow, round) => {
        if (round === 1) { for (let n = 0; n < 5; n++) (await flow.wait(Ask)).answer(`${n}`.repeat(100_000)); }
        if (round < 4) {
          await flow.wait(Over);
          return flow.again(round + 1);
        }
        let bytes = 0;
        for (let n = 0; n < 30; n++) bytes += (await flow.wait(Big)).length;
        return bytes;
      });
      await using harness = await open();
      const app = await harness.start([loop]);
      const run = unwrap(await app.start(Loop, 1));
      const ask = (n: number) => app.ask(Ask, run, n, { id: `${n}`, ...LONG });
      for (let n = 0; n < 5; n++) assertEquals(unwrap(await ask(n)), `${n}`.repeat(100_000));
      for (let n = 0; n < 30; n++) unwrap(await app.tell(Big, run, "x".repeat(50_000 + n)));
      for (let n = 0; n < 3; n++) unwrap(await app.tell(Over, run));
      const types = () => infoOf(app, run).then(({ timeline }) => timeline.map(({ type }) => type));
      await eventually("the fourth life", async () => (await types()).filter((type) => type === "again").length === 3);
      assert((await types()).includes("carried"));
      // what a node reads that comes later
      const next = await harness.start([loop]);
      assertEquals(unwrap(await next.ask(Ask, run, 9, { id: "3", ...LONG })), "3".repeat(100_000));
      assertEquals(unwrap(await next.result(Loop, run, LONG)), 30 * 50_000 + 435);
    });

    it("may have 10,000 entries in each life, and warns of the life alone", async () => {
      const Loop = workflow<number, number>("Loop");
      const loop = Loop.handle(async (flow, round) => {
        for (let n = 0; n < 300; n++) await flow.step(`s${n}`, () => n);
        return round === 4 ? round : flow.again(round + 1);
      });
      await using harness = await open();
      const warned: string[] = [];
      const app = await harness.start([loop], (text) => warned.push(text));
      assertEquals(unwrap(await app.result(Loop, unwrap(await app.start(Loop, 1)), LONG)), 4);
      assertEquals(warned.filter((text) => text.includes("entries")), []);
    });

    it("says what is wrong: a step or an undo that calls it, a value that is not returned, a refused input", async () => {
      const input: Schema<number, number> = {
        "~standard": {
          version: 1,
          vendor: "test",
          validate: (value) => value === 1 ? { value: 1 } : { issues: [{ message: "not 1" }] },
        },
      };
      const Wrong = workflow("Wrong", { input });
      const Other = workflow<number, void, "NO">("Other");
      const wrong = Wrong.handle((flow) => flow.again(2));
      const thrown: string[] = [];
      const note = (call: () => unknown) => {
        try {
          call();
        } catch (error) {
          thrown.push((error as Error).message);
        }
      };
      const other = Other.handle(async (flow, n) => {
        await flow.step("s", () => note(() => flow.again(1)), { undo: () => note(() => flow.again(1)) });
        note(() => flow.again(1, { children: "eat" } as never));
        if (n === 1) flow.again(1);
        return fail("NO", "no");
      });
      await using harness = await open();
      const app = await harness.start([wrong, other]);
      unwrap(await app.start(Wrong, 1, { id: "w" }));
      unwrap(await app.start(Other, 1, { id: "o" }));
      const stuck = async (id: string) => {
        await eventually(`${id} to be stuck`, async () => (await infoOf(app, id)).status === "stuck");
        return (await infoOf(app, id)).pending[0].error!.message;
      };
      assertMatch(await stuck("w"), /not 1/);
      unwrap(await app.start(Other, 2, { id: "p" }));
      assertEquals((await app.result(Other, "p", LONG)).error?.code, "NO");
      assertMatch(thrown.join("\n"), /again is used in the function of step "s"/);
      assertMatch(thrown.join("\n"), /a run whose steps are undone/);
      assertMatch(thrown.join("\n"), /children is "cancel" or "leave"/);
    });
  });
}
