import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { headers as makeHeaders, type Msg } from "@nats-io/nats-core";
import { encode } from "../../data/utf8.ts";
import { DirectMessage, MessageTimes, numberAt } from "./stored_message.ts";

const SERVER = [
  "Nats-Stream: log",
  "Nats-Subject: log.é",
  "Nats-Sequence: 7",
  "Nats-Time-Stamp: 2026-01-01T00:00:00.123456789Z",
  "Nats-Num-Pending: 3",
  "Nats-Last-Sequence: 5",
];

/** Makes an answer as nats.js 3.4 does. `plain`: an answer with the members of nats.js's public interface only. */
function answer(lines: readonly string[], { plain = false, first = "NATS/1.0" } = {}): Msg {
  const head = encode([first, ...lines, "", ""].join("\r\n"));
  const bytes = new Uint8Array([...head, ...encode("data")]);
  const headers = makeHeaders();
  for (const line of lines) headers.append(line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim());
  const inside = plain ? {} : { _rdata: bytes, _msg: { hdr: head.length } };
  // cast: the object has only the members of a message that Catga reads
  return { data: bytes.subarray(head.length), headers, ...inside } as unknown as Msg;
}

describe("a message of a direct get", () => {
  for (const plain of [false, true]) {
    const how = plain ? "by the interface of nats.js" : "from its bytes";
    it(`is read ${how}, and its own headers when they are asked for`, () => {
      const message = DirectMessage.of(answer(["Own: x", ...SERVER], { plain }))!;
      const { sequence, subject, time, before, data } = message;
      assertEquals({ sequence, subject, time, before }, {
        sequence: 7,
        subject: "log.é",
        time: Date.UTC(2026, 0, 1) + 123,
        before: 5,
      });
      assertEquals([new TextDecoder().decode(data), message.headers], ["data", { Own: "x" }]);
      assertEquals(message.headers, { Own: "x" });
    });

    it(`is none without a sequence, or a time, ${how}`, () => {
      const without = (name: string) => SERVER.filter((line) => !line.startsWith(name));
      for (const name of ["Nats-Sequence", "Nats-Time-Stamp"]) {
        assertEquals([name, DirectMessage.of(answer(without(name), { plain }))], [name, undefined]);
      }
      for (const odd of ["-1", "0", "x", "1e99"]) {
        const lines = [...without("Nats-Sequence"), `Nats-Sequence: ${odd}`];
        assertEquals([odd, DirectMessage.of(answer(lines, { plain }))], [odd, undefined]);
      }
      assertEquals(DirectMessage.of(answer([], { plain, first: "NATS/1.0 204 EOB" })), undefined);
    });
  }

  it("has the server's sequence, though its publisher gave it one, or has none when it has no headers", () => {
    const planted = ["Nats-Sequence: 1", "X: Nats-Sequence: 2", ...SERVER, "Nats-Subject: log.é"];
    assertEquals(DirectMessage.of(answer(planted))?.sequence, 7);
    const { data } = answer([]);
    const bare = { data, headers: undefined, _rdata: data, _msg: { hdr: -1 } } as unknown as Msg;
    assertEquals(DirectMessage.of(bare), undefined);
  });
});

describe("the times of a batch", () => {
  it("are read as each alone", () => {
    const times = new MessageTimes();
    for (
      const text of [
        ...[
          "2026-11-22T05:08:29.050123456Z",
          "2026-11-22T05:08:29.05Z",
          "2026-11-22T05:08:29.9Z",
          "2026-11-22T05:08:29Z",
        ],
        ...["2026-11-22T05:08:30.999999999Z", "2026-11-22T05:08:30.000000001Z", "2026-11-22T05:08:30.1+01:00"],
        ...["2026-11-22T05:08:30.1e2Z", "2026-11-22T05:08:30.Z", "?", "", "2026-11-22T05:08:29.001Z"],
      ]
    ) {
      assertEquals({ text, time: times.read(text) }, { text, time: Date.parse(text) });
    }
  });
});

describe("numberAt", () => {
  it("reads a number in base 36 behind a prefix, from the bytes of a subject or from its text", () => {
    for (
      const [subject, number] of [["in.1", 1], ["in.zz", 1_295], ["in.", NaN], ["in.A", NaN], ["in.1.2", NaN], [
        "i",
        NaN,
      ]] as const
    ) {
      const bytes = { subject, _msg: { subject: encode(subject) } } as unknown as Msg;
      assertEquals({ subject, number: numberAt(bytes, 3) }, { subject, number });
    }
    assertEquals(numberAt({ subject: "in.zz" } as Msg, 3), 1_295);
  });
});
