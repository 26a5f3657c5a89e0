/** Tests of callbacks of runs, in memory, over NATS and on a file. */
import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { describe, it } from "node:test";
import { type Catga, fail, type FlowCallback, type Schema, unwrap, workflow } from "../../mod.ts";
import type { QuestionsHarness } from "./questions_suite.ts";
import { eventually } from "../../test/support/eventually.ts";
import { infoOf } from "./run_suite.ts";

const LONG = { timeout: 60_000 };
/** A schema that takes texts, and returns their lengths. */
const LENGTH: Schema<string, number> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) => typeof value === "string" ? { value: value.length } : { issues: [{ message: "no text" }] },
  },
};

/** Tokens by name, and whoever waits for them: each replay of a handler gives its token once more. */
class Tokens {
  readonly #all = new Map<string, PromiseWithResolvers<string>>();
  readonly #seen = new Map<string, Set<string>>();

  give(name: string, { token }: Pick<FlowCallback<unknown>, "token">): void {
    this.#of(name).resolve(token);
    this.#seen.set(name, (this.#seen.get(name) ?? new Set()).add(token));
  }

  get(name: string): Promise<string> {
    return this.#of(name).promise;
  }

  /** All tokens that were given under a name. */
  seen(name: string): readonly string[] {
    return [...this.#seen.get(name) ?? []];
  }

  #of(name: string): PromiseWithResolvers<string> {
    const one = this.#all.get(name) ?? Promise.withResolvers<string>();
    this.#all.set(name, one);
    return one;
  }
}

async function codeOf(completed: ReturnType<Catga["complete"]>): Promise<string> {
  const { ok, error } = await completed;
  return ok ? "ok" : error.code;
}

export function callbacksSuite(name: string, options: object, open: () => Promise<QuestionsHarness>): void {
  describe(`callbacks of a run: ${name}`, options, () => {
    it("end once: with a value, a failure, or nothing in time; a value that the schema refuses is a failure", async () => {
      const tokens = new Tokens();
      const Order = workflow<void, unknown[]>("Order");
      const order = Order.handle(async (flow) => {
        const paid = flow.callback<number>("paid", { input: LENGTH });
        const all = {
          paid,
          refused: flow.callback<number>("refused", { input: LENGTH }),
          failed: flow.callback("failed"),
          late: flow.callback("late", { timeout: 20 }),
          none: flow.callback("none"),
        };
        await flow.step("tell", () => {
          for (const [name, one] of Object.entries(all)) tokens.give(name, one);
        });
        const results = [];
        for (const { result } of Object.values(all)) {
          const { ok, value, error } = await result;
          results.push(ok ? value ?? "nothing" : error.code);
        }
        assertEquals(paid.url, `/callbacks/${paid.token}`);
        return results;
      });
      await using harness = await open();
      const app = await harness.start([order]);
      const run = unwrap(await app.start(Order));
      assertEquals(await codeOf(app.complete(await tokens.get("paid"), "seven")), "ok");
      assertEquals(await codeOf(app.complete(await tokens.get("paid"), "eight")), "CALLBACK_ENDED");
      assertEquals(await codeOf(app.complete(await tokens.get("paid"), "seven")), "ok"); // a repeated call
      assertEquals(await codeOf(app.complete(await tokens.get("refused"), 7)), "ok");
      assertEquals(await codeOf(app.complete(await tokens.get("failed"), fail("DECLINED", "no money"))), "ok");
      assertEquals(await codeOf(app.complete(await tokens.get("failed"), fail("OTHER", "no money"))), "CALLBACK_ENDED");
      await eventually("the end of its time", async () => {
        const { timeline } = await infoOf(app, run);
        return timeline.some(({ type, name }) => type === "took" && name === "late");
      });
      assertEquals(await codeOf(app.complete(await tokens.get("late"), 1)), "CALLBACK_ENDED");
      assertEquals(await codeOf(app.complete(await tokens.get("none"))), "ok");
      assertEquals(unwrap(await app.result(Order, run, LONG)), [
        5,
        "INVALID_MESSAGE",
        "DECLINED",
        "TIMEOUT",
        "nothing",
      ]);
      // the run has ended
      assertEquals(await codeOf(app.complete(await tokens.get("paid"), "seven")), "ok");
      assertEquals(await codeOf(app.complete(await tokens.get("paid"), "eight")), "CALLBACK_ENDED");
    });

    it("a token is made by the run alone: other names, lives, runs and guesses are one and the same NO_CALLBACK", async () => {
      const tokens = new Tokens();
      const Order = workflow<string, number>("Order");
      const Go = Order.signal("Go");
      const order = Order.handle(async (flow, name) => {
        const paid = flow.callback<number>("paid");
        await flow.step("tell", () => tokens.give(name, paid));
        const { value = 0 } = await paid.result;
        await flow.wait(Go);
        return value;
      });
      await using harness = await open();
      const app = await harness.start([order]);
      const runs = [unwrap(await app.start(Order, "a", { id: "a" })), unwrap(await app.start(Order, "b", { id: "b" }))];
      const [a, b] = [await tokens.get("a"), await tokens.get("b")];
      const [[named, code], [other, foreign]] = [a.split("."), b.split(".")];
      const made = (...parts: unknown[]) => Buffer.from(JSON.stringify(parts)).toString("base64url");
      const guesses = [
        ...["", "x", named, `${named}.`, `.${code}`, `${named}.${code}x`, `${named}.${code.toLowerCase()}`],
        ...[`${named}.${foreign}`, `${other}.${code}`, `${named}.${"A".repeat(43)}`],
        ...[`${made("Order", "a", 2, "paid")}.${code}`, `${made("Order", "a", 1, "sent")}.${code}`],
        ...[`${made("Order", "c", 1, "paid")}.${code}`, `${made("Other", "a", 1, "paid")}.${code}`],
        ...[`${made("Order", "a", 1)}.${code}`, `${made("Ord.>", "a", 1, "paid")}.${code}`],
      ];
      const answers = new Set<string>();
      for (const guess of guesses) answers.add((await app.complete(guess, 1)).error?.message ?? `${guess}: ok`);
      assertEquals([...answers], ["there is no callback with this token"]);
      assertEquals(await codeOf(app.complete(a, 1)), "ok");
      assertEquals(await codeOf(app.complete(b, 2)), "ok");
      for (const run of runs) unwrap(await app.tell(Go, run));
      assertEquals([unwrap(await app.result(Order, "a", LONG)), unwrap(await app.result(Order, "b", LONG))], [1, 2]);
    });

    it("go on at the next node: the same token, a completion of before counts; open ones are shown, no token is", async () => {
      const tokens = new Tokens();
      const Order = workflow<void, number>("Order");
      const order = Order.handle(async (flow) => {
        const [first, second] = [flow.callback<number>("first"), flow.callback<number>("second")];
        tokens.give("replayed", first); // in each replay
        await flow.step("tell", () => {
          tokens.give("first", first);
          tokens.give("second", second);
        });
        return (await first.result).value! + (await second.result).value!;
      });
      await using harness = await open();
      const app = await harness.start([order]);
      const run = unwrap(await app.start(Order));
      const [first, second] = [await tokens.get("first"), await tokens.get("second")];
      assertNotEquals(first, second);
      assertEquals(await codeOf(app.complete(first, 3)), "ok");
      const next = await harness.start([order]);
      const info = await infoOf(next, run);
      const names = info.pending.map(({ name }) => name).filter((name) => name.startsWith("callback"));
      assert(names.includes("callback second"), `${names}`);
      const shown = JSON.stringify(info);
      for (const token of [first, second]) assertEquals(shown.includes(token.split(".")[1]), false);
      assertEquals(info.timeline.filter(({ type }) => type === "secret").map(({ value }) => value), [undefined]);
      assertEquals(await codeOf(next.complete(second, 4)), "ok");
      assertEquals(unwrap(await next.result(Order, run, LONG)), 7);
      assertEquals(tokens.seen("replayed"), [first]);
    });

    it("end with their life, and with a cancel: what was completed before is ok again, another token has ended", async () => {
      const tokens = new Tokens();
      const Loop = workflow<number, number>("Loop");
      const Go = Loop.signal("Go");
      const loop = Loop.handle(async (flow, round) => {
        const [paid, open] = [flow.callback<number>("paid"), flow.callback("open")];
        await flow.step("tell", () => {
          tokens.give(`paid ${round}`, paid);
          tokens.give(`open ${round}`, open);
        });
        const { value = 0 } = await paid.result;
        if (round < 2) return flow.again(round + value);
        await flow.wait(Go);
        return round;
      });
      await using harness = await open();
      const app = await harness.start([loop]);
      const run = unwrap(await app.start(Loop, 1));
      assertEquals(await codeOf(app.complete(await tokens.get("paid 1"), 1)), "ok");
      const second = await tokens.get("paid 2");
      assertNotEquals(second, await tokens.get("paid 1"));
      assertEquals(await codeOf(app.complete(await tokens.get("paid 1"), 1)), "ok");
      assertEquals(await codeOf(app.complete(await tokens.get("paid 1"), 2)), "CALLBACK_ENDED");
      assertEquals(await codeOf(app.complete(await tokens.get("open 1"), 2)), "CALLBACK_ENDED");
      unwrap(await app.cancel(Loop, run, "enough"));
      assertEquals(await codeOf(app.complete(second, 1)), "CALLBACK_ENDED");
      assertEquals((await app.result(Loop, run, LONG)).error?.code, "CANCELLED");
      assertEquals(await codeOf(app.complete(await tokens.get("open 2"), 1)), "CALLBACK_ENDED");
    });

    it("that a changed handler does not make: ok is told, and the run shows that nobody takes it, until one does", async () => {
      const tokens = new Tokens();
      const Order = workflow<void, unknown>("Order");
      const order = (name: string) =>
        Order.handle(async (flow) => {
          const paid = flow.callback(name);
          await flow.step("tell", () => tokens.give(name, paid));
          return (await paid.result).value;
        });
      await using harness = await open();
      const app = await harness.start([order("paid")]);
      const run = unwrap(await app.start(Order));
      const token = await tokens.get("paid");
      const shows = (app: Catga, name: string) =>
        eventually(`${name}`, async () => (await infoOf(app, run)).pending.some((one) => one.name === name));
      await shows(app, "callback paid");
      const changed = await harness.start([order("settled")]);
      assertEquals(await codeOf(changed.complete(token, 7)), "ok");
      await shows(changed, "completed callback paid");
      await shows(changed, "callback settled");
      const back = await harness.start([order("paid")]);
      assertEquals(unwrap(await back.result(Order, run, LONG)), 7);
    });

    it("misuse throws at once, and says what to do", async () => {
      const Order = workflow<string, string>("Order");
      const order = Order.handle(async (flow, which) => {
        try {
          if (which === "name") flow.callback("@x");
          if (which === "twice") [flow.callback("x"), flow.callback("x")];
          if (which === "option") flow.callback("x", { wait: 1 } as never);
          if (which === "input") flow.callback("x", { input: {} as never });
          if (which === "timeout") flow.callback("x", { timeout: -1 });
          if (which === "step") await flow.step("s", () => void flow.callback("x"));
        } catch (error) {
          return (error as Error).message;
        }
        return "nothing was thrown";
      });
      await using harness = await open();
      const app = await harness.start([order]);
      const expected = {
        name: /first of which is not "@"/,
        twice: /has a step "x" already/,
        option: /callback x: .*wait/,
        input: /callback x: input/,
        timeout: /callback x: timeout/,
      };
      for (const [which, message] of Object.entries(expected)) {
        const run = unwrap(await app.start(Order, which));
        assertMatch(unwrap(await app.result(Order, run, LONG)), message);
      }
      await app.complete(7 as never).then(() => assert(false), (error) => assertMatch(error.message, /the token/));
      assertEquals(await codeOf(app.complete("x.y", 7)), "NO_CALLBACK");
    });
  });
}
