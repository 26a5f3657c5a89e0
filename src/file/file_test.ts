/** Tests of the promises of a file beyond the ports: restarts, set clocks, full disks, files that are not whole. */
import { copyFileSync, rmSync } from "node:fs";
import { copyFile, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, it } from "node:test";
import { assert, assertEquals, assertGreater, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { CatgaError } from "../error.ts";
import type { Appended, AppendOptions, EventLog, LogStream } from "../ports/event_log.ts";
import type { MemoryEventLog } from "../memory/event_log.ts";
import { seededRandom } from "../memory/seeded_random.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { eventually } from "../../test/support/eventually.ts";
import { LOG_HELD, LOG_KEPT } from "./checkpoints.ts";
import { type FileDriver, systemDriver } from "./driver.ts";
import { FORMAT, openToRead } from "./format.ts";
import { faultyDriver, type FileFaults } from "./faulty_driver_suite.ts";
import { type TestFolder, testFolder } from "./support_suite.ts";
import { damagesOf } from "./whole.ts";

const OPTIONS = { subjects: ["log.>"], replicas: 1, schedules: true };
const HOUR = 3_600_000;

let folder: TestFolder;
beforeEach(async () => void (folder = await testFolder()));
afterEach(() => folder[Symbol.asyncDispose]());

const openStream = (log: EventLog): Promise<LogStream> => log.open("stream", OPTIONS);
const append = (stream: LogStream, options: Partial<AppendOptions> = {}, subject = "log.a"): Promise<Appended> =>
  stream.append(subject, "data", { timeout: 60_000, ...options });

/** Reads the texts of a subject. */
async function texts(stream: LogStream, subject = "log.>"): Promise<string[]> {
  return (await stream.read(subject, { from: 0 })).map(({ data }) => new TextDecoder().decode(data));
}

/** Returns the message of the error with which the file cannot be opened. */
async function refusal(path = `${folder.path}/app.db`, driver?: FileDriver): Promise<string> {
  const error = await assertRejects(() => folder.open({ path, ...(driver && { driver }) }), CatgaError);
  assertEquals([error.code, (error.details as { file: string }).file], ["UNAVAILABLE", path]);
  return error.message;
}

/** A driver that records the statements that are executed. */
function recordingDriver(): { readonly driver: FileDriver; readonly executed: string[] } {
  const executed: string[] = [];
  const driver: FileDriver = {
    ...systemDriver,
    open(path, options) {
      const database = systemDriver.open(path, options);
      return {
        get isTransaction() {
          return database.isTransaction;
        },
        exec: (sql) => (executed.push(sql), database.exec(sql)),
        prepare(sql) {
          const statement = database.prepare(sql);
          return {
            run: (...values) => (executed.push(sql), statement.run(...values)),
            get: (...values) => (executed.push(sql), statement.get(...values)),
            all: (...values) => (executed.push(sql), statement.all(...values)),
          };
        },
        close: () => database.close(),
      };
    },
  };
  return { driver, executed };
}

describe("a file: its size", () => {
  it("what is removed gives its room back, in small turns; then nothing is written any more", async () => {
    const clock = new VirtualClock();
    const file = await folder.open({ clock });
    const stream = await openStream(file.log());
    const pages = () => file.room.statement("SELECT page_count AS n FROM pragma_page_count").get()!.n as number;
    const full = "x".repeat(1_000);
    for (let i = 0; i < 4_000; i++) void stream.append(`log.${i % 3}`, full, { timeout: 60_000 });
    await clock.advance(0);
    const before = pages();
    assertGreater(before, 1_000);
    await stream.purge("log.>", { before: (await stream.state())!.last });
    let turns = 0;
    file.room.onCommit(() => void turns++);
    await clock.advance(60_000);
    assertGreater(before / 3, pages());
    assertGreater(turns, 3);
    turns = 0;
    await clock.advance(600_000);
    assertEquals([turns, (await texts(stream)).length], [0, 1]);
    await file.close();
    assertEquals((systemDriver.status(`${folder.path}/app.db`)?.size ?? 0) < before / 3 * 4_096, true);
  });
});

describe("a file: the next start", () => {
  it("neither copies a long log nor counts entries in the event loop", async () => {
    const { driver, executed } = recordingDriver();
    const first = await folder.open({ driver });
    const bucket = await first.store.open("bucket");
    for (let n = 0; n < 10; n++) await bucket.put(`key ${n}`, "x");
    await (await openStream(first.log())).append("log.a", new Uint8Array(900_000), { timeout: 60_000 });
    await (await openStream(first.log())).append("log.b", new Uint8Array(900_000), { timeout: 60_000 });
    const copy = `${folder.path}/copy.db`;
    for (const end of ["", "-wal"]) await copyFile(`${folder.path}/app.db${end}`, `${copy}${end}`);
    assertEquals(executed.some((sql) => sql.includes("wal_checkpoint")), true); // of a new file: its log is short
    executed.length = 0;
    const file = await folder.open({ path: copy, driver });
    const found = await file.store.open("bucket");
    assertEquals((await found.get("key 9"))?.value, "x");
    assertEquals(executed.filter((sql) => /wal_checkpoint|count\(\*\).*FROM e/.test(sql)), []);
    assertEquals(found.size, 10);
    await found.delete("key 9");
    assertEquals([found.size, (await texts(await openStream(file.log()))).length], [9, 2]);
  });

  it("has all messages, entries and counters of the process before", async () => {
    const before = await folder.open();
    const stream = await openStream(before.log());
    for (let i = 0; i < 600; i++) await append(stream, {}, `log.${i % 7}`);
    await stream.purge("log.3");
    const bucket = await before.store.open("bucket");
    for (let i = 0; i < 600; i++) await bucket.put(`key ${i}`, `value ${i}`);
    const [state, entries] = [await stream.state(), await bucket.entries("")];
    await before.close();
    const after = await folder.open();
    const { now: _, ...same } = (await (await openStream(after.log())).state())!;
    const { now: __, ...was } = state!;
    assertEquals(same, was);
    assertEquals(await (await after.store.open("bucket")).entries(""), entries);
  });

  it("remembers ids within their window, also those of removed messages, whatever the clock says", async () => {
    const clock = new VirtualClock();
    const before = await folder.open({ clock });
    const first = await openStream(before.log());
    await append(first, { id: "one" });
    await first.purge("log.a");
    await before.close();
    const setBack = new VirtualClock(clock.now() - HOUR);
    const after = await folder.open({ clock: setBack });
    const again = await append(await openStream(after.log()), { id: "one" });
    assertEquals(again.type === "stored" && again.duplicate, true);
    await setBack.advance(120_000);
    const late = await append(await openStream(after.log()), { id: "one" });
    assertEquals(late.type === "stored" && late.duplicate, false);
  });

  it("revisions grow although the clock was set back, so that fencing tokens do", async () => {
    const tokens: number[] = [];
    for (const back of [0, HOUR, 2 * HOUR]) {
      const file = await folder.open({ clock: new VirtualClock(Date.UTC(2026, 0, 1) - back) });
      const bucket = await file.store.open("locks");
      tokens.push((await bucket.create("key", "me"))!);
      await bucket.delete("key");
      await file.close();
    }
    assertEquals(tokens, tokens.toSorted((a, b) => a - b));
    assertEquals(new Set(tokens).size, 3);
  });

  it("ttls end by the time of the store: a clock that was set back does not lengthen them", async () => {
    const clock = new VirtualClock();
    const before = await folder.open({ clock });
    await (await before.store.open("bucket")).put("key", "value", { ttl: 5_000 });
    await append(await openStream(before.log()), { ttl: 5_000 });
    await before.close();
    const setBack = new VirtualClock(clock.now() - HOUR);
    const after = await folder.open({ clock: setBack });
    const [bucket, stream] = [await after.store.open("bucket"), await openStream(after.log())];
    assertEquals([(await bucket.get("key"))?.value, (await texts(stream)).length], ["value", 1]);
    await setBack.advance(6_100);
    assertEquals([await bucket.get("key"), await texts(stream)], [undefined, []]);
  });

  it("ttls end in time although the clock was set forward, and back, while the file was used", async () => {
    const start = Date.UTC(2026, 0, 1);
    const clock = new VirtualClock(start);
    let ahead = 0;
    const now = clock.now.bind(clock);
    clock.now = () => now() + ahead;
    const file = await folder.open({ clock });
    const bucket = await file.store.open("bucket");
    ahead = HOUR;
    await bucket.put("key", "value", { ttl: 5_000 });
    ahead = 0;
    await clock.advance(4_000);
    assertEquals((await bucket.get("key"))?.value, "value");
    await clock.advance(1_100);
    assertEquals(await bucket.get("key"), undefined);
  });

  it("a bucket of live processes is empty, and its revisions grow", async () => {
    const before = await folder.open();
    const revision = await (await before.store.open("locks", { ofProcesses: true })).create("key", "holder");
    await before.close();
    const after = await folder.open();
    const bucket = await after.store.open("locks", { ofProcesses: true });
    assertEquals(await bucket.entries(""), []);
    assertGreater((await bucket.create("key", "next"))!, revision!);
  });

  it("cron that was due meanwhile fires once, and not again at each start", async () => {
    const ticks: number[] = [];
    let time = Date.UTC(2026, 0, 1, 0, 30);
    for (const later of [0, 2 * HOUR, 1_000, 1_000]) {
      time += later;
      const clock = new VirtualClock(time);
      const file = await folder.open({ clock });
      const stream = await openStream(file.log());
      if (later === 0) await append(stream, { schedule: { at: "0 0 * * * *", target: "log.tick" } }, "log.cron");
      await clock.advance(500);
      ticks.push((await texts(stream, "log.tick")).length);
      await file.close();
    }
    assertEquals(ticks, [0, 1, 1, 1]);
  });

  it("a late firing of a cron is for another time than the next one, also if the time passes while it fires", async () => {
    const start = Date.UTC(2026, 0, 1);
    const first = new VirtualClock(start);
    const file = await folder.open({ clock: first });
    await append(await openStream(file.log()), { schedule: { at: "* * * * * *", target: "log.tick" } }, "log.cron");
    await first.advance(0);
    await file.close();
    // the next process finds it due a ms before the next time, which comes between its look and the message
    const clock = new VirtualClock(start + 2_999);
    let isSlow = true;
    const { driver } = faultyDriver();
    const open: FileDriver["open"] = (path, options) => {
      const database = driver.open(path, options);
      const { prepare } = database;
      return Object.assign(database, {
        prepare(sql: string) {
          const statement = prepare.call(database, sql);
          if (!sql.includes("m.due <= ?")) return statement;
          const all: typeof statement.all = (...values) => {
            const rows = statement.all(...values);
            if (isSlow) clock.leap(2);
            isSlow = false;
            return rows;
          };
          return { ...statement, all };
        },
      });
    };
    const next = await folder.open({ clock, driver: { ...driver, open } });
    const stream = await openStream(next.log());
    await clock.advance(2_500);
    assert(!isSlow);
    const ticks = await stream.read("log.tick", { from: 0 });
    const seconds = ticks.map(({ time }) => Math.floor((time - start) / 1_000));
    assertEquals(seconds, [2, 3, 4, 5]);
    const closed = next.close();
    await clock.advance(0);
    await closed;
  });

  it("a schedule of a process fires at once, others when they are due", async () => {
    const clock = new VirtualClock();
    const before = await folder.open({ clock });
    const stream = await openStream(before.log());
    const at = clock.now() + 60_000;
    await append(stream, { schedule: { at, target: "log.lease", ofProcess: true } }, "log.at.lease");
    await append(stream, { schedule: { at, target: "log.other" } }, "log.at.other");
    await before.close();
    const next = new VirtualClock(clock.now());
    const after = await folder.open({ clock: next });
    const again = await openStream(after.log());
    await next.advance(10);
    assertEquals([await texts(again, "log.lease"), await texts(again, "log.other")], [["data"], []]);
    await next.advance(60_000);
    assertEquals([await texts(again, "log.lease"), await texts(again, "log.other")], [["data"], ["data"]]);
  });
});

describe("a file: a turn that cannot be written", () => {
  // docs/file.md, crash semantics, "what was acknowledged is there": full disk
  // docs/file.md, crash semantics, "what was not acknowledged": full disk
  it("is rolled back as a whole, at whatever call the disk is full; each caller hears that nothing was stored", () =>
    rolledBackAtEachCall("full"));

  it("is rolled back as a whole, at whatever call an I/O error comes; it goes on when the disk does", () =>
    rolledBackAtEachCall("I/O error"));

  async function rolledBackAtEachCall(error: FileFaults["error"]): Promise<void> {
    const expected = ["kept", "after"];
    for (let at = 0;; at++) {
      const { driver, faults } = faultyDriver();
      faults.error = error;
      const path = `${folder.path}/full-${at}.db`;
      const file = await folder.open({ path, driver });
      const stream = await openStream(file.log());
      const bucket = await file.store.open("bucket");
      await stream.append("log.a", "kept", { timeout: 60_000 });
      const revision = await bucket.put("key", "kept");
      const seen: string[] = [];
      const reader = stream.follow({
        subjects: ["log.>"],
        after: undefined,
        onStart() {},
        onFault() {},
        onMessage: ({ data }) => void seen.push(new TextDecoder().decode(data)),
      });
      const watched: string[] = [];
      await bucket.watch("", (change) => void (change.type === "put" && watched.push(change.value)), {
        signal: new AbortController().signal,
      });
      await eventually("the reader", () => seen.length === 1);
      faults.failsAt = at;
      const outcomes = await Promise.allSettled([
        stream.append("log.a", "lost 1", { timeout: 60_000, id: "id" }),
        stream.append("log.new", "lost 2", { timeout: 60_000, rollup: true }),
        bucket.update("key", "lost", revision).then(() => ({ type: "stored" })),
      ]);
      const hasFailed = faults.failsAt < 0;
      faults.failsAt = Infinity;
      if (hasFailed) {
        const types = outcomes.map((each) => each.status === "rejected" ? "not stored" : each.value.type);
        assertEquals(types, ["not stored", "not stored", "not stored"], `call ${at}`);
        assertEquals([await texts(stream), (await bucket.get("key"))?.value], [["kept"], "kept"], `call ${at}`);
      }
      assertEquals((await append(stream, { id: "id" })).type, "stored");
      await stream.append("log.a", "after", { timeout: 60_000 });
      await eventually("the last message", () => seen.includes("after"));
      if (hasFailed) assertEquals([...new Set(seen)].filter((text) => text !== "data"), expected, `call ${at}`);
      assertEquals(watched, hasFailed ? ["kept"] : ["kept", "lost"]);
      const { messages } = (await stream.state())!;
      reader.close();
      await file.close();
      const next = await folder.open({ path });
      assertEquals((await (await openStream(next.log())).state())!.messages, messages);
      await next.close();
      if (!hasFailed) return assertGreater(at, 5);
    }
  }

  it("says how much room is missing, and of a disk that has room that something else is in the way", async () => {
    const { driver, faults } = faultyDriver();
    let free = 4_000_000;
    const troubles: CatgaError[] = [];
    const file = await folder.open({
      driver: { ...driver, freeRoom: () => free },
      onTrouble: (error) => void troubles.push(error),
    });
    const stream = await openStream(file.log());
    faults.failsAt = 0;
    const outcome = await append(stream);
    faults.failsAt = Infinity;
    assert(outcome.type === "not stored");
    assertStringIncludes(outcome.error.message, "is full: 4 MB are free, and 12.8 MB are missing");
    const { free: seen, missing } = troubles[0].details as { free: number; missing: number };
    assertEquals([seen, missing], [4_000_000, 2 * LOG_KEPT - 4_000_000]);
    free = 1_000_000_000;
    faults.failsAt = 0;
    const other = await append(stream);
    faults.failsAt = Infinity;
    assert(other.type === "not stored");
    assertStringIncludes(other.error.message, "may not grow, though its disk has room");
  });

  it("a stream or a bucket that could not be made, at whatever call the disk is full, is made when there is room", async () => {
    for (let at = 0;; at++) {
      const { driver, faults } = faultyDriver();
      const path = `${folder.path}/made-${at}.db`;
      const file = await folder.open({ path, driver });
      faults.failsAt = at;
      const made = await Promise.allSettled([openStream(file.log()), file.store.open("bucket")]);
      const hasFailed = faults.failsAt < 0;
      for (const each of made) {
        if (each.status === "rejected") assertEquals(each.reason.details.stored, false, `call ${at}`);
      }
      faults.failsAt = Infinity;
      assertEquals((await append(await openStream(file.log()))).type, "stored", `call ${at}`);
      assertGreater(await (await file.store.open("bucket")).put("key", "value"), 0, `call ${at}`);
      await file.close();
      if (!hasFailed) return assertGreater(at, 5);
    }
  });

  it("a stream that is removed is gone, or, on a full disk, as it was", async () => {
    const { driver, faults } = faultyDriver();
    for (let at = 0;; at++) {
      const file = await folder.open({ driver });
      const log = file.log() as MemoryEventLog;
      const stream = await openStream(log);
      assertEquals((await append(stream)).type, "stored");
      const { created } = (await stream.state())!;
      faults.failsAt = at;
      let hasFailed = false;
      try {
        log.remove("stream");
      } catch (error) {
        hasFailed = true;
        assertEquals((error as CatgaError).code, "UNAVAILABLE");
      }
      faults.failsAt = Infinity;
      const again = await openStream(log);
      const isSame = (await again.state())!.created === created;
      assertEquals([isSame, (await texts(again)).length > 0], [hasFailed, hasFailed], `call ${at}`);
      if (hasFailed) assertEquals((await append(again, {}, "log.due")).type, "stored");
      log.remove("stream");
      await file.close();
      if (!hasFailed) return assertGreater(at, 2);
    }
  });

  it("a bucket of live processes loses the entries of an earlier one also if the disk was full at first", async () => {
    const before = await folder.open();
    await (await before.store.open("locks", { ofProcesses: true })).create("key", "holder");
    await before.close();
    const { driver, faults } = faultyDriver();
    for (let at = 0; at < 3; at++) {
      const after = await folder.open({ driver });
      faults.failsAt = at;
      await after.store.open("locks", { ofProcesses: true }).catch((error) => assertEquals(error.code, "UNAVAILABLE"));
      faults.failsAt = Infinity;
      const bucket = await after.store.open("locks", { ofProcesses: true });
      assertEquals(await bucket.entries(""), [], `call ${at}`);
      await bucket.create("key", "holder");
      await after.close();
    }
  });

  // docs/file.md, crash semantics, "it goes on": full disk
  it("timers go on by themselves when there is room again", async () => {
    const { driver, faults } = faultyDriver();
    const clock = new VirtualClock();
    const file = await folder.open({ clock, driver });
    const [stream, bucket] = [await openStream(file.log()), await file.store.open("bucket")];
    const at = clock.now() + 1_000;
    await append(stream, { schedule: { at, target: "log.due" } }, "log.at");
    await append(stream, { ttl: 1_000 }, "log.short");
    await bucket.put("key", "value", { ttl: 1_000 });
    faults.failsAt = 0;
    await clock.advance(5_000);
    assertEquals([await texts(stream, "log.due"), (await bucket.get("key"))?.value], [[], "value"]);
    faults.failsAt = Infinity;
    await clock.advance(1_000);
    assertEquals([await texts(stream), await bucket.get("key")], [["data"], undefined]);
  });

  it("timers end with the file, also those that wait after a failed turn (they kept the process)", async () => {
    for (const fails of [false, true]) {
      const { driver, faults } = faultyDriver();
      const clock = new VirtualClock();
      const file = await folder.open({ clock, driver, path: `${folder.path}/${fails}.db` });
      const [stream, bucket] = [await openStream(file.log()), await file.store.open("bucket")];
      await append(stream, { schedule: { at: clock.now() + 1_000, target: "log.due" } }, "log.at");
      await append(stream, { ttl: 1_000 }, "log.short");
      await bucket.put("key", "value", { ttl: 1_000 });
      if (fails) {
        faults.failsAt = 0;
        await clock.advance(1_100);
        faults.failsAt = Infinity;
      }
      assertGreater(clock.timers, 0);
      await file.close();
      assertEquals(clock.timers, 0);
    }
  });

  it("a path that cannot be looked up ends the use of the file, and is no sync that failed", async () => {
    const { driver } = faultyDriver();
    let isBroken = false;
    const statusLater: typeof driver.statusLater = (path) =>
      isBroken ? Promise.reject(new Error("EACCES: permission denied, stat")) : driver.statusLater(path);
    const clock = new VirtualClock();
    const ends: CatgaError[] = [];
    const options = { clock, driver: { ...driver, statusLater }, onEnd: (error: CatgaError) => void ends.push(error) };
    const file = await folder.open(options);
    const stream = await openStream(file.log());
    isBroken = true;
    await clock.advance(1_000);
    await append(stream).catch(() => undefined);
    await eventually("the end", () => ends.length > 0);
    assertStringIncludes(ends[0].message, "could not be looked up: EACCES");
  });

  it("a sync that fails ends the use of the file: nothing is acknowledged any more", async () => {
    const { driver, faults } = faultyDriver();
    const ends: CatgaError[] = [];
    const file = await folder.open({ driver, durability: "disk", onEnd: (error) => ends.push(error) });
    const stream = await openStream(file.log());
    assertEquals((await append(stream)).type, "stored");
    faults.syncFails = true;
    assertEquals((await append(stream)).type, "unknown");
    assertEquals((await append(stream)).type, "unknown");
    assertEquals(ends.length, 1);
    assertStringIncludes(ends[0].message, "could not be synced: EIO");
  });
});

describe("a file: a damaged page", () => {
  it("ends the use of the file when it is read, with an error that names it: nothing is passed by", async () => {
    const path = `${folder.path}/app.db`;
    const file = await folder.open();
    const stream = await openStream(file.log());
    for (let i = 0; i < 100; i++) await stream.append("log.a", new Uint8Array(1_000), { timeout: 60_000 });
    await file.close();
    const bytes = await readFile(path);
    // of the middle: of messages
    bytes.fill(0, bytes.length / 2, bytes.length / 2 + 3 * 4_096);
    await writeFile(path, bytes);
    const ends: CatgaError[] = [];
    const next = await folder.open({ onEnd: (error) => void ends.push(error) });
    const again = await openStream(next.log());
    await assertRejects(() => texts(again), CatgaError, "is damaged");
    assertStringIncludes(ends[0].message, "`catga file check` says where");
    assertEquals((await append(again)).type, "unknown");
  });

  it("that cannot be read for a while: a reader tries again after a pause, and gets all", async () => {
    const clock = new VirtualClock();
    const { driver } = faultyDriver();
    /** Place from which on messages cannot be read; and how often one was tried. */
    let [brokenFrom, reads] = [Infinity, 0];
    const open: FileDriver["open"] = (path, options) => {
      const database = driver.open(path, options);
      const prepare: typeof database.prepare = (sql) => {
        const statement = database.prepare(sql);
        if (!/^SELECT .*data/s.test(sql.trim())) return statement;
        const all: typeof statement.all = (...values) => {
          if (Number(values[0]) >= brokenFrom) {
            reads++;
            throw Object.assign(new Error("disk I/O error"), { errcode: 10 });
          }
          return statement.all(...values);
        };
        return { ...statement, all, get: (...values) => all(...values)[0] };
      };
      return {
        get isTransaction() {
          return database.isTransaction;
        },
        ...{ prepare, exec: (sql: string) => database.exec(sql), close: () => database.close() },
      };
    };
    const file = await folder.open({ clock, driver: { ...driver, open } });
    const stream = await clock.until(openStream(file.log()));
    const big = new Uint8Array(2_000); // small messages are kept in memory
    const append = () => stream.append("log.a", big, { timeout: 60_000 });
    await clock.until(Promise.all(Array.from({ length: 300 }, append)));
    // behind the first delivery
    brokenFrom = (await clock.until(stream.state()))!.first + 280;
    const seen: number[] = [];
    const reader = stream.follow({
      ...{ subjects: ["log.>"], after: undefined, onStart() {}, onFault() {} },
      onMessage: ({ sequence }) => void seen.push(sequence),
    });
    await clock.advance(10_000);
    assert(seen.length < 300 && reads > 1 && reads < 100, `${reads} reads in 10 s, ${seen.length} messages`);
    brokenFrom = Infinity;
    await clock.advance(1_000);
    assertEquals(seen, Array.from({ length: 300 }, (_, n) => seen[0] + n));
    reader.close();
    const closed = file.close();
    await clock.advance(0);
    await closed;
  });
});

describe("a file: one process owns it", () => {
  it("a second one is refused, with the pid and the start of the first; after its end it gets the file", async () => {
    const first = await folder.open();
    const message = await refusal();
    assertStringIncludes(message, `in use by process ${process.pid}, which started 20`);
    await first.close();
    await (await folder.open()).close();
  });

  for (const durability of ["disk", "process"] as const) {
    for (const how of ["removed", "replaced", "its lock removed", "its log removed"]) {
      it(`${how} while it is used (${durability}): the use ends, and nothing is acknowledged any more`, async () => {
        const ends: CatgaError[] = [];
        const file = await folder.open({ durability, onEnd: (error) => ends.push(error) });
        const stream = await openStream(file.log());
        await append(stream);
        const path = `${folder.path}/app.db`;
        if (how === "its lock removed") await rm(`${path}-lock`);
        else if (how === "its log removed") await rm(`${path}-wal`);
        else await rename(path, `${path}.gone`);
        if (how === "replaced") await copyFile(`${path}.gone`, path);
        await eventually("the end", async () => (await append(stream)).type === "unknown" && ends.length > 0);
        if (durability === "disk") assertEquals((await append(stream)).type, "unknown");
        assertStringIncludes(ends[0].message, how === "replaced" ? "replaced" : "removed");
      });
    }
  }

  it("also under another name: a symbolic link to it", async () => {
    const [path, link] = [`${folder.path}/app.db`, `${folder.path}/link.db`];
    const first = await folder.open({ durability: "disk" });
    await append(await openStream(first.log()));
    await symlink(path, link);
    const error = await assertRejects(() => folder.open({ path: link }), CatgaError);
    assertStringIncludes(error.message, "in use by process");
    await first.close();
    const next = await folder.open({ path: link, durability: "disk" });
    assertEquals(await texts(await openStream(next.log())), ["data"]);
  });

  it("an owner whose file another process has taken writes nothing more", async () => {
    const ends: CatgaError[] = [];
    const file = await folder.open({ onEnd: (error) => ends.push(error) });
    const stream = await openStream(file.log());
    await append(stream);
    const other = new DatabaseSync(`${folder.path}/app.db`);
    other.exec("UPDATE meta SET value = value + 1 WHERE key = 'epoch'");
    other.close();
    assertEquals((await append(stream)).type, "unknown");
    assertStringIncludes(ends[0].message, "another process has taken it");
  });
});

describe("a file: is refused, and never replaced by an empty one,", () => {
  const path = () => `${folder.path}/app.db`;
  /** Makes a file with a message, and leaves it as a killed process would: open, with its log. */
  async function leftOpen(): Promise<void> {
    const file = await folder.open();
    await append(await openStream(file.log()));
    for (const each of ["", "-wal", "-shm"]) await copyFile(path() + each, `${folder.path}/killed.db${each}`);
    await file.close();
  }

  it("if it is no database, or one of another program", async () => {
    await writeFile(path(), "a text, ".repeat(100));
    assertStringIncludes(await refusal(), "it is no database");
    await rm(path());
    const other = new DatabaseSync(path());
    other.exec("CREATE TABLE other (a)");
    other.close();
    assertStringIncludes(await refusal(), "a database of another program");
  });

  it("if its format is newer", async () => {
    await (await folder.open()).close();
    const database = new DatabaseSync(path());
    database.exec(`PRAGMA user_version = ${FORMAT + 1}`);
    database.close();
    assertStringIncludes(await refusal(), `its format is ${FORMAT + 1}; this version of Catga reads ${FORMAT}`);
  });

  it("if it was copied while it was used without its log; with its log it has all", async () => {
    await leftOpen();
    const copy = `${folder.path}/copy.db`;
    await copyFile(`${folder.path}/killed.db`, copy);
    assertStringIncludes(await refusal(copy), "its log");
    await copyFile(`${folder.path}/killed.db-wal`, `${copy}-wal`);
    const file = await folder.open({ path: copy });
    assertEquals(await texts(await openStream(file.log())), ["data"]);
  });

  it("if its log was removed after a kill, at each start and look, until the log is back", async () => {
    await leftOpen();
    const killed = `${folder.path}/killed.db`;
    const log = await readFile(`${killed}-wal`);
    await rm(`${killed}-wal`);
    for (let start = 0; start < 2; start++) {
      assertStringIncludes(await refusal(killed), "its log");
      const looked = assertThrows(() => damagesOf(killed, systemDriver), CatgaError);
      assertStringIncludes(looked.message, "its log");
    }
    await writeFile(`${killed}-wal`, log);
    const file = await folder.open({ path: killed });
    assertEquals(await texts(await openStream(file.log())), ["data"]);
  });

  it("if its log is removed between the look for it and its use, and at each later start", async () => {
    await leftOpen();
    // in its own place, where a file without a log is trusted
    for (const each of ["", "-wal", "-shm"]) await copyFile(`${folder.path}/killed.db${each}`, path() + each);
    const driver: FileDriver = {
      ...systemDriver,
      open: (opened, options) => {
        if (opened === path()) rmSync(`${path()}-wal`);
        return systemDriver.open(opened, options);
      },
    };
    assertStringIncludes(await refusal(path(), driver), "its log");
    for (let start = 0; start < 2; start++) assertStringIncludes(await refusal(), "its log");
  });

  it("but not if its last owner, which has ended without closing it, copies its log into it meanwhile", async () => {
    await leftOpen();
    for (const each of ["", "-wal", "-shm"]) await copyFile(`${folder.path}/killed.db${each}`, path() + each);
    const { made } = systemDriver.status(`${path()}-shm`)!;
    // file systems tell times apart by some ms
    await eventually("a later time", async () => {
      if (made === undefined) return true;
      await writeFile(`${folder.path}/later`, "");
      const later = systemDriver.status(`${folder.path}/later`)!.made;
      await rm(`${folder.path}/later`);
      return later !== made;
    });
    // a runtime that ends may release the lock of the file before it closes SQLite
    const ending = new DatabaseSync(path());
    ending.prepare("SELECT count(*) FROM sqlite_schema").get();
    let isOpen = true;
    const driver: FileDriver = {
      ...systemDriver,
      open: (opened, options) => {
        if (opened === path() && isOpen) ending.close();
        if (opened === path()) isOpen = false;
        return systemDriver.open(opened, options);
      },
    };
    const file = await folder.open({ driver });
    assert(!isOpen);
    assertEquals(await texts(await openStream(file.log())), ["data"]);
  });

  it("but not if its owner closes it between two looks of a reader", async () => {
    await append(await openStream((await folder.open()).log()));
    let isClosed = false;
    const driver: FileDriver = {
      ...systemDriver,
      // the index is there when it is looked for, and the log is not any more
      status: (path) => {
        if (path === `${folder.path}/app.db-shm` && !isClosed) {
          isClosed = true;
          return systemDriver.status(`${folder.path}/app.db`);
        }
        return isClosed && /-(wal|shm)$/.test(path) ? undefined : systemDriver.status(path);
      },
    };
    openToRead(`${folder.path}/app.db`, driver).close();
    assert(isClosed);
  });

  it("but not if its log was copied into it when a process ended without closing it, as on a full disk", async () => {
    const { driver, faults } = faultyDriver();
    const file = await folder.open({ driver });
    await append(await openStream(file.log()));
    faults.failsAt = 0;
    await file.close();
    assertEquals(systemDriver.status(`${path()}-wal`), undefined);
    const copy = `${folder.path}/copy.db`;
    await copyFile(path(), copy);
    for (let i = 0; i < 2; i++) assertStringIncludes(await refusal(copy), "its log");
    const next = await folder.open();
    assertEquals(await texts(await openStream(next.log())), ["data"]);
  });

  it("a backup made by another connection while it is used starts with all of it", async () => {
    const file = await folder.open();
    await append(await openStream(file.log()));
    const copy = `${folder.path}/backup.db`;
    const reader = new DatabaseSync(path());
    reader.exec(`VACUUM INTO '${copy}'`);
    reader.close();
    assertStringIncludes(await refusal(copy), "its log");
    const whole = new DatabaseSync(copy);
    whole.exec("UPDATE meta SET value = 0 WHERE key = 'open'");
    whole.close();
    const next = await folder.open({ path: copy });
    assertEquals(await texts(await openStream(next.log())), ["data"]);
  });

  it("if only its log is there", async () => {
    await leftOpen();
    const killed = `${folder.path}/killed.db`;
    await rm(killed);
    assertStringIncludes(await refusal(killed), "it is missing or empty, but its log");
  });

  it("if the disk is full when it is opened", async () => {
    for (let at = 0; at < 3; at++) {
      const { driver, faults } = faultyDriver();
      faults.failsAt = at;
      const error = await assertRejects(() => folder.open({ driver }), CatgaError);
      assertEquals(error.code, "UNAVAILABLE");
    }
    await (await folder.open()).close();
  });

  it("if its folder does not exist", async () => {
    const missing = `${folder.path}/nothing/app.db`;
    assertStringIncludes(await refusal(missing), "Its folder must exist");
  });
});

describe("a file: a kill", () => {
  // docs/file.md, crash semantics, "what was acknowledged is there": killed
  // docs/file.md, crash semantics, "what was not acknowledged": killed
  it("at whatever call that changes the file: all that was acknowledged is there, and each turn whole or not", async () => {
    const path = `${folder.path}/app.db`;
    const { driver, faults } = faultyDriver();
    const file = await folder.open({ driver });
    const stream = await openStream(file.log());
    const bucket = await file.store.open("bucket");
    /** Copies of the file and its log, as a kill leaves them, with what was acknowledged before. */
    const killed: { readonly copy: string; readonly acknowledged: number; readonly revision: number }[] = [];
    let [acknowledged, revision] = [0, 0];
    faults.onCall = () => {
      const copy = `${folder.path}/killed-${killed.length}.db`;
      copyFileSync(path, copy);
      copyFileSync(`${path}-wal`, `${copy}-wal`);
      killed.push({ copy, acknowledged, revision });
    };
    for (let turn = 0; turn < 6; turn++) {
      const both = ["log.a", "log.b"].map((subject) => append(stream, { id: `${subject} ${turn}` }, subject));
      const put = bucket.put("key", `${turn}`);
      for (const { type } of await Promise.all(both)) if (type === "stored") acknowledged++;
      revision = await put;
    }
    faults.onCall = () => {};
    assertGreater(killed.length, 20);
    for (const { copy, acknowledged, revision } of killed) {
      const after = await folder.open({ path: copy });
      const again = await openStream(after.log());
      const [a, b] = [(await texts(again, "log.a")).length, (await texts(again, "log.b")).length];
      assertEquals(a, b, `${copy}: a turn that is not whole`);
      assert(a + b >= acknowledged, `${copy}: ${a + b} of ${acknowledged} acknowledged messages`);
      const entry = await (await after.store.open("bucket")).get("key");
      assert((entry?.revision ?? 0) >= revision, `${copy}: the entry has an earlier revision`);
      for (let turn = 0; turn < a; turn++) {
        const stored = await append(again, { id: `log.a ${turn}` });
        assert(stored.type === "stored" && stored.duplicate, `${copy}: the id of turn ${turn} is forgotten`);
      }
      await after.close();
    }
  });
});

describe("a file: a power failure", () => {
  // docs/file.md, crash semantics, "what was acknowledged is there": power failure
  // docs/file.md, crash semantics, "what was not acknowledged": killed, power failure
  // docs/file.md, crash semantics, "it goes on": power failure
  it("keeps all that was acknowledged, and each turn whole or not, wherever the log is cut behind its last sync", {
    timeout: 300_000,
  }, async () => {
    const path = `${folder.path}/app.db`;
    /** Size of the log that was synced, and how many messages were acknowledged until the next sync had ended. */
    const synced: { readonly size: number; acknowledged: number }[] = [];
    let acknowledged = 0;
    const driver: FileDriver = {
      ...systemDriver,
      openLog(logPath) {
        const log = systemDriver.openLog(logPath);
        const around = (size: number) => {
          const last = synced.at(-1);
          if (last !== undefined) last.acknowledged = acknowledged;
          synced.push({ size, acknowledged });
        };
        return {
          ...log,
          async sync() {
            const { size } = systemDriver.status(logPath)!;
            await log.sync();
            around(size);
          },
          syncNow() {
            log.syncNow();
            around(systemDriver.status(logPath)!.size);
          },
        };
      },
    };
    const file = await folder.open({ durability: "disk", driver });
    const stream = await openStream(file.log());
    await Promise.all(Array.from({ length: 4 }, async (_, writer) => {
      for (let i = 0; i < 60; i++) {
        const data = new Uint8Array(100 + 37 * ((writer * 60 + i) % 50));
        // of one turn
        const both = ["log.a", "log.b"].map((subject) => stream.append(subject, data, { timeout: 30_000 }));
        for (const { type } of await Promise.all(both)) if (type === "stored") acknowledged++;
      }
    }));
    const [main, log] = await Promise.all([readFile(path), readFile(`${path}-wal`)]);
    assertEquals(acknowledged, 480);
    assertGreater(synced.length, 10);
    const random = seededRandom(1);
    for (let cut = 0; cut < 40; cut++) {
      const { size, acknowledged } = synced[Math.floor(random() * (synced.length - 1))];
      // the whole log, as after a kill, or a part of it
      const length = cut === 0 ? log.length : size + Math.floor(random() * (log.length - size));
      const kept = new Uint8Array(log.subarray(0, length));
      // blocks that never reached the disk, on every second one
      for (let at = size; cut % 2 === 1 && at < kept.length; at += 512) if (random() < 0.3) kept.fill(0, at, at + 512);
      const copy = `${folder.path}/cut-${cut}.db`;
      await Promise.all([writeFile(copy, main), writeFile(`${copy}-wal`, kept)]);
      const after = await folder.open({ path: copy });
      const again = await openStream(after.log());
      const [a, b] = [(await texts(again, "log.a")).length, (await texts(again, "log.b")).length];
      assertEquals(a, b, `cut ${cut}: a turn that is not whole`);
      assert(a + b >= acknowledged, `cut ${cut}: ${a + b} of ${acknowledged} acknowledged messages`);
      assertEquals((await append(again)).type, "stored");
      await after.close();
    }
  });
});

describe("a file: its log", () => {
  it("is copied into the file in a worker, and stays small", { timeout: 300_000 }, async () => {
    const file = await folder.open({ durability: "disk" });
    const stream = await openStream(file.log());
    const data = new Uint8Array(100_000);
    for (let i = 0; i < 600; i++) {
      assertEquals((await stream.append("log.a", data, { timeout: 30_000 })).type, "stored");
    }
    await eventually("a small log", async () => {
      await append(stream);
      return systemDriver.status(`${folder.path}/app.db-wal`)!.size < LOG_HELD / 2;
    });
    assertGreater((await stream.state())!.messages, 600);
  });

  it("stays small also if each sync is fast, and has one waiter", { timeout: 300_000 }, async () => {
    // on this clock each sync takes 0 ms
    const file = await folder.open({ durability: "disk", clock: new VirtualClock() });
    const stream = await openStream(file.log());
    const size = () => systemDriver.status(`${folder.path}/app.db-wal`)!.size;
    while (size() < 1.1 * LOG_KEPT) await stream.append("log.a", new Uint8Array(900_000), { timeout: 30_000 });
    await eventually("a log that was emptied", async () => {
      await append(stream);
      return size() <= LOG_KEPT;
    });
  });
});
