import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { CatgaError } from "../../error.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { Appended, LogStream } from "../../ports/event_log.ts";
import { storeRequest } from "./requests.ts";

const REQUEST = { kind: "rewind", to: 7 } as const;
const error = new CatgaError("UNAVAILABLE", "no leader", { retryable: true });

/**
 * Calls `storeRequest` with a stream that gives these answers, one after the other. Resolves with the outcome and the
 * appended messages.
 */
async function store(...answers: Appended[]) {
  const clock = new VirtualClock();
  const appended: unknown[] = [];
  const stream = {
    append: (subject: string, text: string, { expect, rollup }: { expect: number; rollup: boolean }) => {
      appended.push([subject, JSON.parse(text), expect, rollup]);
      return Promise.resolve(answers.shift());
    },
    // cast: `storeRequest` calls no other methods of a stream
  } as unknown as LogStream;
  const stored = storeRequest({ stream, clock, namespace: "default" }, "shop.billing", "x", REQUEST, 9);
  return { appended, outcome: await clock.until(stored.catch((error: CatgaError) => error)) };
}

const transient = (transient: boolean): Appended => ({ type: "not stored", transient, error });

describe("storeRequest", () => {
  it("replaces the last one of its id, if that has the sequence that is expected", async () => {
    const { appended, outcome } = await store({ type: "stored", sequence: 10, duplicate: false });
    assertEquals(outcome, true);
    assertEquals(appended, [["catga.default.sub.req.shop.billing.x", { v: 1, ...REQUEST }, 9, true]]);
    assertEquals((await store({ type: "conflict" })).outcome, false);
  });

  it("is tried again when the answer was lost: then its own first attempt may stand in its way", async () => {
    const { appended, outcome } = await store({ type: "unknown", error }, transient(true), { type: "conflict" });
    assertEquals([appended.length, outcome], [3, false]);
  });

  it("rejects when it is refused, or after four attempts", async () => {
    const refused = await store(transient(false));
    const lost = await store(...Array.from({ length: 4 }, () => transient(true)));
    const told = ({ appended, outcome }: Awaited<ReturnType<typeof store>>) =>
      outcome instanceof CatgaError && [appended.length, outcome.code, outcome.message, outcome.retryable];
    assertEquals(told(refused), [1, "UNAVAILABLE", "the request was not stored: no leader", false]);
    assertEquals(told(lost), [4, "UNAVAILABLE", "the request was not stored: no leader", true]);
  });

  it("that may have been stored by an attempt before the last one rejects with OUTCOME_UNKNOWN", async () => {
    const lost = new CatgaError("OUTCOME_UNKNOWN", "the connection was lost", { retryable: true });
    for (const last of [true, false]) {
      const rest = Array.from({ length: 3 }, (_, n) => transient(n < 2 || last));
      const { appended, outcome } = await store({ type: "unknown", error: lost }, ...rest);
      const { code, message, retryable } = outcome as CatgaError;
      const expected = [4, "OUTCOME_UNKNOWN", "the request may have been stored: the connection was lost", last];
      assertEquals([appended.length, code, message, retryable], expected);
    }
  });
});
