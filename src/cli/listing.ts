/** Prints results: as JSON for programs, a value a line; as text and tables for people. */
import { printable, printableJson } from "../data/printable.ts";
import { table } from "./table.ts";
import { bold, type Terminal } from "./terminal.ts";

/** Prints a result: `value` for programs, `text` for people. */
export function print(terminal: Terminal, json: boolean, value: unknown, text: string): void {
  terminal.write(`${json ? printableJson(value) : printable(text)}\n`);
}

/** The list that a command prints: for programs each value as it comes, for people a table at the end. */
export class Listing {
  readonly #terminal: Terminal;
  readonly #json: boolean;
  readonly #columns: readonly string[];
  readonly #rows: string[][] = [];
  /** Number of rows. */
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

  /** Ends the listing: prints the table, or `nothing` if no row was added. Rows of JSON were printed as they came. */
  end(nothing = ""): void {
    if (this.count === 0) this.#terminal.say(printable(nothing));
    else if (!this.#json) this.#terminal.write(`${table(this.#terminal, this.#columns, this.#rows).join("\n")}\n`);
  }
}

/** Prints lines about one thing, under its name. */
export function facts(terminal: Terminal, name: string, lines: readonly (readonly [title: string, text: string])[]) {
  const shown = lines.map(([title, text]) => `${title.padEnd(LONGEST_TITLE)}  ${printable(text)}`);
  terminal.write(`${[bold(terminal, printable(name)), ...shown].join("\n")}\n`);
}

const LONGEST_TITLE = "forgotten".length;
