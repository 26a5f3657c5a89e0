/**
 * Makes texts and values of other processes safe to show on the page: hidden characters become visible, and long
 * texts are cut.
 */
import { printable, printableJson } from "../data/printable.ts";
import { valueText } from "../data/value_text.ts";

/** Returns a name, an id or a key, safe to show, and cut to `most` characters. */
export function shownText(text: string, most = 120): string {
  const cut = text.length <= most ? text : `${text.slice(0, most)}… (${text.length} characters)`;
  return printable(cut.toWellFormed());
}

/**
 * Returns an id, a key, or the name of a lock, safe to show, with up to 600 characters. Of a long one, the page shows
 * the beginning until the user wants to see more.
 */
export function shownId(text: string): string {
  return shownText(text, 600);
}

/** Returns a text of several lines, such as a stack trace, safe to show, and cut to `most` characters. */
export function shownLines(text: string, most = 4_200): string {
  return text.slice(0, most).split("\n").map((line) => shownText(line, most)).join("\n");
}

/** Formats a number for people, with separators. */
export function shownCount(n: number): string {
  return n.toLocaleString("en-US");
}

/** Returns a value as JSON, safe to show: on several lines if it is small, else its beginning on one line. */
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
