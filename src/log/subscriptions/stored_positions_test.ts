import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { CatgaError } from "../../error.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { StoredMessage } from "../../ports/event_log.ts";
import { storedMessages } from "./found_state.ts";

/** A stream that has these sequences, and how it was read. */
function setUp(...held: number[]) {
  const clock = new VirtualClock();
  const asked: number[] = [];
  const faults: unknown[] = [];
  const abort = new AbortController();
  const stream = {
    at: async (sequence: number): Promise<StoredMessage | undefined> => {
      asked.push(sequence);
      if (!held.includes(sequence)) return await Promise.resolve(undefined);
      return { sequence, subject: "s", time: 0, data: new Uint8Array(), headers: undefined };
    },
  };
  const options = { stream, clock, signal: abort.signal, fault: (error: unknown) => void faults.push(error) };
  const find = async (...sequences: number[]) =>
    (await clock.until(storedMessages(options, sequences))).map(({ sequence }) => sequence);
  return { clock, asked, faults, abort, stream, find };
}

describe("storedMessages", () => {
  it("finds those that are there", async () => {
    const { find } = setUp(1, 2, 4, 5, 7, 100);
    assertEquals(await find(2, 3, 5, 6, 100), [2, 5, 100]);
  });

  it("reads 64 at once", async () => {
    const many = Array.from({ length: 200 }, (_, n) => n + 1);
    const { find, stream } = setUp(...many);
    const { at } = stream;
    let [atOnce, most] = [0, 0];
    stream.at = async (sequence) => {
      most = Math.max(most, ++atOnce);
      await Promise.resolve();
      atOnce--;
      return await at(sequence);
    };
    assertEquals(await find(...many), many);
    assertEquals(most, 64);
  });

  it("reports a store that does not answer, and tries again", async () => {
    const { find, stream, faults } = setUp(1);
    const { at } = stream;
    const error = new CatgaError("UNAVAILABLE", "no answer", { retryable: true });
    let failures = 2;
    stream.at = (sequence) => failures-- > 0 ? Promise.reject(error) : at(sequence);
    assertEquals(await find(1), [1]);
    assertEquals(faults, [error, error]);
  });

  it("rejects when the signal aborts, while it waits and while it reads", async () => {
    const { find, stream, abort, faults, clock } = setUp(1);
    stream.at = () => {
      abort.abort(new Error("over"));
      return Promise.resolve(undefined);
    };
    await assertRejects(() => find(1), Error, "over");
    assertEquals(faults, []);
    const waiting = setUp(1);
    waiting.stream.at = () => {
      waiting.clock.after(20, () => waiting.abort.abort(new Error("over")));
      return Promise.reject(new CatgaError("UNAVAILABLE", "no answer"));
    };
    await assertRejects(() => waiting.find(1), Error, "over");
    assertEquals([waiting.faults.length, clock.monotonic()], [1, 0]);
  });
});
