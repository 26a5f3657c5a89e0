import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import type { AppendOptions } from "../ports/event_log.ts";
import { messageSize } from "../ports/transport.ts";
import { newMessage } from "./new_message.ts";

const make = (options: Partial<AppendOptions> = {}, data: string | Uint8Array = "") =>
  newMessage("log.a", data, { timeout: 1_000, ...options });

describe("newMessage", () => {
  it("without options has no headers, and bytes of its own", () => {
    const data = new Uint8Array([1, 2]);
    const message = make({}, data);
    data[0] = 9;
    assertEquals({ data: [...message.data], headers: message.headers }, { data: [1, 2], headers: undefined });
    assertEquals([...make({}, "é").data], [0xc3, 0xa9]);
  });

  it("has the headers of NATS for its options; an expectation of 0 is one, a rollup that is false is none", () => {
    assertEquals(make({ id: "one", ttl: 1_001, expect: 0, rollup: true }).headers, {
      "Nats-Msg-Id": "one",
      "Nats-TTL": "2s",
      "Nats-Expected-Last-Subject-Sequence": "0",
      "Nats-Rollup": "sub",
    });
    assertEquals(make({ rollup: false, headers: {} }).headers, undefined);
  });

  it("a schedule is a rollup with its time or cron, its target and the ttl of what is appended; only cron has a zone", () => {
    const at = Date.UTC(2026, 0, 1);
    const zone = "Europe/Berlin";
    assertEquals(make({ schedule: { at, zone, target: "log.b" } }).headers, {
      "Nats-Rollup": "sub",
      "Nats-Schedule": "@at 2026-01-01T00:00:00.000Z",
      "Nats-Schedule-Target": "log.b",
    });
    assertEquals(make({ schedule: { at: "0 0 5 * * *", zone, target: "log.b", ttl: 500 } }).headers, {
      "Nats-Rollup": "sub",
      "Nats-Schedule": "0 0 5 * * *",
      "Nats-Schedule-Time-Zone": "Europe/Berlin",
      "Nats-Schedule-Target": "log.b",
      "Nats-Schedule-TTL": "1s",
    });
  });

  it("headers of the sender are copied, trimmed and frozen", () => {
    const given = { a: " 1 " };
    const { headers } = make({ headers: given });
    given.a = "2";
    assertEquals(headers, { a: "1" });
    assert(Object.isFrozen(headers));
  });
});

describe("messageSize", () => {
  it("is that of the data, and of the headers as they are written on the wire", () => {
    assertEquals(messageSize(make({}, "é")), 2);
    const written = new TextEncoder().encode("NATS/1.0\r\nname: é\r\nNats-Msg-Id: one\r\n\r\n");
    assertEquals(messageSize(make({ headers: { name: "é" }, id: "one" }, "é")), written.length + 2);
  });
});
