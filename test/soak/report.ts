/**
 * A soak for people.
 *
 * @module
 */
import type { LoopGap } from "../processes/loop_gaps.ts";
import type { Latencies } from "./latencies.ts";
import type { EarlyAndLate } from "./memory.ts";
import type { Progress, SoakReport } from "./run.ts";

const SHOWN = 20;

/** A line on how far it is. */
export function progressLine({ seconds, sums: { sent, settled, answered }, deeds, awake, nodes }: Progress): string {
  const did = Object.entries(deeds).map(([deed, times]) => `${times} ${deed}s`).join(", ");
  return `${seconds.toFixed(0).padStart(5)} s  ${thousands(sent)} sent, ${thousands(sent - settled)} open, ` +
    `${percent(answered / settled)} answered; ${awake} of ${nodes} nodes awake; ${did}`;
}

/** What came of it. */
export function reportText(report: SoakReport): string {
  const { operations, outcomes, latencies, delivered, late, lost, gaps, deeds, longestDrain, memory } = report;
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
    ...Object.entries(lost).map(([what, { death, cut, both, neither }]) =>
      `lost        ${what}: ${death} to a death, ${cut} to a cut or an outage, ${both} to both, ${neither} to neither`
    ),
    ...[...gaps].filter(([id]) => id.startsWith("client")).map(([id, all]) => `${id.padEnd(12)}${standstills(all)}`),
    `drain       ${longestDrain.toFixed(0)} ms at most`,
    ...[...memory].map(([id, { rss, heap }]) => `${id.padEnd(12)}${growth(rss)}, of which heap ${growth(heap)}`),
    `violations  ${violations.length}${byKind(violations)}`,
    ...violations.slice(0, SHOWN).map((text) => `  ${text}`),
  ];
  if (violations.length > SHOWN) lines.push(`  and ${violations.length - SHOWN} more`);
  if (evidence.length > 0) lines.push("evidence", ...evidence.map((line) => `  ${line}`));
  if (log !== undefined) lines.push(`log kept    ${log}`);
  return lines.join("\n");
}

/** The gaps of an event loop. One that computed stood in its own way; one that did not was paused, or starved. */
function standstills(gaps: readonly LoopGap[]): string {
  const longest = gaps.reduce((one, other) => other.to - other.from > one.to - one.from ? other : one);
  return `${gaps.length} gaps, the longest ${(longest.to - longest.from).toFixed(0)} ms ` +
    `(${longest.busy.toFixed(0)} ms of it computed)`;
}

function tally(counts: ReadonlyMap<string, number>): string {
  return [...counts].sort(([, a], [, b]) => b - a).map(([told, times]) => `${told} ${thousands(times)}`).join(", ");
}

function quantiles(times: Latencies): string {
  const at = (percent: number) => `p${percent} ${times.percentile(percent).toFixed(1)}`;
  return `${at(50)}, ${at(99)}, ${at(99.9)} ms`;
}

/** How many there are of each kind: violations alike but for names and numbers. */
function byKind(violations: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const text of violations) {
    const kind = text.split("\n")[0].replace(/^(KV_\S+ (?:marker of )?)\S+:/, "$1entry:").replace(
      /^\w+(-\w+)* (?=sees|did not|ended|drained)/,
      "N ",
    ).replace(
      /(id|lock|leader|node) [\w.-]+(?=:)/,
      "$1",
    ).replace(/client-\d+/, "client").replace(/[\w-]+\.\w{6,}/g, "N").replace(/\d+/g, "0").slice(0, 60);
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  if (counts.size < 2) return "";
  return [...counts].sort(([, a], [, b]) => b - a).slice(0, SHOWN).map(([kind, times]) => `\n  ${times} × ${kind}`)
    .join("");
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
