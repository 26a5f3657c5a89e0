import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { encode } from "../../data/utf8.ts";
import { eventFrameText, failureItem, frameLimit, frameText, FrameWriter } from "./frame_writer.ts";
import type { FrameItem } from "./frame.ts";
import { readEventFrame, readFrame } from "./frame_reader.ts";

/** Returns the items that a reader parses from the written frame. */
function read(writer: FrameWriter): readonly unknown[] {
  const { requests, others } = writer.take();
  return readFrame(encode(frameText(1, 0, requests + others))).items;
}

const unlimited = () => new FrameWriter({ frameLimit: Infinity }, () => {});

describe("FrameWriter", () => {
  it("sends what it has before an item that does not fit, and one that is too long goes alone", () => {
    const sent: unknown[] = [];
    const writer: FrameWriter = new FrameWriter({ frameLimit: 50 }, () => sent.push(read(writer)));
    const text = (length: number) => JSON.stringify("x".repeat(length - 2));
    writer.request("A", 100, text(20), undefined);
    writer.request("A", 100, text(20), undefined);
    writer.answer(7, 0, text(70));
    writer.add(["p", 1]);
    assertEquals(sent, [
      [["q", "A", 100, "x".repeat(18)]],
      [["q", "A", 100, "x".repeat(18)]],
      [["r", 7, 0, "x".repeat(68)]],
    ]);
    assertEquals(read(writer), [["p", 1]]);
  });

  it("sends 512 requests in a frame at most, and counts them anew in the next", () => {
    const sent: number[] = [];
    const writer: FrameWriter = new FrameWriter(
      { frameLimit: Infinity },
      () => sent.push((read(writer)[0] as unknown[]).length - 3),
    );
    for (let i = 0; i < 1_100; i++) writer.request("A", 100, "1", undefined);
    assertEquals([...sent, (read(writer)[0] as unknown[]).length - 3], [512, 512, 76]);
  });

  it("splits the items of a stream by tags and by what fits, also where escapes make them longer", () => {
    const sent: unknown[] = [];
    const writer: FrameWriter = new FrameWriter({ frameLimit: 60 }, () => {
      const items = read(writer);
      if (items.length > 0) sent.push(...items);
    });
    const date = '~"~Date:7"';
    writer.streamItems(7, 0, 3, ["not this", '"~a"', "[1]", date, date, '"b"'], 1);
    writer.streamItems(8, 0, 0, ["\0\0\0\0", "\0\0\0\0", "\0\0\0\0", "c"], 0, true);
    assertEquals([...sent, ...read(writer)], [
      ["i", 7, 0, 3, "~a", [1]],
      ["i", 7, 0, 5, new Date(7), new Date(7)],
      ["i", 7, 0, 7, "b"],
      ["i", 8, 0, 0, "\0\0\0\0", "\0\0\0\0"],
      ["i", 8, 0, 2, "\0\0\0\0", "c"],
    ]);
  });

  it("groups requests of one contract and ttl, and answers to consecutive requests", () => {
    const writer = unlimited();
    writer.answer(7, 0, "1");
    writer.request("Add", 5_000, "1", undefined);
    writer.answer(7, 1, "2");
    writer.request("Add", 5_000, "2", undefined);
    writer.request("Add", 4_000, "3", undefined);
    writer.answer(7, 3, "4");
    assertEquals(read(writer), [["q", "Add", 5_000, 1, 2], ["q", "Add", 4_000, 3], ["r", 7, 0, 1, 2], ["r", 7, 3, 4]]);
  });

  it("writes what has tags as items of their own, in order", () => {
    const writer = unlimited();
    for (const payload of ["1", '~"~Date:0"', '~"~Date:1"', '"~Date:2"']) {
      writer.request("Add", 100, payload, undefined);
    }
    writer.request("Add", 100, '~{"n":"~NaN"}', '{"id":"x"}');
    for (const [index, value] of ["1", '~"~Date:0"', '~["~Set"]', '"~Date:2"'].entries()) {
      writer.answer(7, index, value);
    }
    const { requests, others } = writer.take();
    assertEquals(
      requests + others + "," + failureItem(7, 4, '~{"code":"NO","message":"no","details":"~undefined"}'),
      ',["q","Add",100,1],["Q","Add",100,"~Date:0","~Date:1"],["q","Add",100,"~Date:2"],' +
        '["M","Add",100,{"id":"x"},{"n":"~NaN"}],' +
        '["r",7,0,1],["R",7,1,"~Date:0",["~Set"]],["r",7,3,"~Date:2"],' +
        '["E",7,4,{"code":"NO","message":"no","details":"~undefined"}]',
    );
    assertEquals(readFrame(encode(frameText(1, 0, requests + others))).items, [
      ["q", "Add", 100, 1],
      ["q", "Add", 100, new Date(0), new Date(1)],
      ["q", "Add", 100, "~Date:2"],
      ["m", "Add", 100, { id: "x" }, { n: NaN }],
      ["r", 7, 0, 1],
      ["r", 7, 1, new Date(0), new Set()],
      ["r", 7, 3, "~Date:2"],
    ]);
  });

  it("writes requests and answers without a value, and requests with meta, as items of their own", () => {
    const writer = unlimited();
    writer.request("Add", 100, "1", undefined);
    writer.request("Add", 100, undefined, undefined);
    writer.request("Add", 100, "2", '{"id":"x"}');
    writer.answer(7, 0, undefined);
    writer.answer(7, 1, "1");
    assertEquals(read(writer), [
      ["q", "Add", 100, 1],
      ["q", "Add", 100],
      ["m", "Add", 100, { id: "x" }, 2],
      ["r", 7, 0],
      ["r", 7, 1, 1],
    ]);
  });

  it("begins anew after take, which says whether answers were among the items", () => {
    const writer = unlimited();
    writer.add(["p", 1]);
    assertEquals(writer.take().answering, false);
    writer.answerItem('["n",1,0,"DRAINING"]');
    assertEquals(writer.take().answering, true);
    assertEquals({ length: writer.length, taken: writer.take() }, {
      length: 0,
      taken: { requests: "", others: "", answering: false },
    });
  });

  it("rounds a ttl down, so that requests of one turn are one group", () => {
    const writer = unlimited();
    for (const ttl of [29_999.5, 29_900.1, 999.9, 99.2]) writer.request("Add", ttl, "0", undefined);
    assertEquals(read(writer).map((item) => (item as unknown[])[2]), [29_900, 990, 100]);
  });
});

describe("the items that are written", () => {
  it("are read as they were meant", () => {
    const written: FrameItem[] = [
      ["n", 1, 2, "NO_HANDLER"],
      ["c", 1, 2],
      ["c", 1, 2, 1],
      ["p", 4],
      ["p", 5, 1],
      ["p", 5, 0, [2, 3, 7, 7]],
      ["o", 4, 9, [2, 3], [5, 6]],
      ["o", 4, 9, [2, 3], [5, 6], [8, 0]],
      ["b", "a.1", "S"],
      ["v", 1, 2],
      ["h", "orders.Add"],
      ["g", "orders.Add", 300_000],
    ];
    const writer = unlimited();
    for (const item of written) writer.add(item);
    writer.answerItem(failureItem(1, 2, '{"code":"NO"}'));
    assertEquals(read(writer), [...written, ["e", 1, 2, { code: "NO" }]]);
  });

  it("events keep their meta and payloads", () => {
    const { sender, sentAt, meta, payloads } = readEventFrame(encode(eventFrameText("a.1", 5, { id: "x" }, 3, ",1,2")));
    assertEquals({ sender, sentAt, meta, payloads }, {
      sender: "a.1",
      sentAt: 5,
      meta: { id: "x", seq: 3 },
      payloads: [1, 2],
    });
  });
});

describe("frameLimit", () => {
  it("is 64,000 code units by default, and a third of a small max_payload less 2,048", () => {
    assertEquals(frameLimit(1_048_576), 64_000);
    assertEquals(frameLimit(30_000), 7_952);
  });
});
