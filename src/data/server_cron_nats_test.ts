/**
 * Compares the model of nats-server's crons with a real nats-server, in time zones that are made for it: their clocks
 * change within hours or days of now, as those of Nuuk, Santiago, Lord Howe and others do. A message that a cron has
 * fired says when it fires next, so each schedule shows one time that the server has computed, over the change.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { eventually } from "../../test/support/eventually.ts";
import { madeClock, type MadeZone, writeZone } from "../../test/support/made_zone.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { categorySubject, logSubjects, scheduleSubject } from "../log/format/names.ts";
import { streamName } from "../log/format/stream_name.ts";
import { openTransport } from "../nats/harness_suite.ts";
import { NatsEventLog } from "../nats/log/log_stream.ts";
import { readPattern } from "./cron_pattern.ts";
import { serverTimes } from "./server_cron.ts";

const [SECOND, MINUTE, HOUR, DAY] = [1_000, 60_000, 3_600_000, 86_400_000];

/** Time of the zone just before its clock changes, and just after, in hours of the day. */
const CHANGES = [[0, 1], [23, 24], [24, 23], [2, 3], [3, 2], [2, 2.5], [2, 1.5], [1, 0]] as const;
/** Time from the first firing to the change. */
const AHEAD = [20 * MINUTE, 50 * MINUTE, 5 * HOUR, 26 * HOUR, 3 * DAY, -20 * MINUTE, -5 * HOUR];

/** A cron that fires at `due`, and then across the change. */
interface Case {
  readonly zone: MadeZone;
  readonly cron: string;
}

/** Returns zones east and west of UTC whose clocks change around `due`, each with crons that fire at `due`. */
function cases(due: number): Case[] {
  const found: Case[] = [];
  for (const [shown, then] of CHANGES) {
    for (const ahead of AHEAD) {
      const change = due + ahead - (due + ahead) % MINUTE;
      const west = Math.floor(change / DAY) * DAY + (shown % 24) * HOUR - change;
      for (const before of [west > 0 ? west - DAY : west, west > 0 ? west : west + DAY]) {
        const name = `Made/Z${found.length}`;
        const zone = { name, before, change, after: before + (then - shown) * HOUR };
        if (Math.max(Math.abs(zone.before), Math.abs(zone.after)) >= DAY) continue; // no date shows such an offset
        const wall = new Date(due + madeClock(zone).offset(due));
        const at = (minutes: string, hours: string, days: string) =>
          `${wall.getUTCSeconds()} ${wall.getUTCMinutes()}${minutes} ${wall.getUTCHours()}${hours} ${days}`;
        const [date, month, weekday] = [wall.getUTCDate(), wall.getUTCMonth() + 1, wall.getUTCDay()];
        const later = new Date(wall.getTime() + 4 * DAY);
        const crons = [
          at("", "", "* * *"),
          at(",0,30", ",0,2,23", "* * *"),
          at("", ",5", `* * ${weekday},${(weekday + 2) % 7}`),
          at("", ",0,23", `* * ${weekday},${later.getUTCDay()}`),
          at(",15", ",1-3", `${date},${later.getUTCDate()} ${month},${later.getUTCMonth() + 1} *`),
          at("", ",0-23/2", `${date},1 * ${weekday}`),
        ];
        found.push(...crons.map((cron) => ({ zone, cron })));
      }
    }
  }
  return found;
}

describe("serverTimes, over NATS", await requireNatsServer(), () => {
  it("are the times that a real server computes, in zones that skip or repeat midnight, or half an hour", async () => {
    const zones = await mkdtemp(join(tmpdir(), "catga-zones-"));
    await using _removed = { [Symbol.asyncDispose]: () => rm(zones, { recursive: true }) };
    await using server = await startNatsServer({ env: { ZONEINFO: zones } });
    const transport = await openTransport(server.url);
    await using _closed = { [Symbol.asyncDispose]: () => transport.close() };
    const settings = { subjects: logSubjects("default"), replicas: 1, schedules: true };
    const stream = await new NatsEventLog(transport).open(streamName("default", "log"), settings);
    const target = categorySubject("default", "Job");
    // on a busy machine the schedules may be stored too late for their first firing: then all of it with more time
    for (let lead = 4 * SECOND, round = 0;; lead *= 2, round++) {
      const due = Math.ceil((Date.now() + lead) / SECOND) * SECOND;
      const made = cases(due);
      await Promise.all([...new Set(made.map(({ zone }) => zone))].map((zone) => writeZone(zones, zone)));
      const subject = (n: number) => scheduleSubject("default", "Job", `r${round}-${n}`);
      await Promise.all(made.map(async ({ zone, cron }, n) => {
        const schedule = { at: cron, zone: zone.name, target };
        const appended = await stream.append(subject(n), "{}", { timeout: 60_000, schedule });
        assertEquals(appended.type, "stored");
      }));
      if (Date.now() > due - SECOND / 2) continue;
      const next = new Map<string | undefined, string | undefined>();
      let from = 1;
      await eventually("each to fire once", async () => {
        for (const { headers, sequence } of await stream.read(target, { from })) {
          if (!next.has(headers?.["Nats-Scheduler"])) {
            next.set(headers?.["Nats-Scheduler"], headers?.["Nats-Schedule-Next"]);
          }
          from = sequence + 1;
        }
        return made.every((_, n) => next.has(subject(n)));
      });
      let across = 0;
      for (const [n, { zone, cron }] of made.entries()) {
        const expected = serverTimes(readPattern(cron), madeClock(zone)).next(due)!;
        if (expected > zone.change) across++;
        assertEquals(
          Date.parse(next.get(subject(n)) ?? ""),
          expected,
          `${cron} at ${new Date(due).toISOString()} in ${JSON.stringify(zone)}`,
        );
      }
      assert(across > made.length / 2, `${across} of ${made.length}`);
      return;
    }
  });
});
