import { execFile } from "node:child_process";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import { CatgaError } from "../error.ts";
import type { Change } from "../ports/key_value_store.ts";
import { keyValueSuite } from "../ports/key_value_store_suite.ts";
import { clampedClock } from "../../test/support/clamped_clock.ts";
import { eventually } from "../../test/support/eventually.ts";
import { MemoryNetwork } from "./network.ts";
import { VirtualClock } from "./virtual_clock.ts";
import { BucketState } from "./key_value_store.ts";
import { FaultSource } from "./faults.ts";
import { seededRandom } from "./seeded_random.ts";

keyValueSuite("memory", () => {
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock });
  return Promise.resolve({
    store: () => Promise.resolve(network.connect().store),
    pass: (ms) => clock.advance(ms),
    now: () => clock.monotonic(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
});

describe("MemoryKeyValueStore", () => {
  it("a connection that is cut: every method is UNAVAILABLE until it is restored", async () => {
    const network = new MemoryNetwork();
    const connection = network.connect();
    const bucket = await connection.store.open("bucket");
    connection.cut();
    const calls = [() => connection.store.open("bucket"), () => bucket.get("key"), () => bucket.put("key", "lost")];
    for (const call of calls) assertEquals((await assertRejects(call, CatgaError)).code, "UNAVAILABLE");
    connection.restore();
    assertEquals(await bucket.get("key"), undefined);
  });

  it("a connection that is cut before the answer: UNAVAILABLE, and the write has happened", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock });
    const connection = network.connect();
    const bucket = await connection.store.open("bucket");
    const written = bucket.put("key", "value");
    clock.soon(() => connection.cut());
    assertEquals((await assertRejects(() => written, CatgaError)).code, "UNAVAILABLE");
    assertEquals((await (await network.store.open("bucket")).get("key"))?.value, "value");
  });

  it("a connection that is closed: every method is CLOSED, and its watches have ended", async () => {
    const network = new MemoryNetwork();
    const connection = network.connect();
    const bucket = await connection.store.open("bucket");
    const changes: Change[] = [];
    await bucket.watch("", (change) => changes.push(change), { signal: new AbortController().signal });
    await connection.close();
    const calls = [() => connection.store.open("bucket"), () => bucket.entries(""), () => bucket.delete("key")];
    for (const call of calls) assertEquals((await assertRejects(call, CatgaError)).code, "CLOSED");
    const others = await network.store.open("bucket");
    await others.put("key", "value");
    await others.get("key");
    assertEquals(changes, []);
  });

  it("watch: after a cut the last change of each key is reported", async () => {
    const network = new MemoryNetwork({ clock: new VirtualClock() });
    const connection = network.connect();
    const others = await network.store.open("bucket");
    await others.put("deleted", "1");
    await others.put("kept", "1");
    const changes: Change[] = [];
    const bucket = await connection.store.open("bucket");
    await bucket.watch("", (change) => changes.push(change), { signal: new AbortController().signal });
    changes.length = 0;
    connection.cut();
    await others.put("changed", "1");
    await others.put("changed", "2");
    await others.delete("deleted");
    await others.get("kept");
    assertEquals(changes, []);
    connection.restore();
    await others.put("new", "1");
    await eventually("all changes", () => changes.length === 3);
    assertEquals(changes.map((change) => `${change.type} ${change.key}`), ["put changed", "delete deleted", "put new"]);
    assertEquals(changes.map((change) => change.type === "put" ? change.value : ""), ["2", "", "1"]);
  });

  it("watch: an entry that is deleted while it is listed is not reported behind its deletion", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock });
    const bucket = await clock.until(network.connect().store.open("bucket"));
    const others = await clock.until(network.connect().store.open("bucket"));
    await clock.until(others.put("key", "value"));
    const { signal } = new AbortController();
    for (let turns = 0; turns < 40; turns++) {
      const last = new Map<string, string>();
      const revisions: number[] = [];
      const watching = bucket.watch("", (change) => {
        last.set(change.key, change.type);
        if ("revision" in change) revisions.push(change.revision);
      }, { signal });
      for (let turn = 0; turn < turns; turn++) await null;
      const deleted = others.delete("key");
      await clock.until(Promise.all([watching, deleted]));
      await clock.advance(10);
      assertEquals(revisions, revisions.toSorted((a, b) => a - b));
      assertEquals(last.get("key") ?? "delete", "delete");
      await clock.until(others.put("key", "value"));
    }
  });

  it("watch: rejects with the signal's reason when that aborts before the current entries came", async () => {
    const bucket = await new MemoryNetwork().store.open("bucket");
    await bucket.put("key", "value");
    const changes: Change[] = [];
    const reason = new Error("enough");
    const stop = new AbortController();
    const watching = bucket.watch("", (change) => changes.push(change), { signal: stop.signal });
    stop.abort(reason);
    assertEquals(await watching.catch((error) => error), reason);
    const aborted = bucket.watch("", (change) => changes.push(change), { signal: stop.signal });
    assertEquals(await aborted.catch((error) => error), reason);
    await bucket.put("key", "again");
    await bucket.get("key");
    assertEquals(changes, []);
  });

  it("ttl: nothing expires early, though its ttl is longer than a timer's limit, or its timer fires early", async () => {
    const virtual = new VirtualClock();
    const bucket = await new MemoryNetwork({ clock: clampedClock(virtual) }).store.open("bucket");
    const days = 86_400_000;
    await bucket.put("key", "value", { ttl: 60 * days });
    await virtual.advance(60 * days - 1);
    assert(await bucket.get("key"));
    await virtual.advance(1);
    assertEquals(await bucket.get("key"), undefined);
  });

  it("ttl: entries that have not expired do not keep the process alive", async () => {
    const program = `
      import { MemoryNetwork } from ${JSON.stringify(new URL("./network.ts", import.meta.url).href)};
      const bucket = await new MemoryNetwork().store.open("bucket");
      await bucket.put("key", "value", { ttl: 600_000 });
      await bucket.watch("", (change) => console.log(change.key), { signal: new AbortController().signal });
    `;
    const args = "Deno" in globalThis ? ["eval", "--ext=ts", program] : ["-e", program];
    // rejects if the process does not end by itself
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 120_000 });
    assertEquals(stdout, "key\n");
  });
});

const SETTINGS = { direct: false, replicas: 1 };

describe("BucketState", () => {
  it("entries are in the order of their revisions, and expire at their ttl", async () => {
    const clock = new VirtualClock();
    const state = new BucketState(clock, SETTINGS);
    const changes: Change[] = [];
    state.observe((change) => changes.push(change));
    state.put("b", "1", undefined);
    state.put("a", "2", 2);
    state.put("b", "3", undefined);
    assertEquals(state.entries("").map(({ key, value }) => key + value), ["a2", "b3"]);
    await clock.advance(1_999);
    assertEquals(state.get("a")?.value, "2");
    await clock.advance(1);
    assertEquals(state.get("a"), undefined);
    assertEquals(changes.map(({ type, key }) => `${type} ${key}`), ["put b", "put a", "put b", "expire a"]);
  });

  it("a bucket that is created later continues with greater revisions", async () => {
    const clock = new VirtualClock();
    const before = new BucketState(clock, SETTINGS).put("a", "1", undefined);
    await clock.advance(1);
    assertGreater(new BucketState(clock, SETTINGS).put("a", "1", undefined), before);
  });

  it("a revived entry is listed at its old revision", async () => {
    const clock = new VirtualClock();
    const faults = new FaultSource(seededRandom(1));
    faults.faults = { revival: 1 };
    const state = new BucketState(clock, SETTINGS, faults);
    const revision = state.put("a", "1", 60);
    state.put("b", "1", undefined);
    state.remove("a", "delete");
    assertEquals(state.get("a"), undefined);
    await clock.advance(1_000);
    assertEquals(state.get("a")?.revision, revision);
    assertEquals(state.entries("").map(({ key }) => key), ["a", "b"]);
  });
});
