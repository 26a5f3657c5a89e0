/** Prints results of commands: for programs as JSON, one value per line; for people as texts and tables. */
import { printable, printableJson } from "../../data/printable.ts";
import { table } from "./table.ts";
import { bold, type Terminal } from "./terminal.ts";

/** Prints a result of a command: `value` as JSON for programs, `text` for people. */
export function print(terminal: Terminal, json: boolean, value: unknown, text: string): void {
  terminal.write(`${json ? printableJson(value) : printable(text)}\n`);
}

/** A list that a command prints: for programs each value as soon as it comes, for people a table at the end. */
export class Listing {
  readonly #terminal: Terminal;
  readonly #json: boolean;
  readonly #columns: readonly string[];
  readonly #rows: string[][] = [];
  /** Number of rows added to the list. */
  count = 0;

  /** `columns`: titles of the table's columns, as {@link table} takes them. */
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

  /**
   * Ends the list. For people, prints the table, or `nothing` if no row was added. (For programs, the rows were
   * printed as they came.)
   */
  end(nothing = ""): void {
    if (this.count === 0) this.#terminal.say(printable(nothing));
    else if (!this.#json) this.#terminal.write(`${table(this.#terminal, this.#columns, this.#rows).join("\n")}\n`);
  }
}

/** Prints lines about one thing, each with its title, under the thing's name. */
export function facts(terminal: Terminal, name: string, lines: readonly (readonly [title: string, text: string])[]) {
  const shown = lines.map(([title, text]) => `${title.padEnd(LONGEST_TITLE)}  ${printable(text)}`);
  terminal.write(`${[bold(terminal, printable(name)), ...shown].join("\n")}\n`);
}

const LONGEST_TITLE = "forgotten".length;
