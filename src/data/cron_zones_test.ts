/**
 * Crons in all time zones that the runtime knows, over ten years: at each time that Catga promises, the server fires
 * (`server_cron_nats_test.ts` compares the model of it with a real one), and readers keep that firing alone.
 */
import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { ofThisRuntime } from "../../test/support/of_this_runtime.ts";
import { isNeedlessOf, promisedTimes, serverPattern } from "./cron.ts";
import { readPattern } from "./cron_pattern.ts";
import { serverTimes } from "./server_cron.ts";
import { type ZoneClock, zoneClock } from "./zone_clock.ts";

const DAY = 86_400_000;
/** Times at which the cron is scheduled; its pattern holds for 5 years from each. */
const STARTS = [Date.UTC(2026, 10, 30), Date.UTC(2031, 10, 29)];
const END = Date.UTC(2036, 10, 28);

interface Zone {
  readonly zone: string;
  readonly clock: ZoneClock;
  readonly changes: readonly number[];
}

/** A zone of each set of changes between `STARTS` and `END`: zones with the same changes have the same crons. */
function differentZones(): Zone[] {
  const found = new Map<string, Zone>();
  for (const zone of Intl.supportedValuesOf("timeZone")) {
    const clock = zoneClock(zone);
    if (clock === undefined) continue;
    const changes: number[] = [];
    for (let at = clock.changeAfter(STARTS[0], END); at !== undefined; at = clock.changeAfter(at, END)) {
      changes.push(at);
    }
    const set = [STARTS[0], ...changes].map((at) => [at, clock.offset(at)]).join();
    if (changes.length > 0 && !found.has(set)) found.set(set, { zone, clock, changes });
  }
  return [...found.values()];
}

function between({ next }: { next(time: number): number | undefined }, from: number, to: number): number[] {
  const found: number[] = [];
  for (let time = next(from); time !== undefined && time < to; time = next(time)) found.push(time);
  return found;
}

const HOURS = ["0 0 0", "0 30 0", "0 0 1", "0 30 1", "0 0 2", "0 30 2", "30 15 3", "0 30 5", "0 0 22,23", "0 30 23"];
const ANY_HOURS = ["0 0 */2", "0 30 */6", "0 0 *"];
const DAYS = ["* * *", "* * 0", "* * 6", "* * 1-5", "1 * *", "20 9 *", "25-31 * 5", "31 3,10 *"];

describe("crons in all time zones, over ten years", () => {
  const zones = differentZones();

  it("there are zones that skip midnight, and such whose gap ends on the next day", () => {
    const gaps = zones.flatMap(({ clock, changes }) => {
      return changes.map((at) => [at + clock.offset(at - 1), at + clock.offset(at)].map((wall) => wall % DAY));
    });
    assert(gaps.some(([from, to]) => from === 0 && to === DAY / 24));
    assert(gaps.some(([from, to]) => from === DAY * 23 / 24 && to === 0));
  });

  for (const [n, { zone, clock, changes }] of ofThisRuntime([...zones.entries()])) {
    it(`the server fires at each promised time, and no other counts: ${zone}`, () => {
      for (const [i, hours] of [...HOURS, ...ANY_HOURS].entries()) {
        for (const [k, days] of DAYS.entries()) {
          // each zone has one in 24 of the pairs
          if ((i * DAYS.length + k + 5 * n) % 24 > 0) continue;
          const cron = `${hours} ${days}`;
          const own = readPattern(cron);
          const promised = promisedTimes(own, clock);
          for (const [s, start] of STARTS.entries()) {
            const server = serverPattern(own, clock, start);
            const pattern = readPattern(server ?? cron);
            const fires = serverTimes(pattern, clock);
            for (const change of changes) {
              if (change < start || change >= (STARTS[s + 1] ?? END)) continue;
              const span = days === "* * *" ? 3 * DAY : 35 * DAY;
              const [from, to] = [Math.max(start, change - span), change + span];
              const due = between(promised, from, to);
              const fired = between(fires, from, to);
              const where = `${cron} as ${server} around ${new Date(change).toISOString()}`;
              if (server === undefined) {
                assertEquals(fired, due, where);
                continue;
              }
              const firings = new Set(fired);
              assertEquals(due.filter((time) => !firings.has(time)), [], where);
              const near = fired.filter((time) => Math.abs(time - change) < 2 * DAY);
              const kept = near.filter((time) => !isNeedlessOf(own, pattern, clock, time + 700));
              assertEquals(kept, due.filter((time) => Math.abs(time - change) < 2 * DAY), where);
            }
          }
        }
      }
    });
  }

  it("a nightly job comes once each day, for each of its days", () => {
    const once = HOURS.filter((text) => !text.includes(","));
    for (const [n, { zone, clock }] of zones.entries()) {
      for (const hours of [once[n % once.length]]) {
        const times = between(promisedTimes(readPattern(`${hours} * * *`), clock), STARTS[0], END);
        const first = STARTS[0] + clock.offset(STARTS[0]);
        const days = (END + clock.offset(END) - first) / DAY;
        assert(Math.abs(times.length - days) <= 1, `${hours} in ${zone}: ${times.length} in ${days} days`);
        for (const [i, time] of times.slice(1).entries()) assert(time - times[i] < 1.1 * DAY, `${hours} in ${zone}`);
      }
    }
  });
});
