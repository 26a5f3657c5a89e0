import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { DeliveryPosition } from "./delivery_position.ts";

describe("DeliveryPosition", () => {
  const parse = (reply: string) => {
    const position = new DeliveryPosition("log", "c1");
    if (!position.parse(reply)) return undefined;
    const { sequence, delivery, time, pending } = position;
    return { sequence, delivery, time, pending };
  };
  const expected = { sequence: 1_792_555_200_123, delivery: 7, time: 1_792_555_200_999, pending: 12 };

  it("reads the reply subjects of a server without and with a domain", () => {
    const end = "1.1792555200123.7.1792555200999999999.12";
    assertEquals(parse(`$JS.ACK.log.c1.${end}`), expected);
    assertEquals(parse(`$JS.ACK.hub.AbC123.log.c1.${end}.x9Yz`), expected);
  });

  it("reads the revisions of buckets, which have 16 digits", () => {
    const position = new DeliveryPosition("log", "c1");
    assertEquals(position.parse("$JS.ACK.log.c1.1.1792555200123456.7.1792555200999999999.12"), true);
    assertEquals(position.sequence, 1_792_555_200_123_456);
  });

  it("does not accept anything else", () => {
    const strange = [
      "",
      "_INBOX.x",
      "$JS.FC.log.c1.x",
      "$JS.ACK.log.c2.1.2.3.1792555200999999999.4",
      "$JS.ACK.log.c1.",
      "$JS.ACK.log.c1.1.2.3",
      "$JS.ACK.log.c1.1.2.3.4.5",
      "$JS.ACK.log.c1.1.0.3.1792555200999999999.4",
      "$JS.ACK.log.c1.1.-2.3.1792555200999999999.4",
      "$JS.ACK.log.c1.1.2e9.3.1792555200999999999.4",
      "$JS.ACK.log.c1.1.2.3.17925552009x9999999.4",
      "$JS.ACK.log.c1.1.99999999999999999999.3.1792555200999999999.4",
    ];
    for (const reply of strange) assertEquals(parse(reply), undefined, reply);
  });
});
