/** Colors of a terminal, or none. */

/** What text may be painted with. */
export type Paint = Readonly<Record<"bold" | "dim" | "red" | "green" | "yellow" | "cyan", (text: string) => string>>;

/** With escape codes, or with none at all. */
export function paintWith(escapes: boolean): Paint {
  const code = (on: number, off: number) => (text: string) => escapes ? `\x1b[${on}m${text}\x1b[${off}m` : text;
  return {
    bold: code(1, 22),
    dim: code(2, 22),
    red: code(31, 39),
    green: code(32, 39),
    yellow: code(33, 39),
    cyan: code(36, 39),
  };
}

/** How many columns a text takes, escape codes apart. */
export function visibleLength(text: string): number {
  // deno-lint-ignore no-control-regex -- these are what is left out
  return [...text.replace(/\x1b\[[0-9;]*m/g, "")].length;
}
