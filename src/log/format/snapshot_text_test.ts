import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { readSnapshotText, writeSnapshotText } from "./snapshot_text.ts";

const SNAPSHOT = {
  definition: 3,
  created: "c",
  sequence: 42,
  mark: "n.1.7",
  version: 100,
  id: "a\nb",
  shape: 4_000_000_000,
  state: '{"n":1}',
};

describe("the text of a snapshot", () => {
  it("is read as it was written", () => {
    const text = writeSnapshotText(SNAPSHOT);
    assertEquals(text.split("\n").length, 2);
    assertEquals(readSnapshotText(text), SNAPSHOT);
  });

  it("of another format, or malformed, has no parts", () => {
    const text = writeSnapshotText(SNAPSHOT);
    for (
      const other of [
        "",
        "\n",
        "{}\n1",
        "no JSON\n1",
        text.replace(",4000000000]", "]"),
        text.replace("[3,3", "[2,3"),
        text.replace('"n.1.7"', "7"),
        text.replace("42", "-42"),
        text.replace("42", "0"),
        text.replace("100", "1.5"),
        text.replace("[3,3", '[3,"3"'),
        text.replace('"c"', "null"),
        text.replace("4000000000", "null"),
      ]
    ) assertEquals(readSnapshotText(other), undefined, other);
  });
});
