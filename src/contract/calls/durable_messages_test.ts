import { describe, it } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { checkDeadLetterOptions, checkKeepOptions, type EnqueueOptions } from "./durable_messages.ts";

/** Returns the error for options that a program without types may pass. */
function refusal(method: "publish" | "enqueue", options: object): Error {
  return assertThrows(() => checkKeepOptions(method, "Mail", options as EnqueueOptions), Error);
}

describe("checkKeepOptions", () => {
  const at = new Date(Date.UTC(2_030, 0));

  it("accepts one time at most, and options that are undefined beside it", () => {
    const unset = { delay: undefined, at: undefined, cron: undefined, zone: undefined };
    const good: EnqueueOptions[] = [
      ...[{}, unset, { ...unset, delay: 0 }, { ...unset, at }, { at: new Date(Date.UTC(2_262, 0) - 1) }, {
        ...unset,
        cron: "@hourly",
        id: "m",
      }],
      { cron: "0 0 5 * * *", zone: "Europe/Berlin", id: "m", headers: { a: "1" }, timeout: 5 },
    ];
    for (const options of good) checkKeepOptions("enqueue", "Mail", options);
    for (const options of [{}, { delay: 5 }, { at, id: "m" }]) checkKeepOptions("publish", "Mail", options);
  });

  it("publish has no cron and no zone; neither method has the options of a send to a node", () => {
    const takes = "id, headers, signal, timeout, delay, at";
    assertEquals(refusal("publish", { route: "x" }).message, `publish Mail: unknown option route; it takes ${takes}`);
    for (const option of ["cron", "zone"]) {
      const instead = `${option} is of enqueue: enqueue a durable command, whose handler publishes the event`;
      assertEquals(refusal("publish", { [option]: "x" }).message, `publish Mail: ${instead}`);
    }
    for (const option of ["key", "node", "route", "retries"]) {
      const { message } = refusal("enqueue", { [option]: undefined });
      assertEquals(message, `enqueue Mail: unknown option ${option}; it takes ${takes}, cron, zone`);
    }
  });

  it("a time that is none is an error with its name", () => {
    const wrong: [options: object, error: string][] = [
      [{ delay: -1 }, "RangeError: enqueue Mail: delay must be from 0 to 316224000000 ms; got -1"],
      [{ delay: NaN }, "RangeError: enqueue Mail: delay must be from 0 to 316224000000 ms; got NaN"],
      [
        { delay: 316_224_000_001 },
        "RangeError: enqueue Mail: delay must be from 0 to 316224000000 ms; got 316224000001",
      ],
      [
        { delay: at },
        "TypeError: enqueue Mail: delay must be a number of ms, or [ms, longest ms]; got an instance of Date",
      ],
      [{ at: at.getTime() }, "TypeError: enqueue Mail: at must be a valid Date; got 1893456000000"],
      [{ at: new Date(NaN) }, "TypeError: enqueue Mail: at must be a valid Date; got an invalid Date"],
      [
        { at: new Date(Date.UTC(2_262, 0)) },
        "RangeError: enqueue Mail: at must be before the year 2262; got 2262-01-01T00:00:00.000Z",
      ],
      [
        { cron: "0 5 * * *", id: "m" },
        'TypeError: enqueue Mail: cron must be six fields, seconds first, like "0 0 5 * * *"; got "0 5 * * *"',
      ],
      [
        { cron: " ", id: "m" },
        'TypeError: enqueue Mail: cron must be six fields, seconds first, like "0 0 5 * * *"; got " "',
      ],
      [
        { cron: ["@hourly"], id: "m" },
        'TypeError: enqueue Mail: cron must be six fields, seconds first, like "0 0 5 * * *"; got an array',
      ],
      // cron texts that nats-server accepts, with a meaning that Catga does not support: an interval, a single time, a
      // time zone
      [
        { cron: "@every 1s", id: "m" },
        'TypeError: enqueue Mail: cron must be six fields, seconds first, like "0 0 5 * * *"; got "@every 1s"',
      ],
      [
        { cron: " @at 2030-01-01T00:00:00Z", id: "m" },
        'TypeError: enqueue Mail: cron must be six fields, seconds first, like "0 0 5 * * *"; ' +
        'got " @at 2030-01-01T00:00:00Z"',
      ],
      [
        { cron: "@hourly", zone: "Local", id: "m" },
        'TypeError: enqueue Mail: zone must be the name of a time zone, like "Europe/Berlin"; got "Local"',
      ],
      [
        { cron: "@hourly", zone: 1, id: "m" },
        'TypeError: enqueue Mail: zone must be the name of a time zone, like "Europe/Berlin"; got 1',
      ],
    ];
    for (const [options, error] of wrong) assertEquals(String(refusal("enqueue", options)), error);
  });

  it("options that do not go together are errors that say what to give", () => {
    const one = "enqueue Mail: give one of delay, at and cron";
    for (const times of [{ delay: 0, at }, { delay: 0, cron: "@hourly" }, { at, cron: "@hourly" }]) {
      assertEquals(refusal("enqueue", { ...times, id: "m" }).message, one);
    }
    const lone = "enqueue Mail: zone is that of cron: give it a cron, too";
    for (const times of [{}, { delay: 5 }, { at }]) {
      assertEquals(refusal("enqueue", { ...times, zone: "UTC", id: "m" }).message, lone);
    }
    assertEquals(
      refusal("enqueue", { cron: "@hourly" }).message,
      "enqueue Mail: a cron needs an id, which is its name",
    );
  });

  it("the options that it shares with other sends are checked as theirs are", () => {
    const { message } = refusal("publish", { id: "" });
    assertEquals(message, 'publish Mail: id must be a string of 1 to 256 characters; got ""');
    assertEquals(refusal("publish", { headers: { a: 1 } }).message, "publish Mail: headers.a must be a string; got 1");
  });
});

describe("checkDeadLetterOptions", () => {
  it("accepts names, and undefined in their place; throws for anything else", () => {
    for (const options of [{}, { service: "app", subscription: "Mail" }, { service: undefined }]) {
      checkDeadLetterOptions(options);
    }
    const wrong: [options: object, message: string][] = [
      [{ service: 7 }, "deadLetters: service must be a string; got 7"],
      [{ service: "app", subscription: null }, "deadLetters: subscription must be a string; got null"],
      [{ contract: "Mail" }, "deadLetters: unknown option contract; it takes service, subscription"],
    ];
    for (const [options, message] of wrong) {
      assertThrows(() => checkDeadLetterOptions(options), TypeError, message);
    }
  });
});
