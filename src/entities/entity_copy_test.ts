import { describe, it } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { CatgaError, entity } from "../../mod.ts";
import { encode } from "../data/utf8.ts";
import { entityGroupText, type EntityHead, headWithoutCommand, readEntityGroup } from "../log/format/entity_group.ts";
import { entitySubject } from "../log/format/names.ts";
import { blank, type EntityCopy } from "./entity_copy.ts";

interface All {
  readonly items: readonly string[];
}

const Box = entity<All>("Box", { initial: () => ({ items: [] }) });
Box.event<string>("Put", ({ items }, one) => {
  if (one === "broken") throw new TypeError("apply failed");
  return { items: [...items, one] };
});
const { "~entity": definition } = Box;

/** A message of the stream with these events, as it is read. */
function group(head: EntityHead, ...items: { event: string; text: string }[]) {
  const data = encode(entityGroupText({ endpoint: "a.1", first: 0, sentAt: 0 }, head, items));
  const read = readEntityGroup("default", {
    sequence: 1,
    subject: entitySubject("default", "Box", "b"),
    time: 0,
    data,
  });
  assert("messages" in read);
  return read;
}

function head(version: number, command = "c"): EntityHead {
  return { ...headWithoutCommand(version, command), name: "PutIt", fingerprint: "f", result: "1" };
}

const put = (version: number, ...items: string[]) =>
  group(head(version, `c${version}`), ...items.map((item) => ({ event: "Put", text: JSON.stringify(item) })));
const at = (sequence: number) => ({ sequence, time: sequence * 10, size: 100 });

function standing({ state, version, sequence, forgotten }: EntityCopy<All>) {
  return { items: state.items, version, sequence, forgotten };
}

function filled(remember = true): EntityCopy<All> {
  const copy = blank(definition, "b", remember);
  assertEquals(copy.take(put(0, "x", "y"), at(7)), undefined);
  return copy;
}

describe("EntityCopy", () => {
  it("takes the messages of its subject in order, and remembers their commands", () => {
    const copy = filled();
    copy.take(put(2, "z"), at(9));
    assertEquals(standing(copy), { items: ["x", "y", "z"], version: 3, sequence: 9, forgotten: false });
    assertEquals([...copy.remembered!.all], [
      { id: "PutIt c0", fingerprint: "f", result: "1", time: 70 },
      { id: "PutIt c2", fingerprint: "f", result: "1", time: 90 },
    ]);
  });

  it("passes over a message that continues an earlier version, and says why", () => {
    const copy = filled();
    assertEquals(copy.take(put(1, "z"), at(9)), "it continues version 1; the entity is at 2");
    assertEquals(standing(copy), { items: ["x", "y"], version: 2, sequence: 9, forgotten: false });
    assertEquals(copy.remembered!.count, 1);
  });

  it("throws if events are missing, cannot be applied, or an apply throws: nothing was changed then", () => {
    const copy = filled();
    const before = standing(copy);
    const missing = assertThrows(() => copy.take(put(5, "z"), at(9)), CatgaError);
    assertEquals([missing.code, missing.message], [
      "UNAVAILABLE",
      "events 3 to 5 of Box b are missing from the stream",
    ]);
    const unknown = group(head(2), { event: "Put", text: '"z"' }, { event: "Newer", text: "1" });
    const error = assertThrows(() => copy.take(unknown, at(9)), CatgaError, "Box b: its event 4, Box.Newer, is not in");
    assertEquals([error.code, error.retryable], ["UNAVAILABLE", true]);
    assertThrows(() => copy.take(put(2, "z", "broken"), at(9)), TypeError, "apply failed");
    assertEquals(standing(copy), before);
    assertEquals(copy.remembered!.count, 1);
  });

  it("a message without events ends a send, and changes nothing else", () => {
    const copy = filled();
    assertEquals(copy.take(group(headWithoutCommand(2, "s1")), at(9)), undefined);
    assertEquals(standing(copy), { items: ["x", "y"], version: 2, sequence: 9, forgotten: false });
    assertEquals([copy.remembered!.ended("s1"), copy.remembered!.ended("s2")], [true, false]);
    copy.take(group(headWithoutCommand(2)), at(10));
    assertEquals([copy.sequence, copy.remembered!.ended("")], [10, false]);
  });

  it("once forgotten it is as at its beginning, and takes nothing more", () => {
    const copy = filled();
    const forgets = group(headWithoutCommand(2), { event: "forgotten", text: '{"id":"b"}' });
    assertEquals(copy.take(forgets, at(9)), undefined);
    const all = { items: [], version: 2, forgotten: true };
    assertEquals(standing(copy), { ...all, sequence: 9 });
    assertEquals(copy.take(put(2, "z"), at(10)), "it continues version 2; the entity is at 2");
    assertEquals(standing(copy), { ...all, sequence: 10 });
  });

  it("an event called forgotten that a command emitted forgets nothing", () => {
    const copy = filled();
    const emitted = group(head(2), { event: "forgotten", text: '{"id":"b"}' });
    assertThrows(() => copy.take(emitted, at(9)), CatgaError, "Box.forgotten, is not in");
    assertEquals(copy.forgotten, false);
  });

  it("a copy to read on is independent, has a frozen state, and remembers no commands", () => {
    const copy = filled();
    const other = copy.toRead();
    copy.take(put(2, "z"), at(9));
    other.take(put(2, "w"), at(9));
    assertEquals([copy.state.items.at(-1), other.state.items.at(-1)], ["z", "w"]);
    assertEquals(other.remembered, undefined);
    assertEquals([copy, other].map(({ state }) => Object.isFrozen(state.items)), [true, true]);
  });

  it("its size grows with what it has read, to 1 MiB until it was measured, and counts what is remembered", () => {
    const copy = filled(false);
    const empty = blank(definition, "b", false).size;
    assertEquals(copy.size - empty, 100);
    copy.take(put(2, "z"), { ...at(9), size: 2_000_000 });
    assertEquals(copy.size, 1_048_576);
    copy.measured(5_000_000);
    assertEquals(copy.size - empty, 5_000_000);
    const remembering = filled();
    assertEquals(remembering.size - filled(false).size, remembering.remembered!.size);
  });
});
