import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { PhaseReader, ProtocolReader } from "./kv_phases.ts";

describe("the reader of the protocol of NATS", () => {
  it("reads messages with and without headers, in both directions, however the bytes are chunked", () => {
    const stream = 'CONNECT {"a":1}\r\nPUB s 2\r\nhi\r\nPING\r\nHPUB $KV.b.k r.1 12 16\r\nNATS/1.0\r\n\r\n\r\nabc\r\n' +
      "MSG x 1 0\r\n\r\nMSG r.1 7 r.2 3\r\n\r\n!\r\n";
    const bytes = new TextEncoder().encode(
      stream.replace("12 16\r\nNATS/1.0\r\n\r\n\r\nabc", "12 15\r\nNATS/1.0\r\n\r\nabc"),
    );
    const wanted = [["s", undefined, "hi"], ["$KV.b.k", "r.1", "abc"], ["x", undefined, ""], ["r.1", "r.2", "\r\n!"]];
    for (const size of [1, 7, bytes.length]) {
      const reader = new ProtocolReader();
      const found = [];
      for (let at = 0; at < bytes.length; at += size) found.push(...reader.read(bytes.subarray(at, at + size)));
      assertEquals(found.map(({ subject, reply, payload }) => [subject, reply, payload]), wanted);
    }
  });
});

describe("phases of locks and claims", () => {
  const phase = (reader: PhaseReader, key: string, payload: object | string, headers = "") =>
    reader.read({
      subject: `$KV.catga_x_${key}`,
      reply: "r",
      headers,
      payload: typeof payload === "string" ? payload : JSON.stringify(payload),
    })?.phase;

  it("a claim is made, renewed, replaced by the result, freed", () => {
    const reader = new PhaseReader("a");
    const claim = { state: "running", nonce: "n" };
    assertEquals(phase(reader, "idempotency.O.1", claim), "claim");
    assertEquals(phase(reader, "idempotency.O.1", claim), "claim renewal");
    assertEquals(phase(reader, "idempotency.O.1", { ...claim, state: "done" }), "result");
    assertEquals(phase(reader, "idempotency.O.1", "", "NATS/1.0\r\nKV-Operation: PURGE\r\n\r\n"), "claim freed");
  });

  it("a lock is waited for, acquired, renewed, handed over, released", () => {
    const reader = new PhaseReader("a");
    assertEquals(phase(reader, "locks.w.k=2Fn", { node: "a" }), "place");
    assertEquals(phase(reader, "locks.h.k", { node: "a" }), "lock acquired");
    assertEquals(phase(reader, "locks.h.k", { node: "a", token: 5 }), "lock renewal");
    assertEquals(phase(reader, "locks.h.k", { node: "b" }), "handover");
    assertEquals(phase(reader, "locks.h.k", "", "NATS/1.0\r\nKV-Operation: PURGE\r\n\r\n"), "lock released");
  });

  it("other messages have no phase, or another one", () => {
    const reader = new PhaseReader("a");
    assertEquals(phase(reader, "nodes.a", "no JSON"), "other");
    assertEquals(phase(reader, "locks.h.k", "null"), "handover");
    assertEquals(reader.read({ subject: "catga.x", reply: undefined, headers: "", payload: "" }), undefined);
  });
});
