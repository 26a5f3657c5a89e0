import { describe, it } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { entity } from "../../mod.ts";
import { withoutName } from "../log/format/entity_group.ts";
import { EntityCopy } from "./entity_copy.ts";
import { readSnapshot, snapshotDue, snapshotText } from "./snapshots.ts";

interface State {
  readonly at: Date;
  readonly text: string;
}

const made = (version = 1) =>
  entity<State>("Box", { initial: () => ({ at: new Date(0), text: "" }), version })["~entity"];
const copy = (version = 100, state: State = { at: new Date(7), text: "two\nlines" }) =>
  new EntityCopy(made(), "b", { state, version, sequence: 42, mark: "n.1.7", time: 5, size: 0 });

describe("a snapshot", () => {
  it("is read as it was written", () => {
    const text = snapshotText(copy(), "stream");
    assertEquals(text.split("\n").length, 2);
    const read = readSnapshot(made(), "b", { text, created: "stream" })!;
    assertEquals([read.version, read.sequence, read.mark, read.state], [100, 42, "n.1.7", copy().state]);
  });

  it("does not count when it is of another stream, entity or version, or malformed", () => {
    const text = snapshotText(copy(), "stream");
    const read = (text: string, { id = "b", created = "stream", version = 1 } = {}) =>
      readSnapshot(made(version), id, { text, created });
    assertEquals(read(text, { created: "another" }), undefined);
    assertEquals(read(text, { id: "another" }), undefined);
    assertEquals(read(text, { version: 2 }), undefined);
    for (let cut = text.indexOf("\n") + 2; cut < text.length; cut++) {
      assertEquals(read(text.slice(0, cut)), undefined, `cut at ${cut}`);
    }
    for (const other of ["", "\n", "{}\n1", "[1]\n1", text.replace("42", "-42")]) {
      assertEquals(read(other), undefined, other);
    }
  });

  it("is due after 100 events, within a second of the last one after 500, and never of a forgotten entity", () => {
    const due = (events: number, since: number, forgotten = false) => {
      const at = copy(1_000 + events);
      at.snapshot = { version: 1_000, at: 0 };
      const mark = { mark: "n.1.8", endpoint: "n.1", first: 8, items: [], commands: [withoutName("")], version: 0 };
      if (forgotten) at.take(mark, { sequence: 43, time: 6, size: 1 });
      return snapshotDue(at, since);
    };
    assertEquals([due(99, 5_000), due(100, 5_000), due(100, 1_000)], [undefined, "now", "now"]);
    assertEquals([due(100, 999), due(499, 999), due(500, 0)], ["later", "later", "now"]);
    assertEquals(due(500, 5_000, true), undefined);
  });

  it("of a state that cannot be sent there is none", () => {
    const odd = copy(1, { at: new Date(0), text: (() => {}) as unknown as string });
    assertThrows(() => snapshotText(odd, "stream"), Error, "state.text is a function");
  });
});
