import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { AcknowledgementReader } from "./acknowledgement.ts";

const reader = new AcknowledgementReader("log", "the stream log");
const read = (text: string) => reader.read(new TextEncoder().encode(text));

describe("AcknowledgementReader", () => {
  it("reads acknowledgements as the server writes them, and any other JSON of the same meaning", () => {
    const stored = { type: "stored" as const, sequence: 1_795_232_838_258, duplicate: false };
    assertEquals(read(`{"stream":"log", "seq":1795232838258}`), stored);
    assertEquals(read(`{"stream":"log","seq":1795232838258}`), stored);
    assertEquals(read(`{"seq":1795232838258,"domain":"hub","stream":"log"}`), stored);
    assertEquals(read(`{"stream":"log", "seq":1795232838258,"duplicate": true}`), { ...stored, duplicate: true });
  });

  it("quotes 80 characters at most of a domain that somebody else wrote", () => {
    const foreign = new AcknowledgementReader("log", "the stream log", (domain) => domain !== undefined);
    const read = foreign.read(
      new TextEncoder().encode(JSON.stringify({ stream: "log", seq: 1, domain: "x".repeat(1e5) })),
    );
    assertEquals(read, `an acknowledgement of the JetStream domain ${"x".repeat(80)}`);
  });

  const errors: [code: number, err_code: number, description: string, expected: string][] = [
    [400, 10071, "wrong last sequence: 7", "conflict"],
    [400, 10164, "wrong last sequence", "transient UNAVAILABLE"],
    [503, 10008, "JetStream system temporarily unavailable", "transient UNAVAILABLE"],
    [503, 99999, "an error of a later server", "transient UNAVAILABLE"],
    [503, 10077, "maximum bytes exceeded", "transient UNAVAILABLE"],
    [503, 10077, "raft: shutdown", "transient UNAVAILABLE"],
    [500, 10023, "insufficient resources", "transient UNAVAILABLE"],
    [400, 10054, "message size exceeds maximum allowed", "final TOO_LARGE"],
    [400, 10188, "message schedules is disabled", "final UNSUPPORTED"],
    [400, 10189, "message schedules pattern is invalid", "final INVALID_MESSAGE"],
    [400, 10223, "message schedules time zone is invalid", "final INVALID_MESSAGE"],
    [400, 10099, "something else", "final UNAVAILABLE"],
  ];
  for (const [code, err_code, description, expected] of errors) {
    it(`${err_code} ${description}: ${expected}`, () => {
      const appended = read(JSON.stringify({ error: { code, err_code, description }, stream: "log", seq: 0 }));
      if (typeof appended === "string") throw new Error(appended);
      assertEquals(
        appended.type === "not stored"
          ? `${appended.transient ? "transient" : "final"} ${appended.error.code}`
          : appended.type,
        expected,
      );
    });
  }

  it("says what is wrong with answers that do not come from the stream", () => {
    const strange = [
      "",
      "{",
      "null",
      "7",
      `"x"`,
      "[]",
      "{}",
      `{"stream":"logs", "seq":7}`,
      `{"stream":"log", "seq":0}`,
      `{"stream":"log","seq":0}`,
    ];
    strange.push(`{"stream":"log", "seq":99999999999999999999}`, `{"stream":"log", "seq":}`, `{"stream":"log"}`);
    for (const text of strange) assertEquals(typeof read(text), "string", text);
  });
});
