/** All that the tool uses of its process: output, input, environment, and Ctrl-C. */
import { styleText } from "node:util";
import { printable, printableJson } from "../data/printable.ts";

/** A terminal, or a stand-in for one; without one `cli` uses that of the process. */
export interface Terminal {
  /** Writes to standard output, unchanged: the results. */
  write(text: string): void;
  /** Writes a line to standard error: everything else. */
  say(line: string): void;
  /** All of standard input. */
  read(): Promise<string>;
  /** How many characters fit on a line; absent if standard output is not a terminal: then nothing is cut. */
  readonly columns?: number | undefined;
  /** How many lines fit on the screen; absent if that is not known. */
  readonly rows?: number | undefined;
  /** True if standard output is a terminal that shows colors. */
  readonly colors: boolean;
  /** The environment: `NATS_URL` and the like. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Aborts at Ctrl-C. */
  readonly signal: AbortSignal;
}

/** The terminal of the tool, which may be a stand-in, says whether there are colors; not that of the process. */
const ALWAYS = { validateStream: false };

/** Bold text, if the terminal has colors. */
export function bold(terminal: Terminal, text: string): string {
  return terminal.colors ? styleText("bold", text, ALWAYS) : text;
}

/** Dim text, if the terminal has colors. */
export function dim(terminal: Terminal, text: string): string {
  return terminal.colors ? styleText("dim", text, ALWAYS) : text;
}

/** Severities of alarms and findings, as wide as each other. */
export const SEVERITIES = { error: "ERROR  ", warning: "WARNING" } as const;

// Results: for programs JSON, a value a line; for people text and tables.

/** Prints a result: its value for programs, its text for people. */
export function print(terminal: Terminal, json: boolean, value: unknown, text: string): void {
  terminal.write(`${json ? printableJson(value) : printable(text)}\n`);
}

/** The list that a command prints: for programs each value as it comes, for people a table at the end. */
export class Listing {
  readonly #terminal: Terminal;
  readonly #json: boolean;
  readonly #columns: readonly string[];
  readonly #rows: string[][] = [];
  /** How many there are. */
  count = 0;

  /** `columns` as in {@link table}. */
  constructor(terminal: Terminal, json: boolean, columns: readonly string[]) {
    this.#terminal = terminal;
    this.#json = json;
    this.#columns = columns;
  }

  add(value: unknown, cells: string[]): void {
    this.count++;
    if (this.#json) this.#terminal.write(`${printableJson(value)}\n`);
    else this.#rows.push(cells);
  }

  /** Prints what is left to print: the table, or that there was nothing. */
  end(nothing = ""): void {
    if (this.count === 0) this.#terminal.say(printable(nothing));
    else if (!this.#json) this.#terminal.write(`${table(this.#terminal, this.#columns, this.#rows).join("\n")}\n`);
  }
}

/** Lines about one thing, under its name. */
export function facts(terminal: Terminal, name: string, lines: readonly (readonly [title: string, text: string])[]) {
  const shown = lines.map(([title, text]) => `${title.padEnd(LONGEST_TITLE)}  ${printable(text)}`);
  terminal.write(`${[bold(terminal, printable(name)), ...shown].join("\n")}\n`);
}

const LONGEST_TITLE = "forgotten".length;

// Tables for people: columns as wide as their contents, lines cut at the width of the terminal.

const GAP = "  ";

/** The lines of a table, with its titles. Before that of a column of figures, which stand right, is a `>`. */
export function table(terminal: Terminal, columns: readonly string[], cells: readonly (readonly string[])[]): string[] {
  const rows = cells.map((row) => row.map(printable));
  const last = columns.length - 1;
  const titles = columns.map((title) => title.replace(/^>/, ""));
  const widths = titles.map((title, i) => Math.max(title.length, ...rows.map((row) => width(row[i]))));
  const line = (cells: readonly string[]) => {
    const text = cells.map((cell, i) => {
      const pad = " ".repeat(Math.max(0, widths[i] - width(cell)));
      if (columns[i].startsWith(">")) return pad + cell;
      return i === last ? cell : cell + pad;
    }).join(GAP).trimEnd();
    return cut(text, terminal.columns);
  };
  return [bold(terminal, line(titles)), ...rows.map(line)];
}

/** The line, cut off with `…` if it is too long. */
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

/** The width of a text on the screen: wide characters take two places, combining marks none. */
function width(text: string): number {
  let places = 0;
  for (const character of text) places += MARK.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return places;
}

const MARK = /\p{Mn}|\p{Me}/u;
const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\p{Ideographic}\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u;
