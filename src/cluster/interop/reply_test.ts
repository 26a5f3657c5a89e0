import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import type { Observation } from "../../contract/nodes/observer.ts";
import { MemoryNetwork } from "../../memory/network.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { mayAnswer, respond } from "./plain_calls.ts";

describe("mayAnswer", () => {
  it("is true for an inbox, and for any subject of the client's own", () => {
    for (const reply of ["_INBOX.x7.1", "answers", "orders.answers.1", "catgas.a", "my.catga.a", "a.$SYS"]) {
      assertEquals([reply, mayAnswer(reply)], [reply, true]);
    }
  });

  it("is false for subjects of NATS and of Catga, whatever their case", () => {
    for (
      const reply of [
        "$JS.API.STREAM.DELETE.log",
        "$KV.b.k",
        "$SYS",
        "catga",
        "catga.default.node.a",
        "CATGA.x",
        "Catga",
      ]
    ) {
      assertEquals([reply, mayAnswer(reply)], [reply, false]);
    }
  });

  it("is false for invalid subjects, and for patterns", () => {
    for (const reply of ["", ".", "a.", ".a", "a..b", "a b", "a\r\nPUB x 0", "a.*", "a*b", ">", "a.>"]) {
      assertEquals([reply, mayAnswer(reply)], [reply, false]);
    }
  });
});

describe("respond", () => {
  it("publishes the text, with the headers if there are some", async () => {
    const clock = new VirtualClock();
    const transport = new MemoryNetwork({ clock }).connect();
    const seen: unknown[] = [];
    transport.subscribe("answers", {}, ({ data, headers }) => seen.push([new TextDecoder().decode(data), headers]));
    const events: Observation[] = [];
    const to = { transport, observer: (event: Observation) => void events.push(event) };
    respond(to, "answers", "1");
    respond(to, "answers", "", { a: "b" });
    await clock.advance(0);
    assertEquals({ seen, events }, { seen: [["1", undefined], ["", { a: "b" }]], events: [] });
  });

  it("does not throw when the connection is closed: the observer gets the error", async () => {
    const transport = new MemoryNetwork({ clock: new VirtualClock() }).connect();
    await transport.close();
    const events: Observation[] = [];
    respond({ transport, observer: (event) => void events.push(event) }, "answers", "1");
    assertEquals(
      events.map((event) => event.type === "fault" && [event.during, (event.error as { code: string }).code]),
      [
        ["answering a plain request", "CLOSED"],
      ],
    );
  });
});
