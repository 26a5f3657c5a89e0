import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { ScriptedStream } from "../../../test/support/scripted_stream.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { Clock } from "../../ports/clock.ts";
import type { LogStream } from "../../ports/event_log.ts";
import { plannedDue, textOf, timeOf, unsupported } from "./schedule_time.ts";

const CRON = { cron: " 0 0 5 * * * ", zone: undefined };

describe("plannedDue", () => {
  const clock = new VirtualClock(1_000_000);

  it("is a moment of this process's clock: a delay from now, or a date by its wall clock", () => {
    assertEquals(plannedDue({ delay: 500 }, clock), clock.monotonic() + 500);
    assertEquals(plannedDue({ at: new Date(1_000_300) }, clock), clock.monotonic() + 300);
    assertEquals(plannedDue({ at: new Date(-5) }, clock), clock.monotonic() - 1_000_005);
  });

  it("is not before the date if the process stands still while it is computed", () => {
    assertEquals(plannedDue({ at: new Date(1_000_100) }, standingStill().clock), 120);
  });

  it("is cron as the stream has it: without blanks around it", () => {
    assertEquals(plannedDue(CRON, clock), "0 0 5 * * *");
  });
});

describe("timeOf", () => {
  it("adds what is left to the server's latest time, and rounds up, so that nothing is handled too early", async () => {
    const clock = new VirtualClock();
    const stream = new ScriptedStream();
    stream.latestServerTime = 2_000.5;
    const due = clock.monotonic() + 500;
    assertEquals(timeOf(due, clock, stream), 2_501);
    await clock.advance(300);
    assertEquals(timeOf(due, clock, stream), 2_201);
    await clock.advance(300);
    assertEquals(timeOf(due, clock, stream), 2_001, "now at the earliest");
  });

  it("is not before the due time if the process stands still while it is computed", () => {
    const { clock, stream } = standingStill();
    assertEquals(timeOf(100, clock, stream), 1_000_120);
  });

  it("is cron as it is", () => {
    assertEquals(timeOf("0 0 5 * * *", new VirtualClock(), new ScriptedStream()), "0 0 5 * * *");
  });
});

describe("textOf", () => {
  it("shows the option as the program gave it", () => {
    assertEquals(textOf({ delay: 500 }), "delay 500");
    assertEquals(textOf({ at: new Date(5_000) }), "at 1970-01-01T00:00:05.000Z");
    assertEquals(textOf(CRON), 'cron " 0 0 5 * * * "');
    assertEquals(textOf({ cron: "@daily", zone: 'a"b' }), 'cron "@daily" and zone "a\\"b"');
  });
});

describe("unsupported", () => {
  const old = { at: false, cron: false, version: "2.11.4" };

  it("names the server's version, and the one that is needed", () => {
    assertEquals(unsupported(5, old), "a delay, or a time, needs nats-server 2.12 or later; this server is 2.11.4");
    assertEquals(unsupported("@daily", old), "a cron needs nats-server 2.14 or later; this server is 2.11.4");
  });

  it("judges times and cron apart", () => {
    const middle = { at: true, cron: false, version: "2.12.1" };
    assertEquals(unsupported(5, middle), undefined);
    assertEquals(unsupported("@daily", middle), "a cron needs nats-server 2.14 or later; this server is 2.12.1");
    assertEquals(unsupported("@daily", { at: false, cron: true, version: "x" }), undefined);
  });

  it("is undefined as long as nobody knows what the server can do: the server itself refuses then", () => {
    assertEquals([unsupported(5, undefined), unsupported("@daily", undefined)], [undefined, undefined]);
  });
});

/** Makes a clock and a stream whose times pass by 20 ms at each look; the server's begins at 1,000,000. */
function standingStill(): { readonly clock: Clock; readonly stream: LogStream } {
  let time = 0;
  const pass = () => time += 20;
  const clock = Object.assign(new VirtualClock(), { now: () => 1_000_000 + pass(), monotonic: pass });
  const stream = new ScriptedStream();
  Object.defineProperty(stream, "latestServerTime", { get: () => 1_000_000 + pass() });
  return { clock, stream };
}
