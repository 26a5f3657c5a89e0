import { headers, type Msg, type MsgHdrs, MsgHdrsImpl } from "@nats-io/nats-core/internal";
import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { NatsMessage } from "./nats_message.ts";

/** Makes a message from the members of a nats.js message that Catga reads. */
function message(given: { data?: string; reply?: string; headers?: MsgHdrs }): NatsMessage {
  const data = new TextEncoder().encode(given.data);
  return new NatsMessage({ subject: "orders", reply: "", ...given, data } as unknown as Msg);
}

/** Reads headers from their text on the wire, as nats.js does. */
function read(text: string): MsgHdrs {
  return MsgHdrsImpl.decode(new TextEncoder().encode(text));
}

describe("NatsMessage", () => {
  it("gives the headers, each with its first value; undefined if there are none", () => {
    const given = headers();
    given.append("b", "1");
    given.append("b", "2");
    given.append("A", "");
    assertEquals(message({ headers: given }).headers, { b: "1", A: "" });
    assertEquals(message({ headers: headers() }).headers, undefined);
    assertEquals(message({}).headers, undefined);
  });

  it("has a reply subject only if there is one", () => {
    assertEquals(message({ reply: "_INBOX.1" }).reply, "_INBOX.1");
    assertEquals(message({ reply: "" }).reply, undefined);
  });

  it("is a bounce only as the server sends it: status 503 and no data", () => {
    const bounce = read("NATS/1.0 503\r\n\r\n");
    assertEquals(message({ headers: bounce }).noResponders, true);
    assertEquals(message({ headers: bounce, data: "x" }).noResponders, false);
    assertEquals(message({ headers: read("NATS/1.0 408 Request Timeout\r\n\r\n") }).noResponders, false);
    assertEquals(message({ headers: read("NATS/1.0\r\ncode: 503\r\n\r\n") }).noResponders, false);
    assertEquals(message({}).noResponders, false);
  });

  it("is no bounce if JetStream sends it: a message with status 503 that somebody stored", () => {
    const stored = read("NATS/1.0 503\r\nNats-Stream: KV_catga_default_cache\r\nNats-Sequence: 7\r\n\r\n");
    assertEquals(message({ headers: stored }).noResponders, false);
  });

  it("does not decode the headers before they are read", () => {
    let decoded = 0;
    const lazy = {
      subject: "orders",
      data: new Uint8Array(1),
      get headers() {
        decoded++;
        return undefined;
      },
    } as unknown as Msg; // cast: the only members that `NatsMessage` reads
    const { subject, data, noResponders } = new NatsMessage(lazy);
    assertEquals({ subject, size: data.length, noResponders, decoded }, {
      subject: "orders",
      size: 1,
      noResponders: false,
      decoded: 0,
    });
  });
});
