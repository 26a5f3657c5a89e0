/**
 * Tests of nightly jobs in the two nights in which their time zone changes its clocks, also when a node dies in such
 * a night.
 */
import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { command, unwrap } from "../../mod.ts";
import { testCluster } from "./mod.ts";

const Close = command("books.Close", { durable: true });
const logger = { debug() {}, info() {}, warn() {}, error() {} };

/** The half hours of UTC around the change of Berlin's clocks. At each the job may be due. */
const MOMENTS = ["00:00", "00:30", "01:00", "01:30", "02:00", "02:30"];

/**
 * Runs one night of a job at 02:30 in Berlin, and returns the times at which it ran, in UTC. `killed`: the leader of
 * the job's queue is killed 30 s before the half hour `at`, or right behind it.
 */
async function night(date: string, killed?: { readonly at: string; readonly behind: boolean }): Promise<string[]> {
  const ran = new Map<string, string>();
  const handlers = Close.handle((_, ctx) =>
    void ran.set(ctx.id, new Date(ctx.clock.now()).toISOString().slice(11, 16))
  );
  await using cluster = await testCluster(["a", "b"], { handlers, service: "books", logger });
  const leapTo = (time: number) => cluster.leap(Math.max(0, time - cluster.clock.now()));
  const midnight = Date.parse(`${date}T00:00:00Z`);
  await leapTo(midnight - 600_000);
  unwrap(await cluster.apps[0].enqueue(Close, undefined, { id: "books", cron: "0 30 2 * * *", zone: "Europe/Berlin" }));
  const kill = async () => {
    const leader = await cluster.leader("@/books.Close");
    cluster.kill(leader);
    await cluster.start(leader);
  };
  for (const at of MOMENTS) {
    const due = Date.parse(`${date}T${at}:00Z`);
    await leapTo(due - 30_000);
    if (killed?.at === at && !killed.behind) await kill();
    while (cluster.clock.now() < due) await cluster.advance(Math.min(1_000, due - cluster.clock.now()));
    if (killed?.at === at && killed.behind) await kill();
    await cluster.handled();
  }
  return [...ran.values()];
}

describe("a job at 02:30 in Berlin", () => {
  it("runs once in the night without 02:30, at the end of the gap", async () => {
    assertEquals(await night("2027-03-28"), ["01:00"]);
  });

  it("runs once in the night with two 02:30, at the first", async () => {
    assertEquals(await night("2027-10-31"), ["00:30"]);
  });

  for (const at of ["00:30", "01:30"]) {
    for (const behind of [false, true]) {
      it(`runs once when the leader dies ${behind ? "as it comes" : "before"} at ${at} UTC of that night`, async () => {
        assertEquals((await night("2027-10-31", { at, behind })).length, 1);
      });
    }
  }
});
