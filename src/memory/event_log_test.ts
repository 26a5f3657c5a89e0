import { execFile } from "node:child_process";
import process from "node:process";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import { assert, assertEquals } from "@std/assert";
import { type Clock, systemClock } from "../ports/clock.ts";
import { RestingClock } from "../ports/resting_clock.ts";
import type { LogReader } from "../ports/event_log.ts";
import { eventLogSuite } from "../ports/event_log_suite.ts";
import { clampedClock } from "../../test/support/clamped_clock.ts";
import { MemoryEventLog } from "./event_log.ts";
import { MemoryNetwork } from "./network.ts";
import { memoryLogHarness } from "./harness_suite.ts";
import { VirtualClock } from "./virtual_clock.ts";

eventLogSuite("memory", () => memoryLogHarness());

const OPTIONS = { subjects: ["log.>"], replicas: 1, schedules: true };

/** Opens a stream on virtual time, without a network. */
async function setUp(clock: Clock = new VirtualClock()) {
  const log = new MemoryEventLog(clock);
  return { log, stream: await log.open("stream", OPTIONS) };
}

const silent = { after: undefined, onStart() {}, onFault() {} };

describe("MemoryEventLog", () => {
  it("id: is remembered for 2 minutes, and no longer", async () => {
    const clock = new VirtualClock();
    const { stream } = await setUp(clock);
    const append = async () => {
      const appended = await stream.append("log.a", "", { timeout: 1_000, id: "one" });
      return appended.type === "stored" && appended.duplicate;
    };
    assertEquals(await append(), false);
    await clock.advance(119_999);
    assertEquals(await append(), true);
    await clock.advance(1);
    assertEquals([await append(), await append()], [false, true]);
  });

  it("ttl: messages expire in whole seconds, each in its time, and expectations know", async () => {
    const clock = new VirtualClock();
    const { stream } = await setUp(clock);
    for (const ttl of [3_000, 1_001, 86_400_000, 1_000]) {
      await stream.append("log.a", `${ttl}`, { timeout: 1_000, ttl });
    }
    const left = async () =>
      (await stream.read("log.a", { from: 0 })).map(({ data }) => new TextDecoder().decode(data));
    await clock.advance(999);
    assertEquals((await left()).length, 4);
    await clock.advance(1);
    assertEquals(await left(), ["3000", "1001", "86400000"]);
    await clock.advance(1_000);
    assertEquals(await left(), ["3000", "86400000"]);
    await clock.advance(1_000);
    assertEquals(await left(), ["86400000"]);
    await clock.advance(86_400_000);
    assertEquals(await left(), []);
    assertEquals((await stream.append("log.a", "", { timeout: 1_000, expect: 0 })).type, "stored");
    assertEquals(clock.timers, 0);
  });

  it("timers: times that exceed a timer's limit of 25 days are kept", async () => {
    const virtual = new VirtualClock();
    const { stream } = await setUp(clampedClock(virtual));
    const day = 86_400_000;
    await stream.append("log.a", "", { timeout: 1_000, ttl: 60 * day });
    const schedule = { at: virtual.now() + 50 * day, target: "log.due" };
    await stream.append("log.at", "", { timeout: 1_000, schedule });
    const subjects = async () => (await stream.read("log.>", { from: 0 })).map(({ subject }) => subject);
    await virtual.advance(50 * day - 1);
    assertEquals(await subjects(), ["log.a", "log.at"]);
    await virtual.advance(1);
    assertEquals(await subjects(), ["log.a", "log.due"]);
    await virtual.advance(10 * day - 1);
    assertEquals(await subjects(), ["log.a", "log.due"]);
    await virtual.advance(1);
    assertEquals(await subjects(), ["log.due"]);
  });

  it("cron: is due by the wall clock of its zone, and once after a time in which nothing ran", async () => {
    const clock = new VirtualClock(Date.UTC(2026, 6, 1));
    const { stream } = await setUp(clock);
    const schedule = { at: "0 0 5 * * *", zone: "Europe/Berlin", target: "log.due" };
    await stream.append("log.at", "books", { timeout: 1_000, schedule });
    await clock.advance(2 * 86_400_000);
    const due = await stream.read("log.due", { from: 0 });
    assertEquals(due.map(({ time }) => new Date(time).toISOString()), [
      "2026-07-01T03:00:00.000Z",
      "2026-07-02T03:00:00.000Z",
    ]);
    assertEquals(due.map(({ headers }) => headers?.["Nats-Schedule-Next"]), [
      "2026-07-02T03:00:00Z",
      "2026-07-03T03:00:00Z",
    ]);
    assertEquals(clock.timers, 1);
    await stream.purge("log.at");
    assertEquals(clock.timers, 0);
  });

  it("pause: nothing comes to a reader that is paused", async () => {
    const clock = new VirtualClock();
    const { stream } = await setUp(clock);
    const got: number[] = [];
    const reader: LogReader = stream.follow({
      ...silent,
      subjects: ["log.>"],
      onMessage({ sequence }) {
        got.push(sequence);
        if (got.length === 3) reader.pause();
      },
    });
    for (let i = 0; i < 1_000; i++) stream.append("log.a", "", { timeout: 1_000 });
    await clock.advance(1_000);
    assertEquals(got.length, 3);
    reader.resume();
    await clock.advance(1_000);
    assertEquals(got, Array.from({ length: 1_000 }, (_, i) => got[0] + i));
  });

  it("mark: follows messages of other subjects after 5 s, so that their expiry is no loss", async () => {
    const clock = new VirtualClock();
    const connection = new MemoryNetwork({ clock }).connect();
    const stream = await connection.log.open("stream", OPTIONS);
    const losses: unknown[] = [];
    const reader = stream.follow({
      ...silent,
      subjects: ["log.a"],
      onMessage() {},
      onStart: ({ lost }) => losses.push(lost),
    });
    const append = async (subject: string) => {
      const appended = await stream.append(subject, "", { timeout: 1_000, ttl: 10_000 });
      return appended.type === "stored" ? appended.sequence : 0;
    };
    const first = await append("log.a");
    await append("log.b");
    const last = await append("log.b");
    await clock.advance(4_999);
    assertEquals(reader.mark?.sequence, first);
    await clock.advance(1);
    assertEquals(reader.mark?.sequence, last);
    await clock.advance(10_000);
    assertEquals((await stream.state())?.first, last + 1);
    connection.cut();
    connection.restore();
    await clock.advance(0);
    assertEquals([losses, clock.timers], [[undefined, undefined], 0]);
  });

  it("data: belongs to whoever appended it, and to each who reads it", async () => {
    const clock = new VirtualClock();
    const { stream } = await setUp(clock);
    const data = new Uint8Array([1, 2, 3]);
    const appending = stream.append("log.a", data, { timeout: 1_000 });
    data.fill(9);
    await appending;
    (await stream.last("log.a"))!.data.fill(8);
    const got: number[][] = [];
    for (let i = 0; i < 2; i++) {
      stream.follow({
        ...silent,
        subjects: ["log.a"],
        onMessage(message) {
          got.push([...message.data]);
          message.data.fill(7);
        },
      });
    }
    await clock.advance(0);
    assertEquals(got, [[1, 2, 3], [1, 2, 3]]);
  });

  it("20,000 messages in 1,000 subjects are stored and read", { timeout: 300_000 }, async () => {
    const clock = new RestingClock(systemClock);
    const { stream } = await setUp(clock);
    const count = 20_000;
    const { promise, resolve } = Promise.withResolvers<void>();
    let got = 0;
    const onMessage = () => ++got === count && resolve();
    const reader = stream.follow({ ...silent, subjects: ["log.>"], onMessage });
    const options = (i: number) => ({ timeout: 60_000, ttl: 60_000, id: `${i}` });
    await Promise.all(Array.from({ length: count }, (_, i) => stream.append(`log.${i % 1_000}`, "data", options(i))));
    await promise;
    for (let i = 0; i < 1_000; i++) assertEquals((await stream.read(`log.${i}`, { from: 0, most: 1 })).length, 1);
    reader.close();
    clock.rest(); // stops the timers of the messages' ttl, for which the test would otherwise wait
  });

  it("what waits in it does not keep the process alive", async () => {
    const program = `
      import { MemoryNetwork } from ${JSON.stringify(new URL("./network.ts", import.meta.url).href)};
      const { log } = new MemoryNetwork().connect();
      const stream = await log.open("stream", { subjects: ["log.>"], replicas: 1, schedules: true });
      const timeout = 5_000;
      await stream.append("log.a", "", { timeout, ttl: 60_000 });
      await stream.append("log.at", "", { timeout, schedule: { at: Date.now() + 60_000, target: "log.due" } });
      await stream.append("log.cron", "", { timeout, schedule: { at: "0 0 0 1 1 *", target: "log.due" } });
      await new Promise((resolve) =>
        stream.follow({
          subjects: ["log.a"], after: undefined, onStart() {}, onFault() {},
          onMessage({ subject }) { console.log(subject); resolve(); },
        })
      );
    `;
    const args = "Deno" in globalThis ? ["eval", "--ext=ts", program] : ["-e", program];
    const start = systemClock.monotonic();
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 30_000 });
    assertEquals(stdout, "log.a\n");
    assert(systemClock.monotonic() - start < 20_000, "the process lived on");
  });
});
