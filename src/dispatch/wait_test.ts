import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { localApp } from "../../test/support/local_app.ts";
import { query } from "../contract/declaration/definition.ts";
import { untilDeadline } from "./deadlined_wait.ts";

const Ask = query<void, string>("Ask");

/** Begins a wait of at most 100 ms for a promise that the test settles. */
function waitFor(signal?: AbortSignal) {
  const { inside, clock } = localApp();
  const work = Promise.withResolvers<string>();
  const message = { contract: Ask, timeout: 100, signal, parent: undefined };
  const outcome = untilDeadline(inside, message, work.promise, ({ code }) => code);
  return { inside, clock, work, outcome };
}

describe("untilDeadline", () => {
  it("settles as the work does, and a drain waits until then", async () => {
    const { inside, work, outcome } = waitFor();
    assertEquals({ pending: inside.underWay.count, deadlines: inside.wheel.size }, { pending: 1, deadlines: 1 });
    work.resolve("done");
    assertEquals(await outcome, "done");
    assertEquals({ pending: inside.underWay.count, deadlines: inside.wheel.size }, { pending: 0, deadlines: 0 });
  });

  it("ends at the deadline, after which the work has no effect", async () => {
    const { inside, clock, work, outcome } = waitFor();
    assertEquals(await clock.until(outcome), "TIMEOUT");
    work.reject(new Error("too late"));
    await clock.advance(0);
    assertEquals(inside.underWay.count, 0);
  });

  it("ends with CANCELLED when the signal aborts, before the wait too", async () => {
    const later = new AbortController();
    const { outcome } = waitFor(later.signal);
    later.abort();
    assertEquals([await outcome, await waitFor(AbortSignal.abort()).outcome], ["CANCELLED", "CANCELLED"]);
  });
});
