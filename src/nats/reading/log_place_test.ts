/**
 * Tests of the place at which a reader goes on, found in the answers of a stream's leader. `event_log_suite.ts` tests
 * whole readers.
 */
import { describe, it } from "node:test";
import { assertEquals, assertRejects } from "@std/assert";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { LogMark } from "../../ports/event_log.ts";
import { ServerClock } from "../stream/expiry.ts";
import type { OwnedStream } from "../stream/owned_stream.ts";
import { findPlace, messageFrom, readState, toState } from "./log_place.ts";

/**
 * Makes a stream from the time of each message by its sequence. `last`: the stream's last sequence, if it has no
 * message of that sequence. `behind`: the ms for which the server does not show the newest message.
 */
function streamOf(messages: Readonly<Record<number, number>>, { created = "now", last = 0, behind = 0 } = {}) {
  const clock = new VirtualClock();
  const sequences = Object.keys(messages).map(Number);
  const noted: number[] = [];
  const info = () => {
    const visible = clock.monotonic() < behind ? sequences.slice(0, -1) : sequences;
    const last_seq = Math.max(last, ...visible);
    const first_seq = visible[0] ?? 0;
    const state = { messages: visible.length, bytes: 10, first_seq, last_seq };
    return { created, state, config: {}, ts: new Date(clock.now()).toISOString(), asked: clock.monotonic() };
  };
  const serverClock = new ServerClock(clock);
  const stream = {
    name: "log",
    transport: { clock },
    serverClock,
    noteRevision: (sequence: number) => void noted.push(sequence),
    attempt: (work: (limit: number) => unknown) => work(1_000),
    info() {
      const found = info();
      serverClock.read(found.ts, found.asked);
      return Promise.resolve(found);
    },
    js: {
      message(_: string, { seq }: { seq: number }) {
        const sequence = sequences.find((sequence) => sequence >= seq);
        return Promise.resolve(sequence && { subject: "log.a", sequence, time: messages[sequence] });
      },
    },
  } as unknown as OwnedStream; // cast: the only members that `findPlace` reads
  const { signal } = new AbortController();
  const place = async (after: LogMark | undefined) => {
    const { mark, lost } = await clock.until(findPlace(stream, after, signal));
    return { at: mark.sequence, lost };
  };
  return { clock, stream, place, noted, info };
}

const mark = (sequence: number, time?: number, created = "now"): LogMark => ({ created, sequence, time });

describe("findPlace", () => {
  it("without a mark is before the first message, or at the end of an empty stream", async () => {
    assertEquals(await streamOf({ 5: 50, 6: 60 }).place(undefined), { at: 4, lost: undefined });
    assertEquals(await streamOf({}, { last: 9 }).place(undefined), { at: 9, lost: undefined });
  });

  it("is at the mark if nothing is lost: also if that message, and no other, was removed", async () => {
    const { place } = streamOf({ 5: 50, 6: 60 });
    for (const after of [mark(5, 50), mark(6, 60), mark(4, 40), mark(5)]) {
      assertEquals(await place(after), { at: after.sequence, lost: undefined });
    }
    assertEquals(await streamOf({}, { last: 9 }).place(mark(9, 90)), { at: 9, lost: undefined });
  });

  it("expired: messages behind the mark were removed", async () => {
    const lost = { reason: "expired", after: 3, next: 5 } as const;
    assertEquals(await streamOf({ 5: 50, 6: 60 }).place(mark(3, 30)), { at: 4, lost });
  });

  it("remade: another stream is read from its beginning, whatever its sequences", async () => {
    const lost = { reason: "remade", after: 6, next: 5 } as const;
    assertEquals(await streamOf({ 5: 50, 6: 60 }).place(mark(6, 60, "before")), { at: 4, lost });
  });

  it("replaced: goes on behind the last message that is as old as the mark's", async () => {
    const stream = streamOf({ 1: 10, 2: 20, 3: 300, 4: 400 });
    assertEquals(await stream.place(mark(3, 30)), { at: 2, lost: { reason: "replaced", after: 3, next: 3 } });
    assertEquals(await stream.place(mark(4, 350)), { at: 3, lost: { reason: "replaced", after: 4, next: 4 } });
    // the message at the mark (the position read last) is gone, and the message after it is older than the mark's time
    assertEquals(await streamOf({ 1: 10, 5: 20 }).place(mark(3, 30)), {
      at: 5,
      lost: { reason: "replaced", after: 3, next: 6 },
    });
  });

  it("truncated: after 2 s behind the mark, goes on behind what is as old as that, or at the end if its time is unknown", async () => {
    const timed = streamOf({ 1: 10, 2: 20, 3: 90 });
    assertEquals(await timed.place(mark(5, 50)), { at: 2, lost: { reason: "truncated", after: 5, next: 3 } });
    assertEquals(timed.clock.monotonic(), 2_000);
    const untimed = streamOf({ 1: 10, 2: 20, 3: 90 });
    assertEquals(await untimed.place(mark(5)), { at: 3, lost: { reason: "truncated", after: 5, next: 4 } });
  });

  it("if only the time is known at which all had been read: goes on behind what was stored a second before", async () => {
    const read = { ...mark(5), at: 3_000 };
    const truncated = streamOf({ 1: 1_000, 2: 2_000, 3: 2_001, 4: 9_000 });
    assertEquals(await truncated.place(read), { at: 2, lost: { reason: "truncated", after: 5, next: 3 } });
    const replaced = streamOf({ 1: 1_000, 2: 2_000, 3: 2_001, 4: 3_500, 5: 4_001, 6: 9_000 });
    assertEquals(await replaced.place(read), { at: 2, lost: { reason: "replaced", after: 5, next: 3 } });
    // clocks of servers differ, and the message at the mark may have been removed
    for (const messages of [{ 5: 4_000, 6: 9_000 }, { 4: 2_000, 6: 9_000 }]) {
      assertEquals(await streamOf(messages).place(read), { at: 5, lost: undefined });
    }
  });

  it("a leader that catches up within 2 s has lost nothing", async () => {
    const { clock, place } = streamOf({ 5: 50, 6: 60 }, { behind: 1_900 });
    assertEquals(await place(mark(6, 60)), { at: 6, lost: undefined });
    assertEquals(clock.monotonic(), 1_900);
  });

  it("rejects with the signal's reason while it waits for the leader", async () => {
    const { clock, stream } = streamOf({ 5: 50 });
    const controller = new AbortController();
    const reason = new Error("closed");
    const finding = assertRejects(() => findPlace(stream, mark(6, 60), controller.signal), Error, "closed");
    await clock.advance(500);
    controller.abort(reason);
    await clock.until(finding);
    assertEquals(clock.monotonic(), 500);
  });
});

describe("readState", () => {
  it("notes the time and the last sequence; the first one of an empty stream is the next", async () => {
    const { stream, clock, noted, info } = streamOf({}, { last: 9 });
    const { first, last, now, maxBytes } = await readState(stream);
    assertEquals({ first, last, now, maxBytes, noted }, {
      first: 10,
      last: 9,
      now: clock.now(),
      maxBytes: undefined,
      noted: [9],
    });
    const limits = [-1, 0, 500].map((max_bytes) => toState(stream, { ...info(), config: { max_bytes } }).maxBytes);
    assertEquals(limits, [undefined, undefined, 500]);
    const full = [undefined, "old", "new"].map((discard) =>
      toState(stream, { ...info(), config: { discard } }).discard
    );
    assertEquals(full, ["old", "old", "new"]);
  });
});

describe("messageFrom", () => {
  it("is the first message at or behind a sequence", async () => {
    const { stream } = streamOf({ 5: 50 });
    assertEquals((await messageFrom(stream, 2))?.sequence, 5);
    assertEquals(await messageFrom(stream, 6), undefined);
  });
});
