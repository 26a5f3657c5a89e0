import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { textOf, timeOf, unsupported } from "./schedule_time.ts";

const CRON = { cron: " 0 0 5 * * * ", zone: undefined };

describe("timeOf", () => {
  it("adds a delay to the server's time, and rounds up, so that nothing is handled too early", () => {
    assertEquals(timeOf({ delay: 500 }, 1_000), 1_500);
    assertEquals([timeOf({ delay: 0.2 }, 1_000.5), timeOf({ delay: 0 }, 1_000.5)], [1_001, 1_001]);
  });

  it("is the date that was given, whatever the server's time before it", () => {
    assertEquals(timeOf({ at: new Date(5_000) }, 1_000.5), 5_000);
  });

  it("is now for a date in the past", () => {
    for (const at of [-5, 0, 999, 1_000]) assertEquals(timeOf({ at: new Date(at) }, 1_000), 1_000);
  });

  it("is cron as the stream has it: without blanks around it", () => {
    assertEquals(timeOf(CRON, 1_000), "0 0 5 * * *");
  });
});

describe("textOf", () => {
  it("shows the option as the program gave it", () => {
    assertEquals(textOf({ delay: 500 }), "delay 500");
    assertEquals(textOf({ at: new Date(5_000) }), "at 1970-01-01T00:00:05.000Z");
    assertEquals(textOf(CRON), 'cron " 0 0 5 * * * "');
    assertEquals(textOf({ cron: "@daily", zone: 'a"b' }), 'cron "@daily" and zone "a\\"b"');
  });
});

describe("unsupported", () => {
  const old = { at: false, cron: false, version: "2.11.4" };

  it("names the server's version, and the one that is needed", () => {
    assertEquals(unsupported(5, old), "a delay, or a time, needs nats-server 2.12 or later; this server is 2.11.4");
    assertEquals(unsupported("@daily", old), "a cron needs nats-server 2.14 or later; this server is 2.11.4");
  });

  it("judges times and cron apart", () => {
    const middle = { at: true, cron: false, version: "2.12.1" };
    assertEquals(unsupported(5, middle), undefined);
    assertEquals(unsupported("@daily", middle), "a cron needs nats-server 2.14 or later; this server is 2.12.1");
    assertEquals(unsupported("@daily", { at: false, cron: true, version: "x" }), undefined);
  });

  it("is undefined as long as nobody knows what the server can do: the server itself refuses then", () => {
    assertEquals([unsupported(5, undefined), unsupported("@daily", undefined)], [undefined, undefined]);
  });
});
