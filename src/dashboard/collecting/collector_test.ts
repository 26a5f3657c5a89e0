import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { MemoryNetwork } from "../../memory/network.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { type Bucket, type BucketKind, bucketName, BUCKETS } from "../../ports/key_value_store.ts";
import { Collector } from "./collector.ts";
import type { Problem, Topic, Topics } from "../view.ts";
import type { DashboardSource } from "../dashboard_source.ts";

type Sent = { readonly [T in Topic]: { readonly topic: T; readonly value: Topics[T] } }[Topic];

/** Makes a collector of an empty cluster, and records what it sends and how often it asks for each part. */
function setUp({ rtt = 1 } = {}) {
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock });
  const connection = network.connect();
  const [sent, asked] = [[] as Sent[], new Map<string, number>()];
  const buckets = new Map<BucketKind, Bucket>();
  const answers = new Map<string, () => Promise<void>>();
  const limits: number[] = [];
  let askers = 0;
  const ask = (kind: string) => {
    asked.set(kind, (asked.get(kind) ?? 0) + 1);
    return answers.get(kind)?.() ?? Promise.resolve();
  };
  const source: DashboardSource = {
    namespace: "shop",
    address: "memory",
    transport: connection,
    events: connection,
    bucket: async (kind) => {
      await ask(kind);
      return buckets.get(kind);
    },
    stream: (kind) => ask(kind).then(() => undefined),
    server: () => ask("server").then(() => ({ name: "n1", version: "2.15.1", rtt, streams: [] })),
    runs: async function* () {
      await ask("runs");
      yield* [];
    },
    cancelRun: () => Promise.resolve(),
    asker: () => {
      askers++;
      const silence = (_: string, limit: number) => {
        limits.push(limit);
        return Promise.resolve({ type: "silence" } as const);
      };
      return { ping: silence, stats: silence, [Symbol.dispose]: () => void askers-- };
    },
  };
  const collector = new Collector(source, {
    send: (topic, value) => void sent.push({ topic, value } as Sent),
    sendPoints: (value) => void sent.push({ topic: "points", value }),
  });
  const open = async (kind: BucketKind) => {
    const opened = await clock.until(
      connection.store.open(bucketName("shop", kind), { ...BUCKETS[kind], replicas: 1 }),
    );
    buckets.set(kind, opened);
    return opened;
  };
  return {
    ...{ clock, collector, connection, source, asked, answers, limits, open },
    askers: () => askers,
    /** Returns the values of a topic that were sent since the last call. */
    take<T extends Topic>(topic: T): Topics[T][] {
      const values = sent.filter((each) => each.topic === topic).map(({ value }) => value as Topics[T]);
      sent.splice(0, sent.length, ...sent.filter((each) => each.topic !== topic));
      return values;
    },
    /** Returns the names of the topics that were sent since the last call. */
    topics: () => [...new Set(sent.splice(0).map(({ topic }) => topic))].sort(),
  };
}

const record = (id: string) => {
  const times = { startedAt: 1, lastSeen: 1, server: "", protocol: 1, version: "1" };
  const load = { inFlight: 0, queued: 0 };
  return JSON.stringify({ id, endpoint: `${id}.1`, service: "s", handles: [], metadata: {}, load, ...times });
};

const lock = (node: string) =>
  JSON.stringify({ nonce: "n", node, endpoint: `${node}.1`, call: "", ancestry: [], ttl: 10_000, since: 7 });

describe("Collector", () => {
  it("asks for nothing before it starts, and once for each part when it starts twice", async () => {
    const { clock, collector, asked, topics, askers } = setUp();
    await clock.advance(5_000);
    assertEquals([asked.size, clock.timers, askers()], [0, 0, 0]);
    collector.start();
    collector.start();
    await clock.advance(0);
    assertEquals([asked.get("locks"), asked.get("subscriptions"), askers()], [1, 1, 1]);
    assertEquals(topics(), [
      ...["alarms", "contracts", "events", "groups", "letters", "locks", "nodes", "problems", "retries", "runs"],
      ...["schedules", "server", "subscriptions", "timeline", "traffic"],
    ]);
    collector.stop();
  });

  it("stop: sends and asks nothing any more, leaves no timer, and may start again", async () => {
    const { clock, collector, connection, asked, topics, askers, open } = setUp();
    const locks = await open("locks");
    collector.start();
    await clock.advance(1_000);
    await locks.put("h/a", lock("a"));
    collector.stop();
    collector.stop();
    topics();
    asked.clear();
    const bounced: boolean[] = [];
    connection.subscribe("reply", {}, ({ noResponders }) => bounced.push(noResponders));
    connection.publish("catga.shop.event.Moved", "", { reply: "reply" });
    await clock.advance(0);
    assertEquals(bounced, [true]); // nobody listens to events any more
    connection.cut();
    connection.restore();
    await locks.put("h/b", lock("b"));
    await clock.advance(10_000);
    assertEquals([topics(), [...asked], askers()], [[], [], 0]);
    collector.start();
    await clock.advance(1_000);
    assertEquals(topics().includes("locks"), true);
    collector.stop();
  });

  it("shows subscriptions when the nodes were read (each had no running program before), or after 5 s", async () => {
    for (const isLate of [true, false]) {
      const { clock, collector, answers, take } = setUp();
      const late = Promise.withResolvers<void>();
      answers.set("nodes", () => late.promise);
      collector.start();
      await clock.advance(4_900);
      assertEquals(take("subscriptions"), []);
      if (isLate) await clock.advance(100);
      else {
        late.resolve();
        await clock.advance(0);
      }
      assertEquals(take("subscriptions").length, 1, `late: ${isLate}`);
      collector.stop();
    }
  });

  it("says once what a part fails with, until it works again; the other parts go on", async () => {
    const { clock, collector, asked, answers, take } = setUp();
    answers.set("locks", () => Promise.reject(new Error("no \x1b leader")));
    collector.start();
    await clock.advance(0);
    const problem: Problem = { part: "locks", message: "no \\u{1b} leader" };
    assertEquals(take("problems").at(-1), [problem]);
    await clock.advance(3_000);
    assertEquals([take("problems"), asked.get("locks")], [[], 4]);
    assertEquals([take("locks").length, take("events").length], [0, 4]);
    answers.set("locks", () => Promise.reject(new Error("forbidden")));
    await clock.advance(1_000);
    assertEquals(take("problems"), [[{ part: "locks", message: "forbidden" }]]);
    answers.clear();
    await clock.advance(1_000);
    assertEquals([take("problems"), take("locks").length], [[[]], 1]);
    collector.stop();
  });

  it("shows that there is no connection to NATS until there is one", async () => {
    const { clock, collector, connection, take } = setUp();
    collector.start();
    await clock.advance(0);
    assertEquals(take("problems"), [[]]);
    connection.cut();
    await clock.advance(0);
    assertEquals(take("problems"), [[{ part: "NATS", message: "disconnected: what is shown is from before" }]]);
    connection.restore();
    await clock.advance(0);
    assertEquals(take("problems"), [[]]);
    collector.stop();
  });

  it("follows a bucket as soon as it exists, and sends its changes at most ten times a second", async () => {
    const { clock, collector, asked, open, take } = setUp();
    collector.start();
    await clock.advance(1_500);
    assertEquals(take("locks"), [{ shown: [], total: 0 }, { shown: [], total: 0 }]);
    const locks = await open("locks");
    await clock.until(locks.put("h/a", lock("a")));
    await clock.advance(500);
    assertEquals(take("locks").at(-1)?.total, 1);
    await clock.advance(1_000);
    take("locks");
    for (let n = 0; n < 50; n++) await clock.until(locks.put(`h/${n}`, lock("a")));
    await clock.advance(99);
    assertEquals(take("locks"), []);
    await clock.advance(1);
    assertEquals(take("locks").map(({ total }) => total), [51]);
    await clock.advance(5_000);
    assertEquals([take("locks"), asked.get("locks")], [[], 3]);
    collector.stop();
  });

  it("calls no node silent for the time without a connection to NATS", async () => {
    const { clock, collector, connection, open, take } = setUp();
    await clock.until((await open("nodes")).put("a", record("a")));
    collector.start();
    await clock.advance(500); // the collector's first question gets no answer
    const kinds = () => take("alarms").at(-1)?.map(({ kind }) => kind);
    connection.cut();
    await clock.advance(30_000);
    assertEquals(kinds(), ["disconnected"]);
    connection.restore();
    await clock.advance(900);
    assertEquals(kinds(), []);
    await clock.advance(5_000);
    assertEquals(kinds(), ["node-silent"]);
    collector.stop();
  });

  it("gives nodes longer to answer on a slow link to NATS", async () => {
    const { clock, collector, limits, open } = setUp({ rtt: 300 });
    await clock.until((await open("nodes")).put("a", record("a")));
    collector.start();
    await clock.advance(3_000);
    assertEquals([...new Set(limits)], [1_500]);
    collector.stop();
  });

  it("neither asks again a part that has not answered, nor waits for it with the others", async () => {
    const { clock, collector, asked, answers, take } = setUp();
    const late = Promise.withResolvers<void>();
    answers.set("subscriptions", () => late.promise);
    collector.start();
    await clock.advance(10_000);
    assertEquals([asked.get("subscriptions"), take("subscriptions"), take("schedules").length], [1, [], 3]);
    late.resolve();
    await clock.advance(2_000);
    assertEquals([asked.get("subscriptions"), take("subscriptions").length], [2, 2]);
    collector.stop();
  });
});
