import { assertEquals, assertLess } from "@std/assert";
import { describe, it } from "node:test";
import type { LogStream, StoredMessage } from "../../ports/event_log.ts";
import { newest } from "./newest.ts";

/**
 * Makes a stream of `count` messages. The messages for which `each` returns true have the subject that the test reads.
 * `reads` counts the reads of the stream.
 */
function streamOf(count: number, each: (sequence: number) => boolean) {
  const all = Array.from({ length: count }, (_, i) => ({ sequence: i + 1 }) as StoredMessage);
  const wanted = all.filter(({ sequence }) => each(sequence));
  let reads = 0;
  const read: LogStream["read"] = (_, options) => {
    reads++;
    const { from, most = 1_000 } = options as { from: number; most?: number };
    return Promise.resolve(wanted.filter(({ sequence }) => sequence >= from).slice(0, most));
  };
  return { wanted, read, reads: () => reads };
}

async function all(count: number, each: (sequence: number) => boolean, least = 1) {
  const { read, wanted, reads } = streamOf(count, each);
  const found: number[] = [];
  let end = count + 1;
  for await (const { from, messages } of newest({ read }, "x", { last: count, least })) {
    assertLess(from, end);
    for (const { sequence } of messages) assertEquals(sequence >= from && sequence < end, true);
    found.push(...messages.map(({ sequence }) => sequence));
    end = from;
  }
  assertEquals(found, wanted.map(({ sequence }) => sequence).filter((sequence) => sequence >= least).toReversed());
  return reads();
}

describe("newest", () => {
  it("gives each message once, the newest first", async () => {
    for (const count of [0, 1, 499, 500, 501, 4_711]) await all(count, () => true);
  });

  it("reads few times what stands far apart", async () => {
    assertLess(await all(1_000_000, (sequence) => sequence % 100_000 === 7), 30);
  });

  it("reads what stands close together behind a gap once more at most", async () => {
    assertLess(await all(100_000, (sequence) => sequence <= 5_000 || sequence > 99_990), 40);
  });

  it("ends at the least sequence", async () => {
    await all(5_000, () => true, 4_321);
  });
});
