/** Colors of a terminal, or none. */
import { stripVTControlCharacters, styleText } from "node:util";

/** Functions that paint a text, by style. */
export type Paint = Readonly<Record<"bold" | "dim" | "red" | "green" | "yellow" | "cyan", (text: string) => string>>;

/** Returns functions that add escape codes, or leave texts as they are. */
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

/** Returns the number of columns of a text, without its escape codes. */
export function visibleLength(text: string): number {
  return [...stripVTControlCharacters(text)].length;
}
