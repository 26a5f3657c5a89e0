import { describe, it } from "node:test";
import { assert, assertEquals, assertGreater, assertLess, assertThrows } from "@std/assert";
import { CatgaError, entity } from "../../mod.ts";
import { encode } from "../data/utf8.ts";
import {
  commandText,
  type EntityCommand,
  entityGroupText,
  eventText,
  readEntityMessage,
  withoutName,
} from "../log/format/entity_group.ts";
import { blank, EntityCopy } from "./entity_copy.ts";

interface All {
  readonly items: readonly string[];
}

const Box = entity<All>("Box", { initial: () => ({ items: [] }) });
Box.event<string>("Put", ({ items }, one) => {
  if (one === "broken") throw new TypeError("apply failed");
  return { items: [...items, one] };
});
const { "~entity": definition } = Box;

let first = 0;

/** Makes a stored message with these events, as it is read from the stream. */
function message(version: number, command: Partial<EntityCommand>, ...items: { event: string; text: string }[]) {
  const whole = { ...withoutName(""), name: "PutIt", id: "c", events: items.length, ...command };
  const events = items.map(({ event, text }) => eventText(event, text));
  const origin = { endpoint: "a.1", first: first++, sentAt: 0 };
  const read = readEntityMessage("Box", encode(entityGroupText(origin, version, [commandText(whole)], events)));
  assert("items" in read);
  return read;
}

const put = (version: number, ...items: string[]) =>
  message(version, {}, ...items.map((item) => ({ event: "Put", text: JSON.stringify(item) })));
const at = (sequence: number) => ({ sequence, time: sequence * 10, size: 100 });

function standing({ state, version, sequence, forgotten }: EntityCopy<All>) {
  return { items: state.items, version, sequence, forgotten };
}

function filled(): EntityCopy<All> {
  const copy = blank(definition, "b");
  assertEquals(copy.take(put(0, "x", "y"), at(7)), undefined);
  return copy;
}

describe("EntityCopy", () => {
  it("takes the messages of its subject in order, and knows the last one", () => {
    const copy = filled();
    copy.take(put(2, "z"), at(9));
    assertEquals(standing(copy), { items: ["x", "y", "z"], version: 3, sequence: 9, forgotten: false });
    const last = put(3, "!");
    copy.take(last, at(10));
    assertEquals([copy.mark, copy.time], [last.mark, 100]);
  });

  it("passes over a message that continues an earlier version, and says why", () => {
    const copy = filled();
    assertEquals(copy.take(put(1, "z"), at(9)), "it continues version 1; the entity is at 2");
    assertEquals(standing(copy), { items: ["x", "y"], version: 2, sequence: 9, forgotten: false });
  });

  it("throws if events are missing, cannot be applied, or an apply throws: nothing was changed then", () => {
    const copy = filled();
    const before = standing(copy);
    const missing = assertThrows(() => copy.take(put(5, "z"), at(9)), CatgaError);
    assertEquals([missing.code, missing.message], [
      "UNAVAILABLE",
      "events 3 to 5 of Box b are missing from the stream",
    ]);
    const unknown = message(2, {}, { event: "Put", text: '"z"' }, { event: "Newer", text: "1" });
    const error = assertThrows(() => copy.take(unknown, at(9)), CatgaError, "Box b: its event 4, Box.Newer, is not in");
    assertEquals([error.code, error.retryable], ["UNAVAILABLE", true]);
    assertThrows(() => copy.take(put(2, "z", "broken"), at(9)), TypeError, "apply failed");
    assertEquals(standing(copy), before);
  });

  it("a message without events changes nothing but where the entity ends", () => {
    const copy = filled();
    const ended = message(2, { name: "", id: "s1" });
    assertEquals(copy.take(ended, at(9)), undefined);
    assertEquals(standing(copy), { items: ["x", "y"], version: 2, sequence: 9, forgotten: false });
    assertEquals(copy.mark, ended.mark);
  });

  it("once forgotten it is as at its beginning, and takes nothing more", () => {
    const copy = filled();
    const forgets = message(2, withoutName(""), { event: "forgotten", text: '{"id":"b"}' });
    assertEquals(copy.take(forgets, at(9)), undefined);
    const all = { items: [], version: 2, forgotten: true };
    assertEquals(standing(copy), { ...all, sequence: 9 });
    assertEquals(copy.take(put(2, "z"), at(10)), "it continues version 2; the entity is at 2");
    assertEquals(standing(copy), { ...all, sequence: 10 });
  });

  it("an event called forgotten that a command emitted forgets nothing", () => {
    const copy = filled();
    const emitted = message(2, {}, { event: "forgotten", text: '{"id":"b"}' });
    assertThrows(() => copy.take(emitted, at(9)), CatgaError, "Box.forgotten, is not in");
    assertEquals(copy.forgotten, false);
  });

  it("a copy to read on is independent, and has a frozen state", () => {
    const copy = filled();
    const other = copy.clone();
    copy.take(put(2, "z"), at(9));
    other.take(put(2, "w"), at(9));
    assertEquals([copy.state.items.at(-1), other.state.items.at(-1)], ["z", "w"]);
    assertEquals([copy, other].map(({ state }) => Object.isFrozen(state.items)), [true, true]);
  });

  it("its size is about that of its state, however long the messages were that made it", () => {
    const copy = filled();
    for (let n = 2; n < 100; n++) copy.take(put(n, "z"), { ...at(7 + n), size: 200 });
    // the state has 412 characters in 100 items, while the messages had 19,600 characters
    assertLess(copy.size, 2_500);
    copy.take(put(100, "z".repeat(2_000_000)), { ...at(107), size: 2_000_100 });
    assertGreater(copy.size, 2_000_000);
  });

  it("its size grows with what it has read, to 1 MiB if its state cannot be written", () => {
    const { "~entity": odd } = entity("Box", { initial: (): unknown => () => {} });
    const copy = new EntityCopy(odd, "b", { state: () => {}, version: 0, sequence: 0, mark: "", time: 0, size: 512 });
    const changed = (version: number, size: number) =>
      copy.change({ ...at(7 + version), version, mark: `a.b.${version}`, state: () => {}, size });
    changed(1, 1_700);
    assertEquals(copy.size, 2_212);
    changed(2, 2_000_000);
    assertEquals(copy.size, 1_048_576);
  });

  it("its size stays as it is if a message has no events", () => {
    const copy = filled();
    const { size } = copy;
    assertEquals(size - blank(definition, "b").size, 100);
    copy.take(message(2, { name: "", id: "s1" }), at(10));
    assertEquals(copy.size, size);
  });
});
