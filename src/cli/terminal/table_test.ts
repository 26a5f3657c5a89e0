import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import type { Terminal } from "./terminal.ts";
import { table } from "./table.ts";

const COLUMNS = ["NAME", ">SIZE", "NOTE"] as const;

describe("table", () => {
  it("columns are as wide as their contents, figures are aligned to the right, and wide characters count twice", () => {
    assertEquals(table(terminal(), COLUMNS, [["茶", "7", "x"], ["assam", "12,000", ""]]), [
      "NAME     SIZE  NOTE",
      "茶          7  x",
      "assam  12,000",
    ]);
  });

  it("a title that is wider than its contents has them aligned to it, in columns of text and of figures", () => {
    assertEquals(table(terminal(), COLUMNS, [["a", "7", "x"]]), ["NAME  SIZE  NOTE", "a        7  x"]);
  });

  it("lines are cut at the width of the terminal, also within a wide character", () => {
    assertEquals(table(terminal(9), ["NAME"], [["assam-tea-1"], ["茶茶茶茶茶"], ["nilgiri-1"]]), [
      "NAME",
      "assam-te…",
      "茶茶茶茶…",
      "nilgiri-1",
    ]);
  });

  it("a rare Chinese character takes two places (of 𠮷野家 the next column stood one too far right)", () => {
    assertEquals(table(terminal(), ["NAME", "N"], [["𠮷野家", "1"], ["tea", "2"]]), [
      "NAME    N",
      "𠮷野家  1",
      "tea     2",
    ]);
  });

  it("control characters in a cell are escaped", () => {
    assertEquals(table(terminal(), ["NAME"], [["a\nb"]]), ["NAME", "a\\u{a}b"]);
  });
});

function terminal(columns?: number): Terminal {
  return {
    write: () => {},
    say: () => {},
    read: () => Promise.resolve(""),
    columns,
    colors: false,
    environment: {},
    signal: new AbortController().signal,
  };
}
