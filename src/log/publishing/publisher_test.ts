import { describe, it } from "node:test";
import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { command, event } from "../../contract/declaration/definition.ts";
import type { AnyContract } from "../../contract/declaration/contract.ts";
import type { Observer } from "../../contract/nodes/observer.ts";
import type { Result } from "../../contract/calls/result.ts";
import { encode } from "../../data/utf8.ts";
import { DeadlineWheel } from "../../ports/deadline_wheel.ts";
import { UnderWay } from "../../ports/under_way.ts";
import type { DurableMessage } from "../../dispatch/remote.ts";
import { CatgaError } from "../../error.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import {
  type Append,
  NO_LEADER,
  refusal,
  ScriptedStream,
  SILENCE,
  stored,
} from "../../../test/support/scripted_stream.ts";
import { isReadable, readGroup } from "../format/group.ts";
import { Publisher } from "./publisher.ts";

const Placed = event<{ n: number }>("Placed", { durable: true });
const Kept = event<{ n: number }>("Kept", { durable: { keep: Infinity } });
const Short = event<{ n: number }>("Short", { durable: { keep: 150_000 } });
const Mail = command<{ n: number }>("Mail", { durable: true });

describe("Publisher", () => {
  it("one that is published alone leaves at once", () => {
    const { publish, stream } = start();
    publish(Placed, 1);
    assertEquals(stream.appends.length, 1);
    assertEquals(stream.appends[0].subject, "catga.shop.log.Placed");
    assertEquals(numbers(stream.appends[0]), [1]);
  });

  it("is ok when it is stored, not before; also when the stream has it already", async () => {
    const { publish, stream, host } = start();
    const results: unknown[] = [];
    const first = publish(Placed, 1).then((result) => results.push(result));
    await Promise.resolve();
    assertEquals([results, host.underWay.count], [[], 1]);
    stream.appends[0].answer(stored(7, true));
    await first;
    assertEquals([results, host.underWay.count, host.wheel.size], [[{ ok: true, value: undefined }], 0, 0]);
  });

  it("ID_REUSED: the stream has another payload under the id; the order of its members does not matter", async () => {
    const { publish, stream } = start();
    const first = publish(Placed, 1, { id: "x", payload: { n: 1, m: 2 } });
    const { data, subject } = stream.appends[0];
    stream.appends[0].answer(stored(7));
    assertEquals((await first).ok, true);
    stream.stored = { sequence: 7, subject, time: 1, data: encode(data), headers: undefined };
    stream.reply = () => stored(7, true);
    const same = await publish(Placed, 1, { id: "x", payload: { m: 2, n: 1 } });
    const other = await publish(Placed, 2, { id: "x" });
    assertEquals([same.ok, other.error?.code, other.error?.retryable], [true, "ID_REUSED", false]);
    assertMatch(other.error!.message, /event Placed was not stored: the id "x" came before with another payload/);
    stream.stored = undefined; // the log keeps it no longer
    assertEquals((await publish(Placed, 2, { id: "x" })).ok, true);
  });

  it("what is published meanwhile leaves together, in order", async () => {
    const { publish, stream } = start();
    const sent = [1, 2, 3, 4].map((n) => publish(Placed, n));
    assertEquals(stream.appends.length, 1);
    stream.appends[0].answer(stored());
    assertEquals((await sent[0]).ok, true);
    assertEquals(stream.appends.map(numbers), [[1], [2, 3, 4]]);
    stream.appends[1].answer(stored(2));
    assertEquals((await Promise.all(sent)).map(({ ok }) => ok), [true, true, true, true]);
  });

  it("says how many are stored, for each message of the stream", async () => {
    const seen: [string, number][] = [];
    const { publish, stream } = start({
      observer: (event) => {
        if (event.type === "stored") seen.push([event.contract, event.count]);
      },
    });
    const sent = [1, 2, 3].map((n) => publish(Placed, n));
    stream.appends[0].answer(stored());
    await sent[0];
    assertEquals(seen, [["Placed", 1]]);
    stream.appends[1].answer(stored(2));
    await Promise.all(sent);
    assertEquals(seen, [["Placed", 1], ["Placed", 2]]);
  });

  it("categories do not wait for each other", () => {
    const { publish, stream } = start();
    publish(Placed, 1);
    publish(Kept, 2);
    assertEquals(stream.appends.map(({ subject }) => subject), ["catga.shop.log.Placed", "catga.shop.log.Kept"]);
  });

  it("a message of the stream has 512 items at most, and about 64 kB", async () => {
    const { publish, stream } = start();
    stream.reply = () => stored();
    const sent = Array.from({ length: 1_500 }, (_, n) => publish(Placed, n));
    await Promise.all(sent);
    assertEquals(stream.appends.map((append) => numbers(append).length), [1, 512, 512, 475]);
    stream.appends.length = 0;
    const text = "x".repeat(20_000);
    await Promise.all(Array.from({ length: 9 }, () => publish(Placed, 1, { payload: { text } })));
    assertEquals(stream.appends.map(({ data }) => JSON.parse(data).length - 5), [1, 3, 3, 2]);
    stream.appends.length = 0;
    await publish(Placed, 1, { payload: { text: "x".repeat(300_000) } });
    assertEquals(stream.appends.length, 1);
  });

  it("keep is the time for which the message stays", () => {
    const { publish, stream } = start();
    publish(Placed, 1);
    publish(Kept, 1);
    publish(Short, 1);
    assertEquals(stream.appends.map(({ ttl }) => ttl), [7 * 86_400_000, undefined, 150_000]);
    assertEquals(stream.appends.map((append) => read(append)[0].meta), [undefined, { k: 0 }, { k: 150_000 }]);
  });

  it("two contracts of one name and different keep do not share a message", async () => {
    const { publish, stream } = start();
    stream.reply = () => stored();
    const other = event<{ n: number }>("Placed", { durable: { keep: 120_000 } });
    await Promise.all([publish(Placed, 1), publish(Placed, 2), publish(other, 3), publish(other, 4)]);
    assertEquals(stream.appends.map(({ ttl }) => ttl), [7 * 86_400_000, 7 * 86_400_000, 120_000]);
    assertEquals(stream.appends.map(numbers), [[1], [2], [3, 4]]);
  });

  describe("ids", () => {
    it("each message of the stream has one of its own; each item is named by the process and a number", async () => {
      const { publish, stream } = start();
      stream.reply = () => stored();
      await Promise.all([1, 2, 3].map((n) => publish(Placed, n)));
      await publish(Kept, 4);
      assertEquals(stream.appends.map(({ id }) => id), ["e:here.1:0", "e:here.1:1", "e:here.1:2"]);
      assertEquals(stream.appends.flatMap((append) => read(append).map(({ id }) => id)), [
        "here.1.e0",
        "here.1.e1",
        "here.1.e2",
        "here.1.e3",
      ]);
    });

    it("one that was given stands alone, in its category", async () => {
      const { publish, stream } = start();
      stream.reply = () => stored();
      await Promise.all([
        publish(Placed, 0),
        publish(Placed, 1),
        publish(Placed, 2, { id: "a b" }),
        publish(Placed, 3),
        publish(Placed, 4),
        publish(Kept, 5, { id: "a b" }),
      ]);
      assertEquals(stream.appends.map((append) => [append.id, numbers(append)]), [
        ["e:here.1:0", [0]],
        ["u:Kept:a=20b", [5]],
        ["e:here.1:2", [1]],
        ["u:Placed:a=20b", [2]],
        ["e:here.1:4", [3, 4]],
      ]);
      assertEquals(read(stream.appends[3])[0].id, "a b");
    });

    it("with ids of their own, messages of different keys are under way side by side, those of one key one after the other", async () => {
      const { publish, stream } = start();
      const done: number[] = [];
      const send = (n: number, options: { id?: string; key?: string }) =>
        publish(Placed, n, options).then(() => void done.push(n));
      send(1, { id: "1", key: "a" });
      send(2, { id: "2", key: "b" });
      send(3, { id: "3" });
      send(4, { id: "4", key: "a" });
      send(5, { id: "5", key: "c" });
      send(6, { id: "6", key: "a" });
      const sent = () => stream.appends.map((append) => numbers(append).join());
      assertEquals(sent(), ["1", "2", "3", "5"]);
      const answer = async (place: number, settled: number) => {
        stream.appends[place].answer(stored());
        while (!done.includes(settled)) await Promise.resolve();
      };
      await answer(1, 2);
      assertEquals(sent(), ["1", "2", "3", "5"]);
      await answer(0, 1);
      assertEquals(sent(), ["1", "2", "3", "5", "4"]);
      await answer(4, 4);
      assertEquals(sent(), ["1", "2", "3", "5", "4", "6"]);
    });

    it("512 with ids are under way at most", async () => {
      const { publish, stream } = start();
      const sent = Array.from({ length: 600 }, (_, n) => publish(Placed, n, { id: `${n}`, key: `${n}` }));
      assertEquals(stream.appends.length, 512);
      stream.appends[7].answer(stored());
      await sent[7];
      assertEquals(stream.appends.length, 513);
      stream.reply = () => stored();
      for (const append of stream.appends.splice(0)) append.answer(stored());
      await Promise.all(sent);
    });

    it("what has ended while it waits behind its key is not sent", async () => {
      const { publish, stream } = start();
      const first = publish(Placed, 1, { id: "1", key: "a" });
      const { signal, abort } = cancelling();
      const second = publish(Placed, 2, { id: "2", key: "a", signal });
      const third = publish(Placed, 3, { id: "3", key: "a" });
      abort();
      assertEquals(code(await second), "CANCELLED");
      stream.appends[0].answer(stored());
      await first;
      stream.appends[1].answer(stored());
      await third;
      assertEquals(stream.appends.map((append) => numbers(append).join()), ["1", "3"]);
    });

    it("one without an id waits for those that have one, and they for it", async () => {
      const { publish, stream } = start();
      const first = [publish(Placed, 1, { id: "1", key: "a" }), publish(Placed, 2, { id: "2", key: "b" })];
      const group = [publish(Placed, 3), publish(Placed, 4)];
      const last = publish(Placed, 5, { id: "5", key: "c" });
      const sent = () => stream.appends.map((append) => numbers(append).join());
      assertEquals(sent(), ["1", "2"]);
      stream.appends[0].answer(stored());
      await first[0];
      assertEquals(sent(), ["1", "2"]);
      stream.appends[1].answer(stored());
      await first[1];
      assertEquals(sent(), ["1", "2", "3,4"]);
      stream.appends[2].answer(stored());
      await Promise.all(group);
      assertEquals(sent(), ["1", "2", "3,4", "5"]);
      stream.appends[3].answer(stored());
      await last;
    });

    it("of those with one key, the second waits until the first is stored, however often it is repeated", async () => {
      const { publish, stream, clock } = start();
      const first = publish(Placed, 1, { id: "1", key: "a" });
      const other = publish(Placed, 2, { id: "2", key: "b" });
      const second = publish(Placed, 3, { id: "3", key: "a" });
      stream.appends[0].answer(SILENCE);
      stream.appends[1].answer(stored());
      await other;
      await clock.advance(1_000);
      assertEquals(stream.appends.map((append) => numbers(append).join()), ["1", "2", "1"]);
      stream.appends[2].answer(stored());
      await first;
      stream.appends[3].answer(stored());
      assertEquals((await second).ok, true);
    });

    it("ill-formed Unicode is INVALID_MESSAGE: two such ids could be one", async () => {
      const { publish, stream } = start();
      assertEquals(code(await publish(Placed, 1, { id: "\ud800" })), "INVALID_MESSAGE");
      assertEquals(stream.appends, []);
    });
  });

  it("key, headers, correlation and causation are stored", () => {
    const { publish, stream } = start();
    publish(Placed, 1, { key: "k", meta: { correlation: "c", causation: "a", headers: { h: "1" } } });
    const [message] = read(stream.appends[0]);
    assertEquals([message.key, message.meta], ["k", { c: "c", a: "a", h: { h: "1" } }]);
  });

  it("what would not fit into a request to run it, or into a dead letter, is TOO_LARGE", async () => {
    const { publish, stream } = start({ maxPayload: 100_000 });
    const most = 100_000 - 16_384 - 2; // 2 bytes are left for the brackets around the items
    const result = await publish(Placed, 1, { payload: "x".repeat(most) });
    assertEquals([result.error?.code, stream.appends.length], ["TOO_LARGE", 0]);
    assertMatch(result.error!.message, /with its key and headers it has 83618 bytes; at most 83616 fit/);
    publish(Placed, 1, { payload: "x".repeat(most - 2) }); // less 2 for the payload's quotation marks
    assertEquals(stream.appends.length, 1);
    assertEquals(
      code(await start({ maxPayload: 1_024 }).publish(Placed, 1, { payload: "x".repeat(768) })),
      "TOO_LARGE",
    );
  });

  it("a payload that cannot be sent is INVALID_MESSAGE", async () => {
    const { publish, stream, host } = start();
    const result = await publish(Placed, 1, { payload: { f: () => 1 } });
    assertEquals(code(result), "INVALID_MESSAGE");
    assertMatch(result.error!.message, /payload.f/);
    assertEquals([stream.appends.length, host.underWay.count], [0, 0]);
  });

  describe("repeats", () => {
    it("what was not answered is sent again, unchanged, and what was published meanwhile waits", async () => {
      const { publish, stream, clock } = start();
      const first = publish(Placed, 1);
      const second = publish(Placed, 2);
      stream.appends[0].answer(SILENCE);
      await clock.advance(20);
      assertEquals(stream.appends.length, 2);
      const { answer: _, timeout: __, ...again } = stream.appends[1];
      const { answer: ___, timeout: ____, ...before } = stream.appends[0];
      assertEquals(again, before);
      stream.appends[1].answer(stored(1, true));
      assertEquals((await first).ok, true);
      stream.appends[2].answer(stored(2));
      assertEquals((await second).ok, true);
    });

    it("what was not stored is sent again until its deadline: UNAVAILABLE, with the last error", async () => {
      const { publish, stream, clock } = start();
      stream.reply = () => NO_LEADER;
      const sent = publish(Placed, 1, { timeout: 3_000 });
      await clock.advance(2_900);
      const { length } = stream.appends;
      assert(length > 5, `${length}`);
      await clock.advance(200);
      const { error } = await sent;
      assertEquals([error?.code, error?.retryable], ["UNAVAILABLE", true]);
      assertMatch(error!.message, /event Placed was not stored: its deadline has passed; last error: no leader/);
      await clock.advance(10_000);
      assert(stream.appends.length - length <= 1, "nobody is left to try for");
    });

    it("what is refused up to its deadline was certainly not stored, wherever between two attempts that is", async () => {
      const said = new Set<string>();
      for (let timeout = 1_000; timeout < 3_000; timeout += 7) {
        const stream = new ScriptedStream();
        const { publish, clock } = start({ stream });
        stream.reply = (append) => {
          clock.after(5, () => append.answer(NO_LEADER));
          return undefined;
        };
        const result = await clock.until(publish(Placed, 1, { timeout }));
        said.add(result.ok ? "ok" : result.error.message);
      }
      assertEquals([...said], ["event Placed was not stored: its deadline has passed; last error: no leader"]);
    });

    it("OUTCOME_UNKNOWN at the deadline if it may have been stored, also when later attempts certainly were not", async () => {
      const { publish, stream, clock } = start();
      let attempts = 0;
      stream.reply = () => attempts++ === 0 ? SILENCE : NO_LEADER;
      const sent = publish(Placed, 1, { timeout: 2_000 });
      await clock.advance(2_100);
      assertEquals(code(await sent), "OUTCOME_UNKNOWN");
      assert(attempts > 2);
    });

    it("OUTCOME_UNKNOWN if an attempt is under way at the deadline", async () => {
      const { publish, stream, clock } = start();
      const sent = publish(Placed, 1, { timeout: 500 });
      assert(stream.appends[0].timeout <= 500);
      await clock.advance(520);
      assertEquals(code(await sent), "OUTCOME_UNKNOWN");
    });

    it("members of a message end by their own deadlines", async () => {
      const { publish, stream, clock } = start();
      publish(Placed, 0);
      const short = publish(Placed, 1, { timeout: 1_000 });
      const long = publish(Placed, 2, { timeout: 60_000 });
      stream.appends[0].answer(stored());
      await clock.advance(0);
      stream.reply = () => SILENCE;
      stream.appends[1].answer(SILENCE);
      await clock.advance(1_020);
      assertEquals(code(await short), "OUTCOME_UNKNOWN");
      stream.reply = () => stored(9);
      await clock.advance(2_000);
      assertEquals((await long).ok, true);
      assertEquals(new Set(stream.appends.slice(1).map(({ data }) => data)).size, 1);
    });

    it("what may have been stored is not sent again when the stream may have forgotten its id", async () => {
      const { publish, stream, clock } = start();
      stream.reply = () => SILENCE;
      const first = clock.monotonic();
      let last = first;
      stream.reply = () => {
        last = clock.monotonic();
        return SILENCE;
      };
      const sent = publish(Placed, 1, { timeout: 600_000 });
      for (let i = 0; i < 30; i++) await clock.advance(5_000);
      assertEquals(code(await sent), "OUTCOME_UNKNOWN");
      assert(last - first > 60_000 && last - first < 110_000, `${last - first}`);
    });

    it("a process that stood still by one clock alone does not send again, either", async () => {
      const wall = new JumpingClock();
      const { publish, stream, clock } = start({ clock: wall });
      const sent = publish(Placed, 1, { timeout: 600_000 });
      wall.ahead = 115_000; // the machine was asleep: the wall clock went on, the monotonic clock stood still
      stream.appends[0].answer(SILENCE);
      await clock.advance(100);
      assertEquals(code(await sent), "OUTCOME_UNKNOWN");
      assertEquals(stream.appends.length, 1);
    });

    it("what was certainly never stored may be tried for longer", async () => {
      const { publish, stream, clock } = start();
      stream.reply = () => NO_LEADER;
      const sent = publish(Placed, 1, { timeout: 600_000 });
      for (let i = 0; i < 60; i++) await clock.advance(5_000);
      stream.reply = () => stored();
      await clock.advance(1_000);
      assertEquals((await sent).ok, true);
    });

    it("an error that does not pass ends all of a message, and the next ones are sent", async () => {
      const { publish, stream } = start();
      const sent = [1, 2].map((n) => publish(Placed, n));
      stream.appends[0].answer(refusal("UNAVAILABLE"));
      assertEquals(code(await sent[0]), "UNAVAILABLE");
      stream.appends[1].answer(stored());
      assertEquals((await sent[1]).ok, true);
    });

    it("refused after an attempt without an answer: OUTCOME_UNKNOWN", async () => {
      const { publish, stream, clock } = start();
      const sent = publish(Placed, 1);
      stream.appends[0].answer(SILENCE);
      await clock.advance(100);
      stream.appends[1].answer(refusal("TOO_LARGE"));
      assertEquals(code(await sent), "OUTCOME_UNKNOWN");
    });

    it("a message that is too large for the server is sent as several smaller ones", async () => {
      const { publish, stream } = start();
      stream.reply = ({ data }) =>
        JSON.parse(data).length - 5 > 3 || data.includes("huge") ? refusal("TOO_LARGE") : stored();
      const sent = Array.from({ length: 20 }, (_, n) => publish(Placed, n, n === 7 ? { payload: { n, huge: 1 } } : {}));
      const results = await Promise.all(sent);
      assertEquals(results.flatMap(({ ok }, n) => ok ? [] : [n]), [7]);
      assertEquals(code(results[7]), "TOO_LARGE");
      const accepted = stream.appends.filter((append) => stream.reply!(append)?.type === "stored").flatMap(numbers);
      assertEquals(accepted, Array.from({ length: 20 }, (_, n) => n).filter((n) => n !== 7));
    });
  });

  describe("signals and the end", () => {
    it("what waits is CANCELLED, and is not sent", async () => {
      const { publish, stream } = start();
      const controller = new AbortController();
      const first = publish(Placed, 1);
      const sent = publish(Placed, 2, { signal: controller.signal });
      const third = publish(Placed, 3);
      controller.abort();
      assertEquals(code(await sent), "CANCELLED");
      stream.reply = () => stored(2);
      stream.appends[0].answer(stored());
      await Promise.all([first, third]);
      assertEquals(stream.appends.map(numbers), [[1], [3]]);
    });

    it("nothing waits for a message that all have given up", async () => {
      const { publish, stream } = start();
      const controller = new AbortController();
      const first = publish(Placed, 1, { signal: controller.signal });
      const second = publish(Placed, 2);
      controller.abort();
      assertEquals(code(await first), "CANCELLED");
      assertEquals(stream.appends.map(numbers), [[1], [2]]);
      stream.appends[0].answer(stored()); // the acknowledgement comes too late, because the sender has given up
      stream.appends[1].answer(stored(2));
      assertEquals((await second).ok, true);
    });

    it("an app that stops: OUTCOME_UNKNOWN for what is under way, CLOSED for what waits", async () => {
      const { publish, host } = start();
      const sent = [publish(Placed, 1), publish(Placed, 2)];
      host.wheel.abort(new CatgaError("CLOSED", "stopping"));
      assertEquals((await Promise.all(sent)).map(code), ["OUTCOME_UNKNOWN", "CLOSED"]);
      assertEquals(host.underWay.count, 0);
    });
  });

  it("too many that wait are OVERLOADED, until there is room", async () => {
    const { publish, stream } = start({ maxWaiting: 3 });
    stream.reply = undefined;
    const sent = [1, 2, 3].map((n) => publish(Placed, n));
    const { error } = await publish(Placed, 4);
    assertEquals([error?.code, error?.retryable], ["OVERLOADED", true]);
    stream.reply = () => stored(2);
    stream.appends[0].answer(stored());
    await Promise.all(sent);
    assertEquals((await publish(Placed, 5)).ok, true);
  });

  it("those that ended while they waited do not pile up", async () => {
    const { publish, stream, clock } = start({ maxWaiting: 1_000 });
    const first = publish(Placed, 0, { timeout: 50_000 });
    for (let round = 0; round < 20; round++) {
      const sent = Array.from({ length: 500 }, (_, n) => publish(Placed, n, { timeout: 100 }));
      await clock.advance(200);
      assertEquals(new Set((await Promise.all(sent)).map(code)), new Set(["UNAVAILABLE"]));
    }
    stream.reply = () => stored(2);
    const last = publish(Placed, 77, { timeout: 50_000 });
    stream.appends[0].answer(stored());
    assertEquals([(await first).ok, (await last).ok], [true, true]);
    assertEquals(numbers(stream.appends[1]), [77]);
  });

  describe("a stream that cannot be opened", () => {
    it("is tried until the deadline when it is UNAVAILABLE; what was published is sent in order when it opens", async () => {
      let open = false;
      const stream = new ScriptedStream();
      stream.reply = () => stored();
      const opens = () => open ? Promise.resolve(stream) : Promise.reject(new CatgaError("UNAVAILABLE", "no servers"));
      const { publish, clock } = start({ stream, opens });
      const short = publish(Placed, 1, { timeout: 1_000 });
      const others = [publish(Placed, 2), publish(Placed, 3)];
      await clock.advance(1_100);
      assertEquals(code(await short), "UNAVAILABLE");
      open = true;
      await clock.advance(1_000);
      assertEquals((await Promise.all(others)).map(({ ok }) => ok), [true, true]);
      assertEquals(stream.appends.flatMap(numbers), [2, 3]);
    });

    it("another error ends what waits at once", async () => {
      const opens = () => Promise.reject(new CatgaError("LOG_MISMATCH", "it has other settings"));
      const { publish } = start({ opens });
      assertEquals(code(await publish(Placed, 1)), "LOG_MISMATCH");
    });
  });

  describe("schedules", () => {
    it("a delay is a time of the server; the subject is that of the id, what fires stays as long as its contract says", () => {
      const { publish, stream } = start();
      publish(Short, 1, { id: "a.b", schedule: { delay: 500 } });
      const [{ subject, id, ttl, rollup, schedule }] = stream.appends;
      assertEquals([subject, id, ttl, rollup], ["catga.shop.at.Short.a=2Eb", "e:here.1:0", undefined, true]);
      const fires = { target: "catga.shop.log.Short", ttl: 150_000, ofProcess: undefined };
      assertEquals(schedule, { at: 1_500, zone: undefined, ...fires });
    });

    it("a date is meant by this process's clock, and translated to the server's", () => {
      const { publish, stream, clock } = start(); // the server's clock is decades behind the process's clock
      publish(Mail, 1, { id: "x", schedule: { at: new Date(clock.now() + 3_000) } });
      publish(Mail, 2, { schedule: { at: new Date(clock.now() + 1) } });
      publish(Mail, 3, { id: "y", schedule: { at: new Date(clock.now() - 1) } });
      assertEquals(stream.appends.map(({ schedule }) => schedule?.at), [4_000, 1_001, undefined]);
    });

    it("is not due before its time, however little is known of the server's clock: its latest time counts", () => {
      const { publish, stream, clock } = start();
      stream.latestServerTime = 1_400.5;
      publish(Mail, 1, { id: "x", schedule: { delay: 500 } });
      publish(Mail, 2, { id: "y", schedule: { at: new Date(clock.now() + 500) } });
      assertEquals(stream.appends.map(({ schedule }) => schedule?.at), [1_901, 1_901]);
    });

    it("the server's time is measured first where it is not known well", async () => {
      const { publish, stream, clock } = start();
      const measured = Promise.withResolvers<void>();
      stream.measureTime = () => measured.promise;
      publish(Mail, 1, { schedule: { delay: 500 } });
      await clock.advance(100);
      assertEquals(stream.appends, []);
      stream.measureTime = () => undefined;
      stream.latestServerTime = 7_000;
      measured.resolve();
      await clock.advance(0);
      assertEquals(stream.appends[0].schedule?.at, 7_400, "500 ms from the call");
    });

    it("a server's time that cannot be had is UNAVAILABLE at the deadline", async () => {
      const { publish, stream, clock } = start();
      stream.measureTime = () => Promise.reject(new CatgaError("UNAVAILABLE", "no leader", { retryable: true }));
      const sent = publish(Mail, 1, { id: "x", schedule: { delay: 500 }, timeout: 2_000 });
      await clock.advance(2_100);
      assertEquals(code(await sent), "UNAVAILABLE");
      assertEquals(stream.appends, []);
    });

    it("what fires is named after the schedule and its time", () => {
      const { publish, stream, clock } = start();
      publish(Mail, 1, { id: "welcome", schedule: { at: new Date(clock.now() + 4_000) } });
      publish(Mail, 2, { id: "books", schedule: { cron: "0 0 5 * * *", zone: "Europe/Berlin" } });
      assertEquals(stream.appends.map(({ schedule }) => [schedule?.at, schedule?.zone]), [
        [5_000, undefined],
        ["0 0 5 * * *", "Europe/Berlin"],
      ]);
      assertEquals(stream.appends.map((append) => read(append, "catga.shop.log.Mail")[0].id), [
        "welcome@5000",
        "books@99",
      ]);
    });

    it("without an id one is made; each is a schedule of its own", () => {
      const { publish, stream } = start();
      publish(Mail, 1, { schedule: { delay: 10 } });
      publish(Mail, 2, { schedule: { delay: 10 } });
      assertEquals(stream.appends.length, 2);
      assertNotEquals(stream.appends[0].subject, stream.appends[1].subject);
      assert(stream.appends[0].subject.startsWith("catga.shop.at.Mail."));
    });

    it("a time in the past is now: it is no schedule at all, and under an id it is stored once", () => {
      const { publish, stream } = start();
      publish(Mail, 1, { schedule: { at: new Date(5) } });
      publish(Mail, 2, { id: "x", schedule: { at: new Date(-5) } });
      publish(Mail, 3, { id: "y", schedule: { delay: 0 } });
      assertEquals(stream.appends.map(({ subject, schedule, id }) => [subject, schedule?.at, id]), [
        ["catga.shop.log.Mail", undefined, "e:here.1:0"],
        ["catga.shop.log.Mail", undefined, "u:Mail:x"],
        ["catga.shop.log.Mail", undefined, "u:Mail:y"],
      ]);
      assertEquals(stream.appends.map((append) => read(append)[0].id), ["here.1.e1", "x", "y"]);
    });

    it("what is due takes the place of the schedule of its id; one that follows it is not touched", async () => {
      const { publish, stream, clock } = start();
      const subject = "catga.shop.at.Mail.x";
      stream.stored = { sequence: 7, subject, time: 99, data: encode('[1,"p"]'), headers: undefined };
      const due = publish(Mail, 1, { id: "x", schedule: { delay: 0 } });
      const next = publish(Mail, 2, { id: "x", schedule: { delay: 10_000 } });
      stream.appends[0].answer(stored(8));
      await clock.advance(0);
      assertEquals(stream.appends.map(({ subject, expect }) => [subject, expect]), [
        ["catga.shop.log.Mail", undefined],
        [subject, 7],
      ]);
      assert(stream.appends[1].data.startsWith("unscheduled "));
      stream.appends[1].answer(stored(9));
      assertEquals((await due).ok, true);
      assertEquals([stream.appends[2].subject, stream.appends[2].schedule?.at], [subject, 11_000]);
      stream.appends[2].answer(stored(10));
      assertEquals((await next).ok, true);
    });

    it("what is due is OUTCOME_UNKNOWN when the schedule of its id may fire still", async () => {
      const { publish, stream, clock, host } = start();
      stream.reply = (append) => append.expect === undefined ? stored(8) : SILENCE;
      stream.stored = {
        sequence: 7,
        subject: "catga.shop.at.Mail.x",
        time: 99,
        data: encode('[1,"p"]'),
        headers: undefined,
      };
      const due = publish(Mail, 1, { id: "x", schedule: { delay: 0 }, timeout: 5_000 });
      await clock.advance(10_000);
      assertEquals(code(await due), "OUTCOME_UNKNOWN");
      assertEquals(host.underWay.count, 0);
    });

    it("one under way for an id: the next of the same id waits", async () => {
      const { publish, stream } = start();
      const first = publish(Mail, 1, { id: "x", schedule: { delay: 10 } });
      const second = publish(Mail, 2, { id: "x", schedule: { delay: 20 } });
      assertEquals(stream.appends.length, 1);
      stream.appends[0].answer(stored());
      await first;
      stream.appends[1].answer(stored(2));
      await second;
      assertEquals(stream.appends.map((append) => [append.id, append.schedule?.at]), [
        ["e:here.1:0", 1_010],
        ["e:here.1:1", 1_020],
      ]);
    });

    it("UNSUPPORTED on a server that knows no schedules, or no cron", async () => {
      const { publish, stream } = start();
      stream.abilities = { at: false, cron: false, version: "2.11.4" };
      const { error } = await publish(Mail, 1, { schedule: { delay: 10 } });
      assertEquals(error?.code, "UNSUPPORTED");
      assertMatch(error!.message, /needs nats-server 2.12 or later; this server is 2.11.4/);
      stream.abilities = { at: true, cron: false, version: "2.12.1" };
      const second = await publish(Mail, 1, { id: "c", schedule: { cron: "@hourly", zone: undefined } });
      assertEquals(code(second), "UNSUPPORTED");
      assertMatch(second.error!.message, /needs nats-server 2.14 or later; this server is 2.12.1/);
      assertEquals(stream.appends, []);
    });

    it("UNSUPPORTED also for thousands of one id that wait for the log", async () => {
      const stream = new ScriptedStream();
      stream.abilities = { at: false, cron: false, version: "2.11.4" };
      const opened = Promise.resolve(stream);
      let opening: ScriptedStream | Promise<ScriptedStream> = opened;
      const { publish } = start({ opens: () => opening });
      const sent = Array.from({ length: 8_000 }, (_, n) => publish(Mail, n, { id: "x", schedule: { delay: 1_000 } }));
      opening = stream;
      assertEquals([...new Set((await Promise.all(sent)).map(code))], ["UNSUPPORTED"]);
    });

    it("a past time needs no schedules", async () => {
      const { publish, stream } = start();
      stream.abilities = { at: false, cron: false, version: "2.11.4" };
      stream.reply = () => stored();
      assertEquals((await publish(Mail, 1, { id: "x", schedule: { delay: 0 } })).ok, true);
      assertEquals(stream.appends[0].id, "u:Mail:x");
    });
  });
});

class JumpingClock extends VirtualClock {
  ahead = 0;

  override now(): number {
    return super.now() + this.ahead;
  }
}

interface StartOptions {
  readonly observer?: Observer;
  readonly clock?: VirtualClock;
  readonly stream?: ScriptedStream;
  readonly opens?: () => ScriptedStream | Promise<ScriptedStream>;
  readonly maxWaiting?: number;
  readonly maxPayload?: number;
}

function start(
  {
    clock = new VirtualClock(),
    stream = new ScriptedStream(),
    opens,
    maxWaiting,
    maxPayload = 1_048_576,
    observer = () => {},
  }: StartOptions = {},
) {
  const host = { wheel: new DeadlineWheel(clock), underWay: new UnderWay() };
  const open = () => opens === undefined ? stream : opens();
  const publisher = new Publisher({
    namespace: "shop",
    endpoint: "here.1",
    clock,
    host,
    source: { get: open, again: open },
    observer,
    hooks: { watched: true },
    maxPayload: () => maxPayload,
    maxWaiting,
  });
  type More = Partial<Omit<DurableMessage, "contract">> & { id?: string };
  const publish = (contract: AnyContract, n: number, { id, ...more }: More = {}): Promise<Result<void>> =>
    publisher.publish({
      contract,
      payload: { n },
      key: undefined,
      meta: id === undefined ? undefined : { id },
      timeout: 30_000,
      signal: undefined,
      schedule: undefined,
      parent: undefined,
      ...more,
    });
  return { clock, stream, host, publisher, publish };
}

function cancelling() {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}

function read({ data, subject }: Append, at = subject) {
  const group = readGroup("shop", { sequence: 5, subject: at, time: 99, data: encode(data) });
  assert(isReadable(group), JSON.stringify(group));
  return group;
}

function numbers(append: Append): number[] {
  return read(append).map(({ payload }) => (payload as { n: number }).n);
}

function code(result: Result<unknown>): string | undefined {
  return result.error?.code;
}
