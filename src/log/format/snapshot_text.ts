/**
 * The text of an entity's snapshot: three lines, which are what it is of, the state, and the remembered commands. Here the first line and
 * where the others are; `entities/` and the command line tool read them.
 */
import { isCount } from "../../data/numbers.ts";

/** What a snapshot is of. */
export interface SnapshotHead {
  /** The `version` of the entity's definition that made the state. */
  readonly definition: number;
  /** {@link LogState.created} of the stream. */
  readonly created: string;
  /** Of the last message that is part of the state. */
  readonly sequence: number;
  /** How many events are part of the state. */
  readonly version: number;
  /** The entity's id. */
  readonly id: string;
}

/** A snapshot whose state and commands are still to be parsed. */
export interface SnapshotText extends SnapshotHead {
  /** The state, as `encodeValue` writes it; empty for the state `undefined`. */
  readonly state: string;
  /** The remembered commands, as JSON. */
  readonly commands: string;
}

/** The text of a snapshot. Neither `state` nor `commands` has line breaks: JSON escapes them. */
export function writeSnapshotText(
  { definition, created, sequence, version, id, state, commands }: SnapshotText,
): string {
  return `${JSON.stringify([FORMAT, definition, created, sequence, version, id])}\n${state}\n${commands}`;
}

/** The parts of a snapshot's text; `undefined` if it is malformed, or of another format. Never throws. */
export function readSnapshotText(text: string): SnapshotText | undefined {
  const first = text.indexOf("\n");
  const second = text.indexOf("\n", first + 1);
  if (first < 0 || second < 0) return undefined;
  const head = parsed(text.slice(0, first));
  if (!Array.isArray(head)) return undefined;
  const [format, definition, created, sequence, version, id] = head;
  if (format !== FORMAT || typeof created !== "string" || typeof id !== "string") return undefined;
  for (const count of [definition, sequence, version]) if (!isCount(count) || count < 1) return undefined;
  return {
    definition,
    created,
    sequence,
    version,
    id,
    state: text.slice(first + 1, second),
    commands: text.slice(second + 1),
  };
}

const FORMAT = 2;

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // not a snapshot
  }
}
