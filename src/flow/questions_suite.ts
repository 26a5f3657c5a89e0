/** Tests of questions to runs, in memory, over NATS and on a file. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import {
  type Catga,
  catga,
  type CatgaOptions,
  command,
  type Handler,
  type Schema,
  unwrap,
  workflow,
} from "../../mod.ts";
import { eventually } from "../../test/support/eventually.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { infoOf } from "./run_suite.ts";

/** Starts apps on one network; open runs continue on the next app. */
export interface QuestionsHarness extends AsyncDisposable {
  /** Starts a node with these handlers, after it has stopped the node before. `warned`: gets its warnings. */
  start(handlers: readonly Handler[], warned?: (text: string) => void): Promise<Catga>;
}

/** A schema that takes texts, and returns their lengths. */
const LENGTH: Schema<string, number> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) => typeof value === "string" ? { value: value.length } : { issues: [{ message: "no text" }] },
  },
};

const LONG = { timeout: 60_000 };

export function questionsSuite(name: string, options: object, open: () => Promise<QuestionsHarness>): void {
  describe(`questions to a run: ${name}`, options, () => {
    it("are answered, or fail as the run says, in the order of the questions", async () => {
      const Trip = workflow<void, string[]>("Trip");
      const Move = Trip.question<{ to: string }, { fee: number }, "TOO_LATE">("Move");
      const trip = Trip.handle(async (flow) => {
        const places: string[] = [];
        for (let n = 0; n < 3; n++) {
          const { input, answer, fail } = await flow.wait(Move);
          if (n === 1) fail("TOO_LATE", "the boat has left", { details: { at: 7 } });
          else answer({ fee: n });
          places.push(input.to);
        }
        return places;
      });
      await using harness = await open();
      const app = await harness.start([trip]);
      const run = unwrap(await app.start(Trip));
      assertEquals(unwrap(await app.ask(Move, run, { to: "a" }, LONG)) satisfies { fee: number }, { fee: 0 });
      const late = await app.ask(Move, run, { to: "b" }, LONG);
      assertEquals([late.error?.code, late.error?.message], ["TOO_LATE", "the boat has left"]);
      assertEquals(late.error?.details, { at: 7 });
      assertEquals(unwrap(await app.ask(Move, run, { to: "c" }, LONG)), { fee: 2 });
      assertEquals(unwrap(await app.result(Trip, run, LONG)), ["a", "b", "c"]);
    });

    it("one id asks once: at once, later, after the end, and on the next node", async () => {
      const Trip = workflow<void, number>("Trip");
      const Count = Trip.question<void, number>("Count");
      const Over = Trip.signal("Over");
      const trip = Trip.handle(async (flow) => {
        for (let count = 1;; count++) {
          const [asked] = await flow.wait([Count, Over]);
          if (asked === undefined) return count - 1;
          asked.value.answer(count);
        }
      });
      await using harness = await open();
      const app = await harness.start([trip]);
      const run = unwrap(await app.start(Trip));
      const ask = (app: Catga, id: string) => app.ask(Count, run, undefined, { id, ...LONG });
      const answers = await Promise.all([ask(app, "x"), ask(app, "x"), ask(app, "x"), ask(app, "y")]);
      assertEquals(new Set(answers.slice(0, 3).map(unwrap)).size, 1);
      assertEquals(new Set(answers.map(unwrap)), new Set([1, 2]));
      const next = await harness.start([trip]);
      assertEquals(unwrap(await ask(next, "x")), unwrap(answers[0]));
      unwrap(await next.tell(Over, run));
      assertEquals(unwrap(await next.result(Trip, run, LONG)), 2);
      assertEquals(unwrap(await ask(next, "y")), unwrap(answers[3]));
      assertEquals((await ask(next, "z")).error?.code, "NO_RUN");
      assertEquals((await next.ask(Count, "none", undefined, LONG)).error?.code, "NO_RUN");
    });

    it("that a run does not answer fail with NOT_ANSWERED at its end, also later; before, with NOT_ENDED", async () => {
      const Trip = workflow<void, void>("Trip");
      const Taken = Trip.question("Taken");
      const Never = Trip.question("Never");
      const Over = Trip.signal("Over");
      const trip = Trip.handle(async (flow) => {
        await flow.wait(Taken);
        await flow.wait(Over);
      });
      await using harness = await open();
      const app = await harness.start([trip]);
      const run = unwrap(await app.start(Trip));
      const soon = await app.ask(Never, run, undefined, { timeout: 50 });
      assertEquals([soon.error?.code, soon.error?.retryable], ["NOT_ENDED", true]);
      const { id } = soon.error!.details as { id: string };
      const asking = [
        app.ask(Taken, run, undefined, { id: "t", ...LONG }),
        app.ask(Never, run, undefined, { id, ...LONG }),
      ];
      await eventually("both are seen", async () => {
        const names = (await infoOf(app, run)).pending.map(({ name }) => name);
        return names.includes("question Taken t") && names.includes(`question Never ${id}`) && names.includes("Over");
      });
      unwrap(await app.tell(Over, run));
      for (const { error } of await Promise.all(asking)) {
        assertEquals(error?.code, "NOT_ANSWERED");
        assertMatch(error!.message, /has ended without answering/);
      }
      assertEquals((await app.ask(Taken, run, undefined, { id: "t", ...LONG })).error?.code, "NOT_ANSWERED");
    });

    it("of a run that is cancelled fail with NOT_ANSWERED, which says so", async () => {
      const Trip = workflow<void, void>("Trip");
      const Never = Trip.question("Never");
      const trip = Trip.handle(async (flow) => void await flow.sleep("long", 600_000));
      await using harness = await open();
      const app = await harness.start([trip]);
      const run = unwrap(await app.start(Trip));
      const asking = app.ask(Never, run, undefined, LONG);
      await eventually("it is asked", async () => (await infoOf(app, run)).pending.length === 2);
      unwrap(await app.cancel(Trip, run, "no more"));
      const { error } = await asking;
      assertEquals(error?.code, "NOT_ANSWERED");
      assertMatch(error!.message, /has failed with CANCELLED/);
    });

    it("are checked by their schemas; a failure that is not declared is a mistake of the handler", async () => {
      const Trip = workflow<void, number>("Trip");
      const Size = Trip.question("Size", { input: LENGTH, output: LENGTH, failures: ["NO"] });
      const mistakes: string[] = [];
      const trip = Trip.handle(async (flow) => {
        const asked = await flow.wait(Size);
        const tries = [
          () => asked.fail("OTHER" as "NO", "no"),
          () => asked.answer("x".repeat(asked.input satisfies number)),
          () => asked.answer("again"),
        ];
        for (const [i, attempt] of tries.entries()) {
          try {
            attempt();
          } catch (error) {
            mistakes.push(`${i} ${(error as Error).message}`);
          }
        }
        return asked.input;
      });
      await using harness = await open();
      const app = await harness.start([trip]);
      const run = unwrap(await app.start(Trip));
      const refused = await app.ask(Size, run, 5 as unknown as string, LONG);
      assertEquals(refused.error?.code, "INVALID_MESSAGE");
      const result = await app.ask(Size, run, "four", LONG);
      // a refused attempt to answer is no answer
      assertEquals(mistakes.length, 2, mistakes.join());
      assertMatch(mistakes[0], /OTHER.*none of its failures: NO/);
      assertMatch(mistakes[1], /has its answer already/);
      assertEquals(unwrap(result) satisfies number, 4);
    });

    it("ctx.ask in a handler, and flow.ask in a run, ask another run, once for a step", async () => {
      const Stock = workflow<void, number>("Stock");
      const Take = Stock.question<number, number, "EMPTY">("Take");
      const Over = Stock.signal("Over");
      const stock = Stock.handle(async (flow) => {
        for (let left = 10;;) {
          const [asked] = await flow.wait([Take, Over]);
          if (asked === undefined) return left;
          if (asked.value.input > left) asked.value.fail("EMPTY", `only ${left} are left`);
          else asked.value.answer(left -= asked.value.input);
        }
      });
      const Buy = command<string, number>("Buy");
      const buy = Buy.handle(async (run, ctx) => unwrap(await ctx.ask(Take, run, 3, LONG)));
      const Order = workflow<string, (number | string)[]>("Order");
      const order = Order.handle(async (flow, run) => {
        const all = [await flow.ask(Take, run, 4), await flow.ask(Take, run, 5, { name: "more" })];
        const none = await flow.ask(Take, "none", 1, { name: "none" });
        return [...all, none].map((result) => result.ok ? result.value : result.error.code);
      });
      await using harness = await open();
      const app = await harness.start([stock, buy, order]);
      const run = unwrap(await app.start(Stock));
      assertEquals(unwrap(await app.send(Buy, run)), 7);
      const ordered = unwrap(await app.start(Order, run));
      assertEquals(unwrap(await app.result(Order, ordered, LONG)), [3, "EMPTY", "NO_RUN"]);
      unwrap(await app.tell(Over, run));
      assertEquals(unwrap(await app.result(Stock, run, LONG)), 3);
    });

    it("flow.ask goes on at the next node, also while it waits; a cancel, and an abort of ask, end the wait", async () => {
      const Slow = workflow<void, void>("Slow");
      const Ask = Slow.question<string, string>("Ask");
      const Go = Slow.signal("Go");
      const slow = Slow.handle(async (flow) => {
        const asked = [await flow.wait(Ask), await flow.wait(Ask)];
        await flow.wait(Go);
        for (const one of asked) one.answer(`${one.input}!`);
      });
      const Asker = workflow<string, string>("Asker");
      const asker = Asker.handle(async (flow, run) => {
        const { value } = await flow.ask(Ask, run, flow.id);
        return value ?? "none";
      });
      await using harness = await open();
      const app = await harness.start([slow, asker]);
      const run = unwrap(await app.start(Slow));
      for (const id of ["a", "b"]) unwrap(await app.start(Asker, run, { id }));
      const pending = async (app: Catga) => (await infoOf(app, run)).pending.length;
      await eventually("both have asked", async () => await pending(app) === 3);
      unwrap(await app.cancel(Asker, "b", "no more"));
      assertEquals((await app.result(Asker, "b", LONG)).error?.code, "CANCELLED");
      const gone = new AbortController();
      const asking = app.ask(Ask, run, "c", { signal: gone.signal, ...LONG });
      await eventually("it is asked", async () => await pending(app) === 4);
      gone.abort();
      assertEquals((await asking).error?.code, "NOT_ENDED");
      const next = await harness.start([slow, asker]);
      unwrap(await next.tell(Go, run));
      assertEquals(unwrap(await next.result(Asker, "a", LONG)), "a!");
    });

    it("misuse throws at once, and says what to do", async () => {
      const Trip = workflow("Trip");
      const Move = Trip.question("Move");
      const Go = Trip.signal("Go");
      const trip = Trip.handle(async (flow) => void await flow.wait(Go));
      await using harness = await open();
      const app = await harness.start([trip]);
      const run = unwrap(await app.start(Trip));
      const thrown = async (call: () => Promise<unknown>) => {
        const error = await call().then(() => undefined, (error) => error);
        assert(error instanceof TypeError || error instanceof RangeError, `${error}`);
        return error.message;
      };
      assertMatch(await thrown(() => app.tell(Move as never, run)), /Move is a question: app.ask/);
      assertMatch(await thrown(() => app.ask(Go as never, run)), /ask takes what the question/);
      assertMatch(await thrown(() => app.ask(Move, "")), /ask Move: run/);
      assertMatch(await thrown(() => app.ask(Move, run, undefined, { timeout: 0 })), /timeout/);
      assertMatch(await thrown(() => app.ask(Move, run, undefined, { wait: 1 } as never)), /wait/);
      for (const bad of [{ failures: "NO" }, { output: {} }, { keep: 5 }, { every: 5 }]) {
        assertMatch(
          await thrown(() => Promise.resolve().then(() => Trip.question("q", bad as never))),
          /workflow Trip: question q/,
        );
      }
    });
  });
}

/** A node at a time, each over the same store. */
export function questionsHarness(
  over: Pick<CatgaOptions, "network" | "file" | "nats">,
  end: () => PromiseLike<void>,
): QuestionsHarness {
  const awake = setInterval(() => {}, 1_000); // keeps the process alive, because timers of an app do not
  let app: Catga | undefined;
  let count = 0;
  return {
    async start(handlers, warned) {
      await app?.drain();
      return app = await catga({
        ...over,
        id: `n${count++}`,
        service: "s",
        handlers,
        logger: { ...QUIET, warn: warned ?? (() => {}) },
      });
    },
    async [Symbol.asyncDispose]() {
      clearInterval(awake);
      await app?.drain();
      await end();
    },
  };
}
