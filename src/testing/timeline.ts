/** The history of a run as text: one event on each line, in order. */
import { styleText } from "node:util";
import type { History, HistoryOutcome, HistorySpan } from "./history.ts";
import type { ExploreLine } from "./explored_nodes.ts";

/** A line of a timeline: one event of a run's history. */
export interface TimelineLine {
  /** Place of the event among all beginnings and ends in the history. */
  readonly place: number;
  /** Time of the event, in ms of virtual time since the workload began. */
  readonly at: number;
  readonly node: string;
  readonly type: "call" | "handler" | "step" | "lock" | "fault" | "process" | "log";
  /** True if the event is a failure, or the beginning of a fault. */
  readonly isBad: boolean;
  /** The event in words, without values. */
  readonly what: string;
  /** The event's values: inputs and outcomes. */
  readonly value: string;
  readonly span: HistorySpan | undefined;
}

/** Returns all lines of a history, in order. */
export function timelineOf(history: History): TimelineLine[] {
  const lines: TimelineLine[] = [];
  const add = (
    span: HistorySpan,
    type: TimelineLine["type"],
    node: string,
    [begins, input]: readonly [what: string, value: string],
    end?: readonly [what: string, value: string, isBad?: boolean],
  ) => {
    const isFault = type === "fault";
    lines.push({ place: span.began, at: span.start, node, type, isBad: isFault, what: begins, value: input, span });
    if (span.ended === undefined || end === undefined || (isFault && begins === "kill begins")) return;
    const [what, value, isBad = false] = end;
    lines.push({ place: span.ended, at: span.end!, node, type, isBad, what, value, span });
  };
  for (const each of history.operations) {
    const { method, contract, key, input, node, outcome, step, by } = each;
    const caller = by === undefined ? step === undefined ? "" : ` (${step})` : ` (in ${labelOf(by)})`;
    const of = `${method} ${contract}${key === undefined || key === contract ? "" : ` ${key}`}${caller}`;
    add(each, "call", node, [of, show(input)], [
      `${of}: ${outcomeText(outcome)}`,
      valueOf(outcome),
      isFailure(outcome),
    ]);
  }
  for (const each of history.attempts) {
    const { kind, contract, key, attempt, input, node, subscription, outcome } = each;
    const again = attempt > 1 ? `, attempt ${attempt}` : "";
    const into = subscription === undefined || subscription === contract ? "" : ` for ${subscription}`;
    const of = `${kind} ${contract}${key === undefined ? "" : ` ${key}`}${into}${again}`;
    add(each, "handler", node, [`handler begins: ${of}`, show(input)], [
      ...[`handler ends: ${of}: ${outcomeText(outcome)}`, valueOf(outcome)] as const,
      isFailure(outcome),
    ]);
  }
  for (const each of history.steps) {
    const { type, workflow, run, name, attempt, node, outcome } = each;
    const of = `${type} ${name} of ${workflow} ${run}${attempt > 1 ? `, attempt ${attempt}` : ""}`;
    add(each, "step", node, [`${of} begins`, ""], [
      ...[`${of} ends: ${outcomeText(outcome)}`, valueOf(outcome)] as const,
      isFailure(outcome),
    ]);
  }
  for (const each of history.locks) {
    const { keys, token, node, endedBy } = each;
    const end = `lock ${keys.join(", ")} is ${endedBy === "loss" ? "lost" : "released"}`;
    add(each, "lock", node, [`lock ${keys.join(", ")} is held`, `${token}`], [end, "", endedBy === "loss"]);
  }
  for (const each of history.terms) {
    add(each, "lock", each.node, [`leads ${each.name}`, ""], [`leads ${each.name} no more`, ""]);
  }
  for (const each of history.faults) {
    const { fault, node = "all", detail } = each;
    add(each, "fault", node, [`${fault}${detail === undefined ? "" : ` (${detail})`} begins`, ""], [
      `${fault} ends`,
      "",
    ]);
  }
  for (const each of history.processes) {
    const { node, process, deploy, endedBy, start } = each;
    if (start < 0 || process === 1) continue;
    const version = deploy === 0 ? "" : ` with deploy ${deploy}`;
    add(each, "process", node, [`process ${process} starts${version}`, ""], [
      `process ${process} ends: ${endedBy}`,
      "",
    ]);
  }
  return lines.sort((a, b) => a.place - b.place);
}

/** Returns the text of a run, with or without `values`, to compare it with another run of the same plan. */
export function recordingOf(history: History, { values }: { readonly values: boolean }): string[] {
  return timelineOf(history).map(({ at, node, what, value }) => `${at} ${node} ${what}${values ? ` ${value}` : ""}`);
}

/**
 * Returns the page that shows a failing run. `shownBy`: entries of the history that show the breach; `colour`: true
 * for a terminal.
 */
export function timelinePage(
  history: History,
  log: readonly ExploreLine[],
  { shownBy = [], colour = false }: { shownBy?: readonly HistorySpan[]; colour?: boolean } = {},
): string {
  const marked = new Set(shownBy);
  const lines = merged(timelineOf(history));
  const notes: TimelineLine[] = log.filter(({ level, at, text }) =>
    level !== "debug" && at > 0 && !text.endsWith(": join")
  ).map(
    ({ at, level, text }) => {
      const [, node = "", rest = text] = /^catga ([^:]+): (.*)$/s.exec(text) ?? [];
      const isBad = level === "error";
      return {
        place: Infinity,
        at,
        node,
        type: "log",
        isBad,
        what: rest.split("\n", 1)[0].slice(0, 160),
        value: "",
        span: undefined,
      };
    },
  );
  const all = [...lines, ...notes].sort((a, b) => a.at - b.at || a.place - b.place);
  const kept = pageOf(all, marked);
  const width = Math.max(4, ...kept.map((line) => line?.node.length ?? 0));
  const paint = (style: Style, text: string) => colour ? styleText(style, text, ALWAYS) : text;
  let skipped = 0;
  const rows: string[] = [];
  const flush = () => {
    if (skipped > 0) rows.push(paint("gray", `${"".padStart(10)}… ${skipped} more`));
    skipped = 0;
  };
  for (const line of kept) {
    if (line === undefined) {
      skipped++;
      continue;
    }
    flush();
    const { at, node, type, isBad, what, value, span } = line;
    const mark = span !== undefined && marked.has(span) ? ">" : " ";
    const text = `${what}${value === "" ? "" : ` ${value}`}`;
    const row = `${mark}${at.toFixed(0).padStart(7)} ms ${node.padEnd(width)} ${type === "log" ? "· " : ""}${text}`;
    rows.push(paint(mark === ">" ? "bold" : isBad && type !== "fault" ? "yellow" : STYLES[type], row));
  }
  flush();
  return rows.join("\n");
}

type Style = "bold" | "gray" | "red" | "yellow" | "cyan" | "green" | "blue" | "magenta";

const STYLES: Readonly<Record<TimelineLine["type"], Style>> = {
  call: "cyan",
  handler: "green",
  step: "blue",
  lock: "magenta",
  fault: "red",
  process: "red",
  log: "gray",
};
/** Options for styled text: colours do not depend on the process's standard output, because the caller decides. */
const ALWAYS = { validateStream: false };

/** Joins the line of a beginning with the line of its end if nothing is between them. */
function merged(lines: readonly TimelineLine[]): TimelineLine[] {
  const shown: TimelineLine[] = [];
  for (const line of lines) {
    const last = shown.at(-1);
    if (last !== undefined && last.span === line.span && line.type !== "fault") {
      shown[shown.length - 1] = { ...line, value: [last.value, line.value].filter((text) => text !== "").join(" → ") };
    } else shown.push(line);
  }
  return shown;
}

/**
 * Returns the lines that fit on a page; `undefined` in place of each line that is left out. `marked`: entries that
 * must stay.
 */
export function pageOf(lines: readonly TimelineLine[], marked: ReadonlySet<HistorySpan>): (TimelineLine | undefined)[] {
  if (lines.length <= PAGE) return [...lines];
  const weight = (line: TimelineLine, i: number): number => {
    if (line.span !== undefined && marked.has(line.span)) return 0;
    if (line.type === "fault" || line.type === "process") return 1;
    if (line.isBad) return 2;
    const near = lines.slice(Math.max(0, i - 3), i + 4);
    if (near.some(({ type, span }) => type === "fault" || (span !== undefined && marked.has(span)))) return 3;
    if (line.type === "log") return 6;
    return i > lines.length - 12 ? 4 : 5;
  };
  const order = lines.map((line, i) => [weight(line, i), i]).sort(([a, i], [b, j]) => a - b || i - j).slice(0, PAGE);
  const kept = new Set(order.map(([, i]) => i));
  return lines.map((line, i) => kept.has(i) ? line : undefined);
}

/** Maximum number of lines on a page. */
const PAGE = 56;

function labelOf(by: object): string {
  const { contract, workflow, name } = by as { contract?: string; workflow?: string; name?: string };
  return contract ?? `${workflow}.${name}`;
}

function outcomeText(outcome: HistoryOutcome | undefined): string {
  if (outcome === undefined) return "no outcome";
  if (outcome.type === "ok") return "ok";
  return outcome.type === "failed" ? outcome.code : "threw";
}

function valueOf(outcome: HistoryOutcome | undefined): string {
  if (outcome === undefined) return "";
  return outcome.type === "ok" ? show(outcome.value) : outcome.message;
}

function isFailure(outcome: HistoryOutcome | undefined): boolean {
  return outcome !== undefined && outcome.type !== "ok";
}

/** Returns a value as text for a line of the timeline. */
function show(value: unknown): string {
  if (value === undefined) return "";
  let text: string;
  try {
    text = JSON.stringify(value, (_, each) => typeof each === "bigint" ? `${each}n` : each) ?? String(value);
  } catch {
    text = String(value);
  }
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}
