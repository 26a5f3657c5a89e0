import { describe, it } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { CatgaError, entity } from "../../mod.ts";
import { commandText, entityGroupText, eventText, withoutName } from "../log/format/entity_group.ts";
import { TAGGED } from "../log/format/group_text.ts";
import { snapshotKey } from "../log/format/names.ts";
import { streamOptions } from "../log/format/streams.ts";
import { streamName } from "../log/format/stream_name.ts";
import type { EventLog, LogStream } from "../ports/event_log.ts";
import { bucketName, BUCKETS } from "../ports/key_value_store.ts";
import { EntityCopy } from "./entity_copy.ts";
import { EntityStream } from "./entity_stream.ts";
import { type EntitiesHost, Snapshots, snapshotText } from "./snapshots.ts";
import { StoredCommands } from "./stored_commands.ts";
import { MemoryNetwork } from "../testing/mod.ts";

const Box = entity("Box", { initial: () => [] as string[] });
Box.event<string>("Put", (all, one) => [...all, one]);
const { "~entity": definition } = Box;

/**
 * Makes a stream in memory, functions that read an entity from it, and a list of the requests that the stream got
 * (`asked`).
 */
async function setUp() {
  const network = new MemoryNetwork();
  const { log, store } = network.connect();
  const asked: string[] = [];
  const faults: unknown[] = [];
  /** Methods of streams that a test replaces. */
  const instead: Partial<LogStream> = {};
  const host: EntitiesHost = {
    ...{
      namespace: "default",
      endpoint: "a.b",
      replicas: 1,
      timeout: 5_000,
      carried: [],
      store,
      network: { maxPayload: 1_048_576 },
      shapeOf: () => undefined,
    },
    clock: network.clock,
    observer: (observation) => void faults.push(observation),
    log: listening(log, asked, instead),
  };
  const options = streamOptions("default", "entities", 1);
  const stream = await log.open(streamName("default", "entities"), options);
  const entities = new EntityStream(host, new Snapshots(host), new StoredCommands(network.clock));
  const subject = entities.subject("Box", "b");
  let [version, first] = [0, 0];
  /** By sequence: the mark (publisher and number) of the stored message. */
  const marks = new Map<number, string>();
  const append = async (text: string, by = "a.b"): Promise<number> => {
    const command = commandText({ ...withoutName(""), name: "PutIt", id: `c-${text}` });
    const origin = { endpoint: by, first: first++, sentAt: 0 };
    const group = entityGroupText(origin, version++, [command], [eventText("Put", JSON.stringify(text))]);
    const appended = await stream.append(subject, group, { timeout: 5_000 });
    if (appended.type !== "stored") throw new Error(appended.type);
    marks.set(appended.sequence, `${by}.${origin.first}`);
    return appended.sequence;
  };
  /** Stores a snapshot. The state in the snapshot shows whether a read has used it. */
  const snapshot = async (at: { version: number; sequence: number; mark?: string; created?: string }) => {
    const bucket = await store.open(bucketName("default", "snapshots"), { ...BUCKETS.snapshots, replicas: 1 });
    const mark = at.mark ?? marks.get(at.sequence) ?? "a.b.none";
    const copy = new EntityCopy(definition, "b", { ...at, mark, time: 0, state: ["snapshot"], size: 0 });
    const text = snapshotText(copy, at.created ?? (await stream.state())!.created);
    await bucket.put(snapshotKey("Box", "b", 1), text);
  };
  const now = () => network.clock.monotonic();
  const due = () => now() + 5_000;
  const load = async () => {
    asked.length = 0;
    const copy = await entities.load(definition, "b", due());
    return { state: copy.state.join(), version: copy.version, sequence: copy.sequence };
  };
  /** Removes the messages after the sequence `last`, as a store that comes back with older data. */
  const truncate = (last: number) => {
    version -= [...marks.keys()].filter((sequence) => sequence > last).length;
    network.log.truncate(streamName("default", "entities"), last, { quietly: true });
  };
  const current = (known?: EntityCopy<string[]>) => entities.current({ definition, id: "b" }, known, due());
  return { now, append, snapshot, load, current, truncate, entities, asked, faults, stream, subject, instead, marks };
}

/**
 * Wraps a log: records the requests that its streams get in `asked`, and uses the methods of `instead` in place of
 * theirs.
 */
function listening(log: EventLog, asked: string[], instead: Partial<LogStream>): EventLog {
  return {
    async open(name, options) {
      const stream = await log.open(name, options);
      return new Proxy(stream, {
        get(_, method: keyof typeof stream) {
          const member = stream[method];
          if (typeof member !== "function") return member;
          return (...args: unknown[]) => {
            asked.push(method);
            return Reflect.apply(instead[method] as typeof member ?? member, stream, args);
          };
        },
      });
    },
  };
}

describe("a cold load", () => {
  it("of an entity whose snapshot holds all takes that and its last message", async () => {
    const { append, snapshot, load, asked, faults } = await setUp();
    await append("a");
    const sequence = await append("b");
    await snapshot({ version: 2, sequence });
    const all = { state: "snapshot", version: 2, sequence };
    assertEquals(await load(), all);
    assertEquals([await load(), asked], [all, ["last"]]);
    assertEquals(faults, []);
  });

  it("of an entity behind its snapshot reads once more, from the snapshot on", async () => {
    const { append, snapshot, load, asked } = await setUp();
    await append("a");
    await snapshot({ version: 2, sequence: await append("b") });
    const sequence = await append("c");
    await load();
    assertEquals(await load(), { state: "snapshot,c", version: 3, sequence });
    assertEquals(asked, ["last", "read"]);
  });

  it("without a snapshot reads up to the last message, and of no entity nothing", async () => {
    const { append, load, asked } = await setUp();
    await load();
    assertEquals([await load(), asked], [{ state: "", version: 0, sequence: 0 }, ["last"]]);
    await append("a");
    const sequence = await append("b");
    assertEquals([await load(), asked], [{ state: "a,b", version: 2, sequence }, ["last", "read"]]);
  });

  it("of many messages reads part after part, and ends with the last message", async () => {
    const { append, load, asked } = await setUp();
    let sequence = 0;
    for (let n = 1; n <= 2_400; n++) sequence = await append(`${n}`);
    const { state, ...rest } = await load();
    assertEquals(rest, { version: 2_400, sequence });
    assertEquals(state, Array.from({ length: 2_400 }, (_, n) => n + 1).join());
    assertEquals(asked.filter((method) => method === "read").length, 3);
  });

  it("of what cannot be applied rejects when its part has come, and reads no other", async () => {
    const { append, load, instead, stream, subject, faults } = await setUp();
    const first = await append("1");
    for (let n = 2; n <= 1_300; n++) await append(`${n}`);
    let reads = 0;
    // the stream is read as if its first message were missing
    instead.read = (_, options) => {
      reads++;
      return stream.read(subject, { ...options, from: first + 1 });
    };
    const error = await assertRejects(load, CatgaError, "are missing from the stream");
    const message = "events 1 to 1 of Box b are missing from the stream";
    assertEquals([error.code, reads, faults], ["UNAVAILABLE", 1, [
      { type: "entity-unreadable", entity: "Box", id: "b", message },
    ]]);
  });

  it("passes by a message whose payload cannot be decoded, and says so", async () => {
    const { append, load, faults, stream, subject } = await setUp();
    await append("a");
    const [stored] = await stream.read(subject, { from: 0 });
    const forged = JSON.parse(new TextDecoder().decode(stored.data));
    forged[4][0] = 1; // the forged message claims to follow the first event
    forged[5] = ["Put", "~{broken", TAGGED];
    const appended = await stream.append(subject, JSON.stringify(forged), { timeout: 5_000 });
    assert(appended.type === "stored");
    assertEquals(await load(), { state: "a", version: 1, sequence: appended.sequence });
    const [fault] = faults as { error: Error }[];
    assertEquals(fault.error.message, "a payload cannot be decoded");
    const sequence = await append("b");
    assertEquals(await load(), { state: "a,b", version: 2, sequence });
  });

  it("passes by a snapshot of another stream, of another history, and beyond the last message", async () => {
    const { append, snapshot, load, faults } = await setUp();
    const first = await append("a");
    const sequence = await append("b");
    const all = { state: "a,b", version: 2, sequence };
    await snapshot({ version: 2, sequence, created: "another" });
    assertEquals(await load(), all, "of another stream");
    await snapshot({ version: 2, sequence, mark: "a.b.77" });
    assertEquals(await load(), all, "its message is another one");
    await snapshot({ version: 1, sequence: first, mark: "a.b.77" });
    assertEquals(await load(), all, "its message is another one, and others follow");
    await snapshot({ version: 3, sequence: sequence + 1 });
    assertEquals(await load(), all, "beyond the last message");
    await snapshot({ version: 1, sequence: first - 1 });
    assertEquals(await load(), all, "its message is gone");
    assertEquals(faults, []);
  });

  it("uses a snapshot that was written behind the last message that it was told", async () => {
    const { append, snapshot, load, stream, subject, instead } = await setUp();
    await append("a");
    const before = await stream.last(subject);
    const sequence = await append("b");
    await snapshot({ version: 2, sequence });
    instead.last = () => Promise.resolve(before);
    assertEquals(await load(), { state: "snapshot", version: 2, sequence });
  });

  it("of many entities at once asks once which stream it is", async () => {
    const { load, asked, append, snapshot } = await setUp();
    await snapshot({ version: 1, sequence: await append("a") });
    await Promise.all([load(), load(), load()]);
    assertEquals(asked.filter((method) => method === "state").length, 1);
  });
});

describe("the entity as the leader has it", () => {
  it("is the copy that ends with the leader's last message, and is read on from it", async () => {
    const { now, append, current, asked, entities } = await setUp();
    await append("a");
    const at = now(); // after it a busy machine may stand still
    const copy = await current();
    assertEquals(entities.isValid(copy, at), true);
    asked.length = 0;
    assertEquals([await current(copy) === copy, asked], [true, ["last"]]);
    await append("b");
    assertEquals((await current(copy)).state, ["a", "b"]);
  });

  it("is read anew when the store has lost the last message of a copy, also if it has others of as many", async () => {
    for (const others of [0, 1, 2, 3]) {
      const { now, append, current, truncate, entities } = await setUp();
      const first = await append("a1");
      await append("a2");
      await append("a3");
      const [copy, other] = [await current(), (await current()).clone()];
      truncate(first);
      for (let n = 0; n < others; n++) await append(`b${n + 2}`, "other.node");
      const expected = ["a1", ...["b2", "b3", "b4"].slice(0, others)];
      const at = now();
      const read = await current(copy);
      assertEquals(read.state, expected, `${others} others`);
      // a message that one copy cannot explain makes all copies doubtful
      assertEquals([entities.isValid(read, at), entities.isValid(other, at)], [true, false]);
    }
  });

  it("a copy is not trusted after a doubt, and after a silence, until it is compared", async () => {
    const { now, append, current, entities } = await setUp();
    await append("a");
    const copy = await current();
    entities.doubt();
    assertEquals(entities.isValid(copy, now()), false);
    const at = now();
    assertEquals(await current(copy) === copy, true);
    const later = now() + 1_000;
    assertEquals([entities.isValid(copy, at), entities.isValid(copy, later)], [true, false]);
    // the leader's next answer says nothing of what was stored during the silence
    entities.leaderAnswered(later);
    assertEquals(entities.isValid(copy, later), false);
  });

  it("is UNAVAILABLE while the server that is read has another last message than the leader, not that server's", async () => {
    const { append, current, stream, subject, instead } = await setUp();
    await append("a");
    await append("b", "other.node");
    const lost = (await stream.last(subject))!;
    instead.last = () => Promise.resolve({ ...lost, data: new Uint8Array() });
    const { code } = await assertRejects(() => current(), CatgaError);
    assertEquals(code, "UNAVAILABLE");
  });

  it("a snapshot of what was lost is passed by", async () => {
    const { append, snapshot, current, load, truncate } = await setUp();
    const first = await append("a1");
    const lost = await append("a2");
    await snapshot({ version: 2, sequence: lost });
    assertEquals((await current()).state, ["snapshot"]);
    truncate(first);
    assertEquals((await current()).state, ["a1"]);
    const again = await append("b2", "other.node");
    assertEquals(again, lost);
    assertEquals((await current()).state, ["a1", "b2"]);
    await append("b3", "other.node");
    assertEquals([(await current()).state, (await load()).state], [["a1", "b2", "b3"], "a1,b2,b3"]);
  });
});
