/** Checks runs of idempotent commands against what handlers and senders wrote down, and what was stored. */
import type { OnceLine } from "../processes/once_node.ts";

/** The records of a run. */
export interface OnceHistory {
  readonly entries: readonly string[];
  /** Of all processes. */
  readonly lines: readonly OnceLine[];
  /** Every result that was seen in the bucket, in the order of writing. */
  readonly stored: readonly { readonly entry: string; readonly value: string; readonly revision: number }[];
  /** Ids that had no result when sent once more, and entries that outlived their ttl. */
  readonly aftermath?: readonly string[];
}

/** Broken promises, a line each. */
export function onceHistoryViolations({ entries, lines, stored, aftermath = [] }: OnceHistory): string[] {
  const of = new Map(
    entries.map((entry) => [
      entry,
      { acknowledged: [] as string[], runs: [] as Run[], stored: [] as string[], storedAt: Infinity },
    ]),
  );
  for (const line of lines) {
    const about = of.get(line.entry)!;
    if (line.event === "acknowledged") about.acknowledged.push(line.value);
    else if (line.event !== "aborted") about.runs.push(line);
  }
  for (const { entry, value, revision } of stored) {
    const about = of.get(entry)!;
    about.stored.push(value);
    about.storedAt = Math.min(about.storedAt, revision);
  }
  const wrong = [...of].flatMap(([entry, it]) => {
    const violations: string[] = [];
    const values = [...new Set(it.acknowledged)];
    if (values.length !== 1) {
      violations.push(`${entry}: acknowledged as ${values.length === 0 ? "nothing" : values.join(", ")}`);
    }
    // a run writes its result twice if it does not know that the first write did not replace an expired claim
    const results = [...new Set(it.stored)];
    if (results.length !== 1) violations.push(`${entry}: stored as ${results.join(", ") || "nothing"}`);
    const [result] = results;
    const others = values.filter((value) => value !== result);
    if (others.length > 0) violations.push(`${entry}: acknowledged as ${others[0]}, stored as ${result}`);
    const ended = it.runs.filter(({ event }) => event === "ended");
    if (ended.filter(({ value }) => value === result).length !== 1) {
      violations.push(`${entry}: not one run has ended with the result that is stored`);
    }
    const begun = it.runs.filter(({ event }) => event === "begun").map(({ fence }) => fence);
    if (new Set(begun).size !== begun.length) violations.push(`${entry}: two runs under one fence`);
    // the first result counts, also that of a run beside which another one had begun
    if (begun.some((fence) => fence > it.storedAt)) {
      violations.push(`${entry}: ran under a claim made after its result was stored`);
    }
    return violations;
  });
  return [...wrong, ...aftermath];
}

/** How many runs began, and how many ended that are not the one whose result is stored. */
export function tally({ lines, stored }: OnceHistory): { runs: number; inVain: number } {
  const results = new Set(stored.map(({ value }) => value));
  const ended = lines.filter((line): line is Run => line.event === "ended");
  return {
    runs: lines.filter((line) => line.event === "begun").length,
    inVain: ended.filter(({ value }) => !results.has(value)).length,
  };
}

type Run = Extract<OnceLine, { fence: number }>;
