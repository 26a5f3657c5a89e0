/** Tests of what {@link EventLog} promises, which every implementation has to pass. */
import { after, afterEach, before, describe, it } from "node:test";
import { assert, assertEquals, assertGreater, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { beforeItsTime } from "../../test/support/before_its_time.ts";
import { chancesOfStarved } from "../../test/support/chances.ts";
import { CatgaError } from "../error.ts";
import {
  type Appended,
  type AppendOptions,
  type EventLog,
  type FollowOptions,
  type LogLoss,
  type LogMark,
  type LogReader,
  type LogState,
  type LogStream,
  SERVERS_APART,
  type StoredMessage,
} from "./event_log.ts";

/** A client's connection to the streams. */
export interface LogClient {
  readonly log: EventLog;
  /** Breaks the client's connection; resolves when the client has noticed. */
  cut(): Promise<void>;
  /** Repairs the client's connection; resolves when the client is connected again. */
  restore(): Promise<void>;
  close(): Promise<void>;
}

/** The implementation that is tested. */
export interface EventLogHarness extends AsyncDisposable {
  /** Connects another client to the same streams. */
  connect(): Promise<LogClient>;
  /** Deletes a stream, as an operator does. */
  remove(name: string): Promise<void>;
  /** Lets `ms` milliseconds pass: in virtual time, or by waiting. */
  pass(ms: number): Promise<void>;
  /** Returns the approximate time of the server, in ms since 1970. */
  now(): number;
}

/** A reader, and the arguments of its callbacks. */
interface Followed {
  readonly reader: LogReader;
  readonly messages: StoredMessage[];
  readonly starts: { mark: LogMark; state: LogState; lost: LogLoss | undefined }[];
  readonly faults: CatgaError[];
  /** The data of the messages that the reader delivered, as text. */
  readonly texts: string[];
}

/** Timeout of long tests, in ms, because Bun otherwise ends a test after 5 s. */
const slow = { timeout: 300_000 };

/** Defines the tests for one implementation; they share a server, and each test has a stream of its own. */
export function eventLogSuite(name: string, start: () => Promise<EventLogHarness>): void {
  describe(`EventLog on ${name}`, () => {
    let harness: EventLogHarness;
    let first: LogClient;
    let second: LogClient;
    let streams = 0;
    const readers: LogReader[] = [];

    before(async () => {
      harness = await start();
      [first, second] = await Promise.all([harness.connect(), harness.connect()]);
    });
    afterEach(() => {
      for (const reader of readers.splice(0)) reader.close();
    });
    after(async () => {
      await Promise.all([first.close(), second.close()]);
      await harness[Symbol.asyncDispose]();
    });

    /** Returns a new name for a stream; the stream's subjects begin with it. */
    function newName(): string {
      return `suite_${++streams}`;
    }

    function open(stream: string, client = first): Promise<LogStream> {
      return client.log.open(stream, { subjects: [`${stream}.>`], replicas: 1, schedules: true });
    }

    /** Opens a stream that cannot have schedules. */
    function openPlain(stream: string, client = first): Promise<LogStream> {
      return client.log.open(stream, { subjects: [`${stream}.>`], replicas: 1, schedules: false });
    }

    /** Opens a new stream. Returns it, and a function that appends to its subject `<name>.<tokens>`. */
    async function newStream(): Promise<
      [LogStream, (tokens: string, data?: string, options?: Partial<AppendOptions>) => Promise<number>]
    > {
      const stream = await open(newName());
      return [stream, (tokens, data = tokens, options = {}) => put(stream, tokens, data, options)];
    }

    /** Appends a message, asserts that it is stored, and returns its sequence. */
    async function put(
      stream: LogStream,
      tokens: string,
      data = tokens,
      options: Partial<AppendOptions> = {},
    ): Promise<number> {
      const appended = await stream.append(`${stream.name}.${tokens}`, data, { timeout: 30_000, ...options });
      if (appended.type === "stored") return appended.sequence;
      throw new Error(`not stored: ${inspect(appended)}`);
    }

    /** Reads subjects of a stream until the test ends. */
    function follow(stream: LogStream, tokens: string | string[], options: Partial<FollowOptions> = {}): Followed {
      const followed = { messages: [], starts: [], faults: [], texts: [] } as Omit<Followed, "reader">;
      const reader = stream.follow({
        subjects: [tokens].flat().map((each) => `${stream.name}.${each}`),
        after: undefined,
        onStart: (start) => followed.starts.push(start),
        onFault: (error) => followed.faults.push(error),
        ...options,
        onMessage(message) {
          followed.messages.push(message);
          followed.texts.push(text(message));
          options.onMessage?.(message);
        },
      });
      readers.push(reader);
      return { reader, ...followed };
    }

    /** Lets time pass until `ask` returns something, but at most a minute. */
    async function reached<T>(what: string, ask: () => T | Promise<T>): Promise<NonNullable<T>> {
      for (let passed = 0; passed <= 60_000; passed += 20) {
        const answer = await ask();
        if (answer) return answer;
        await harness.pass(20);
      }
      throw new Error(`waited a minute in vain for ${what}`);
    }

    /** Waits until a reader has delivered these texts, and asserts that there are no others and no faults. */
    async function gives({ texts, faults }: Followed, expected: string[]): Promise<void> {
      await reached(`${expected.length} messages`, () => texts.length >= expected.length);
      assertEquals(texts, expected);
      assertEquals(faults, []);
    }

    /**
     * Plays a test whose reader begins so many times. If a machine that stands still makes it begin once more, the
     * test is played again, twice at most.
     */
    async function begins(times: number, play: () => Promise<Followed>): Promise<Followed> {
      const followed = await chancesOfStarved(2, play, ({ starts }) => starts.length === times);
      assertEquals(followed.starts.length, times);
      return followed;
    }

    describe("open", () => {
      it("open: gives the same stream to every client, by its name", async () => {
        const stream = newName();
        const [mine, yours] = [await open(stream), await open(stream, second)];
        assertEquals([mine.name, yours.name], [stream, stream]);
        const sequence = await put(mine, "a", "data");
        assertEquals((await yours.last(`${stream}.a`, { latest: true }))?.sequence, sequence);
        assertEquals((await yours.state())?.created, (await mine.state())?.created);
      });

      it("open: 20 at once make one stream", async () => {
        const stream = newName();
        const opened = await Promise.all(Array.from({ length: 20 }, (_, i) => open(stream, i % 2 ? first : second)));
        const appended = await Promise.all(
          opened.map((each) => each.append(`${stream}.a`, "", { timeout: 60_000, expect: 0 })),
        );
        assertEquals(appended.filter(({ type }) => type === "stored").length, 1);
      });

      it("open: sequences begin with the server's time in ms, and grow by one", async () => {
        const before = harness.now();
        const [, append] = await newStream();
        const sequence = await append("a");
        assert(Math.abs(sequence - before) < 60_000, `${sequence} is far from ${before}`);
        assertEquals(await append("b"), sequence + 1);
      });

      it("open: the sequences of a stream that was lost and made again are greater, and it has another time of creation", async () => {
        const name = newName();
        const stream = await open(name);
        const { created } = (await stream.state())!;
        const sequence = await put(stream, "a");
        await harness.remove(name);
        await harness.pass(20);
        const again = await open(name, second);
        assertGreater(await put(again, "a"), sequence);
        assert((await stream.state())?.created !== created);
        assertEquals(await again.read(`${name}.>`, { from: 0 }).then((all) => all.length), 1);
      });

      it("open: a stream that exists with other settings is LOG_MISMATCH, naming the setting", async () => {
        const name = newName();
        await open(name);
        await open(name, second);
        const others = [
          ["subjects", { subjects: [`${name}.a`], replicas: 1, schedules: true }],
          ["replicas", { subjects: [`${name}.>`], replicas: 3, schedules: true }],
          ["schedules", { subjects: [`${name}.>`], replicas: 1, schedules: false }],
        ] as const;
        for (const [setting, options] of others) {
          const error = await assertRejects(() => second.log.open(name, options), CatgaError);
          assertEquals(error.code, "LOG_MISMATCH", setting);
          assertStringIncludes(error.message, setting);
          assertStringIncludes(error.message, name);
        }
      });

      it("open: two streams cannot have the same subjects", async () => {
        const name = newName();
        await open(name);
        const other = { subjects: [`${name}.a.*`], replicas: 1, schedules: true };
        const error = await assertRejects(() => first.log.open(newName(), other), CatgaError);
        assertStringIncludes(error.message, "subjects");
      });

      it("open: a name of other characters than letters, digits, - and _ is a TypeError, as are subjects that are none", async () => {
        for (const bad of ["", "a.b", "a b", "a*", ">", "ä", "a/b", "a\n"]) {
          await assertRejects(() => open(bad), TypeError, undefined, JSON.stringify(bad));
        }
        for (const bad of ["", "a b", "a..b", ".a", "a.", "a.>.b"]) {
          const options = { subjects: [bad], replicas: 1, schedules: true };
          await assertRejects(() => first.log.open(newName(), options), TypeError, undefined, JSON.stringify(bad));
        }
      });

      it("serverTime, latestServerTime, abilities: are those of the server", async () => {
        const [stream, append] = await newStream();
        await append("a");
        await stream.measureTime();
        assert(Math.abs(stream.serverTime - harness.now()) < 5_000);
        assert(Math.abs(stream.latestServerTime - harness.now()) < 5_000);
        assert(stream.serverTime <= stream.latestServerTime);
        const { at, cron, version } = stream.abilities!;
        assertEquals([at, cron], [true, true]);
        assertGreater(version.length, 0);
      });
    });

    describe("append", () => {
      it("append: stores text as UTF-8, bytes as they are, and nothing at all", async () => {
        const [stream] = await newStream();
        const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
        for (const data of ["grüß dich 👋", bytes, bytes.subarray(7, 9), "", new Uint8Array()]) {
          const appended = await stream.append(`${stream.name}.a`, data, { timeout: 60_000 });
          assertEquals(appended.type, "stored");
          const { data: stored } = (await stream.last(`${stream.name}.a`, { latest: true }))!;
          assertEquals([...stored], [...(typeof data === "string" ? new TextEncoder().encode(data) : data)]);
        }
      });

      it("append: stores subject, headers and the server's time", async () => {
        const [stream, append] = await newStream();
        const headers = { "Name": "value", "x-Other": " two words " };
        const sequence = await append("a.b.c", "data", { headers });
        const message = (await stream.last(`${stream.name}.a.b.c`, { latest: true }))!;
        assertEquals(message.sequence, sequence);
        assertEquals(message.subject, `${stream.name}.a.b.c`);
        assertEquals(own(message), { "Name": "value", "x-Other": "two words" });
        assert(Math.abs(message.time - harness.now()) < 5_000);
      });

      it("append: subjects, headers and ids that NATS cannot carry are a TypeError, as are headers of the server", async () => {
        const [stream] = await newStream();
        const { name } = stream;
        const options = { timeout: 60_000 };
        for (
          const bad of ["", "a b", `${name}.*`, `${name}.>`, `.${name}`, `${name}..b`, `${name}.`, `${name}.a\r\nb`]
        ) {
          assertThrows(() => stream.append(bad, "", options), TypeError, undefined, JSON.stringify(bad));
        }
        for (const bad of [{ "a b": "" }, { "a:b": "" }, { "": "" }, { "ä": "" }, { a: "1\n2" }, { a: "1\r2" }]) {
          const append = () => stream.append(`${name}.a`, "", { ...options, headers: bad as Record<string, string> });
          assertThrows(append, TypeError, undefined, JSON.stringify(bad));
        }
        for (const header of ["Nats-Msg-Id", "Nats-TTL", "nats-rollup"]) {
          assertThrows(() => stream.append(`${name}.a`, "", { ...options, headers: { [header]: "1" } }), TypeError);
        }
        assertThrows(() => stream.append(`${name}.a`, "", { ...options, id: "a\nb" }), TypeError);
        for (const target of ["", "a b", `${name}.*`, `${name}.>`]) {
          const schedule = { at: harness.now() + 60_000, target };
          assertThrows(() => stream.append(`${name}.a`, "", { ...options, schedule }), TypeError);
        }
        assertEquals((await stream.state())?.messages, 0);
      });

      it("append: what is too large is TOO_LARGE, with its headers, and is not stored", async () => {
        const [stream, append] = await newStream();
        const subject = `${stream.name}.a`;
        await append("a", "x".repeat(1_000_000));
        for (
          const [data, headers] of [["x".repeat(1_100_000), {}], ["x".repeat(1_000_000), {
            long: "x".repeat(50_000),
          }]] as const
        ) {
          const appended = await stream.append(subject, data, { timeout: 60_000, headers });
          assert(appended.type === "not stored" && !appended.transient, inspect(appended));
          assertEquals(appended.error.code, "TOO_LARGE");
        }
        assertEquals((await stream.state())?.messages, 1);
      });

      it("append: to a subject that no stream has, or to a stream that was lost, is certainly not stored", async () => {
        const [stream] = await newStream();
        const foreign = await stream.append(`nowhere.${stream.name}`, "", { timeout: 60_000 });
        assertEquals([foreign.type, foreign.type === "not stored" && foreign.error.code], [
          "not stored",
          "UNAVAILABLE",
        ]);
        await stream.state(); // waits for the search for the unanswered stream, which would create it again
        await harness.remove(stream.name);
        const lost = await stream.append(`${stream.name}.a`, "", { timeout: 60_000 });
        assert(lost.type === "not stored" && lost.transient, inspect(lost));
        assertEquals(lost.error.code, "UNAVAILABLE");
      });

      it("append: to a stream that was lost makes it again, for those that follow", slow, async () => {
        const [stream, append] = await newStream();
        const sequence = await append("a");
        await harness.remove(stream.name);
        const again = await reached("an append", async () => {
          const appended = await stream.append(`${stream.name}.a`, "", { timeout: 5_000 });
          return appended.type === "stored" ? appended : undefined;
        });
        assertGreater(again.sequence, sequence);
        assertEquals((await stream.state())?.messages, 1);
      });

      it("state: a stream that is being made again is waited for", slow, async () => {
        const [stream, append] = await newStream();
        await append("a");
        await harness.remove(stream.name);
        const { type } = await stream.append(`${stream.name}.a`, "", { timeout: 60_000 });
        assertEquals([type, (await stream.state())?.messages], ["not stored", 0]);
      });
    });

    describe("append: id", () => {
      it("id: is stored once, and a repeat gives the sequence of the first", async () => {
        const [stream, append] = await newStream();
        const sequence = await append("a", "once", { id: "an id" });
        for (const client of [first, second]) {
          const again = await (await open(stream.name, client)).append(`${stream.name}.a`, "twice", {
            timeout: 60_000,
            id: "an id",
          });
          assertEquals(again, { type: "stored", sequence, duplicate: true });
        }
        assertEquals((await stream.state())?.messages, 1);
      });

      it("id: ids are of the whole stream, whatever the subject", async () => {
        const [stream, append] = await newStream();
        const sequence = await append("a", "once", { id: "one" });
        const other = await stream.append(`${stream.name}.b`, "other", { timeout: 60_000, id: "one" });
        assertEquals(other, { type: "stored", sequence, duplicate: true });
        assertEquals(await stream.last(`${stream.name}.b`, { latest: true }), undefined);
      });

      it("id: outlives its message", async () => {
        const [stream, append] = await newStream();
        const sequence = await append("a", "once", { id: "one" });
        await stream.purge(`${stream.name}.a`);
        const again = await stream.append(`${stream.name}.a`, "again", { timeout: 60_000, id: "one" });
        assertEquals(again, { type: "stored", sequence, duplicate: true });
        assertEquals((await stream.state())?.messages, 0);
      });

      it("id: one that was refused may be used", async () => {
        const [stream, append] = await newStream();
        const sequence = await append("a");
        const refused = await stream.append(`${stream.name}.a`, "", {
          timeout: 60_000,
          id: "one",
          expect: sequence - 1,
        });
        assertEquals(refused.type, "conflict");
        assertEquals(await append("a", "", { id: "one", expect: sequence }), sequence + 1);
      });

      it("id: 50 at once under one id are stored once", async () => {
        const [stream] = await newStream();
        const appended = await Promise.all(
          Array.from({ length: 50 }, () => stream.append(`${stream.name}.a`, "", { timeout: 60_000, id: "one" })),
        );
        const fresh = appended.filter((each) => each.type === "stored" && !each.duplicate);
        assertEquals(fresh.length, 1);
        assertEquals((await stream.state())?.messages, 1);
      });
    });

    describe("append: expect", () => {
      it("expect: 0 where the subject has no message, else the sequence of its last; conflict for all others", async () => {
        const [stream, append] = await newStream();
        await append("other");
        const conflict = async (expect: number) => {
          assertEquals(await stream.append(`${stream.name}.a`, "no", { timeout: 60_000, expect }), {
            type: "conflict",
          });
        };
        await conflict(1);
        const one = await append("a", "1", { expect: 0 });
        await append("other");
        await conflict(0);
        await conflict(one + 1);
        const two = await append("a", "2", { expect: one });
        await conflict(one);
        assertEquals((await stream.last(`${stream.name}.a`, { latest: true }))?.sequence, two);
        assertEquals((await stream.state())?.messages, 4);
      });

      it("expect: of 20 at once with the same expectation one is stored", async () => {
        const [stream] = await newStream();
        const appended = await Promise.all(
          Array.from(
            { length: 20 },
            (_, i) => stream.append(`${stream.name}.a`, `${i}`, { timeout: 60_000, expect: 0 }),
          ),
        );
        const count = (what: (each: Appended) => boolean) => appended.filter(what).length;
        assertEquals(count(({ type }) => type === "stored"), 1);
        assertEquals(count((each) => each.type === "conflict" || (each.type === "not stored" && each.transient)), 19);
      });

      it("expect: after a purge 0 is right again", async () => {
        const [stream, append] = await newStream();
        await append("a");
        await stream.purge(`${stream.name}.a`);
        await append("a", "again", { expect: 0 });
      });

      it("expect: numbers that are no sequence are a RangeError", async () => {
        const [stream] = await newStream();
        for (const expect of [-1, 0.5, NaN, Infinity]) {
          assertThrows(() => stream.append(`${stream.name}.a`, "", { timeout: 60_000, expect }), RangeError);
        }
      });
    });

    describe("append: ttl", () => {
      it("ttl: a message stays so long, and others stay longer", slow, async () => {
        const [stream, append] = await newStream();
        const begun = harness.now();
        await append("a", "short", { ttl: 1_000 });
        await append("b", "long", { ttl: 600_000 });
        await append("c", "ever");
        const there = await stream.last(`${stream.name}.a`, { latest: true });
        assert(there !== undefined || harness.now() - begun >= 1_000);
        await reached("its end", async () => await stream.last(`${stream.name}.a`, { latest: true }) === undefined);
        assert(harness.now() - begun >= 1_000);
        assertEquals((await stream.read(`${stream.name}.>`, { from: 0 })).map(text), ["long", "ever"]);
        await append("a", "again", { expect: 0 });
      });

      it("ttl: is rounded up to whole seconds", slow, async () => {
        const [stream, append] = await newStream();
        const begun = harness.now();
        await append("a", "", { ttl: 1 });
        await reached("its end", async () => await stream.last(`${stream.name}.a`, { latest: true }) === undefined);
        assert(harness.now() - begun >= 1_000, `${harness.now() - begun}`);
      });

      it("ttl: one that is none is a RangeError", async () => {
        const [stream] = await newStream();
        for (const ttl of [0, -1, NaN, Infinity]) {
          assertThrows(() => stream.append(`${stream.name}.a`, "", { timeout: 60_000, ttl }), RangeError);
          const schedule = { at: harness.now() + 60_000, target: `${stream.name}.b`, ttl };
          assertThrows(() => stream.append(`${stream.name}.a`, "", { timeout: 60_000, schedule }), RangeError);
        }
      });
    });

    describe("append: rollup", () => {
      it("rollup: replaces all messages of its subject, and no others", async () => {
        const [stream, append] = await newStream();
        for (const each of ["a", "b", "a", "a.b"]) await append(each);
        await append("a", "all", { rollup: true });
        await append("a", "more");
        assertEquals((await stream.read(`${stream.name}.>`, { from: 0 })).map(text), ["b", "a.b", "all", "more"]);
      });

      it("rollup, and a ttl: a lasting stream refuses them, and stores all else", async () => {
        const name = newName();
        const options = { subjects: [`${name}.>`], replicas: 1, schedules: false, lasting: true };
        const stream = await first.log.open(name, options);
        const kept = await put(stream, "a");
        for (const removing of [{ rollup: true }, { ttl: 1_000 }]) {
          const appended = await stream.append(`${name}.a`, "", { timeout: 60_000, ...removing });
          assert(appended.type === "not stored" && !appended.transient, inspect(appended));
          assertEquals(appended.error.code, "INVALID_MESSAGE", inspect(appended));
        }
        await put(stream, "a", "next", { expect: kept });
        assertEquals((await stream.read(`${name}.a`, { from: 0 })).map(text), ["a", "next"]);
        // this stream is created without schedules, like a stream whose settings an operator has changed
        const looser = newName();
        await openPlain(looser);
        await first.log.open(looser, { ...options, subjects: [`${looser}.>`] });
      });

      it("rollup: goes with an expectation", async () => {
        const [stream, append] = await newStream();
        const sequence = await append("a");
        const options = { timeout: 60_000, rollup: true, expect: sequence - 1 };
        assertEquals(await stream.append(`${stream.name}.a`, "no", options), { type: "conflict" });
        await append("a", "yes", { rollup: true, expect: sequence });
        assertEquals((await stream.read(`${stream.name}.a`, { from: 0 })).map(text), ["yes"]);
      });
    });

    describe("append: schedule", () => {
      /** Schedules a message for the stream's subject `due`, under the subject `at.<id>`. */
      function schedule(
        stream: LogStream,
        id: string,
        at: number | string,
        options: Partial<AppendOptions> = {},
        zone?: string,
      ): Promise<number> {
        const target = `${stream.name}.due`;
        return put(stream, `at.${id}`, `data of ${id}`, { ...options, schedule: { at, zone, target } });
      }

      /**
       * Does something to a schedule of a new stream before `at`, the time of that schedule, then calls the function
       * that this returns. If `at` comes first, as on a busy machine, it begins anew, with more time.
       */
      function newScheduleBeforeItsTime(
        work: (at: number, stream: LogStream) => Promise<() => Promise<void>>,
      ): Promise<void> {
        return beforeItsTime(1_000, async (lead) => {
          const [stream] = await newStream();
          const at = harness.now() + lead;
          const rest = await work(at, stream);
          if (harness.now() >= at) return false;
          await rest();
          return true;
        });
      }

      it("at: appends the data and headers to its target in its time, and is gone then", slow, async () => {
        const [stream] = await newStream();
        const due = follow(stream, "due");
        const at = harness.now() + 1_500;
        await schedule(stream, "1", at, { headers: { Mine: "value" } });
        const stands = await stream.last(`${stream.name}.at.1`, { latest: true }) !== undefined;
        assert(stands || harness.now() >= at);
        await gives(due, ["data of 1"]);
        const [message] = due.messages;
        assert(message.time >= at - 1 && message.time < at + 60_000, `${message.time - at} ms after its time`);
        assertEquals(message.subject, `${stream.name}.due`);
        assertEquals(own(message), { Mine: "value" });
        assertEquals(message.headers?.["Nats-Scheduler"], `${stream.name}.at.1`);
        assertEquals(message.headers?.["Nats-Schedule-Next"], "purge");
        await reached("its end", async () => await stream.last(`${stream.name}.at.1`, { latest: true }) === undefined);
      });

      it("at: a time that has passed is now", slow, async () => {
        const [stream] = await newStream();
        const due = follow(stream, "due");
        await schedule(stream, "past", harness.now() - 3_600_000);
        await gives(due, ["data of past"]);
      });

      it("at: a time far away is accepted, and what the server's ns cannot hold is refused", slow, async () => {
        const [stream] = await newStream();
        const due = follow(stream, "due");
        await schedule(stream, "far", harness.now() + 10 * 365 * 86_400_000);
        await schedule(stream, "farthest", 9_223_372_036_854);
        await schedule(stream, "now", harness.now());
        await gives(due, ["data of now"]);
        for (const at of [NaN, 9_223_372_036_855]) {
          const error = () =>
            stream.append(`${stream.name}.at.x`, "", { timeout: 60_000, schedule: { at, target: "x.y" } });
          assertThrows(error, RangeError);
        }
      });

      it("at: its ttl is that of what is appended", slow, async () => {
        const [stream] = await newStream();
        const due = follow(stream, "due");
        const target = `${stream.name}.due`;
        await put(stream, "at.1", "short", { schedule: { at: harness.now(), target, ttl: 1_000 } });
        await gives(due, ["short"]);
        await reached("its end", async () => await stream.last(target, { latest: true }) === undefined);
      });

      it("at: its subject is its identity: another one under it replaces it", slow, async () => {
        await newScheduleBeforeItsTime(async (at, stream) => {
          const due = follow(stream, "due");
          await schedule(stream, "1", at);
          await put(stream, "at.1", "replaced", { schedule: { at: at + 500, target: `${stream.name}.due` } });
          return async () => {
            await schedule(stream, "2", at + 2_000);
            await gives(due, ["replaced", "data of 2"]);
          };
        });
      });

      it("at: is cancelled by an overwrite that expects it, with rollup and ttl", slow, async () => {
        await newScheduleBeforeItsTime(async (at, stream) => {
          const due = follow(stream, "due");
          const expect = await schedule(stream, "1", at);
          const { type } = await stream.append(`${stream.name}.at.1`, "", {
            ...{ timeout: 30_000, expect, rollup: true, ttl: 1_000 },
          });
          return async () => {
            assertEquals(type, "stored");
            await schedule(stream, "2", at + 2_000);
            await gives(due, ["data of 2"]);
            await reached(
              "the end of what is left",
              async () => (await stream.read(`${stream.name}.at.*`, { from: 0 })).length === 0,
            );
          };
        });
      });

      it("at: one that has fired cannot be cancelled", slow, async () => {
        const [stream] = await newStream();
        const due = follow(stream, "due");
        const sequence = await schedule(stream, "1", harness.now());
        await gives(due, ["data of 1"]);
        await reached("its end", async () => await stream.last(`${stream.name}.at.1`, { latest: true }) === undefined);
        const options = { timeout: 60_000, expect: sequence, rollup: true, ttl: 1_000 };
        assertEquals(await stream.append(`${stream.name}.at.1`, "", options), { type: "conflict" });
      });

      it(
        "at: overwritten around its time, it does not fire; or it does, and what took its place has gone",
        slow,
        async () => {
          const [stream] = await newStream();
          const due = follow(stream, "due");
          const at = Math.ceil(harness.now()) + 1_000;
          const target = `${stream.name}.due`;
          const names = Array.from({ length: 600 }, (_, n) => `${n}`);
          const sequences = await Promise.all(names.map((name) => schedule(stream, name, at)));
          await harness.pass(at - harness.now());
          const later = { rollup: true, timeout: 60_000, schedule: { at: at + 3_600_000, target } };
          const accepted = await Promise.all(names.map(async (name, n) => {
            const expect = sequences[n];
            return (await stream.append(`${stream.name}.at.${name}`, "later", { ...later, expect })).type === "stored";
          }));
          await schedule(stream, "end", harness.now());
          await reached("the end", () => due.texts.includes("data of end"));
          for (const [n, name] of names.entries()) {
            const fired = due.texts.includes(`data of ${name}`);
            const stands = await stream.last(`${stream.name}.at.${name}`, { latest: true }) !== undefined;
            assertEquals({ name, stands, accepted: accepted[n] || fired }, { name, stands: !fired, accepted: true });
          }
        },
      );

      it("at: a purge cancels it", slow, async () => {
        await newScheduleBeforeItsTime(async (at, stream) => {
          const due = follow(stream, "due");
          await schedule(stream, "1", at);
          const purged = await stream.purge(`${stream.name}.at.1`);
          return async () => {
            assertEquals(purged, 1);
            await schedule(stream, "2", at + 2_000);
            await gives(due, ["data of 2"]);
          };
        });
      });

      it("cron: appends again and again, and says when the next is due", slow, async () => {
        const [stream] = await newStream();
        const due = follow(stream, "due");
        await schedule(stream, "1", "* * * * * *");
        await reached("three times", () => due.texts.length >= 3);
        assertEquals(new Set(due.texts), new Set(["data of 1"]));
        for (const message of due.messages) {
          assertEquals(message.headers?.["Nats-Scheduler"], `${stream.name}.at.1`);
          assert(Date.parse(message.headers!["Nats-Schedule-Next"]) > message.time - 1_000);
        }
        assert(await stream.last(`${stream.name}.at.1`, { latest: true }));
        await stream.purge(`${stream.name}.at.1`);
      });

      it("cron: in a time zone", slow, async () => {
        const [stream] = await newStream();
        const due = follow(stream, "due");
        for (const zone of ["US/Eastern", "GMT", "Etc/GMT+5", "America/Port-au-Prince", "Asia/Kathmandu"]) {
          await schedule(stream, "1", "*/1 * * * * *", {}, zone);
        }
        await reached("a message", () => due.texts.length >= 1);
        await stream.purge(`${stream.name}.at.1`);
      });

      it("schedules that no server takes are certainly not stored, and trying again does not help", async () => {
        const [stream] = await newStream();
        const subject = `${stream.name}.at.1`;
        const target = `${stream.name}.due`;
        const at = harness.now() + 60_000;
        for (
          const bad of [
            { at: "* * * * *", target },
            { at: "61 * * * * *", target },
            { at: "nonsense", target },
            ...["Europe/Atlantis", "europe/berlin", "EUROPE/BERLIN", "us/Eastern", "utc", "+02:00", "-0200"]
              .map((zone) => ({ at: "* * * * * *", zone, target })),
            { at, target: subject },
            { at, target: `nowhere.${stream.name}` },
          ]
        ) {
          const appended = await stream.append(subject, "", { timeout: 60_000, schedule: bad });
          assert(appended.type === "not stored" && !appended.transient, `${inspect(bad)}: ${inspect(appended)}`);
          assertEquals(appended.error.code, "INVALID_MESSAGE", inspect(bad));
        }
        const plain = await openPlain(newName());
        const schedule = { at, target: `${plain.name}.due` };
        const appended = await plain.append(`${plain.name}.at.1`, "", { timeout: 60_000, schedule });
        assert(appended.type === "not stored" && !appended.transient, inspect(appended));
        assertEquals(appended.error.code, "UNSUPPORTED");
      });
    });

    describe("state", () => {
      it("state: says what the stream has", async () => {
        const [stream, append] = await newStream();
        const empty = (await stream.state())!;
        assertEquals([empty.messages, empty.bytes, empty.maxBytes], [0, 0, undefined]);
        assertEquals(empty.last, empty.first - 1);
        assert(Math.abs(empty.now - harness.now()) < 5_000);
        assert(Math.abs(Date.parse(empty.created) - harness.now()) < 60_000);
        const one = await append("a", "x".repeat(100));
        assertEquals(one, empty.first);
        const two = await append("b");
        const state = (await stream.state())!;
        assertEquals([state.first, state.last, state.messages, state.created], [one, two, 2, empty.created]);
        assertGreater(state.bytes, 100);
      });

      it("state: the last sequence stays when its message is removed, and the first is then the next one", async () => {
        const [stream, append] = await newStream();
        await append("a");
        const last = await append("a");
        await stream.purge(`${stream.name}.a`);
        const state = (await stream.state())!;
        assertEquals([state.first, state.last, state.messages, state.bytes], [last + 1, last, 0, 0]);
        assertEquals(await append("a"), last + 1);
      });

      it("state: undefined where there is no such stream", async () => {
        const [stream] = await newStream();
        await harness.remove(stream.name);
        assertEquals(await stream.state(), undefined);
      });

      it("subjects: those of a pattern that have messages", async () => {
        const [stream, append] = await newStream();
        for (const part of ["a", "a", "b.x", "b.y", "c"]) await append(part);
        await stream.purge(`${stream.name}.b.y`);
        const of = async (pattern: string) =>
          (await stream.subjects(pattern)).map((subject) => subject.slice(stream.name.length + 1)).sort();
        assertEquals(await of(`${stream.name}.>`), ["a", "b.x", "c"]);
        assertEquals(await of(`${stream.name}.b.*`), ["b.x"]);
        assertEquals(await of(`${stream.name}.a`), ["a"]);
        assertEquals(await of(`${stream.name}.d.*`), []);
      });

      it("lasts: the last message of each subject of a pattern, in order", async () => {
        const [stream, append] = await newStream();
        for (const part of ["a", "b.x", "b.y", "a", "b.z", "b.x"]) await append(part);
        await stream.purge(`${stream.name}.b.z`);
        const of = async (pattern: string) => {
          const found: StoredMessage[] = [];
          await stream.lasts(`${stream.name}.${pattern}`, (message) => found.push(message));
          return found;
        };
        const all = await of(">");
        assertEquals(all.map(({ subject }) => subject.slice(stream.name.length + 1)), ["b.y", "a", "b.x"]);
        const last = await stream.last(`${stream.name}.b.x`);
        assertEquals(
          [all[2].sequence, all[2].time, text(all[2])],
          [last!.sequence, last!.time, text(last!)],
        );
        assertEquals((await of("b.*")).map(({ sequence }) => sequence), [all[0].sequence, all[2].sequence]);
        assertEquals(await of("d.*"), []);
      });

      it("last, read, purge: make a stream again that was lost", slow, async () => {
        const requests = [
          (stream: LogStream) => stream.last(`${stream.name}.a`),
          (stream: LogStream) => stream.last(`${stream.name}.a`, { latest: true }),
          async (stream: LogStream) => (await stream.read(`${stream.name}.>`, { from: 0 })).at(0),
          async (stream: LogStream) => await stream.purge(`${stream.name}.>`) || undefined,
        ];
        for (const request of requests) {
          const [stream, append] = await newStream();
          await append("a");
          await harness.remove(stream.name);
          assertEquals(await request(stream), undefined);
          assertEquals((await stream.state())?.messages, 0);
        }
      });
    });

    describe("follow", () => {
      it("follow: gives the messages that are there and those that come, in order, as they are stored", async () => {
        const [stream, append] = await newStream();
        await append("a", "1", { headers: { Mine: "value" } });
        await append("b", "2");
        const all = follow(stream, ">");
        await gives(all, ["1", "2"]);
        for (let i = 3; i <= 100; i++) await append(i % 2 ? "a" : "b", `${i}`);
        await gives(all, Array.from({ length: 100 }, (_, i) => `${i + 1}`));
        const stored = await stream.read(`${stream.name}.>`, { from: 0 });
        assertEquals(all.messages.map(plain), stored.map(plain));
        assertEquals(own(all.messages[0]), { Mine: "value" });
      });

      it("follow: gives 5,000 messages once, in order, while they are appended", slow, async () => {
        const [stream, append] = await newStream();
        const all = follow(stream, ">");
        for (let i = 0; i < 5_000; i += 500) {
          await Promise.all(Array.from({ length: 500 }, (_, j) => append("a", `${i + j}`)));
        }
        await gives(all, Array.from({ length: 5_000 }, (_, i) => `${i}`));
      });

      it("follow: calls nothing back before it returns", async () => {
        const [stream, append] = await newStream();
        await append("a");
        const all = follow(stream, ">");
        assertEquals([all.starts.length, all.messages.length, all.reader.mark], [0, 0, undefined]);
        assertEquals(all.reader.caughtUp, false);
        await gives(all, ["a"]);
      });

      it("follow: gives the subjects of its patterns and no others, each message once", async () => {
        const [stream, append] = await newStream();
        const cases: [string | string[], string[]][] = [
          ["a", ["a"]],
          ["a.*", ["a.b", "a.c"]],
          ["a.>", ["a.b", "a.c", "a.b.d"]],
          ["*.b", ["a.b", "b.b"]],
          ["*.b.*", ["a.b.d"]],
          [["a", "b.b"], ["a", "b.b"]],
          [["a.>", "a.b", "a.b"], ["a.b", "a.c", "a.b.d"]],
          ["none", []],
        ];
        const followed = cases.map(([patterns]) => follow(stream, patterns));
        for (const each of ["a", "a.b", "b.b", "a.c", "a.b.d"]) await append(each);
        for (const [i, [patterns, expected]] of cases.entries()) {
          await reached(`${patterns}`, () => followed[i].texts.length >= expected.length);
        }
        await append("z");
        await gives(follow(stream, "z"), ["z"]);
        assertEquals(followed.map(({ texts }) => texts), cases.map(([, expected]) => expected));
      });

      it("follow: patterns that are none are a TypeError", async () => {
        const [stream] = await newStream();
        for (const bad of [[], [""], ["a b"], ["a..b"], ["a.>.b"], ["a", "."]]) {
          const options = { after: undefined, onMessage() {}, onStart() {}, onFault() {} };
          assertThrows(() => stream.follow({ ...options, subjects: bad }), TypeError, undefined, inspect(bad));
        }
      });

      it("onStart: comes before the first message, with the place from which reading goes on", async () => {
        const [stream, append] = await newStream();
        const sequence = await append("a");
        let started = 0;
        const all = follow(stream, ">", { onMessage: () => started = all.starts.length });
        await gives(all, ["a"]);
        assertEquals(started, 1);
        const [{ mark, state, lost }] = all.starts;
        assertEquals(lost, undefined);
        assertEquals([mark.created, mark.sequence], [state.created, sequence - 1]);
        assertEquals([state.first, state.last, state.messages], [sequence, sequence, 1]);
      });

      it("mark: is what was read last, and reading goes on behind it", async () => {
        const [stream, append] = await newStream();
        await append("a", "1");
        const two = await append("a", "2");
        await append("b", "3");
        const seen: (number | undefined)[] = [];
        const one: Followed = follow(stream, "a", { onMessage: () => seen.push(one.reader.mark?.sequence) });
        await gives(one, ["1", "2"]);
        const { created } = (await stream.state())!;
        const { mark } = one.reader;
        assertEquals(mark, { created, sequence: two, time: one.messages[1].time });
        assertEquals(seen, one.messages.map(({ sequence }) => sequence));
        await append("a", "4");
        const rest = follow(stream, ">", { after: mark });
        const other = follow(stream, "a", { after: { created, sequence: two } });
        await gives(rest, ["3", "4"]);
        await gives(other, ["4"]);
        assertEquals([rest.starts[0].lost, other.starts[0].lost], [undefined, undefined]);
        assertEquals(rest.starts[0].mark.sequence, two);
      });

      it("caughtUp: is true once all was given that was there, at once if there is nothing", async () => {
        const [stream, append] = await newStream();
        const empty = follow(stream, ">");
        await reached("its start", () => empty.reader.caughtUp);
        for (let i = 0; i < 10; i++) await append("a", `${i}`);
        const seen: boolean[] = [];
        const all: Followed = follow(stream, "a", { onMessage: () => seen.push(all.reader.caughtUp) });
        await reached("the end", () => all.reader.caughtUp);
        assertEquals([all.texts.length, seen.slice(0, 9).includes(true)], [10, false]);
        await append("b");
        const others = follow(stream, "none");
        await reached("the end", () => others.reader.caughtUp);
      });

      it("follow: several readers do not disturb each other", async () => {
        const [stream, append] = await newStream();
        const followed = Array.from({ length: 10 }, (_, i) => follow(stream, i % 2 ? "a" : ">"));
        await append("a", "1");
        followed[0].reader.close();
        followed[2].reader.pause();
        await append("b", "2");
        await append("a", "3");
        for (const i of [4, 6, 8]) await gives(followed[i], ["1", "2", "3"]);
        for (const i of [1, 3, 5, 7, 9]) await gives(followed[i], ["1", "3"]);
      });

      it("follow: what is removed meanwhile makes no difference to the rest", async () => {
        await begins(1, async () => {
          const [stream, append] = await newStream();
          for (const each of ["a", "b", "a", "c", "a"]) await append(each);
          const all = follow(stream, ">");
          await gives(all, ["a", "b", "a", "c", "a"]);
          await stream.purge(`${stream.name}.a`);
          await append("b", "b2");
          await append("a", "a2", { rollup: true });
          await gives(all, ["a", "b", "a", "c", "a", "b2", "a2"]);
          await gives(follow(stream, ">"), ["b", "c", "b2", "a2"]);
          return all;
        });
      });

      it("onMessage: what it throws is reported, and reading goes on", async () => {
        const [stream, append] = await newStream();
        await append("a", "1");
        await append("a", "2");
        const faulty = follow(stream, "a", {
          onMessage(message) {
            if (text(message) === "1") throw new Error("thrown by a test");
          },
        });
        await reached("both", () => faulty.texts.length === 2);
        assertEquals(faulty.texts, ["1", "2"]);
        assertEquals(faulty.faults.length, 1);
        assert(faulty.faults[0] instanceof CatgaError);
        assertStringIncludes(faulty.faults[0].message, "thrown by a test");
      });

      it("pause: delivery stops, and resume goes on where it was", slow, async () => {
        const [stream, append] = await newStream();
        const count = 3_000;
        const data = "x".repeat(2_000);
        const paused: Followed = follow(stream, "a", {
          onMessage() {
            if (paused.texts.length === 10) paused.reader.pause();
          },
        });
        const other = follow(stream, "a");
        for (let i = 0; i < count; i += 500) {
          await Promise.all(Array.from({ length: 500 }, (_, j) => append("a", `${i + j} ${data}`)));
        }
        await reached("all of the other", () => other.texts.length === count);
        assert(
          paused.texts.length >= 10 && paused.texts.length < count,
          `${paused.texts.length} came to a paused reader`,
        );
        paused.reader.resume();
        await reached("all", () => paused.texts.length === count);
        assertEquals(paused.texts.map((each) => Number.parseInt(each)), Array.from({ length: count }, (_, i) => i));
        assertEquals(paused.faults, []);
      });

      it("pause, resume: before the start and again and again", async () => {
        const [stream, append] = await newStream();
        for (let i = 0; i < 100; i++) await append("a", `${i}`);
        const all: Followed = follow(stream, "a", {
          onMessage() {
            all.reader.pause();
            all.reader.pause();
            all.reader.resume();
          },
        });
        all.reader.pause();
        all.reader.resume();
        all.reader.resume();
        await gives(all, Array.from({ length: 100 }, (_, i) => `${i}`));
      });

      it("close: no message comes after it, also when it is called within a callback or before the start", async () => {
        const [stream, append] = await newStream();
        for (let i = 0; i < 10; i++) await append("a", `${i}`);
        const within: Followed = follow(stream, "a", {
          onMessage() {
            if (within.texts.length === 3) within.reader.close();
          },
        });
        const start: Followed = follow(stream, "a", { onStart: () => start.reader.close() });
        const early = follow(stream, "a");
        early.reader.close();
        early.reader.close();
        const other = follow(stream, "a");
        await reached("all of the other", () => other.texts.length === 10);
        await reached("three", () => within.texts.length === 3);
        await append("a", "more");
        await gives(other, [..."0123456789", "more"]);
        assertEquals([within.texts, start.texts, early.texts], [["0", "1", "2"], [], []]);
        assertEquals(early.starts, []);
      });
    });

    describe("follow: interruptions", () => {
      it("a reconnect: all come that were appended meanwhile, once, in order", slow, async () => {
        const { starts, messages } = await begins(2, async () => {
          const client = await harness.connect();
          const name = newName();
          const stream = await open(name, client);
          const others = await open(name);
          await put(others, "a", "1");
          const all = follow(stream, ">");
          await gives(all, ["1"]);
          await client.cut();
          for (const each of ["2", "3"]) await put(others, "a", each);
          assertEquals(all.texts, ["1"]);
          await client.restore();
          await put(others, "a", "4");
          await gives(all, ["1", "2", "3", "4"]);
          await client.close();
          return all;
        });
        assertEquals(starts[1].lost, undefined);
        assertEquals(starts[1].mark.sequence, messages[0].sequence);
      });

      it("a reader that begins while the connection is cut begins when it is restored", slow, async () => {
        const client = await harness.connect();
        const stream = await open(newName(), client);
        await put(stream, "a");
        await client.cut();
        const all = follow(stream, ">");
        await client.restore();
        await gives(all, ["a"]);
        await client.close();
      });

      it("a stream that was made again: reading begins with its first message, and says so", slow, async () => {
        const name = newName();
        const stream = await open(name);
        const sequence = await put(stream, "a", "old");
        const all = follow(stream, ">");
        await gives(all, ["old"]);
        await harness.remove(name);
        await harness.pass(20);
        const again = await open(name, second);
        const next = await put(again, "a", "new");
        await reached("the new one", () => all.texts.length === 2);
        assertEquals(all.texts, ["old", "new"]);
        const { lost, mark, state } = all.starts.at(-1)!;
        assertEquals(lost, { reason: "remade", after: sequence, next });
        assertEquals([mark.sequence, mark.created], [next - 1, state.created]);
        assert(all.starts[0].mark.created !== mark.created);
      });

      it("a mark of another stream: reading begins with the first message, and says so", async () => {
        const [stream, append] = await newStream();
        const sequence = await append("a");
        const mark = { created: "2001-01-01T00:00:00.000000000Z", sequence: sequence + 1_000 };
        const all = follow(stream, ">", { after: mark });
        await gives(all, ["a"]);
        assertEquals(all.starts[0].lost, { reason: "remade", after: mark.sequence, next: sequence });
      });

      it("a mark behind the end of a stream that lost messages: reading goes on at the end, and says so", async () => {
        const [stream, append] = await newStream();
        const sequence = await append("a", "read before");
        const { created } = (await stream.state())!;
        const all = follow(stream, ">", { after: { created, sequence: sequence + 5, time: harness.now() } });
        await reached("the start", () => all.starts.length > 0);
        assertEquals(all.starts[0].lost, { reason: "truncated", after: sequence + 5, next: sequence + 1 });
        assertEquals(all.starts[0].mark.sequence, sequence);
        await append("a", "after the loss");
        await gives(all, ["after the loss"]);
      });

      it("a mark in whose place is another message: what was stored since is given, and it says so", async () => {
        const [stream, append] = await newStream();
        const sequence = await append("a", "1");
        const before = await stream.last(`${stream.name}.a`, { latest: true });
        await harness.pass(50);
        await append("a", "in its place");
        await append("a", "3");
        const { created } = (await stream.state())!;
        // the mark (place in the stream) of a message with the next sequence, stored 10 ms after the first message;
        // both messages are lost
        const mark = { created, sequence: sequence + 1, time: before!.time + 10 };
        const all = follow(stream, ">", { after: mark });
        await reached("the last", () => all.texts.at(-1) === "3");
        const { lost } = all.starts[0];
        assertEquals([lost?.reason, lost?.after], ["replaced", mark.sequence]);
        assertEquals(all.texts, ["in its place", "3"]);
        assertEquals(lost?.next, sequence + 1);
      });

      it("a mark whose message is unknown and lost: what was stored since it was reached is given", async () => {
        const [stream, append] = await newStream();
        const sequence = await append("a", "1");
        await harness.pass(2 * SERVERS_APART + 200);
        const at = (await stream.last(`${stream.name}.a`, { latest: true }))!.time + SERVERS_APART + 100;
        await append("a", "2");
        await append("a", "3");
        const { created } = (await stream.state())!;
        for (const [after, reason] of [[sequence + 1, "replaced"], [sequence + 5, "truncated"]] as const) {
          const all = follow(stream, ">", { after: { created, sequence: after, at } });
          await gives(all, ["2", "3"]);
          assertEquals(all.starts[0].lost, { reason, after, next: sequence + 1 });
        }
      });

      it("messages that were removed before they were read: reading goes on behind them, and says so", async () => {
        const [stream, append] = await newStream();
        const sequence = await append("a", "read");
        await append("a", "expired");
        const next = await append("b", "there");
        const { created } = (await stream.state())!;
        await stream.purge(`${stream.name}.a`);
        const all = follow(stream, ">", { after: { created, sequence } });
        await gives(all, ["there"]);
        assertEquals(all.starts[0].lost, { reason: "expired", after: sequence, next });
      });

      it("a message that was read and removed is no loss", async () => {
        const [stream, append] = await newStream();
        const sequence = await append("a", "read");
        const { time } = (await stream.last(`${stream.name}.a`, { latest: true }))!;
        await append("b", "there");
        const { created } = (await stream.state())!;
        await stream.purge(`${stream.name}.a`);
        const all = follow(stream, ">", { after: { created, sequence, time } });
        await gives(all, ["there"]);
        assertEquals(all.starts[0].lost, undefined);
      });

      it("a stream that is lost is made again by its reader, and by one that begins", slow, async () => {
        const [stream, append] = await newStream();
        await append("a", "1");
        const one = follow(stream, ">");
        await gives(one, ["1"]);
        await harness.remove(stream.name);
        const two = follow(stream, ">");
        const reasons = ({ starts }: Followed) => starts.flatMap(({ lost }) => lost?.reason ?? []);
        await reached("both starts", () => reasons(one).length > 0 && two.starts.length > 0);
        assertEquals([reasons(one), reasons(two)], [["remade"], []]);
        await append("a", "2");
        await gives(two, ["2"]);
        await reached("the message", () => one.texts.length === 2);
      });
    });

    describe("last, read, purge", () => {
      it("last: gives the last message of a subject, from any server or from the leader", async () => {
        const [stream, append] = await newStream();
        const subject = `${stream.name}.a`;
        assertEquals(await stream.last(subject), undefined);
        assertEquals(await stream.last(subject, { latest: true }), undefined);
        await append("a", "1");
        const sequence = await append("a", "2", { headers: { Mine: "1" } });
        await append("a.b", "3");
        for (const options of [{ latest: true }, { latest: false }, undefined]) {
          const message = await reached("it", async () => {
            const found = await stream.last(subject, options);
            return found?.sequence === sequence ? found : undefined;
          });
          assertEquals([message.subject, text(message), own(message)], [subject, "2", { Mine: "1" }]);
        }
      });

      it("read: gives the messages of a subject or pattern from a sequence on", async () => {
        const [stream, append] = await newStream();
        const sequences: number[] = [];
        for (const each of ["a", "b", "a", "a.b", "c.b", "a"]) {
          sequences.push(await append(each, `${sequences.length}`));
        }
        const read = async (tokens: string, from: number, most?: number) =>
          (await stream.read(`${stream.name}.${tokens}`, { from, ...(most === undefined ? {} : { most }) })).map(text);
        await reached("all", async () => (await read(">", 0)).length === 6);
        assertEquals(await read("a", 0), ["0", "2", "5"]);
        assertEquals(await read("a", sequences[1]), ["2", "5"]);
        assertEquals(await read("a", sequences[2]), ["2", "5"]);
        assertEquals(await read("a", sequences[2], 1), ["2"]);
        assertEquals(await read("a", sequences[5] + 1), []);
        assertEquals(await read("*.b", 0), ["3", "4"]);
        assertEquals(await read(">", sequences[1], 3), ["1", "2", "3"]);
        assertEquals(await read("none", 0), []);
        assertEquals(await read("none.*", 0), []);
      });

      it("read: calls back with each message as it comes", async () => {
        const [stream, append] = await newStream();
        for (const each of ["1", "2", "3"]) await append("a", each);
        await reached("all", async () => (await stream.read(`${stream.name}.a`, { from: 0 })).length === 3);
        const seen: string[] = [];
        const onMessage = (message: StoredMessage) => void seen.push(text(message));
        const read = await stream.read(`${stream.name}.a`, { from: 0, most: 2, onMessage });
        assertEquals([seen, read.map(text)], [["1", "2"], ["1", "2"]]);
      });

      it("read: gives the messages of a subject since a time, and those of a sequence from the leader", async () => {
        const [stream, append] = await newStream();
        const first = await append("a", "early");
        await append("b", "other");
        const { time } = (await stream.at(first))!;
        await reached("a later time", async () => {
          await append("b", "other");
          return (await stream.last(`${stream.name}.b`, { latest: true }))!.time > time;
        });
        const later = await append("a", "late");
        const since = async (time: number) => (await stream.read(`${stream.name}.a`, { since: time })).map(text);
        await reached("all", async () => (await since(0)).length === 2);
        assertEquals(await since(time), ["early", "late"]);
        assertEquals(await since(time + 1), ["late"]);
        assertEquals(await since(time + 60_000), []);
        const at = (await stream.at(later))!;
        assertEquals([text(at), at.subject, at.sequence], ["late", `${stream.name}.a`, later]);
        assertEquals(await stream.at(later + 1), undefined);
      });

      it("at, purge: below 1 nothing is found or removed (a leader that took over asked for 0 again and again, for ever)", async () => {
        const [stream, append] = await newStream();
        const sequence = await append("a");
        assertEquals([await stream.at(0), await stream.at(-1)], [undefined, undefined]);
        assertEquals(await stream.purge(`${stream.name}.a`, { before: 0 }), 0);
        assertEquals((await stream.at(sequence))?.sequence, sequence);
      });

      it("read: gives 2,500 messages in parts, each once", slow, async () => {
        const [stream, append] = await newStream();
        for (let i = 0; i < 2_500; i += 500) {
          await Promise.all(Array.from({ length: 500 }, (_, j) => append("a", `${i + j}`)));
        }
        await reached("the last", async () => text((await stream.last(`${stream.name}.a`))!) === "2499");
        const found: string[] = [];
        for (let from = 0;;) {
          const part = await stream.read(`${stream.name}.a`, { from });
          if (part.length === 0) break;
          assert(part.length <= 1_000);
          found.push(...part.map(text));
          from = part.at(-1)!.sequence + 1;
        }
        assertEquals(found, Array.from({ length: 2_500 }, (_, i) => `${i}`));
      });

      it("read: most is from 1 to 1,000", async () => {
        const [stream] = await newStream();
        for (const most of [0, -1, 1.5, NaN, 1_001]) {
          await assertRejects(() => stream.read(`${stream.name}.a`, { from: 0, most }), RangeError);
        }
      });

      it("purge: removes the messages of a subject or pattern, or those before a sequence, and gives their number", async () => {
        const [stream, append] = await newStream();
        const fill = async () => {
          const sequences: number[] = [];
          for (const each of ["a", "a.b", "a", "a.c", "b"]) sequences.push(await append(each));
          return sequences;
        };
        const left = async () => (await stream.read(`${stream.name}.>`, { from: 0 })).map(text);
        await fill();
        assertEquals(await stream.purge(`${stream.name}.a`), 2);
        assertEquals(await left(), ["a.b", "a.c", "b"]);
        assertEquals(await stream.purge(`${stream.name}.a.*`), 2);
        assertEquals(await stream.purge(`${stream.name}.none`), 0);
        assertEquals(await stream.purge(`${stream.name}.>`), 1);
        assertEquals(await left(), []);
        const [, , third] = await fill();
        assertEquals(await stream.purge(`${stream.name}.a`, { before: third }), 1);
        assertEquals(await left(), ["a.b", "a", "a.c", "b"]);
        assertEquals(await stream.purge(`${stream.name}.>`, { before: third + 1 }), 2);
        assertEquals(await left(), ["a.c", "b"]);
        assertEquals(await stream.purge(`${stream.name}.>`, { before: 1 }), 0);
        assertEquals(await left(), ["a.c", "b"]);
      });

      it("last, read, purge: subjects that are none are a TypeError", async () => {
        const [stream] = await newStream();
        for (const bad of ["", "a b", "a..b", "a."]) {
          await assertRejects(async () => await stream.last(bad), TypeError, undefined, `last ${bad}`);
          await assertRejects(async () => await stream.read(bad, { from: 0 }), TypeError, undefined, `read ${bad}`);
          await assertRejects(async () => await stream.purge(bad), TypeError, undefined, `purge ${bad}`);
        }
        await assertRejects(async () => await stream.last(`${stream.name}.*`), TypeError);
      });
    });

    describe("connections", () => {
      it(
        "a connection that is cut: appends are not stored, all else is UNAVAILABLE, until it is restored",
        slow,
        async () => {
          const client = await harness.connect();
          const name = newName();
          const stream = await open(name, client);
          await client.cut();
          const appended = await stream.append(`${name}.a`, "lost", { timeout: 1_000 });
          assert(appended.type === "not stored" && appended.transient, inspect(appended));
          assertEquals(appended.error.code, "UNAVAILABLE");
          for (const call of calls(stream)) {
            assertEquals((await assertRejects<CatgaError>(call, CatgaError)).code, "UNAVAILABLE", call.toString());
          }
          await client.restore();
          assertEquals((await stream.state())?.messages, 0);
          await put(stream, "a", "stored");
          await client.close();
        },
      );

      it("a connection that is closed: all is CLOSED, and readers have ended", async () => {
        const client = await harness.connect();
        const name = newName();
        const stream = await open(name, client);
        await put(stream, "a", "1");
        const all = follow(stream, ">");
        await gives(all, ["1"]);
        assertEquals(all.reader.fault, undefined);
        await client.close();
        assertEquals(all.reader.fault?.code, "CLOSED");
        const appended = await stream.append(`${name}.a`, "lost", { timeout: 1_000 });
        assert(appended.type === "not stored" && !appended.transient, inspect(appended));
        assertEquals(appended.error.code, "CLOSED");
        for (const call of calls(stream)) {
          assertEquals((await assertRejects<CatgaError>(call, CatgaError)).code, "CLOSED", call.toString());
        }
        await put(await open(name), "a", "2");
        await gives(follow(await open(name), ">"), ["1", "2"]);
        assertEquals(all.texts, ["1"]);
      });

      it("onDoubt: is called after a reconnect, until it is removed", slow, async () => {
        const client = await harness.connect();
        const stream = await open(newName(), client);
        let [kept, removed] = [0, 0];
        stream.onDoubt(() => kept++);
        const remove = stream.onDoubt(() => removed++);
        remove();
        remove();
        assertEquals([kept, removed], [0, 0]);
        await client.cut();
        await client.restore();
        await reached("the call", () => kept > 0);
        assertEquals(removed, 0);
        await client.close();
      });
    });
  });
}

function calls(stream: LogStream): (() => Promise<unknown>)[] {
  return [
    () => stream.state(),
    () => stream.last(`${stream.name}.a`),
    () => stream.last(`${stream.name}.a`, { latest: true }),
    () => stream.read(`${stream.name}.a`, { from: 0 }),
    () => stream.purge(`${stream.name}.a`),
  ];
}

function text({ data }: StoredMessage): string {
  return new TextDecoder().decode(data);
}

/** Returns the headers of a message without the server's own. */
function own({ headers = {} }: StoredMessage): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith("Nats-")));
}

function plain({ sequence, subject, time, data, headers }: StoredMessage): unknown[] {
  return [sequence, subject, time, [...data], headers ?? {}];
}

function inspect(value: unknown): string {
  return JSON.stringify(value, (_, each) => each instanceof Error ? `${each.name}: ${each.message}` : each);
}
