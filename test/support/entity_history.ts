/** Checks what senders of an entity's commands were told against what its stream has. */
import { decodeText } from "../../src/data/encoding.ts";
import { readEntityGroup } from "../../src/log/format/entity_group.ts";
import type { StoredMessage } from "../../src/ports/event_log.ts";
import { type EntityLine, MADE } from "../processes/entity_contracts.ts";

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

/** The commands of a message. Throws for one that cannot be read. */
export function storedCommands(namespace: string, message: StoredMessage): StoredCommand[] {
  const group = readEntityGroup(namespace, message);
  if ("reason" in group) throw new Error(`message ${message.sequence}: ${group.reason}`);
  const entries = group.messages.map(({ payload }) => (payload as { entry: string }).entry);
  let version = group.version;
  return group.commands.map(({ id, events, result }) => {
    const before = version;
    version += events;
    return {
      ...{ command: id, version: before, time: message.time },
      entries: entries.splice(0, events),
      result: result === undefined ? undefined : decodeText(result),
    };
  });
}

/** What {@link entityViolations} has looked at. */
export interface EntitySums {
  readonly stored: number;
  readonly ok: number;
  readonly refused: number;
  readonly unknown: number;
  readonly failed: number;
}

/** Messages of the stream that were lost: a store that came back from an older copy, or without its tail. */
export interface StoredLoss {
  /** When, in ms since 1970: sends that began later are answered by what is there. */
  readonly at: number;
  /** The entries of the messages that were lost. */
  readonly entries: ReadonlySet<string>;
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
 * What is wrong: versions with a gap, an entry that is there twice, an acknowledged one that is missing or has another
 * number, one that failed and is there, a refusal at a version that was not stored yet, or that somebody knew had
 * passed before the command was sent. What was answered to a send that began before `losses`, and is missing since one
 * of them, is excused. So is a later send of it that failed, if the entry was stored again before the deadline of the
 * first: another attempt of the first may have waited for its turn when the entry was lost.
 */
export function entityViolations(
  lines: readonly EntityLine[],
  stored: readonly StoredCommand[],
  { clocks = CLOCKS, losses = [] }: { readonly clocks?: number; readonly losses?: readonly StoredLoss[] } = {},
): string[] {
  const lastLoss = Math.max(-Infinity, ...losses.map(({ at }) => at));
  const isLost = ({ entry, began }: { readonly entry: string; readonly began?: number }) =>
    losses.some(({ at, entries }) => entries.has(entry) && (began ?? -Infinity) <= at);
  const isStoredAgain = (entry: string, time: number) =>
    lines.some((line) =>
      line.event === "answered" && line.entry === entry && isLost(line) && time <= (line.due ?? -Infinity) + clocks
    );
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
      if (entry !== command && !entry.endsWith(MADE)) wrong.push(`${entry} was added by ${command}`);
      if (result !== version) wrong.push(`${entry} is number ${version}; its recorded result is ${result}`);
    }
  }
  const sent = new Map<string, number>();
  const unknown = new Set(
    lines.flatMap((line) => line.event === "answered" && line.how === "OUTCOME_UNKNOWN" ? [line.entry] : []),
  );
  const isLater = (line: EntityLine) => line.event === "sent" || (line.began ?? -Infinity) > lastLoss;
  const told = toldSince(losses.length === 0 ? lines : lines.filter(isLater));
  for (const line of lines) {
    const { entry, at } = line;
    if (line.event === "sent") {
      sent.set(entry, at);
      continue;
    }
    const is = versions.get(entry);
    if (line.how === "ok") {
      if (isLost(line)) continue;
      if (is === undefined) wrong.push(`${entry} was acknowledged and is missing`);
      else if (is !== line.version) wrong.push(`${entry} was told ${line.version} and is ${is}`);
    } else if (line.how === "REFUSED") {
      if (losses.length > 0 && !isLater(line)) continue; // what it was refused at, and that it was, may be lost
      // an earlier send of unknown outcome may be decided until its deadline, whatever becomes of a later one
      if (is !== undefined && !unknown.has(entry)) wrong.push(`${entry} was refused and is there`);
      const given = line.version!; // a refusal has one
      const [from, until] = [storedAt[given], told[given + 1] ?? Infinity];
      if (from === undefined || from > at + clocks || until < sent.get(entry)! - clocks) {
        wrong.push(`${entry} was refused at version ${given}, which was not that of the entity while it waited`);
      }
    } else if (line.how !== "OUTCOME_UNKNOWN" && is !== undefined) {
      // one that was sent again may have been stored by an earlier attempt: that had been told so
      if (!unknown.has(entry) && !isStoredAgain(entry, storedAt[is])) {
        wrong.push(`${entry} failed with ${line.how} and is there`);
      }
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
