import { describe, it } from "node:test";
import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  commandText,
  type EntityCommand,
  entityGroupText,
  eventText,
  readEntityGroup,
  readEntityMessage,
  saysForgotten,
  shapesText,
  withoutEvents,
  withoutName,
} from "./entity_group.ts";
import { KnownNames, positionOf } from "./group_text.ts";
import type { LoggedMeta } from "./logged_message.ts";
import { entitySubject } from "./names.ts";

const ORIGIN = { endpoint: "n.1", first: 7, sentAt: 1_000 };
const ADD: EntityCommand = {
  ...{ name: "Add", id: "c", events: 2, result: "5", fingerprint: "f", correlation: "r" },
  headers: { traceparent: "t" },
};
/** A command whose id Catga has made, and whose result is `undefined`. */
const NOTE: EntityCommand = {
  ...{ name: "Note", id: "d", events: 1, result: undefined, fingerprint: undefined, correlation: undefined },
  headers: undefined,
};
const GOOD = entityGroupText(ORIGIN, 3, [commandText(NOTE)], [eventText("Added", "1")]);
const read = (text: string, subject = entitySubject("ns", "Cart", "a.b")) =>
  readEntityGroup("ns", { subject, sequence: 9, time: 2_000, data: new TextEncoder().encode(text) });

describe("withoutEvents", () => {
  it("is true for messages that have no event of the categories, false for all that it cannot tell", () => {
    const test = withoutEvents(["Cart.Added", "Order.Paid"]);
    const without = (text: string) => test(new TextEncoder().encode(text));
    const of = (...events: string[]) => entityGroupText(ORIGIN, 3, [commandText(NOTE)], events);
    assertEquals(without(of(eventText("Noted", "1"), eventText("Adde", '"Added"'))), true);
    assertEquals(without(of(eventText("Noted", "1"), eventText("Added", undefined))), false);
    assertEquals(without(of(eventText("Paid", '~"~d5"'))), false);
    for (const text of ["", "not JSON", of().replace("[1,", "[3,")]) assertEquals(without(text), false, text);
  });
});

describe("entityGroupText and readEntityGroup", () => {
  it("what was written comes back, as subscribers get it", () => {
    const text = entityGroupText(ORIGIN, 3, [ADD, NOTE, withoutName("s")].map(commandText), [
      eventText("Added", '{"n":1}'),
      eventText("Paid", undefined),
      eventText("Noted", '~"~d5"'),
    ]);
    const group = read(text);
    assert("messages" in group, JSON.stringify(group));
    const { mark, version, commands } = group;
    assertEquals({ mark, version }, { mark: "n.1.7", version: 3 });
    assertEquals(commands, [ADD, NOTE, withoutName("s")]);
    const add = { c: "r", a: "c", h: { traceparent: "t" }, k: 0 } as const;
    const of = (index: number, event: string, payload: unknown, meta: LoggedMeta, tagged = false) => ({
      position: positionOf(9, index),
      category: `Cart.${event}`,
      id: `n.1.v${7 + index}`,
      key: "a.b",
      payload,
      tagged,
      meta,
      time: 2_000,
    });
    assertEquals(group.messages, [
      of(0, "Added", { n: 1 }, add),
      of(1, "Paid", undefined, add),
      of(2, "Noted", '~"~d5"', { c: "d", a: "d", k: 0 }, true),
    ]);
  });

  it("events carry the shape of their writer, which early builds read as a command without events", () => {
    const commands = [ADD, NOTE].map(commandText);
    const events = [eventText("Added", "1"), eventText("Paid", "1"), eventText("Added", "2")];
    const shapesOf = (text: string) => {
      const group = read(text);
      assert("messages" in group, JSON.stringify(group));
      assertEquals(group.commands, [ADD, NOTE]);
      return group.messages.map(({ meta }) => meta?.w);
    };
    const written = (shapes: string) => entityGroupText(ORIGIN, 3, commands, events, shapes);
    const both = written(shapesText(["shape-_1", "shape-_2"]));
    assertEquals(
      both.replace(`[3,${commands},`, "").replace(`,${events}`, ""),
      '[1,"n.1",7,1000,["","",0,null,"shape-_1shape-_2"]]]',
    );
    assertEquals(shapesOf(both), ["shape-_1", "shape-_2", "shape-_1"]);
    assertEquals(shapesOf(written(shapesText([undefined, "shape-_2"]))), [undefined, "shape-_2", undefined]);
    assertEquals(shapesOf(written(shapesText(["shape-_1", undefined]))), ["shape-_1", undefined, "shape-_1"]);
    assertEquals(shapesText([undefined, undefined]), "");
    assertEquals(shapesOf(written("")), [undefined, undefined, undefined]);
    // text that is no shape is unknown, and the message is read
    assertEquals(shapesOf(written("shape")), [undefined, undefined, undefined]);
    assertEquals(shapesOf(written("shape+_1shape-_2")), [undefined, "shape-_2", undefined]);
    assertEquals(shapesOf(written("shape-_1shape")), ["shape-_1", undefined, "shape-_1"]);
    // a message has one command at least, as early builds read it
    const alone = read(entityGroupText(ORIGIN, 3, ['["","",0,null,"shape-_1"]'], []));
    assertEquals("commands" in alone && alone.commands.length, 1);
  });

  it("a command without what is not default is short", () => {
    assertEquals(commandText(NOTE), '["Note","d",1]');
    assertEquals(commandText({ ...NOTE, result: "5" }), '["Note","d",1,"5"]');
    assertEquals(commandText({ ...NOTE, correlation: "r" }), '["Note","d",1,null,null,"r"]');
  });

  it("a message without events, and the one that an entity is forgotten", () => {
    const empty = read(entityGroupText(ORIGIN, 3, [commandText(withoutName("s"))], []));
    assert("messages" in empty);
    assertEquals([empty.messages, saysForgotten(empty)], [[], false]);
    const forgotten = eventText("forgotten", '{"id":"a.b"}');
    const gone = read(entityGroupText(ORIGIN, 3, [commandText(withoutName(""))], [forgotten]));
    assert("messages" in gone);
    assertEquals(saysForgotten(gone), true);
    const own = read(entityGroupText(ORIGIN, 3, [commandText(NOTE)], [forgotten]));
    assert("messages" in own);
    assertEquals(saysForgotten(own), false);
  });

  it("garbage has a reason, and never throws", () => {
    const good = GOOD;
    const bad = [
      ["", "no"],
      ["{}", "not a JSON array"],
      ["[1]", "publisher"],
      ['[1,"n 1",7,1,[0,["C","c",1]],["A",1]]', "publisher"],
      ['[1,"n.1",7,1,0,["A",1]]', "head"],
      ['[1,"n.1",7,1,[0],["A",1]]', "head"],
      ['[1,"n.1",7,1,[0,["C","c"]],["A",1]]', "head"],
      ['[1,"n.1",7,1,[-1,["C","c",1]],["A",1]]', "head"],
      ['[1,"n.1",7,1,[0,["C","c",-1]],["A",1]]', "head"],
      ['[1,"n.1",7,1,[0,["C","c",1,5]],["A",1]]', "head"],
      ['[1,"n.1",7,1,[0,["C","c",1,null,null,null,{"a":1}]],["A",1]]', "head"],
      ['[1,"n.1",7,1,[0,["C D","c",1]],["A",1]]', "head"],
      ['[1,"n.1",7,1,[0,["C","c",2]],["A",1]]', "it has 1 events; its commands emitted 2"],
      [good.replace('"Added"', '"a b"'), "event 0"],
      [`${good.slice(0, -2)},9]]`, "event 0"],
      [`${good.slice(0, -2)},1]]`, "event 0"],
    ];
    for (const [text, reason] of bad) {
      const group = read(text);
      assert("reason" in group, text);
      assertMatch(group.reason, new RegExp(reason === "no" ? "." : reason));
      assertEquals(group.version, undefined);
    }
    // each text is read behind a valid message of the same type, whose names are then known
    const known = new KnownNames();
    const behind = (text: string) => readEntityMessage("Cart", new TextEncoder().encode(text), known);
    assert(!("reason" in behind(good)));
    for (const [text, reason] of bad) assert("reason" in behind(text), `${text}: ${reason}`);
    assert(!("reason" in behind(good)));
    const newer = read(good.replace("[1,", "[3,"));
    assertEquals("version" in newer && newer.version, 3);
    for (const subject of ["catga.ns.entity.Cart", "catga.ns.entity.Cart.a.b", "catga.ns.entity.C*.a", "other"]) {
      assert("reason" in read(good, subject), subject);
    }
    for (let cut = 0; cut < good.length; cut++) assert("reason" in read(good.slice(0, cut)), `cut at ${cut}`);
  });
});
