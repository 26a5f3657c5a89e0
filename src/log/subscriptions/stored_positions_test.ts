import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { CatgaError } from "../../error.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { LogState, LogStream, StoredMessage } from "../../ports/event_log.ts";
import { storedMessages } from "./found_state.ts";

const STATE: LogState = { created: "c", first: 1, last: 9, messages: 9, bytes: 90, maxBytes: undefined, now: 0 };

/** A stream that has these sequences, and how it was read. */
function setUp(...held: number[]) {
  const clock = new VirtualClock();
  const reads: [from: number, most: number][] = [];
  const faults: unknown[] = [];
  const abort = new AbortController();
  const answers = {
    read: (from: number, most: number) => Promise.resolve(held.filter((each) => each >= from).slice(0, most)),
    state: () => Promise.resolve<LogState | undefined>(STATE),
  };
  const stream = {
    state: () => answers.state(),
    read: async (subject: string, { from, most }: { from: number; most: number }): Promise<StoredMessage[]> => {
      reads.push([from, most]);
      const found = await answers.read(from, most);
      return found.map((sequence) => ({ sequence, subject, time: 0, data: new Uint8Array(), headers: undefined }));
    },
  };
  const options = {
    // it calls no other methods
    stream: stream as unknown as LogStream,
    clock,
    signal: abort.signal,
    fault: (error: unknown) => void faults.push(error),
  };
  const find = async (...sequences: number[]) =>
    (await clock.until(storedMessages(options, "catga.default.log.>", sequences))).map(({ sequence }) => sequence);
  return { clock, reads, faults, abort, answers, find };
}

describe("storedMessages", () => {
  it("finds those that are there, and none that was not asked for", async () => {
    const { find } = setUp(1, 2, 4, 5, 7, 100);
    assertEquals(await find(2, 3, 5, 6, 100), [2, 5, 100]);
  });

  it("reads neighbours at once, those far away by themselves, and 200 at most", async () => {
    const { find, reads } = setUp(...Array.from({ length: 500 }, (_, n) => n + 1));
    await find(1, 17, 34, 51);
    assertEquals(reads.splice(0), [[1, 17], [34, 1], [51, 1]]);
    const many = Array.from({ length: 250 }, (_, n) => n + 1);
    assertEquals(await find(...many), many);
    assertEquals(reads, [[1, 200], [201, 50]]);
  });

  it("goes on behind what a server had when it returned less than asked for", async () => {
    const { find, reads, answers } = setUp(1, 2, 3);
    const { read } = answers;
    answers.read = async (from, most) => (await read(from, most)).slice(0, 1);
    assertEquals(await find(1, 2, 3), [1, 2, 3]);
    assertEquals(reads, [[1, 3], [2, 2], [3, 1]]);
  });

  it("waits for a server that lags behind, and then believes that the end is there", async () => {
    const { find, reads, answers } = setUp(1, 2);
    const { read } = answers;
    answers.read = (from, most) => reads.length < 10 ? Promise.resolve([]) : read(from, most);
    assertEquals(await find(2), [2]);
    reads.length = 0;
    answers.read = read;
    assertEquals(await find(1, 100), [1]);
    assertEquals(reads.length, 1 + 11);
  });

  it("does not take a stream that is missing for one that ends", async () => {
    const { find, answers, clock } = setUp(1);
    const { read } = answers;
    answers.read = (from, most) => clock.monotonic() < 10_000 ? Promise.resolve([]) : read(from, most);
    answers.state = () => Promise.resolve(undefined);
    assertEquals(await find(1), [1]);
  });

  it("reports a store that does not answer, and tries again", async () => {
    const { find, answers, faults, reads } = setUp(1);
    const { read } = answers;
    const error = new CatgaError("UNAVAILABLE", "no answer", { retryable: true });
    answers.read = (from, most) => reads.length < 3 ? Promise.reject(error) : read(from, most);
    assertEquals(await find(1), [1]);
    assertEquals(faults, [error, error]);
  });

  it("rejects when the signal aborts, while it waits and while it reads", async () => {
    for (const waits of [true, false]) {
      const { find, answers, abort, faults, clock } = setUp(1);
      answers.read = () => {
        if (waits) clock.after(100, () => abort.abort(new Error("over")));
        else abort.abort(new Error("over"));
        return Promise.resolve([]);
      };
      await assertRejects(() => find(1), Error, "over");
      assertEquals(faults, []);
    }
  });
});
