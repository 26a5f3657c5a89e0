import { describe, it } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import type { NodeInfo } from "../../contract/nodes/node_info.ts";
import { readRecord, writeRecord } from "./node_record.ts";

const INFO: NodeInfo = {
  id: "a",
  endpoint: "a.1",
  service: "shop",
  handles: ["orders.Create", "Ping"],
  kinds: "cq",
  startedAt: 1,
  lastSeen: 2,
  metadata: { host: "h" },
  load: { inFlight: 3, queued: 4 },
  server: "s",
  protocol: 1,
  version: "0.1.0",
};
const read = (change: Record<string, unknown>) => readRecord("a", JSON.stringify({ ...INFO, ...change }));

describe("readRecord", () => {
  it("returns what writeRecord wrote, deeply frozen", () => {
    const info = readRecord("a", writeRecord(INFO)) as NodeInfo;
    assertEquals({ ...info, metadata: { ...info.metadata } }, INFO);
    for (const part of [info, info.handles, info.metadata, info.load]) assert(Object.isFrozen(part));
    assertThrows(() => (info.handles as string[]).push("x"), TypeError);
  });

  it("drops unknown fields, __proto__ too", () => {
    const text = writeRecord(INFO).replace("{", '{"__proto__":{"admin":true},"more":1,')
      .replace('"host"', '"__proto__":"x","host"');
    const info = readRecord("a", text) as NodeInfo & { admin?: boolean; more?: number };
    assertEquals([info.admin, info.more, info.metadata.host], [undefined, undefined, "h"]);
    assertEquals(Object.keys(info).sort(), Object.keys(INFO).sort());
  });

  it("accepts a record without kinds", () => {
    const { kinds: _, ...earlier } = INFO;
    assertEquals("kinds" in (readRecord("a", JSON.stringify(earlier)) as NodeInfo), false);
  });

  it("refuses kinds that do not fit the contracts", () => {
    for (const kinds of ["c", "cqe", "xx", "", 7, null]) assertEquals(read({ kinds }), "no kinds of its contracts");
  });

  it("accepts the record of another protocol version: its reader decides", () => {
    assertEquals((read({ protocol: 2 }) as NodeInfo).protocol, 2);
  });

  it("says what is wrong with an invalid record", () => {
    for (const text of ["", "{", "nul", "\u0000"]) assertEquals(readRecord("a", text), "no JSON");
    for (const text of ["null", "7", '"a"']) assertEquals(readRecord("a", text), "no object");
    const cases: Record<string, unknown>[] = [
      { id: "b" },
      { id: undefined },
      { endpoint: "b.1" },
      { endpoint: "a" },
      { endpoint: "a.*" },
      { endpoint: 7 },
      { service: 7 },
      { server: null },
      { version: undefined },
      { handles: "Ping" },
      { handles: [7] },
      { handles: ["a b"] },
      { handles: ["*"] },
      { startedAt: "1" },
      { lastSeen: -1 },
      { protocol: null },
      { metadata: [] },
      { metadata: null },
      { metadata: { a: 1 } },
      { load: undefined },
      { load: null },
      { load: 7 },
      { load: { inFlight: -1, queued: 0 } },
      { load: { inFlight: 0 } },
    ];
    for (const change of cases) assertEquals(typeof read(change), "string", JSON.stringify(change));
    assertEquals(typeof readRecord("a", "[]"), "string");
    const huge = `[${"[".repeat(100_000)}${"]".repeat(100_000)}]`;
    assertEquals(typeof readRecord("a", huge), "string");
  });
});
