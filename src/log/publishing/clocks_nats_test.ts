/**
 * Tests of schedules made by processes whose clock is wrong, or that were busy while they asked for the server's
 * time.
 */
import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { NatsEventLog } from "../../nats/log/log_stream.ts";
import { openTransport } from "../../nats/harness_suite.ts";
import { OWN_RUNTIMES, startProgram } from "../../../test/processes/node_process.ts";
import type { SchedulePublisherLine, SchedulePublisherOptions } from "../../../test/processes/schedule_publisher.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { logReader } from "../../../test/support/read_log.ts";
import { WallClockWatch } from "../../../test/support/wall_clock.ts";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";

/** Timeout of these tests; the default in Bun is 5 s. */
const slow = { timeout: 300_000 };
const AFTER = 1_500;
/** Maximum delay of a message on a busy machine, in ms: far less than the difference of the clocks. */
const LATE = 15_000;

describe("schedules of a process", await requireNatsServer(), () => {
  const both = [{ after: AFTER, date: false }, { after: AFTER, date: true }];

  for (const ahead of [30_000, -30_000]) {
    it(
      `whose clock is ${
        ahead / 1_000
      } s ahead come in their time: a date is meant by its clock, and fires by the server's`,
      slow,
      async () => {
        const fired = await fire({ skew: { ahead }, schedules: both });
        for (const late of fired) assert(late >= 0 && late < LATE, `${late} ms after their time`);
      },
    );
  }

  it("that was busy while it asked for the server's time do not come too early", slow, async () => {
    const fired = await fire({ busy: 700, schedules: both });
    for (const late of fired) assert(late >= 0 && late < LATE, `${late} ms after their time`);
  });
});

/**
 * Runs a process that publishes schedules. Resolves, for each of its messages, with the ms between its due time and
 * its firing, by the server's clock; a change of the machine's clock during the test is added.
 */
async function fire(options: SchedulePublisherOptions): Promise<number[]> {
  using wallClock = new WallClockWatch();
  await using server = await startNatsServer();
  const program = "test/processes/schedule_publisher.ts";
  await using publisher = await startProgram<SchedulePublisherLine>(OWN_RUNTIMES[0], program, [
    server.url,
    JSON.stringify(options),
  ]);
  const { called, outcomes } = await publisher.line(({ event }) => event === "done", 60_000);
  assertEquals(new Set(outcomes), new Set(["ok"]));
  const transport = await openTransport(server.url);
  try {
    const all = await logReader(new NatsEventLog(transport));
    return await eventually("all to fire", async () => {
      const stored = await all();
      if (stored.length < called.length) return undefined;
      return stored.map(({ payload, time }) => {
        const { n } = payload as { n: number };
        return time - called[n] - options.schedules[n].after + wallClock.moved;
      });
    }) ?? [];
  } finally {
    await transport.close();
  }
}
