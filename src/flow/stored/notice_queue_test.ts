/** Tests of the queue of entries for runs that other processes execute. */
import { describe, it } from "node:test";
import { assertEquals, assertRejects } from "@std/assert";
import { CatgaError } from "../../error.ts";
import { NoticeQueue } from "./notice_queue.ts";
import { tellRun } from "../calls/run_infos.ts";
import type { RunLog } from "./run_log.ts";

const REF = { workflow: "Order", run: "7" };

/** A log whose appends meet another message of the run `conflicts` times, on a clock that each append moves by 1 s. */
function busyLog(conflicts: number): { log: RunLog; appends(): number } {
  let appends = 0;
  let now = 0;
  const end = { sequence: 3, holder: "n1", version: 2, mark: "m", ended: false };
  const parts = {
    epoch: 0,
    mostBytes: 1_000,
    messages: { ofTexts: (_: unknown, texts: readonly string[]) => ({ text: texts.join(), mark: "n" }) },
    end: () => Promise.resolve(end),
    patient: <T>(read: () => Promise<T>) => read(),
    append: () => {
      now += 1_000;
      return Promise.resolve(appends++ < conflicts ? "conflict" as const : 4);
    },
  };
  // the casts are safe: these are the members that the queue and `tellRun` use
  const queue = new NoticeQueue(parts as unknown as ConstructorParameters<typeof NoticeQueue>[0]);
  const appendNotice: RunLog["appendNotice"] = (ref, entry, over) => queue.add(ref, entry, over);
  const log = {
    appendNotice,
    get monotonic() {
      return now;
    },
  };
  return { log: log as unknown as RunLog, appends: () => appends };
}

describe("an operator's entry for a run", () => {
  it("is stored if the run's node stores another message first", async () => {
    const { log, appends } = busyLog(2);
    await tellRun(log, REF, (by) => ({ t: "retried", by }));
    assertEquals(appends(), 3);
  });

  it("is UNAVAILABLE, and not stored, if the run stays that busy for 5 s", async () => {
    const { log, appends } = busyLog(1_000);
    const error = await assertRejects(() => tellRun(log, REF, (by) => ({ t: "retried", by })), CatgaError);
    assertEquals([error.code, error.retryable, appends()], ["UNAVAILABLE", true, 5]);
    assertEquals(
      error.message,
      "run 7 of Order is busy: the entry was not stored before its deadline, as other messages of the run came first",
    );
  });
});
