/** Tests of pauses of a cron, by whole apps in memory, on virtual time. */
import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { command } from "../../../mod.ts";
import { MemoryCluster } from "../../../test/support/memory_cluster.ts";
import { scheduleSubject } from "../format/names.ts";
import { streamName } from "../format/stream_name.ts";
import { streamOptions } from "../format/streams.ts";
import { pauseSchedule, resumeSchedule } from "./paused_schedule.ts";
import { pendingSchedules } from "./schedule_list.ts";

const Report = command<{ n: number }, void>("Report", { durable: true });
const NIGHTLY = { id: "nightly", cron: "0 * * * * *" } as const;
const MINUTE = 60_000;

async function start() {
  const cluster = new MemoryCluster();
  const { clock } = cluster;
  const ran: number[] = [];
  const handlers = Report.handle(({ n }) => void ran.push(n));
  const app = await cluster.start("a", { service: "shop", handlers });
  const enqueue = async (n: number, options: object = NIGHTLY) =>
    assert((await clock.until(app.enqueue(Report, { n }, options))).ok);
  await enqueue(1);
  const name = streamName("default", "log");
  const stream = await cluster.network.connect().log.open(name, streamOptions("default", "log", 1));
  let marks = 0;
  const options = () => ({ clock, stream: () => stream, mark: `test-${marks++}`, timeout: 30_000 });
  const subject = scheduleSubject("default", "Report", "nightly");
  const pause = (reason?: string) =>
    clock.until(pauseSchedule(subject, { since: clock.now(), reason: reason! }, options()));
  const resume = () => clock.until(resumeSchedule(subject, options()));
  const list = () => Array.fromAsync(pendingSchedules("default", stream));
  return { cluster, clock, app, enqueue, ran, pause, resume, list, subject, options };
}

describe("a paused cron", () => {
  it("does not fire, is listed with the reason, and fires from its next time on when it is resumed", async () => {
    const { cluster, clock, ran, pause, resume, list } = await start();
    await using _ = cluster;
    await clock.advance(2.5 * MINUTE);
    assertEquals(ran.length, 2);
    assertEquals(await pause("é, no disk"), true);
    await clock.advance(10 * MINUTE);
    assertEquals(ran.length, 2);
    const [listed, ...others] = await list();
    assertEquals([others, listed.when, listed.paused?.reason], [[], NIGHTLY.cron, "é, no disk"]);
    assertEquals(await pause(), true, "it is paused already");
    assertEquals(await resume(), true);
    await clock.advance(3 * MINUTE);
    assertEquals([ran.length, (await list())[0].paused], [5, undefined]);
    assertEquals(await resume(), true, "it fires already");
    await clock.advance(MINUTE);
    assertEquals(ran.length, 6);
  });

  it("stays paused when the program schedules it again, as each deploy does, with its new payload and times", async () => {
    const { cluster, clock, enqueue, ran, pause, resume, list } = await start();
    await using _ = cluster;
    await pause("closed");
    await enqueue(2);
    await enqueue(3, { id: "nightly", cron: "30 * * * * *" });
    await clock.advance(5 * MINUTE);
    assertEquals(ran, []);
    const [listed] = await list();
    assertEquals([listed.when, listed.paused?.reason], ["30 * * * * *", "closed"]);
    await resume();
    await clock.advance(2 * MINUTE);
    assertEquals(ran, [3, 3]);
  });

  it("is taken back by unschedule, and replaced by a schedule for one time, which fires", async () => {
    const { cluster, clock, app, enqueue, ran, pause, resume, list } = await start();
    await using _ = cluster;
    await pause();
    assertEquals(await clock.until(app.unschedule(Report, "nightly")), true);
    assertEquals([await list(), await resume(), await pause()], [[], false, false]);
    await enqueue(4);
    await pause();
    await enqueue(5, { id: "nightly", delay: MINUTE });
    assertEquals(await pause(), false, "a schedule for one time is cancelled, not paused");
    await clock.advance(3 * MINUTE);
    assertEquals(ran, [5]);
  });

  it("fires all or nothing of each minute when it is paused and resumed at any moment around its time", async () => {
    const { cluster, clock, ran, pause, resume } = await start();
    await using _ = cluster;
    for (let step = 0; step < 12; step++) {
      await clock.advance(MINUTE - (clock.now() % MINUTE) - 400 + 77 * step);
      const before = ran.length;
      assertEquals(await pause(), true);
      await clock.advance(2_000);
      const fired = ran.length - before;
      assert(fired <= 1, `${fired} firings`);
      await clock.advance(3 * MINUTE);
      assertEquals(ran.length - before, fired);
      assertEquals(await resume(), true);
      const resumed = ran.length;
      await clock.advance(MINUTE - (clock.now() % MINUTE) + 2_000);
      assertEquals(ran.length - resumed, 1, `after step ${step}`);
    }
  });
});
