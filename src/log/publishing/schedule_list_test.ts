import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { CatgaError } from "../../error.ts";
import { MemoryEventLog } from "../../memory/event_log.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { LogSchedule, StoredMessage } from "../../ports/event_log.ts";
import { categorySubject, logSubjects, scheduleSubject } from "../format/names.ts";
import { streamName } from "../format/stream_name.ts";
import { OverdueSchedules } from "./overdue_schedules.ts";
import { type PendingSchedule, pendingSchedules } from "./schedule_list.ts";
import { unschedule } from "./unschedule.ts";

describe("pendingSchedules", () => {
  it("gives what was scheduled, for when, and since when", async () => {
    const { clock, put, list } = await start();
    const begin = clock.now();
    await put("a.b", { at: begin + 60_000 });
    await clock.advance(1_500);
    await put("books", { at: "0 0 5 * * *", zone: "Europe/Berlin" });
    assertEquals(await list(), [
      {
        contract: "Send.Mail",
        id: "a.b",
        when: "2026-01-01T00:01:00.000Z",
        zone: undefined,
        since: "2026-01-01T00:00:00.000Z",
      },
      {
        contract: "Send.Mail",
        id: "books",
        when: "0 0 5 * * *",
        zone: "Europe/Berlin",
        since: "2026-01-01T00:00:01.500Z",
      },
    ]);
  });

  it("gives them in the order in which they were made; one that replaced another is the last", async () => {
    const { clock, put, ids } = await start();
    for (const id of ["x", "y", "z", "x"]) await put(id, { at: clock.now() + 60_000 });
    assertEquals(await ids(), ["y", "z", "x"]);
  });

  it("leaves out what has fired or was taken back, but not what fires again", async () => {
    const { clock, stream, put, ids } = await start();
    await put("soon", { at: clock.now() + 1_000 });
    await put("hourly", { at: "0 0 * * * *" });
    await put("cancelled", { at: clock.now() + 86_400_000 });
    await put("later", { at: clock.now() + 86_400_000 });
    const subject = scheduleSubject("shop", "Send.Mail", "cancelled");
    const taken = unschedule(subject, { clock, stream: () => stream, mark: "here.1.0", timeout: 1_000 });
    assertEquals(await clock.until(taken), true);
    assertEquals(await ids(), ["soon", "hourly", "later"]);
    await clock.advance(7_200_000);
    assertEquals(await ids(), ["hourly", "later"]);
  });

  it("leaves out messages that schedule nothing, and subjects that are not those of schedules", async () => {
    const { clock, stream, put, ids } = await start();
    await stream.append(scheduleSubject("shop", "Send.Mail", "plain"), "[1]", { timeout: 1_000 });
    await stream.append(categorySubject("shop", "Send.Mail"), "[1]", { timeout: 1_000 });
    await put("x", { at: clock.now() + 60_000 }, "catga.shop.at.Mail.x.y");
    await put("x", { at: clock.now() + 60_000 }, "catga.shop.at.Mail.=41");
    assertEquals(await ids(), []);
  });

  it("gives all of them, also more than one read of the stream gives", async () => {
    const { clock, put, ids } = await start();
    const all = Array.from({ length: 2_001 }, (_, n) => `n${n}`);
    for (const id of all) await put(id, { at: clock.now() + 60_000 });
    assertEquals(await ids(), all);
  });
});

describe("OverdueSchedules", () => {
  it("writes crons again that were due since the store was full, as they were; others stay as they are", async () => {
    const { clock, stream, put, ids, noteFull } = await start();
    const begin = clock.now();
    await put("later", { at: begin + 7_200_000 });
    await put("hourly", { at: "0 0 * * * *", zone: "Europe/Berlin" });
    await put("nightly", { at: "0 0 5 * * *" });
    await clock.advance(3_590_000);
    const before = await stream.last(HOURLY);
    for (let refusal = 0; refusal < 3; refusal++) {
      noteFull();
      await clock.advance(6_000);
    }
    await clock.advance(9_000);
    assertEquals(await ids(), ["later", "nightly", "hourly"]);
    const { sequence, headers, data, time } = (await stream.last(HOURLY))!;
    assertEquals(data, before!.data);
    const { "Nats-Expected-Last-Subject-Sequence": expected, ...others } = headers!;
    assertEquals([expected, others], [`${before!.sequence}`, before!.headers]);
    assert(time - begin > 3_602_000, "there was room");
    noteFull();
    await clock.advance(15_000);
    assertEquals((await stream.last(HOURLY))!.sequence, sequence, "it was not due again");
    await clock.advance(3_600_000);
    const fired = await stream.read(categorySubject("shop", "Send.Mail"), { from: 1 });
    assertEquals(fired.map(({ time }) => time - begin), [3_600_000, 7_200_000, 7_200_000]);
  });

  it("a cron that is about to fire is not written before it has fired", async () => {
    const { clock, stream, put, noteFull } = await start();
    const begin = clock.now();
    const subject = scheduleSubject("shop", "Send.Mail", "minutely");
    await put("minutely", { at: "0 * * * * *" });
    await clock.advance(109_650);
    noteFull();
    await clock.advance(10_300); // 10.3 s are enough time for a fence (a schedule that is due at once) to fire
    assertEquals((await stream.last(subject))!.time, begin);
    await clock.advance(5_000);
    const written = (await stream.last(subject))!.time - begin;
    assertEquals(written, 121_000);
    const fired = await stream.read(categorySubject("shop", "Send.Mail"), { from: 1 });
    assertEquals(fired.map(({ time }) => time - begin), [60_000, 120_000]);
  });

  it("one that is none of Catga's making stops no other, and stays as it is where Catga cannot write it", async () => {
    const foreign: Record<string, Record<string, string>> = {
      noted: { "nats-note": "1" },
      hours: { "Nats-Schedule-TTL": "2h" },
      nowhere: { "Nats-Schedule-Target": "a b" },
    };
    const { clock, put, ids, noteFull } = await start(({ headers, ...message }) => {
      const id = message.subject.split(".").at(-1)!;
      return { ...message, headers: { ...headers, ...foreign[id] } };
    });
    for (const id of [...Object.keys(foreign), "hourly"]) await put(id, { at: "0 0 * * * *" });
    await clock.advance(3_600_500);
    noteFull();
    await clock.advance(20_000);
    assertEquals(await ids(), ["hours", "nowhere", "noted", "hourly"]);
  });

  it("nothing is looked for unless the store was full, and after it is closed", async () => {
    const { clock, put, noteFull, overdue, stream } = await start();
    await put("often", { at: "* * * * * *" });
    const { sequence } = (await stream.last(scheduleSubject("shop", "Send.Mail", "often")))!;
    overdue.noteError(new Error("no leader"));
    await clock.advance(30_000);
    noteFull();
    overdue.close();
    await clock.advance(30_000);
    assertEquals((await stream.last(scheduleSubject("shop", "Send.Mail", "often")))!.sequence, sequence);
  });
});

const HOURLY = scheduleSubject("shop", "Send.Mail", "hourly");

/** Starts a log in memory, with schedules for one contract. `seen`: replaces each message that is read. */
async function start(seen = (message: StoredMessage) => message) {
  const clock = new VirtualClock();
  const log = new MemoryEventLog(clock);
  const stream = await log.open(streamName("shop", "log"), {
    subjects: logSubjects("shop"),
    replicas: 1,
    schedules: true,
  });
  const put = async (
    id: string,
    schedule: Pick<LogSchedule, "at" | "zone">,
    subject = scheduleSubject("shop", "Send.Mail", id),
  ) => {
    const target = categorySubject("shop", "Send.Mail");
    const { type } = await stream.append(subject, "[1]", {
      timeout: 1_000,
      rollup: true,
      schedule: { ...schedule, target },
    });
    assertEquals(type, "stored");
  };
  const list = async () => {
    const found: PendingSchedule[] = [];
    for await (const pending of pendingSchedules("shop", stream)) found.push(pending);
    return found;
  };
  const ids = async () => (await list()).map(({ id }) => id);
  const observer = (seen: unknown) => assertEquals(seen, undefined);
  const random = () => 1; // with 1 the check for overdue schedules waits for the full 10 s
  const { read } = stream;
  const shown = Object.assign(stream, {
    read: async (...args: Parameters<typeof read>) => (await read.apply(stream, args)).map(seen),
  });
  const overdue = new OverdueSchedules({ namespace: "shop", endpoint: "a.1", clock, random, observer }, () => shown);
  const noteFull = () => overdue.noteError(new CatgaError("UNAVAILABLE", "full", { cause: { refusal: "full" } }));
  return { clock, stream, put, list, ids, overdue, noteFull };
}
