/**
 * The picture of docs/overview.md: all parts of Catga, as an SVG file for light pages and dark ones, narrow enough for
 * a phone. `deno run -A tools/overview_picture.ts` writes it; `tools/docs_test.ts` is red when the file differs.
 *
 * @module
 */
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

/** Its path, from the root of the repository. */
export const OVERVIEW_PICTURE = "docs/pictures/overview.svg";

const WIDTH = 480;
const HEIGHT = 736;
const LINE = 17;

const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600 }
  .quiet { fill: #57606a; font-size: 12px }
  rect { fill: #ffffff; stroke: #8c959f }
  .frame { fill: #f6f8fa }
  .ours { fill: #dcf3ea; stroke: #1a7f64 }
  path { fill: none; stroke: #57606a; stroke-width: 1.5 }
  .head { fill: #57606a; stroke: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .quiet { fill: #9198a1 }
    rect { fill: #0d1117; stroke: #6e7681 }
    .frame { fill: #161b22 }
    .ours { fill: #12372c; stroke: #3fb68f }
    path { stroke: #9198a1 }
    .head { fill: #9198a1; stroke: none }
  }`;

const TITLE = "The parts of Catga: who talks to whom, and what is stored where";

/** Draws the picture. */
export function overviewPicture(): string {
  const parts = [
    box(32, 16, 274, "", "Browser", "a client with the types of your contracts"),

    frame(16, 102, 306, 232, "your processes: nodes"),
    arrow([256, 64], [256, 139]),
    text(265, 90, "HTTP", "quiet"),
    box(32, 140, 274, "ours", "gateway: a node with an edge", "HTTP to messages"),
    box(32, 204, 130, "ours", "orders: a node", "handlers"),
    box(176, 204, 130, "ours", "orders: a node", "same handlers"),
    box(32, 268, 274, "ours", "mails: a node", "handlers, workflows"),
    arrow([323, 227], [353, 227]),
    box(354, 204, 110, "", "Database", "yours"),

    arrow([100, 335], [100, 377]),
    arrow([116, 377], [116, 335]),
    text(128, 360, "typed messages", "quiet"),

    frame(16, 378, 448, 252, "NATS"),
    box(32, 416, 196, "", "under way: not stored", "requests, answers,", "other events"),
    frame(244, 416, 204, 198, "JetStream: stored"),
    box(260, 450, 172, "", "log", "durable events,", "queued commands"),
    box(260, 522, 172, "", "entities, workflows"),
    box(260, 560, 172, "", "buckets", "locks, ids, cache, nodes"),
    text(32, 520, "without NATS", "title"),
    ...["one process is all; a file", "holds what is stored, or", "the memory of the process"].map((line, i) =>
      text(32, 537 + i * LINE, line, "quiet")
    ),

    arrow([124, 671], [124, 631]),
    arrow([346, 671], [346, 631]),
    box(32, 672, 184, "", "Any language", "a client of NATS"),
    box(254, 672, 184, "", "You", "command line, dashboard"),
  ];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img">`,
    `<title>${TITLE}</title>`,
    `<style>${STYLE}\n</style>`,
    ...parts,
    "</svg>",
    "",
  ].join("\n");
}

/** A box that is as high as its lines: a title, and what it has. */
function box(x: number, y: number, width: number, kind: string, title: string, ...lines: string[]): string {
  const height = 13 + LINE * (1 + lines.length);
  return [
    `<rect class="${kind}" x="${x}" y="${y}" width="${width}" height="${height}" rx="6"/>`,
    text(x + 10, y + 20, title, "title"),
    ...lines.map((line, i) => text(x + 10, y + 20 + LINE * (i + 1), line, "quiet")),
  ].join("\n");
}

/** A frame around boxes. */
function frame(x: number, y: number, width: number, height: number, title: string): string {
  return `<rect class="frame" x="${x}" y="${y}" width="${width}" height="${height}" rx="8"/>\n` +
    text(x + 16, y + 22, title, "title");
}

function text(x: number, y: number, line: string, kind: string): string {
  return `<text class="${kind}" x="${x}" y="${y}">${line}</text>`;
}

/** An arrow that goes down or up from `x`, or to the right. */
function arrow([x, y]: Point, [toX, toY]: Point): string {
  const [dx, dy] = [Math.sign(toX - x), Math.sign(toY - y)];
  const [baseX, baseY] = [toX - 8 * dx, toY - 8 * dy];
  return `<path d="M ${x} ${y} L ${baseX} ${baseY}"/>\n` +
    `<path class="head" d="M ${toX} ${toY} L ${baseX - 4 * dy} ${baseY + 4 * dx} L ${baseX + 4 * dy} ${
      baseY - 4 * dx
    } Z"/>`;
}

type Point = readonly [x: number, y: number];

if (import.meta.main) {
  await writeFile(fileURLToPath(new URL(`../${OVERVIEW_PICTURE}`, import.meta.url)), overviewPicture());
}
