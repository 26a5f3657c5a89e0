import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { LogState } from "../../ports/event_log.ts";
import { ScriptedStream } from "../../../test/support/scripted_stream.ts";
import { endOf } from "../format/position.ts";
import { readSubscriptionRecord, writeSubscriptionRecord } from "../format/subscription_record.ts";
import { firstRecord, recordFromStart } from "./first_record.ts";
import { DEFAULT_SETTINGS, type SubscriptionSpec } from "./spec.ts";

const STATE: LogState = { created: "c", first: 3, last: 8, messages: 6, bytes: 60, maxBytes: undefined, now: 5_000 };
const STREAM = new ScriptedStream();

function spec(categories: Readonly<Record<string, "now" | "start">>): SubscriptionSpec {
  const entries = Object.entries(categories).map(([name, from]) => [name, { ...DEFAULT_SETTINGS, from }] as const);
  return { service: "shop", name: "billing", categories: new Map(entries) };
}

describe("firstRecord", () => {
  it("of categories that begin now has read all that the stream has", () => {
    const record = firstRecord(spec({ Placed: "now", Paid: "now" }), STREAM, STATE);
    assertEquals(record.began, { Placed: endOf(8), Paid: endOf(8) });
    assertEquals(record.streams, { scripted: { created: "c", read: endOf(8), time: 0, open: [], at: 5_000 } });
    assertEquals(record.leader, "");
  });

  it("with one category that begins at the start reads all, and the others still begin now", () => {
    const record = firstRecord(spec({ Placed: "now", Paid: "start" }), STREAM, STATE);
    assertEquals(record.began, { Placed: endOf(8), Paid: 0 });
    assertEquals(record.streams, { scripted: { created: "", read: 0, time: 0, open: [] } });
  });

  it("without a stream begins at the start of the one that is to come", () => {
    const record = firstRecord(spec({ Placed: "now" }), STREAM, undefined);
    assertEquals(record.began, { Placed: 0 });
    assertEquals(record.streams, { scripted: { created: "", read: 0, time: 0, open: [] } });
  });

  it("is a record that other nodes can read", () => {
    for (const from of ["now", "start"] as const) {
      const record = firstRecord(spec({ Placed: from }), STREAM, STATE);
      assertEquals(readSubscriptionRecord("shop", "billing", writeSubscriptionRecord(record)), record);
    }
  });
});

describe("recordFromStart", () => {
  it("passes over nothing, and is nobody's to take at once", () => {
    const record = recordFromStart(spec({ Placed: "now" }), STREAM);
    assertEquals({ began: record.began, read: record.streams.scripted.read }, { began: { Placed: 0 }, read: 0 });
    assertEquals(record.leader, "?");
  });
});
