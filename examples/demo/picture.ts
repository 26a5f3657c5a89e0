/** The demo's view: a picture of one moment, and the lines that draw it. */
import { percentile } from "./audit.ts";
import type { Sent } from "./load.ts";
import { type Paint, visibleLength } from "./paint.ts";

/** A node at one moment. */
export interface NodePicture {
  readonly id: string;
  /** Text that says in which process the node runs. */
  readonly where: string;
  readonly state: "starting" | "live" | "killed" | "gone" | "drained";
  readonly inHand: number;
  readonly handled: number;
}

/** The cluster at one moment. */
export interface Picture {
  readonly title: string;
  /** Since the demo began, in ms. */
  readonly elapsed: number;
  readonly nodes: readonly NodePicture[];
  readonly pace: Pace;
  readonly counts: {
    readonly sent: number;
    readonly succeeded: number;
    readonly unknown: number;
    readonly failed: number;
  };
}

/** Rate and latency of the last second, and of each step of {@link STEP} ms since the start. */
export interface Pace {
  /** Orders that succeeded in the last second. */
  readonly rate: number;
  /** Their latencies, in ms; `NaN` when there were none. */
  readonly p50: number;
  readonly p99: number;
  /** Finished steps, oldest first. */
  readonly steps: readonly { readonly rate: number; readonly p99: number; readonly trouble: boolean }[];
}

/** The width of a step of a {@link Pace}, in ms. */
export const STEP = 200;

/** The pace of orders since `started`, at `now`. */
export function paceOf(all: readonly Sent[], started: number, now: number): Pace {
  const steps = Array.from({ length: Math.max(0, Math.floor((now - started) / STEP)) }, () => ({
    latencies: [] as number[],
    trouble: false,
  }));
  const last: number[] = [];
  for (const { sentAt, endedAt, code } of all) {
    if (code === undefined) continue;
    if (code === "ok" && endedAt > now - 1_000) last.push(endedAt - sentAt);
    const step = steps[Math.floor((endedAt - started) / STEP)];
    if (code === "ok") step?.latencies.push(endedAt - sentAt);
    else if (step !== undefined) step.trouble = true;
  }
  return {
    rate: Math.round(last.length * 1_000 / Math.min(1_000, Math.max(1, now - started))),
    p50: percentile(last, 50),
    p99: percentile(last, 99),
    steps: steps.map(({ latencies, trouble }) => ({
      rate: latencies.length * 1_000 / STEP,
      p99: percentile(latencies, 99),
      trouble,
    })),
  };
}

/** An event, and its time in ms since the start of the demo. */
export interface Happening {
  readonly at: number;
  readonly text: string;
  readonly tone: Tone;
}

/** Color of an event; `undefined`: none. */
export type Tone = "good" | "bad" | undefined;

/** Size in which a picture is drawn. */
export interface Frame {
  readonly columns: number;
  readonly rows: number;
}

/** A picture and the latest events, no wider and no higher than its frame. */
export function draw(
  { title, elapsed, nodes, pace, counts }: Picture,
  events: readonly Happening[],
  { columns, rows }: Frame,
  paint: Paint,
): string[] {
  const width = Math.min(columns, MAX_WIDTH) - 4;
  const tall = rows >= 32 ? 4 : 2;
  const clock = `${seconds(elapsed)} s`;
  const lines = [
    "",
    apart(paint.bold("Catga") + paint.dim(`  ${title}`), paint.bold(clock), width),
    "",
    ...table(nodes, width, paint),
    "",
    apart(paint.dim("orders a second  ") + paint.bold(count(pace.rate)), paint.dim("a bar is 0.2 s"), width),
    ...bars(pace.steps.map(({ rate, trouble }) => ({ value: rate, trouble })), 600, tall, width, paint),
    apart(
      paint.dim("latency  p50 ") + paint.bold(ms(pace.p50)) + paint.dim("  p99 ") + paint.bold(ms(pace.p99)),
      paint.dim("bars: p99"),
      width,
    ),
    ...bars(pace.steps.map(({ p99, trouble }) => ({ value: p99, trouble })), 100, tall >> 1, width, paint),
    "",
    [
      `${paint.dim("sent")} ${count(counts.sent)}`,
      `${paint.dim("succeeded")} ${paint.green(count(counts.succeeded))}`,
      `${paint.dim("outcome unknown")} ${counts.unknown > 0 ? paint.yellow(count(counts.unknown)) : "0"}`,
      `${paint.dim("failed")} ${counts.failed > 0 ? paint.red(count(counts.failed)) : "0"}`,
    ].join("   "),
    "",
  ];
  const room = Math.max(1, rows - lines.length - 1);
  for (const { at, text, tone } of events.slice(-room)) {
    const color = tone === "good" ? paint.green : tone === "bad" ? paint.red : String;
    lines.push(paint.dim(`${seconds(at).padStart(5)} s  `) + color(cut(text, width - 9)));
  }
  return lines.slice(0, rows).map((line) => line === "" ? "" : `  ${line}`);
}

/** The line that plain mode prints once a second. */
export function plainLine({ elapsed, nodes, pace }: Picture): string {
  const who = nodes.map(({ id, state, handled }) => `${id} ${count(handled)}${state === "live" ? "" : ` (${state})`}`);
  return `${seconds(elapsed).padStart(5)} s  ${`${pace.rate}/s`.padStart(5)}  p50 ${ms(pace.p50)}  p99 ${
    ms(pace.p99)
  }` +
    `  ${who.join("  ")}`;
}

/** `2.1` for 2,134 ms. */
export function seconds(elapsed: number): string {
  return (elapsed / 1_000).toFixed(1);
}

/** `12,345`. */
export function count(number: number): string {
  return number.toLocaleString("en-US");
}

/** `81.2 ms`. */
export function ms(number: number): string {
  return Number.isNaN(number) ? "-" : `${number.toFixed(number < 1_000 ? 1 : 0)} ms`;
}

const MAX_WIDTH = 120;
const BLOCKS = " ▁▂▃▄▅▆▇█";

function table(nodes: readonly NodePicture[], width: number, paint: Paint): string[] {
  const most = Math.max(1, ...nodes.map(({ handled }) => handled));
  const room = width - 44;
  const states = { starting: paint.yellow, live: paint.green, killed: paint.red, gone: paint.dim, drained: paint.dim };
  return [
    paint.dim("node      runs in       state      in hand   handled"),
    ...nodes.map(({ id, where, state, inHand, handled }) => {
      const bar = paint.cyan("█".repeat(Math.round(handled / most * Math.max(0, room - 10))));
      return `${id.padEnd(10)}${paint.dim(where.padEnd(14))}${states[state](state.padEnd(11))}` +
        `${String(inHand).padStart(7)}${count(handled).padStart(10)}  ${bar}`;
    }),
  ];
}

/** Vertical bars, the newest to the right; `full` is the value that fills the height, unless one is larger. */
function bars(
  values: readonly { readonly value: number; readonly trouble: boolean }[],
  full: number,
  height: number,
  width: number,
  paint: Paint,
): string[] {
  const shown = values.slice(-width);
  const most = Math.max(full, ...shown.map(({ value }) => value || 0));
  return Array.from({ length: height }, (_, row) =>
    shown.map(({ value, trouble }) => {
      const eighths = Math.round((value || 0) / most * height * 8) - (height - 1 - row) * 8;
      const block = BLOCKS[Math.max(0, Math.min(8, eighths))];
      return trouble ? paint.red(block) : paint.cyan(block);
    }).join(""));
}

function apart(left: string, right: string, width: number): string {
  return left + " ".repeat(Math.max(2, width - visibleLength(left) - visibleLength(right))) + right;
}

function cut(text: string, width: number): string {
  return visibleLength(text) <= width ? text : `${text.slice(0, width - 1)}…`;
}
