import { describe, it } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { CatgaError, entity, MemoryNetwork } from "../../mod.ts";
import { entityGroupText } from "../log/format/entity_group.ts";
import { TAGGED } from "../log/format/group_text.ts";
import { snapshotKey } from "../log/format/names.ts";
import { streamName, streamOptions } from "../log/format/streams.ts";
import type { EventLog, LogStream, StoredMessage } from "../ports/event_log.ts";
import { bucketName, BUCKETS } from "../ports/buckets.ts";
import { EntityCopy } from "./entity_copy.ts";
import { EntityStream } from "./entity_stream.ts";
import type { EntitiesHost } from "./host.ts";
import { Snapshots, snapshotText } from "./snapshots.ts";

const Box = entity("Box", { initial: () => [] as string[] });
Box.event<string>("Put", (all, one) => [...all, one]);
const { "~entity": definition } = Box;

/** A stream in memory, what was asked of it, and what it takes to read a box. */
async function setUp() {
  const network = new MemoryNetwork();
  const { log, store } = network.connect();
  const asked: string[] = [];
  const faults: unknown[] = [];
  /** What streams answer instead. */
  const instead: Partial<LogStream> = {};
  const host: EntitiesHost = {
    ...{ namespace: "default", endpoint: "a.b", replicas: 1, timeout: 5_000, carried: [], store },
    clock: network.clock,
    observer: (observation) => void faults.push(observation),
    log: listening(log, asked, instead),
  };
  const options = streamOptions("default", "entities", 1);
  const stream = await log.open(streamName("default", "entities"), options);
  const entities = new EntityStream(host, new Snapshots(host));
  const subject = entities.subject("Box", "b");
  let version = 0;
  const append = async (text: string): Promise<number> => {
    const head = { version: version++, name: "PutIt", command: `c-${text}`, fingerprint: "f" };
    const group = entityGroupText({ endpoint: "a.b", first: 0, sentAt: 0 }, {
      ...{ ...head, result: undefined, correlation: undefined, headers: undefined },
    }, [{ event: "Put", text: JSON.stringify(text) }]);
    const appended = await stream.append(subject, group, { timeout: 5_000 });
    if (appended.type !== "stored") throw new Error(appended.type);
    return appended.sequence;
  };
  /** Its state says whether it was used. */
  const snapshot = async (at: { version: number; sequence: number; created?: string }) => {
    const bucket = await store.open(bucketName("default", "snapshots"), { ...BUCKETS.snapshots, replicas: 1 });
    const copy = new EntityCopy(definition, "b", {
      ...{ ...at, state: ["snapshot"], size: 0, remembered: undefined, forgotten: false },
    });
    const text = snapshotText(copy, at.created ?? (await stream.state())!.created);
    await bucket.put(snapshotKey("Box", "b"), text);
  };
  const load = async () => {
    asked.length = 0;
    const copy = await entities.load(definition, "b", { remember: false, due: network.clock.monotonic() + 5_000 });
    return { state: copy.state.join(), version: copy.version, sequence: copy.sequence };
  };
  return { append, snapshot, load, asked, faults, stream, subject, instead };
}

/** The same log, which notes what its streams are asked for. */
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

  it("of many messages applies one part while the next one comes, and ends with the last message", async () => {
    const { append, load, asked } = await setUp();
    let sequence = 0;
    for (let n = 1; n <= 600; n++) sequence = await append(`${n}`);
    const { state, ...rest } = await load();
    assertEquals(rest, { version: 600, sequence });
    assertEquals(state, Array.from({ length: 600 }, (_, n) => n + 1).join());
    assertEquals(asked.filter((method) => method === "read").length, 3);
  });

  it("of what cannot be applied rejects, and no read that was begun is left behind", async () => {
    const { append, load, instead, stream, subject } = await setUp();
    for (let n = 1; n <= 300; n++) await append(`${n}`);
    const later = Promise.withResolvers<StoredMessage[]>();
    const first = await stream.read(subject, { from: 0, most: 250 });
    let reads = 0;
    // the first message is missing
    instead.read = () => reads++ === 0 ? Promise.resolve(first.slice(1)) : later.promise;
    const error = await assertRejects(load, CatgaError);
    assertEquals([error.code, reads], ["UNAVAILABLE", 2]);
    later.reject(new Error("nobody waits for this one"));
    await new Promise((resolve) => setTimeout(resolve));
  });

  it("passes by a message whose payload cannot be decoded, and says so", async () => {
    const { append, load, faults, stream, subject } = await setUp();
    await append("a");
    const [stored] = await stream.read(subject, { from: 0 });
    const forged = JSON.parse(new TextDecoder().decode(stored.data));
    forged[4][0] = 1; // it goes on from the first event
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
    await snapshot({ version: 7, sequence });
    assertEquals(await load(), all, "its message has another version");
    await snapshot({ version: 7, sequence: first });
    assertEquals(await load(), all, "its message has another version, and others follow");
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
