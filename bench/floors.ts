/**
 * The table of docs/internals/measurements.md, "Floors": each aim of speed, what Catga takes and what the same takes by
 * hand, from the pages of figures of two builds.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { filled } from "./docs.ts";

/** A page of figures of two builds, `docs/figures/compared-deno.md` or `compared-bun.md`. */
class Page {
  /** Cells of each row behind its name, by table and name. */
  readonly #rows = new Map<string, readonly string[]>();
  /** Commits of the tables, by table. */
  readonly #commits = new Map<string, string>();

  constructor(text: string) {
    for (const [, id, block] of text.matchAll(/<!-- bench (\S+) -->([^]*?)<!-- \/bench -->/g)) {
      for (const line of block.split("\n").filter((line) => line.startsWith("|"))) {
        const [name, ...cells] = line.split("|").slice(1, -1).map((cell) => cell.trim());
        this.#rows.set(`${id}: ${name}`, cells);
      }
      this.#commits.set(id, /now: ([^;]+);/.exec(block)?.[1] ?? "");
    }
  }

  /** The cells `before`, `now` and `now ÷ before` of a row. */
  row(table: string, name: string): readonly string[] {
    return this.#rows.get(`${table}: ${name}`) ?? [];
  }

  /** The commits of which these tables have figures. */
  commits(tables: readonly string[]): string[] {
    return [...new Set(tables.flatMap((table) => this.#commits.get(table) ?? []))];
  }
}

/** Figures of a page as numbers, times in ms; `NaN` for one that is not there. `~` stands for the transport. */
interface Figures {
  before(table: string, row: string): number;
  now(table: string, row: string): number;
  ratio(table: string, row: string): number;
}

/** A row of the table. */
interface Floor {
  /** The number of the aim. */
  readonly aim: number;
  readonly name: string;
  /** `≤` or `≥`, a number, and its unit. */
  readonly limit: string;
  /** What Catga takes. */
  readonly own: (figures: Figures) => number;
  /** What the same takes by hand, and what this is. */
  readonly byHand?: readonly [name: string, of: (figures: Figures) => number];
}

const LED = "by hand, with steps over transport-node, led by a second process";
const ZOD = "200 functions with schemas of zod, by hand";
const PARKED = "killed, one of 8, with 9,000 parked and 8,000 in hand~";

function synced(atOnce: string): Floor {
  return {
    aim: 1,
    name: `each write synced ÷ Restate, ${atOnce} (\`workflows\`)`,
    limit: "≥ 4",
    own: ({ now }) => now("workflows", `Catga~, each write synced ÷ Restate, ${atOnce}`),
    byHand: ["four appends", ({ now }) => now("workflows", `by hand~, each write synced ÷ Restate, ${atOnce}`)],
  };
}

function appends(atOnce: string, title: string, limit: string): Floor {
  return {
    aim: 1,
    name: `${title} ÷ four appends (\`workflows\`)`,
    limit,
    own: ({ now }) => now("workflows", `Catga~ ÷ by hand~, ${atOnce}`),
    byHand: ["led", ({ now }) => now("workflows", `${LED} ÷ by hand~, ${atOnce}`)],
  };
}

function processor(atOnce: string): Floor {
  const row = `Catga~, ${atOnce}`;
  return {
    aim: 1,
    name: `processor of a run, ${atOnce} ÷ before (\`workflows\`, \`workflows-processor\`)`,
    limit: "≤ 0.6",
    own: ({ ratio }) => ratio("workflows-processor", row),
    byHand: ["led", ({ now, before }) => {
      return now("workflows-processor", `${LED}, ${atOnce}`) / before("workflows-processor", row);
    }],
  };
}

/** A start of a node: `form` follows the name of Catga's rows, `over` those by hand. */
function start(name: string, form: string, over: string): Floor {
  const connected = `a process to connect() done${over}`;
  return {
    aim: 2,
    name: `${name} (\`startup\`)`,
    limit: "≤ 1.25",
    own: ({ now }) => now("startup", `a process to catga() done${form} ÷ ${connected}`),
    byHand: ["a node", ({ now }) => now("startup", `a process to a node by hand${over} ÷ ${connected}`)],
  };
}

/** Memory of an idle node: `form` follows the name of Catga's rows, `over` those by hand. */
function memory(name: string, form: string, over: string): Floor {
  const above = (node: string) => ({ now }: Figures) => {
    return now("memory", `idle: ${node}`) - now("memory", `idle: one NATS connection${over}`);
  };
  return {
    aim: 4,
    name: `${name} (\`memory\`)`,
    limit: "≤ 6 MB",
    own: above(`a node of Catga${form}`),
    byHand: ["a node", above(`a node by hand${over}`)],
  };
}

function zod(compiler: string, table: string): Floor {
  const inferred = "200 functions inferred by hand, in a program with a command of Catga";
  return {
    aim: 8,
    name: `200 contracts with zod ÷ 200 functions with zod, \`${compiler}\` (${
      table === "types" ? "`types`" : `\`types\`, \`${table}\``
    })`,
    limit: "≤ 1.3",
    own: ({ now }) => now(table, `200 contracts with schemas of zod ÷ ${ZOD}, ${compiler}`),
    byHand: ["types inferred", ({ now }) => now(table, `${inferred} ÷ ${ZOD}, ${compiler}`)],
  };
}

function recursive(compiler: string): Floor {
  return {
    aim: 8,
    name: `a recursive payload beside a busy process a core, \`${compiler}\` (\`types\`)`,
    limit: "≤ 2 s",
    own: ({ now }) => now("types", `a model with 8 references to itself, beside a busy process a core, ${compiler}`),
  };
}

const FLOORS: readonly Floor[] = [
  appends("64 at once", "64 runs of three steps at once", "≥ 0.6"),
  appends("alone", "one run alone", "≥ 0.8"),
  processor("64 at once"),
  processor("256 at once"),
  synced("64 at once"),
  synced("256 at once"),
  synced("alone"),
  start("a process to routable ÷ one to `connect()` done", "~", "~"),
  start("the same, bundled", ", bundled~", "~"),
  start("the same, from npm", ", from npm", ""),
  {
    aim: 2,
    name: "processor of the import (`startup`, `startup-processor`)",
    limit: "≤ 15 ms",
    own: ({ now }) => now("startup-processor", "of it: import of Catga"),
    byHand: ["bundled", ({ now }) => now("startup-processor", "of it: import of Catga, bundled")],
  },
  {
    aim: 2,
    name: "the same, from npm (`startup`, `startup-processor`)",
    limit: "≤ 15 ms",
    own: ({ now }) => now("startup-processor", "of it: import of Catga, from npm"),
  },
  {
    aim: 3,
    name: "an `async` send ÷ by hand (`local`)",
    limit: "≤ 2.0",
    own: ({ now }) => now("local", "Catga, async ÷ by hand, async"),
  },
  {
    aim: 3,
    name: "heap of an `async` send (`local`, `local-heap`)",
    limit: "≤ 650 B",
    own: ({ now }) => now("local-heap", "Catga, async"),
    byHand: ["a send", ({ now }) => now("local-heap", "by hand, async")],
  },
  {
    aim: 3,
    name: "one behavior, over a sync send (`local`)",
    limit: "≤ 120 ns",
    own: ({ now }) => now("local", "Catga, 1 behavior") - now("local", "Catga, sync"),
  },
  {
    aim: 3,
    name: "an idempotent send (`local`)",
    limit: "≤ 8 µs",
    own: ({ now }) => now("local", "Catga, idempotent"),
    byHand: ["hash, claim, result", ({ now }) => now("local", "by hand, idempotent")],
  },
  memory("memory of an idle node over a connection", "~", "~"),
  memory("the same, bundled", ", bundled~", "~"),
  memory("the same, from npm", ", from npm", ""),
  ...["15", "85"].map((seconds): Floor => ({
    aim: 4,
    name: `processor of an idle node with 100 contracts, from ${seconds} s on (\`memory\`, \`idle\`)`,
    limit: "≤ 0.1 %",
    own: ({ now }) => now("idle", `idle: a node of Catga, 100 contracts~, from ${seconds} s on`),
    byHand: ["a node", ({ now }) => now("idle", `idle: a node by hand~, from ${seconds} s on`)],
  })),
  {
    aim: 5,
    name: "bytes that an idle node of 200 hears ÷ before, simulated (`growth-nodes`, `growth-nodes-bytes`)",
    limit: "≤ 0.5",
    own: ({ ratio }) => ratio("growth-nodes-bytes", "heard, 200, simulated"),
  },
  {
    aim: 5,
    name: "the same, real nodes (`growth-nodes`, `growth-nodes-bytes`)",
    limit: "≤ 0.5",
    own: ({ ratio }) => ratio("growth-nodes-bytes", "heard, 200"),
  },
  ...[", simulated", ""].map((simulated): Floor => ({
    aim: 5,
    name: `messages of an idle node of 200 ÷ before, ${
      simulated === "" ? "real nodes" : "simulated"
    } (\`growth-nodes\`, \`growth-nodes-traffic\`)`,
    limit: "≤ 0.5",
    own: ({ ratio }) => ratio("growth-nodes-traffic", `both, 200${simulated}`),
    byHand: ["4 pings and answers", ({ before }) => 4 / before("growth-nodes-traffic", `both, 200${simulated}`)],
  })),
  ...[", simulated", ""].map((simulated): Floor => ({
    aim: 5,
    name: `from a death until all of 200 know ÷ before, ${
      simulated === "" ? "real nodes" : "simulated"
    } (\`growth-nodes\`)`,
    limit: "≤ 1",
    own: ({ ratio }) => ratio("growth-nodes", `from a death until every node knows, 200${simulated}`),
  })),
  {
    aim: 6,
    name: "an event alone ÷ `consume()`, one node (`log`, `log-latency`)",
    limit: "≤ 1.3",
    own: ({ now }) => now("log-latency", "Catga, one node~ ÷ consume()~"),
    byHand: ["id and ttl", ({ now }) => now("log-latency", "consume(), each with an id and a ttl~ ÷ consume()~")],
  },
  {
    aim: 6,
    name: "the same, every second event at another process (`log`, `log-latency`)",
    limit: "≤ 1.3",
    own: ({ now }) => now("log-latency", "Catga, two nodes~ ÷ consume()~"),
    byHand: ["two processes", ({ now }) => {
      return now("log-latency", "consume(), by hand to one of two processes by key~ ÷ consume()~");
    }],
  },
  {
    aim: 6,
    name: "rows into PostgreSQL ÷ the same rows in memory (`log`, `log-postgres`)",
    limit: "≥ 0.8",
    own: ({ now }) => now("log-postgres", "onBatch~ ÷ by hand, the rows are in memory"),
    byHand: ["`consume()`", ({ now }) => now("log-postgres", "by hand, consume()~ ÷ by hand, the rows are in memory")],
  },
  {
    aim: 7,
    name: "the next event after a `kill -9` of the leader ÷ before (`log`, `log-takeover`)",
    limit: "≤ 0.6",
    own: ({ ratio }) => ratio("log-takeover", "killed, one of 8~"),
  },
  {
    aim: 7,
    name: "the same, 9,000 parked (`log`, `log-takeover`)",
    limit: "≤ 0.6",
    own: ({ ratio }) => ratio("log-takeover", PARKED),
    byHand: ["none parked", ({ now, before }) => {
      return now("log-takeover", "killed, one of 8~") / before("log-takeover", PARKED);
    }],
  },
  {
    aim: 7,
    name: "the next event after a clean hand-over (`log`, `log-takeover`)",
    limit: "≤ 60 ms",
    own: ({ now }) => now("log-takeover", "drained, one of 2 nodes~"),
  },
  zod("deno check", "types-processor"),
  zod("tsc 5.9", "types"),
  zod("tsc 7", "types"),
  recursive("deno check"),
  recursive("tsc 5.9"),
  recursive("tsc 7"),
];

/** The table, from the pages of Deno and of Bun. */
export function floorsTable(deno: string, bun: string): string {
  const [inDeno, inBun] = [new Page(deno), new Page(bun)];
  const columns: readonly Column[] = [
    { name: "Deno", page: inDeno, over: "" },
    { name: "Deno over transport-node", page: inDeno, over: ", transport-node" },
    { name: "Bun", page: inBun, over: "" },
  ];
  const rows = FLOORS.map((floor) => {
    const isOne = !dependsOnTransport(floor.own);
    const values = columns.map((column) => ({
      column,
      value: isOne && column.over !== "" ? NaN : valueIn(column, floor.own),
    }));
    const cells = values.map(({ column, value }) => cellOf(floor, column, value));
    const known = values.filter(({ value }) => !Number.isNaN(value));
    const reaching = known.filter(({ value }) => reaches(floor.limit, value)).map(({ column: { name } }) => name);
    const reached = known.length === 0
      ? "–"
      : reaching.length === 0
      ? "no"
      : reaching.length === known.length
      ? "yes"
      : `in ${reaching.join(", ")}`;
    return [`${floor.aim}`, floor.name, floor.limit, ...cells, floor.byHand?.[0] ?? "–", reached];
  });
  const head = ["aim", "figure (section, table)", "aim", ...columns.map(({ name }) => name), "by hand", "reached"];
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** Fills the table in the page of measurements that belongs to a folder of figures; does nothing if there is none. */
export async function fillFloors(figures: string): Promise<void> {
  const page = join(figures, "..", "internals", "measurements.md");
  if (!existsSync(page)) return;
  const [deno, bun] = await Promise.all(["deno", "bun"].map((runtime) => {
    return readFile(join(figures, `compared-${runtime}.md`), "utf8");
  }));
  const block = { id: "floors", text: floorsTable(deno, bun), measured: commitsOf(deno, bun) };
  await writeFile(page, filled(await readFile(page, "utf8"), [block]));
}

/** The sentence that says which commits the table is of. */
export function commitsOf(deno: string, bun: string): string {
  const figures = FLOORS.flatMap(({ own, byHand }) => byHand === undefined ? [own] : [own, byHand[1]]);
  const tables = [...new Set(figures.flatMap(cellsOf).map(({ table }) => table))];
  const [inDeno, inBun] = [deno, bun].map((text) => new Page(text).commits(tables).join(", "));
  return `Figures of ${inDeno} in Deno and ${inBun} in Bun.`;
}

/** Figures of one runtime over one transport. */
interface Column {
  readonly name: string;
  readonly page: Page;
  /** Stands in names in place of `~`. */
  readonly over: string;
}

/** A figure in a column; `NaN` if it is not there. */
function valueIn({ page, over }: Column, of: Floor["own"]): number {
  const cell = (at: number) => (table: string, row: string) => {
    return numberIn(page.row(table, row.replaceAll("~", over))[at]);
  };
  return of({ before: cell(0), now: cell(1), ratio: cell(2) });
}

/** Returns true if a figure is another one over another transport. */
function dependsOnTransport(of: Floor["own"]): boolean {
  return cellsOf(of).some(({ row }) => row.includes("~"));
}

/** The cells of which a figure is computed. */
function cellsOf(of: Floor["own"]): readonly { readonly table: string; readonly row: string }[] {
  const cells: { readonly table: string; readonly row: string }[] = [];
  const note = (table: string, row: string) => {
    cells.push({ table, row });
    return NaN;
  };
  of({ before: note, now: note, ratio: note });
  return cells;
}

/** The first number of a cell; times in ms. */
function numberIn(cell = ""): number {
  const [, digits, unit] = /^(?:× )?([\d.]+)(?: (ns|µs))?/.exec(cell) ?? [];
  return digits === undefined ? NaN : Number(digits) * (unit === "ns" ? 1e-6 : unit === "µs" ? 1e-3 : 1);
}

/** How many of a limit's unit 1 is, and how many places behind the point a figure has. */
const UNITS: Readonly<Record<string, readonly [factor: number, places: number]>> = {
  "": [1, 2],
  ns: [1e6, 0],
  µs: [1e3, 1],
  ms: [1, 0],
  s: [1e-3, 1],
  B: [1, 0],
  MB: [1, 1],
  // of a second's ms
  "%": [0.1, 2],
};

function partsOf(limit: string): { readonly least: boolean; readonly bound: number; readonly unit: string } {
  const [sign, bound, unit = ""] = limit.split(" ");
  return { least: sign === "≥", bound: Number(bound), unit };
}

/** Returns true if a figure, as it is printed, is within the limit. */
function reaches(limit: string, value: number): boolean {
  const { least, bound, unit } = partsOf(limit);
  const printed = Number(printedIn(unit, value));
  return least ? printed >= bound : printed <= bound;
}

function cellOf({ limit, byHand }: Floor, column: Column, value: number): string {
  if (Number.isNaN(value)) return "–";
  const { unit } = partsOf(limit);
  const beside = byHand === undefined ? NaN : valueIn(column, byHand[1]);
  const text = Number.isNaN(beside) ? "" : ` (${printedIn(unit, beside)})`;
  return `${printedIn(unit, value)}${text}`;
}

function printedIn(unit: string, value: number): string {
  const [factor, places] = UNITS[unit];
  return (value * factor).toFixed(places);
}
