import { describe, it } from "node:test";
import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { CatgaError, isCatgaError } from "../../error.ts";
import { retry } from "./retry.ts";

/**
 * Makes calls that fail with these codes, one after the other, and then succeed, and a list of the pauses between them.
 */
function failing(...codes: readonly string[]) {
  const left = [...codes];
  const pauses: number[] = [];
  return {
    pauses,
    work: () => {
      const code = left.shift();
      return code === undefined ? Promise.resolve("done") : Promise.reject(new CatgaError(code, "no"));
    },
    options: {
      isTransient: (error: unknown) => isCatgaError(error) && error.code === "UNAVAILABLE",
      pauses: [50, 120] as const,
      pause: (ms: number) => Promise.resolve(void pauses.push(ms)),
      isOver: () => pauses.length === 4,
    },
  };
}

describe("retry", () => {
  it("repeats an operation until it succeeds, with pauses that grow up to the longest", async () => {
    const { work, options, pauses } = failing("UNAVAILABLE", "UNAVAILABLE", "UNAVAILABLE");
    assertEquals(await retry(work, options), "done");
    assertEquals(pauses, [50, 100, 120]);
  });

  it("rejects at once with an error that does not pass", async () => {
    const { work, options, pauses } = failing("UNAVAILABLE", "FORBIDDEN");
    const error = await assertRejects(() => retry(work, options), CatgaError);
    assertEquals([error.code, pauses], ["FORBIDDEN", [50]]);
  });

  it("asks for each error whether it passes, so that the answer may change", async () => {
    const { work, options, pauses } = failing("UNAVAILABLE", "UNAVAILABLE", "UNAVAILABLE");
    const isTransient = () => pauses.length < 2;
    const error = await assertRejects(() => retry(work, { ...options, isTransient }), CatgaError);
    assertEquals([error.code, pauses], ["UNAVAILABLE", [50, 100]]);
  });

  it("resolves with undefined when it is over", async () => {
    const { work, options, pauses } = failing(...Array.from({ length: 9 }, () => "UNAVAILABLE"));
    assertStrictEquals(await retry(work, options), undefined);
    assertEquals(pauses, [50, 100, 120, 120]);
  });
});
