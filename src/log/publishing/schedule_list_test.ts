import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { MemoryEventLog } from "../../memory/event_log.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { LogSchedule } from "../../ports/event_log.ts";
import { categorySubject, logName, logSubjects, scheduleSubject } from "../format/names.ts";
import { type PendingSchedule, pendingSchedules } from "./schedule_list.ts";
import { unschedule } from "./schedule_write.ts";

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

/** A log in memory that schedules for one contract. */
async function start() {
  const clock = new VirtualClock();
  const log = new MemoryEventLog(clock);
  const stream = await log.open(logName("shop"), { subjects: logSubjects("shop"), replicas: 1, schedules: true });
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
  return { clock, stream, put, list, ids };
}
