/** Text and values of other processes, as the page gets them: hidden characters visible, and cut. */
import { printable, printableJson } from "../data/printable.ts";
import { valueText } from "../data/value_text.ts";

/** A name, an id or a key. */
export function shownText(text: string, most = 120): string {
  const cut = text.length <= most ? text : `${text.slice(0, most)}… (${text.length} characters)`;
  return printable(cut.toWellFormed());
}

/**
 * An id, a key, or the name of a lock, whole: the page shows the beginning of a long one until it is asked for more.
 */
export function shownId(text: string): string {
  return shownText(text, 600);
}

/** A text of several lines, such as a stack, of `most` characters. */
export function shownLines(text: string, most = 4_200): string {
  return text.slice(0, most).split("\n").map((line) => shownText(line, most)).join("\n");
}

/** A number for people. */
export function shownCount(n: number): string {
  return n.toLocaleString("en-US");
}

/** A value as JSON: on several lines if it is small, else its beginning on one. */
export function shownValue(value: unknown, most = 4_000): string {
  let text: string;
  try {
    ({ text } = valueText(value, "json", "value"));
    if (text.length <= most) return printableJson(value, 2) ?? "";
  } catch (error) {
    return `cannot be shown: ${(error as Error).message}`;
  }
  return shownText(text, most);
}
