import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import type { AppendOptions } from "../ports/event_log.ts";
import { StreamState, type Verdict } from "./stream_state.ts";
import { MessageList } from "./stream_storage.ts";
import { newMessage } from "./new_message.ts";
import { VirtualClock } from "./virtual_clock.ts";
import { seededRandom } from "./seeded_random.ts";

const SETTINGS = { subjects: ["log.>"], replicas: 1, schedules: true };

/** Makes the state of a stream whose first sequence is 1. */
function setUp({ schedules = true } = {}) {
  const clock = new VirtualClock(0);
  const state = new StreamState(clock, { ...SETTINGS, schedules }, {
    created: "now",
    least: 1,
    ready: () => true,
    lag: () => 0,
  });
  const append = (subject: string, options: Partial<AppendOptions> = {}) =>
    state.append(newMessage(subject, "", { timeout: 1_000, ...options }));
  const stored = () => state.read(">", 0, 1_000).map(({ sequence, subject }) => `${sequence} ${subject}`);
  return { clock, state, append, stored };
}

/**
 * Returns the outcome of an append as one word or number: the sequence, `again` and the sequence, `conflict`, or the
 * error's code.
 */
function wordOf(verdict: Verdict): string | number {
  if (verdict.type === "stored") return verdict.duplicate ? `again ${verdict.sequence}` : verdict.sequence;
  return verdict.type === "conflict" ? "conflict" : verdict.error.code;
}

describe("StreamState: append", () => {
  it("judges the expectation before the id: a repeat whose expectation no longer holds is a conflict", () => {
    const { append } = setUp();
    const first = { id: "one", expect: 0 };
    assertEquals(wordOf(append("log.a", first)), 1);
    assertEquals(wordOf(append("log.a", first)), "conflict");
    assertEquals(wordOf(append("log.a", { id: "one", expect: 1 })), "again 1");
    assertEquals(wordOf(append("log.b", { id: "one" })), "again 1");
  });

  it("a message that is refused or known changes nothing: its rollup removes nothing, and no observer is called", () => {
    const { state, append, stored } = setUp();
    append("log.a", { id: "one" });
    let calls = 0;
    const undo = state.observe(() => calls++);
    append("log.a", { id: "one", rollup: true });
    append("log.a", { expect: 7, rollup: true });
    append("log.a", { schedule: { at: "nonsense", target: "log.b" } });
    assertEquals({ stored: stored(), calls }, { stored: ["1 log.a"], calls: 0 });
    append("log.a", { rollup: true });
    undo();
    append("log.b");
    assertEquals({ stored: stored(), calls }, { stored: ["2 log.a", "3 log.b"], calls: 1 });
  });

  it("refuses a schedule whose target is no other subject of the stream, and all where none are allowed", () => {
    const { append, stored } = setUp();
    const target = (target: string) => wordOf(append("log.at", { schedule: { at: 1_000, target } }));
    assertEquals(["log.at", "other.a"].map(target), ["INVALID_MESSAGE", "INVALID_MESSAGE"]);
    assertEquals(stored(), []);
    const without = setUp({ schedules: false });
    const schedule = { at: 1_000, target: "log.a" };
    assertEquals(wordOf(without.append("log.at", { schedule })), "UNSUPPORTED");
    assertEquals(target("log.a"), 1);
  });

  it("a message of any kind under the subject of a schedule cancels it", async () => {
    const { clock, append, stored } = setUp();
    append("log.at", { schedule: { at: 1_000, target: "log.due" } });
    append("log.at");
    await clock.advance(1_000);
    assertEquals({ stored: stored(), timers: clock.timers }, { stored: ["1 log.at", "2 log.at"], timers: 0 });
  });
});

describe("StreamState: reading", () => {
  it("last, read: find what was there before a sequence, without what was removed", () => {
    const { state, append } = setUp();
    for (const subject of ["log.a", "log.b", "log.a", "log.a"]) append(subject);
    assertEquals(state.last("log.a")?.sequence, 4);
    assertEquals(state.last("log.a", 4)?.sequence, 3);
    assertEquals(state.last("log.a", 1), undefined);
    assertEquals(state.read("log.*", 2, 2).map(({ sequence }) => sequence), [2, 3]);
    assertEquals(state.purge("log.a", 4), 2);
    assertEquals(state.last("log.a", 4), undefined);
    assertEquals(state.read(">", 0, 9, 4).map(({ sequence }) => sequence), [2]);
  });

  it("since: finds the first message of a time or later, the next sequence if there is none", async () => {
    const { clock, state, append } = setUp();
    assertEquals(state.since(0), 1);
    for (const subject of ["log.a", "log.b", "log.c"]) {
      append(subject);
      await clock.advance(10);
    }
    assertEquals([0, 1, 10, 11, 20, 21].map((time) => state.since(time)), [1, 2, 2, 3, 3, 4]);
    state.purge("log.b");
    assertEquals(state.since(10), 3);
  });
});

describe("StreamState: loss", () => {
  it("truncate: the ids and schedules of what is lost are lost with it, those of the rest are not", async () => {
    const { clock, state, append, stored } = setUp();
    append("log.a", { id: "kept" });
    append("log.at.kept", { schedule: { at: 1_000, target: "log.kept" } });
    append("log.b", { id: "lost" });
    append("log.at.lost", { schedule: { at: 1_000, target: "log.lost" } });
    state.truncate(2);
    assertEquals([wordOf(append("log.a", { id: "kept" })), wordOf(append("log.b", { id: "lost" }))], ["again 1", 3]);
    await clock.advance(1_000);
    assertEquals(stored(), ["1 log.a", "3 log.b", "4 log.kept"]);
  });

  it("truncate: the ttl of a lost message does not remove the message that gets its sequence (it did)", async () => {
    const { clock, state, append, stored } = setUp();
    append("log.a", { ttl: 1_000 });
    append("log.b", { ttl: 1_000 });
    state.truncate(1);
    append("log.c");
    await clock.advance(1_000);
    assertEquals({ stored: stored(), timers: clock.timers }, { stored: ["2 log.c"], timers: 0 });
  });

  it("truncate, interrupt, remove: count as interruptions, of which observers are called", () => {
    const { state, append } = setUp();
    append("log.a");
    const seen: number[] = [];
    state.observe(() => seen.push(state.interruptions));
    state.truncate(0);
    state.interrupt();
    state.remove();
    assertEquals(seen, [1, 2, 3]);
  });

  it("remove: its schedules never fire, and its ttls set no further timer", async () => {
    const { clock, state, append } = setUp();
    append("log.at", { schedule: { at: 500, target: "log.due" } });
    append("log.a", { ttl: 1_000 });
    append("log.b", { ttl: 60_000 });
    state.remove();
    await clock.advance(1_000);
    assertEquals({ due: state.last("log.due"), timers: clock.timers }, { due: undefined, timers: 0 });
  });
});

const message = (subject: string) => ({ subject, time: 0, data: new Uint8Array(), headers: undefined });

describe("MessageList", () => {
  it("behaves as an array from which messages are removed, over 20,000 random steps", () => {
    const random = seededRandom(7);
    const draw = (limit: number) => Math.floor(random() * limit);
    const list = new MessageList(1_000);
    let model: { sequence: number; subject: string }[] = [];
    let next = 1_000;
    for (let step = 0; step < 20_000; step++) {
      const dice = random();
      const subject = `a.${draw(4)}`;
      if (dice < 0.5) {
        assertEquals(list.push(message(subject)), next);
        model.push({ sequence: next++, subject });
      } else if (dice < 0.9) {
        // the test removes mostly the first message, as expiry does
        const found = model[random() < 0.7 ? 0 : draw(model.length)];
        if (found) list.remove(found.sequence);
        model = model.filter((each) => each !== found);
      } else if (dice < 0.901) {
        const last = Math.max(1_000, next - draw(50));
        for (const { sequence } of model.filter((each) => each.sequence > last)) list.remove(sequence);
        list.truncate(last);
        model = model.filter(({ sequence }) => sequence <= last);
        next = Math.min(next, last + 1);
      }
      if (step % 50 > 0) continue;
      const from = (model[0]?.sequence ?? next) + draw(model.length);
      const of = (which: (subject: string) => boolean) =>
        model.filter((each) => which(each.subject) && each.sequence >= from).map(({ sequence }) => sequence);
      assertEquals(list.sequences(subject, Infinity, from), of((each) => each === subject));
      assertEquals(list.sequences("a.*", Infinity, from, 5), of(() => true).slice(0, 5));
      assertEquals(list.last(subject)?.sequence, model.findLast((each) => each.subject === subject)?.sequence);
      assertEquals([list.first, list.next, list.messages], [model[0]?.sequence ?? next, next, model.length]);
    }
  });

  it("bytes: grow with each message, and are 0 when all are removed", () => {
    const list = new MessageList(1);
    list.push({ subject: "a", time: 0, data: new Uint8Array(100), headers: { name: "value" } });
    const one = list.bytes;
    assertEquals(one > 100, true);
    list.push({ subject: "a", time: 0, data: new Uint8Array(100), headers: { name: "value" } });
    assertEquals(list.bytes, 2 * one);
    list.remove(1);
    list.remove(2);
    list.remove(2);
    assertEquals(list.bytes, 0);
  });

  it("truncate: behind messages that were removed, the next one gets the sequence behind it", () => {
    const list = new MessageList(10);
    for (let i = 0; i < 10; i++) list.push(message("a"));
    for (let i = 10; i < 20; i++) list.remove(i);
    assertEquals([list.first, list.next], [20, 20]);
    list.truncate(14);
    assertEquals([list.first, list.next, list.push(message("a"))], [15, 15, 15]);
    list.truncate(20);
    assertEquals(list.next, 16);
  });
});
