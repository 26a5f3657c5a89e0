import { describe, it } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { encode } from "../../data/utf8.ts";
import { CatgaError } from "../../error.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { StoredMessage } from "../../ports/event_log.ts";
import { mayNot } from "../../ports/transport.ts";
import { NO_LEADER, refusal, ScriptedStream, SILENCE, stored } from "../../../test/support/scripted_stream.ts";
import { unschedule } from "./unschedule.ts";

const SUBJECT = "catga.shop.at.Mail.x";

describe("unschedule", () => {
  it("overwrites what is there, only if it is still that, so that nothing else is left of it", async () => {
    const { stream, take } = start();
    stream.reply = () => stored();
    assertEquals(await take(), true);
    const [{ subject, expect, rollup, ttl, schedule }] = stream.appends;
    assertEquals([subject, expect, rollup, schedule], [SUBJECT, 7, true, undefined]);
    assert(ttl! >= 60_000);
  });

  it("is false when there is nothing", async () => {
    const { stream, take } = start();
    stream.stored = undefined;
    assertEquals(await take(), false);
    assertEquals(stream.appends, []);
  });

  it("is false when another caller took it back", async () => {
    const { stream, take } = start();
    stream.stored = message("unscheduled there.1.4", 8);
    assertEquals(await take(), false);
  });

  it("a lost race is looked at again: it has fired, or was replaced", async () => {
    const { stream, take } = start();
    stream.reply = () => {
      stream.stored = undefined;
      return { type: "conflict" };
    };
    assertEquals(await take(), false);
    const second = start();
    second.stream.reply = ({ expect }) => {
      second.stream.stored = message("[1]", 9);
      return expect === 9 ? stored() : { type: "conflict" };
    };
    assertEquals(await second.take(), true);
    assertEquals(second.stream.appends.map(({ expect }) => expect), [7, 9]);
  });

  it("a user who may not read it is told at once, not at the deadline", async () => {
    const { clock, stream, take } = start();
    const subject = "$JS.API.STREAM.MSG.GET.log";
    stream.last = () => Promise.reject(mayNot({ operation: "publish", subject }));
    const began = clock.monotonic();
    const { code, message, retryable } = await assertRejects(take, CatgaError);
    assertEquals([code, message.includes(subject), retryable], ["UNAVAILABLE", true, false]);
    assertEquals(clock.monotonic(), began);
  });

  it("without an answer it looks: true when its own mark is there", async () => {
    const { stream, take } = start();
    stream.reply = ({ data }) => {
      stream.stored = message(data, 8);
      return SILENCE;
    };
    assertEquals(await take(), true);
    assertEquals(stream.appends.map(({ expect }) => expect), [7]);
  });

  it("without an answer, and stored late: the mark is found at the next attempt", async () => {
    const { stream, take } = start();
    let first: string | undefined;
    stream.reply = ({ data }) => {
      if (first === undefined) {
        first = data;
        return SILENCE;
      }
      stream.stored = message(first, 8);
      return { type: "conflict" };
    };
    assertEquals(await take(), true);
    assertEquals(stream.appends.map(({ expect }) => expect), [7, 7]);
  });

  it("what certainly was not done is tried again, until there is no time: UNAVAILABLE", async () => {
    const { stream, take } = start();
    stream.reply = () => NO_LEADER;
    const error = await assertRejects(take, CatgaError);
    assertEquals([error.code, error.retryable], ["UNAVAILABLE", true]);
    assert(stream.appends.length > 3);
  });

  it("OUTCOME_UNKNOWN when no answer ever came", async () => {
    const { stream, take } = start();
    stream.reply = () => SILENCE;
    assertEquals((await assertRejects(take, CatgaError)).code, "OUTCOME_UNKNOWN");
  });

  it("an error that does not pass is thrown at once", async () => {
    const { stream, take } = start();
    stream.reply = () => refusal("UNAVAILABLE");
    await assertRejects(take, CatgaError, "refused");
    assertEquals(stream.appends.length, 1);
  });

  it("close to its time it is left to fire: a fence is awaited", async () => {
    const { stream, take } = start();
    stream.stored = message("[1]", 7, { "Nats-Schedule": "@at 1970-01-01T00:00:01.040Z" });
    stream.reply = () => {
      stream.stored = undefined;
      return stored(8);
    };
    assertEquals(await take(), false);
    assertEquals(stream.appends.map(({ subject, schedule }) => [subject, schedule]), [
      [`${SUBJECT}.here.1.0.0`, { at: 1_000, target: `${SUBJECT}.here.1.0.0.passed`, ttl: 1_000 }],
    ]);
  });

  it("one that was due and does not fire is overwritten: true if the server had the mark before its time, else unknown", async () => {
    for (const time of [1_039, 1_040]) {
      const { stream, take } = start();
      stream.stored = message("[1]", 7, { "Nats-Schedule": "@at 1970-01-01T00:00:01.040Z" });
      stream.reply = ({ data, headers, schedule }) => {
        if (schedule === undefined) stream.stored = { ...message(data, 8, headers), time };
        return stored(8);
      };
      if (time < 1_040) assertEquals(await take(), true);
      else assertEquals((await assertRejects(take, CatgaError)).code, "OUTCOME_UNKNOWN");
      assertEquals(stream.appends.filter(({ expect }) => expect === 7).length, 1);
    }
  });

  it("one that a fence left standing though it was due fires no more: true, unless a new leader has fired it", async () => {
    for (const fired of [false, true]) {
      const { stream, take } = start();
      const target = "catga.shop.log.Mail";
      const due = { "Nats-Schedule": "@at 1970-01-01T00:00:00.900Z", "Nats-Schedule-Target": target };
      stream.stored = message("[1]", 7, due);
      stream.reply = ({ data, headers, schedule }) => {
        if (schedule !== undefined) return stored(8);
        stream.stored = { ...message(data, 10, headers), time: 1_000 };
        return stored(10);
      };
      const firing = { ...message("[1]", 9, { "Nats-Scheduler": fired ? SUBJECT : `${SUBJECT}y` }), subject: target };
      stream.read = (subject, options) => {
        return Promise.resolve(subject === target && "from" in options && options.from <= 9 ? [firing] : []);
      };
      if (fired) assertEquals((await assertRejects(take, CatgaError)).code, "OUTCOME_UNKNOWN");
      else assertEquals(await take(), true);
    }
  });

  it("a cron may fire at any time: it is overwritten, and once more when what the server had in hand has fired", async () => {
    const { stream, take } = start();
    stream.stored = message("[1]", 7, { "Nats-Schedule": "* * * * * *" });
    stream.reply = ({ data, headers, schedule }) => {
      if (schedule === undefined) stream.stored = message(data, 8, headers);
      return stored(8);
    };
    assertEquals(await take(), true);
    const appends = stream.appends.map(({ subject, expect, headers }) => [subject, expect, headers]);
    assertEquals(appends, [
      [SUBJECT, 7, { "Catga-Held": "* * * * * *" }],
      [`${SUBJECT}.here.1.0.0`, undefined, undefined],
      [SUBJECT, 8, undefined],
    ]);
  });

  it("long before its time once is enough", async () => {
    const { stream, take } = start();
    stream.stored = message("[1]", 7, { "Nats-Schedule": "@at 1970-01-01T00:00:01.100Z" });
    stream.reply = () => stored(8);
    assertEquals(await take(), true);
    assertEquals(stream.appends.length, 1);
  });

  it("a process that knows little of the server's clock does not take it as long before its time", async () => {
    const { stream, take } = start();
    stream.stored = message("[1]", 7, { "Nats-Schedule": "@at 1970-01-01T00:00:03.000Z" });
    // the upper bound of the server's time is 3 s ahead of `serverTime`, which is 1,000
    stream.latestServerTime = 4_000;
    stream.reply = ({ schedule, data, headers }) => {
      stream.stored = schedule === undefined ? message(data, 8, headers) : undefined;
      return stored(8);
    };
    assertEquals(await take(), false, "it was in hand, and fired");
  });

  it("bytes that are neither a schedule nor a mark are removed", async () => {
    const { stream, take } = start();
    stream.stored = message("\ufffd".repeat(300), 3);
    stream.reply = () => stored();
    assertEquals(await take(), true);
  });
});

function message(data: string, sequence: number, headers?: StoredMessage["headers"]): StoredMessage {
  return { sequence, subject: SUBJECT, time: 5, data: encode(data), headers };
}

function start() {
  const clock = new VirtualClock();
  const stream = new ScriptedStream();
  stream.stored = message('[1,"a.1",0,0,{"s":["x",0]},[1]]', 7);
  const take = () =>
    clock.until(unschedule(SUBJECT, { clock, stream: () => stream, mark: "here.1.0", timeout: 10_000 }));
  return { clock, stream, take };
}
