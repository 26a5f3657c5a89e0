import { assertEquals, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import { localApp } from "../../test/support/local_app.ts";
import type { CatgaError } from "../error.ts";
import { query } from "./definition.ts";
import { handlerFailure, isHandlerFailure } from "./handler_failure.ts";

const Ask = query<void, void>("Ask");
const Other = query<void, void>("Other");

describe("the failure of a handler that threw", () => {
  for (const by of ["handler", "behavior"] as const) {
    it(`is recognized as that of its own message, and of no other: ${by}`, () => recognized(by));
  }

  async function recognized(by: "handler" | "behavior") {
    const seen: boolean[] = [];
    const cause = new Error("bug");
    const failures: CatgaError[] = [];
    const ask = Ask.handle((_, ctx) => {
      const failure = handlerFailure(Ask, ctx, cause, by);
      failures.push(failure);
      seen.push(...failures.map((each) => isHandlerFailure(each, Ask, ctx)), isHandlerFailure(failure, Other, ctx));
    });
    const { app } = localApp({ handlers: ask });
    await app.send(Ask, undefined, { id: "m1" });
    await app.send(Ask, undefined, { id: "m2" });
    assertEquals(seen, [true, false, false, true, false]);
    const [{ code, node, cause: kept }] = failures;
    assertEquals([code, node], ["HANDLER_FAILED", "here"]);
    assertStrictEquals(kept, cause);
  }
});
