/** Judges whether what one version of a program writes would be read by another. */
import { reads } from "../contract/schemas/compatibility.ts";
import type { Described } from "./description.ts";
import type { Finding } from "./finding.ts";

/**
 * Returns a finding if the reader's schema refuses values that the writer's schema allows, or if that cannot be
 * decided; else an empty list. `about`, `what`, `advice`: the contract, the compared values in words, and what to do.
 */
export function refusals(
  about: string,
  what: string,
  reader: Described,
  writer: Described,
  advice: string,
  kind = "input",
): Finding[] {
  const verdict = judge(reader, writer);
  if (verdict.reads === "yes") return [];
  if (verdict.reads === "unknown") {
    const message = `${about}: whether ${what} is read could not be judged (${verdict.keyword})`;
    return [{ level: "unknown", kind, about, message, advice: UNKNOWN }];
  }
  const message = `${about}: ${what} would be refused: ${verdict.paths.join("; ")}`;
  return [{ level: "break", kind, about, message, advice }];
}

/** Compares two schemas like {@link reads}; either may be missing, or have no JSON Schema. */
export function judge(reader: Described, writer: Described): ReturnType<typeof reads> {
  if (reader === undefined) return { reads: "yes" };
  if (reader === "unknown") return { reads: "unknown", keyword: "the reader's schema has no JSON Schema" };
  if (writer === undefined) return { reads: "unknown", keyword: "the writer has no schema" };
  if (writer === "unknown") return { reads: "unknown", keyword: "the writer's schema has no JSON Schema" };
  return reads(reader, writer);
}

/** Advice where schemas could not be compared. */
export const UNKNOWN = "Look at it; --allow-unknown accepts it.";
