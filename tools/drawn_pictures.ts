/**
 * The drawn pictures of the explanations, as SVG files for light pages and dark ones, narrow enough for a phone.
 * `deno run -A tools/drawn_pictures.ts` writes them; `tools/docs_test.ts` is red when a file differs.
 *
 * @module
 */
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const WIDTH = 480;
const LINE = 17;

const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600 }
  .quiet { fill: #57606a; font-size: 12px }
  .end { fill: #cf222e; font-size: 12px }
  .good { fill: #1a7f64; font-size: 12px }
  rect { fill: #ffffff; stroke: #8c959f }
  .frame { fill: #f6f8fa }
  .ours { fill: #dcf3ea; stroke: #1a7f64 }
  .dead { fill: #ffebe9; stroke: #cf222e }
  path { fill: none; stroke: #57606a; stroke-width: 1.5 }
  .thin { stroke-dasharray: 4 3 }
  .cross { stroke: #cf222e; stroke-width: 2.5 }
  .head { fill: #57606a; stroke: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .quiet { fill: #9198a1 }
    .end { fill: #ff7b72 }
    .good { fill: #3fb68f }
    rect { fill: #0d1117; stroke: #6e7681 }
    .frame { fill: #161b22 }
    .ours { fill: #12372c; stroke: #3fb68f }
    .dead { fill: #3d1214; stroke: #ff7b72 }
    path { stroke: #9198a1 }
    .cross { stroke: #ff7b72 }
    .head { fill: #9198a1; stroke: none }
  }`;

/** A picture: its height, its title for those who do not see it, and what is drawn. */
interface Drawing {
  readonly height: number;
  readonly title: string;
  readonly parts: readonly string[];
}

/** Draws the pictures, by their paths from the root of the repository. */
export function drawnPictures(): Map<string, string> {
  const drawings = { overview, outcomes, retries, lanes, rooms, outbox };
  return new Map(
    Object.entries(drawings).map(([name, draw]) => [`docs/pictures/${name}.svg`, svg(draw())] as const),
  );
}

function svg({ height, title, parts }: Drawing): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img">`,
    `<title>${title}</title>`,
    `<style>${STYLE}\n</style>`,
    ...parts,
    "</svg>",
    "",
  ].join("\n");
}

/** docs/overview.md: all parts of Catga. */
function overview(): Drawing {
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
  return { height: 736, title: "The parts of Catga: who talks to whom, and what is stored where", parts };
}

/** docs/outcomes.md: what has happened at the handler, and what the sender gets. */
function outcomes(): Drawing {
  const parts = [
    ...outcome(8, 8, "it worked", (x, y) => [
      arrow([x + 36, y + 62], [x + 172, y + 62]),
      `<rect class="ours" x="${x + 173}" y="${y + 56}" width="14" height="56" rx="3"/>`,
      arrow([x + 172, y + 106], [x + 36, y + 106]),
      text(x + 84, y + 100, "the value", "good"),
    ], "Take the value."),
    ...outcome(244, 8, "it failed", (x, y) => [
      arrow([x + 36, y + 62], [x + 172, y + 62]),
      `<rect class="ours" x="${x + 173}" y="${y + 56}" width="14" height="56" rx="3"/>`,
      arrow([x + 172, y + 106], [x + 36, y + 106]),
      text(x + 76, y + 100, "SOLD_OUT", "end"),
    ], "Decide by the code."),
    ...outcome(8, 196, "it did not run", (x, y) => [
      arrow([x + 36, y + 62], [x + 112, y + 62]),
      cross(x + 122, y + 62),
      arrow([x + 112, y + 106], [x + 36, y + 106]),
      text(x + 42, y + 100, "UNAVAILABLE", "end"),
    ], "Send it later."),
    ...outcome(244, 196, "it may have run", (x, y) => [
      arrow([x + 36, y + 62], [x + 172, y + 62]),
      `<rect class="dead" x="${x + 173}" y="${y + 56}" width="14" height="30" rx="3"/>`,
      cross(x + 180, y + 90),
      arrow([x + 164, y + 106], [x + 36, y + 106]),
      text(x + 40, y + 100, "OUTCOME_UNKNOWN", "end"),
    ], "Same id: send it again."),
  ];
  return {
    height: 384,
    title: "Four outcomes of a send: it worked, it failed, it did not run, it may have run",
    parts,
  };
}

/** A panel of `outcomes`: two lines of time, what passes between them, and what you do. */
function outcome(
  x: number,
  y: number,
  title: string,
  between: (x: number, y: number) => string[],
  advice: string,
): string[] {
  return [
    frame(x, y, 228, 180, title),
    text(x + 12, y + 46, "sender", "quiet"),
    text(x + 158, y + 46, "handler", "quiet"),
    `<path d="M ${x + 34} ${y + 52} V ${y + 124}"/>`,
    `<path d="M ${x + 180} ${y + 52} V ${y + 124}"/>`,
    ...between(x, y),
    text(x + 16, y + 152, advice, "title"),
  ];
}

/** docs/retries.md: who tries again, where somebody waits and where a message is stored. */
function retries(): Drawing {
  const parts = [
    frame(8, 8, 228, 296, "while somebody waits"),
    box(56, 44, 164, "", "the sender", "goes to another node,", "if it did not run"),
    loop(56, 76),
    arrow([138, 109], [138, 139]),
    box(56, 140, 164, "ours", "the handler's node", "only with retry():", "after some ms"),
    loop(56, 172),
    text(24, 232, "In both the sender waits for its", "quiet"),
    text(24, 249, "result, and its deadline ends", "quiet"),
    text(24, 266, "all tries.", "quiet"),

    frame(244, 8, 228, 296, "stored: nobody waits"),
    box(290, 44, 172, "ours", "a subscription", "seconds, then minutes;", "then a dead letter"),
    loop(290, 76),
    box(290, 132, 172, "ours", "in an outage", "for days: no attempt", "is used up"),
    loop(290, 164),
    box(290, 220, 172, "ours", "a step of a workflow", "for as long as the run", "may take"),
    loop(290, 252),
  ];
  return {
    height: 312,
    title: "Who tries again: sender and handler's node while somebody waits, else what is stored",
    parts,
  };
}

/** An arrow that leaves a box at its left side, and comes back to it. */
function loop(x: number, y: number): string {
  return `<path d="M ${x} ${y - 14} H ${x - 16} Q ${x - 24} ${y - 14} ${x - 24} ${y - 6} V ${y + 6} ` +
    `Q ${x - 24} ${y + 14} ${x - 16} ${y + 14} H ${x - 8}"/>\n` +
    `<path class="head" d="M ${x} ${y + 14} L ${x - 8} ${y + 10} L ${x - 8} ${y + 18} Z"/>`;
}

/** docs/one-at-a-time.md: three customers, each with messages that run one after the other. */
function lanes(): Drawing {
  const run = (x: number, y: number, width: number, kind: string, name: string) => [
    `<rect class="${kind}" x="${x}" y="${y}" width="${width}" height="30" rx="4"/>`,
    text(x + 10, y + 20, name, "title"),
  ];
  const lane = (y: number, name: string) => [
    text(12, y + 20, name, "title"),
    `<path class="thin" d="M 56 ${y + 15} H 464"/>`,
  ];
  const parts = [
    ...lane(16, "ada"),
    ...run(64, 16, 168, "ours", "ada 1: slow"),
    ...run(238, 16, 92, "ours", "ada 2"),
    ...run(336, 16, 92, "ours", "ada 3"),
    ...lane(66, "bob"),
    ...run(64, 66, 92, "ours", "bob 1"),
    ...run(162, 66, 92, "ours", "bob 2"),
    ...lane(116, "cyd"),
    ...run(64, 116, 92, "ours", "cyd 1"),
    ...run(162, 116, 120, "dead", "cyd 2: fails"),
    ...run(288, 116, 140, "frame", "cyd 3: waits"),
    arrow([64, 172], [464, 172]),
    text(64, 192, "time", "quiet"),
    text(112, 192, "ada is slow, and bob does not wait for her", "quiet"),
    text(112, 209, "of the log: cyd 3 waits until cyd 2 is done, or given up", "quiet"),
  ];
  return { height: 220, title: "Messages of one customer run one after the other, those of others beside them", parts };
}

/** docs/file.md: one option each from memory to a file, and to NATS. */
function rooms(): Drawing {
  const parts = [
    frame(8, 8, 464, 88, "memory: catga({ handlers })"),
    box(24, 42, 190, "ours", "your process", "and all that is stored"),
    text(232, 62, "one process", "quiet"),
    text(232, 79, "its end is the end of all", "quiet"),
    arrow([119, 97], [119, 129]),
    text(132, 118, "file: &quot;shop.db&quot;", "title"),

    frame(8, 130, 464, 88, "file"),
    box(24, 164, 130, "ours", "your process", "handlers"),
    arrow([155, 187], [185, 187]),
    box(186, 164, 110, "", "shop.db", "on this disk"),
    text(312, 184, "one process at a time", "quiet"),
    text(312, 201, "a start goes on at once", "quiet"),
    arrow([119, 219], [119, 251]),
    text(132, 240, "nats: &quot;nats://…&quot;", "title"),

    frame(8, 252, 464, 152, "NATS"),
    box(24, 286, 130, "ours", "your process", "handlers"),
    box(24, 342, 130, "ours", "your process", "handlers"),
    arrow([155, 309], [185, 327]),
    arrow([155, 365], [185, 347]),
    box(186, 314, 110, "", "NATS", "or three of it"),
    text(312, 326, "many machines", "quiet"),
    text(312, 343, "when one dies, others", "quiet"),
    text(312, 360, "go on within seconds", "quiet"),
  ];
  return { height: 412, title: "From memory to a file to NATS: one option each", parts };
}

/** docs/sql.md: a transaction with an outbox, and a handler whose effect happens once. */
function outbox(): Drawing {
  const parts = [
    frame(8, 8, 226, 190, "one transaction"),
    box(24, 42, 194, "", "your row", "INSERT INTO booking …"),
    box(24, 98, 194, "ours", "the event, in the outbox", "out.publish(Booked, …)"),
    text(24, 160, "COMMIT: both", "good"),
    text(24, 178, "ROLLBACK: neither", "end"),
    arrow([235, 122], [265, 122]),
    text(242, 88, "after COMMIT", "quiet"),
    box(266, 98, 90, "ours", "relay", "one node"),
    arrow([357, 122], [387, 122]),
    box(388, 98, 80, "", "log", "each once"),
    text(250, 168, "it dies? another goes on", "quiet"),

    arrow([428, 145], [428, 221]),
    frame(8, 222, 464, 134, "the handler: one transaction"),
    box(24, 258, 194, "", "your change", "UPDATE points …"),
    box(262, 258, 194, "ours", "the id of the message", "store.handler"),
    text(24, 334, "It comes again? Its id is found, and nothing is changed.", "quiet"),
  ];
  return { height: 364, title: "A transaction with an outbox: both or neither, and an effect once", parts };
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

function cross(x: number, y: number): string {
  return `<path class="cross" d="M ${x - 7} ${y - 7} L ${x + 7} ${y + 7} M ${x + 7} ${y - 7} L ${x - 7} ${y + 7}"/>`;
}

/** An arrow from a point to another one; its head is 8 long. */
function arrow([x, y]: Point, [toX, toY]: Point): string {
  const length = Math.hypot(toX - x, toY - y);
  const [dx, dy] = [(toX - x) / length, (toY - y) / length];
  const [baseX, baseY] = [toX - 8 * dx, toY - 8 * dy];
  return `<path d="M ${x} ${y} L ${baseX} ${baseY}"/>\n` +
    `<path class="head" d="M ${toX} ${toY} L ${baseX - 4 * dy} ${baseY + 4 * dx} L ${baseX + 4 * dy} ${
      baseY - 4 * dx
    } Z"/>`;
}

type Point = readonly [x: number, y: number];

if (import.meta.main) {
  for (const [path, picture] of drawnPictures()) {
    await writeFile(fileURLToPath(new URL(`../${path}`, import.meta.url)), picture);
  }
}
