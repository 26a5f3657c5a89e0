/**
 * Workflows in one process without NATS: those of Catga, or four chained appends by hand to the same store in memory,
 * which are the least that a run of three steps takes there.
 */
import { catga, unwrap, workflow } from "../../mod.ts";
import { MemoryEventLog } from "../../src/memory/event_log.ts";
import { systemClock } from "../../src/ports/clock.ts";
import { runFlowing } from "./flowing.ts";

const Three = workflow<void, number>("Three");
const handlers = Three.handle(async (flow) => {
  const a = await flow.step("a", () => 1);
  const b = await flow.step("b", () => a + 1);
  return await flow.step("c", () => b + 1);
});
const logger = { debug() {}, info() {}, warn() {}, error: console.error };

await runFlowing({
  node: () => Promise.reject(new Error("there is one process")),
  async client({ variant }) {
    if (variant === "by hand") return { once: await appending() };
    const app = await catga({ handlers, logger });
    return {
      async once() {
        const run = unwrap(await app.start(Three));
        if (unwrap(await app.result(Three, run, { timeout: 120_000 })) !== 3) throw new Error("another result");
      },
    };
  },
});

async function appending(): Promise<() => Promise<void>> {
  const stream = await new MemoryEventLog(systemClock).open("runs", {
    subjects: ["runs.*"],
    replicas: 1,
    schedules: false,
  });
  let [runs, count] = [0, 0];
  return async () => {
    const run = `r${runs++}`;
    let expect = 0;
    for (const step of ["started", "a", "b", "c"]) {
      const head = [0, ["Three", run, 1, "by hand"]];
      const entry = ["recorded", { t: "done", step, outcome: { ok: true, value: 1 } }];
      const text = JSON.stringify([1, "by hand", count++, Date.now(), head, entry]);
      const appended = await stream.append(`runs.${run}`, text, { timeout: 5_000, expect });
      if (appended.type !== "stored") throw new Error(`not stored: ${appended.type}`);
      expect = appended.sequence;
    }
  };
}
