/** Tests in which schedules are made, replaced and taken back all the time, on a slow server that loses answers. */
import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { type Catga, catga, command } from "../../../mod.ts";
import { ScriptedStream } from "../../../test/support/scripted_stream.ts";
import { QUIET } from "../../../test/support/quiet.ts";
import { readAll } from "../../../test/support/read_log.ts";
import { seededRandom } from "../../memory/seeded_random.ts";
import { MemoryNetwork, VirtualClock } from "../../testing/mod.ts";
import { overwrite } from "./schedule_write.ts";

const Mail = command<{ n: number }>("Mail", { durable: true });

/** A call that made, replaced or took back a schedule. */
interface Step {
  readonly n: number;
  /** Time at which the call began, by the virtual clock; `until`: time at which it ended. */
  readonly from: number;
  until: number;
  /**
   * Due time of the schedule, or `cron` for one that fires in each second; `take back`: the call took the schedule
   * back.
   */
  readonly plan: number | "cron" | "take back";
  outcome: string;
}

describe("overwrite", () => {
  // the second cron waits for the first, because nats-server counts a new cron from its storing on, and fires up to 250
  // ms late
  it("a cron that is due about now fires before another one takes its place", async () => {
    const minute = "0 * * * * *";
    for (
      const [cron, stored, now, writtenAt] of [
        [minute, 0, 59_600, 61_000],
        [minute, 0, 60_050, 61_000],
        [minute, 0, 59_400, 59_400],
        [minute, 0, 61_050, 61_050],
        [minute, 60_010, 60_050, 60_050], // the old cron is due only in a minute, so the replacement need not wait
        ["* * * * * *", 0, 60_050, 60_050], // the old cron fires every second, so no moment is better than now
      ] as const
    ) {
      const clock = new VirtualClock();
      const begin = clock.monotonic();
      const time = () => now + clock.monotonic() - begin;
      const stream = Object.defineProperties(new ScriptedStream(), {
        serverTime: { get: time },
        latestServerTime: { get: time },
      });
      const headers = { "Nats-Schedule": cron };
      stream.stored = { sequence: 7, subject: "at.a", time: stored, data: new Uint8Array(), headers };
      const written: number[] = [];
      stream.reply = ({ expect }) => {
        if (expect !== 7) return { type: "conflict" };
        written.push(time());
        return { type: "stored", sequence: 8, duplicate: false };
      };
      const replacement = {
        write: () => ({ data: "new", options: { schedule: { at: cron, target: "log.a" } } }),
        isOwn: () => false,
        yieldsTo: () => false,
        alone: true,
        patient: false,
        done: "stored",
      };
      const options = { clock, stream: () => stream, mark: "m", timeout: 10_000 };
      assertEquals(await clock.until(overwrite("at.a", replacement, options)), true);
      assertEquals(written, [writtenAt], `${cron} at ${now}`);
    }
  });
});

describe("schedules under faults", () => {
  it("one that was stored without an answer, and has fired, is not stored again", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    const app = await clock.until(catga({ network, id: "a", logger: QUIET }));
    assert((await clock.until(app.enqueue(Mail, { n: 0 }))).ok); // this enqueue opens the log before the fault begins
    await clock.advance(0.5);
    network.log.begin("noQuorum");
    const scheduled = app.enqueue(Mail, { n: 1 }, { id: "id", delay: 500, timeout: 10_000 });
    await clock.advance(2_001);
    network.log.end("noQuorum");
    const { error } = await clock.until(scheduled);
    await clock.advance(1_000);
    const fired = (await clock.until(readAll(network.log))).map(({ payload }) => (payload as { n: number }).n);
    assertEquals(fired, [0, 1]);
    assertEquals(error?.code, "OUTCOME_UNKNOWN");
    await clock.until(app.drain());
  });

  for (let seed = 1; seed <= 28; seed++) {
    // with a delay of 300 ms a cron is due again, and a held message fires, before the replacement is written
    const faults = seed <= 20 ? { lostAck: 0.03, delay: 40 } : { lostAck: 0.1, delay: 300 };
    it(`seed ${seed}: each that was ok fires once unless it was replaced or taken back, and what was taken back never`, async () => {
      const clock = new VirtualClock();
      const network = new MemoryNetwork({ clock, seed });
      const random = seededRandom(seed);
      const apps = await clock.until(Promise.all(["a", "b"].map((id) => catga({ network, id, logger: QUIET }))));
      network.faults = faults;
      const steps = new Map<string, Step[]>();
      let count = 0;
      const work = Array.from({ length: 12 }, async (_, i) => {
        const id = `id.${i}`;
        const own: Step[] = [];
        steps.set(id, own);
        for (let round = 0; round < 25; round++) {
          own.push(await step(apps[Math.floor(random() * 2)], id, count++, random));
          await apps[0].clock.sleep(random() < 0.3 ? 3_000 : random() * 500);
        }
        own.push(await step(apps[0], id, count++, () => 0.99)); // a last step: takes back a schedule that may be a cron
      });
      await clock.until(Promise.all(work), 600_000);
      network.faults = {};
      await clock.advance(20_000);
      const fired = new Map<number, number[]>();
      for (const { payload, time } of await clock.until(readAll(network.log))) {
        const { n } = payload as { n: number };
        fired.set(n, [...fired.get(n) ?? [], time]);
      }
      const outcomes = new Set<string>();
      for (const own of steps.values()) {
        for (const [i, one] of own.entries()) {
          outcomes.add(one.outcome);
          check(one, own.slice(i + 1), fired.get(one.n) ?? []);
        }
      }
      for (const outcome of ["ok", "true", "false"]) assert(outcomes.has(outcome), [...outcomes].join());
      await clock.until(Promise.all(apps.map((app) => app.drain())));
    });
  }
});

async function step(app: Catga, id: string, n: number, random: () => number): Promise<Step> {
  const from = app.clock.now();
  const draw = random();
  const delay = Math.ceil(random() * 600);
  const plan = draw > 0.85 ? "take back" : draw > 0.7 ? "cron" : from + delay;
  let outcome: string;
  if (plan === "take back") {
    outcome = await app.unschedule(Mail, id).then(String, ({ code }) => code);
  } else {
    const schedule = plan === "cron" ? { cron: "* * * * * *" } : n % 2 === 0 ? { delay } : { at: new Date(plan) };
    const { error } = await app.enqueue(Mail, { n }, { id, ...schedule });
    outcome = error?.code ?? "ok";
  }
  return { n, from, until: app.clock.now(), plan, outcome };
}

/** Checks when the schedule of a step has fired, given the steps that followed for the same schedule. */
function check({ n, plan, outcome, until }: Step, later: readonly Step[], fired: readonly number[]): void {
  const what = `${n}, ${plan}: ${outcome}, fired at ${fired}, followed by ${JSON.stringify(later[0])}`;
  if (plan === "take back" || outcome === "UNAVAILABLE") return assertEquals(fired, [], what);
  const end = later.find(({ outcome }) => outcome === "ok" || outcome === "true");
  for (const time of fired) {
    // this case is not checked: a write without an answer may have replaced a cron just as the cron fired
    if (outcome === "OUTCOME_UNKNOWN") continue;
    assert(plan === "cron" || time >= Math.floor(plan), `before its time: ${what}`);
  }
  if (end?.outcome === "true") assert(fired.every((time) => time <= end.until), `after it was taken back: ${what}`);
  if (plan === "cron") {
    const [next] = later;
    if (outcome === "ok" && next.from > until + 2_000) assert(fired.length > 0, `a cron was lost: ${what}`);
    return;
  }
  assert(fired.length <= 1, `more than once: ${what}`);
  if (outcome !== "ok") return;
  const [next] = later;
  // the firing is certain if no later step can have replaced the schedule
  const sure = later.every(({ outcome }) => outcome === "false" || outcome === "UNAVAILABLE");
  if (sure || next.outcome === "false" || next.from > Math.max(until, plan) + 1_000) {
    assertEquals(fired.length, 1, `lost: ${what}`);
  }
  if (next.outcome === "true") assertEquals(fired, [], `handled and taken back: ${what}`);
}
