import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { VirtualClock } from "../memory/virtual_clock.ts";
import type { Change } from "../ports/key_value_store.ts";
import { ServerClock } from "./expiry.ts";
import type { StreamRecord } from "./stream_record.ts";
import { WatchedEntries } from "./watched_entries.ts";

describe("WatchedEntries", () => {
  it("an older message than the one that was reported is ignored, whether put or removal", () => {
    const { entries, changes } = watched();
    entries.apply(message({ revision: 2, data: "new" }), true);
    entries.apply(message({ revision: 1, data: "old" }), true);
    entries.apply(message({ revision: 2, type: "delete" }), true);
    assertEquals(changes, ["put a new 2"]);
  });

  it("an entry that a server restores after its removal is not reported again, a newer one is", () => {
    const { entries, changes } = watched();
    entries.apply(message({ revision: 1 }), true);
    entries.apply(message({ revision: 2, type: "expire" }), true);
    entries.apply(message({ revision: 1 }), true);
    entries.apply(message({ revision: 3 }), true);
    assertEquals(changes, ["put a v 1", "expire a 2", "put a v 3"]);
  });

  it("the removal of an entry that was never reported is reported only on request", () => {
    const { entries, changes } = watched();
    entries.apply(message({ revision: 1, type: "delete" }), false);
    entries.apply(message({ subject: "$KV.test.b", revision: 2, type: "delete" }), true);
    assertEquals(changes, ["delete b 2"]);
  });

  it("messages of other keys than the prefix, and of subjects outside of the bucket, change nothing", () => {
    const { entries, changes } = watched("a");
    entries.apply(message({ subject: "$KV.test.b", revision: 1 }), true);
    entries.apply(message({ subject: "_INBOX.xya", revision: 99 }), true);
    assertEquals([changes, entries.lastRevision, entries.highestPresent], [[], 1, 0]);
  });

  it("an entry that seems expired is withheld until it is prolonged", async () => {
    const { entries, changes, clock, serverClock } = watched();
    serverClock.read(new Date(1_000_000).toISOString(), clock.monotonic());
    entries.apply(message({ revision: 1, stored: 990_000, ttl: 5_000 }), true);
    const due = entries.due(clock.monotonic());
    assertEquals([changes, due.length], [[], 1]);
    entries.prolong(due[0], clock.monotonic() + 1_000);
    assertEquals([changes, entries.due(clock.monotonic()).length], [["put a v 1"], 0]);
    await clock.advance(1_000);
    assertEquals(entries.due(clock.monotonic()).length, 1);
  });

  it("confirmMissing: an entry that the leader lacks, too, has vanished; one that it has is reported", async () => {
    const { entries, changes, leader } = watched();
    entries.apply(message({ revision: 1 }), true);
    entries.apply(message({ subject: "$KV.test.b", revision: 2 }), true);
    leader.set("$KV.test.b", message({ subject: "$KV.test.b", revision: 3, data: "kept" }));
    await entries.confirmMissing(["$KV.test.a", "$KV.test.b"]);
    assertEquals(changes.slice(2).sort(), ["put b kept 3", "vanish a 2"]);
  });
});

function watched(prefix = "") {
  const clock = new VirtualClock();
  const serverClock = new ServerClock(clock);
  const leader = new Map<string, StreamRecord>();
  const changes: string[] = [];
  const entries = new WatchedEntries({
    name: "KV_test",
    prefix: "$KV.test.",
    serverClock,
    transport: { clock },
    js: { last: (_stream, subject) => Promise.resolve(leader.get(subject)) },
    noteRevision: () => {},
  }, { prefix, onChange: (change) => changes.push(summary(change)), onEnd: () => {} });
  return { entries, changes, clock, serverClock, leader };
}

function summary(change: Change): string {
  return `${change.type} ${change.key}${change.type === "put" ? ` ${change.value}` : ""} ${change.revision}`;
}

function message(record: Partial<StreamRecord>): StreamRecord {
  return { subject: "$KV.test.a", revision: 1, type: "put", data: "v", stored: 0, ...record };
}
