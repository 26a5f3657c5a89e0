import { describe, it } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { entity } from "../../mod.ts";
import { EntityCopy } from "./entity_copy.ts";
import { Remembered } from "./remembered.ts";
import { readSnapshot, snapshotDue, snapshotText } from "./snapshots.ts";

const made = (version = 1) =>
  entity<{ at: Date; text: string }>("Box", { initial: () => ({ at: new Date(0), text: "" }), version })["~entity"];
const command = { id: "c", fingerprint: "f", result: "1", time: 5 };
const copy = () =>
  new EntityCopy(made(), "b", {
    state: { at: new Date(7), text: "two\nlines" },
    version: 100,
    sequence: 42,
    size: 0,
    remembered: new Remembered([command]),
    forgotten: false,
  });

describe("a snapshot", () => {
  it("is read as it was written, with or without the remembered commands", () => {
    const text = snapshotText(copy(), "stream");
    assertEquals(text.split("\n").length, 3);
    const read = readSnapshot(made(), "b", { text, created: "stream", remember: true })!;
    assertEquals([read.version, read.sequence, read.state], [100, 42, copy().state]);
    assertEquals([...read.remembered!.all], [command]);
    const broken = `${text.slice(0, text.lastIndexOf("\n"))}\nno JSON`;
    assertEquals(
      readSnapshot(made(), "b", { text: broken, created: "stream", remember: false })?.remembered,
      undefined,
    );
    assertEquals(readSnapshot(made(), "b", { text: broken, created: "stream", remember: true }), undefined);
  });

  it("does not count when it is of another stream, entity or version, or malformed", () => {
    const text = snapshotText(copy(), "stream");
    const read = (text: string, { id = "b", created = "stream", version = 1 } = {}) =>
      readSnapshot(made(version), id, { text, created, remember: true });
    assertEquals(read(text, { created: "another" }), undefined);
    assertEquals(read(text, { id: "another" }), undefined);
    assertEquals(read(text, { version: 2 }), undefined);
    for (let cut = 0; cut < text.length; cut++) assertEquals(read(text.slice(0, cut)), undefined, `cut at ${cut}`);
    for (const other of ["", "\n\n", "{}\n1\n[]", "[1]\n1\n[null]", text.replace("42", "-42")]) {
      assertEquals(read(other), undefined, other);
    }
  });

  it("is due every 100 events, every 500 while many commands are remembered, and never of a forgotten entity", () => {
    const due = (before: number, version: number, { commands = 1, forgotten = false } = {}) => {
      const all = Array.from({ length: commands }, (_, n) => ({ ...command, id: `${n}` }));
      const remembered = new Remembered(all);
      const parts = { state: { at: new Date(0), text: "" }, sequence: 1, size: 0, version, remembered, forgotten };
      return snapshotDue(new EntityCopy(made(), "b", parts), before);
    };
    assertEquals([due(98, 99), due(99, 100), due(100, 101), due(95, 105), due(0, 512)], [
      ...[false, true, false, true, true],
    ]);
    assertEquals([due(299, 300, { commands: 1_024 }), due(299, 300, { commands: 1_025 })], [true, false]);
    assertEquals([due(499, 500, { commands: 4_096 }), due(499, 500, { forgotten: true })], [true, false]);
  });

  it("of a state that cannot be sent there is none", () => {
    const state = { at: new Date(0), text: (() => {}) as unknown as string };
    const odd = new EntityCopy(made(), "b", {
      ...{ state, version: 1, sequence: 1, size: 0, remembered: undefined, forgotten: false },
    });
    assertThrows(() => snapshotText(odd, "stream"), Error, "state.text is a function");
  });
});
