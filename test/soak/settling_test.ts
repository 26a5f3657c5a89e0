import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { settledWithin } from "./settling.ts";

const LIMIT = 60; // ms

describe("a send that is waited for", () => {
  it("has settled if its deadline comes some turns after a pause of the process beyond the limit", async () => {
    const sending = new Promise<string>((resolve) =>
      // a deadline expires in the turn after the one of its timer
      setTimeout(() => setTimeout(() => resolve("TIMEOUT"), 0), LIMIT / 2)
    );
    const result = settledWithin(sending, LIMIT);
    for (const end = performance.now() + 3 * LIMIT; performance.now() < end;);
    assertEquals(await result, "TIMEOUT");
  });

  it("is not settled after the limit", async () => {
    const began = performance.now();
    assertEquals(await settledWithin(new Promise(() => {}), LIMIT), undefined);
    assertEquals(performance.now() - began >= LIMIT - 1, true);
  });

  it("rejects as its send does", async () => {
    const reason = await settledWithin(Promise.reject("why"), LIMIT).catch((error) => error);
    assertEquals(reason, "why");
  });
});
