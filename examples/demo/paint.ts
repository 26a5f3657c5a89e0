/** Colors of a terminal, or none. */
import { stripVTControlCharacters, styleText } from "node:util";

/** What text may be painted with. */
export type Paint = Readonly<Record<"bold" | "dim" | "red" | "green" | "yellow" | "cyan", (text: string) => string>>;

/** With escape codes, or with none at all. */
export function paintWith(escapes: boolean): Paint {
  const paint = (format: keyof Paint) => (text: string) =>
    escapes ? styleText(format, text, { validateStream: false }) : text;
  return {
    bold: paint("bold"),
    dim: paint("dim"),
    red: paint("red"),
    green: paint("green"),
    yellow: paint("yellow"),
    cyan: paint("cyan"),
  };
}

/** How many columns a text takes, escape codes apart. */
export function visibleLength(text: string): number {
  return [...stripVTControlCharacters(text)].length;
}
