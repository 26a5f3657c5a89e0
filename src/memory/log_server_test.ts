import { describe, it } from "node:test";
import { assertEquals, assertGreater, assertNotEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { CatgaError } from "../error.ts";
import { MemoryEventLog } from "./event_log.ts";
import type { StreamState } from "./stream_state.ts";
import { newMessage } from "./new_message.ts";
import { VirtualClock } from "./virtual_clock.ts";

const OPTIONS = { subjects: ["log.a.>", "log.b"], replicas: 1, schedules: true };

/** Appends a message, and returns its sequence. */
function append(stream: StreamState, subject = "log.b"): number {
  stream.append(newMessage(subject, "", { timeout: 1_000 }));
  return stream.next - 1;
}

describe("MemoryEventLog: stream", () => {
  it("finds the stream of a name, whatever the order of its subjects", () => {
    const server = new MemoryEventLog(new VirtualClock());
    const stream = server.stream("log", OPTIONS);
    assertStrictEquals(server.stream("log", { ...OPTIONS, subjects: ["log.b", "log.a.>"] }), stream);
    assertStrictEquals(server.get("log"), stream);
  });

  it("throws LOG_MISMATCH for other settings, and for subjects that overlap with those of another stream", () => {
    const server = new MemoryEventLog(new VirtualClock());
    server.stream("log", OPTIONS);
    const open = (name: string, options: Partial<typeof OPTIONS>) =>
      assertThrows(() => server.stream(name, { ...OPTIONS, ...options }), CatgaError);
    assertEquals(open("log", { replicas: 3 }).details, { stream: "log", setting: "replicas", is: 1, wanted: 3 });
    const error = open("other", { subjects: ["free", "log.a.*.c"] });
    assertEquals({ code: error.code, details: error.details }, {
      code: "LOG_MISMATCH",
      details: { stream: "other", setting: "subjects", is: "log", wanted: "other" },
    });
    assertEquals(server.get("other"), undefined);
  });

  it("a stream that was lost and made again has another time of creation and greater sequences, in the same ms", () => {
    const server = new MemoryEventLog(new VirtualClock());
    const first = server.stream("log", OPTIONS);
    append(first);
    const last = append(first);
    server.remove("log");
    const second = server.stream("log", OPTIONS);
    assertNotEquals(second.created, first.created);
    assertGreater(append(second), last);
  });

  it("sequences are greater also if the stream had lost messages before it was lost itself (they began anew)", () => {
    const server = new MemoryEventLog(new VirtualClock());
    const stream = server.stream("log", OPTIONS);
    const first = append(stream);
    const last = append(stream);
    server.truncate("log", first);
    server.remove("log");
    assertGreater(append(server.stream("log", OPTIONS)), last);
  });
});

describe("MemoryEventLog: outages", () => {
  it("noQuorum: writes wait until it is over, and are performed in the order of the calls", () => {
    const server = new MemoryEventLog(new VirtualClock());
    const seen: string[] = [];
    server.begin("noQuorum");
    for (const name of ["a", "b"]) server.write(() => seen.push(name));
    server.begin("noLeader");
    server.end("noLeader");
    assertEquals(seen, []);
    server.end("noQuorum");
    server.write(() => seen.push("c"));
    server.end("noQuorum");
    assertEquals(seen, ["a", "b", "c"]);
  });

  it("noLeader: interrupts each stream, and is UNAVAILABLE until it is over; writes do not wait", () => {
    const server = new MemoryEventLog(new VirtualClock());
    const stream = server.stream("log", OPTIONS);
    server.begin("noQuorum");
    assertEquals({ led: server.led, interruptions: stream.interruptions }, { led: true, interruptions: 0 });
    server.end("noQuorum");
    server.begin("noLeader");
    assertEquals({ led: server.led, interruptions: stream.interruptions }, { led: false, interruptions: 1 });
    const error = assertThrows(() => server.checkLed(), CatgaError);
    assertEquals({ code: error.code, retryable: error.retryable }, { code: "UNAVAILABLE", retryable: true });
    let performed = false;
    server.write(() => performed = true);
    assertEquals(performed, true);
    server.end("noLeader");
    server.checkLed();
  });

  it("either one: schedules fire when both are over", async () => {
    const clock = new VirtualClock();
    const server = new MemoryEventLog(clock);
    const stream = server.stream("log", OPTIONS);
    const schedule = { at: clock.now() + 1_000, target: "log.b" };
    stream.append(newMessage("log.a.at", "", { timeout: 1_000, schedule }));
    server.begin("noQuorum");
    server.begin("noLeader");
    await clock.advance(2_000);
    server.end("noQuorum");
    await clock.advance(2_000);
    assertEquals(stream.last("log.b"), undefined);
    server.end("noLeader");
    await clock.advance(1_000);
    assertEquals(stream.last("log.b")?.headers?.["Nats-Scheduler"], "log.a.at");
  });
});

describe("MemoryEventLog: loss", () => {
  it("onDoubt: is called with the name when a stream loses messages or is lost, until it is removed", () => {
    const server = new MemoryEventLog(new VirtualClock());
    const stream = server.stream("log", OPTIONS);
    server.stream("other", { ...OPTIONS, subjects: ["other"] });
    const seen: string[] = [];
    const listener = (name: string) => void seen.push(name);
    const undo = server.onDoubt(listener);
    server.onDoubt(listener);
    server.truncate("log", stream.first);
    undo();
    server.remove("other");
    assertEquals(seen, ["log", "log", "other"]);
    assertEquals(server.get("other"), undefined);
  });

  it("of a stream that does not exist it is a TypeError with the names of those that do", () => {
    const server = new MemoryEventLog(new VirtualClock());
    assertThrows(() => server.remove("lgo"), TypeError, 'there is no stream "lgo"; there are none');
    server.stream("log", OPTIONS);
    assertThrows(() => server.truncate("lgo", 0), TypeError, 'there is no stream "lgo"; there are log');
  });
});
