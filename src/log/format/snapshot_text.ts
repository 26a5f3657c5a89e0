/**
 * The text of an entity's snapshot: two lines, which are what it is of, and the state. Here the first line and where
 * the other one is; `entities/` and the command line tool read that.
 */
import { isCount } from "../../data/checks.ts";
import { parsedJson } from "../../data/encoding.ts";

/** Origin of a snapshot. */
export interface SnapshotHead {
  /** The `version` of the entity's definition that made the state. */
  readonly definition: number;
  /** {@link LogState.created} of the stream. */
  readonly created: string;
  /** Sequence of the last message that is part of the state. */
  readonly sequence: number;
  /** Mark of that message, as `markOf` makes it. */
  readonly mark: string;
  /** How many events are part of the state. */
  readonly version: number;
  /** The entity's id. */
  readonly id: string;
}

/** A snapshot whose state is still to be parsed. */
export interface SnapshotText extends SnapshotHead {
  /** The state, as `encodeValue` writes it; empty for the state `undefined`. */
  readonly state: string;
}

/** The text of a snapshot. `state` has no line breaks: JSON escapes them. */
export function writeSnapshotText(
  { definition, created, sequence, mark, version, id, state }: SnapshotText,
): string {
  return `${JSON.stringify([FORMAT, definition, created, sequence, mark, version, id])}\n${state}`;
}

/** The parts of a snapshot's text; `undefined` if it is malformed, or of another format. Never throws. */
export function readSnapshotText(text: string): SnapshotText | undefined {
  const end = text.indexOf("\n");
  if (end < 0) return undefined;
  const head = parsedJson(text.slice(0, end));
  if (!Array.isArray(head)) return undefined;
  const [format, definition, created, sequence, mark, version, id] = head;
  if (format !== FORMAT || typeof created !== "string" || typeof id !== "string" || typeof mark !== "string") {
    return undefined;
  }
  for (const count of [definition, sequence, version]) if (!isCount(count) || count < 1) return undefined;
  return { definition, created, sequence, mark, version, id, state: text.slice(end + 1) };
}

const FORMAT = 3;
