import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { Journal } from "./journal.ts";
import type { JournalEntry, NextAttempt, RecordedError } from "./journal_entry.ts";

const ERROR: RecordedError = { code: "HANDLER_FAILED", message: "no" };
const OK = { ok: true, value: 1 };

/** The state that follows from these entries, one a message. */
function journalOf(...entries: JournalEntry[]): Journal {
  const journal = new Journal();
  for (const [n, entry] of entries.entries()) {
    journal.apply({ sequence: n + 1, time: 100 * (n + 1), holder: "a.1", entries: [entry], mark: `${n}` });
  }
  return journal;
}

const failed = (step: string, next: number, code = ERROR.code): JournalEntry => ({
  t: "failed",
  step,
  error: { ...ERROR, code },
  next,
});

describe("Journal", () => {
  it("counts a failed attempt of the handler until an entry shows that it has got further", () => {
    const progress: JournalEntry[] = [
      { t: "done", step: "a", outcome: OK },
      { t: "slept", step: "a", until: 900 },
      { t: "woken", step: "a" },
      { t: "waits", step: "a", signal: "Go" },
      { t: "took", step: "a" },
      { t: "child", step: "a", workflow: "Child", run: "c" },
    ];
    for (const entry of progress) assertEquals(journalOf(failed("", 900), entry).failures.has(""), false, entry.t);
    const others: JournalEntry[] = [{ t: "held" }, { t: "staged", stage: "s" }, failed("a", 900)];
    for (const entry of others) assertEquals(journalOf(failed("", 900), entry).failures.get("")?.total, 1, entry.t);
  });

  it("has the next attempt of each failed step begin at once when the run is cancelled, and later ones in their time", () => {
    const cancelled: JournalEntry = { t: "cancelled", by: "", code: "CANCELLED", reason: "enough" };
    const steps = [failed("a", 9_000), failed("b", 8_000)];
    const { failures } = journalOf(...steps, cancelled, failed("b", 7_000));
    assertEquals(["a", "b"].map((step) => failures.get(step)?.next), [0, 7_000]);
    assertEquals(journalOf(cancelled, failed("a", 9_000), failed("a", 8_000)).failures.get("a")?.next, 8_000);
  });

  it("takes the outcome of a step that a node performed while it was taken over, in the life in which it did", () => {
    const outcome = { ok: true, value: 7 };
    const tried = (life: number): JournalEntry => ({ t: "tried", by: "", step: "a", life, outcome, undo: true });
    const journal = journalOf(failed("a", 900), tried(1));
    assertEquals(journal.outcomes.get("a"), { ok: true, value: 7, index: 1, undo: true });
    assertEquals([journal.failures.size, journalOf(tried(1)).strays.size], [0, 0]);
    assertEquals(journalOf(tried(2)).outcomes.size, 0);
    const first: JournalEntry = { t: "done", step: "a", outcome: OK };
    assertEquals(journalOf(first, tried(1)).outcomes.get("a")?.undo, false);
  });

  it("counts an attempt that failed at a node that was taken over, and changes nothing else about the next one", () => {
    const inVain = (next: NextAttempt, step = "a"): JournalEntry => ({
      ...{ t: "tried", by: "", step, life: 1, outcome: { ok: false, error: { code: "X", message: "late" } }, next },
    });
    const after = (...entries: JournalEntry[]) => {
      const { attempts, total, next, tried } = journalOf(...entries).failures.get("a")!;
      return [attempts, total, next, tried];
    };
    assertEquals(after(inVain("limited")), [1, 1, 0, "limited"]);
    assertEquals(after(failed("a", 900), inVain("always")), [2, 2, 900, "always"]);
    assertEquals(after(inVain("never"), inVain("limited")), [2, 2, 0, "never"]);
    assertEquals(after(inVain("never"), { t: "retried", by: "" }), [0, 1, 0, undefined]);
    const stuck: JournalEntry = { t: "failed", step: "a", error: { code: "X", message: "x" }, tried: true };
    assertEquals(after(inVain("limited"), stuck), [1, 1, undefined, undefined]);
    assertEquals(after(stuck, inVain("limited")), [1, 1, undefined, undefined]);
    const done: JournalEntry = { t: "done", step: "a", outcome: OK };
    const others = [inVain("limited", ""), inVain("limited", "@timeout"), inVain("limited", "@undo a")];
    assertEquals(journalOf(done, inVain("limited"), ...others).failures.size, 0);
  });

  it("takes an undo that a node performed while it was taken over", () => {
    const tried: JournalEntry = { t: "tried", by: "", step: "@undo a", life: 1, outcome: { ok: true } };
    const done: JournalEntry = { t: "done", step: "a", outcome: OK, undo: true };
    const failing: JournalEntry = { t: "failing", error: { code: "X", message: "x" } };
    assertEquals([...journalOf(done, failing, tried).undone], ["a"]);
    assertEquals([...journalOf(done, tried).undone], []);
  });

  it("knows that the message of a step may have run, however its later attempts failed", () => {
    const mayHaveRun = (...entries: JournalEntry[]) => journalOf(...entries).failures.get("a")?.mayHaveRun;
    assertEquals(mayHaveRun(failed("a", 900)), false);
    assertEquals(mayHaveRun(failed("a", 900, "OUTCOME_UNKNOWN"), failed("a", 900)), true);
  });

  it("lists the schedules that a run leaves behind: those of entries, and those that its end names", () => {
    const scheduled: JournalEntry[] = [
      { t: "failed", step: "a", error: ERROR, next: 5_000, scheduled: true },
      { t: "slept", step: "b", until: 6_000, scheduled: true },
      { t: "waits", step: "c", signal: "Go", until: 7_000, scheduled: true },
      failed("d", 8_000),
    ];
    assertEquals(journalOf(...scheduled).schedulesAfter(5_500), ["b", "c"]);
    assertEquals(journalOf(...scheduled).schedulesAfter(1_000), ["a", "b", "c"]);
    const ended: JournalEntry = { t: "ended", outcome: OK, until: 900, schedules: ["e"] };
    assertEquals(journalOf(...scheduled, ended).schedulesAfter(9_000), ["e"]);
  });
});
