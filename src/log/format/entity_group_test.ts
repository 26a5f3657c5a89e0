import { describe, it } from "node:test";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { entityGroupText, type EntityHead, readEntityGroup, saysForgotten } from "./entity_group.ts";
import { entitySubject } from "./names.ts";
import { positionOf } from "./position.ts";

const ORIGIN = { endpoint: "n.1", first: 7, sentAt: 1_000 };
const HEAD: EntityHead = {
  version: 3,
  command: "c",
  fingerprint: "f",
  result: "5",
  correlation: "r",
  headers: { traceparent: "t" },
  name: "Add",
};
const read = (text: string, subject = entitySubject("ns", "Cart", "a.b")) =>
  readEntityGroup("ns", { subject, sequence: 9, time: 2_000, data: new TextEncoder().encode(text) });

describe("entityGroupText and readEntityGroup", () => {
  it("what was written comes back, as subscribers get it", () => {
    const text = entityGroupText(ORIGIN, HEAD, [
      { event: "Added", text: '{"n":1}' },
      { event: "Paid", text: undefined },
      { event: "Noted", text: '~"~d5"' },
    ]);
    const group = read(text);
    assert("messages" in group, JSON.stringify(group));
    assertEquals([group.type, group.id, group.head], ["Cart", "a.b", HEAD]);
    const of = (index: number, event: string, payload: unknown, tagged = false) => ({
      position: positionOf(9, index),
      category: `Cart.${event}`,
      id: `n.1.v${7 + index}`,
      key: "a.b",
      payload,
      tagged,
      meta: { c: "r", a: "c", h: { traceparent: "t" }, k: 0 },
      time: 2_000,
    });
    assertEquals(group.messages, [of(0, "Added", { n: 1 }), of(1, "Paid", undefined), of(2, "Noted", '~"~d5"', true)]);
  });

  it("a message without events, and the one that an entity is forgotten", () => {
    const none = { ...HEAD, command: "", result: undefined, correlation: undefined, headers: undefined, name: "" };
    const empty = read(entityGroupText(ORIGIN, none, []));
    assert("messages" in empty);
    assertEquals([empty.messages, saysForgotten(empty)], [[], false]);
    const gone = read(entityGroupText(ORIGIN, none, [{ event: "forgotten", text: '{"id":"a.b"}' }]));
    assert("messages" in gone);
    assertEquals(saysForgotten(gone), true);
    const own = read(entityGroupText(ORIGIN, HEAD, [{ event: "forgotten", text: '{"id":"a.b"}' }]));
    assert("messages" in own);
    assertEquals(saysForgotten(own), false);
  });

  it("garbage has a reason, and never throws", () => {
    const good = entityGroupText(ORIGIN, HEAD, [{ event: "Added", text: "1" }]);
    const bad = [
      ["", "no"],
      ["{}", "not a JSON array"],
      ['[1,"n.1",7,1,0,["A",1]]', "head"],
      ['[1,"n.1",7,1,[0,"c","f",null,null,null],["A",1]]', "head"],
      ['[1,"n.1",7,1,[-1,"c","f",null,null,null,"C"],["A",1]]', "head"],
      ['[1,"n.1",7,1,[0,"c","f",null,null,{"a":1},"C"],["A",1]]', "head"],
      ['[1,"n.1",7,1,[0,"c","f",null,null,null,"C D"],["A",1]]', "head"],
      [good.replace('"Added"', '"a b"'), "event 0"],
      [good.replace("1]]", "1,9]]"), "event 0"],
      [good.replace("1]]", "1,1]]"), "event 0"],
    ];
    for (const [text, reason] of bad) {
      const group = read(text);
      assert("reason" in group, text);
      assertMatch(group.reason, new RegExp(reason === "no" ? "." : reason));
      assertEquals(group.version, undefined);
    }
    const newer = read(good.replace("[1,", "[2,"));
    assertEquals("version" in newer && newer.version, 2);
    for (const subject of ["catga.ns.entity.Cart", "catga.ns.entity.Cart.a.b", "catga.ns.entity.C*.a", "other"]) {
      assert("reason" in read(good, subject), subject);
    }
    for (let cut = 0; cut < good.length; cut++) assert("reason" in read(good.slice(0, cut)), `cut at ${cut}`);
  });
});
