import { describe, it } from "node:test";
import { assertEquals, assertStrictEquals } from "@std/assert";
import { localApp } from "../../test/support/local_app.ts";
import { query } from "../contract/declaration/definition.ts";
import type { Observation } from "../contract/nodes/observer.ts";
import { fail } from "../contract/calls/result.ts";
import { CatgaError } from "../error.ts";
import { ContractCounts } from "./contract_counts.ts";
import { HandlerCall } from "./handler_call.ts";
import { MessageContext } from "./message_context.ts";

const Ask = query<void, unknown>("Ask");

/** Calls a handler; returns its result, and the observations that were made meanwhile. */
async function call(fn: () => unknown) {
  const seen: Observation[] = [];
  const { inside } = localApp();
  const handler = new HandlerCall(Ask.handle(fn), (observation) => seen.push(observation), new ContractCounts(Ask));
  const result = await handler.run(undefined, new MessageContext(inside, Ask, 1_000, undefined));
  return { result, seen };
}

describe("HandlerCall", () => {
  it("the value of a thenable that is no Promise is the handler's value", async () => {
    const thenable = { then: (resolve: (value: number) => void) => resolve(7) };
    assertEquals((await call(() => thenable)).result, { ok: true, value: 7 });
  });

  it("a failure that it returns or throws is its result, and so is a CatgaError that it throws; none is observed", async () => {
    const failure = fail("NO_TEA", "sold out");
    assertStrictEquals((await call(() => failure)).result, failure);
    const error = new CatgaError("NO_TEA", "sold out");
    const thrown = [await call(() => Promise.reject(failure)), await call(() => Promise.reject(error))];
    assertEquals(thrown.map(({ result }) => result.error), [failure.error, error]);
    assertEquals(thrown.map(({ seen }) => seen), [[], []]);
  });

  it("a CatgaError with odd members, thrown or in a failure, becomes one with what can be read of it", async () => {
    const no = () => {
      throw new Error("a getter");
    };
    const odd: [name: keyof CatgaError, PropertyDescriptor, code: string, message: string][] = [
      [
        "message",
        { value: { a: 1 } },
        "NO_TEA",
        "the handler failed with an error whose message is no text: an object",
      ],
      ["message", { get: no }, "NO_TEA", "the handler failed with an error whose message is no text: undefined"],
      ["code", { value: 7 }, "HANDLER_FAILED", "sold out"],
      ["code", { get: no }, "HANDLER_FAILED", "sold out"],
      ["details", { get: no }, "NO_TEA", "sold out"],
      ["final", { get: no }, "NO_TEA", "sold out"],
    ];
    for (const [name, descriptor, code, message] of odd) {
      const error = Object.defineProperty(new CatgaError("NO_TEA", "sold out"), name, descriptor);
      for (const fn of [() => Promise.reject(error), () => ({ ok: false, error })]) {
        const { result } = await call(fn);
        assertEquals(
          result instanceof Object && "error" in result && { ...result.error, message: result.error?.message },
          {
            ...{
              name: "CatgaError",
              code,
              message,
              retryable: false,
              details: undefined,
              node: undefined,
              final: false,
            },
          },
        );
        assertStrictEquals(result.error?.cause, error);
      }
    }
  });

  it("what it throws and nobody can look at is HANDLER_FAILED, too", async () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    const named = Object.defineProperty(new Error("x"), "name", {
      get() {
        throw new Error("no name");
      },
    });
    for (const thrown of [proxy, named, null, Symbol("s")]) {
      const { result, seen } = await call(() => {
        throw thrown;
      });
      assertEquals([result.error?.code, seen.map(({ type }) => type)], ["HANDLER_FAILED", ["handler-failed"]]);
    }
  });

  it("what it throws, a getter of its value too, is HANDLER_FAILED and observed", async () => {
    const error = new Error("broken");
    const withGetter = {
      get ok() {
        throw error;
      },
    };
    const handlers = [() => Promise.reject(error), () => withGetter, () => Promise.resolve(withGetter)];
    for (const handler of handlers) {
      const { result, seen } = await call(handler);
      assertEquals(result.error?.code, "HANDLER_FAILED");
      assertEquals(seen.map((one) => one.type === "handler-failed" && one.error), [error]);
    }
  });
});
