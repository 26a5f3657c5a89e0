/** Checks what senders of an entity's commands were told against what its stream has. */
import type { EntityLine } from "../processes/entity_contracts.ts";

/** A message of the entity, as the stream has it. */
export interface StoredCommand {
  readonly command: string;
  /** How many events there were before. */
  readonly version: number;
  /** The entries that it added. */
  readonly entries: readonly string[];
  /** The recorded result. */
  readonly result: unknown;
  /** When it was stored, in ms since 1970. */
  readonly time: number;
}

/** What {@link entityViolations} has looked at. */
export interface EntitySums {
  readonly stored: number;
  readonly ok: number;
  readonly refused: number;
  readonly unknown: number;
  readonly failed: number;
}

/** How many of each there were. */
export function entitySums(lines: readonly EntityLine[], stored: readonly StoredCommand[]): EntitySums {
  const count = (fits: (how: string) => boolean) =>
    lines.filter((line) => line.event === "answered" && fits(line.how)).length;
  return {
    stored: stored.filter(({ entries }) => entries.length > 0).length,
    ok: count((how) => how === "ok"),
    refused: count((how) => how === "REFUSED"),
    unknown: count((how) => how === "OUTCOME_UNKNOWN"),
    failed: count((how) => !["ok", "REFUSED", "OUTCOME_UNKNOWN"].includes(how)),
  };
}

/**
 * What is wrong: versions with a gap, an entry that is there twice, an acknowledged one that is missing or has another number, one that failed and is there, a
 * refusal at a version that was not stored yet, or that somebody knew had passed before the command was sent.
 */
export function entityViolations(
  lines: readonly EntityLine[],
  stored: readonly StoredCommand[],
  clocks = CLOCKS,
): string[] {
  const wrong: string[] = [];
  const versions = new Map<string, number>();
  /** When each version was stored: a leader without its quorum stores it long before anybody can see it. */
  const storedAt: number[] = [0];
  let version = 0;
  for (const { command, version: before, entries, result, time } of stored) {
    if (before !== version) wrong.push(`${command} continues version ${before}; the entity was at ${version}`);
    for (const entry of entries) {
      version++;
      storedAt[version] = time;
      if (versions.has(entry)) wrong.push(`${entry} is there twice: ${versions.get(entry)} and ${version}`);
      versions.set(entry, version);
      if (entry !== command) wrong.push(`${entry} was added by ${command}`);
      if (result !== version) wrong.push(`${entry} is number ${version}; its recorded result is ${result}`);
    }
  }
  const sent = new Map<string, number>();
  const unknown = new Set(
    lines.flatMap((line) => line.event === "answered" && line.how === "OUTCOME_UNKNOWN" ? [line.entry] : []),
  );
  const told = toldSince(lines);
  for (const line of lines) {
    const { entry, at } = line;
    if (line.event === "sent") {
      sent.set(entry, at);
      continue;
    }
    const is = versions.get(entry);
    if (line.how === "ok") {
      if (is === undefined) wrong.push(`${entry} was acknowledged and is missing`);
      else if (is !== line.version) wrong.push(`${entry} was told ${line.version} and is ${is}`);
    } else if (line.how === "REFUSED") {
      // an earlier send of unknown outcome may be decided until its deadline, whatever becomes of a later one
      if (is !== undefined && !unknown.has(entry)) wrong.push(`${entry} was refused and is there`);
      const given = line.version!; // a refusal has one
      const [from, until] = [storedAt[given], told[given + 1] ?? Infinity];
      if (from === undefined || from > at + clocks || until < sent.get(entry)! - clocks) {
        wrong.push(`${entry} was refused at version ${given}, which was not that of the entity while it waited`);
      }
    } else if (line.how !== "OUTCOME_UNKNOWN" && is !== undefined) {
      // one that was sent again may have been stored by an earlier attempt: that had been told so
      if (!unknown.has(entry)) wrong.push(`${entry} failed with ${line.how} and is there`);
    }
  }
  return wrong;
}

/** By version, since when somebody has been told of it, or of a later one. */
function toldSince(lines: readonly EntityLine[]): number[] {
  const told: number[] = [];
  for (const line of lines) {
    if (line.event !== "answered" || line.version === undefined) continue;
    told[line.version] = Math.min(told[line.version] ?? Infinity, line.at);
  }
  for (let version = told.length - 2; version >= 0; version--) {
    told[version] = Math.min(told[version] ?? Infinity, told[version + 1]);
  }
  return told;
}

/** By how much clocks of processes of one machine may differ as they are read, in ms. */
const CLOCKS = 100;
