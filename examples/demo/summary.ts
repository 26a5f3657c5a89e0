/** The text that the demo prints at its end. */
import { type Audit, median, percentile } from "./audit.ts";
import { WORK_MS } from "./nodes.ts";
import type { Paint } from "./paint.ts";
import { count, ms, seconds } from "./picture.ts";

/** Data of the summary. Times are in ms. */
export interface Report {
  readonly sent: number;
  readonly audit: Audit;
  /** Latencies of the orders that succeeded. */
  readonly latencies: readonly number[];
  /** Times from `catga()` to routable, one for each start. */
  readonly routable: readonly number[];
  readonly kill: Kill;
  /** Events that the client received. */
  readonly heard: number;
  /** Nodes that ended by themselves. */
  readonly unexpected: readonly string[];
}

/** The kill of a node, and its consequences; `undefined` for those that did not occur. */
export interface Kill {
  readonly node: string;
  /** Number of the node's open orders at that moment. */
  readonly inHand: number;
  /** Time from the kill until the last order was sent to the node. */
  readonly avoided: number;
  /** Times from the kill until callers got `OUTCOME_UNKNOWN`. */
  readonly told: readonly number[];
  /** Time from the kill until the node left the view. */
  readonly left: number | undefined;
  /** True if the node came back and handled orders. */
  readonly back: boolean;
}

/** Minimum number of open orders of the killed node for the kill to prove anything. */
export const LEAST_IN_HAND = 10;

/** Returns the broken promises; none: an empty array. */
export function faults({ audit, kill, sent, latencies, unexpected }: Report): string[] {
  const { lost, twice, failedRan } = audit;
  const list = (ids: readonly string[]) => ids.slice(0, 5).join(", ") + (ids.length > 5 ? ", …" : "");
  const found = [...unexpected];
  if (lost.length > 0) found.push(`${count(lost.length)} acknowledged and never written down: ${list(lost)}`);
  if (twice.length > 0) found.push(`${count(twice.length)} run more than once: ${list(twice)}`);
  if (failedRan.length > 0) found.push(`${count(failedRan.length)} said not to have run, and had: ${list(failedRan)}`);
  if (sent === 0 || latencies.length === 0) found.push("no order succeeded");
  if (kill.inHand < LEAST_IN_HAND) {
    found.push(
      `${kill.node} was not killed with ${LEAST_IN_HAND} or more orders in hand: nothing was put to the proof`,
    );
  } else {
    if (kill.left === undefined) found.push(`${kill.node} never left the view`);
    if (!kill.back) found.push(`${kill.node} never came back`);
  }
  return found;
}

/** The summary's lines, the verdict last. */
export function summary(report: Report, paint: Paint): string[] {
  const { sent, audit, latencies, routable, kill, heard } = report;
  const failed = [...audit.failed].reduce((sum, [, times]) => sum + times, 0);
  const codes = [...audit.failed].map(([code, times]) => `${code} ${times}`).join(", ");
  const line = (name: string, value: string, note = "") =>
    `  ${paint.dim(name.padEnd(22))}${value}${note === "" ? "" : paint.dim(`   ${note}`)}`;
  const number = (name: string, value: number, note = "", good = true) =>
    line(name, (good ? paint.bold : paint.red)(count(value).padStart(7)), note);
  const found = faults(report);
  return [
    number("orders sent", sent),
    number("  succeeded", audit.succeeded),
    number("  outcome unknown", audit.unknown, unknownNote(audit, kill)),
    number("  failed otherwise", failed, codes, failed === 0),
    number("lost", audit.lost.length, "each acknowledged order was looked up on disk", audit.lost.length === 0),
    number("run twice", audit.twice.length, "", audit.twice.length === 0),
    number("events heard", heard, "OrderCreated, at most once each"),
    "",
    line(
      "latency of an order",
      `p50 ${ms(percentile(latencies, 50))}   p99 ${ms(percentile(latencies, 99))}`,
      `${WORK_MS} ms of it in the handler`,
    ),
    line("catga() to routable", ms(median(routable)), `median of ${routable.length} starts`),
    line(`${kill.node} killed`, `with ${kill.inHand} orders in hand`),
    line("  avoided by traffic", `after ${ms(kill.avoided)}`),
    line("  callers told", told(kill)),
    line("  left the view", kill.left === undefined ? paint.red("never") : `after ${seconds(kill.left)} s`),
    "",
    ...(found.length === 0
      ? [`  ${paint.bold(paint.green("PASSED"))}  nothing lost, nothing run twice`]
      : found.map((fault) => `  ${paint.bold(paint.red("FAILED"))}  ${fault}`)),
  ];
}

function unknownNote({ unknown, unknownRan }: Audit, { node }: Kill): string {
  return unknown === 0 ? "" : `given to ${node} by then; ${unknownRan} had run`;
}

function told({ told }: Kill): string {
  if (told.length === 0) return "nobody: no outcome was unknown";
  return `OUTCOME_UNKNOWN after ${ms(Math.max(...told))} at the latest`;
}
