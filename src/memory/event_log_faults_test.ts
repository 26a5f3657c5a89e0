import { describe, it } from "node:test";
import { assert, assertEquals, assertGreater, assertRejects, assertThrows } from "@std/assert";
import { CatgaError } from "../error.ts";
import type { Appended, FollowOptions, LogLoss, LogReader, LogStream } from "../ports/event_log.ts";
import type { Faults } from "./faults.ts";
import { type MemoryConnection, MemoryNetwork } from "./network.ts";
import { VirtualClock } from "./virtual_clock.ts";

const OPTIONS = { subjects: ["log.>"], replicas: 1, schedules: true };

/** Opens one stream twice, on virtual time: `stream` over a connection with faults, `direct` without a connection. */
async function setUp(faults: Faults = {}, seed = 1) {
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock, seed });
  const connection: MemoryConnection = network.connect({ name: "app" });
  const stream = await connection.log.open("stream", OPTIONS);
  const direct = await network.log.open("stream", OPTIONS);
  network.faults = faults;
  return { clock, network, connection, stream, direct };
}

async function put(stream: LogStream, data: string, subject = "log.a"): Promise<number> {
  const appended = await stream.append(subject, data, { timeout: 5_000 });
  if (appended.type === "stored") return appended.sequence;
  throw new Error(`not stored: ${appended.type}`);
}

function follow(stream: LogStream, options: Partial<FollowOptions> = {}) {
  const texts: string[] = [];
  const losses: (LogLoss | undefined)[] = [];
  const faults: CatgaError[] = [];
  const reader: LogReader = stream.follow({
    subjects: ["log.>"],
    after: undefined,
    onStart: ({ lost }) => losses.push(lost),
    onMessage: ({ data }) => texts.push(new TextDecoder().decode(data)),
    onFault: (fault) => faults.push(fault),
    ...options,
  });
  return { reader, texts, losses, faults };
}

async function texts(stream: LogStream): Promise<string[]> {
  return (await stream.read("log.>", { from: 0 })).map(({ data }) => new TextDecoder().decode(data));
}

describe("lostAck", () => {
  it("an append is unknown after its timeout, and is stored", async () => {
    const { clock, stream, direct } = await setUp({ lostAck: 1 });
    const begun = clock.monotonic();
    const appended = await clock.until(stream.append("log.a", "kept", { timeout: 700 }));
    assertEquals(appended.type === "unknown" && appended.error.code, "OUTCOME_UNKNOWN");
    assertEquals(clock.monotonic() - begun, 700);
    assertEquals(await texts(direct), ["kept"]);
  });

  it("a connection that is cut under an append leaves it unknown", async () => {
    const { clock, connection, stream, direct } = await setUp();
    const appending = stream.append("log.a", "kept", { timeout: 5_000 });
    clock.soon(() => connection.cut());
    assertEquals((await appending).type, "unknown");
    assertEquals(await texts(direct), ["kept"]);
    assertEquals(clock.timers, 0);
  });
});

describe("noQuorum", () => {
  it("appends are unknown after their timeout, and stored in order when it is over", async () => {
    const { clock, network, stream, direct } = await setUp();
    network.log.begin("noQuorum");
    const late = ["1", "2", "3"].map((data) => stream.append("log.a", data, { timeout: 1_000 }));
    assertEquals((await clock.until(Promise.all(late))).map(({ type }) => type), ["unknown", "unknown", "unknown"]);
    const intime = stream.append("log.a", "4", { timeout: 60_000 });
    await clock.advance(20_000);
    assertEquals(await texts(direct), []);
    network.log.end("noQuorum");
    assertEquals((await clock.until(intime)).type, "stored");
    assertEquals(await texts(direct), ["1", "2", "3", "4"]);
  });

  it("expectations are judged when it is over", async () => {
    const { clock, network, stream } = await setUp();
    network.log.begin("noQuorum");
    const appends = ["1", "2"].map((data) => stream.append("log.a", data, { timeout: 60_000, expect: 0 }));
    await clock.advance(10_000);
    network.log.end("noQuorum");
    assertEquals((await clock.until(Promise.all(appends))).map(({ type }) => type), ["stored", "conflict"]);
  });

  it("a purge is UNAVAILABLE after 5 s", async () => {
    const { clock, network, stream } = await setUp();
    network.log.begin("noQuorum");
    const purging = assertRejects(() => stream.purge("log.a"), CatgaError);
    assertEquals((await clock.until(purging)).code, "UNAVAILABLE");
    assertEquals(clock.monotonic(), 5_000);
  });
});

describe("noLeader", () => {
  it("nothing is stored, what needs the leader is UNAVAILABLE, other reads go on", async () => {
    const { network, stream } = await setUp();
    await put(stream, "1");
    network.log.begin("noLeader");
    const appended = await stream.append("log.a", "2", { timeout: 1_000 });
    assert(appended.type === "not stored" && appended.transient);
    const calls = [
      () => stream.state(),
      () => stream.last("log.a", { latest: true }),
      () => stream.purge("log.a"),
      () => network.log.open("other", { ...OPTIONS, subjects: ["other"] }),
    ];
    for (const call of calls) assertEquals((await assertRejects<CatgaError>(call, CatgaError)).code, "UNAVAILABLE");
    assertEquals((await stream.last("log.a"))?.subject, "log.a");
    assertEquals(await texts(stream), ["1"]);
    network.log.end("noLeader");
    assertEquals((await stream.state())?.messages, 1);
  });

  it("a reader says so once, and goes on where it was", async () => {
    const { clock, network, stream } = await setUp();
    const followed = follow(stream);
    await put(stream, "1");
    await clock.advance(0);
    network.log.begin("noLeader");
    await clock.advance(30_000);
    assertEquals(followed.faults.map(({ code }) => code), ["UNAVAILABLE"]);
    await clock.advance(31_000);
    assertEquals(followed.faults.length, 2);
    network.log.end("noLeader");
    await put(stream, "2");
    await clock.advance(1_000);
    assertEquals([followed.texts, followed.losses], [["1", "2"], [undefined, undefined]]);
  });

  it("what is due meanwhile is appended when it is over", async () => {
    const { clock, network, stream } = await setUp();
    const schedule = { at: clock.now() + 1_000, target: "log.due" };
    await stream.append("log.at", "due", { timeout: 1_000, schedule });
    network.log.begin("noLeader");
    await clock.advance(10_000);
    const subjects = async () => (await stream.read("log.>", { from: 0 })).map(({ subject }) => subject);
    assertEquals(await subjects(), ["log.at"]);
    network.log.end("noLeader");
    await clock.advance(500);
    assertEquals(await subjects(), ["log.due"]);
  });

  it("by chance: outages of the logs begin and end, until the network is healed", async () => {
    const { clock, network, stream } = await setUp({
      noLeader: { every: 1_000, lasts: 1_000 },
      noQuorum: { every: 1_000, lasts: 1_000 },
    });
    const seen = new Set<string>();
    for (let i = 0; i < 200; i++) {
      const appended = await clock.until(stream.append("log.a", "", { timeout: 100 }));
      seen.add(appended.type);
      await clock.advance(50);
    }
    assertEquals(seen, new Set(["stored", "not stored", "unknown"]));
    network.heal();
    for (let i = 0; i < 100; i++) {
      await put(stream, "");
      await clock.advance(100);
    }
  });
});

describe("redelivery and drop", () => {
  it("redelivery: a reader gives no message twice", async () => {
    const { clock, stream } = await setUp({ redelivery: 1 });
    const followed = follow(stream);
    const expected = Array.from({ length: 200 }, (_, i) => `${i}`);
    for (const each of expected) {
      await put(stream, each);
      await clock.advance(1);
    }
    await clock.advance(5_000);
    assertEquals(followed.texts, expected);
    assertGreater(followed.losses.length, 1);
    assertEquals(new Set(followed.losses), new Set([undefined]));
  });

  it("drop: a reader gives every message, the last one too", async () => {
    const { clock, stream } = await setUp({ drop: 0.5 });
    const followed = follow(stream);
    const expected = Array.from({ length: 50 }, (_, i) => `${i}`);
    for (const each of expected) {
      await put(stream, each);
      await clock.advance(10);
    }
    for (let i = 0; i < 600 && followed.texts.length < 50; i++) await clock.advance(100);
    assertEquals(followed.texts, expected);
    assertEquals(followed.reader.caughtUp, true);
  });
});

describe("staleRead", () => {
  it("reads lack what was stored in the last 100 ms, unless they ask the leader", async () => {
    const { clock, stream } = await setUp({ staleRead: 1 });
    await put(stream, "1");
    await clock.advance(200);
    const sequence = await put(stream, "2");
    assertEquals((await stream.last("log.a"))?.sequence, sequence - 1);
    assertEquals(await texts(stream), ["1"]);
    assertEquals((await stream.last("log.a", { latest: true }))?.sequence, sequence);
    await clock.advance(100);
    assertEquals(await texts(stream), ["1", "2"]);
  });
});

describe("a log that loses messages", () => {
  it("truncate: a reader that was behind the loss says so, and goes on at the end", async () => {
    const { clock, network, stream } = await setUp();
    let doubts = 0;
    stream.onDoubt(() => doubts++);
    const followed = follow(stream);
    const [one] = [await put(stream, "1"), await put(stream, "2"), await put(stream, "3")];
    await clock.advance(0);
    network.log.truncate("stream", one);
    await clock.advance(0);
    assertEquals([doubts, followed.losses.at(-1)], [1, { reason: "truncated", after: one + 2, next: one + 1 }]);
    assertEquals(await put(stream, "new 2"), one + 1);
    await clock.advance(0);
    assertEquals(followed.texts, ["1", "2", "3", "new 2"]);
  });

  it("truncate: what a cut reader read is replaced meanwhile: it gets what was stored since", async () => {
    const { clock, network, connection, stream, direct } = await setUp();
    const followed = follow(stream);
    const one = await put(stream, "1");
    await clock.advance(10);
    await put(stream, "2");
    await clock.advance(0);
    connection.cut();
    network.log.truncate("stream", one);
    await clock.advance(10);
    await put(direct, "new 2");
    await put(direct, "new 3");
    connection.restore();
    await clock.advance(0);
    assertEquals(followed.texts, ["1", "2", "new 2", "new 3"]);
    assertEquals(followed.losses, [undefined, { reason: "replaced", after: one + 1, next: one + 1 }]);
  });

  it("truncate: ids of what was lost may be used again", async () => {
    const { network, stream } = await setUp();
    const append = (id: string) => stream.append("log.a", "", { timeout: 1_000, id });
    const kept = await append("kept") as Extract<Appended, { type: "stored" }>;
    await append("lost");
    network.log.truncate("stream", kept.sequence);
    assertEquals(await append("lost"), { type: "stored", sequence: kept.sequence + 1, duplicate: false });
    assertEquals(await append("kept"), { ...kept, duplicate: true });
  });

  it("remove: a reader makes the stream again, and its sequences are greater at the same moment, too", async () => {
    const { clock, network, stream } = await setUp();
    const followed = follow(stream);
    const sequences = [await put(stream, "1"), await put(stream, "2")];
    await clock.advance(0);
    network.log.remove("stream");
    await clock.advance(0);
    sequences.push(await put(stream, "3"));
    await clock.advance(0);
    assertEquals(followed.texts, ["1", "2", "3"]);
    assertEquals(followed.losses, [undefined, { reason: "remade", after: sequences[1], next: sequences[1] + 1 }]);
    assertEquals(sequences[2], sequences[1] + 1);
  });

  it("remove, truncate: a stream that there is not is a TypeError", () => {
    const { log } = new MemoryNetwork();
    assertThrows(() => log.remove("none"), TypeError, '"none"');
    assertThrows(() => log.truncate("none", 1), TypeError, '"none"');
  });
});

describe("processes that freeze and die", () => {
  it("a frozen process gets nothing; it gets all when it goes on", async () => {
    const { clock, network, stream, direct } = await setUp();
    const followed = follow(stream);
    await clock.advance(0);
    network.pause("app");
    for (const each of ["1", "2"]) await put(direct, each);
    const appending = stream.append("log.a", "3", { timeout: 1_000 });
    await clock.advance(60_000);
    assertEquals(followed.texts, []);
    network.resume("app");
    await clock.advance(0);
    assertEquals(followed.texts.slice(0, 2), ["1", "2"]);
    assert(["stored", "unknown"].includes((await clock.until(appending)).type));
  });

  it("a dead process gets nothing, and its requests never settle", async () => {
    const { clock, network, stream, direct } = await setUp();
    const followed = follow(stream);
    await clock.advance(0);
    network.kill("app");
    let settled = false;
    stream.append("log.a", "3", { timeout: 1_000 }).then(() => settled = true);
    await put(direct, "1");
    await clock.advance(60_000);
    assertEquals([followed.texts, settled], [[], false]);
    assertEquals(await texts(direct), ["1"]);
  });
});

describe("all faults at once", () => {
  it("what a writer repeats under one id until it is stored reaches each reader once, in order; 20 seeds", async () => {
    for (let seed = 1; seed <= 20; seed++) await runFaults(seed);
  });
});

async function runFaults(seed: number): Promise<void> {
  const { clock, network, stream, direct } = await setUp({
    delay: 40,
    drop: 0.05,
    lostAck: 0.05,
    redelivery: 0.2,
    cut: { every: 3_000, lasts: 1_000 },
    pause: { every: 5_000, lasts: 1_000 },
    noLeader: { every: 4_000, lasts: 1_000 },
    noQuorum: { every: 4_000, lasts: 3_000 },
  }, seed);
  const other = await clock.until(openStubborn(clock, network));
  const readers = [follow(stream), follow(other), follow(direct)];
  const count = 100;
  const writing = (async () => {
    for (let i = 0; i < count; i++) {
      while ((await stream.append("log.a", `${i}`, { timeout: 500, id: `${i}` })).type !== "stored") {
        await new Promise<void>((resolve) => clock.after(50, resolve));
      }
    }
  })();
  await clock.until(writing, 600_000);
  network.heal();
  await clock.advance(10_000);
  const expected = Array.from({ length: count }, (_, i) => `${i}`);
  assertEquals(await texts(direct), expected, `seed ${seed}: stored`);
  for (const { texts, losses } of readers) {
    assertEquals(texts, expected, `seed ${seed}: read`);
    assertEquals(losses.filter(Boolean), [], `seed ${seed}`);
  }
}

/** Opens the stream over another connection; tries every 100 ms until that succeeds. */
async function openStubborn(clock: VirtualClock, network: MemoryNetwork): Promise<LogStream> {
  const { log } = network.connect({ name: "other" });
  while (true) {
    const opened = await log.open("stream", OPTIONS).catch((error: CatgaError) => error);
    if (!(opened instanceof CatgaError)) return opened;
    await new Promise<void>((resolve) => clock.after(100, resolve));
  }
}
