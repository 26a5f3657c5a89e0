import { describe, it } from "node:test";
import { assertEquals, assertInstanceOf, assertStrictEquals } from "@std/assert";
import { command, event } from "../../contract/declaration/definition.ts";
import type { AnyContract } from "../../contract/declaration/contract.ts";
import type { DurableHandler } from "../../dispatch/mediator.ts";
import type { HandlerRun } from "../../dispatch/handler_call.ts";
import { MessageContext } from "../../dispatch/message_context.ts";
import { type Outcome, Refusal } from "../../dispatch/outcome.ts";
import { CatgaError } from "../../error.ts";
import { localApp } from "../../../test/support/local_app.ts";
import { counting } from "../../../test/support/schemas.ts";
import { categoryHandlers } from "./category_handlers.ts";
import { RunEnvelope } from "./run_envelope.ts";

const Placed = event<{ n: number }>("Placed", { durable: true });
const OK: Outcome = { ok: true, value: undefined };
const FAILED: Outcome = { ok: false, error: new CatgaError("GONE", "none") };

describe("the handlers of a category", () => {
  it("may take as long as the one that may take longest; one without a timeout has that of the app", () => {
    const times = (...timeouts: (number | undefined)[]) =>
      categoryHandlers(timeouts.map((timeout) => handler(Placed, () => OK, timeout)), 1_000).timeout;
    assertEquals([times(undefined), times(50), times(50, 70), times(50, undefined)], [1_000, 50, 70, 1_000]);
  });

  it("are run in the same turn if there is one, with the payload that was published and the run's own context", () => {
    const { ctx } = start(Placed);
    const payload = { n: 1 };
    const seen: unknown[] = [];
    const outcome = run([handler(Placed, (...args) => (seen.push(...args), FAILED))], payload, ctx);
    assertStrictEquals(outcome, FAILED);
    assertStrictEquals(seen[0], payload);
    assertStrictEquals(seen[1], ctx);
  });

  it("get a value and a context each if there are several: what one does is not for the others", async () => {
    const { ctx } = start(Placed, "k");
    const calls: unknown[] = [];
    const payloads: unknown[] = [];
    const change: HandlerRun = (payload, own) => {
      payloads.push({ ...(payload as { n: number }) });
      (payload as { n: number }).n = 7;
      calls.push(own.call);
      assertEquals([own.id, own.position, own.fence, own.key], ["m", 1_025, 3, "k"]);
      return { ok: true, value: "a result" };
    };
    const three = [1, 2, 3].map(() => handler(Placed, change));
    assertEquals(await run(three, { n: 1 }, ctx), OK);
    assertEquals(payloads, [{ n: 1 }, { n: 1 }, { n: 1 }]);
    assertEquals(new Set([...calls, ctx.call]).size, 4);
  });

  it("are refused only if all of them were: else who ran would run again, without an attempt", async () => {
    const { ctx } = start(Placed);
    const refused = handler(Placed, (_, own) => new Refusal("OVERLOADED", own));
    assertInstanceOf(await run([refused, refused], {}, ctx), Refusal);
    const limited = handler(Placed, (_, own) => {
      own.execution.stage = "preparing"; // the stage in which a behavior that refuses the message leaves the run
      return { ok: false, error: new CatgaError("RATE_LIMITED", "wait") };
    });
    assertInstanceOf(await run([limited, refused], {}, ctx), Refusal);
    for (const handlers of [[refused, handler(Placed, () => OK)], [handler(Placed, () => OK), refused]]) {
      const outcome = await run(handlers, {}, ctx) as Exclude<Outcome, Refusal>;
      assertEquals([outcome.ok, outcome.error?.code, outcome.error?.final], [false, "OVERLOADED", false]);
    }
  });
});

describe("a payload that the contract does not take", () => {
  const refuse = (error: Error) => () => {
    throw error;
  };

  it("is a final failure, and no handler runs; what the handler fails with is as final as it says", async () => {
    for (const parse of [refuse(new Error("bad")), () => Promise.reject(new Error("bad"))]) {
      const Checked = event<{ n: number }, never>("Placed", { durable: true, input: counting(parse) });
      let runs = 0;
      const outcome = await run([handler(Checked, () => (runs++, OK))], {}, start(Checked).ctx);
      assertEquals([codeOf(outcome), runs], [["INVALID_MESSAGE", true], 0]);
    }
    for (const parse of [(n: number) => n + 1, (n: number) => Promise.resolve(n + 1)]) {
      const Checked = event<number, number>("Placed", { durable: true, input: counting(parse) });
      const seen: unknown[] = [];
      const invalid: Outcome = { ok: false, error: new CatgaError("INVALID_MESSAGE", "of another message") };
      const outcome = await run([handler(Checked, (payload) => (seen.push(payload), invalid))], 1, start(Checked).ctx);
      assertStrictEquals(outcome, invalid);
      assertEquals(seen, [2]);
    }
  });

  it("is tried again if its schema has not ended in time", async () => {
    const input = counting<number, number>(() => new Promise(() => {}));
    const Checked = event<number, number>("Placed", { durable: true, input });
    const { ctx } = start(Checked);
    const outcome = run([handler(Checked, () => OK)], 1, ctx);
    ctx.abort(new CatgaError("TIMEOUT", "late"));
    assertEquals(codeOf(await outcome), ["TIMEOUT", false]);
  });
});

describe("the execution of a command", () => {
  it("has the payload before the schema, by which a reused id is detected, only if it is idempotent", () => {
    const input = counting((n: number) => n + 1);
    for (const idempotent of [true, false]) {
      const Book = command<number, void>("Book", { durable: true, idempotent, input });
      const { ctx } = start(Book);
      run([handler(Book, () => OK)], 1, ctx);
      assertEquals(ctx.execution.payload, idempotent ? 1 : undefined);
    }
  });

  it("has the payload before the schema if it is that of an entity, which is found by it", () => {
    const input = counting((n: number) => n + 1);
    const Book = command<number, void>("Book", { durable: true, key: (n) => `${n}`, input });
    const { ctx } = start(Book);
    run([{ ...handler(Book, () => OK), entity: true }], 1, ctx);
    assertEquals(ctx.execution.payload, 1);
  });

  it("has the sender's key if it is ordered, or that of the payload", () => {
    const Book = command<number, void>("Book", { durable: true, ordered: true, key: (n) => `seat ${n}` });
    const keys = ["k", undefined].map((key) => {
      const { ctx } = start(Book, key);
      assertStrictEquals(run([handler(Book, () => OK)], 7, ctx), OK);
      return ctx.execution.key;
    });
    assertEquals(keys, ["k", "seat 7"]);
  });

  it("does not begin, and never will, if its order has no key", () => {
    const cause = new Error("no seat");
    const Book = command<number, void>("Book", {
      durable: true,
      ordered: true,
      key() {
        throw cause;
      },
    });
    let runs = 0;
    const outcome = run([handler(Book, () => (runs++, OK))], 7, start(Book, undefined).ctx);
    assertEquals([codeOf(outcome as Outcome), runs], [["INVALID_MESSAGE", true], 0]);
    assertStrictEquals(((outcome as { error?: Error }).error?.cause as Error).cause, cause);
  });
});

/** Makes the context for running a message of the log. */
function start(contract: AnyContract, key: string | undefined = undefined) {
  const { inside } = localApp();
  const logged = { id: "m", attempt: 1, position: 1_025, key, meta: undefined, fence: 3 };
  return {
    ctx: new MessageContext(inside, contract, 1_000, new RunEnvelope(logged, { envelope: { call: "there.1.5" } })),
  };
}

function handler(contract: AnyContract, run: HandlerRun, timeout?: number): DurableHandler {
  const settings = { name: "s", from: "now", each: "service", attempts: 1, delay: [1, 1], outage: 0, timeout } as const;
  return { contract, settings, run, entity: false };
}

/** Runs these handlers with a JSON payload. */
function run(handlers: DurableHandler[], payload: unknown, ctx: MessageContext) {
  const text = JSON.stringify(payload);
  return categoryHandlers(handlers, 1_000).run(payload, () => JSON.parse(text), ctx);
}

function codeOf(outcome: Outcome): unknown[] {
  return outcome instanceof Refusal ? [outcome.code] : [outcome.error?.code, outcome.error?.final];
}
