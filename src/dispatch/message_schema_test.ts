import { describe, it } from "node:test";
import { assertEquals, assertStrictEquals } from "@std/assert";
import { localApp } from "../../test/support/local_app.ts";
import { counting, refusing } from "../../test/support/schemas.ts";
import { command, query } from "../contract/declaration/definition.ts";
import { fail } from "../contract/calls/result.ts";
import type { AnyContract } from "../contract/declaration/contract.ts";
import { CatgaError } from "../error.ts";
import { MessageContext } from "./message_context.ts";
import { parseAnswer, parsePayload, withCheckedAnswer, withParsedAnswer, withParsedPayload } from "./message_schema.ts";
import { type Outcome, Refusal } from "./outcome.ts";

const double = counting((n: number) => n * 2);
const Plain = query<number, number>("Plain");
const Double = query("Double", { input: double, output: double });
const No = command("No", { input: refusing({ message: "no" }), output: refusing({ message: "no" }) });

const context = (contract: AnyContract) => new MessageContext(localApp().inside, contract, 1_000, undefined);
const cancelled = new CatgaError("CANCELLED", "given up");

/** Makes a contract of this kind whose schema settles when the test resolves `parsed`. */
function slow(kind: "command" | "query") {
  const parsed = Promise.withResolvers<number>();
  const schema = counting((_: number) => parsed.promise);
  const options = { input: schema, output: schema };
  return { parsed, contract: kind === "command" ? command("Slow", options) : query("Slow", options) };
}

describe("parsePayload and parseAnswer", () => {
  it("return what the schema makes, or a failure with the code of each; without a schema the value as it is", () => {
    const payload = {};
    assertStrictEquals((parsePayload(Plain, payload) as { value: unknown }).value, payload);
    const answer = { ok: true, value: {} } as const;
    assertStrictEquals(parseAnswer(Plain, answer), answer);
    assertEquals(parsePayload(Double, 4), { ok: true, value: 8 });
    assertEquals(parseAnswer(Double, { ok: true, value: 4 }), { ok: true, value: 8 });
    const refused = [parsePayload(No, 4), parseAnswer(No, answer)] as { error: CatgaError }[];
    assertEquals(refused.map(({ error }) => error.code), ["INVALID_MESSAGE", "INVALID_RESPONSE"]);
  });

  it("parseAnswer: a failure stays as it is, and the schema is not run", () => {
    const { runs } = double;
    const failure = fail("NO_TEA", "none");
    assertStrictEquals(parseAnswer(Double, failure), failure);
    assertEquals(double.runs, runs);
  });
});

describe("withParsedPayload", () => {
  it("runs the handler at once if the schema is synchronous", () => {
    const ctx = context(Double);
    assertEquals(withParsedPayload(Double, 4, ctx, (value) => ({ ok: true, value })), { ok: true, value: 8 });
    assertEquals(ctx.execution.stage, "handler");
  });

  it("a payload that the schema refuses does not reach the handler", () => {
    let ran = 0;
    const outcome = withParsedPayload(No, 4, context(No), () => ({ ok: true, value: ran++ }));
    assertEquals([(outcome as { error: CatgaError }).error.code, ran], ["INVALID_MESSAGE", 0]);
  });

  it("the message is being prepared while the schema is asynchronous, and not when the handler runs", async () => {
    const { parsed, contract } = slow("query");
    const ctx = context(contract);
    const outcome = withParsedPayload(contract, 4, ctx, (value) => {
      return { ok: true, value: { value, stage: ctx.execution.stage } };
    });
    assertEquals(ctx.execution.stage, "preparing");
    parsed.resolve(9);
    assertEquals(await outcome, { ok: true, value: { value: 9, stage: "handler" } });
  });

  it("a message that is aborted while the schema runs is refused at once, and never reaches the handler", async () => {
    const { parsed, contract } = slow("command");
    const ctx = context(contract);
    let ran = 0;
    const outcome = withParsedPayload(contract, 4, ctx, () => ({ ok: true, value: ran++ }));
    ctx.abort(cancelled);
    assertEquals(await outcome instanceof Refusal, true);
    parsed.resolve(9);
    await parsed.promise;
    await Promise.resolve();
    assertEquals(ran, 0);
  });
});

describe("withParsedAnswer and withCheckedAnswer", () => {
  const answers = { here: withParsedAnswer, elsewhere: withCheckedAnswer };

  it("the answer for this process is the parsed one; for another it is the handler's own, which is checked", async () => {
    const handled: Outcome = { ok: true, value: 4 };
    const ctx = context(Double);
    assertEquals(withParsedAnswer(Double, handled, ctx), { ok: true, value: 8 });
    assertStrictEquals(withCheckedAnswer(Double, handled, ctx), handled);
    assertStrictEquals(await withCheckedAnswer(Double, Promise.resolve(handled), ctx), handled);
    for (const answer of Object.values(answers)) {
      const { error } = answer(No, handled, ctx) as { error: CatgaError };
      assertEquals(error.code, "INVALID_RESPONSE");
    }
  });

  it("a refusal is passed on, and no schema is run", () => {
    const { runs } = double;
    const ctx = context(Double);
    const refusal = new Refusal("LATE", ctx);
    for (const answer of Object.values(answers)) assertStrictEquals(answer(Double, refusal, ctx), refusal);
    assertEquals(double.runs, runs);
  });

  for (const [kind, code] of [["command", "OUTCOME_UNKNOWN"], ["query", "TIMEOUT"]] as const) {
    it(`a ${kind} whose time is over while its answer is parsed is ${code}: its handler has run`, async () => {
      for (const answer of Object.values(answers)) {
        const { contract } = slow(kind);
        const ctx = context(contract);
        const outcome = answer(contract, { ok: true, value: 4 }, ctx);
        ctx.abort(new CatgaError("TIMEOUT", "too late"));
        const { error } = await outcome as { error: CatgaError };
        assertEquals(error.code, code);
      }
    });
  }
});
