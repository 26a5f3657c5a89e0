/** Text and values of other processes for the page: with hidden characters visible, and cut. */
import { printable, printableJson } from "../data/printable.ts";
import { valueText } from "../data/value_text.ts";

/** Returns a name, an id or a key, safe and cut to `most` characters. */
export function shownText(text: string, most = 120): string {
  const cut = text.length <= most ? text : `${text.slice(0, most)}… (${text.length} characters)`;
  return printable(cut.toWellFormed());
}

/**
 * Returns an id, a key, or the name of a lock, safe and up to 600 characters long: the page shows the beginning of a
 * long one until the user wants to see more.
 */
export function shownId(text: string): string {
  return shownText(text, 600);
}

/** Returns a text of several lines, such as a stack, safe and cut to `most` characters. */
export function shownLines(text: string, most = 4_200): string {
  return text.slice(0, most).split("\n").map((line) => shownText(line, most)).join("\n");
}

/** Formats a number for people. */
export function shownCount(n: number): string {
  return n.toLocaleString("en-US");
}

/** Returns a value as JSON: on several lines if it is small, else its beginning on one line. */
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
