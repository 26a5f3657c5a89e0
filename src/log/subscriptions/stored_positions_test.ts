import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { CatgaError } from "../../error.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { LogStream, StoredMessage } from "../../ports/event_log.ts";
import { storedMessages } from "./found_state.ts";

/** Makes a stream with these sequences, which records how it is read. */
function setUp(...held: number[]) {
  const clock = new VirtualClock();
  const reads: [from: number, most: number][] = [];
  const asked: number[] = [];
  const faults: unknown[] = [];
  const abort = new AbortController();
  const answers = {
    read: (from: number, most: number) => Promise.resolve(held.filter((each) => each >= from).slice(0, most)),
    at: (sequence: number) => Promise.resolve(held.includes(sequence)),
  };
  const messageOf = (sequence: number): StoredMessage => (
    { sequence, subject: "s", time: 0, data: new Uint8Array(), headers: undefined }
  );
  const stream = {
    read: async (_: string, { from, most }: { from: number; most: number }) => {
      reads.push([from, most]);
      return (await answers.read(from, most)).map(messageOf);
    },
    at: async (sequence: number) => {
      asked.push(sequence);
      return await answers.at(sequence) ? messageOf(sequence) : undefined;
    },
  };
  const options = {
    stream: stream as Pick<LogStream, "at" | "read">,
    clock,
    signal: abort.signal,
    fault: (error: unknown) => void faults.push(error),
  };
  const find = async (...sequences: number[]) =>
    (await clock.until(storedMessages(options, "catga.default.log.>", sequences))).map(({ sequence }) => sequence);
  return { clock, reads, asked, faults, abort, answers, find };
}

describe("storedMessages", () => {
  it("finds those that are there, and none that was not asked for", async () => {
    const { find, asked } = setUp(1, 2, 4, 5, 7, 100);
    assertEquals(await find(2, 3, 5, 6, 100), [2, 5, 100]);
    assertEquals(asked, []);
  });

  it("reads neighbours at once, those far away by themselves, and 200 at most", async () => {
    const { find, reads, asked } = setUp(...Array.from({ length: 500 }, (_, n) => n + 1));
    await find(1, 17, 34, 51);
    assertEquals(reads.splice(0), [[1, 17], [34, 1], [51, 1]]);
    const many = Array.from({ length: 250 }, (_, n) => n + 1);
    assertEquals(await find(...many), many);
    assertEquals([reads, asked], [[[1, 200], [201, 50]], []]);
  });

  it("goes on behind what a server had when it returned less than asked for", async () => {
    const { find, reads, answers } = setUp(1, 2, 3);
    const { read } = answers;
    answers.read = async (from, most) => (await read(from, most)).slice(0, 1);
    assertEquals(await find(1, 2, 3), [1, 2, 3]);
    assertEquals(reads, [[1, 3], [2, 2], [3, 1]]);
  });

  it("finds the one behind thousands that have gone, in no more requests than run at once (it was taken for gone, too)", async () => {
    const { find, reads, asked } = setUp(1_000_000);
    assertEquals(await find(...Array.from({ length: 5_000 }, (_, n) => n * 40), 1_000_000), [1_000_000]);
    assertEquals([reads, asked], [Array.from({ length: 16 }, (_, n) => [n * 40, 1]), []]);
  });

  it("asks the leader for what a server that lags behind has not got, 64 at once, in order", async () => {
    const many = Array.from({ length: 200 }, (_, n) => n + 1);
    const { find, asked, answers } = setUp(...many);
    const { read, at } = answers;
    answers.read = async (from, most) => (await read(from, most)).filter((each) => each <= 50);
    let [atOnce, most] = [0, 0];
    answers.at = async (sequence) => {
      most = Math.max(most, ++atOnce);
      await Promise.resolve();
      atOnce--;
      return await at(sequence);
    };
    assertEquals(await find(...many, 1_000), many);
    assertEquals([asked, most], [[...many.slice(50), 1_000], 64]);
  });

  it("reports a store that does not answer, and tries again", async () => {
    const { find, answers, faults } = setUp(1);
    const { read, at } = answers;
    const error = new CatgaError("UNAVAILABLE", "no answer", { retryable: true });
    let failures = 2;
    answers.read = (from, most) => failures-- > 0 ? Promise.reject(error) : read(from, most);
    assertEquals(await find(1), [1]);
    assertEquals(faults.splice(0), [error, error]);
    failures = 2;
    answers.read = () => Promise.resolve([]);
    answers.at = (sequence) => failures-- > 0 ? Promise.reject(error) : at(sequence);
    assertEquals(await find(1), [1]);
    assertEquals(faults, [error, error]);
  });

  it("rejects when the signal aborts, while it waits and while it reads", async () => {
    const { find, answers, abort, faults } = setUp(1);
    answers.read = () => {
      abort.abort(new Error("over"));
      return Promise.resolve([]);
    };
    await assertRejects(() => find(1), Error, "over");
    assertEquals(faults, []);
    const waiting = setUp(1);
    waiting.answers.read = () => Promise.resolve([]);
    waiting.answers.at = () => {
      waiting.clock.after(20, () => waiting.abort.abort(new Error("over")));
      return Promise.reject(new CatgaError("UNAVAILABLE", "no answer"));
    };
    await assertRejects(() => waiting.find(1), Error, "over");
    assertEquals([waiting.faults.length, waiting.clock.monotonic()], [1, 20]);
  });
});
