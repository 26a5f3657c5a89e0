import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { VirtualClock } from "../../testing/mod.ts";
import type { JournalEntry } from "./journal_entry.ts";
import { RunMessages } from "./run_message.ts";

describe("a message of a run", () => {
  it("has a format that older nodes do not read if it has an entry that they must not pass over", () => {
    const messages = new RunMessages({ endpoint: "a.1", clock: new VirtualClock(), number: () => 1 });
    const formatOf = (...entries: JournalEntry[]) =>
      messages.of({ workflow: "Order", run: "7" }, entries, { version: 3, holder: "a.1" }).text.slice(0, 3);
    const old: JournalEntry[] = [
      { t: "signalled", signal: "Paid", by: "a.1" },
      { t: "took", step: "Paid", n: 0 },
      { t: "ended", outcome: { ok: true }, until: 5 },
    ];
    assertEquals(formatOf(...old), "[1,");
    const handedOver = { open: [], answers: [], ids: [] };
    const started = { t: "started", version: 1, keep: 5 } as const;
    const newer: JournalEntry[] = [
      { t: "asked", question: "Move", id: "1", by: "a.1" },
      { t: "answered", question: "Move", id: "1", outcome: { ok: true }, until: 5 },
      { t: "carried", part: "p", ...handedOver },
      { t: "again", by: "a.1", life: 2, at: 3, started, startedAt: 1, next: 0, ...handedOver, schedules: [] },
    ];
    for (const entry of newer) assertEquals([entry.t, formatOf(old[1], entry)], [entry.t, "[2,"]);
  });
});
