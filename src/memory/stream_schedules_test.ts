import { describe, it } from "node:test";
import { assertEquals, assertMatch } from "@std/assert";
import type { AppendOptions, LogSchedule } from "../ports/event_log.ts";
import { scheduled, StreamSchedules } from "./stream_schedules.ts";
import { type NewMessage, newMessage } from "./new_message.ts";
import { VirtualClock } from "./virtual_clock.ts";

const NOON = Date.UTC(2026, 6, 1, 12);

/** Makes the schedules of a stream, and records what they append as `<second> <subject>`. */
function setUp() {
  const clock = new VirtualClock(NOON);
  const appended: NewMessage[] = [];
  const seen: string[] = [];
  const stream = { ready: true, lag: 0 };
  const schedules = new StreamSchedules(clock, {
    ready: () => stream.ready,
    lag: () => stream.lag,
    append(message) {
      appended.push(message);
      seen.push(`${clock.monotonic() / 1_000} ${message.subject}`);
    },
    purge: (subject) => seen.push(`${clock.monotonic() / 1_000} purged ${subject}`),
  });
  const set = (subject: string, schedule: LogSchedule, options: Partial<AppendOptions> = {}) =>
    schedules.set(
      subject,
      newMessage(subject, "data", { timeout: 1_000, ...options, schedule }),
      scheduled(schedule, clock.now()),
    );
  return { clock, stream, schedules, set, seen, appended };
}

describe("scheduled", () => {
  it("a time is due once, also if it has passed", () => {
    const { due, next, invalid } = scheduled({ at: NOON - 5_000, target: "log.a" }, NOON);
    assertEquals({ due, next: next(NOON), invalid }, { due: NOON - 5_000, next: undefined, invalid: undefined });
  });

  it("cron is due after now, by the wall clock of its zone", () => {
    const { due, next } = scheduled({ at: "0 0 12 * * *", zone: "Europe/Berlin", target: "log.a" }, NOON);
    assertEquals([due, next(due)], [Date.UTC(2026, 6, 2, 10), Date.UTC(2026, 6, 3, 10)]);
    assertEquals(scheduled({ at: "0 0 12 * * *", target: "log.a" }, NOON).due, Date.UTC(2026, 6, 2, 12));
  });

  it("cron that cannot be read, or is never due, is invalid, and does not throw", () => {
    const why = (at: string, zone?: string) => String(scheduled({ at, zone, target: "log.a" }, NOON).invalid);
    assertMatch(why("0 0 0 30 2 *"), /"0 0 0 30 2 \*" is never due/);
    for (const [at, zone] of [["nonsense"], ["* * * *"], ["0 0 5 * * *", "Mars/Base"]]) {
      assertMatch(why(at, zone), new RegExp(zone ?? at.replaceAll("*", "\\*")));
    }
  });
});

describe("StreamSchedules", () => {
  it("a time: appends once, then purges the schedule", async () => {
    const { clock, set, seen } = setUp();
    set("log.at", { at: NOON + 2_000, target: "log.due" });
    await clock.advance(60_000);
    assertEquals(seen, ["2 log.due", "2 purged log.at"]);
    assertEquals(clock.timers, 0);
  });

  it("what is appended has the sender's headers, the schedule's subject and next time, and its own ttl", async () => {
    const { clock, set, appended } = setUp();
    const options = { headers: { trace: "7" }, id: "one", expect: 0, ttl: 9_000 };
    set("log.cron", { at: "*/30 * * * * *", zone: "UTC", target: "log.due", ttl: 1_500 }, options);
    set("log.at", { at: NOON + 1_000, target: "log.due" }, { ttl: 9_000 });
    await clock.advance(30_000);
    const [once, again] = appended;
    assertEquals(once.headers, { "Nats-Scheduler": "log.at", "Nats-Schedule-Next": "purge" });
    assertEquals({ headers: again.headers, seconds: again.seconds, text: new TextDecoder().decode(again.data) }, {
      headers: {
        trace: "7",
        "Nats-Scheduler": "log.cron",
        "Nats-Schedule-Next": "2026-07-01T12:01:00Z",
        "Nats-TTL": "2s",
      },
      seconds: 2,
      text: "data",
    });
  });

  it("waits while the stream cannot store anything; cron that was due several times meanwhile is appended once", async () => {
    const { clock, stream, set, seen } = setUp();
    stream.ready = false;
    set("log.cron", { at: "*/10 * * * * *", target: "log.due" });
    await clock.advance(35_000);
    assertEquals(seen, []);
    stream.ready = true;
    await clock.advance(10_000);
    assertEquals(seen, ["35.25 log.due", "40 log.due"]);
  });

  it("a schedule replaces the one of its subject, and a deleted one does not fire", async () => {
    const { clock, schedules, set, seen } = setUp();
    set("log.at", { at: NOON + 1_000, target: "log.first" });
    set("log.at", { at: NOON + 2_000, target: "log.second" });
    set("log.gone", { at: NOON + 1_000, target: "log.due" });
    schedules.delete("log.gone");
    await clock.advance(3_000);
    assertEquals(seen, ["2 log.second", "2 purged log.at"]);
  });

  it("what is put in the place of one that is in hand: its firing removes that, whatever it is", async () => {
    const { clock, stream, set, seen } = setUp();
    stream.lag = 100;
    set("log.at", { at: NOON + 1_000, target: "log.first" });
    await clock.advance(1_050);
    set("log.at", { at: NOON + 3_000, target: "log.second" });
    await clock.advance(200);
    assertEquals(seen, ["1.1 log.first", "1.1 purged log.at"]);
  });

  it("what is put in the place of a cron that is in hand is due when the cron would be due again", async () => {
    const { clock, stream, schedules, set, seen } = setUp();
    stream.lag = 100;
    set("log.cron", { at: "*/2 * * * * *", target: "log.first" });
    await clock.advance(2_050);
    set("log.cron", { at: NOON + 60_000, target: "log.second" });
    await clock.advance(3_000);
    assertEquals(seen, ["2.1 log.first", "4.1 log.second", "4.1 purged log.cron"]);
    schedules.close();
  });

  it("those that are in hand fire one after the other, also those that no longer stand", async () => {
    const { clock, stream, schedules, set, seen } = setUp();
    stream.lag = 100;
    set("log.a", { at: NOON + 1_000, target: "log.first" });
    await clock.advance(1_010);
    stream.lag = 0;
    schedules.delete("log.a");
    set("log.b", { at: NOON, target: "log.second" });
    await clock.advance(1_000);
    assertEquals(seen, ["1.1 log.first", "1.1 purged log.a", "1.1 log.second", "1.1 purged log.b"]);
  });

  it("close: none fires, and no timer is left", () => {
    const { clock, schedules, set } = setUp();
    set("log.at", { at: NOON + 1_000, target: "log.due" });
    set("log.cron", { at: "* * * * * *", target: "log.due" });
    schedules.close();
    assertEquals(clock.timers, 0);
  });
});
