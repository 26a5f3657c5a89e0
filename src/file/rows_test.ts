/** Streams and buckets over rows do what those in memory do, step by step, also over restarts and rollbacks. */
import { afterEach, beforeEach, describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import type { EventLog, LogReader, LogStream } from "../ports/event_log.ts";
import type { Bucket, KeyValueStore } from "../ports/key_value_store.ts";
import { MemoryEventLog } from "../memory/event_log.ts";
import { MemoryKeyValueStore } from "../memory/key_value_store.ts";
import { seededRandom } from "../memory/seeded_random.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { type FileDriver, systemDriver } from "./driver.ts";
import { faultyDriver } from "./faulty_driver_suite.ts";
import type { OpenedFile } from "./open.ts";
import { type TestFolder, testFolder } from "./support_suite.ts";

const OPTIONS = { subjects: ["log.>"], replicas: 1, schedules: true };
/** Subjects of the steps: more of one kind than a reader asks the index for. */
const SUBJECTS = [...Array.from({ length: 24 }, (_, i) => `log.many.${i}`), "log.a", "log.b.c", "log.b.d"];
const PATTERNS = ["log.>", "log.many.*", "log.*.c", "log.a", "log.b.>", "log.none"];

/** A driver that counts the rows that statements return. */
function countingDriver(): { readonly driver: FileDriver; readonly count: { rows: number } } {
  const count = { rows: 0 };
  const driver: FileDriver = {
    ...systemDriver,
    open(path, options) {
      const database = systemDriver.open(path, options);
      return {
        get isTransaction() {
          return database.isTransaction;
        },
        exec: (sql) => database.exec(sql),
        prepare(sql) {
          const statement = database.prepare(sql);
          return {
            run: (...values) => statement.run(...values),
            get: (...values) => (count.rows++, statement.get(...values)),
            all(...values) {
              const rows = statement.all(...values);
              count.rows += rows.length;
              return rows;
            },
          };
        },
        close: () => database.close(),
      };
    },
  };
  return { driver, count };
}

let folder: TestFolder;
beforeEach(async () => void (folder = await testFolder()));
afterEach(() => folder[Symbol.asyncDispose]());

/** Everything that readers see of a stream, relative to its first sequence. */
async function seen(stream: LogStream, base: number): Promise<unknown> {
  const { created: _, now: __, ...state } = (await stream.state())!;
  const read = await Promise.all(PATTERNS.map(async (pattern) => {
    const messages = await stream.read(pattern, { from: base + 7, most: 40 });
    const lasts: unknown[] = [];
    await stream.lasts(pattern, ({ sequence }) => lasts.push(sequence - base));
    const subjects = (await stream.subjects(pattern)).sort();
    return { pattern, lasts, subjects, read: messages.map(({ sequence, subject }) => [sequence - base, subject]) };
  }));
  const last = (await stream.last("log.a"))?.sequence;
  return { ...state, first: state.first - base, last: state.last - base, ofA: last && last - base, read };
}

/** One stream, with what a reader of each pattern has got since its store was opened. */
interface Side {
  stream: LogStream;
  bucket: Bucket;
  readonly base: number;
  got: Map<string, string[]>;
  readers: LogReader[];
}

async function open(log: EventLog, store: KeyValueStore, base?: number): Promise<Side> {
  const stream = await log.open("stream", OPTIONS);
  const bucket = await store.open("bucket");
  return { stream, bucket, base: base ?? (await stream.state())!.first, got: new Map(), readers: [] };
}

function follow({ stream, base, got, readers }: Side): void {
  for (const reader of readers.splice(0)) reader.close();
  for (const pattern of PATTERNS) {
    const texts: string[] = [];
    got.set(pattern, texts);
    const reader = stream.follow({
      subjects: [pattern],
      after: undefined,
      onStart() {},
      onFault() {},
      onMessage: ({ sequence, subject }) => void texts.push(`${sequence - base} ${subject}`),
    });
    readers.push(reader);
  }
}

describe("rows of a file", () => {
  for (let seed = 1; seed <= 12; seed++) {
    it(
      `seed ${seed}: are read, expire and fire as messages and entries in memory do`,
      { timeout: 300_000 },
      async () => {
        const random = seededRandom(seed);
        // after a rollback timers pause: what is timed is compared where nothing is rolled back
        const isTimed = seed % 2 === 1;
        const pick = <T>(all: readonly T[]): T => all[Math.floor(random() * all.length)];
        const clock = new VirtualClock();
        const { driver, faults } = faultyDriver();
        let file: OpenedFile = await folder.open({ clock, driver });
        const memory = await open(new MemoryEventLog(clock), new MemoryKeyValueStore(clock));
        let rows = await open(file.log(), file.store);
        const both = async <T>(work: (side: Side) => Promise<T>): Promise<void> => {
          const [left, right] = [await work(memory), await work(rows)];
          assertEquals(right, left, `seed ${seed}`);
        };
        follow(memory);
        follow(rows);
        for (let step = 0; step < 120; step++) {
          const [subject, kind, ttl] = [
            pick(SUBJECTS),
            random(),
            isTimed ? pick([undefined, undefined, 1_000, 3_000]) : undefined,
          ];
          const id = random() < 0.2 ? `id ${Math.floor(random() * 5)}` : undefined;
          if (kind < 0.5) {
            const [rollup, expects] = [random() < 0.2, random() < 0.2];
            await both(async ({ stream, base }) => {
              const last = (await stream.last(subject))?.sequence ?? 0;
              const expect = expects ? last : undefined;
              const appended = await stream.append(subject, `step ${step}`, {
                timeout: 60_000,
                id,
                ttl,
                rollup,
                expect,
              });
              return appended.type === "stored" ? [appended.sequence - base, appended.duplicate] : appended.type;
            });
          } else if (kind < 0.6 && isTimed) {
            const at = random() < 0.5 ? clock.now() + Math.floor(random() * 3_000) : "*/2 * * * * *";
            const schedule = { at, target: pick(SUBJECTS), ttl };
            await both(async ({ stream }) =>
              (await stream.append(`log.at.${step % 3}`, `step ${step}`, { timeout: 60_000, schedule })).type
            );
          } else if (kind < 0.7) {
            const [pattern, behind] = [pick(PATTERNS), Math.floor(random() * 100)];
            const isAll = random() < 0.3;
            await both(({ stream, base }) => stream.purge(pattern, isAll ? {} : { before: base + behind }));
          } else if (kind < 0.85) {
            const [key, value] = [`key ${step % 7}${step % 5 === 0 ? "\0" : ""}`, `value ${step}`];
            const how = random();
            await both(async ({ bucket }) => {
              const found = await bucket.get(key);
              if (how < 0.3) return await bucket.delete(key);
              if (
                how < 0.6 && found
              ) return (await bucket.update(key, value, found.revision, isTimed ? { ttl: ttl ?? 2_000 } : {})) !== 0;
              return (await bucket.create(key, value, ttl === undefined ? {} : { ttl })) === undefined;
            });
          } else if (kind < 0.93) await clock.advance(Math.floor(random() * 1_500));
          else if (kind < 0.96 && !isTimed) {
            // a turn that is rolled back leaves no trace
            await clock.advance(0);
            faults.failsAt = Math.floor(random() * 3);
            const failed = await rows.stream.append("log.a", "never", { timeout: 60_000 });
            const hasFailed = faults.failsAt < 0;
            faults.failsAt = Infinity;
            if (!hasFailed) await memory.stream.append("log.a", "never", { timeout: 60_000 });
            assertEquals(failed.type, hasFailed ? "not stored" : "stored");
            await clock.advance(300);
          } else {
            for (const reader of rows.readers) reader.close();
            const closed = file.close();
            await clock.advance(0);
            await closed;
            file = await folder.open({ clock, driver });
            rows = await open(file.log(), file.store, rows.base);
            memory.got.clear();
            rows.got.clear();
            follow(memory);
            follow(rows);
          }
          if (step % 6 === 0) {
            // ids and ttls are counted in whole ms
            await clock.advance(2);
            await both((side) => seen(side.stream, side.base));
            await both(async ({ bucket }) => (await bucket.entries("key")).map(({ key, value }) => [key, value]));
          }
        }
        await clock.advance(10);
        // a message that was removed at once may have been delivered, or not
        for (const { stream, base, got } of [memory, rows]) {
          for (const pattern of PATTERNS) {
            const left = (await stream.read(pattern, { from: 0 })).map((each) =>
              `${each.sequence - base} ${each.subject}`
            );
            assertEquals(got.get(pattern)!.filter((each) => left.includes(each)), left, `seed ${seed}: ${pattern}`);
          }
        }
        for (const reader of rows.readers) reader.close();
        const closed = file.close();
        await clock.advance(0);
        await closed;
      },
    );
  }

  describe("a reader of 40 quiet subjects beside 20,000 messages of others", () => {
    const [quiet, most] = [40, 20_000];
    for (const pattern of ["log.quiet.*", "log.quiet.>"]) {
      it(`${pattern}: asks the index, also for the last message, at a start and while it reads`, async () => {
        const { driver, count } = countingDriver();
        const file = await folder.open({ driver });
        const stream = await file.log().open("stream", OPTIONS);
        const appended: string[] = [];
        const append = async (subject: string) => {
          const stored = await stream.append(subject, "x", { timeout: 60_000 });
          if (stored.type !== "stored") throw new Error(stored.type);
          if (subject.startsWith("log.quiet.")) appended.push(`${stored.sequence} ${subject}`);
        };
        for (let n = 0; n < quiet; n++) await append(`log.quiet.${n}`);
        await append("log.quiet");
        for (let n = 0; n < most; n += 500) {
          await Promise.all(Array.from({ length: 500 }, (_, i) => append(`log.busy.${(n + i) % 3_000}`)));
          if (n === most / 2) await append("log.quiet.middle");
        }
        // the stream now has more messages than the file keeps in memory
        await append("log.quietly.a");
        const reading = () => {
          const { promise, resolve } = Promise.withResolvers<void>();
          const got: string[] = [];
          const reader = stream.follow({
            subjects: [pattern],
            after: undefined,
            onStart() {},
            onFault(error) {
              throw error;
            },
            onMessage({ sequence, subject }) {
              got.push(`${sequence} ${subject}`);
              if (reader.caughtUp) resolve();
            },
          });
          return { reader, got, caughtUp: promise };
        };
        count.rows = 0;
        const { reader, got, caughtUp } = reading();
        await caughtUp;
        const read = count.rows;
        assertEquals(got, appended);
        // pages before the index is asked: at the last message, and behind each of the two gaps
        assertEquals(read < 8_000, true, `${read} rows`);
        await append("log.busy.1");
        await append("log.quiet.new");
        while (got.length < appended.length) await new Promise((resolve) => setTimeout(resolve, 1));
        assertEquals(got, appended);
        assertEquals(count.rows - read < 100, true, `${count.rows - read} rows more`);
        reader.close();
      });
    }
  });
});
