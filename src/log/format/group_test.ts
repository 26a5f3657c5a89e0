import { describe, it } from "node:test";
import { assert, assertEquals, assertFalse } from "@std/assert";
import { encode } from "../../data/utf8.ts";
import { encodeValue } from "../../data/encoding.ts";
import { seededRandom } from "../../memory/seeded_random.ts";
import { type GroupHead, type GroupItem, groupText, isAnswer, isReadable, itemText, readGroup } from "./group.ts";
import type { LoggedMessage } from "./logged_message.ts";
import { categorySubject } from "./names.ts";
import { positionOf } from "./group_text.ts";

const HEAD: GroupHead = { endpoint: "a.1", first: 7, sentAt: 12, keep: undefined, schedule: undefined };
const SUBJECT = categorySubject("shop", "orders.Placed");

function item(payload: unknown, more: Partial<GroupItem> = {}): string {
  const text = payload === undefined ? undefined : encodeValue(payload, "payload");
  return itemText({ text, key: undefined, id: undefined, meta: undefined, ...more });
}

function read(text: string | Uint8Array, subject = SUBJECT) {
  const data = typeof text === "string" ? encode(text) : text;
  return readGroup("shop", { sequence: 5, subject, time: 99, data });
}

function messages(head: GroupHead, ...items: string[]): readonly LoggedMessage[] {
  const group = read(groupText(head, items.join(",")));
  assert(isReadable(group), JSON.stringify(group));
  return group;
}

describe("groupText and readGroup", () => {
  it("what was left out is its default", () => {
    assertEquals(messages(HEAD, item({ n: 1 }), item({ n: 2 }, { key: "k" })), [
      {
        position: positionOf(5, 0),
        category: "orders.Placed",
        id: "a.1.e7",
        key: undefined,
        payload: { n: 1 },
        tagged: false,
        meta: undefined,
        time: 99,
      },
      {
        position: positionOf(5, 1),
        category: "orders.Placed",
        id: "a.1.e8",
        key: "k",
        payload: { n: 2 },
        tagged: false,
        meta: undefined,
        time: 99,
      },
    ]);
  });

  it("a plain item costs two brackets", () => {
    assertEquals(groupText(HEAD, item({ n: 1 })), '[1,"a.1",7,12,0,[{"n":1}]]');
  });

  it("id, key, headers, correlation and causation come back", () => {
    const meta = { c: "cause", a: "parent", h: { traceparent: "00", ["__proto__"]: "x" } };
    const [message] = messages(HEAD, item("p", { id: "u1", key: 'a"b', meta }));
    assertEquals([message.id, message.key, message.payload], ["u1", 'a"b', "p"]);
    assertEquals(message.meta, meta);
  });

  it("a payload that JSON does not carry is a text with tags; one that is undefined stays so", () => {
    const date = new Date(5);
    const [first, second, third] = messages(HEAD, item({ date }), item(undefined), item(undefined, { key: "k" }));
    assertEquals([first.tagged, first.payload], [true, encodeValue({ date }, "payload")]);
    assertEquals([second.tagged, second.payload], [false, undefined]);
    assertEquals([third.key, third.payload], ["k", undefined]);
  });

  it("a payload that is a text beginning as tags do is plain", () => {
    const [message] = messages(HEAD, item("~Date:0"));
    assertEquals([message.tagged, message.payload], [false, "~Date:0"]);
  });

  it("keep stands in each message's meta", () => {
    const [first, second] = messages({ ...HEAD, keep: 60_000 }, item(1), item(2, { meta: { c: "x" } }));
    assertEquals(first.meta, { k: 60_000 });
    assertEquals(second.meta, { c: "x", k: 60_000 });
  });

  it("what a schedule appended is named after the schedule and when it was due, or stored", () => {
    const [once] = messages({ ...HEAD, schedule: { id: "welcome", due: 1_000 } }, item(1));
    assertEquals(once.id, "welcome@1000");
    const [again] = messages({ ...HEAD, schedule: { id: "books", due: 0 } }, item(1));
    assertEquals(again.id, "books@99");
  });

  it("512 items are read, 513 are not", () => {
    const items = Array.from({ length: 512 }, (_, n) => item(n));
    assertEquals(messages(HEAD, ...items).length, 512);
    assertFalse(isReadable(read(groupText(HEAD, [...items, item(1)].join(",")))));
  });
});

describe("readGroup", () => {
  it("tells a newer format from garbage", () => {
    assertEquals(read("[3,{}]"), { reason: "it has format 3; this node reads 2", version: 3 });
    for (const text of ['["2"]', "[0]", "[1.5]", "[-2]", "[]", "{}", "null", "[1e999]"]) {
      const group = read(text);
      assert(!isReadable(group) && group.version === undefined, text);
    }
  });

  it("garbage has a reason, and never throws", () => {
    const head = '1,"a.1",7,12,0';
    const malformed = [
      "",
      "\u0000",
      "[1",
      "x",
      `[${head}]`,
      '[1,"a",7,12,0,[1]]',
      '[1,"a.1",-1,12,0,[1]]',
      '[1,"a.1",7,"12",0,[1]]',
      '[1,"a.1",7,1e999,0,[1]]',
      '[1,"a.1",7,12,1,[1]]',
      '[1,"a.1",7,12,{"k":-1},[1]]',
      '[1,"a.1",7,12,{"k":1e999},[1]]',
      '[1,"a.1",7,12,{"s":["x"]},[1]]',
      '[1,"a.1",7,12,{"s":["",1]},[1]]',
      '[1,"a.1",7,12,{"s":["x",1]},[1],[2]]',
      `[${head},1]`,
      `[${head},[]]`,
      `[${head},[1,2]]`,
      `[${head},[1,null,""]]`,
      `[${head},[1,null,"${"x".repeat(301)}"]]`,
      `[${head},[1,null,null,[]]]`,
      `[${head},[1,null,null,{"c":1}]]`,
      `[${head},[1,null,null,{"a":1}]]`,
      `[${head},[1,null,null,{"h":{"a":1}}]]`,
      `[${head},[1,null,null,{"h":["a"]}]]`,
      `[${head},[1,null,null,null,1]]`,
      `[${head},["x",null,null,null,1]]`,
      `[${head},["~x",null,null,null,3]]`,
      `[${head},[1,null,null,null,0,0]]`,
      "[".repeat(1_000_000),
    ];
    for (const text of malformed) {
      const group = read(text);
      assert(!isReadable(group) && group.reason !== "", text.slice(0, 60));
    }
    assertFalse(isReadable(read(Uint8Array.of(0x5b, 0xff, 0x5d))));
    assertFalse(isReadable(read(groupText(HEAD, item(1)), "catga.other.log.x")));
    assertFalse(isReadable(read(groupText(HEAD, item(1)), "catga.shop.log.a.b")));
  });

  it("an answer of JetStream is told from what somebody published", () => {
    const answers = [
      '{"type":"io.nats.jetstream.api.v1.stream_msg_get_response","error":{"code":404}}',
      '{"stream":"KV_catga_shop_nodes","seq":7}',
      '{"error":{"code":400},"stream":"catga_shop_log","seq":0}',
    ];
    assertEquals(
      answers.map((text) => [isAnswer(encode(text)), isReadable(read(text))]),
      answers.map(() => [true, false]),
    );
    const others = ["", "{", "[]", "null", "{}", '{"type":"order"}', '{"stream":"a","seq":"b"}', '{"room":"7"}'];
    assertEquals(others.filter((text) => isAnswer(encode(text))), []);
  });

  it("payloads of 1,000 levels are read, and a message with deeper ones is unreadable", () => {
    const deep = (levels: number) => {
      const group = read(groupText(HEAD, `[${"[".repeat(levels)}${"]".repeat(levels)}]`));
      return isReadable(group) ? "read" : group.reason;
    };
    assertEquals([deep(1_000), deep(1_100), deep(300_000)], [
      "read",
      "it is nested too deeply",
      "it is nested too deeply",
    ]);
  });

  it("any damage to a message is read or refused", () => {
    const random = seededRandom(1);
    const whole = encode(groupText(
      { ...HEAD, keep: 5 },
      [
        item({ a: [1, "ü"] }, { key: "k" }),
        item({ d: new Date(0) }, { id: "i", meta: { h: { a: "b" } } }),
      ].join(","),
    ));
    let refused = 0;
    for (let run = 0; run < 20_000; run++) {
      const data = whole.slice(0, random() < 0.1 ? Math.floor(random() * whole.length) : undefined);
      for (let hit = 0; hit < 1 + random() * 3; hit++) data[Math.floor(random() * data.length)] = random() * 256;
      if (!isReadable(read(data))) refused++;
    }
    assert(refused > 5_000, `${refused}`);
  });

  it("members of meta that are not known are left out", () => {
    const group = read('[1,"a.1",7,12,{"x":1},[1,null,null,{"c":"c","z":1}]]');
    assert(isReadable(group));
    assertEquals(group[0].meta, { c: "c" });
  });
});
