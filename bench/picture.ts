/**
 * The pictures of the docs: bars, one group for each column of a table, in colors that a light page and a dark one can
 * bear.
 *
 * @module
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { amount } from "./report.ts";
import type { Run } from "./run.ts";
import { median } from "./statistics.ts";
import { moreIsBetter, type Row, type Table } from "./table.ts";

/** What a picture shows of a table. */
interface Picture {
  readonly table: string;
  readonly title: string;
  /** The rows of the table are the groups, and its columns the bars. */
  readonly transposed?: true;
  /** The columns that it shows, with what is written over each. */
  readonly groups: readonly { readonly column: string; readonly caption: string }[];
  /** The rows that it shows, in this order, with what is written before each. */
  readonly bars: readonly { readonly row: string; readonly caption: string }[];
}

const REMOTE_BARS = [
  { row: "Catga", caption: "Catga" },
  { row: "Moleculer", caption: "Moleculer" },
  { row: "@nats-io/services", caption: "@nats-io/services" },
  { row: "nc.request", caption: "nats.js nc.request" },
  { row: "NestJS microservice", caption: "NestJS" },
];

const GROWTH_BARS = ["10", "100", "200", "10, simulated", "100, simulated", "200, simulated"].map((row) => ({
  row,
  caption: row.replace(/^\d+/, "$& nodes"),
}));

const PICTURES: readonly Picture[] = [
  {
    table: "remote",
    title: "Requests a second to another process, over NATS",
    groups: [
      { column: "1", caption: "one at a time" },
      { column: "64", caption: "64 under way" },
      { column: "256", caption: "256 under way" },
      { column: "1,024", caption: "1,024 under way" },
    ],
    bars: REMOTE_BARS,
  },
  {
    table: "latency",
    title: "One request at a time, over NATS",
    groups: [{ column: "p50", caption: "half of them take at most" }, {
      column: "p99",
      caption: "99 of 100 take at most",
    }],
    bars: REMOTE_BARS,
  },
  {
    table: "local",
    title: "A send in one process",
    groups: [{ column: "a send", caption: "awaited before the next one" }],
    bars: [
      { row: "by hand, in the loop", caption: "Map, by hand" },
      { row: "Catga, sync", caption: "Catga" },
      { row: "Moleculer, sync", caption: "Moleculer" },
      { row: "NestJS CQRS, sync", caption: "NestJS CQRS" },
      { row: "mediatr-ts, sync", caption: "mediatr-ts" },
    ],
  },
  {
    table: "growth-nodes",
    title: "A cluster that grows: how soon every node knows",
    transposed: true,
    groups: [
      { column: "from the join until every node knows", caption: "that one has joined" },
      { column: "from a death until every node knows", caption: "that one has died" },
    ],
    bars: GROWTH_BARS,
  },
  {
    table: "growth-nodes-bytes",
    title: "A cluster that grows: what an idle node hears in a second",
    transposed: true,
    groups: [{ column: "heard", caption: "records of others, pings, heartbeats" }],
    bars: GROWTH_BARS,
  },
];

/** Draws the pictures that the run has figures for: `<table>-<runtime>.svg`, in a folder that is made. */
export async function drawPictures(folder: string, run: Run): Promise<void> {
  await mkdir(folder, { recursive: true });
  const [runtime] = run.setting.runtime.toLowerCase().split(" ");
  for (const picture of PICTURES) {
    const table = run.tables.find(({ id }) => id === picture.table);
    if (table === undefined) continue;
    const { runtime: version, natsServer, machine } = run.setting;
    const where = `${version}, nats-server ${natsServer}, ${machine}`;
    await writeFile(join(folder, `${picture.table}-${runtime}.svg`), draw(picture, table, where));
  }
}

const WIDTH = 720;
const LEFT = 160;
const BAR = 18;
const GAP = 6;
const HEAD = 64;
/** Above the bars of a group, for its caption. */
const CAPTION = 30;

const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 16px; font-weight: 600 }
  .quiet { fill: #57606a; font-size: 12px }
  .ours { fill: #1a7f64 }
  .theirs { fill: #afb8c1 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .quiet { fill: #9198a1 }
    .ours { fill: #3fb68f }
    .theirs { fill: #57606a }
  }`;

/** A picture of a table, as the text of an SVG file. */
export function draw(picture: Picture, measured: Table, where: string): string {
  const table = picture.transposed ? transposed(measured) : measured;
  const bars = picture.bars.flatMap(({ row: name, caption }) => {
    const row = table.rows.find((row) => row.name === name);
    return row === undefined ? [] : [{ row, caption }];
  });
  const groups = picture.groups.flatMap(({ column, caption }) => {
    const at = table.columns.indexOf(column);
    return at === -1 ? [] : [{ at, caption }];
  });
  const height = HEAD + groups.length * (CAPTION + bars.length * (BAR + GAP)) + 34;
  const parts = [text(16, 28, picture.title, "title")];
  parts.push(text(16, 48, moreIsBetter(table.unit) ? "longer is better" : "shorter is better", "quiet"));
  let y = HEAD;
  for (const { at, caption } of groups) {
    const most = Math.max(...bars.map(({ row }) => valueOf(row, at)));
    parts.push(text(LEFT, y + 16, caption, "quiet"));
    y += CAPTION - 6;
    for (const { row, caption } of bars) {
      const width = Math.max(1, (WIDTH - LEFT - 110) * valueOf(row, at) / most);
      const kind = picture.transposed || caption === "Catga" ? "ours" : "theirs";
      parts.push(text(LEFT - 10, y + 13, caption, "", "end"));
      parts.push(`<rect class="${kind}" x="${LEFT}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" rx="3"/>`);
      parts.push(text(LEFT + width + 8, y + 13, amount(valueOf(row, at), table.unit)));
      y += BAR + GAP;
    }
    y += 6;
  }
  parts.push(text(16, height - 12, where, "quiet"));
  const size = `width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img">
<title>${escaped(picture.title)}</title>
<style>${STYLE}
</style>
${parts.join("\n")}
</svg>
`;
}

function transposed(table: Table): Table {
  const rows = table.columns.map((name, at) => ({ name, cells: table.rows.map(({ cells }) => cells[at]) }));
  return { ...table, columns: table.rows.map(({ name }) => name), rows };
}

function valueOf({ cells }: Row, at: number): number {
  return median(cells[at]);
}

function text(x: number, y: number, words: string, kind = "", anchor = "start"): string {
  return `<text class="${kind}" x="${x.toFixed(1)}" y="${y}" text-anchor="${anchor}">${escaped(words)}</text>`;
}

function escaped(words: string): string {
  return words.replace(/&/g, "&amp;").replace(/</g, "&lt;");
}
