/**
 * Tests of what a nats-server of a version can do. `log_stream_test.ts` tests the stream's settings on a real server.
 */
import { describe, it } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { CatgaError } from "../../error.ts";
import { abilitiesOf, checkLogSettings, logSettings } from "./log_settings.ts";

describe("abilitiesOf", () => {
  for (
    const [version, at, cron] of [
      ["2.11.9", false, false],
      ["2.12.0", true, false],
      ["2.12.1-RC.2", true, false],
      ["2.14.0", true, true],
      ["2.15.1", true, true],
      ["3.0.0", true, true],
      ["", false, false],
      ["nonsense", false, false],
    ] as const
  ) {
    it(`nats-server ${JSON.stringify(version)}: at ${at}, cron ${cron}`, () => {
      assertEquals(abilitiesOf(version), { at, cron, version });
    });
  }
});

describe("logSettings", () => {
  const options = { subjects: ["log.>"], replicas: 1, schedules: false };
  it("a server that does not know schedules is not asked for them, and new messages are refused when it is full", () => {
    const settings = logSettings(options);
    assertEquals([settings.discard, settings.allow_msg_schedules], ["new", undefined]);
    checkLogSettings("log", settings, options);
  });
  it("other replicas: the message gives the option that fits, and the edit that keeps all messages", () => {
    const error = assertThrows(
      () => checkLogSettings("log", logSettings(options), { ...options, replicas: 3 }),
      CatgaError,
    );
    assertEquals(
      error.message,
      "the stream log exists with num_replicas 1; Catga needs 3: give `replicas: 1`, or change it, which keeps all messages " +
        "(`nats stream edit log --replicas 3`)",
    );
  });
  it("schedules need a stream that drops old messages", () => {
    const settings = logSettings({ ...options, schedules: true });
    assertEquals([settings.discard, settings.allow_msg_schedules], ["old", true]);
  });
});
