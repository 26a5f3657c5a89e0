/** Tables for people: columns as wide as their contents, lines cut at the width of the terminal. */
import { printable } from "../../data/printable.ts";
import { bold, type Terminal } from "./terminal.ts";

const GAP = "  ";

/**
 * Returns the lines of a table, the titles of its columns first. A title that begins with `>` is that of a column of
 * numbers, which is right-aligned.
 */
export function table(terminal: Terminal, columns: readonly string[], cells: readonly (readonly string[])[]): string[] {
  const rows = cells.map((row) => row.map(printable));
  const titles = columns.map((title) => title.replace(/^>/, ""));
  const widths = titles.map((title, i) => Math.max(title.length, ...rows.map((row) => width(row[i]))));
  const line = (cells: readonly string[]) => {
    const text = cells.map((cell, i) => {
      const pad = " ".repeat(Math.max(0, widths[i] - width(cell)));
      return columns[i].startsWith(">") ? pad + cell : cell + pad;
    }).join(GAP).trimEnd();
    return cut(text, terminal.columns);
  };
  return [bold(terminal, line(titles)), ...rows.map(line)];
}

/** Returns a line of text, cut with `…` if it is wider than `columns`. */
export function cut(text: string, columns: number | undefined): string {
  if (columns === undefined || width(text) <= columns) return text;
  let [kept, taken] = ["", 0];
  for (const character of text) {
    taken += width(character);
    if (taken > columns - 1) break;
    kept += character;
  }
  return `${kept}…`;
}

/** Returns the width of a text on the screen: wide characters take two places, combining marks none. */
function width(text: string): number {
  let places = 0;
  for (const character of text) places += MARK.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return places;
}

const MARK = /\p{Mn}|\p{Me}/u;
const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\p{Ideographic}\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u;
