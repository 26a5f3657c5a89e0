import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { Change } from "../../ports/key_value_store.ts";
import { ServerClock } from "../stream/expiry.ts";
import type { StreamRecord } from "../stream/stored_message.ts";
import { WatchedEntries } from "./watched_entries.ts";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { untilForgotten } from "../../../test/support/forgetful_server.ts";
import { openTransport, withBody } from "../harness_suite.ts";
import { NatsKeyValueStore } from "./key_value_store.ts";
import type { NatsTransport } from "../connection/transport.ts";

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

  it("an entry is overdue when what it has replaced may have expired, or is not known", () => {
    const { entries, overdue, clock, serverClock } = watched();
    const stored = 1_000_000;
    entries.apply(message({ revision: 1, stored, ttl: 5_000 }), true);
    entries.apply(message({ revision: 2, stored, ttl: 5_000 }), true);
    serverClock.read(new Date(stored).toISOString(), clock.monotonic());
    entries.apply(message({ revision: 3, stored: stored - 3_500, ttl: 5_000 }), true);
    entries.apply(message({ revision: 4, stored: stored - 4_000, ttl: 5_000 }), true);
    entries.apply(message({ revision: 5, stored, ttl: 5_000 }), true);
    entries.apply(message({ revision: 6, type: "delete" }), true);
    entries.apply(message({ revision: 7, stored }), true);
    entries.apply(message({ revision: 8, stored }), true);
    entries.apply(message({ subject: "$KV.test.b", revision: 9, stored }), true, true);
    entries.apply(message({ subject: "$KV.test.b", revision: 10, stored }), true, true);
    // the server's clock is not known before revision 3; 4 replaces what lives for 1.5 s, 5 for 1 s;
    // between 9 and 10 there may have been others
    assertEquals(overdue, [2, 5, 9, 10]);
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
  const overdue: number[] = [];
  const onChange = (change: Change) => {
    changes.push(summary(change));
    if (change.type === "put" && change.overdue) overdue.push(change.revision);
  };
  const entries = new WatchedEntries({
    name: "KV_test",
    prefix: "$KV.test.",
    serverClock,
    transport: { clock },
    js: { last: (_stream, subject) => Promise.resolve(leader.get(subject)) },
    noteRevision: () => {},
  }, { prefix, onChange, onEnd: () => {} });
  return { entries, changes, overdue, clock, serverClock, leader };
}

function summary(change: Change): string {
  return `${change.type} ${change.key}${change.type === "put" ? ` ${change.value}` : ""} ${change.revision}`;
}

function message(record: Partial<StreamRecord>): StreamRecord {
  return { subject: "$KV.test.a", revision: 1, type: "put", data: "v", stored: 0, ...record };
}

const HOUR = 3_600_000;
const slow = { timeout: 300_000 };

describe("WatchExpiry: servers whose clock is wrong", await requireNatsServer(), () => {
  it("no live entry ends because the clock was an hour ahead at its first reading", slow, async () => {
    await using server = await startNatsServer();
    const transport = await openTransport(server.url);
    const wrong = falsify(transport, HOUR);
    const bucket = await new NatsKeyValueStore(transport).open("test");
    wrong.ahead = 0;
    const end = new AbortController();
    const before = await bucket.put("before", "", { ttl: 60_000 });
    const changes: Change[] = [];
    await bucket.watch("", (change) => changes.push(change), { signal: end.signal });
    const after = await bucket.put("after", "", { ttl: 60_000 });
    await eventually("both to be reported", () => changes.length === 2);
    assertEquals(changes.map(({ type, revision }) => [type, revision]), [["put", before], ["put", after]]);
    assertEquals((await bucket.get("before"))?.revision, before);
    assertEquals(await bucket.create("before", ""), undefined);
    assertEquals((await bucket.entries("")).length, 2);
    end.abort();
    await transport.close();
  });

  it("an entry ends a ttl after it was received although the clock is an hour behind", slow, async () => {
    await untilForgotten(async (servers) => {
      const transport = await openTransport(servers.url);
      falsify(transport, -HOUR);
      const bucket = await new NatsKeyValueStore(transport).open("test");
      const end = new AbortController();
      const there = new Set<string>();
      const keys = Array.from({ length: 20 }, (_, i) => `${i}`);
      await Promise.all(keys.map((key) => bucket.put(key, "", { ttl: 3_000 })));
      await Promise.all(keys.map((key) => bucket.delete(key)));
      const back = await servers.forget("TK", ["test"]);
      if (back.length === 0) {
        await transport.close();
        return false;
      }
      await eventually("the reconnect", () => transport.status.state === "connected");
      await bucket.watch("", ({ type, key }) => type === "put" ? there.add(key) : there.delete(key), {
        signal: end.signal,
      });
      assertEquals(there.size, back.length + 1);
      await eventually("the end of all but the bystander", () => there.size === 1);
      await eventually("their removal", async () => (await bucket.entries("")).length === 1);
      end.abort();
      await transport.close();
      return true;
    });
  });

  it("removals that fail are a single notice, not one for each entry", slow, async () => {
    await using server = await startNatsServer();
    const transport = await openTransport(server.url);
    falsify(transport, HOUR); // an hour ahead: all entries seem to have expired
    const notices: string[] = [];
    const store = new NatsKeyValueStore(transport, { onNotice: (notice) => notices.push(notice) });
    const bucket = await store.open("test");
    await Promise.all(Array.from({ length: 40 }, (_, i) => bucket.put(`${i}`, "", { ttl: 60_000 })));
    const { connection } = transport;
    const request = connection.request.bind(connection);
    const removals: string[] = [];
    connection.request = (subject, data, options) => {
      if (!subject.startsWith("$KV.test.")) return request(subject, data, options);
      removals.push(subject);
      return Promise.reject(new Error("the disk is on fire"));
    };
    const end = new AbortController();
    await bucket.watch("", () => {}, { signal: end.signal });
    // the second attempt begins after all first removals have failed
    await eventually("a second attempt", () => removals.length > 40 && new Set(removals).size === 40);
    const about = notices.filter((notice) => notice.startsWith("cannot remove expired entries of KV_test"));
    assertEquals([about.length, about[0]?.endsWith("the disk is on fire")], [1, true], notices.join("\n"));
    end.abort();
    await transport.close();
  });
});

/** Makes the server's time that the transport reads wrong by `ahead` ms. */
function falsify(transport: NatsTransport, ahead: number): { ahead: number } {
  const wrong = { ahead };
  const { connection } = transport;
  const request = connection.request.bind(connection);
  connection.request = async (subject, data, options) => {
    const answer = await request(subject, data, options);
    if (!subject.startsWith("$JS.API.STREAM.INFO") && !subject.startsWith("$JS.API.STREAM.CREATE")) return answer;
    const parsed = answer.json<{ ts?: string }>();
    const ts = new Date(Date.now() + wrong.ahead).toISOString();
    return withBody(answer, { ...parsed, ts });
  };
  return wrong;
}
