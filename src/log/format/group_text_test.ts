import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { encode } from "../../data/utf8.ts";
import { encodeValue } from "../../data/encoding.ts";
import { formOf, parseGroup, PLAIN, TAGGED, UNDEFINED, whyNoPayload } from "./group_text.ts";

describe("parseGroup", () => {
  it("gives the publisher, the number of the first item, the head and the items, whatever these two are", () => {
    const group = parseGroup(encode('[1,"a-b_1.2",7,12.5,{"k":1},[1],"x",null]'));
    assertEquals(group, { endpoint: "a-b_1.2", first: 7, head: { k: 1 }, items: [[1], "x", null] });
    assertEquals(parseGroup(encode('[1,"a.1",0,0]')), { endpoint: "a.1", first: 0, head: undefined, items: [] });
  });

  it("says what is wrong with a message, and its version only if a newer node can read it", () => {
    const wrong: [text: string, reason: string, version?: number][] = [
      ["", "it is not a JSON array"],
      ["[1", "it is not a JSON array"],
      ['{"0":1}', "it is not a JSON array"],
      ["[]", "it has no version of the format"],
      ["[0]", "it has no version of the format"],
      ["[1.5]", "it has no version of the format"],
      ['["2"]', "it has no version of the format"],
      ["[3]", "it has format 3; this node reads 2", 3],
      ["[1,7,0,0,0]", "its publisher is not an endpoint"],
      ['[1,"a",0,0,0]', "its publisher is not an endpoint"],
      ['[1,"a.1.2",0,0,0]', "its publisher is not an endpoint"],
      ['[1,"a.1\\n",0,0,0]', "its publisher is not an endpoint"],
      [`[1,"${"a".repeat(65)}.1",0,0,0]`, "its publisher is not an endpoint"],
      ['[1,"a.1",-1,0,0]', "the number of its first item is not a count"],
      ['[1,"a.1",9007199254740992,0,0]', "the number of its first item is not a count"],
      ['[1,"a.1",0,"0",0]', "its time is not a number"],
      ['[1,"a.1",0,1e999,0]', "its time is not a number"],
    ];
    for (const [text, reason, version] of wrong) assertEquals(parseGroup(encode(text)), { reason, version }, text);
  });

  it("takes no bytes that are not UTF-8", () => {
    const data = encode('[1,"a.1",0,0,0,["?"]]');
    data[data.indexOf(63)] = 0xff;
    assertEquals(parseGroup(data), { reason: "it is not a JSON array", version: undefined });
  });
});

describe("the form of a payload", () => {
  it("is that of its text, and fits the payload that is read from the item", () => {
    const payloads = [{ n: 1 }, "~Date:0", null, new Date(0), 7n];
    const forms = payloads.map((payload) => formOf(encodeValue(payload, "payload")));
    assertEquals(forms, [PLAIN, PLAIN, PLAIN, TAGGED, TAGGED]);
    assertEquals(formOf(undefined), UNDEFINED);
    assertEquals(whyNoPayload(encodeValue(7n, "payload"), TAGGED), undefined);
  });

  it("may be left out for a plain payload", () => {
    assertEquals([undefined, PLAIN, UNDEFINED].map((form) => whyNoPayload("~x", form)), [
      undefined,
      undefined,
      undefined,
    ]);
  });

  it("is wrong if it is not known, or says that there are tags where there are none", () => {
    for (const form of [3, -1, "1", null, true]) assertEquals(whyNoPayload("~x", form), "its form is not known");
    for (const payload of ["x", "", 7, undefined, ["~x"]]) {
      assertEquals(whyNoPayload(payload, TAGGED), "its payload has no tags");
    }
  });
});
