/**
 * Figures of two builds that were measured in turns, for the docs: each figure before and now, and the ratio of the
 * two, with the lowest and the highest ratio of the rounds.
 *
 * @module
 */
import { figureOf, ratioOf } from "./report.ts";
import type { Run } from "./run.ts";
import { ratios, type Rounds } from "./statistics.ts";
import { moreIsBetter, pairsOf, type Table, type Unit } from "./table.ts";

/** The commits of the two trees. */
export interface Commits {
  readonly before: string;
  readonly now: string;
}

/** A figure of a table; those of pairs of rows among them. */
interface Figure {
  readonly name: string;
  readonly unit: Unit;
  readonly rounds: Rounds;
}

/** Each table of either run, with its id; one that only one of them has is named. */
export function comparedTables(before: Run, now: Run): { readonly id: string; readonly text: string }[] {
  const gone = before.tables.filter(({ id }) => now.tables.every((table) => table.id !== id));
  return [...now.tables, ...gone].map((table) => {
    const [old, latest] = [before, now].map(({ tables }) => tables.find(({ id }) => id === table.id));
    if (old !== undefined && latest !== undefined) return { id: table.id, text: comparedTable(old, latest) };
    return { id: table.id, text: `**${table.title}**\n\n- only ${old === undefined ? "now" : "before"}` };
  });
}

/** The commits, the packages and the machine; it says so if the trees ran on different packages. */
export function comparedOn({ setting: before }: Run, { setting: now, date }: Run, commits: Commits): string {
  const same = before.transports === now.transports;
  const trees = same
    ? `before: ${commits.before}, now: ${commits.now}; ${now.transports}`
    : `ON DIFFERENT PACKAGES: before: ${commits.before}, ${before.transports}; now: ${commits.now}, ${now.transports}`;
  return `${trees}; ${now.runtime}, nats-server ${now.natsServer}; ${now.machine}; ${date.slice(0, 10)}.`;
}

function comparedTable(before: Table, now: Table): string {
  const old = new Map(figuresOf(before).map((figure) => [figure.name, figure]));
  const figures = figuresOf(now);
  const lines = figures.flatMap(({ name, unit, rounds }) => {
    const earlier = old.get(name);
    if (earlier === undefined) return [];
    const cells = [figureOf(earlier.rounds, unit), figureOf(rounds, unit), ratioOf(rounds, earlier.rounds)];
    return [`| ${[name, ...cells].join(" | ")} |`];
  });
  const better = moreIsBetter(now.unit) ? "more" : "less";
  const alone = (some: readonly Figure[], others: readonly Figure[]) =>
    some.filter(({ name }) => others.every((other) => other.name !== name)).map(({ name }) => name).join("; ");
  const earlier = [...old.values()];
  const only = [["before", alone(earlier, figures)], ["now", alone(figures, earlier)]]
    .filter(([, names]) => names !== "")
    .map(([when, names]) => `- only ${when}: ${names}`);
  return [
    `**${now.title}**`,
    "",
    `|  | before | now | now ÷ before, ${better} is better |`,
    "| --- | ---: | ---: | ---: |",
    ...lines,
    ...only.length > 0 ? ["", ...only] : [],
  ].join("\n");
}

/** The figures of a table's rows and of its pairs of rows; their names have the column, if there are several. */
function figuresOf(table: Table): Figure[] {
  const { columns, rows, unit } = table;
  const named = (name: string, column: number) => columns.length === 1 ? name : `${name}, ${columns[column]}`;
  const figures = [
    ...rows.flatMap(({ name, cells }) => cells.map((rounds, at) => ({ name: named(name, at), unit, rounds }))),
    ...pairsOf(table).flatMap(({ row, against }) =>
      row.cells.map((rounds, at) => ({
        name: named(`${row.name} ÷ ${against.name}`, at),
        unit: "times" as const,
        rounds: ratios(rounds, against.cells[at]),
      }))
    ),
  ];
  return figures.filter(({ rounds }) => rounds.length > 0);
}
