/**
 * A soak for people.
 *
 * @module
 */
import type { Latencies } from "./latencies.ts";
import type { EarlyAndLate } from "./memory.ts";
import type { Progress, SoakReport } from "./soak.ts";

const SHOWN = 20;

/** A line on how far it is. */
export function progressLine({ seconds, sums: { sent, settled, answered }, deeds, awake, nodes }: Progress): string {
  const did = Object.entries(deeds).map(([deed, times]) => `${times} ${deed}s`).join(", ");
  return `${seconds.toFixed(0).padStart(5)} s  ${thousands(sent)} sent, ${thousands(sent - settled)} open, ` +
    `${percent(answered / settled)} answered; ${awake} of ${nodes} nodes awake; ${did}`;
}

/** What came of it. */
export function reportText(report: SoakReport): string {
  const { operations, outcomes, latencies, delivered, late, deeds, longestDrain, memory } = report;
  const { violations, evidence, log } = report;
  const lines = [
    "",
    `seed        ${report.seed}`,
    `operations  ${thousands(operations)}`,
    `blows       ${Object.entries(deeds).map(([deed, times]) => `${times} ${deed}s`).join(", ")}`,
    ...[...outcomes].map(([name, counts]) => `${name.padEnd(12)}${tally(counts)}`),
    `events      ${percent(delivered)} of the published ones arrived`,
    ...Object.entries(latencies).map(([name, times]) => `${name.padEnd(12)}${quantiles(times)}`),
    `late        ${late} began to run a second or more after their deadline`,
    `drain       ${longestDrain.toFixed(0)} ms at most`,
    ...[...memory].map(([id, { rss, heap }]) => `${id.padEnd(12)}${growth(rss)}, of which heap ${growth(heap)}`),
    `violations  ${violations.length}`,
    ...violations.slice(0, SHOWN).map((text) => `  ${text}`),
  ];
  if (violations.length > SHOWN) lines.push(`  and ${violations.length - SHOWN} more`);
  if (evidence.length > 0) lines.push("evidence", ...evidence.map((line) => `  ${line}`));
  if (log !== undefined) lines.push(`log kept    ${log}`);
  return lines.join("\n");
}

function tally(counts: ReadonlyMap<string, number>): string {
  return [...counts].sort(([, a], [, b]) => b - a).map(([told, times]) => `${told} ${thousands(times)}`).join(", ");
}

function quantiles(times: Latencies): string {
  const at = (percent: number) => `p${percent} ${times.percentile(percent).toFixed(1)}`;
  return `${at(50)}, ${at(99)}, ${at(99.9)} ms`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(3)} %`;
}

function thousands(count: number): string {
  return count.toLocaleString("en");
}

function growth({ early, late }: EarlyAndLate): string {
  return `${(early / 1e6).toFixed(0)} MB early, ${(late / 1e6).toFixed(0)} late`;
}
