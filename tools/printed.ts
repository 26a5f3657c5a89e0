/**
 * Compares the lines that examples print with the comments beside them.
 *
 *   console.log(result.value); // hello tea: what follows a colon is a remark
 *   for (const n of [1, 2]) console.log(n); // 1, then 2
 *   console.log(app.self); // { id: "…", … }: the ellipsis stands for anything
 *
 * @module
 */
import { inspect } from "node:util";

/** A line that prints, and says what. */
const PRINTING = /^(.*?)\bconsole\.log\((.*\)[;,]) \/\/ (.+)$/;
/** How long a line may take that a handler prints after its module has run, in ms. */
const LATE = 5_000;

/** The comments of the lines that print, by the number of the line. */
export function commentsOf(module: string): Map<number, string> {
  return new Map(
    module.split("\n").flatMap((line, i) => {
      const comment = PRINTING.exec(line)?.[3];
      return comment === undefined ? [] : [[i + 1, comment]];
    }),
  );
}

/** The module with these lines printing to a {@link Printed}, which it exports; its first line has to be empty. */
export function recording(module: string): string {
  const [, ...lines] = module.split("\n");
  const here = JSON.stringify(import.meta.url);
  const first = `import { Printed as $Printed } from ${here}; export const $printed = new $Printed();`;
  return [first, ...lines.map((line, i) => line.replace(PRINTING, `$1$printed.at(${i + 2})($2 // $3`))].join("\n");
}

/** The lines that a module has printed. */
export class Printed {
  readonly #lines = new Map<number, string[]>();

  /** Prints for a line. */
  at(line: number): (...values: readonly unknown[]) => void {
    return (...values) => {
      const printed = this.#lines.get(line) ?? [];
      this.#lines.set(line, [...printed, textOf(values)]);
    };
  }

  /** The lines that have not printed what their comment says, with both; waits for those that print late. */
  async wrong(comments: ReadonlyMap<number, string>, late = LATE): Promise<string[]> {
    const wrong = () =>
      [...comments].flatMap(([line, comment]) => {
        const printed = this.#lines.get(line) ?? [];
        if (isSaid(printed, comment)) return [];
        return [`line ${line} printed ${printed.length === 0 ? "nothing" : printed.join(", then ")}; says ${comment}`];
      });
    for (let waited = 0; waited < late && wrong().length > 0; waited += 50) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return wrong();
  }
}

function textOf(values: readonly unknown[]): string {
  const shown = (value: unknown) =>
    "Deno" in globalThis
      ? Deno.inspect(value, { breakLength: Infinity, compact: true })
      : inspect(value, { breakLength: Infinity });
  return values.map((value) => typeof value === "string" ? value : shown(value)).join(" ");
}

function isSaid(printed: readonly string[], comment: string): boolean {
  if (printed.length === 0) return false;
  // of a comment with an ellipsis, the parts around it
  const [said] = comment.split(/: (?![^{[]*[}\]])|; /);
  const parts = said.split("…").map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const text = printed.join(", then ");
  return comment === text || comment.startsWith(`${text}: `) || comment.startsWith(`${text}; `) ||
    (parts.length > 1 && new RegExp(`^${parts.join("[^]*")}$`).test(text));
}
