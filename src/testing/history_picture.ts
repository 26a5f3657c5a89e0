/**
 * The history of a run as a picture (SVG): nodes are lines from top to bottom, messages are arrows, handlers are boxes
 * and faults are bands. Rows are events in their order, not moments at a scale.
 */
import type { History, HistorySpan } from "./history.ts";
import { pageOf, type TimelineLine, timelineOf } from "./timeline.ts";

/** Draws a history as an SVG picture. `shownBy`: entries that show that a promise is broken; they are marked. */
export function historyPicture(history: History, title: string, shownBy: readonly HistorySpan[]): string {
  const marked = new Set(shownBy);
  const lines = pageOf(timelineOf(history), marked).filter((line) => line !== undefined);
  const nodes = [...new Set(history.processes.map(({ node }) => node))].sort(clientsFirst);
  const width = LEFT + nodes.length * COLUMN;
  const height = TOP + (lines.length + 1) * ROW;
  const x = (node: string) => LEFT + nodes.indexOf(node) * COLUMN + BAND;
  /** Returns the row of a place in the history, or of the next place that is drawn; `undefined`: the last row. */
  const y = (place: number | undefined) => {
    const row = place === undefined ? -1 : lines.findIndex((line) => line.place >= place);
    return TOP + (row < 0 ? lines.length : row) * ROW;
  };
  const box = (kind: string, { began, ended }: HistorySpan, left: number, wide: number) =>
    `<rect class="${kind}" x="${left}" y="${y(began) - 5}" width="${wide}" height="${y(ended) - y(began) + 10}"/>`;
  /** Returns where a handler ends: with its process, if that ends first. */
  const endOf = ({ node, began, ended }: HistorySpan & { readonly node: string }) => {
    const process = history.processes.find((each) =>
      each.node === node && (each.start < 0 || each.began <= began) && (each.ended ?? Infinity) >= began
    );
    return process?.ended === undefined || (ended ?? Infinity) < process.ended ? ended : process.ended;
  };
  const parts = [
    ...history.faults.map((fault) =>
      fault.node === undefined
        ? box("everywhere", fault, LEFT, width - LEFT)
        : box("fault", fault, x(fault.node) - BAND, BAND * 2)
    ),
    ...history.processes.map(({ node, start, began, ended }) => {
      const [from, to] = [start < 0 ? TOP - ROW : y(began), ended === undefined ? height : y(ended)];
      return `<line class="node" x1="${x(node)}" x2="${x(node)}" y1="${from}" y2="${to}"/>`;
    }),
    ...history.locks.map((lock) => box("lock", lock, x(lock.node) - 9, 4)),
    ...[...history.attempts, ...history.steps].map((each) =>
      box("handler", { ...each, ended: endOf(each) }, x(each.node) - 4, 8)
    ),
    ...history.processes.filter(({ endedBy }) => endedBy === "kill").map(({ node, ended }) =>
      `<text class="end" x="${x(node)}" y="${(ended === undefined ? height : y(ended)) + 5}">×</text>`
    ),
    ...history.attempts.flatMap(({ operation, node, began, ended }) => {
      const sent = operation === undefined ? undefined : history.operations[operation];
      if (sent === undefined || sent.node === node) return [];
      const isAnswer = sent.kind === "command" || sent.kind === "query";
      const isInTime = isAnswer && sent.ended !== undefined && ended !== undefined && sent.ended > ended;
      return [
        arrow("message", x(sent.node), y(sent.began), x(node), y(began)),
        ...isInTime && sent.method !== "enqueue"
          ? [arrow("answer", x(node), y(ended), x(sent.node), y(sent.ended))]
          : [],
      ];
    }),
    ...nodes.map((node) => `<text class="name" x="${x(node)}" y="${TOP - ROW - 6}">${escaped(node)}</text>`),
    ...lines.map((line) =>
      row(line, y(line.place), nodes.includes(line.node) ? x(line.node) + BAND + 4 : LEFT + 4, marked)
    ),
  ];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">`,
    `<title>${escaped(title)}</title>`,
    `<style>${STYLE}</style>`,
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">' +
    '<path d="M0 0 8 4 0 8z" class="tip"/></marker></defs>',
    `<rect class="page" width="${width}" height="${height}"/>`,
    `<text class="title" x="8" y="20">${escaped(cut(title, width / 7))}</text>`,
    ...parts,
    "</svg>\n",
  ].join("\n");
}

function row({ at, what, value, isBad, type, span }: TimelineLine, y: number, x: number, marked: ReadonlySet<unknown>) {
  const text = `${what}${value === "" ? "" : ` ${value}`}`;
  const kind = span !== undefined && marked.has(span) ? "shown" : type === "fault" ? "bad" : isBad ? "failed" : "event";
  const whole = `<title>${escaped(text)}</title>`;
  return `<text class="time" x="${LEFT - 14}" y="${y + 4}">${at.toFixed(0)} ms</text>` +
    `<text class="${kind}" x="${x}" y="${y + 4}">${whole}${escaped(cut(text, LONGEST))}</text>`;
}

/** Draws an arrow from one node to another, between their boxes. */
function arrow(kind: string, fromX: number, fromY: number, toX: number, toY: number): string {
  const side = fromX < toX ? 5 : -5;
  return `<line class="${kind}" x1="${fromX + side}" y1="${fromY}" x2="${
    toX - side
  }" y2="${toY}" marker-end="url(#tip)"/>`;
}

function clientsFirst(a: string, b: string): number {
  return Number(b.startsWith("client-")) - Number(a.startsWith("client-")) || (a < b ? -1 : 1);
}

function cut(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

function escaped(text: string): string {
  return text.replaceAll(/[&<>"]/g, (each) => `&#${each.charCodeAt(0)};`)
    // deno-lint-ignore no-control-regex -- XML has none of them
    .replaceAll(/[\x00-\x08\x0b\x0c\x0e-\x1f]/g, "?");
}

/** Sizes in pixels. */
const [LEFT, TOP, COLUMN, ROW, BAND] = [90, 70, 290, 18, 14];
/** Maximum length of a row's text, in characters. */
const LONGEST = 44;
const STYLE = `
svg { --page: #fff; --ink: #1f2328; --soft: #656d76; --line: #8c959f; --fault: #cf222e; --call: #0969da; --ok: #1a7f37 }
@media (prefers-color-scheme: dark) { svg { --page: #0d1117; --ink: #e6edf3; --soft: #8d96a0; --line: #6e7681;
  --fault: #ff7b72; --call: #58a6ff; --ok: #3fb950 } }
text { font: 11px ui-sans-serif, system-ui, sans-serif; fill: var(--ink); paint-order: stroke; stroke: var(--page);
  stroke-width: 3px; stroke-linejoin: round }
.page { fill: var(--page) } .title { font-size: 14px; font-weight: 600 } .name { font-weight: 600; text-anchor: middle }
.time { fill: var(--soft); text-anchor: end } .bad, .end { fill: var(--fault) } .failed { fill: var(--fault) }
.end { font-size: 16px; text-anchor: middle } .shown { font-weight: 700 }
.node { stroke: var(--line); stroke-width: 1.5 } .handler { fill: var(--page); stroke: var(--ok); stroke-width: 1.5 }
.lock { fill: var(--call) } .fault { fill: var(--fault); opacity: .25 } .everywhere { fill: var(--fault); opacity: .1 }
.message, .answer { stroke: var(--call); stroke-width: 1.2 } .answer { stroke-dasharray: 4 3 } .tip { fill: var(--call) }
`;
